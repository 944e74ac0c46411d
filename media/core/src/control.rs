//! What crosses between the control side and the core: commands in, events out. Plain values only.

use crate::ids::{PeerId, RoomId, SubscriptionId, TrackId};
use crate::params::{IceCredentials, LayerLimit, ReceiveSection, RemoteParameters, SendParameters};
use bytes::Bytes;
use std::time::Duration;

/// What the control side asks for. A command that names something unknown (it may have ended meanwhile) does nothing and
/// is counted.
#[derive(Clone, Debug)]
pub enum Command {
    /// Makes a peer connection that answers connectivity checks for `local` once [`Command::SetRemote`] came.
    AddPeer {
        peer: PeerId,
        room: RoomId,
        local: IceCredentials,
    },
    /// The far side's parameters. A second one for a live peer may change only its ICE credentials (restart).
    SetRemote {
        peer: PeerId,
        remote: Box<RemoteParameters>,
    },
    /// New local credentials for an ICE restart (RFC 8445 section 9); the old ones stay valid until the new ones are used.
    RestartIce {
        peer: PeerId,
        local: IceCredentials,
    },
    /// Closes the connection (DTLS close_notify) and everything that hangs on it, tracks and subscriptions included.
    RemovePeer {
        peer: PeerId,
    },
    /// All sections that the peer sends on, replacing the list before. A track that is no longer in it ends, with its
    /// subscriptions.
    SetReceive {
        peer: PeerId,
        sections: Vec<ReceiveSection>,
    },
    /// Stops (and resumes) forwarding of a track, for everyone.
    SetTrackMuted {
        track: TrackId,
        muted: bool,
    },
    /// Starts sending `track` to `peer`, from the next keyframe on, which is asked for.
    Subscribe {
        subscription: SubscriptionId,
        track: TrackId,
        peer: PeerId,
        send: Box<SendParameters>,
    },
    /// A paused subscription sends nothing; on resuming, a keyframe is asked for. `priority` is the subscriber's own: 1 comes
    /// first where its path is narrow, 0 leaves the order to the core.
    SetSubscription {
        subscription: SubscriptionId,
        paused: bool,
        limit: LayerLimit,
        priority: u8,
    },
    /// Goes on with another track of the same kind, from its next keyframe on: the same picture in another codec. What is sent
    /// stays one stream: SSRC and MID of `send` are those of [`Command::Subscribe`].
    MoveSubscription {
        subscription: SubscriptionId,
        track: TrackId,
        send: Box<SendParameters>,
    },
    /// Leaves out temporal layers that would make the picture faster than so many per second; 0 leaves out none. A stream
    /// without temporal layers, and the lowest one, are sent as they are.
    SetFrameRate {
        subscription: SubscriptionId,
        frames_per_second: u32,
    },
    Unsubscribe {
        subscription: SubscriptionId,
    },
    /// Shares no more than so many bit/s among what the peer receives, whatever its path carries; `None` ends that.
    LimitBandwidth {
        peer: PeerId,
        bps_max: Option<u64>,
    },
    /// Forwards only so many audio tracks of a room, the loudest; 0 is all. For the room's whole life: repeated with each of
    /// its peers, as a room begins and ends with them.
    SetLoudest {
        room: RoomId,
        loudest: u8,
    },
    /// Asks the publisher of `track` for a keyframe, within the throttle.
    RequestKeyframe {
        track: TrackId,
    },
    /// Opens a data channel from our side (RFC 8832) as soon as SCTP is up; answered by [`Event::DataChannelOpened`].
    OpenDataChannel {
        peer: PeerId,
        label: String,
        reliability: Reliability,
    },
    /// Queues one message. A lossy one over [`crate::limits::LOSSY_BUFFERED_BYTES_MAX`] is dropped and counted; for a
    /// reliable one over [`crate::limits::DATA_BUFFERED_BYTES_MAX`] the peer is closed, with [`CloseReason::DataBacklog`].
    SendData {
        peer: PeerId,
        channel: DataChannelId,
        binary: bool,
        payload: Bytes,
    },
}

/// SCTP stream id of a data channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct DataChannelId(u16);

