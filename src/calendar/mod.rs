//! Meetings as calendars read them: iCalendar (RFC 5545), invitations and cancellations (RFC 5546), and the place to meet
//! (RFC 7986). Pure: meetings and people in, text out. It knows neither HTTP nor mail nor SQL, and is told the time.
//!
//! ```text
//! lines         content lines: escaping, folding
//! zone          what a time zone's clocks do, as VTIMEZONE
//! event         one meeting, with what was decided about single occurrences
//! feed          the secret of somebody's own calendar address
//! links         addresses of pages and calendars, as people get them
//! ```

mod event;
pub mod feed;
mod lines;
pub mod links;
mod zone;

pub use event::{Attendee, Entry};

use crate::moment::Moment;
use chrono::{DateTime, Duration, NaiveDateTime, Utc};
use chrono_tz::Tz;
use lines::Lines;

/// Of RFC 7986 section 5.7: how often a program should look again.
const REFRESH: &str = "PT1H";
pub const MEDIA_TYPE: &str = "text/calendar";

/// What a calendar is to do with the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Take the meetings in, or take them over as they are now.
    Request,
    /// Take them out.
    Cancel,
    /// Show them: they are somebody's own calendar, which is fetched again and again.
    Publish,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "REQUEST",
            Self::Cancel => "CANCEL",
            Self::Publish => "PUBLISH",
        }
    }
}

/// Writes a calendar. `organizer` is an e-mail address: whom calendars answer.
pub fn write(method: Method, organizer: &str, entries: &[Entry<'_>], now: Moment) -> String {
    let mut lines = Lines::default();
    lines.plain("BEGIN", "VCALENDAR");
    lines.plain("VERSION", "2.0");
    lines.plain("PRODID", concat!("-//Consilium//Consilium ", env!("CARGO_PKG_VERSION"), "//EN"));
    lines.plain("METHOD", method.name());
    if method == Method::Publish {
        lines.text("NAME", "Consilium");
        lines.plain("REFRESH-INTERVAL;VALUE=DURATION", REFRESH);
    }
    for (zone, span) in zones(entries) {
        zone::write(&mut lines, zone, span);
    }
    for entry in entries {
        event::write(&mut lines, entry, method, organizer, now);
    }
    lines.plain("END", "VCALENDAR");
    lines.finish()
}

/// From the first to the last start of the meetings in one zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// Each zone once, in the order in which they appear.
fn zones(entries: &[Entry<'_>]) -> Vec<(Tz, Span)> {
    let mut zones: Vec<(Tz, Span)> = Vec::new();
    for entry in entries {
        let (zone, start) = (entry.meeting.schedule.zone(), entry.first_start().to_chrono());
        match zones.iter_mut().find(|(known, _)| *known == zone) {
            Some((_, known)) => {
                known.from = known.from.min(start);
                known.to = known.to.max(start);
            }
            None => zones.push((zone, Span { from: start, to: start })),
        }
    }
    zones
}

/// `20261201T083000`.
fn local(time: NaiveDateTime) -> String {
    time.format("%Y%m%dT%H%M%S").to_string()
}

/// `20261201T083000Z`. Calendars know no milliseconds.
fn utc(moment: Moment) -> String {
    format!("{}Z", local(moment.to_chrono().naive_utc()))
}

/// `PT90M`: exact, whatever the clocks do meanwhile (RFC 5545 section 3.3.6).
fn minutes(duration: Duration) -> String {
    format!("PT{}M", duration.num_minutes())
}

#[cfg(test)]
mod tests;
