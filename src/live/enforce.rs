//! What was decided about people and meetings, done in the room on this server. The door refuses whoever comes afterwards; this
//! is for those who are inside already.

use super::bells::Bells;
use crate::gate;
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::admission::renewed;
use crate::meetings::lobby::{Decision, Place, Standing};
use crate::moment::Moment;
use crate::store::audit::{Detail, NewEntry};
use crate::store::events::{Event, NewEvent};
use crate::store::{Store, StoreError};
use consilium_signaling::access::Claims;
use consilium_signaling::rooms::{Person, Rooms};
use serde_json::json;

/// What an event asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reaction {
    None,
    /// Somebody's standing, role or invitation is another: they are as it says now, or out.
    Review,
    Silence,
    /// Whoever is inside came by a link that is another by now.
    Eject,
    /// The same for everybody in the room.
    ReviewAll,
    /// Unless a host has begun anew.
    End,
    Cancel,
    /// Who was out for one case comes back.
    Readmit,
}

fn reaction(kind: &str) -> Reaction {
    match kind {
        "participant.removed" | "participant.sent_to_lobby" | "participant.role_changed" => Reaction::Review,
        "invitation.updated" | "invitation.revoked" => Reaction::Review,
        "invitation.link_renewed" => Reaction::Eject,
        "participant.muted" => Reaction::Silence,
        "meeting.updated" => Reaction::ReviewAll,
        "meeting.ended" => Reaction::End,
        "meeting.cancelled" => Reaction::Cancel,
        "case.started" => Reaction::Readmit,
        _ => Reaction::None,
    }
}

pub(super) struct Enforcer {
    pub(super) store: Store,
    pub(super) rooms: Rooms,
    pub(super) bells: Bells,
}

impl Enforcer {
    pub(super) async fn apply(&self, meeting: &MeetingId, event: &Event) -> Result<(), StoreError> {
        let invitation = event.body["invitation"].as_str().and_then(InvitationId::parse);
        let room = meeting.as_str();
        match (reaction(&event.kind), &invitation) {
            (Reaction::Review, Some(invitation)) => self.review_one(meeting, invitation).await?,
            (Reaction::Silence, Some(invitation)) => {
                self.rooms.silence(room, invitation.as_str()).await;
            }
            (Reaction::Eject, Some(invitation)) => {
                self.rooms.eject(room, invitation.as_str()).await;
            }
            (Reaction::ReviewAll, _) if self.rooms.is_open(room) => self.review_all(meeting).await?,
            (Reaction::End, _) => self.end(meeting).await?,
            (Reaction::Cancel, _) => self.rooms.end(room).await,
            (Reaction::Readmit, _) => self.readmit(meeting, event.at).await?,
            _ => {}
        }
        self.ring(meeting, invitation.as_ref(), &event.kind);
        Ok(())
    }

    /// Whoever waits looks again.
    fn ring(&self, meeting: &MeetingId, invitation: Option<&InvitationId>, kind: &str) {
        match (kind.split('.').next(), invitation) {
            (Some("lobby" | "participant" | "invitation"), Some(invitation)) => self.bells.ring(invitation),
            (Some("meeting"), _) => self.bells.ring_all(meeting),
            _ => {}
        }
    }

    async fn review_all(&self, meeting: &MeetingId) -> Result<(), StoreError> {
        let Some(state) = self.rooms.state(meeting.as_str()).await else { return Ok(()) };
        let capacity = self.store.meeting(meeting).await?.capacity;
        self.rooms.set_max_participants(meeting.as_str(), capacity).await;
        for person in &state.people {
            self.review(meeting, person).await?;
        }
        Ok(())
    }

    async fn review_one(&self, meeting: &MeetingId, invitation: &InvitationId) -> Result<(), StoreError> {
        let Some(state) = self.rooms.state(meeting.as_str()).await else { return Ok(()) };
        match state.people.iter().find(|person| person.identity == invitation.as_str()) {
            Some(person) => self.review(meeting, person).await,
            None => Ok(()),
        }
    }

