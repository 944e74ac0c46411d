//! Whole calendars: what stands in them, and what never does.

use super::*;
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::admission::Lobby;
use crate::meetings::invitation::{Email, Invitation, LinkSecret, Role};
use crate::meetings::meeting::{Meeting, Settings, Status};
use crate::meetings::schedule::{Schedule, Wanted, parse_local};
use crate::store::meetings::{Exception, Moved};
use crate::text::Name;

const LINK: &str = "https://meet.example.org/m/x#secret";
const ORGANIZER: &str = "mdt@hospital.example";

fn meeting(recurrence: Option<&str>) -> Meeting {
    let now = Moment::from_rfc3339("2026-11-01T10:00:00Z").unwrap();
    let wanted = Wanted { start: "2026-12-01T08:30:00", time_zone: "Europe/London", duration_minutes: 90, recurrence };
    Meeting {
        id: MeetingId::new(now),
        owner: "key".into(),
        title: Name::new("Lung MDT; surgery, oncology").unwrap(),
        schedule: Schedule::new(&wanted).unwrap(),
        capacity: 10,
        lobby: Lobby::Guests,
        required_specialties: Vec::new(),
        settings: Settings::default(),
        status: Status::Scheduled,
        sequence: 3,
        version: 5,
        created_at: now,
        updated_at: now,
    }
}

fn attendee(meeting: &Meeting, role: Role) -> Attendee {
    let now = Moment::from_ms(1);
    let link = LinkSecret::new(InvitationId::new(now));
    let invitation = Invitation {
        id: link.id().clone(),
        meeting: meeting.id.clone(),
        name: Name::new("Dr \"Siân\": One").unwrap(),
        role,
        specialty: None,
        site: None,
        email: Email::new("one@nhs.net"),
        link_hash: link.hash(),
        link_expires_at: now,
        revoked_at: None,
        link_renewed_at: None,
        version: 1,
        created_at: now,
    };
    assert_eq!(Attendee::new(&Invitation { email: None, ..invitation.clone() }), None);
    Attendee::new(&invitation).unwrap()
}

fn unfolded(method: Method, entry: &Entry<'_>) -> String {
    let now = Moment::from_rfc3339("2026-11-20T09:00:00Z").unwrap();
    let text = write(method, ORGANIZER, std::slice::from_ref(entry), now);
    assert!(text.split_terminator("\r\n").all(|line| line.len() <= 75 && !line.contains('\n')), "{text}");
    text.replace("\r\n ", "").replace("\r\n", "\n")
}

#[test]
fn an_invitation_says_when_where_and_who() {
    let meeting = meeting(Some("FREQ=WEEKLY;BYDAY=TU"));
    let attendees = [attendee(&meeting, Role::Chair)];
    let entry = Entry { meeting: &meeting, exceptions: &[], attendees: &attendees, link: LINK, is_cancelled: false };
    let text = unfolded(Method::Request, &entry);
    let uid = format!("UID:{}@consilium\n", meeting.id);
    for line in [
        "METHOD:REQUEST\n",
        "TZID:Europe/London\n",
        "DTSTART;TZID=Europe/London:20261201T083000\nDURATION:PT90M\nRRULE:FREQ=WEEKLY;BYDAY=TU\n",
        uid.as_str(),
        "DTSTAMP:20261120T090000Z\n",
        "SEQUENCE:3\n",
        "STATUS:CONFIRMED\n",
        "SUMMARY:Lung MDT\\; surgery\\, oncology\n",
        "CONFERENCE;VALUE=URI;FEATURE=AUDIO,VIDEO;LABEL=\"Join the meeting\":https://meet.example.org/m/x#secret\n",
        "ORGANIZER;CN=\"Consilium\":mailto:mdt@hospital.example\n",
        "ATTENDEE;CN=\"Dr 'Siân': One\";ROLE=CHAIR;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:one@nhs.net\n",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    assert_eq!((text.matches("BEGIN:VEVENT").count(), text.matches("BEGIN:VTIMEZONE").count()), (1, 1));
}

#[test]
fn single_occurrences_are_taken_out_or_moved() {
    let meeting = meeting(Some("FREQ=WEEKLY;BYDAY=TU"));
    let original = |text| parse_local(text).unwrap();
    let moved = Moved { start: original("2026-11-30T09:00:00"), duration_minutes: 30 };
    let exceptions = [
        Exception { original: original("2026-12-08T08:30:00"), moved: None },
        Exception { original: original("2026-12-15T08:30:00"), moved: Some(moved) },
    ];
    let entry = Entry { meeting: &meeting, exceptions: &exceptions, attendees: &[], link: LINK, is_cancelled: false };
    assert_eq!(entry.first_start(), Moment::from_rfc3339("2026-11-30T09:00:00Z").unwrap());
    let text = unfolded(Method::Request, &entry);
    assert!(text.contains("EXDATE;TZID=Europe/London:20261208T083000\n"), "{text}");
    assert!(
        text.contains(
            "RECURRENCE-ID;TZID=Europe/London:20261215T083000\nDTSTART;TZID=Europe/London:20261130T090000\n\
             DURATION:PT30M\n"
        ),
        "{text}"
    );
    assert_eq!((text.matches("RRULE:FREQ=WEEKLY").count(), text.matches("UID:").count()), (1, 2));
}

#[test]
fn a_cancellation_has_no_way_in() {
    let meeting = meeting(None).cancelled(Moment::from_ms(9)).unwrap();
    let entry = Entry { meeting: &meeting, exceptions: &[], attendees: &[], link: LINK, is_cancelled: false };
    let text = unfolded(Method::Cancel, &entry);
    for line in ["METHOD:CANCEL\n", "STATUS:CANCELLED\n", "SEQUENCE:4\n"] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    assert!(!text.contains("secret") && !text.contains("CONFERENCE") && !text.contains("RRULE:FREQ=WEEKLY"), "{text}");
}

#[test]
fn a_calendar_that_is_fetched_again_is_the_same_while_nothing_changes() {
    let meeting = meeting(None);
    let entry = Entry { meeting: &meeting, exceptions: &[], attendees: &[], link: LINK, is_cancelled: false };
    let at = |text| Moment::from_rfc3339(text).unwrap();
    let entries = [entry.clone(), entry];
    let [first, second] = ["2026-11-20T09:00:00Z", "2026-11-21T09:00:00Z"]
        .map(|now| write(Method::Publish, ORGANIZER, &entries, at(now)));
    assert_eq!(first, second);
    assert_eq!(first.matches("BEGIN:VTIMEZONE").count(), 1, "one zone for both");
    assert!(first.contains("REFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n"), "{first}");
}
