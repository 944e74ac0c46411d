//! What was negotiated, as plain values: the core knows nothing of SDP.

use crate::ids::{Mid, PayloadType, Rid, Ssrc, TrackId};
use std::net::{IpAddr, SocketAddr};

/// ICE username fragment and password (RFC 8445 section 5.3). `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub pwd: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// Hash of a certificate (RFC 8122).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FingerprintHash {
    Sha256,
    Sha384,
    Sha512,
}

impl FingerprintHash {
    /// Bytes in a hash.
    pub fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

/// A certificate's hash as the far side announced it. `bytes.len()` equals `hash.output_len()`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    pub hash: FingerprintHash,
    pub bytes: Vec<u8>,
}

/// Which end of the DTLS handshake we are (RFC 8842): `Server` when our description says `passive`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtlsRole {
    Client,
    Server,
}

/// Everything about the far side that its description told us.
#[derive(Clone, Debug)]
pub struct RemoteParameters {
    pub ice: IceCredentials,
    /// Any one of them may match (RFC 8122 section 5). Never empty.
    pub fingerprints: Vec<Fingerprint>,
    /// Our role.
    pub dtls_role: DtlsRole,
    /// The largest data-channel message that the far side accepts, in bytes (RFC 8841 section 6).
    pub max_message_size: u32,
}

/// Where a datagram came from, and so where the answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Path {
    pub remote: SocketAddr,
    /// The address of ours that it arrived at, where the socket can tell: answers leave from it.
    pub local: Option<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaKind {
    Audio,
    Video,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    Opus,
    /// Redundant audio (RFC 2198) around Opus.
    Red,
    Vp8,
    Vp9,
    H264,
    Av1,
}

impl Codec {
    pub fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Red => MediaKind::Audio,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => MediaKind::Video,
        }
    }
}

/// One payload type that a publisher may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodecParameters {
    pub payload_type: PayloadType,
    pub codec: Codec,
    /// Hz.
    pub clock_rate: u32,
    /// Payload type of its retransmissions (RFC 4588).
    pub rtx: Option<PayloadType>,
    /// Generic NACK was negotiated (RFC 4585).
    pub nack: bool,
    /// Keyframes are asked for with FIR (RFC 5104): it was negotiated, and PLI was not.
    pub fir_only: bool,
    /// The publisher is to be told what its path carries, as a receiver's estimate (draft-alvestrand-rmcat-remb-03): that was
    /// negotiated, and transport-wide feedback was not.
    pub remb: bool,
}

/// RTP header extensions that the core reads, writes or passes through (RFC 8285).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeaderExtension {
    /// urn:ietf:params:rtp-hdrext:sdes:mid
    Mid,
    /// urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
    RtpStreamId,
    /// urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
    RepairedRtpStreamId,
    /// urn:ietf:params:rtp-hdrext:ssrc-audio-level
    AudioLevel,
    /// <http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time>
    AbsSendTime,
    /// <http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01>
    TransportCc,
    /// urn:3gpp:video-orientation
    VideoOrientation,
    /// <http://www.webrtc.org/experiments/rtp-hdrext/playout-delay>
    PlayoutDelay,
    /// <http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time>
    AbsCaptureTime,
    /// <https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension>
    DependencyDescriptor,
}

/// A negotiated extension id, 1 to 255 (two-byte form above 14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtensionId {
    pub id: u8,
    pub extension: HeaderExtension,
}

/// One simulcast encoding of a track, lowest resolution first: `layer` 0 is the smallest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoding {
    /// `None` for a track without simulcast, or for one announced by SSRC.
    pub rid: Option<Rid>,
    /// Announced in the description; otherwise learned from the first authenticated packet.
    pub ssrc: Option<Ssrc>,
    pub rtx_ssrc: Option<Ssrc>,
    /// Spatial rank, 0 lowest.
    pub layer: u8,
}

/// What a video track shows, which decides how it yields to a narrow path (W3C mst-content-hint).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Content {
    /// A camera: rather smaller than slower.
    #[default]
    Motion,
    /// A shared screen or an image: rather slower than smaller.
    Detail,
}

/// One m-section that a publisher sends on.
#[derive(Clone, Debug)]
pub struct ReceiveSection {
    pub mid: Mid,
    pub kind: MediaKind,
    pub content: Content,
    /// The track that it carries. `None` while the client has not announced it: packets are then dropped and counted.
    pub track: Option<TrackId>,
    pub codecs: Vec<CodecParameters>,
    pub extensions: Vec<ExtensionId>,
    /// At least one; see [`crate::limits::ENCODINGS_MAX`].
    pub encodings: Vec<Encoding>,
}

/// How a publisher's payload type leaves to one subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadMapping {
    pub from: PayloadType,
    pub to: PayloadType,
    /// The subscriber's retransmission payload type, where RTX was negotiated.
    pub rtx: Option<PayloadType>,
    /// The subscriber did not negotiate RED: the primary block alone is sent, as `to`.
    pub strip_red: bool,
}

/// How one track leaves to one subscriber. Payload types that have no mapping are not forwarded.
#[derive(Clone, Debug)]
pub struct SendParameters {
    pub mid: Mid,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Option<Ssrc>,
    /// SDES CNAME (RFC 7022): the same for all tracks of one participant, so that receivers synchronise them.
    pub cname: String,
    pub payloads: Vec<PayloadMapping>,
    pub extensions: Vec<ExtensionId>,
}

/// What a subscriber wants of a track. The core forwards the highest layer that exists and does not exceed it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LayerLimit {
    pub spatial: u8,
    pub temporal: u8,
}

impl LayerLimit {
    pub const ALL: Self = Self { spatial: u8::MAX, temporal: u8::MAX };
    /// The smallest picture, in full motion.
    pub const LEAST: Self = Self { spatial: 0, temporal: u8::MAX };
}