    /// Somebody in the room is from now on who they are by what is stored, or goes.
    async fn review(&self, meeting: &MeetingId, person: &Person) -> Result<(), StoreError> {
        match self.claims(meeting, person).await? {
            Some(claims) => self.rooms.revise(meeting.as_str(), &claims).await,
            None => drop(self.rooms.eject(meeting.as_str(), &person.identity).await),
        }
        Ok(())
    }

    /// `None` for whom the door would not let in.
    async fn claims(&self, meeting: &MeetingId, person: &Person) -> Result<Option<Claims>, StoreError> {
        let now = Moment::now();
        let Some(id) = InvitationId::parse(&person.identity) else { return Ok(None) };
        let invitation = match self.store.invitation(&id).await {
            Err(StoreError::NotFound) => return Ok(None),
            found => found?,
        };
        if invitation.meeting != *meeting || invitation.check_link(now).is_err() {
            return Ok(None);
        }
        let meeting = self.store.meeting(meeting).await?;
        let decision = gate::decision(&self.store, &self.rooms, &meeting, &invitation, now).await?;
        Ok((decision == Decision::Enter).then(|| renewed(given(person), &meeting, &invitation)))
    }

    async fn end(&self, meeting: &MeetingId) -> Result<(), StoreError> {
        if self.store.gathering(meeting).await?.is_some_and(|gathering| gathering.ended_at.is_some()) {
            self.rooms.end(meeting.as_str()).await;
        }
        Ok(())
    }

    /// Several servers may see the same case begin: what one of them did, the others find done. Who was sent out after
    /// `begun_at` waits for the case after it.
    async fn readmit(&self, meeting: &MeetingId, begun_at: Moment) -> Result<(), StoreError> {
        let is_out = |place: &Place| place.standing == Standing::AwaitingNextCase && place.changed_at < begun_at;
        if !self.store.places(meeting).await?.iter().any(is_out) {
            return Ok(());
        }
        let now = Moment::now();
        let mut write = self.store.write().await?;
        for place in write.places(meeting).await? {
            if !is_out(&place) {
                continue;
            }
            let place = place.decided(Standing::Admitted, now);
            write.put_place(&place).await?;
            let body = json!({"meeting": meeting, "invitation": place.invitation, "by": "next_case"});
            write.append_event(now, &NewEvent { kind: "lobby.admitted", subject: meeting.as_str(), body }).await?;
            let details = [("meeting", Detail::Id(meeting.into())), ("by", Detail::Word("next_case"))];
            let subject = place.invitation.as_str();
            let entry = NewEntry { actor: "system", action: "lobby.admitted", subject, details: &details };
            write.append_audit(now, &entry).await?;
        }
        write.commit().await
    }
}

/// What the server told others of somebody: as good as what their token said.
fn given(person: &Person) -> Claims {
    let (identity, name) = (person.identity.clone(), person.name.clone());
    Claims { identity, name, attributes: person.attributes.clone(), ..Claims::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_takes_something_from_somebody_is_done_at_once() {
        for kind in ["participant.removed", "participant.sent_to_lobby", "participant.role_changed"] {
            assert_eq!(reaction(kind), Reaction::Review, "{kind}");
        }
        assert_eq!(reaction("invitation.revoked"), Reaction::Review);
        assert_eq!(reaction("invitation.link_renewed"), Reaction::Eject);
        assert_eq!(reaction("meeting.ended"), Reaction::End);
        assert_eq!(reaction("meeting.cancelled"), Reaction::Cancel);
        assert_eq!(reaction("case.started"), Reaction::Readmit);
        for kind in ["meeting.locked", "lobby.knocked", "case.closed", ""] {
            assert_eq!(reaction(kind), Reaction::None, "{kind}");
        }
    }
}
