//! When a meeting is. People mean local time: "Tuesdays at half past eight in London" stays half past eight when the clocks
//! change. So a schedule is a local time, a zone of the IANA database and perhaps a rule of recurrence (RFC 5545); instants
//! are computed from it.

use super::Flaw;
use crate::moment::Moment;
use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use rrule::{Frequency, RRule, RRuleSet, Unvalidated};

/// Minutes. A list of cases can take five hours; a day is a slip of the pen.
pub const DURATION_MINUTES: std::ops::RangeInclusive<u32> = 5..=1_440;
/// Years in which meetings may start. Outside of them somebody mistyped, and expanding a rule from there would be work.
pub const YEARS: std::ops::RangeInclusive<i32> = 2000..=2100;
/// Characters of a rule. The longest sensible one has about 100.
pub const RULE_LEN_MAX: usize = 256;
/// Occurrences of a rule that counts them: ten years of working days.
pub const COUNT_MAX: u32 = 2_600;
/// Values in one list of a rule.
const LIST_MAX: usize = 64;
/// Occurrences that are computed for one question.
pub const OCCURRENCES_MAX: u16 = 400;
const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    start: NaiveDateTime,
    zone: Tz,
    duration_minutes: u32,
    rule: Option<Rule>,
}

/// A rule that was checked. It is parsed anew where occurrences are wanted: lists of meetings have no need of that.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    text: String,
}

/// One meeting of a series, or the only one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Occurrence {
    /// Local time by the rule, which names the occurrence even if it was moved.
    pub original: NaiveDateTime,
    pub start: Moment,
    pub end: Moment,
}

/// What was decided about one occurrence of a series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Local time by the rule.
    pub original: NaiveDateTime,
    /// `None`: it does not take place.
    pub moved: Option<Moved>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Local time.
    pub start: NaiveDateTime,
    pub duration_minutes: u32,
}

/// What somebody wants a schedule to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `2026-12-01T08:30:00`, without an offset.
    pub start: &'a str,
    pub time_zone: &'a str,
    pub duration_minutes: u32,
    pub recurrence: Option<&'a str>,
}

impl Schedule {
    pub fn new(wanted: &Wanted<'_>) -> Result<Self, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let start = parse_local(wanted.start).filter(|start| YEARS.contains(&start.year()));
        if start.is_none() {
            flaws.push(Flaw::new(
                "start",
                "A local time like 2026-12-01T08:30:00, without an offset, from 2000 to 2100.",
            ));
        }
        let zone = wanted.time_zone.parse::<Tz>().ok();
        if zone.is_none() {
            flaws.push(Flaw::new("time_zone", "A time zone of the IANA database, like Europe/London."));
        }
        if !DURATION_MINUTES.contains(&wanted.duration_minutes) {
            flaws.push(Flaw::new("duration_minutes", "A meeting takes between 5 minutes and a day."));
        }
        let (Some(start), Some(zone), true) = (start, zone, flaws.is_empty()) else { return Err(flaws) };
        if matches!(zone.from_local_datetime(&start), LocalResult::None) {
            return Err(vec![Flaw::new("start", "The clocks of this time zone are set forward over that time.")]);
        }
        let rule = wanted.recurrence.map(|text| Rule::new(text, start, zone)).transpose().map_err(|flaw| vec![flaw])?;
        let schedule = Self { start, zone, duration_minutes: wanted.duration_minutes, rule };
        match schedule.overlaps_itself() {
            true => Err(vec![Flaw::new(
                "recurrence",
                "The next meeting of the series would begin before the one before it ends.",
            )]),
            false => Ok(schedule),
        }
    }

    /// What [`Schedule::new`] checked before it was stored. `None` where it is not of the right form.
    pub fn from_stored(wanted: &Wanted<'_>) -> Option<Self> {
        Some(Self {
            start: parse_local(wanted.start)?,
            zone: wanted.time_zone.parse().ok()?,
            duration_minutes: wanted.duration_minutes,
            rule: wanted.recurrence.map(|text| Rule { text: text.to_owned() }),
        })
    }

    /// Local, as text.
    pub fn start_text(&self) -> String {
        format_local(self.start)
    }

    pub fn start(&self) -> NaiveDateTime {
        self.start
    }

