//! Puts mails into the outbox for the events as they come.

use super::plan::{Mailed, plan};
use super::{CANCEL, Envelope, REQUEST, TARGET};
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::invitation::{INVITATIONS_MAX, Invitation};
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::outbox::courier::KEPT;
use crate::outbox::follower::Planner;
use crate::outbox::{Channel, NewDelivery};
use crate::store::events::Event;
use crate::store::readers::Reader;
use crate::store::{Result, Store, StoreError, Write};
use std::collections::BTreeMap;

pub struct MailPlanner {
    store: Store,
}

/// Whose calendars an event may make a difference to.
#[derive(PartialEq, Eq, Debug)]
enum Touched {
    Everybody,
    These(Vec<InvitationId>),
}

impl MailPlanner {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Reads beside the transaction: while it holds the write lock, nobody changes what is read.
    async fn invitations(&self, meeting: &MeetingId, touched: &Touched) -> Result<Vec<Invitation>> {
        let Touched::These(ids) = touched else {
            return self.store.invitations(meeting, None, INVITATIONS_MAX).await;
        };
        let mut invitations = Vec::with_capacity(ids.len());
        for id in ids {
            invitations.push(self.store.invitation(id).await?);
        }
        Ok(invitations)
    }

    async fn tell(&self, write: &mut Write, meeting: &Meeting, invitation: &Invitation, now: Moment) -> Result<()> {
        let mailed = write.mailed(&invitation.id).await?;
        let plan = plan(meeting, invitation, mailed.as_ref(), now);
        if let Some(address) = &plan.cancel {
            let lane = lane(invitation, address);
            // What has not left cannot have arrived. Of older ones, what left is forgotten.
            let may_be_known = now.since(invitation.created_at) > KEPT || write.was_tried(TARGET, &lane).await?;
            write.supersede(TARGET, &lane, now).await?;
            if may_be_known {
                put(write, CANCEL, invitation, address, now).await?;
            }
            write.set_mailed(&invitation.id, None).await?;
        }
        if let Some(mailed @ Mailed { address, .. }) = &plan.request {
            put(write, REQUEST, invitation, address, now).await?;
            write.set_mailed(&invitation.id, Some(mailed)).await?;
        }
        Ok(())
    }
}

impl Planner for MailPlanner {
    const READER: Reader = Reader::Mail;
    const CHANNEL: Channel = Channel::Mail;

    async fn is_idle(&self) -> Result<bool> {
        Ok(false)
    }

    fn fit(&self, events: &[Event]) -> usize {
        fit(events)
    }

    async fn plan(&self, write: &mut Write, events: &[Event], now: Moment) -> Result<()> {
        for (meeting, touched) in touched(events) {
            let meeting = match self.store.meeting(&meeting).await {
                // Who reads late reads of what is gone.
                Err(StoreError::NotFound) => continue,
                found => found?,
            };
            for invitation in self.invitations(&meeting.id, &touched).await? {
                self.tell(write, &meeting, &invitation, now).await?;
            }
        }
        Ok(())
    }
}

/// Everybody of one meeting and no more: with [`INVITATIONS_MAX`] of them, that is as much as others should wait for. An event
/// is planned whole, so it cannot be less.
fn fit(events: &[Event]) -> usize {
    let whole = events.iter().find(|event| is_of_everybody(event)).map(|event| &event.subject);
    events.iter().take_while(|event| !is_of_everybody(event) || Some(&event.subject) == whole).count()
}

fn is_of_everybody(event: &Event) -> bool {
    event.kind.starts_with("meeting.")
}

/// Each meeting once, whatever happened to it.
fn touched(events: &[Event]) -> BTreeMap<MeetingId, Touched> {
    let mut meetings = BTreeMap::new();
    for event in events {
        let Some(meeting) = MeetingId::parse(&event.subject) else { continue };
        if is_of_everybody(event) {
            meetings.insert(meeting, Touched::Everybody);
        } else if event.kind.starts_with("invitation.") {
            let id = event.body["invitation"].as_str().and_then(InvitationId::parse);
            if let Touched::These(ids) = meetings.entry(meeting).or_insert_with(|| Touched::These(Vec::new())) {
                ids.extend(id.filter(|id| !ids.contains(id)));
            }
        }
    }
    meetings
}

/// One mailbox hears of one invitation in order.
fn lane(invitation: &Invitation, address: &str) -> String {
    format!("{} {}", invitation.id, address.to_ascii_lowercase())
}

/// What has not left yet is not told: this says it better.
async fn put(write: &mut Write, kind: &str, invitation: &Invitation, address: &str, now: Moment) -> Result<()> {
    let lane = lane(invitation, address);
    write.supersede(TARGET, &lane, now).await?;
    let envelope = Envelope {
        meeting: invitation.meeting.clone(),
        invitation: invitation.id.clone(),
        address: address.to_owned(),
    };
    let delivery = NewDelivery {
        channel: Channel::Mail,
        target: TARGET,
        lane: &lane,
        notice: "",
        kind,
        content: serde_json::json!(envelope).to_string(),
        dead_because: None,
    };
    write.enqueue(&delivery, now).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_meeting_that_changed_touches_everybody_and_an_invitation_one() {
        let now = Moment::from_ms(1);
        let (meeting, other) = (MeetingId::new(now), MeetingId::new(now));
        let (one, two) = (InvitationId::new(now), InvitationId::new(now));
        let event = |kind: &str, subject: &MeetingId, invitation: Option<&InvitationId>| Event {
            sequence: 1,
            at: now,
            kind: kind.into(),
            subject: subject.to_string(),
            body: json!({"invitation": invitation}),
        };
        let touched = touched(&[
            event("invitation.created", &meeting, Some(&one)),
            event("meeting.updated", &meeting, None),
            event("invitation.updated", &meeting, Some(&one)),
            event("invitation.created", &other, Some(&one)),
            event("invitation.updated", &other, Some(&two)),
            event("invitation.updated", &other, Some(&one)),
            event("lobby.knocked", &MeetingId::new(now), Some(&one)),
        ]);
        assert_eq!(touched.len(), 2);
        assert_eq!(touched[&meeting], Touched::Everybody);
        assert_eq!(touched[&other], Touched::These(vec![one, two]));
    }

    #[test]
    fn at_a_time_everybody_of_one_meeting_is_told_and_not_of_two() {
        let now = Moment::from_ms(1);
        let event = |kind: &str, subject: &str| Event {
            sequence: 1,
            at: now,
            kind: kind.into(),
            subject: subject.into(),
            body: json!({}),
        };
        let (created, updated) = (event("meeting.created", "a"), event("meeting.updated", "a"));
        let (invited, other) = (event("invitation.created", "b"), event("meeting.created", "b"));
        assert_eq!(fit(&[]), 0);
        assert_eq!(fit(&[invited.clone(), created.clone(), updated.clone(), invited.clone()]), 4);
        assert_eq!(fit(&[created.clone(), invited.clone(), updated.clone(), other.clone(), updated]), 3);
        assert_eq!(fit(&[other, created, invited]), 1, "the first always fits");
    }
}
