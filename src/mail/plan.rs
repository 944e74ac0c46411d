//! What somebody's calendar should be told. Pure.

use crate::meetings::invitation::Invitation;
use crate::meetings::meeting::{Meeting, Status};
use crate::moment::Moment;

/// What a calendar was told last. No `Debug`: it has somebody's address.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailed {
    pub address: String,
    pub sequence: i64,
    /// Of the link that was in it.
    pub link_hash: String,
}

/// What to tell.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// To this address: it does not take place, for you at least.
    pub cancel: Option<String>,
    /// The meeting as it is now.
    pub request: Option<Mailed>,
}

pub fn plan(meeting: &Meeting, invitation: &Invitation, mailed: Option<&Mailed>, now: Moment) -> Plan {
    if meeting.schedule.ends_at().is_some_and(|end| end <= now) {
        return Plan::default();
    }
    let wanted = wanted(meeting, invitation);
    let told = mailed
        .filter(|mailed| wanted.as_ref().is_some_and(|wanted| wanted.address.eq_ignore_ascii_case(&mailed.address)));
    let is_news = match (&wanted, told) {
        (Some(wanted), Some(told)) => (wanted.sequence, &wanted.link_hash) != (told.sequence, &told.link_hash),
        (wanted, None) => wanted.is_some(),
        (None, Some(_)) => false,
    };
    Plan {
        cancel: mailed.filter(|_| told.is_none()).map(|mailed| mailed.address.clone()),
        request: wanted.filter(|_| is_news),
    }
}

/// Whether a mail to this address, late or sent again by hand, still says what is so. If not, a newer one is planned, or will
/// be: an old one must not take the link of today to where nobody is invited any more.
pub fn is_still_so(meeting: &Meeting, invitation: &Invitation, address: &str, is_cancellation: bool) -> bool {
    let is_invited = wanted(meeting, invitation).is_some_and(|wanted| wanted.address.eq_ignore_ascii_case(address));
    is_invited != is_cancellation
}

