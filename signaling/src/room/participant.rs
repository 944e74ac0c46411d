//! One participant: who they are, what they publish and receive, and how they are connected.

use super::SessionId;
use super::arrivals::Arrivals;
use super::missed::Missed;
use super::peer::Peer;
use super::permission::Permission;
use super::quality::Quality;
use super::simulate::Simulation;
use super::track::Track;
use consilium_media_core::control::Command;
use consilium_media_core::ids::{PeerId, SubscriptionId, TrackId};
use consilium_media_core::params::LayerLimit;
use livekit_protocol::participant_info::State;
use livekit_protocol::{
    ClientInfo, DisconnectReason, ParticipantInfo, SubscriptionPermission, TrackInfo, VideoQuality,
};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// A participant of one room; in the order of joining.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct ParticipantKey(pub(super) u32);

pub(super) struct Participant {
    pub(super) sid: String,
    pub(super) identity: String,
    pub(super) name: String,
    pub(super) metadata: String,
    pub(super) attributes: HashMap<String, String>,
    pub(super) permission: Permission,
    pub(super) kind: i32,
    pub(super) client: ClientInfo,
    pub(super) state: State,
    pub(super) joined_at_ms: i64,
    pub(super) joined_at: Instant,
    /// Grows with every change that others are told of.
    pub(super) version: u32,
    /// `None` while the WebSocket is away.
    pub(super) session: Option<SessionId>,
    /// When the participant is given up unless the session or the connection comes back.
    pub(super) expires_at: Option<Instant>,
    /// Negotiated by the client. The only connection, or the one that it publishes on.
    pub(super) publisher: Peer,
    /// Negotiated by us, where the client splits publishing and subscribing.
    pub(super) subscriber: Option<Peer>,
    pub(super) tracks: BTreeMap<TrackId, Track>,
    pub(super) subscriptions: BTreeMap<TrackId, Subscription>,
    pub(super) auto_subscribe: bool,
    pub(super) adaptive_stream: bool,
    /// What the client asked for track by track, where it differs from `auto_subscribe`.
    pub(super) wishes: HashMap<TrackId, Wish>,
    /// Who may receive this participant's tracks; `None` is everybody.
    pub(super) audience: Option<SubscriptionPermission>,
    pub(super) arrivals: Arrivals,
    /// What a client that resumed has of each sender's reliable messages, until that was looked at.
    pub(super) received: Option<HashMap<String, u32>>,
    pub(super) missed: Missed,
    /// The client was not told of its present grants.
    pub(super) token_stale: bool,
    pub(super) quality: Quality,
    pub(super) simulation: Simulation,
}

/// One track going to this participant.
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    /// Which of the track's codecs is sent, and which one should be. Nothing is sent before it was chosen.
    pub(super) source: Option<TrackId>,
    pub(super) wanted: TrackId,
    pub(super) paused: bool,
    /// What the client asked for; `None` before it has.
    pub(super) asked: Option<Asked>,
    pub(super) limit: LayerLimit,
    /// The client's own; 1 comes first, 0 is none.
    pub(super) priority: u8,
    /// Pictures per second at most; 0 is no limit.
    pub(super) frames_per_second: u32,
    /// No exchange of descriptions has had the chance to place it yet.
    pub(super) fresh: bool,
}

impl Subscription {
    /// Sent as the media core sends by itself.
    pub(super) fn is_plain(&self) -> bool {
        !self.paused && self.limit == LayerLimit::ALL && self.priority == 0
    }

    pub(super) fn settings(&self) -> Command {
        let Self { id: subscription, paused, limit, priority, .. } = *self;
        Command::SetSubscription { subscription, paused, limit, priority }
    }

    pub(super) fn frame_rate(&self) -> Command {
        Command::SetFrameRate { subscription: self.id, frames_per_second: self.frames_per_second }
    }
}

