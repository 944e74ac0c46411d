//! Schedules: the clocks that change, and the rules that would never end.

use super::*;

fn wanted<'a>(start: &'a str, recurrence: Option<&'a str>) -> Wanted<'a> {
    Wanted { start, time_zone: "Europe/London", duration_minutes: 60, recurrence }
}

fn schedule(start: &str, recurrence: Option<&str>) -> Schedule {
    Schedule::new(&wanted(start, recurrence)).unwrap()
}

fn at(text: &str) -> Moment {
    Moment::from_rfc3339(text).unwrap()
}

fn starts(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
    schedule.occurrences(at(from), at(to)).iter().map(|one| one.start.to_rfc3339()).collect()
}

#[test]
fn half_past_eight_stays_half_past_eight_when_the_clocks_change() {
    let weekly = schedule("2026-03-17T08:30:00", Some("FREQ=WEEKLY;BYDAY=TU"));
    assert_eq!(
        starts(&weekly, "2026-03-20T00:00:00Z", "2026-04-08T00:00:00Z"),
        ["2026-03-24T08:30:00Z", "2026-03-31T07:30:00Z", "2026-04-07T07:30:00Z"]
    );
    assert_eq!(
        starts(&weekly, "2026-10-19T00:00:00Z", "2026-10-28T00:00:00Z"),
        ["2026-10-20T07:30:00Z", "2026-10-27T08:30:00Z"]
    );
    assert_eq!(weekly.ends_at(), None);
}

