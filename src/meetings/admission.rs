//! Which roles wait in a meeting's lobby, and what each may do once inside. The media side enforces the grants at every
//! request; nothing here is asked of the page. Nobody gets to administer the room on the media side: hosts act through the
//! REST API, which reads their role at every request, and a token would keep what it says.

use super::invitation::{Invitation, Role};
use super::meeting::Meeting;
use crate::identity::account::User;
use crate::moment::Moment;
use consilium_signaling::access::{Claims, VideoGrants};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Sources of a microphone and a camera, as tokens name them.
const FACE_TO_FACE: [&str; 2] = ["camera", "microphone"];

/// Attributes that say who somebody is known to be.
pub const VERIFIED: &str = "verified";
const ORGANISATION: &str = "organisation";

/// Who waits until a host admits them. Hosts never do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lobby {
    /// Nobody: an invitation is enough.
    Nobody,
    /// Guests and observers.
    Guests,
    /// Everyone but chair and coordinator.
    Everyone,
}

impl Lobby {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Guests => "guests",
            Self::Everyone => "everyone",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Nobody, Self::Guests, Self::Everyone].into_iter().find(|lobby| lobby.name() == name)
    }
}

/// Whether the policy lets this role wait where nothing was decided about the person.
pub fn must_wait(lobby: Lobby, role: Role) -> bool {
    match lobby {
        Lobby::Nobody => false,
        Lobby::Guests => matches!(role, Role::Guest | Role::Observer),
        Lobby::Everyone => !role.is_host(),
    }
}

/// Who somebody with this link is known to be: who is signed in, unless the invitation is for another address.
pub fn verified<'a>(invitation: &Invitation, visitor: Option<&'a User>) -> Option<&'a User> {
    let is_meant = |user: &&User| match (&invitation.email, &user.email) {
        (None, _) => true,
        (Some(meant), Some(known)) => meant.as_str().eq_ignore_ascii_case(known.as_str()),
        (Some(_), None) => false,
    };
    visitor.filter(is_meant)
}

/// What others are told of who somebody is known to be. The name is then the account's: what a host typed proves nothing.
pub fn identity_attributes(verified: Option<&User>) -> HashMap<String, String> {
    let organisation = verified.and_then(|user| user.organisation.as_ref());
    let organisation = organisation.map(|name| (ORGANISATION.to_owned(), name.as_str().to_owned()));
    let is_verified = (VERIFIED.to_owned(), verified.is_some().to_string());
    organisation.into_iter().chain([is_verified]).collect()
}

/// What an invitation becomes on the media side. One invitation is one participant: who enters a second time takes the
/// place of the first.
pub fn claims(meeting: &Meeting, invitation: &Invitation, verified: Option<&User>) -> Claims {
    let mut attributes = identity_attributes(verified);
    attributes.insert("role".to_owned(), invitation.role.name().to_owned());
    for (key, value) in [("specialty", &invitation.specialty), ("site", &invitation.site)] {
        if let Some(value) = value {
            attributes.insert(key.to_owned(), value.as_str().to_owned());
        }
    }
    Claims {
        identity: invitation.id.to_string(),
        name: verified.map_or(&invitation.name, |user| &user.name).as_str().to_owned(),
        attributes,
        video: grants(meeting, invitation.role),
        ..Claims::default()
    }
}

