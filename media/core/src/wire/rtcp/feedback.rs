//! Feedback messages: NACK, PLI (RFC 4585), FIR (RFC 5104), transport-cc and REMB.

use super::Ssrcs;
use crate::ids::{SeqNo, Ssrc};
use crate::wire::{WireError, u16_at, u32_at};

/// Packet ids with their masks that are read of one NACK: 253 is what libwebrtc puts into one at most.
pub const NACK_ITEMS_MAX: usize = 253;
/// Requests that are read of one FIR. One per stream that a peer can receive would already be odd.
pub const FIR_ENTRIES_MAX: usize = 64;

/// Sender and media SSRC (RFC 4585 section 6.1), and what follows.
fn split(body: &[u8]) -> Result<(Ssrc, Ssrc, &[u8]), WireError> {
    let read = || Some((Ssrc::new(u32_at(body, 0)?), Ssrc::new(u32_at(body, 4)?), body.get(8..)?));
    read().ok_or(WireError::Truncated)
}

/// Packets that did not arrive (RFC 4585 section 6.2.1).
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    pub sender: Ssrc,
    pub media: Ssrc,
    items: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let (sender, media, items) = split(body)?;
        if items.is_empty() { Err(WireError::Length) } else { Ok(Self { sender, media, items }) }
    }

    /// The lost packets, in the order of the message. At most 17 times [`NACK_ITEMS_MAX`].
    pub fn lost(&self) -> impl Iterator<Item = SeqNo> + use<'a> {
        self.items.chunks_exact(4).take(NACK_ITEMS_MAX).flat_map(|item| {
            let first = u16_at(item, 0).unwrap_or_default();
            let mask = u16_at(item, 2).unwrap_or_default();
            let following = (0..16u16).filter(move |bit| mask >> bit & 1 == 1).map(|bit| bit + 1);
            std::iter::once(0).chain(following).map(move |offset| SeqNo::new(first.wrapping_add(offset)))
        })
    }
}

/// Picture loss: a keyframe is wanted (RFC 4585 section 6.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pli {
    pub sender: Ssrc,
    pub media: Ssrc,
}

impl Pli {
    pub(super) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let (sender, media, _) = split(body)?;
        Ok(Self { sender, media })
    }
}

/// Full intra request (RFC 5104 section 4.3.1). Its media SSRC is unused; the entries name the streams.
#[derive(Clone, Copy, Debug)]
pub struct Fir<'a> {
    pub sender: Ssrc,
    entries: &'a [u8],
}

/// A repeated `seq_nr` is the same request again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirEntry {
    pub ssrc: Ssrc,
    pub seq_nr: u8,
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let (sender, _, entries) = split(body)?;
        if entries.is_empty() || entries.len() % 8 != 0 { Err(WireError::Length) } else { Ok(Self { sender, entries }) }
    }

    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + use<'a> {
        self.entries.chunks_exact(8).take(FIR_ENTRIES_MAX).filter_map(|entry| {
            let (ssrc, &seq_nr) = (u32_at(entry, 0)?, entry.get(4)?);
            Some(FirEntry { ssrc: Ssrc::new(ssrc), seq_nr })
        })
    }
}

/// Transport-wide feedback, not taken apart: base sequence number and all that follows.
#[derive(Clone, Copy, Debug)]
pub struct TransportCcFeedback<'a> {
    pub sender: Ssrc,
    pub media: Ssrc,
    pub body: &'a [u8],
}

impl<'a> TransportCcFeedback<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (sender, media, body) = split(bytes)?;
        // Base, count, reference time, feedback count and one chunk are the least there is.
        if body.len() < 10 { Err(WireError::Truncated) } else { Ok(Self { sender, media, body }) }
    }
}

/// Receiver estimated maximum bit rate (draft-alvestrand-rmcat-remb-03 section 2.2).
#[derive(Clone, Copy, Debug)]
pub struct Remb<'a> {
    pub sender: Ssrc,
    pub bitrate_bps: u64,
    pub ssrcs: Ssrcs<'a>,
}

impl<'a> Remb<'a> {
    /// `None` for another application's message.
    pub(super) fn parse(body: &'a [u8]) -> Result<Option<Self>, WireError> {
        let (sender, _, rest) = split(body)?;
        if rest.get(..4) != Some(b"REMB") {
            return Ok(None);
        }
        let packed = u32_at(rest, 4).ok_or(WireError::Truncated)?;
        let (count, exponent, mantissa) = (packed >> 24, packed >> 18 & 0x3f, u64::from(packed & 0x3_ffff));
        let bitrate_bps = mantissa << exponent;
        if bitrate_bps >> exponent != mantissa {
            return Err(WireError::Value);
        }
        let ssrcs = rest.get(8..8 + 4 * count as usize).ok_or(WireError::Truncated)?;
        Ok(Some(Self { sender, bitrate_bps, ssrcs: Ssrcs(ssrcs) }))
    }
}
