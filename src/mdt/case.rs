//! One case of a meeting's list: its place, its stage, and its timer. The timer is a list of spans, so it goes on after the
//! server was restarted, and whoever asks later sees when the case was talked about.

use super::Refusal;
use super::attendance::{Attendee, Facts};
use super::outcome::{Outcome, State};
use super::prose::Prose;
use super::reference::Reference;
use super::spans::{Span, Spans};
use crate::ids::{CaseId, MeetingId};
use crate::moment::Moment;
use crate::text::Name;
use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

/// Cases of one occurrence: five hours at two minutes each.
pub const CASES_MAX: usize = 150;
/// Times that the timer of one case may start.
pub const SPANS_MAX: usize = 64;

#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    pub id: CaseId,
    pub meeting: MeetingId,
    /// Local time by the rule, as occurrences are named.
    pub occurrence: NaiveDateTime,
    /// From 1, without gaps.
    pub position: i64,
    pub reference: Reference,
    /// What is asked of the meeting.
    pub notes: Option<Prose>,
    pub stage: Stage,
    /// When the timer ran; the last may still run.
    pub times: Vec<Span>,
    pub outcome: Outcome,
    /// As it was when the case was finished.
    pub attendance: Option<Vec<Attendee>>,
    /// The specialties that the meeting required then: its quorum was reached or not, whatever is required later.
    pub required: Option<Vec<Name>>,
    pub version: i64,
    pub created_at: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Waiting,
    /// The one that the meeting is about now.
    Current,
    Done,
}