/// What a token that was given before is worth now. Who somebody is known to be was found out when it was given.
pub fn renewed(given: Claims, meeting: &Meeting, invitation: &Invitation) -> Claims {
    let Claims { mut name, mut attributes, video, .. } = claims(meeting, invitation, None);
    let known = [VERIFIED, ORGANISATION].map(|key| given.attributes.get_key_value(key));
    attributes.extend(known.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    if attributes.get(VERIFIED).is_some_and(|verified| verified == "true") {
        name.clone_from(&given.name);
    }
    Claims { name, attributes, video, ..given }
}

fn grants(meeting: &Meeting, role: Role) -> VideoGrants {
    let sends = role != Role::Observer;
    let shares = sends && (role.is_host() || meeting.settings.screen_share);
    // Chat is data: where it is off, the hosts' alone goes through.
    let speaks = sends && (role.is_host() || meeting.settings.chat);
    let sources: &[&str] = if sends && !shares { &FACE_TO_FACE } else { &[] };
    VideoGrants {
        room: meeting.room().to_owned(),
        room_join: true,
        can_publish: Some(sends),
        can_publish_data: Some(speaks),
        can_subscribe: Some(true),
        can_publish_sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        can_update_own_metadata: Some(false),
        ..VideoGrants::default()
    }
}

/// Until when the token that lets somebody in is good: as long as the longest list of cases, and no longer than the link.
pub fn token_ttl(invitation: &Invitation, now: Moment) -> std::time::Duration {
    const LONGEST: std::time::Duration = std::time::Duration::from_secs(8 * 3600);
    invitation.link_expires_at.since(now).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SiteRole;
    use crate::identity::account::{Proof, ProviderId, ProviderSubject};
    use crate::ids::{InvitationId, MeetingId};
    use crate::meetings::invitation::Email;
    use crate::meetings::invitation::LinkSecret;
    use crate::meetings::meeting::{Settings, Status};
    use crate::meetings::schedule::{Schedule, Wanted};
    use crate::text::Name;

    fn meeting(lobby: Lobby) -> Meeting {
        let now = Moment::from_ms(1);
        let wanted =
            Wanted { start: "2026-12-01T08:30:00", time_zone: "Europe/London", duration_minutes: 60, recurrence: None };
        Meeting {
            id: MeetingId::new(now),
            owner: "key".into(),
            title: Name::new("Lung MDT").unwrap(),
            schedule: Schedule::new(&wanted).unwrap(),
            capacity: 10,
            lobby,
            required_specialties: Vec::new(),
            settings: Settings::default(),
            status: Status::Scheduled,
            sequence: 0,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    fn invitation(meeting: &Meeting, role: Role) -> Invitation {
        let now = Moment::from_ms(1);
        let link = LinkSecret::new(InvitationId::new(now));
        Invitation {
            id: link.id().clone(),
            meeting: meeting.id.clone(),
            name: Name::new("Dr One").unwrap(),
            role,
            specialty: Some(Name::new("Oncology").unwrap()),
            site: None,
            email: None,
            link_hash: link.hash(),
            link_expires_at: now.plus(std::time::Duration::from_secs(60)),
            revoked_at: None,
            link_renewed_at: None,
            version: 1,
            created_at: now,
        }
    }

    fn user() -> User {
        let proof =
            Proof::Provider { provider: ProviderId::new("nhs").unwrap(), subject: ProviderSubject::new("1").unwrap() };
        User::new(Name::new("Dr Known").unwrap(), SiteRole::Member, proof, Moment::from_ms(1))
    }

    #[test]
    fn who_waits_is_the_policys_choice_and_never_a_host() {
        let enters = |lobby| Role::ALL.into_iter().filter(|role| !must_wait(lobby, *role)).collect::<Vec<_>>();
        assert_eq!(enters(Lobby::Nobody), Role::ALL);
        assert_eq!(enters(Lobby::Guests), [Role::Chair, Role::Coordinator, Role::Core, Role::Extended]);
        assert_eq!(enters(Lobby::Everyone), [Role::Chair, Role::Coordinator]);
    }

    #[test]
    fn each_role_gets_its_grants_and_no_other() {
        let meeting = meeting(Lobby::Nobody);
        for role in Role::ALL {
            let claims = claims(&meeting, &invitation(&meeting, role), None);
            let video = &claims.video;
            assert_eq!(claims.join_room(), Ok(meeting.id.as_str()));
            assert!(!video.may_administer(meeting.id.as_str()), "{role:?}");
            assert_eq!(video.may_publish_data(), role != Role::Observer, "{role:?}");
            assert_eq!(video.can_publish, Some(role != Role::Observer), "{role:?}");
            assert!(video.may_subscribe() && !video.may_update_own_metadata() && !video.hidden && !video.recorder);
            assert!(!video.room_create && !video.room_list);
            assert_eq!(claims.attributes["role"], role.name());
            assert_eq!((claims.attributes.get("site"), claims.attributes["verified"].as_str()), (None, "false"));
        }
    }

    #[test]
    fn a_meeting_may_keep_screens_to_its_hosts() {
        let quiet = Meeting { settings: Settings { screen_share: false, chat: true }, ..meeting(Lobby::Nobody) };
        let sources = |role| claims(&quiet, &invitation(&quiet, role), None).video.can_publish_sources;
        assert!(sources(Role::Chair).is_empty());
        assert_eq!(sources(Role::Core), FACE_TO_FACE);
        assert_eq!(claims(&quiet, &invitation(&quiet, Role::Observer), None).video.can_publish, Some(false));
    }

    #[test]
    fn who_is_signed_in_is_verified_unless_the_link_is_for_somebody_else() {
        let (meeting, user) = (meeting(Lobby::Nobody), user());
        let with = |email: &str| User { email: Email::new(email), ..user.clone() };
        for (meant, visitor, is_verified) in [
            (None, Some(user.clone()), true),
            (None, None, false),
            (Some("one@nhs.net"), Some(user.clone()), false),
            (Some("one@nhs.net"), Some(with("two@nhs.net")), false),
            (Some("one@nhs.net"), Some(with("One@NHS.net")), true),
            (Some("one@nhs.net"), None, false),
        ] {
            let invitation = Invitation { email: meant.and_then(Email::new), ..invitation(&meeting, Role::Core) };
            let claims = claims(&meeting, &invitation, verified(&invitation, visitor.as_ref()));
            assert_eq!(claims.attributes["verified"], is_verified.to_string(), "{meant:?}");
            assert_eq!(claims.name, if is_verified { "Dr Known" } else { "Dr One" }, "{meant:?}");
        }
    }

    #[test]
    fn a_meeting_without_chat_takes_data_from_hosts_alone() {
        let quiet = Meeting { settings: Settings { screen_share: true, chat: false }, ..meeting(Lobby::Nobody) };
        for role in Role::ALL {
            let video = claims(&quiet, &invitation(&quiet, role), None).video;
            assert_eq!(video.may_publish_data(), role.is_host(), "{role:?}");
            assert_eq!(video.can_publish, Some(role != Role::Observer), "{role:?}");
        }
    }

    #[test]
    fn an_old_token_grants_what_the_invitation_says_now_to_whom_it_was_given() {
        let meeting = meeting(Lobby::Nobody);
        let before = invitation(&meeting, Role::Chair);
        let after = Invitation { role: Role::Observer, specialty: None, ..before.clone() };
        let user = user();
        for user in [None, Some(&user)] {
            let given = claims(&meeting, &before, user);
            let renewed = renewed(given.clone(), &meeting, &after);
            assert_eq!((&renewed.name, &renewed.identity), (&given.name, &given.identity));
            assert_eq!(renewed.attributes["verified"], user.is_some().to_string());
            assert_eq!(renewed.attributes.get("organisation"), given.attributes.get("organisation"));
            assert_eq!((renewed.attributes["role"].as_str(), renewed.attributes.get("specialty")), ("observer", None));
            assert!(!renewed.video.may_administer(meeting.id.as_str()));
        }
    }

    #[test]
    fn a_token_does_not_outlive_its_link() {
        let meeting = meeting(Lobby::Nobody);
        let mut invitation = invitation(&meeting, Role::Core);
        assert_eq!(token_ttl(&invitation, Moment::from_ms(1)), std::time::Duration::from_secs(60));
        invitation.link_expires_at = Moment::from_ms(i64::MAX);
        assert_eq!(token_ttl(&invitation, Moment::from_ms(1)), std::time::Duration::from_secs(8 * 3600));
    }
}
