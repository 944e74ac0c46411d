//! The door of scheduled meetings: whoever joins or comes back is looked up, and comes in as they may be now, whatever their
//! token says. Rooms of no meeting are open to every good token.

use crate::ids::{InvitationId, MeetingId};
use crate::meetings::admission::{self, Admission as Decision};
use crate::moment::Moment;
use crate::store::{Store, StoreError};
use consilium_signaling::access::Claims;
use consilium_signaling::rooms::{Admission, Denial, Door};

const NOT_INVITED: Denial = Denial::NotAllowed("This meeting needs an invitation. Ask the host for a link.");
const CANCELLED: Denial = Denial::NotAllowed("This meeting was cancelled.");

pub struct MeetingDoor {
    store: Store,
}

impl MeetingDoor {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn admit_to(&self, meeting: MeetingId, claims: Claims) -> Result<Claims, Denial> {
        let invitation = InvitationId::parse(&claims.identity).ok_or(NOT_INVITED)?;
        let invitation = self.store.invitation(&invitation).await.map_err(denial)?;
        if invitation.meeting != meeting || invitation.check_link(Moment::now()).is_err() {
            return Err(NOT_INVITED);
        }
        let meeting = self.store.meeting(&meeting).await.map_err(denial)?;
        match admission::admission(&meeting, invitation.role) {
            Decision::Cancelled => Err(CANCELLED),
            // A token is given to those alone who need not wait, or no longer.
            Decision::Enter | Decision::Wait => Ok(admission::renewed(claims, &meeting, &invitation)),
        }
    }
}

impl Door for MeetingDoor {
    fn admit(&self, room: String, claims: Claims) -> Admission<'_> {
        Box::pin(async move {
            match MeetingId::parse(&room) {
                Some(meeting) => self.admit_to(meeting, claims).await,
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
