//! What hosts do, one act like another: whether they may, about whom it is, what is written, the event and the audit entry.
//! What is written, the rooms then follow ([`crate::live`]).

use super::Api;
use super::ownership::{allow, allow_within, owns};
use super::problem::{Code, Problem};
use crate::gathering;
use crate::identity::{Action, Caller, may_as_owner};
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::invitation::Invitation;
use crate::meetings::lobby::{Gathering, Place, Standing};
use crate::meetings::meeting::{Meeting, Status};
use crate::moment::Moment;
use crate::store::Write;
use crate::store::audit::{Detail, NewEntry};
use crate::store::events::NewEvent;
use serde_json::{Value, json};

/// An act under way. Dropped without [`Act::commit`], nothing was done.
pub(super) struct Act {
    /// As they are by now.
    caller: Caller,
    pub(super) meeting: Meeting,
    pub(super) write: Write,
    pub(super) now: Moment,
}

impl Act {
    pub(super) async fn begin(api: &Api, caller: &Caller, id: &MeetingId) -> Result<Self, Problem> {
        // Whoever may not do not get as far as the lock.
        let caller = allow(api, caller, Action::Host(id)).await?;
        let mut write = api.store.write().await?;
        let meeting = write.meeting(id).await?;
        let caller = allow_within(&mut write, caller, &meeting, Action::Host(id)).await?;
        if meeting.status == Status::Cancelled {
            return Err(Code::MeetingCancelled.into());
        }
        Ok(Self { caller, meeting, write, now: Moment::now() })
    }

    /// Whether the caller can give and take the chair. Who may change the meeting could change the invitation as well.
    pub(super) fn may_chair(&self) -> Result<(), Problem> {
        let id = &self.meeting.id;
        let may = |action| may_as_owner(&self.caller, action, owns(&self.caller, &self.meeting));
        Ok(may(Action::ChangeMeeting(id)).or_else(|_| may(Action::Chair(id)))?)
    }

    /// The gathering, in which something happens.
    pub(super) async fn touch(&mut self) -> Result<Gathering, Problem> {
        let actor = self.caller.subject.as_str();
        Ok(gathering::touch(&mut self.write, &self.meeting, actor, self.now).await?)
    }

    /// Somebody who is invited to this meeting.
    pub(super) async fn invitation(&mut self, id: &InvitationId) -> Result<Invitation, Problem> {
        let invitation = self.write.invitation(id).await?;
        match invitation.meeting == self.meeting.id && invitation.revoked_at.is_none() {
            true => Ok(invitation),
            false => Err(Code::NotFound.into()),
        }
    }

    /// The same, of who does not run the meeting: hosts are not sent out.
    pub(super) async fn guest(&mut self, id: &InvitationId) -> Result<Invitation, Problem> {
        let invitation = self.invitation(id).await?;
        match invitation.role.is_host() {
            true => Err(Code::IsHost.into()),
            false => Ok(invitation),
        }
    }

    /// Decides about somebody's standing, whatever it was.
    pub(super) async fn stand(&mut self, invitation: &InvitationId, standing: Standing) -> Result<Place, Problem> {
        let place = match self.write.place(invitation).await? {
            // Whoever is sent to the door from inside is there when they come to it.
            Some(place) if standing.is_waiting() && !place.standing.is_waiting() => {
                Place { ticket_hash: None, ..place.decided(standing, self.now) }
            }
            Some(place) => place.decided(standing, self.now),
            None => Place::new(invitation.clone(), self.meeting.id.clone(), standing, self.now),
        };
        self.touch().await?;
        self.write.put_place(&place).await?;
        Ok(place)
    }

    /// About one person. `more` goes into the event, `details` into the audit entry.
    pub(super) async fn record(
        &mut self,
        kind: &'static str,
        invitation: &InvitationId,
        more: Value,
        details: &[(&'static str, Detail)],
    ) -> Result<(), Problem> {
        let mut body = json!({"meeting": self.meeting.id, "invitation": invitation});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let mut all = vec![("meeting", Detail::Id((&self.meeting.id).into()))];
        all.extend_from_slice(details);
        self.tell(kind, invitation.as_str(), body, &all).await
    }

    /// About the whole meeting.
    pub(super) async fn record_meeting(&mut self, kind: &'static str) -> Result<(), Problem> {
        let id = self.meeting.id.clone();
        self.tell(kind, id.as_str(), json!({"meeting": id}), &[]).await
    }

    async fn tell(
        &mut self,
        kind: &'static str,
        subject: &str,
        body: Value,
        details: &[(&'static str, Detail)],
    ) -> Result<(), Problem> {
        let event = NewEvent { kind, subject: self.meeting.id.as_str(), body };
        self.write.append_event(self.now, &event).await?;
        let entry = NewEntry { actor: self.caller.subject.as_str(), action: kind, subject, details };
        Ok(self.write.append_audit(self.now, &entry).await?)
    }

    pub(super) async fn commit(self) -> Result<(), Problem> {
        Ok(self.write.commit().await?)
    }
}
