//! What surrounds somebody who arrives: the meeting's window at this moment, and who is in its room. With it, the pure
//! [`decide`] can be asked; the caller brings what is stored, from inside or outside of a transaction.

use crate::ids::InvitationId;
use crate::meetings::invitation::{Invitation, Role};
use crate::meetings::lobby::{Arrival, Decision, Gathering, Place, decide};
use crate::meetings::meeting::Meeting;
use crate::meetings::window::{Window, is_over, window};
use crate::moment::Moment;
use crate::store::{Result, Store};
use consilium_signaling::rooms::{Company, Rooms};
use std::collections::HashMap;

pub struct Surroundings {
    window: Option<Window>,
    is_over: bool,
    /// People in the room.
    pub present: usize,
    pub is_here: bool,
    pub has_host: bool,
}

impl Surroundings {
    pub async fn look(
        store: &Store,
        rooms: &Rooms,
        meeting: &Meeting,
        invitation: &InvitationId,
        now: Moment,
    ) -> Result<Self> {
        let exceptions = store.exceptions(&meeting.id).await?;
        let Company { people, is_here, has_such: has_host } =
            rooms.company(meeting.room(), invitation.as_str(), is_host).await;
        let window = window(meeting, &exceptions, now);
        let is_over = window.is_none() && is_over(meeting, &exceptions, now);
        Ok(Self { window, is_over, present: people, is_here, has_host })
    }

    pub fn decide(
        &self,
        meeting: &Meeting,
        role: Role,
        place: Option<&Place>,
        gathering: Option<&Gathering>,
        now: Moment,
    ) -> Decision {
        let Self { is_over, is_here, has_host, .. } = *self;
        let window = self.window.as_ref();
        decide(&Arrival { meeting, role, place, gathering, window, is_over, is_here, has_host }, now)
    }

    pub fn is_full(&self, meeting: &Meeting) -> bool {
        !self.is_here && self.present >= usize::try_from(meeting.capacity).unwrap_or(usize::MAX)
    }
}

/// What is decided about somebody now, as it is stored.
pub async fn decision(
    store: &Store,
    rooms: &Rooms,
    meeting: &Meeting,
    invitation: &Invitation,
    now: Moment,
) -> Result<Decision> {
    let surroundings = Surroundings::look(store, rooms, meeting, &invitation.id, now).await?;
    let place = store.place(&invitation.id).await?;
    let gathering = store.gathering(&meeting.id).await?;
    Ok(surroundings.decide(meeting, invitation.role, place.as_ref(), gathering.as_ref(), now))
}

/// The role that the server gave them: nobody in a meeting's room can change their own attributes.
pub fn is_host(attributes: &HashMap<String, String>) -> bool {
    attributes.get("role").and_then(|role| Role::from_name(role)).is_some_and(Role::is_host)
}
