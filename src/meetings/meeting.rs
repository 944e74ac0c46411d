//! What is scheduled, and the checks of what is wanted.

use super::Flaw;
use super::admission::Lobby;
use super::schedule::{Schedule, Wanted};
use crate::ids::MeetingId;
use crate::moment::Moment;
use crate::text::Name;
use serde::{Deserialize, Serialize};

/// People in one meeting. What one room of one node carries, with room to spare.
pub const CAPACITY: std::ops::RangeInclusive<u32> = 2..=500;
pub const CAPACITY_DEFAULT: u32 = 50;
/// Specialties that a quorum may ask for.
pub const SPECIALTIES_MAX: usize = 32;

/// A meeting, single or a series.
#[derive(Clone, PartialEq, Debug)]
pub struct Meeting {
    pub id: MeetingId,
    /// Who made it ([`crate::identity::Subject`]).
    pub owner: String,
    pub title: Name,
    pub schedule: Schedule,
    pub capacity: u32,
    pub lobby: Lobby,
    /// Specialties without which there is no quorum; sorted, without repetition.
    pub required_specialties: Vec<Name>,
    pub settings: Settings,
    pub status: Status,
    /// Of the invitation in calendars: rises when the time changes or the meeting is cancelled (RFC 5545 section 3.8.7.4).
    pub sequence: i64,
    pub version: i64,
    pub created_at: Moment,
    pub updated_at: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Scheduled,
    Cancelled,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Scheduled, Self::Cancelled].into_iter().find(|status| status.name() == name)
    }
}

/// Choices that change what people may do inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether others than chair and coordinator may send data, of which chat is made.
    pub chat: bool,
    /// Whether others than chair and coordinator may share their screen.
    pub screen_share: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { chat: true, screen_share: true }
    }
}

/// What somebody wants a meeting to be.
#[derive(Clone, Debug)]
pub struct MeetingPlan<'a> {
    pub title: Name,
    pub schedule: Wanted<'a>,
    pub capacity: u32,
    pub lobby: Lobby,
    pub required_specialties: Vec<Name>,
    pub settings: Settings,
}

/// A plan that can be.
#[derive(Clone, PartialEq, Debug)]
pub struct Checked {
    title: Name,
    schedule: Schedule,
    capacity: u32,
    lobby: Lobby,
    required_specialties: Vec<Name>,
    settings: Settings,
}

impl MeetingPlan<'_> {
    /// Everything that is wrong, or a plan that can be.
    pub fn check(self) -> Result<Checked, Vec<Flaw>> {
        let mut flaws = Vec::new();
        if !CAPACITY.contains(&self.capacity) {
            flaws.push(Flaw::new("capacity", "A meeting has room for 2 to 500 people."));
        }
        if self.required_specialties.len() > SPECIALTIES_MAX {
            flaws.push(Flaw::new("required_specialties", "A quorum asks for 32 specialties at most."));
        }
        let mut required_specialties = self.required_specialties;
        required_specialties.sort();
        required_specialties.dedup();
        let Self { title, capacity, lobby, settings, .. } = self;
        match Schedule::new(&self.schedule) {
            Ok(schedule) if flaws.is_empty() => {
                Ok(Checked { title, schedule, capacity, lobby, required_specialties, settings })
            }
            Ok(_) => Err(flaws),
            Err(more) => {
                flaws.extend(more);
                Err(flaws)
            }
        }
    }
}

impl Checked {
    pub fn into_meeting(self, owner: String, now: Moment) -> Meeting {
        let Self { title, schedule, capacity, lobby, required_specialties, settings } = self;
        Meeting {
            id: MeetingId::new(now),
            owner,
            title,
            schedule,
            capacity,
            lobby,
            required_specialties,
            settings,
            status: Status::Scheduled,
            sequence: 0,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// The meeting after the change; the same where nothing changes.
    pub fn replaces(self, meeting: &Meeting, now: Moment) -> Meeting {
        let Self { title, schedule, capacity, lobby, required_specialties, settings } = self;
        let is_moved = schedule != meeting.schedule;
        let old = meeting.clone();
        let mut new = Meeting { title, schedule, capacity, lobby, required_specialties, settings, ..old };
        if new != *meeting {
            new.sequence += i64::from(is_moved);
            new.version += 1;
            new.updated_at = now;
        }
        new
    }
}

impl Meeting {
    /// `None` where it is cancelled already.
    pub fn cancelled(&self, now: Moment) -> Option<Self> {
        let is_scheduled = self.status == Status::Scheduled;
        is_scheduled.then(|| Self {
            status: Status::Cancelled,
            sequence: self.sequence + 1,
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        })
    }

    /// The name of its room on the media side. Nobody guesses it, and it tells nothing.
    pub fn room(&self) -> &str {
        self.id.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> MeetingPlan<'static> {
        MeetingPlan {
            title: Name::new("Lung MDT").unwrap(),
            schedule: Wanted {
                start: "2026-12-01T08:30:00",
                time_zone: "Europe/London",
                duration_minutes: 60,
                recurrence: None,
            },
            capacity: 10,
            lobby: Lobby::Guests,
            required_specialties: ["Surgery", "Oncology", "Surgery"].map(|name| Name::new(name).unwrap()).into(),
            settings: Settings::default(),
        }
    }

    fn meeting() -> Meeting {
        plan().check().unwrap().into_meeting("key_1".into(), Moment::from_ms(1))
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let specialties = (0..40).map(|number| Name::new(&number.to_string()).unwrap()).collect();
        let schedule = Wanted { start: "x", time_zone: "y", ..plan().schedule };
        let wrong = MeetingPlan { capacity: 1, required_specialties: specialties, schedule, ..plan() };
        let fields: Vec<_> = wrong.check().unwrap_err().iter().map(|flaw| flaw.field).collect();
        assert_eq!(fields, ["capacity", "required_specialties", "start", "time_zone"]);
    }

    #[test]
    fn a_change_of_time_is_news_for_calendars_and_any_change_a_new_version() {
        let (meeting, later) = (meeting(), Moment::from_ms(9));
        assert_eq!(meeting.required_specialties.len(), 2);
        let same = plan().check().unwrap().replaces(&meeting, later);
        assert_eq!(same, meeting);
        let renamed = MeetingPlan { capacity: 11, ..plan() }.check().unwrap().replaces(&meeting, later);
        assert_eq!((renamed.version, renamed.sequence, renamed.updated_at), (2, 0, later));
        let schedule = Wanted { start: "2026-12-01T09:30:00", ..plan().schedule };
        let moved = MeetingPlan { schedule, ..plan() }.check().unwrap().replaces(&meeting, later);
        assert_eq!((moved.version, moved.sequence), (2, 1));
        let cancelled = moved.cancelled(later).unwrap();
        assert_eq!((cancelled.version, cancelled.sequence, cancelled.status), (3, 2, Status::Cancelled));
        assert_eq!(cancelled.cancelled(later), None);
    }
}
