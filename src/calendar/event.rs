//! One meeting as VEVENTs: the series by its rule, and one more for each occurrence that was moved.

use super::lines::{Lines, quoted};
use super::{Method, local, minutes, utc};
use crate::meetings::invitation::{Email, Invitation, Role};
use crate::meetings::meeting::{Meeting, Status};
use crate::meetings::schedule::instant;
use crate::moment::Moment;
use crate::store::meetings::{Exception, Moved};
use crate::text::Name;
use chrono::{Duration, NaiveDateTime};

/// A meeting, and what is told of it.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub meeting: &'a Meeting,
    pub exceptions: &'a [Exception],
    /// Whose addresses the reader may see.
    pub attendees: &'a [Attendee],
    /// Where the reader enters.
    pub link: &'a str,
    /// For the reader at least, it does not take place.
    pub is_cancelled: bool,
}

/// Somebody with an address: calendars know no others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attendee {
    name: Name,
    email: Email,
    role: Role,
}

impl Attendee {
    pub fn new(invitation: &Invitation) -> Option<Self> {
        let email = invitation.email.clone()?;
        Some(Self { name: invitation.name.clone(), email, role: invitation.role })
    }

    fn write(&self, lines: &mut Lines) {
        // RFC 5545 section 3.2.16. Observers are not asked whether they come.
        let (role, rsvp) = match self.role {
            Role::Chair => ("CHAIR", "TRUE"),
            Role::Coordinator | Role::Core => ("REQ-PARTICIPANT", "TRUE"),
            Role::Extended | Role::Guest => ("OPT-PARTICIPANT", "TRUE"),
            Role::Observer => ("NON-PARTICIPANT", "FALSE"),
        };
        let name = quoted(self.name.as_str());
        let line = format!("ATTENDEE;CN={name};ROLE={role};PARTSTAT=NEEDS-ACTION;RSVP={rsvp}");
        lines.plain(&line, &format!("mailto:{}", self.email.as_str()));
    }
}

impl Entry<'_> {
    /// The earliest start, moved ones included.
    pub(super) fn first_start(&self) -> Moment {
        let schedule = &self.meeting.schedule;
        let moved = self.exceptions.iter().filter_map(|exception| exception.moved);
        let moved = moved.map(|moved| instant(schedule.zone(), moved.start));
        moved.fold(schedule.starts_at(), Moment::min)
    }
}

pub(super) fn write(lines: &mut Lines, entry: &Entry<'_>, method: Method, organizer: &str, now: Moment) {
    let writer = Writer { entry, method, organizer, now };
    writer.series(lines);
    for exception in entry.exceptions {
        if let Some(moved) = exception.moved {
            writer.moved(lines, exception.original, moved);
        }
    }
}

struct Writer<'a> {
    entry: &'a Entry<'a>,
    method: Method,
    organizer: &'a str,
    now: Moment,
}

impl Writer<'_> {
    fn series(&self, lines: &mut Lines) {
        let schedule = &self.entry.meeting.schedule;
        lines.plain("BEGIN", "VEVENT");
        self.time(lines, schedule.start(), schedule.duration_minutes());
        if let Some(rule) = schedule.recurrence() {
            lines.plain("RRULE", rule);
        }
        for exception in self.entry.exceptions.iter().filter(|exception| exception.moved.is_none()) {
            lines.plain(&self.zoned("EXDATE"), &local(exception.original));
        }
        self.rest(lines);
    }

    fn moved(&self, lines: &mut Lines, original: NaiveDateTime, moved: Moved) {
        lines.plain("BEGIN", "VEVENT");
        lines.plain(&self.zoned("RECURRENCE-ID"), &local(original));
        self.time(lines, moved.start, moved.duration_minutes);
        self.rest(lines);
    }

    /// A duration and no end: the end of a meeting may be a local time that comes twice.
    fn time(&self, lines: &mut Lines, start: NaiveDateTime, duration_minutes: u32) {
        lines.plain(&self.zoned("DTSTART"), &local(start));
        lines.plain("DURATION", &minutes(Duration::minutes(duration_minutes.into())));
    }

    fn zoned(&self, name: &str) -> String {
        format!("{name};TZID={}", self.entry.meeting.schedule.zone().name())
    }

    /// What is the same for all of a series.
    fn rest(&self, lines: &mut Lines) {
        let Entry { meeting, attendees, link, is_cancelled, .. } = self.entry;
        let is_cancelled = *is_cancelled || meeting.status == Status::Cancelled;
        lines.plain("UID", &format!("{}@consilium", meeting.id));
        // Section 3.8.7.2: when this text was made; where it is no message, when the meeting was changed.
        let stamp = if self.method == Method::Publish { meeting.updated_at } else { self.now };
        lines.plain("DTSTAMP", &utc(stamp));
        lines.plain("CREATED", &utc(meeting.created_at));
        lines.plain("LAST-MODIFIED", &utc(meeting.updated_at));
        lines.plain("SEQUENCE", &meeting.sequence.to_string());
        lines.plain("STATUS", if is_cancelled { "CANCELLED" } else { "CONFIRMED" });
        lines.text("SUMMARY", meeting.title.as_str());
        if !is_cancelled {
            lines.plain("CONFERENCE;VALUE=URI;FEATURE=AUDIO,VIDEO;LABEL=\"Join the meeting\"", link);
            lines.plain("URL", link);
            // Programs that do not know CONFERENCE show this.
            lines.text("LOCATION", link);
        }
        lines.plain("ORGANIZER;CN=\"Consilium\"", &format!("mailto:{}", self.organizer));
        for attendee in *attendees {
            attendee.write(lines);
        }
        lines.plain("END", "VEVENT");
    }
}
