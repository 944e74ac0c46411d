//! When links open a meeting: from a while before each occurrence until a while after it. Hosts come at any hour, and others
//! while a host is there.

use super::meeting::Meeting;
use super::schedule::{Exception, instant};
use crate::moment::Moment;
use std::time::Duration;

/// Time to find the link, the headset and the way past the lobby.
pub const OPENS_BEFORE: Duration = Duration::from_secs(30 * 60);
/// Lists of cases run over; whoever lost the connection in the last case comes back.
pub const CLOSES_AFTER: Duration = Duration::from_secs(4 * 3600);

/// Around one occurrence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    pub opens_at: Moment,
    pub starts_at: Moment,
    pub closes_at: Moment,
}

impl Window {
    fn around(start: Moment, end: Moment) -> Self {
        let before = i64::try_from(OPENS_BEFORE.as_millis()).unwrap_or(0);
        Self { opens_at: Moment::from_ms(start.ms() - before), starts_at: start, closes_at: end.plus(CLOSES_AFTER) }
    }

    fn covers(&self, now: Moment) -> bool {
        (self.opens_at..self.closes_at).contains(&now)
    }
}

/// The window that is open now; of several, the one of the latest occurrence.
pub fn window(meeting: &Meeting, exceptions: &[Exception], now: Moment) -> Option<Window> {
    let schedule = &meeting.schedule;
    let around = |margin: Duration| i64::try_from(margin.as_millis()).unwrap_or(0);
    let (from, to) = (Moment::from_ms(now.ms() - around(CLOSES_AFTER)), now.plus(OPENS_BEFORE).plus(MOMENT));
    let is_regular = |original| !exceptions.iter().any(|exception| exception.original == original);
    let regular = schedule.occurrences(from, to).into_iter().filter(|one| is_regular(one.original));
    let windows = regular.map(|one| Window::around(one.start, one.end)).chain(moved(meeting, exceptions));
    windows.filter(|window| window.covers(now)).max_by_key(|window| window.starts_at)
}

/// Whether the last window has closed. One of a series without end never does.
pub fn is_over(meeting: &Meeting, exceptions: &[Exception], now: Moment) -> bool {
    let is_past = |closes_at: Moment| closes_at <= now;
    meeting.schedule.ends_at().is_some_and(|end| is_past(end.plus(CLOSES_AFTER)))
        && moved(meeting, exceptions).all(|window| is_past(window.closes_at))
}

/// Around the occurrences that were moved.
fn moved(meeting: &Meeting, exceptions: &[Exception]) -> impl Iterator<Item = Window> {
    let zone = meeting.schedule.zone();
    exceptions.iter().filter_map(|exception| exception.moved).map(move |moved| {
        let start = instant(zone, moved.start);
        Window::around(start, start.plus(Duration::from_secs(u64::from(moved.duration_minutes) * 60)))
    })
}

/// The end of what is asked for is left out of it.
const MOMENT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meetings::admission::Lobby;
    use crate::meetings::meeting::{MeetingPlan, Settings};
    use crate::meetings::schedule::{Moved, Wanted, parse_local};
    use crate::text::Name;

    const WEEKLY: Wanted<'_> = Wanted {
        start: "2026-12-01T08:30:00",
        time_zone: "Europe/London",
        duration_minutes: 60,
        recurrence: Some("FREQ=WEEKLY;BYDAY=TU"),
    };

    fn meeting() -> Meeting {
        planned(WEEKLY)
    }

    fn planned(schedule: Wanted<'static>) -> Meeting {
        let plan = MeetingPlan {
            title: Name::new("Lung MDT").unwrap(),
            schedule,
            capacity: 10,
            lobby: Lobby::Guests,
            required_specialties: Vec::new(),
            settings: Settings::default(),
        };
        plan.check().unwrap().into_meeting("key_1".into(), Moment::from_ms(1))
    }

    fn at(text: &str) -> Moment {
        Moment::from_rfc3339(text).unwrap()
    }

    #[test]
    fn a_meeting_is_open_from_half_an_hour_before_each_occurrence_until_hours_after_it() {
        let meeting = meeting();
        for (now, is_open) in [
            ("2026-11-24T08:30:00Z", false),
            ("2026-12-01T07:59:59Z", false),
            ("2026-12-01T08:00:00Z", true),
            ("2026-12-01T13:29:59Z", true),
            ("2026-12-01T13:30:00Z", false),
            ("2026-12-02T08:30:00Z", false),
            // After the clocks changed, half past eight is still half past eight.
            ("2027-06-01T07:00:00Z", true),
            ("2027-06-01T06:59:59Z", false),
        ] {
            assert_eq!(window(&meeting, &[], at(now)).is_some(), is_open, "{now}");
        }
        let found = window(&meeting, &[], at("2026-12-08T08:30:00Z")).unwrap();
        assert_eq!(found.starts_at, at("2026-12-08T08:30:00Z"));
        assert_eq!((found.opens_at, found.closes_at), (at("2026-12-08T08:00:00Z"), at("2026-12-08T13:30:00Z")));
    }

    #[test]
    fn a_meeting_is_over_when_its_last_occurrence_is_wherever_that_went() {
        let once = Wanted { recurrence: None, ..WEEKLY };
        let thrice = Wanted { recurrence: Some("FREQ=WEEKLY;BYDAY=TU;COUNT=3"), ..WEEKLY };
        let over = |schedule, exceptions: &[Exception], now| is_over(&planned(schedule), exceptions, at(now));
        assert!(!over(once, &[], "2026-12-01T13:29:59Z"));
        assert!(over(once, &[], "2026-12-01T13:30:00Z"));
        assert!(!over(thrice, &[], "2026-12-03T00:00:00Z"), "between two occurrences");
        assert!(over(thrice, &[], "2026-12-15T13:30:00Z"));
        assert!(!over(WEEKLY, &[], "2036-12-15T13:30:00Z"));
        let start = parse_local("2026-12-20T10:00:00").unwrap();
        let original = parse_local("2026-12-01T08:30:00").unwrap();
        let later = Exception { original, moved: Some(Moved { start, duration_minutes: 30 }) };
        assert!(!over(once, &[later], "2026-12-20T14:29:59Z"));
        assert!(over(once, &[later], "2026-12-20T14:30:00Z"));
    }

    #[test]
    fn an_occurrence_that_was_moved_or_cancelled_opens_where_it_went() {
        let meeting = meeting();
        let original = parse_local("2026-12-01T08:30:00").unwrap();
        let start = parse_local("2026-12-02T10:00:00").unwrap();
        let moved = Exception { original, moved: Some(Moved { start, duration_minutes: 30 }) };
        for (exception, regular, later) in [(moved, false, true), (Exception { original, moved: None }, false, false)] {
            let is_open = |now| window(&meeting, &[exception], at(now)).is_some();
            assert_eq!(is_open("2026-12-01T08:30:00Z"), regular);
            assert_eq!(is_open("2026-12-02T09:30:00Z"), later);
            assert!(is_open("2026-12-08T08:30:00Z"));
        }
    }
}