    pub fn zone(&self) -> Tz {
        self.zone
    }

    pub fn duration_minutes(&self) -> u32 {
        self.duration_minutes
    }

    pub fn recurrence(&self) -> Option<&str> {
        self.rule.as_ref().map(|rule| rule.text.as_str())
    }

    /// The first instant.
    pub fn starts_at(&self) -> Moment {
        self.occurrence(self.start).start
    }

    /// The end of the last occurrence; `None` for a series without end.
    pub fn ends_at(&self) -> Option<Moment> {
        match &self.rule {
            Some(rule) => {
                let rule = rule.parse(self.zone)?;
                if rule.get_count().is_none() && rule.get_until().is_none() {
                    return None;
                }
                // Bounded by the count and by the years.
                let last = set(&rule, self.start)?.into_iter().last()?;
                Some(self.occurrence(last.naive_utc()).end)
            }
            None => Some(self.occurrence(self.start).end),
        }
    }

    /// Those that are not over at `from` and begin before `to`, in order, at most [`OCCURRENCES_MAX`].
    pub fn occurrences(&self, from: Moment, to: Moment) -> Vec<Occurrence> {
        let locals: Vec<NaiveDateTime> = match &self.rule {
            None => vec![self.start],
            Some(rule) => {
                // Local times lie within a day of the instants that they stand for.
                let after = from.to_chrono() - Duration::minutes(self.duration_minutes.into()) - Duration::days(1);
                let before = to.to_chrono() + Duration::days(1);
                let set = rule.set(self.start, self.zone);
                let set = set.map(|set| set.after(as_rule_time(after)).before(as_rule_time(before)));
                // Two days more than the window are four occurrences at most.
                let all = set.map(|set| set.all(OCCURRENCES_MAX + 4).dates).unwrap_or_default();
                all.iter().map(DateTime::naive_utc).collect()
            }
        };
        let all = locals.into_iter().map(|local| self.occurrence(local));
        all.filter(|one| one.end > from && one.start < to).take(OCCURRENCES_MAX.into()).collect()
    }

    /// Whether the rule has an occurrence at this local time.
    pub fn has_occurrence(&self, original: NaiveDateTime) -> bool {
        let one = self.occurrence(original);
        self.occurrences(one.start, one.start.plus(std::time::Duration::from_secs(1)))
            .iter()
            .any(|occurrence| occurrence.original == original)
    }

    fn occurrence(&self, local: NaiveDateTime) -> Occurrence {
        let start = instant(self.zone, local);
        let end = start.plus(std::time::Duration::from_secs(u64::from(self.duration_minutes) * 60));
        Occurrence { original: local, start, end }
    }

    fn overlaps_itself(&self) -> bool {
        let Some(rule) = &self.rule else { return false };
        // Rules repeat within a few years at most; what the first occurrences do, the later ones do.
        let first = rule.set(self.start, self.zone).map(|set| set.all(64).dates).unwrap_or_default();
        first.windows(2).any(|pair| pair[1] - pair[0] < Duration::minutes(self.duration_minutes.into()))
    }
}