/// What the calendar should hold now.
fn wanted(meeting: &Meeting, invitation: &Invitation) -> Option<Mailed> {
    let is_invited = meeting.status == Status::Scheduled && invitation.revoked_at.is_none();
    let email = invitation.email.as_ref().filter(|_| is_invited)?;
    Some(Mailed {
        address: email.as_str().to_owned(),
        sequence: meeting.sequence,
        link_hash: invitation.link_hash.as_str().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{InvitationId, MeetingId};
    use crate::meetings::admission::Lobby;
    use crate::meetings::invitation::{Email, LinkSecret, Role};
    use crate::meetings::meeting::Settings;
    use crate::meetings::schedule::{Schedule, Wanted};
    use crate::text::Name;

    fn now() -> Moment {
        Moment::from_rfc3339("2026-11-30T10:00:00Z").unwrap()
    }

    fn meeting() -> Meeting {
        let wanted =
            Wanted { start: "2026-12-01T08:30:00", time_zone: "Europe/London", duration_minutes: 60, recurrence: None };
        Meeting {
            id: MeetingId::new(now()),
            owner: "key".into(),
            title: Name::new("Lung MDT").unwrap(),
            schedule: Schedule::new(&wanted).unwrap(),
            capacity: 10,
            lobby: Lobby::Nobody,
            required_specialties: Vec::new(),
            settings: Settings::default(),
            status: Status::Scheduled,
            sequence: 0,
            version: 1,
            created_at: now(),
            updated_at: now(),
        }
    }

    fn invitation(meeting: &Meeting) -> Invitation {
        let link = LinkSecret::new(InvitationId::new(now()));
        Invitation {
            id: link.id().clone(),
            meeting: meeting.id.clone(),
            name: Name::new("Dr One").unwrap(),
            role: Role::Core,
            specialty: None,
            site: None,
            email: Email::new("one@nhs.net"),
            link_hash: link.hash(),
            link_expires_at: now(),
            revoked_at: None,
            link_renewed_at: None,
            version: 1,
            created_at: now(),
        }
    }

    /// Whom to cancel to and whom to invite.
    fn told(plan: &Plan) -> (Option<&str>, Option<&str>) {
        (plan.cancel.as_deref(), plan.request.as_ref().map(|mailed| mailed.address.as_str()))
    }

    #[test]
    fn who_is_invited_is_told_once() {
        let meeting = meeting();
        let invitation = invitation(&meeting);
        let first = plan(&meeting, &invitation, None, now());
        assert_eq!(told(&first), (None, Some("one@nhs.net")));
        let renamed = Meeting { title: Name::new("Other").unwrap(), version: 2, ..meeting.clone() };
        assert_eq!(told(&plan(&renamed, &invitation, first.request.as_ref(), now())), (None, None));
        let silent = Invitation { email: None, ..invitation };
        assert_eq!(told(&plan(&meeting, &silent, None, now())), (None, None));
    }

    #[test]
    fn a_new_time_or_a_new_link_is_news() {
        let meeting = meeting();
        let mut invitation = invitation(&meeting);
        let mailed = plan(&meeting, &invitation, None, now()).request;
        let moved = Meeting { sequence: 1, ..meeting.clone() };
        assert_eq!(told(&plan(&moved, &invitation, mailed.as_ref(), now())), (None, Some("one@nhs.net")));
        invitation.link_hash = LinkSecret::new(invitation.id.clone()).hash();
        assert_eq!(told(&plan(&meeting, &invitation, mailed.as_ref(), now())), (None, Some("one@nhs.net")));
    }

    #[test]
    fn whoever_is_not_invited_any_more_is_told_where_they_were_told_before() {
        let meeting = meeting();
        let invitation = invitation(&meeting);
        let mailed = plan(&meeting, &invitation, None, now()).request;
        let cancelled = meeting.cancelled(now()).unwrap();
        assert_eq!(told(&plan(&cancelled, &invitation, mailed.as_ref(), now())), (Some("one@nhs.net"), None));
        assert_eq!(told(&plan(&cancelled, &invitation, None, now())), (None, None), "they never knew of it");
        let revoked = Invitation { revoked_at: Some(now()), ..invitation.clone() };
        assert_eq!(told(&plan(&meeting, &revoked, mailed.as_ref(), now())), (Some("one@nhs.net"), None));
        let elsewhere = Invitation { email: Email::new("two@nhs.net"), ..invitation.clone() };
        let both = plan(&meeting, &elsewhere, mailed.as_ref(), now());
        assert_eq!(told(&both), (Some("one@nhs.net"), Some("two@nhs.net")));
        let louder = Invitation { email: Email::new("One@NHS.net"), ..invitation };
        assert_eq!(told(&plan(&meeting, &louder, mailed.as_ref(), now())), (None, None), "the same mailbox");
    }

    #[test]
    fn an_old_mail_says_only_what_is_still_so() {
        let meeting = meeting();
        let invitation = invitation(&meeting);
        // Whether a request and a cancellation may still go.
        let may_go = |meeting: &Meeting, invitation: &Invitation, address: &str| {
            [false, true].map(|is_cancellation| is_still_so(meeting, invitation, address, is_cancellation))
        };
        assert_eq!(may_go(&meeting, &invitation, "One@NHS.net"), [true, false]);
        assert_eq!(may_go(&meeting, &invitation, "two@nhs.net"), [false, true], "invited elsewhere");
        let silent = Invitation { email: None, ..invitation.clone() };
        assert_eq!(may_go(&meeting, &silent, "one@nhs.net"), [false, true]);
        let revoked = Invitation { revoked_at: Some(now()), ..invitation.clone() };
        assert_eq!(may_go(&meeting, &revoked, "one@nhs.net"), [false, true]);
        let cancelled = meeting.cancelled(now()).unwrap();
        assert_eq!(may_go(&cancelled, &invitation, "one@nhs.net"), [false, true]);
    }

    #[test]
    fn nobody_is_told_of_what_is_over() {
        let meeting = meeting();
        let invitation = invitation(&meeting);
        let later = Moment::from_rfc3339("2026-12-01T09:30:00Z").unwrap();
        assert_eq!(told(&plan(&meeting, &invitation, None, later)), (None, None));
    }
}
