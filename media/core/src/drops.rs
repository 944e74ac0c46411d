//! Why packets are dropped, and how often. A bad packet is not an error: it is a drop with a reason.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal),+ $(,)?) => {
        /// The cause of a dropped datagram, packet or command.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum DropReason {
            $($(#[$doc])* $name),+
        }

        impl DropReason {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The value of the metric's `reason` label.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label),+
                }
            }
        }
    };
}

reasons! {
    /// Empty, too long, or its first byte is none of RFC 7983's ranges.
    UnknownProtocol = "unknown_protocol",
    /// Not from an address that ICE validated.
    UnknownAddress = "unknown_address",
    StunMalformed = "stun_malformed",
    /// USERNAME names no peer of ours.
    StunUnknownUser = "stun_unknown_user",
    /// MESSAGE-INTEGRITY missing or wrong.
    StunBadIntegrity = "stun_bad_integrity",
    /// A STUN message that is not a Binding request or indication.
    StunUnexpected = "stun_unexpected",
    DtlsMalformed = "dtls_malformed",
    /// Before the handshake, or after the end.
    DtlsUnexpected = "dtls_unexpected",
    RtpMalformed = "rtp_malformed",
    RtcpMalformed = "rtcp_malformed",
    /// Media before the keys are there.
    SrtpNotReady = "srtp_not_ready",
    SrtpAuthentication = "srtp_authentication",
    SrtpReplay = "srtp_replay",
    SrtpTooOld = "srtp_too_old",
    /// The peer already has [`crate::limits::STREAMS_PER_PEER_MAX`] streams.
    TooManyStreams = "too_many_streams",
    /// An SSRC that neither the description nor MID and RID tie to a track.
    UnknownStream = "unknown_stream",
    /// A payload type that was not negotiated.
    UnknownPayloadType = "unknown_payload_type",
    /// Already received, or recovered by retransmission twice.
    Duplicate = "duplicate",
    /// Older than the cache.
    TooLate = "too_late",
    /// Padding alone, sent to probe the path.
    Padding = "padding",
    /// The track is muted by the server.
    Muted = "muted",
    /// The room forwards its loudest few, and the track is none of them.
    NotLoudest = "not_loudest",
    /// The subscription is paused.
    Paused = "paused",
    /// Another layer of the track is forwarded to this subscriber.
    OtherLayer = "other_layer",
    /// Waiting for a keyframe before forwarding starts.
    AwaitingKeyframe = "awaiting_keyframe",
    /// The subscriber did not negotiate the publisher's payload type.
    NoPayloadMapping = "no_payload_mapping",
    /// The subscriber's connection is not up.
    SubscriberNotConnected = "subscriber_not_connected",
    /// A retransmission was asked for that the cache no longer has.
    NotInCache = "not_in_cache",
    /// More retransmissions were asked for than the budget allows.
    RetransmissionBudget = "retransmission_budget",
    /// Too much video waited for a narrow path.
    PacerFull = "pacer_full",
    /// The packet would not fit a datagram after rewriting.
    TooLarge = "too_large",
    /// A message for a data channel that is not open, too large or over the backlog.
    DataChannel = "data_channel",
    /// More messages on data channels than a peer may send.
    DataRate = "data_rate",
    /// A message on a data channel longer than a peer may send.
    DataTooLong = "data_too_long",
    /// The send batch or an event queue was full.
    QueueFull = "queue_full",
    /// A command named something that does not exist.
    UnknownTarget = "unknown_target",
    /// A command broke a limit.
    LimitExceeded = "limit_exceeded",
}

/// One counter per reason.
#[derive(Clone, Debug)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl Default for DropCounters {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl DropCounters {
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
