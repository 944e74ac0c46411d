//! What a participant may do. Asked at every request; whoever acts never looks at a token.

use crate::access::VideoGrants;
use livekit_protocol::{ParticipantPermission, TrackSource};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permission {
    pub can_subscribe: bool,
    pub can_publish: bool,
    pub can_publish_data: bool,
    pub can_update_metadata: bool,
    /// Others are not told of this participant.
    pub hidden: bool,
    pub recorder: bool,
    /// Sources that may be published; `None` allows every source, an empty list none.
    pub sources: Option<Vec<TrackSource>>,
}

impl Permission {
    pub fn may_publish(&self, source: TrackSource) -> bool {
        self.can_publish && self.sources.as_ref().is_none_or(|sources| sources.contains(&source))
    }

    pub(crate) fn from_grants(video: &VideoGrants) -> Self {
        Self {
            can_subscribe: video.may_subscribe(),
            can_publish: video.can_publish.unwrap_or(true),
            can_publish_data: video.may_publish_data(),
            can_update_metadata: video.may_update_own_metadata(),
            hidden: video.hidden,
            recorder: video.recorder,
            sources: (!video.can_publish_sources.is_empty()).then(|| video.publish_sources()),
        }
    }

    /// As the protocol writes it: an empty list of sources allows all of them.
    pub(super) fn from_proto(message: &ParticipantPermission) -> Self {
        let sources: Vec<_> = message.can_publish_sources().collect();
        #[allow(deprecated, reason = "hosts of older SDKs still set it")]
        let recorder = message.recorder;
        Self {
            can_subscribe: message.can_subscribe,
            can_publish: message.can_publish,
            can_publish_data: message.can_publish_data,
            can_update_metadata: message.can_update_metadata,
            hidden: message.hidden,
            recorder,
            sources: (!message.can_publish_sources.is_empty()).then_some(sources),
        }
    }

    #[allow(deprecated, reason = "clients of older SDKs still read `recorder`")]
    pub(super) fn to_proto(&self) -> ParticipantPermission {
        ParticipantPermission {
            can_subscribe: self.can_subscribe,
            can_publish: self.can_publish && self.sources.as_ref().is_none_or(|sources| !sources.is_empty()),
            can_publish_data: self.can_publish_data,
            can_publish_sources: self.sources.iter().flatten().map(|&source| source.into()).collect(),
            hidden: self.hidden,
            recorder: self.recorder,
            can_update_metadata: self.can_update_metadata,
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(sources: Option<Vec<TrackSource>>) -> Permission {
        Permission {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            can_update_metadata: false,
            hidden: false,
            recorder: false,
            sources,
        }
    }

    #[test]
    fn a_list_of_sources_limits_and_an_empty_one_allows_none() {
        assert!(permission(None).may_publish(TrackSource::Camera));
        assert!(permission(Some(vec![TrackSource::Camera])).may_publish(TrackSource::Camera));
        assert!(!permission(Some(vec![TrackSource::Camera])).may_publish(TrackSource::ScreenShare));
        assert!(!permission(Some(vec![])).may_publish(TrackSource::Camera));
    }

    #[test]
    fn the_wire_form_never_widens_a_permission() {
        for sources in [None, Some(vec![]), Some(vec![TrackSource::Microphone])] {
            let before = permission(sources);
            let after = Permission::from_proto(&before.to_proto());
            for source in [TrackSource::Camera, TrackSource::Microphone, TrackSource::ScreenShare] {
                assert_eq!(before.may_publish(source), after.may_publish(source));
            }
        }
    }
}