impl DataChannelId {
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reliability {
    /// Ordered, retransmitted until it arrives.
    Reliable,
    /// Unordered, never retransmitted.
    Lossy,
}

/// An event and the room that it belongs to, so that the receiver can route it without a look inside.
#[derive(Clone, Debug)]
pub struct RoomEvent {
    pub room: RoomId,
    pub event: Event,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// ICE nominated a path and DTLS finished, with the right fingerprint: media may flow. Once per peer.
    PeerConnected {
        peer: PeerId,
    },
    /// The connection ended by itself. Its tracks and subscriptions are gone.
    PeerClosed {
        peer: PeerId,
        reason: CloseReason,
    },
    DataChannelOpened {
        peer: PeerId,
        channel: DataChannelId,
        label: String,
        reliability: Reliability,
    },
    DataChannelClosed {
        peer: PeerId,
        channel: DataChannelId,
    },
    Data {
        peer: PeerId,
        channel: DataChannelId,
        binary: bool,
        payload: Bytes,
    },
    /// The first authenticated packet of a track arrived.
    TrackStarted {
        track: TrackId,
    },
    /// The subscriber's path does not carry even the least of this video, and nothing of it is sent; or it does again.
    SubscriptionStalled {
        subscription: SubscriptionId,
        peer: PeerId,
        stalled: bool,
    },
    /// Loudness over the last window ([`crate::limits::AUDIO_LEVEL_WINDOW`]) of the audio tracks that sent a level, loudest
    /// first. Empty exactly once after the last one fell silent.
    AudioLevels {
        levels: Vec<TrackLevel>,
    },
    /// How the room's connected peers fared since the last such event, about [`crate::limits::FIGURES_INTERVAL`] ago. One of
    /// them may be left out when the control side is behind.
    Figures {
        figures: Vec<PeerFigures>,
    },
    /// Audio that should be heard is not, or is again.
    AudioPath {
        track: TrackId,
        /// `None` for the way from the publisher to us.
        subscription: Option<SubscriptionId>,
        state: PathState,
    },
}

/// How one connection fares.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PeerFigures {
    pub peer: PeerId,
    /// Since the last authenticated sign of life: a connectivity check, a media packet or a report. Checks come every 2.5 s (measured,
    /// Chromium) to 5 s (RFC 7675 section 5.1).
    pub silent_for: Duration,
    /// Share of the packets it sent that did not come at the first attempt, 0 to 1; `None` when it sent nothing.
    pub loss_up: Option<f32>,
    /// Share of what was sent to it that did not come, as it says itself; `None` when it said nothing.
    pub loss_down: Option<f32>,
    /// The last one measured.
    pub rtt: Option<Duration>,
}

/// Whether an audio path is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathState {
    Silent(SilentCause),
    /// It is heard again, or need not be any more. Paths that end with a track or a subscription end without it.
    Over,
}

/// Where an audio path is interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SilentCause {
    /// The publisher is there and not muted, and nothing comes.
    Uplink,
    /// Speech comes, and nothing leaves for the subscriber.
    NotForwarded,
    /// Speech leaves, and the subscriber reports that it gets nothing.
    NotReceived,
}

impl SilentCause {
    pub const ALL: [Self; 3] = [Self::Uplink, Self::NotForwarded, Self::NotReceived];

    /// The value of the metric's `cause` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::NotForwarded => "not_forwarded",
            Self::NotReceived => "not_received",
        }
    }
}

/// Loudness of one track.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TrackLevel {
    pub track: TrackId,
    /// Mean power over the window as a linear amplitude, 0 to 1 (1 is 0 dBov, RFC 6464).
    pub level: f32,
}

/// Why a connection ended without being asked to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// No nominated path in time.
    IceTimeout,
    /// Consent (RFC 7675) was not renewed in time.
    ConsentExpired,
    /// The handshake failed or took too long.
    DtlsFailed,
    /// The certificate is not the one that signalling announced.
    FingerprintMismatch,
    /// The far side closed (close_notify or SCTP abort).
    ClosedByPeer,
    /// The far side does not read its reliable data.
    DataBacklog,
    /// The far side sent more reliable messages than it may.
    DataFlood,
}
