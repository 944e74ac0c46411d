//! SRTP and SRTCP (RFC 3711, RFC 7714) in place on aws-lc-rs.
//!
//! Owns: the keys that DTLS exported, the ciphers, the roll-over estimate and the replay windows of what comes in. Refuses
//! to know: how an RTP header is built (the caller says how long it is), which track an SSRC belongs to, and which sequence
//! numbers leave (the caller owns the extended sequence of each outgoing SSRC).
//!
//! ```text
//! profile            lengths of each protection profile
//! keys               DTLS exporter -> master keys -> session keys
//! gcm cm cipher      the two transforms, and the choice between them
//! replay streams     per-SSRC replay windows, made only after authentication
//! inbound outbound   the two directions of one peer connection
//! ```

mod cipher;
mod cm;
mod gcm;
mod inbound;
mod keys;
mod outbound;
mod profile;
mod replay;
mod streams;
#[cfg(test)]
mod tests;

pub use inbound::{OpenedRtp, SrtpInbound};
pub use keys::{MasterKey, SrtpKeys};
pub use outbound::SrtpOutbound;
pub use profile::SrtpProfile;
pub(crate) use replay::ReplayWindow;

use crate::drops::DropReason;
use crate::ids::{SeqNo, Ssrc};

/// Fixed RTP header (RFC 3550 section 5.1), in bytes.
const RTP_HEADER_LEN: usize = 12;
/// The part of an RTCP packet that stays in the clear: fixed header and sender's SSRC (RFC 3711 section 3.4), in bytes.
const RTCP_HEADER_LEN: usize = 8;
/// E-flag and SRTCP index (RFC 3711 section 3.4), in bytes.
const SRTCP_INDEX_LEN: usize = 4;
/// The E-flag: the packet is encrypted (RFC 3711 section 3.4).
const SRTCP_ENCRYPTED: u32 = 1 << 31;
/// Largest SRTCP index (RFC 3711 section 3.2.1).
const SRTCP_INDEX_MAX: u32 = (1 << 31) - 1;
/// Largest packet index: a 32-bit roll-over counter and a 16-bit sequence (RFC 3711 section 3.3.1).
const SRTP_INDEX_MAX: u64 = (1 << 48) - 1;

/// Why a packet could not be opened or sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum SrtpError {
    /// Too short for its header, index and tag, or SRTCP without encryption. On sealing: the header in place does not
    /// carry the SSRC and sequence that were asked for.
    #[error("malformed packet")]
    Malformed,
    /// The tag does not match. The packet's bytes are garbage now.
    #[error("authentication failed")]
    Authentication,
    /// This index was accepted before.
    #[error("replayed packet")]
    Replay,
    /// Below the replay window.
    #[error("packet older than the replay window")]
    TooOld,
    /// [`crate::limits::STREAMS_PER_PEER_MAX`] SSRCs are known already.
    #[error("too many streams")]
    TooManyStreams,
    /// RFC 3711 section 9.2: 2^48 SRTP or 2^31 SRTCP packets are all that one master key may protect.
    #[error("key exhausted")]
    KeyExhausted,
    /// A key, salt or buffer does not have the length that the profile asks for.
    #[error("wrong length")]
    Length,
}

impl SrtpError {
    /// The reason under which the packet is counted. For `Malformed` it is that of RTP: who opens RTCP counts
    /// [`DropReason::RtcpMalformed`] instead.
    pub fn drop_reason(self) -> DropReason {
        match self {
            Self::Malformed => DropReason::RtpMalformed,
            Self::Authentication => DropReason::SrtpAuthentication,
            Self::Replay => DropReason::SrtpReplay,
            Self::TooOld => DropReason::SrtpTooOld,
            Self::TooManyStreams => DropReason::TooManyStreams,
            Self::KeyExhausted => DropReason::SrtpNotReady,
            Self::Length => DropReason::TooLarge,
        }
    }
}

/// Sequence number and SSRC of an RTP packet; `None` when it is shorter than the fixed header.
fn rtp_fields(packet: &[u8]) -> Option<(SeqNo, Ssrc)> {
    let [_, _, s0, s1, _, _, _, _, c0, c1, c2, c3] = *packet.first_chunk::<RTP_HEADER_LEN>()?;
    Some((SeqNo::new(u16::from_be_bytes([s0, s1])), Ssrc::new(u32::from_be_bytes([c0, c1, c2, c3]))))
}

/// SSRC of an RTCP packet's sender; `None` when it is shorter than the part in the clear.
fn rtcp_ssrc(packet: &[u8]) -> Option<Ssrc> {
    let [_, _, _, _, c0, c1, c2, c3] = *packet.first_chunk::<RTCP_HEADER_LEN>()?;
    Some(Ssrc::new(u32::from_be_bytes([c0, c1, c2, c3])))
}