/// How large a client wants a picture: of a quality, or to fill a size where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) quality: VideoQuality,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// What a client asked for about one track of somebody else.
#[derive(Clone, Copy, Default)]
pub(super) struct Wish {
    /// `None` follows `auto_subscribe`.
    pub(super) subscribe: Option<bool>,
    pub(super) paused: bool,
    pub(super) asked: Option<Asked>,
    pub(super) priority: u8,
    pub(super) frames_per_second: u32,
}

impl Participant {
    /// The connection on which this participant receives.
    pub(super) fn receiving(&self) -> &Peer {
        self.subscriber.as_ref().unwrap_or(&self.publisher)
    }

    pub(super) fn receiving_mut(&mut self) -> &mut Peer {
        self.subscriber.as_mut().unwrap_or(&mut self.publisher)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &Peer> {
        std::iter::once(&self.publisher).chain(&self.subscriber)
    }

    pub(super) fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        std::iter::once(&mut self.publisher).chain(&mut self.subscriber).find(|peer| peer.id == id)
    }

    /// When something must have happened that this participant waits for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.expires_at.into_iter().chain(self.answer_due()).min()
    }

    pub(super) fn answer_due(&self) -> Option<Instant> {
        self.subscriber.as_ref().and_then(|peer| peer.answer_due)
    }

    /// Others know of this participant.
    pub(super) fn is_visible(&self) -> bool {
        !self.permission.hidden && self.state != State::Joining
    }

    /// The layers of a track that are sent to it before it has said what it wants.
    pub(super) fn first_limit(&self) -> LayerLimit {
        if self.adaptive_stream { LayerLimit::LEAST } else { LayerLimit::ALL }
    }

    pub(super) fn wants(&self, track: TrackId) -> bool {
        self.wishes.get(&track).and_then(|wish| wish.subscribe).unwrap_or(self.auto_subscribe)
    }

    /// Whether this participant lets `other` receive the track.
    pub(super) fn admits(&self, other: &Self, track_sid: &str) -> bool {
        let Some(audience) = &self.audience else { return true };
        audience.all_participants
            || audience.track_permissions.iter().any(|permission| {
                let named = (!permission.participant_sid.is_empty() && permission.participant_sid == other.sid)
                    || (!permission.participant_identity.is_empty()
                        && permission.participant_identity == other.identity);
                named && (permission.all_tracks || permission.track_sids.iter().any(|sid| sid == track_sid))
            })
    }

    /// The tracks that a description carries, as others may see them.
    pub(super) fn published(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values().filter(|track| track.section.is_some())
    }

    pub(super) fn track_info(&self, sid: &str) -> Option<&TrackInfo> {
        self.tracks.values().map(|track| &track.info).find(|info| info.sid == sid)
    }

    pub(super) fn info(&self, region: &str) -> ParticipantInfo {
        ParticipantInfo {
            sid: self.sid.clone(),
            identity: self.identity.clone(),
            state: self.state.into(),
            tracks: self.published().map(|track| track.info.clone()).collect(),
            metadata: self.metadata.clone(),
            joined_at: self.joined_at_ms / 1_000,
            joined_at_ms: self.joined_at_ms,
            name: self.name.clone(),
            version: self.version,
            permission: Some(self.permission.to_proto()),
            region: region.to_owned(),
            is_publisher: self.published().next().is_some(),
            kind: self.kind,
            attributes: self.attributes.clone(),
            client_protocol: self.client.client_protocol,
            capabilities: self.client.capabilities.clone(),
            ..Default::default()
        }
    }

    /// The last word on a participant.
    pub(super) fn farewell(&self, region: &str, reason: DisconnectReason) -> ParticipantInfo {
        ParticipantInfo {
            state: State::Disconnected.into(),
            tracks: Vec::new(),
            is_publisher: false,
            disconnect_reason: reason.into(),
            version: self.version.wrapping_add(1),
            ..self.info(region)
        }
    }
}
