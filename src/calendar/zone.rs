//! What a time zone's clocks do, as VTIMEZONE (RFC 5545 section 3.6.5), from the same database as schedules.
//!
//! A calendar does not have to know our database, so the text says when the clocks change. Where a zone has changed by one
//! rule in each of the years looked at, like London on last Sundays, the rule is written and holds without end. Where it
//! has not, like in Casablanca, the changes are listed one by one, for as many years.

use super::lines::Lines;
use super::{Span, local};
use chrono::{DateTime, Datelike, Duration, NaiveDateTime, TimeZone, Utc};
use chrono_tz::{OffsetComponents, OffsetName, Tz};

/// The clocks last changed before a meeting within this time, or in effect not at all.
const BEFORE: Duration = Duration::days(400);
/// Years looked at from the start of a meeting: enough to tell a rule from a coincidence, for a last Sunday falls on each of
/// its seven days in them.
const YEARS: i32 = 12;
/// No zone changes its clocks twice in less.
const STEP: Duration = Duration::days(5);

/// The clocks are set from one offset to another.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Change {
    /// Local time by the offset before, as section 3.6.5 wants it.
    at: NaiveDateTime,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Kind {
    from_seconds: i32,
    to_seconds: i32,
    is_daylight: bool,
    name: String,
}

pub(super) fn write(lines: &mut Lines, zone: Tz, span: Span) {
    lines.plain("BEGIN", "VTIMEZONE");
    lines.plain("TZID", zone.name());
    for (kind, times) in observances(zone, span) {
        let component = if kind.is_daylight { "DAYLIGHT" } else { "STANDARD" };
        lines.plain("BEGIN", component);
        lines.plain("DTSTART", &local(times[0]));
        lines.plain("TZOFFSETFROM", &offset(kind.from_seconds));
        lines.plain("TZOFFSETTO", &offset(kind.to_seconds));
        lines.text("TZNAME", &kind.name);
        match rule(&times) {
            Some(rule) => lines.plain("RRULE", &rule),
            None => times[1..].iter().for_each(|time| lines.plain("RDATE", &local(*time))),
        }
        lines.plain("END", component);
    }
    lines.plain("END", "VTIMEZONE");
}

/// Changes of one kind together, at least one time each.
fn observances(zone: Tz, span: Span) -> Vec<(Kind, Vec<NaiveDateTime>)> {
    let from = span.from - BEFORE;
    let to = span.to + Duration::days(i64::from(YEARS) * 366);
    let mut changes = changes(zone, from, to);
    // What holds at the first meeting must be said, even if it has held for longer.
    if changes.first().is_none_or(|first| first.at > span.from.naive_utc() - Duration::days(1)) {
        let now = kind(zone, from, from);
        let at = from.with_timezone(&zone).naive_local();
        changes.insert(0, Change { at, kind: Kind { from_seconds: now.to_seconds, ..now } });
    }
    let mut grouped: Vec<(Kind, Vec<NaiveDateTime>)> = Vec::new();
    for Change { at, kind } in changes {
        match grouped.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, times)) => times.push(at),
            None => grouped.push((kind, vec![at])),
        }
    }
    grouped
}

fn changes(zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut at = from;
    while at < to {
        let next = at + STEP;
        if state(zone, at) != state(zone, next) {
            let (before, after) = bisect(zone, at, next);
            let kind = kind(zone, before, after);
            let at = after.naive_utc() + Duration::seconds(kind.from_seconds.into());
            changes.push(Change { at, kind });
        }
        at = next;
    }
    changes
}

/// The last second before the change and the first after it.
fn bisect(zone: Tz, mut before: DateTime<Utc>, mut after: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let old = state(zone, before);
    // Whole seconds, so that the halves meet.
    while (after - before).num_seconds() > 1 {
        let middle = before + Duration::seconds((after - before).num_seconds() / 2);
        if state(zone, middle) == old {
            before = middle;
        } else {
            after = middle;
        }
    }
    (before, after)
}

/// Offset from UTC in seconds, whether it is that of the summer, and its name.
fn state(zone: Tz, at: DateTime<Utc>) -> (i32, bool, String) {
    let offset = zone.offset_from_utc_datetime(&at.naive_utc());
    let (base, summer) = (offset.base_utc_offset(), offset.dst_offset());
    let seconds = i32::try_from((base + summer).num_seconds()).unwrap_or_default();
    (seconds, !summer.is_zero(), offset.abbreviation().unwrap_or_default().to_owned())
}

