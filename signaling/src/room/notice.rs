//! What the application is told of a room: who is in it, and what they publish. Clients learn the same in their own words.

use super::participant::ParticipantKey;
use super::{Effect, Room};
use consilium_media_core::ids::TrackId;
use livekit_protocol::participant_info::State;
use livekit_protocol::{ParticipantInfo, TrackInfo};

/// Something that happened to one participant.
#[derive(Clone, Debug)]
pub struct RoomNotice {
    pub happening: Happening,
    pub participant: ParticipantInfo,
}

#[derive(Clone, Debug)]
pub enum Happening {
    /// Media and data reach the participant from now on.
    Joined,
    Left,
    /// Gone before anything reached the participant.
    ConnectionAborted,
    TrackPublished(TrackInfo),
    TrackUnpublished(TrackInfo),
}

impl Room {
    pub(super) fn notice_joined(&mut self, key: ParticipantKey) {
        self.notice(key, Happening::Joined);
    }

    /// A track that no description carried was never published.
    pub(super) fn notice_published(&mut self, key: ParticipantKey, track: TrackId) {
        if let Some(info) = self.carried(key, track) {
            self.notice(key, Happening::TrackPublished(info));
        }
    }

    pub(super) fn notice_unpublished(&mut self, key: ParticipantKey, track: TrackId) {
        if let Some(info) = self.carried(key, track) {
            self.notice(key, Happening::TrackUnpublished(info));
        }
    }

    pub(super) fn notice_left(&mut self, participant: ParticipantInfo, state: State) {
        let happening = match state {
            State::Active => Happening::Left,
            _ => Happening::ConnectionAborted,
        };
        self.effects.push_back(Effect::Notice(Box::new(RoomNotice { happening, participant })));
    }

    fn notice(&mut self, key: ParticipantKey, happening: Happening) {
        if let Some(participant) = self.participants.get(&key) {
            let participant = participant.info(&self.server.region);
            self.effects.push_back(Effect::Notice(Box::new(RoomNotice { happening, participant })));
        }
    }

    fn carried(&self, key: ParticipantKey, track: TrackId) -> Option<TrackInfo> {
        let track = self.participants.get(&key)?.tracks.get(&track)?;
        track.section.is_some().then(|| track.info.clone())
    }
}
