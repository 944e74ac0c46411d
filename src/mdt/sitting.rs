//! One occurrence of a meeting as it takes place, and which one is meant where nobody says.

use crate::meetings::meeting::Meeting;
use crate::meetings::schedule::{Occurrence, instant};
use crate::moment::Moment;
use crate::store::meetings::Exception;
use chrono::NaiveDateTime;
use std::time::Duration;

/// How long after its planned end a meeting may still be meant: lists run late.
const OVERRUN: Duration = Duration::from_secs(4 * 3_600);
/// How far ahead and back another occurrence is looked for: yearly series have one in it.
const HORIZON: Duration = Duration::from_secs(400 * 86_400);
/// Local times lie within a day of their instants, and moved occurrences are looked up by name.
const DAY: Duration = Duration::from_secs(86_400);

/// The occurrence that is on at `now`, or was until a moment ago; else the next; else the last; where all are far away, the
/// first. `None` for a series of which none takes place.
pub fn at(meeting: &Meeting, exceptions: &[Exception], now: Moment) -> Option<Occurrence> {
    let from = Moment::from_ms(now.ms() - HORIZON.as_millis() as i64);
    let (before, after) =
        (between(meeting, exceptions, from, now), between(meeting, exceptions, now, now.plus(HORIZON)));
    let begun = before.into_iter().rfind(|one| one.start <= now);
    let next = after.into_iter().find(|one| one.start > now);
    match (begun, next) {
        (Some(begun), Some(next)) => {
            let late = now.since(begun.end);
            let is_meant = late < OVERRUN && late < next.start.since(now);
            Some(if is_meant { begun } else { next })
        }
        (begun, next) => next.or(begun).or_else(|| named(meeting, exceptions, meeting.schedule.start())),
    }
}

/// The occurrence of this name, unless it is cancelled.
pub fn named(meeting: &Meeting, exceptions: &[Exception], original: NaiveDateTime) -> Option<Occurrence> {
    if let Some(exception) = exceptions.iter().find(|exception| exception.original == original) {
        return moved(meeting, exception);
    }
    let start = instant(meeting.schedule.zone(), original);
    let around = meeting.schedule.occurrences(start, start.plus(DAY));
    around.into_iter().find(|one| one.original == original)
}

/// One that the meeting has no longer, as it is known by its name alone: what was written of it stays readable when the rule
/// changes or the occurrence is cancelled.
pub fn past(meeting: &Meeting, original: NaiveDateTime) -> Occurrence {
    let start = instant(meeting.schedule.zone(), original);
    let end = start.plus(Duration::from_secs(u64::from(meeting.schedule.duration_minutes()) * 60));
    Occurrence { original, start, end }
}

/// Where a list that was prepared for `original` belongs once the meeting's time is another one: to the occurrence of the
/// same day, or to the only one that there is. `None` where it stays.
pub fn follows(meeting: &Meeting, original: NaiveDateTime) -> Option<NaiveDateTime> {
    if named(meeting, &[], original).is_some() {
        return None;
    }
    if meeting.schedule.recurrence().is_none() {
        return Some(meeting.schedule.start());
    }
    let noon = past(meeting, original.date().and_hms_opt(12, 0, 0)?).start;
    let around = meeting.schedule.occurrences(Moment::from_ms(noon.ms() - DAY.as_millis() as i64), noon.plus(DAY));
    around.into_iter().map(|one| one.original).find(|other| other.date() == original.date())
}

/// Those that take place, not over at `from` and begun before or at `to`, in order.
fn between(meeting: &Meeting, exceptions: &[Exception], from: Moment, to: Moment) -> Vec<Occurrence> {
    let is_regular = |one: &Occurrence| !exceptions.iter().any(|exception| exception.original == one.original);
    let mut all: Vec<Occurrence> = meeting.schedule.occurrences(from, to).into_iter().filter(is_regular).collect();
    all.extend(exceptions.iter().filter_map(|exception| moved(meeting, exception)));
    all.sort_by_key(|one| one.start);
    all
}

