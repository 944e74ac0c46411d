//! Which roles wait in a meeting's lobby, and what each may do once inside. The media side enforces the grants at every
//! request; nothing here is asked of the page. Nobody gets to administer the room on the media side: hosts act through the
//! REST API, which reads their role at every request, and a token would keep what it says.

use super::invitation::{Invitation, Role};
use super::meeting::Meeting;
use crate::moment::Moment;
use consilium_signaling::access::{Claims, VideoGrants};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Sources of a microphone and a camera, as tokens name them.
const FACE_TO_FACE: [&str; 2] = ["camera", "microphone"];

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

/// What an invitation becomes on the media side. One invitation is one participant: who enters a second time takes the
/// place of the first.
pub fn claims(meeting: &Meeting, invitation: &Invitation) -> Claims {
    let mut attributes = HashMap::from([("role".to_owned(), invitation.role.name().to_owned())]);
    for (key, value) in [("specialty", &invitation.specialty), ("site", &invitation.site)] {
        if let Some(value) = value {
            attributes.insert(key.to_owned(), value.as_str().to_owned());
        }
    }
    Claims {
        identity: invitation.id.to_string(),
        name: invitation.name.as_str().to_owned(),
        attributes,
        video: grants(meeting, invitation.role),
        ..Claims::default()
    }
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
    use crate::ids::{InvitationId, MeetingId};
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
            version: 1,
            created_at: now,
        }
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
            let claims = claims(&meeting, &invitation(&meeting, role));
            let video = &claims.video;
            assert_eq!(claims.join_room(), Ok(meeting.id.as_str()));
            assert!(!video.may_administer(meeting.id.as_str()), "{role:?}");
            assert_eq!(video.may_publish_data(), role != Role::Observer, "{role:?}");
            assert_eq!(video.can_publish, Some(role != Role::Observer), "{role:?}");
            assert!(video.may_subscribe() && !video.may_update_own_metadata() && !video.hidden && !video.recorder);
            assert!(!video.room_create && !video.room_list);
            assert_eq!(claims.attributes["role"], role.name());
            assert_eq!(claims.attributes.get("site"), None);
        }
    }

    #[test]
    fn a_meeting_may_keep_screens_to_its_hosts() {
        let quiet = Meeting { settings: Settings { screen_share: false, chat: true }, ..meeting(Lobby::Nobody) };
        let sources = |role| claims(&quiet, &invitation(&quiet, role)).video.can_publish_sources;
        assert!(sources(Role::Chair).is_empty());
        assert_eq!(sources(Role::Core), FACE_TO_FACE);
        assert_eq!(claims(&quiet, &invitation(&quiet, Role::Observer)).video.can_publish, Some(false));
    }

    #[test]
    fn a_meeting_without_chat_takes_data_from_hosts_alone() {
        let quiet = Meeting { settings: Settings { screen_share: true, chat: false }, ..meeting(Lobby::Nobody) };
        for role in Role::ALL {
            let video = claims(&quiet, &invitation(&quiet, role)).video;
            assert_eq!(video.may_publish_data(), role.is_host(), "{role:?}");
            assert_eq!(video.can_publish, Some(role != Role::Observer), "{role:?}");
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