impl Stage {
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Current, Self::Done];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Current => "current",
            Self::Done => "done",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl Case {
    pub fn is_running(&self) -> bool {
        self.times.last().is_some_and(|span| span.to.is_none())
    }

    /// What the timer shows.
    pub fn spent_ms(&self, now: Moment) -> i64 {
        Spans::covered(self.times.iter().copied(), now).total_ms()
    }

    pub fn began_at(&self) -> Option<Moment> {
        self.times.first().map(|span| span.from)
    }

    /// When it was talked about last; `None` while it is, or before.
    pub fn ended_at(&self) -> Option<Moment> {
        self.times.last().and_then(|span| span.to)
    }

    /// Whether the meeting is still to talk about it. One that waits may have been decided without that.
    pub fn is_due(&self) -> bool {
        self.stage == Stage::Waiting && self.outcome.state() != State::Confirmed
    }

    /// Makes it the current case, for the first time or again. That no other is, is for the caller to see to.
    pub fn start(&mut self, now: Moment) -> Result<(), Refusal> {
        if self.stage == Stage::Current {
            return Err(Refusal::IsCurrent);
        }
        // What is confirmed was decided by those who were there; to talk on would change who that was.
        if self.outcome.state() == State::Confirmed {
            return Err(Refusal::OutcomeConfirmed);
        }
        self.run(now)?;
        self.stage = Stage::Current;
        (self.attendance, self.required) = (None, None);
        self.version += 1;
        Ok(())
    }

    pub fn pause(&mut self, now: Moment) -> Result<(), Refusal> {
        self.check_current()?;
        if !self.is_running() {
            return Err(Refusal::NotRunning);
        }
        self.stand(now);
        self.version += 1;
        Ok(())
    }

    pub fn resume(&mut self, now: Moment) -> Result<(), Refusal> {
        self.check_current()?;
        if self.is_running() {
            return Err(Refusal::IsRunning);
        }
        self.run(now)?;
        self.version += 1;
        Ok(())
    }

    /// `facts` are of the case's whole time, see [`Case::began_at`].
    pub fn finish(&mut self, facts: &Facts, required: &[Name], now: Moment) -> Result<(), Refusal> {
        self.check_current()?;
        self.stand(now);
        self.stage = Stage::Done;
        self.attendance = Some(facts.attendance(&self.times, now));
        self.required = Some(required.to_vec());
        self.version += 1;
        Ok(())
    }

    /// Only what nobody has talked about yet can be taken off the list.
    pub fn check_removable(&self) -> Result<(), Refusal> {
        match (self.stage, self.outcome.state()) {
            (Stage::Waiting, State::None | State::Draft) => Ok(()),
            (Stage::Waiting, State::Confirmed) => Err(Refusal::OutcomeConfirmed),
            _ => Err(Refusal::HasBegun),
        }
    }

    fn check_current(&self) -> Result<(), Refusal> {
        match self.stage {
            Stage::Current => Ok(()),
            Stage::Waiting | Stage::Done => Err(Refusal::NotCurrent),
        }
    }

    fn run(&mut self, now: Moment) -> Result<(), Refusal> {
        if self.times.len() >= SPANS_MAX {
            return Err(Refusal::TooManySpans);
        }
        self.times.push(Span::new(now, None));
        Ok(())
    }

    fn stand(&mut self, now: Moment) {
        if let Some(span) = self.times.last_mut()
            && span.to.is_none()
        {
            // A clock that was set back makes an empty span, not a negative one.
            span.to = Some(now.max(span.from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InvitationId;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_ms(seconds * 1_000)
    }

    fn case() -> Case {
        Case {
            id: CaseId::new(at(0)),
            meeting: MeetingId::new(at(0)),
            occurrence: NaiveDateTime::default(),
            position: 1,
            reference: Reference::new("A-1").unwrap(),
            notes: None,
            stage: Stage::Waiting,
            times: Vec::new(),
            outcome: Outcome::default(),
            attendance: None,
            required: None,
            version: 1,
            created_at: at(0),
        }
    }

    fn confirm(case: &mut Case) {
        case.outcome.draft(Prose::new("surgery").ok()).unwrap();
        case.outcome.confirm(InvitationId::new(at(0)), at(0)).unwrap();
    }

    #[test]
    fn the_timer_counts_what_was_talked_about_and_stands_in_a_pause() {
        let mut case = case();
        let facts = Facts::default();
        assert_eq!(case.pause(at(1)), Err(Refusal::NotCurrent));
        assert_eq!(case.finish(&facts, &[], at(1)), Err(Refusal::NotCurrent));
        case.start(at(10)).unwrap();
        assert_eq!(case.start(at(11)), Err(Refusal::IsCurrent));
        assert_eq!(case.resume(at(11)), Err(Refusal::IsRunning));
        assert_eq!(case.spent_ms(at(40)), 30_000);
        case.pause(at(40)).unwrap();
        assert_eq!((case.spent_ms(at(99)), case.pause(at(99))), (30_000, Err(Refusal::NotRunning)));
        case.resume(at(100)).unwrap();
        assert_eq!(case.attendance, None);
        case.finish(&facts, &[], at(110)).unwrap();
        assert_eq!((case.spent_ms(at(999)), case.stage), (40_000, Stage::Done));
        assert_eq!((case.began_at(), case.ended_at()), (Some(at(10)), Some(at(110))));
        assert_eq!(case.attendance, Some(Vec::new()));
        case.start(at(200)).unwrap();
        assert_eq!((case.spent_ms(at(201)), case.attendance.as_ref()), (41_000, None), "talked about again");
    }

    #[test]
    fn a_confirmed_case_is_not_taken_up_again_and_a_begun_one_is_not_removed() {
        let mut case = case();
        assert_eq!(case.check_removable(), Ok(()));
        case.start(at(1)).unwrap();
        assert_eq!(case.check_removable(), Err(Refusal::HasBegun));
        confirm(&mut case);
        case.pause(at(2)).unwrap();
        case.resume(at(3)).unwrap();
        case.finish(&Facts::default(), &[], at(4)).unwrap();
        assert_eq!(case.start(at(5)), Err(Refusal::OutcomeConfirmed));
        assert_eq!(case.check_removable(), Err(Refusal::HasBegun));
    }

    proptest! {
        /// Whatever is pressed in whatever order, with a clock that also goes back.
        #[test]
        fn no_order_of_steps_breaks_a_case(steps in prop::collection::vec((0..4, 0..100i64), 0..200)) {
            let mut case = case();
            for (step, second) in steps {
                let before = case.clone();
                let result = match step {
                    0 => case.start(at(second)),
                    1 => case.pause(at(second)),
                    2 => case.resume(at(second)),
                    _ => case.finish(&Facts::default(), &[], at(second)),
                };
                match result {
                    Ok(()) => prop_assert_eq!(case.version, before.version + 1),
                    Err(_) => prop_assert_eq!(&case, &before),
                }
                prop_assert!(case.times.len() <= SPANS_MAX);
                let open = case.times.iter().filter(|span| span.to.is_none()).count();
                prop_assert_eq!(open, usize::from(case.is_running()));
                prop_assert!(!case.is_running() || case.stage == Stage::Current);
                prop_assert_eq!(case.attendance.is_some(), case.stage == Stage::Done);
                prop_assert_eq!(case.required.is_some(), case.stage == Stage::Done);
                prop_assert!(case.spent_ms(at(100)) >= 0);
            }
        }
    }
}