/// `None` where it was cancelled.
fn moved(meeting: &Meeting, exception: &Exception) -> Option<Occurrence> {
    let to = exception.moved?;
    let start = instant(meeting.schedule.zone(), to.start);
    let end = start.plus(Duration::from_secs(u64::from(to.duration_minutes) * 60));
    Some(Occurrence { original: exception.original, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meetings::admission::Lobby;
    use crate::meetings::meeting::{MeetingPlan, Settings};
    use crate::meetings::schedule::{Wanted, format_local, parse_local};
    use crate::store::meetings::Moved;

    fn meeting(recurrence: Option<&str>) -> Meeting {
        let plan = MeetingPlan {
            title: "Lung MDT".parse().unwrap(),
            schedule: Wanted {
                start: "2027-01-05T08:30:00",
                time_zone: "Europe/London",
                duration_minutes: 60,
                recurrence,
            },
            capacity: 50,
            lobby: Lobby::Guests,
            required_specialties: Vec::new(),
            settings: Settings::default(),
        };
        plan.check().unwrap().into_meeting("owner".into(), Moment::from_ms(0))
    }

    fn local(text: &str) -> NaiveDateTime {
        parse_local(text).unwrap()
    }

    #[test]
    fn the_occurrence_that_is_on_is_meant_then_the_next_then_the_last() {
        let series = meeting(Some("FREQ=WEEKLY;BYDAY=TU;COUNT=3"));
        let cancelled = Exception { original: local("2027-01-19T08:30:00"), moved: None };
        let start = local("2027-01-13T10:00:00");
        let moved =
            Exception { original: local("2027-01-12T08:30:00"), moved: Some(Moved { start, duration_minutes: 30 }) };
        for (exceptions, now, meant) in [
            (&[][..], "2026-12-01T00:00:00Z", "2027-01-05T08:30:00"),
            (&[], "2027-01-05T08:29:00Z", "2027-01-05T08:30:00"),
            (&[], "2027-01-05T09:00:00Z", "2027-01-05T08:30:00"),
            (&[], "2027-01-05T12:00:00Z", "2027-01-05T08:30:00"),
            (&[], "2027-01-05T13:31:00Z", "2027-01-12T08:30:00"),
            (&[], "2027-01-12T09:00:00Z", "2027-01-12T08:30:00"),
            (&[], "2027-03-01T09:00:00Z", "2027-01-19T08:30:00"),
            (&[moved], "2027-01-12T09:00:00Z", "2027-01-12T08:30:00"),
            (&[moved], "2027-01-13T11:00:00Z", "2027-01-12T08:30:00"),
            (&[moved, cancelled], "2027-03-01T09:00:00Z", "2027-01-12T08:30:00"),
        ] {
            let found = at(&series, exceptions, Moment::from_rfc3339(now).unwrap());
            assert_eq!(found.map(|one| format_local(one.original)).as_deref(), Some(meant), "{now}");
        }
        let all = ["2027-01-05T08:30:00", "2027-01-12T08:30:00", "2027-01-19T08:30:00"];
        let all = all.map(|original| Exception { original: local(original), moved: None });
        assert_eq!(at(&series, &all, Moment::from_ms(0)), None);
        let single = meeting(None);
        assert_eq!(at(&single, &[], Moment::from_ms(0)).map(|one| one.original), Some(single.schedule.start()));
    }

    #[test]
    fn twice_a_day_the_nearer_one_is_meant() {
        let evenings = meeting(Some("FREQ=DAILY;COUNT=2"));
        let meant = |now| at(&evenings, &[], Moment::from_rfc3339(now).unwrap()).map(|one| format_local(one.original));
        assert_eq!(meant("2027-01-05T13:00:00Z").as_deref(), Some("2027-01-05T08:30:00"));
        assert_eq!(meant("2027-01-06T08:00:00Z").as_deref(), Some("2027-01-06T08:30:00"));
    }

    #[test]
    fn a_list_follows_its_meeting_to_another_hour_of_the_day() {
        let series = meeting(Some("FREQ=WEEKLY;BYDAY=TU"));
        assert_eq!(follows(&series, local("2027-01-12T08:30:00")), None, "it is where it belongs");
        for hour in ["2027-01-12T00:00:00", "2027-01-12T09:00:00", "2027-01-12T23:59:59"] {
            assert_eq!(follows(&series, local(hour)), Some(local("2027-01-12T08:30:00")), "{hour}");
        }
        assert_eq!(follows(&series, local("2027-01-13T08:30:00")), None, "no meeting on that day");
        let single = meeting(None);
        assert_eq!(follows(&single, local("2027-03-01T08:30:00")), Some(single.schedule.start()));
    }

    #[test]
    fn an_occurrence_is_found_by_its_name_and_a_cancelled_one_is_not() {
        let series = meeting(Some("FREQ=WEEKLY;BYDAY=TU"));
        let original = local("2027-07-06T08:30:00");
        let found = named(&series, &[], original).unwrap();
        assert_eq!(found.start.to_rfc3339(), "2027-07-06T07:30:00Z", "summer time");
        assert_eq!(named(&series, &[Exception { original, moved: None }], original), None);
        for other in ["2027-07-07T08:30:00", "2027-07-06T08:31:00", "2027-01-04T08:30:00"] {
            assert_eq!(named(&series, &[], local(other)), None, "{other}");
        }
    }
}