#[test]
fn a_time_that_the_clocks_skip_or_repeat_is_decided() {
    // In London, 01:30 does not exist on 29 March 2026 and comes twice on 25 October.
    let flaws = Schedule::new(&wanted("2026-03-29T01:30:00", None)).unwrap_err();
    assert_eq!((flaws.len(), flaws[0].field), (1, "start"));
    let daily = schedule("2026-03-28T01:30:00", Some("FREQ=DAILY"));
    assert_eq!(
        starts(&daily, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(schedule("2026-10-25T01:30:00", None).starts_at(), at("2026-10-25T00:30:00Z"));
}

#[test]
fn a_window_holds_what_touches_it() {
    let single = schedule("2026-12-01T08:30:00", None);
    let found = |from, to| starts(&single, from, to).len();
    assert_eq!(found("2026-12-01T09:29:59Z", "2026-12-02T00:00:00Z"), 1);
    assert_eq!(found("2026-12-01T09:30:00Z", "2026-12-02T00:00:00Z"), 0);
    assert_eq!(found("2026-12-01T00:00:00Z", "2026-12-01T08:30:00Z"), 0);
    assert_eq!(single.ends_at(), Some(at("2026-12-01T09:30:00Z")));
    let far =
        Schedule::new(&Wanted { time_zone: "Pacific/Kiritimati", ..wanted("2026-12-01T08:30:00", Some("FREQ=DAILY")) });
    assert_eq!(starts(&far.unwrap(), "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"), ["2027-01-01T18:30:00Z"]);
}

#[test]
fn a_series_ends_where_it_says() {
    let counted = schedule("2026-12-01T08:30:00", Some("FREQ=WEEKLY;COUNT=3"));
    assert_eq!(counted.ends_at(), Some(at("2026-12-15T09:30:00Z")));
    // The last one is at 08:30 in London, which is 07:30 in UTC: UNTIL is an instant.
    let until = schedule("2026-06-02T08:30:00", Some("RRULE:FREQ=WEEKLY;UNTIL=20260616T073000Z"));
    assert_eq!(until.ends_at(), Some(at("2026-06-16T08:30:00Z")));
    let before = schedule("2026-06-02T08:30:00", Some("freq=weekly;until=20260616T072959Z"));
    assert_eq!(before.ends_at(), Some(at("2026-06-09T08:30:00Z")));
    let local = |text| parse_local(text).unwrap();
    assert!(until.has_occurrence(local("2026-06-09T08:30:00")));
    assert!(!until.has_occurrence(local("2026-06-10T08:30:00")));
    assert!(!until.has_occurrence(local("2026-06-23T08:30:00")));
    assert!(!until.has_occurrence(local("2026-06-09T08:31:00")));
}

#[test]
fn what_cannot_be_is_refused_with_its_field() {
    let good = wanted("2026-12-01T08:30:00", None);
    let field = |wanted: Wanted<'_>| Schedule::new(&wanted).map(drop).map_err(|flaws| flaws[0].field);
    assert_eq!(field(good), Ok(()));
    for start in [
        "",
        "tomorrow",
        "2026-02-30T08:30:00",
        "2026-12-01T24:00:00",
        "2026-12-01T08:30:00Z",
        "2026-12-01",
        "1999-12-31T08:30:00",
        "2101-01-01T00:00:00",
        "+2026-12-01T08:30:00",
        "99999999-12-01T08:30:00",
        "2026-12-1T8:30:00",
    ] {
        assert_eq!(field(Wanted { start, ..good }), Err("start"), "{start}");
    }
    for time_zone in ["", "Mars/Olympus", "GMT+25", "../../etc/passwd", "Europe/London\0"] {
        assert_eq!(field(Wanted { time_zone, ..good }), Err("time_zone"), "{time_zone}");
    }
    for duration_minutes in [0, 4, 1_441, u32::MAX] {
        assert_eq!(field(Wanted { duration_minutes, ..good }), Err("duration_minutes"), "{duration_minutes}");
    }
}

#[test]
fn a_rule_that_is_a_bomb_or_nonsense_is_refused_at_once() {
    let began = std::time::Instant::now();
    let long = format!("FREQ=YEARLY;BYYEARDAY={}", (1..366).map(|day| day.to_string()).collect::<Vec<_>>().join(","));
    for rule in [
        "",
        "FREQ=SECONDLY",
        "FREQ=MINUTELY;INTERVAL=1",
        "FREQ=HOURLY",
        "FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=0,1,2;BYSECOND=0",
        "FREQ=DAILY;COUNT=4294967295",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=65535",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYDAY=WE",
        "FREQ=DAILY;UNTIL=20200101T000000Z",
        "FREQ=DAILY;UNTIL=99991231T235959Z",
        "FREQ=DAILY;UNTIL=20271231",
        "FREQ=DAILY;COUNT=3;UNTIL=20271231T000000Z",
        "FREQ=DAILY\r\nDTSTART:20200101T000000Z",
        "FREQ=WEEKLY\nEXRULE:FREQ=DAILY",
        "DTSTART:20200101T000000Z\nRRULE:FREQ=DAILY",
        &long,
    ] {
        // 1 December 2026 is a Tuesday.
        let flaws = Schedule::new(&wanted("2026-12-01T08:30:00", Some(rule))).unwrap_err();
        assert_eq!((flaws.len(), flaws[0].field), (1, "recurrence"), "{rule}");
    }
    let all_day = Wanted { duration_minutes: 1_440, ..wanted("2026-12-01T08:30:00", Some("FREQ=DAILY")) };
    assert!(Schedule::new(&all_day).is_ok());
    let twice =
        Wanted { duration_minutes: 1_441 - 1, ..wanted("2026-12-01T08:30:00", Some("FREQ=WEEKLY;BYDAY=TU,WE")) };
    assert!(Schedule::new(&twice).is_ok(), "one ends when the next begins");
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn the_longest_rules_that_are_taken_are_expanded_in_bounds() {
    let daily = schedule("2000-01-01T08:30:00", Some("FREQ=DAILY"));
    assert_eq!(starts(&daily, "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z").len(), usize::from(OCCURRENCES_MAX));
    assert_eq!(starts(&daily, "2099-12-30T00:00:00Z", "2100-01-01T00:00:00Z").len(), 2);
    // It matches its start and nothing after it before 2100, which takes a walk to find out.
    let rare = schedule("2026-12-01T08:30:00", Some("FREQ=DAILY;INTERVAL=397;BYMONTH=12;BYMONTHDAY=1;BYDAY=TU"));
    assert_eq!(starts(&rare, "2026-12-01T00:00:00Z", "2027-12-31T00:00:00Z").len(), 1);
    assert_eq!(starts(&rare, "2099-12-01T00:00:00Z", "2100-12-31T00:00:00Z").len(), 0);
    let leap = schedule("2000-02-29T08:30:00", Some("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;INTERVAL=400"));
    assert_eq!(starts(&leap, "2000-01-01T00:00:00Z", "2100-12-31T00:00:00Z").len(), 1);
}
