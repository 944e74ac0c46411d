//! Packets as bytes: RTP headers and their extensions, RTCP. Zero-copy views to read, writers into the caller's buffer.
//!
//! Owns the wire formats and nothing else: it keeps no state about streams, knows no peers and never looks into a payload
//! (that is `codec`). The one exception is [`transport_cc`], whose format is the memory of what arrived when.

pub mod ext;
pub mod ntp;
pub mod rtcp;
pub mod rtp;
pub mod transport_cc;

/// Why bytes are not the packet that they claim to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    #[error("shorter than its own fields say")]
    Truncated,
    #[error("not version 2")]
    Version,
    #[error("a length field contradicts the packet type")]
    Length,
    #[error("padding count zero, too large, or before the last packet")]
    Padding,
    #[error("a field's value is out of its range")]
    Value,
    #[error("more packets in one datagram than we accept")]
    TooMany,
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|b| u64::from_be_bytes(*b))
}
