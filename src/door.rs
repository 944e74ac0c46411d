//! The door of scheduled meetings: whoever joins or comes back is looked up, and comes in as they may be now, whatever their
//! token says. Rooms of no meeting are open to every good token.

use crate::gate;
use crate::gathering;
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::admission::renewed;
use crate::meetings::lobby::{Decision, Refusal};
use crate::moment::Moment;
use crate::store::{Store, StoreError};
use consilium_signaling::access::Claims;
use consilium_signaling::rooms::{Admission, Denial, Door, Rooms};

const NOT_INVITED: Denial = Denial::NotAllowed("This meeting needs an invitation. Ask the host for a link.");

pub struct MeetingDoor {
    store: Store,
}

impl MeetingDoor {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn admit_to(&self, rooms: &Rooms, meeting: MeetingId, claims: Claims) -> Result<Claims, Denial> {
        let now = Moment::now();
        let invitation = InvitationId::parse(&claims.identity).ok_or(NOT_INVITED)?;
        let invitation = self.store.invitation(&invitation).await.map_err(denial)?;
        if invitation.meeting != meeting || invitation.check_link(now).is_err() || invitation.has_outlived(claims.nbf) {
            return Err(NOT_INVITED);
        }
        let meeting = self.store.meeting(&meeting).await.map_err(denial)?;
        match gate::decision(&self.store, rooms, &meeting, &invitation, now).await.map_err(denial)? {
            Decision::Enter => {
                if invitation.role.is_host() {
                    let id = invitation.id.as_str();
                    gathering::join_as_host(&self.store, &meeting, id, now).await.map_err(denial)?;
                }
                Ok(renewed(claims, &meeting, &invitation).with_room_for(meeting.capacity))
            }
            // A token from before they were sent out, or a made one.
            Decision::Wait => Err(Denial::NotAllowed("A host has to let you in. Use your link again.")),
            Decision::Refuse(refusal) => Err(Denial::NotAllowed(reason(refusal))),
        }
    }
}

const fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Cancelled => "This meeting was cancelled.",
        Refusal::Ended => "This meeting has ended.",
        Refusal::NotOpen => "This meeting is not open yet.",
        Refusal::Locked => "This meeting is locked.",
        Refusal::Denied => "The host did not let you in.",
        Refusal::Banned => "The host has removed you from this meeting.",
    }
}

impl Door for MeetingDoor {
    fn admit<'a>(&'a self, rooms: &'a Rooms, room: String, claims: Claims) -> Admission<'a> {
        Box::pin(async move {
            match MeetingId::parse(&room) {
                Some(meeting) => self.admit_to(rooms, meeting, claims).await,
                None => Ok(claims),
            }
        })
    }
}

fn denial(error: StoreError) -> Denial {
    match error {
        StoreError::NotFound => NOT_INVITED,
        error => {
            tracing::error!(%error, "nobody can be let into a meeting");
            Denial::Unavailable
        }
    }
}