impl Rule {
    /// Rules are expanded in local time, as if it were UTC, and the results are then put into the zone.
    fn new(text: &str, start: NaiveDateTime, zone: Tz) -> Result<Self, Flaw> {
        let refuse = |reason| Err(Flaw::new("recurrence", reason));
        if text.len() > RULE_LEN_MAX {
            return refuse("A rule has at most 256 characters.");
        }
        let upper = text.to_ascii_uppercase();
        let upper = upper.strip_prefix("RRULE:").unwrap_or(&upper);
        // It stands in a line of calendars one day, and must not begin another.
        if !upper.chars().all(|c| c.is_ascii_alphanumeric() || "=;,+-".contains(c)) {
            return refuse("A rule is one line of RFC 5545, like FREQ=WEEKLY;BYDAY=TU.");
        }
        let until = upper.split(';').find_map(|part| part.strip_prefix("UNTIL="));
        if until.is_some_and(|until| !until.ends_with('Z')) {
            return refuse("UNTIL is a time in UTC, like 20271231T235959Z (RFC 5545 section 3.3.10).");
        }
        if until.is_some() && upper.contains("COUNT=") {
            return refuse("A rule has COUNT or UNTIL, not both.");
        }
        let Ok(rule) = upper.parse::<RRule<Unvalidated>>() else {
            return refuse("A rule of RFC 5545, like FREQ=WEEKLY;BYDAY=TU.");
        };
        if matches!(rule.get_freq(), Frequency::Hourly | Frequency::Minutely | Frequency::Secondly) {
            return refuse("A meeting recurs daily, weekly, monthly or yearly.");
        }
        if !rule.get_by_hour().is_empty() || !rule.get_by_minute().is_empty() || !rule.get_by_second().is_empty() {
            return refuse("The hour of a series is that of its start; BYHOUR, BYMINUTE and BYSECOND do not fit.");
        }
        let lists = [
            rule.get_by_set_pos().len(),
            rule.get_by_month().len(),
            rule.get_by_month_day().len(),
            rule.get_by_year_day().len(),
            rule.get_by_week_no().len(),
            rule.get_by_weekday().len(),
        ];
        if lists.iter().any(|length| *length > LIST_MAX) {
            return refuse("A list in a rule has at most 64 values.");
        }
        if rule.get_interval() == 0 || rule.get_interval() > 400 {
            return refuse("INTERVAL is between 1 and 400.");
        }
        if rule.get_count().is_some_and(|count| !(1..=COUNT_MAX).contains(&count)) {
            return refuse("COUNT is between 1 and 2600.");
        }
        let until = rule.get_until().map(|until| until.with_timezone(&zone).naive_local());
        if until.is_some_and(|until| until < start || !YEARS.contains(&until.year())) {
            return refuse("UNTIL lies before the start or after 2100.");
        }
        let rule = Self { text: upper.to_owned() };
        // RFC 5545 section 3.8.5.3: the start is the first occurrence. It also shows that there is one.
        match rule.set(start, zone).map(|set| set.all(1).dates) {
            Some(first) if first.first().is_some_and(|first| first.naive_utc() == start) => Ok(rule),
            Some(_) => refuse("The start is not a day of the rule."),
            None => refuse("The rule contradicts itself."),
        }
    }

    /// UNTIL is an instant, and is compared with local times here.
    fn parse(&self, zone: Tz) -> Option<RRule<Unvalidated>> {
        let rule: RRule<Unvalidated> = self.text.parse().ok()?;
        let until = rule.get_until().map(|until| until.with_timezone(&zone).naive_local());
        Some(match until {
            Some(until) => rule.until(as_rule_time(until.and_utc())),
            None => rule,
        })
    }

    fn set(&self, start: NaiveDateTime, zone: Tz) -> Option<RRuleSet> {
        set(&self.parse(zone)?, start)
    }
}

/// The years end the walk of a rule that has no end, or no further occurrence.
fn set(rule: &RRule<Unvalidated>, start: NaiveDateTime) -> Option<RRuleSet> {
    let last = NaiveDate::from_ymd_opt(*YEARS.end(), 12, 31)?.and_hms_opt(23, 59, 59)?;
    let set = rule.clone().build(as_rule_time(start.and_utc())).ok()?;
    Some(set.before(as_rule_time(last.and_utc())))
}

fn as_rule_time(time: DateTime<Utc>) -> DateTime<rrule::Tz> {
    time.with_timezone(&rrule::Tz::UTC)
}

/// RFC 5545 section 3.3.5: of two, the first; where the clocks are set forward over it, the time that it would have been
/// without that.
pub fn instant(zone: Tz, local: NaiveDateTime) -> Moment {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.into(),
        LocalResult::None => {
            // A day before there was no gap, and the offset is the one before it.
            let earlier = zone.from_local_datetime(&(local - Duration::days(1))).earliest();
            earlier.map_or_else(|| local.and_utc().into(), |earlier| (earlier + Duration::days(1)).into())
        }
    }
}

pub fn parse_local(text: &str) -> Option<NaiveDateTime> {
    // Exactly this form: chrono would take fewer digits and a sign.
    let time = NaiveDateTime::parse_from_str(text, FORMAT).ok()?;
    (format_local(time) == text).then_some(time)
}

pub fn format_local(time: NaiveDateTime) -> String {
    time.format(FORMAT).to_string()
}

#[cfg(test)]
mod tests;
