//! A mail: a few lines for a person, and the same for their calendar (RFC 6047). Pure.

use crate::calendar::{self, Attendee, Entry, Method};
use crate::ids::DeliveryId;
use crate::meetings::invitation::Invitation;
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::store::meetings::Exception;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

/// What a mail is made of. No `Debug`: it is about people.
pub(super) struct Letter<'a> {
    pub(super) id: &'a DeliveryId,
    pub(super) from: &'a Mailbox,
    pub(super) to: &'a str,
    pub(super) meeting: &'a Meeting,
    pub(super) exceptions: &'a [Exception],
    pub(super) invitation: &'a Invitation,
    pub(super) link: &'a str,
    pub(super) is_cancelled: bool,
    pub(super) now: Moment,
}

impl Letter<'_> {
    /// `None` where what is stored cannot stand in a mail.
    pub(super) fn write(&self) -> Option<Message> {
        let title = self.meeting.title.as_str();
        let subject = match (self.is_cancelled, self.meeting.sequence) {
            (true, _) => format!("Cancelled: {title}"),
            (false, 0) => format!("Invitation: {title}"),
            (false, _) => format!("Updated invitation: {title}"),
        };
        let method = if self.is_cancelled { Method::Cancel } else { Method::Request };
        let kind = format!("{}; charset=utf-8; method={}", calendar::MEDIA_TYPE, method.name());
        let calendar = SinglePart::builder().header(ContentType::parse(&kind).ok()?).body(self.calendar(method));
        let to = Mailbox::new(Some(self.invitation.name.as_str().to_owned()), self.to.parse().ok()?);
        let host = self.from.email.domain();
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .date(std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(self.now.ms()).ok()?))
            // The same at each attempt: whoever gets it twice can see that.
            .message_id(Some(format!("<{}@{host}>", self.id)))
            // RFC 3834: nobody's absence is to be announced to us.
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()))
            .multipart(MultiPart::alternative().singlepart(SinglePart::plain(self.text())).singlepart(calendar))
            .ok()
    }

    fn calendar(&self, method: Method) -> String {
        // Nobody else's address: who else is invited is for the meeting to say.
        let attendees: Vec<_> = Attendee::new(self.invitation).into_iter().collect();
        let entry = Entry {
            meeting: self.meeting,
            exceptions: self.exceptions,
            attendees: &attendees,
            link: self.link,
            is_cancelled: self.is_cancelled,
        };
        calendar::write(method, self.from.email.as_ref(), &[entry], self.now)
    }

    fn text(&self) -> String {
        let schedule = &self.meeting.schedule;
        let when = schedule.start().format("%A %-d %B %Y, %H:%M");
        let series = if schedule.recurrence().is_some() {
            "\nIt is the first of a series; your calendar shows the others."
        } else {
            ""
        };
        let title = self.meeting.title.as_str();
        let time = format!("{when} ({}), {} minutes{series}", schedule.zone().name(), schedule.duration_minutes());
        if self.is_cancelled {
            return format!("{title}\n{time}\n\nThis meeting does not take place, or you are no longer invited.\n");
        }
        format!(
            "{title}\n{time}\n\nJoin in a browser: {}\n\nThis link is yours alone: whoever opens it enters as you. Please do \
             not forward it.\n",
            self.link
        )
    }
}
