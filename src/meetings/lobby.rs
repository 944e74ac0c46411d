//! The lobby: where somebody stands at a meeting's door, and what happens to who arrives. Pure: what is stored, who is in the
//! room and what time it is, the caller says.
//!
//! A meeting without a host goes on: whoever is inside stays, who need not wait comes in, and who has to wait waits. Nobody
//! in it can admit; only the hospital's own system can, with its API key. Where the room is empty and nobody knocks, the
//! gathering is over after [`IDLE_MAX`].

use super::admission::must_wait;
use super::invitation::{LinkSecret, Role};
use super::meeting::{Meeting, Status};
use super::window::Window;
use crate::identity::secret::SecretHash;
use crate::ids::{InvitationId, MeetingId};
use crate::moment::Moment;
use crate::text::Name;
use serde::Serialize;
use std::time::Duration;

/// Before this has passed, somebody who was denied cannot knock again.
pub const KNOCK_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A room that is empty for this long, while nobody knocks, is no meeting any more. As early as a meeting opens, so that who
/// comes first is not sent away before it begins.
pub const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// Tells a lobby ticket from the secret of a link.
const TICKET_PREFIX: &str = "lt.";

/// What was decided about somebody at the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// For a host.
    Waiting,
    /// For the next case, which lets them in again.
    AwaitingNextCase,
    Admitted,
    Denied,
    /// Sent out: they may knock.
    Removed,
    /// Sent out until the meeting ends.
    Banned,
    /// Gone from the door by themselves.
    Left,
}

impl Standing {
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::AwaitingNextCase, Self::Admitted, Self::Denied, Self::Removed, Self::Banned, Self::Left];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::AwaitingNextCase => "awaiting_next_case",
            Self::Admitted => "admitted",
            Self::Denied => "denied",
            Self::Removed => "removed",
            Self::Banned => "banned",
            Self::Left => "left",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.name() == name)
    }

    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Waiting | Self::AwaitingNextCase)
    }
}

/// Somebody's place at the door.
#[derive(Clone, Debug)]
pub struct Place {
    pub invitation: InvitationId,
    pub meeting: MeetingId,
    pub standing: Standing,
    /// A host's words for them, and for nobody else.
    pub message: Option<Name>,
    /// Of the ticket with which they ask; absent while they are not at the door.
    pub ticket_hash: Option<SecretHash>,
    /// Whether the ticket has become a token.
    pub is_used: bool,
    pub changed_at: Moment,
    pub version: i64,
}

impl Place {
    /// The place after a decision. Words for the person belong to the decision before.
    pub fn decided(self, standing: Standing, now: Moment) -> Self {
        Self { standing, message: None, changed_at: now, version: self.version + 1, ..self }
    }

    /// Somebody about whom nothing was decided yet.
    pub fn new(invitation: InvitationId, meeting: MeetingId, standing: Standing, now: Moment) -> Self {
        Self {
            invitation,
            meeting,
            standing,
            message: None,
            ticket_hash: None,
            is_used: false,
            changed_at: now,
            version: 1,
        }
    }

    /// Whether this is the ticket with which they ask.
    pub fn is_of(&self, ticket: &Ticket) -> bool {
        self.ticket_hash.as_ref().is_some_and(|hash| hash.matches(&ticket.hash()))
    }

    /// Whether they stand at the door at this moment, for hosts to see.
    pub fn is_at_the_door(&self) -> bool {
        self.standing.is_waiting() && self.ticket_hash.is_some()
    }
}

/// A meeting that is being held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gathering {
    pub meeting: MeetingId,
    pub is_locked: bool,
    pub ended_at: Option<Moment>,
    pub occupied_at: Moment,
}

impl Gathering {
    pub fn new(meeting: MeetingId, now: Moment) -> Self {
        Self { meeting, is_locked: false, ended_at: None, occupied_at: now }
    }

    /// Whether it is over because nobody is there. `window` is the meeting's at `now`: who waits for the start is not idle.
    pub fn is_idle(&self, window: Option<&Window>, now: Moment) -> bool {
        let last = window.map_or(self.occupied_at, |window| self.occupied_at.max(window.starts_at));
        now.since(last) >= IDLE_MAX && now > last
    }
}

/// Somebody with a good link or token.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub meeting: &'a Meeting,
    pub role: Role,
    pub place: Option<&'a Place>,
    pub gathering: Option<&'a Gathering>,
    pub window: Option<&'a Window>,
    /// Whether no window will open any more.
    pub is_over: bool,
    pub is_here: bool,
    /// Whether a host is in the room.
    pub has_host: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Enter,
    /// Until a host admits them, or the next case does.
    Wait,
    Refuse(Refusal),
}

/// Why the door stays shut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    Cancelled,
    Ended,
    NotOpen,
    Locked,
    Denied,
    Banned,
}

/// The only place that decides who enters. Hosts always do, and so does whom a host admitted, also where it is locked.
pub fn decide(arrival: &Arrival<'_>, now: Moment) -> Decision {
    let Arrival { meeting, role, place, gathering, window, is_over, is_here, has_host } = *arrival;
    if meeting.status == Status::Cancelled {
        return Decision::Refuse(Refusal::Cancelled);
    }
    if role.is_host() {
        return Decision::Enter;
    }
    if has_ended(gathering, window) && !has_host {
        return Decision::Refuse(Refusal::Ended);
    }
    if let Some(place) = place {
        return match place.standing {
            Standing::Admitted => Decision::Enter,
            Standing::Banned => Decision::Refuse(Refusal::Banned),
            Standing::Denied if now < place.changed_at.plus(KNOCK_AGAIN_AFTER) => Decision::Refuse(Refusal::Denied),
            Standing::Waiting | Standing::AwaitingNextCase | Standing::Denied | Standing::Removed | Standing::Left => {
                Decision::Wait
            }
        };
    }
    if is_here {
        return Decision::Enter;
    }
    if window.is_none() && !has_host {
        return Decision::Refuse(if is_over { Refusal::Ended } else { Refusal::NotOpen });
    }
    if gathering.is_some_and(|gathering| gathering.is_locked) {
        return Decision::Refuse(Refusal::Locked);
    }
    match must_wait(meeting.lobby, role) {
        true => Decision::Wait,
        false => Decision::Enter,
    }
}

/// What was ended stays so until the next time that the meeting opens.
pub fn has_ended(gathering: Option<&Gathering>, window: Option<&Window>) -> bool {
    let ended_at = gathering.and_then(|gathering| gathering.ended_at);
    ended_at.is_some_and(|ended_at| window.is_none_or(|window| window.opens_at <= ended_at))
}

/// What somebody who waits asks with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket(LinkSecret);

impl Ticket {
    pub fn new(invitation: InvitationId) -> Self {
        Self(LinkSecret::new(invitation))
    }

    pub fn parse(text: &str) -> Option<Self> {
        LinkSecret::parse(text.strip_prefix(TICKET_PREFIX)?).map(Self)
    }

    /// Named so that a reader of the call sees what is given away.
    pub fn expose(&self) -> String {
        format!("{TICKET_PREFIX}{}", self.0.expose())
    }

    pub fn invitation(&self) -> &InvitationId {
        self.0.id()
    }

    pub fn hash(&self) -> SecretHash {
        self.0.hash()
    }
}

#[cfg(test)]
mod tests;