fn kind(zone: Tz, before: DateTime<Utc>, after: DateTime<Utc>) -> Kind {
    let ((from_seconds, ..), (to_seconds, is_daylight, name)) = (state(zone, before), state(zone, after));
    Kind { from_seconds, to_seconds, is_daylight, name }
}

/// `+0100`, with seconds where there are some.
fn offset(seconds: i32) -> String {
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    let text = format!("{sign}{:02}{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 == 0 { text } else { format!("{text}{:02}", seconds % 60) }
}

/// Where the times are those of a yearly rule, without a year left out, the rule.
fn rule(times: &[NaiveDateTime]) -> Option<String> {
    let first = times.first()?;
    let is_yearly = times.windows(2).all(|pair| pair[1].year() == pair[0].year() + 1)
        && times
            .iter()
            .all(|time| (time.month(), time.weekday(), time.time()) == (first.month(), first.weekday(), first.time()));
    if !is_yearly || times.len() < usize::try_from(YEARS - 1).unwrap_or_default() {
        return None;
    }
    let number = |time: &NaiveDateTime| (time.day() - 1) / 7 + 1;
    let is_last = |time: &NaiveDateTime| (*time + Duration::days(7)).month() != time.month();
    let place = match () {
        () if times.iter().all(is_last) => "-1".to_owned(),
        () if times.iter().all(|time| number(time) == number(first)) => number(first).to_string(),
        () => return None,
    };
    let weekday = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"][first.weekday().num_days_from_monday() as usize];
    Some(format!("FREQ=YEARLY;BYMONTH={};BYDAY={place}{weekday}", first.month()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(zone: &str, from: &str) -> String {
        let from: DateTime<Utc> = from.parse().unwrap();
        let mut lines = Lines::default();
        write(&mut lines, zone.parse().unwrap(), Span { from, to: from + Duration::days(7) });
        lines.finish().replace("\r\n", "\n")
    }

    #[test]
    fn a_zone_with_a_rule_is_written_with_it() {
        let london = written("Europe/London", "2026-12-01T08:30:00Z");
        assert_eq!(
            london,
            "BEGIN:VTIMEZONE\nTZID:Europe/London\n\
             BEGIN:DAYLIGHT\nDTSTART:20260329T010000\nTZOFFSETFROM:+0000\nTZOFFSETTO:+0100\nTZNAME:BST\n\
             RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\nEND:DAYLIGHT\n\
             BEGIN:STANDARD\nDTSTART:20261025T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0000\nTZNAME:GMT\n\
             RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\nEND:STANDARD\nEND:VTIMEZONE\n"
        );
        let york = written("America/New_York", "2026-12-01T08:30:00Z");
        assert!(york.contains("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU\n"), "{york}");
        assert!(york.contains("RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU\n"), "{york}");
    }

    #[test]
    fn a_zone_whose_clocks_stand_has_one_observance() {
        for (zone, offset) in [("UTC", "+0000"), ("Asia/Kathmandu", "+0545"), ("America/Phoenix", "-0700")] {
            let text = written(zone, "2026-12-01T08:30:00Z");
            assert_eq!(text.matches("BEGIN:STANDARD").count(), 1, "{text}");
            assert!(text.contains(&format!("TZOFFSETFROM:{offset}\nTZOFFSETTO:{offset}\n")), "{text}");
            assert!(!text.contains("RRULE") && !text.contains("DAYLIGHT"), "{text}");
        }
    }

    #[test]
    fn a_zone_without_a_rule_lists_its_changes() {
        let casablanca = written("Africa/Casablanca", "2026-12-01T08:30:00Z");
        assert!(casablanca.matches("RDATE:").count() > 10 && !casablanca.contains("RRULE"), "{casablanca}");
    }

    #[test]
    fn a_rule_needs_every_year_and_one_day() {
        let times = |days: &[(i32, u32)]| -> Vec<NaiveDateTime> {
            days.iter().map(|(year, day)| format!("{year}-03-{day:02}T01:00:00").parse().unwrap()).collect()
        };
        // The last Sundays of March.
        let last = [29, 28, 26, 25, 31, 30, 28, 27, 26, 25, 30, 29];
        let all: Vec<_> = (2026..).zip(last).collect();
        assert_eq!(rule(&times(&all)).as_deref(), Some("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"));
        assert_eq!(rule(&times(&all[..3])), None, "three are a coincidence");
        let mut gap = all.clone();
        gap.remove(4);
        assert_eq!(rule(&times(&gap)), None);
    }
}
