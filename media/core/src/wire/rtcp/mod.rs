//! RTCP: a datagram as its packets, each a view (RFC 3550 section 6, RFC 4585, RFC 5104, RFC 5506).
//!
//! Refuses to know what to do about a report: streams, round trips and bit rates are computed by whoever reads this.

mod feedback;
mod report;
mod sdes;
mod writer;

pub use feedback::{FIR_ENTRIES_MAX, Fir, FirEntry, NACK_ITEMS_MAX, Nack, Pli, Remb, TransportCcFeedback};
pub use report::{ReceiverReport, ReportBlock, ReportBlocks, SenderReport};
pub use sdes::Sdes;
pub use writer::{RTCP_LEN_MAX, RtcpWriter};

use super::{WireError, u16_at, u32_at};
use crate::ids::Ssrc;

/// Packets that we read of one datagram. Browsers send fewer than ten; a datagram of empty ones could hold hundreds.
pub const COMPOUND_PACKETS_MAX: usize = 64;

const HEADER_LEN: usize = 4;

/// Packet types (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2).
pub(super) mod packet_type {
    pub(in crate::wire) const SENDER_REPORT: u8 = 200;
    pub(in crate::wire) const RECEIVER_REPORT: u8 = 201;
    pub(in crate::wire) const SDES: u8 = 202;
    pub(in crate::wire) const BYE: u8 = 203;
    pub(in crate::wire) const APP: u8 = 204;
    pub(in crate::wire) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(in crate::wire) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(in crate::wire) const XR: u8 = 207;
}

/// Feedback message types (RFC 4585 sections 6.2 and 6.3, RFC 5104 section 4.3.1, the transport-cc draft section 3.1).
pub(super) mod format {
    pub(in crate::wire) const NACK: u8 = 1;
    pub(in crate::wire) const TRANSPORT_CC: u8 = 15;
    pub(in crate::wire) const PLI: u8 = 1;
    pub(in crate::wire) const FIR: u8 = 4;
    pub(in crate::wire) const APPLICATION: u8 = 15;
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug)]
pub enum RtcpPacket<'a> {
    SenderReport(SenderReport<'a>),
    ReceiverReport(ReceiverReport<'a>),
    Sdes(Sdes<'a>),
    Bye {
        ssrcs: Ssrcs<'a>,
    },
    Nack(Nack<'a>),
    Pli(Pli),
    Fir(Fir<'a>),
    TransportCc(TransportCcFeedback<'a>),
    Remb(Remb<'a>),
    /// Extended reports (RFC 3611).
    Xr,
    App,
    Unknown {
        packet_type: u8,
        fmt: u8,
    },
}

/// A list of SSRCs: the length of the packet bounds it.
#[derive(Clone, Copy, Debug)]
pub struct Ssrcs<'a>(&'a [u8]);

impl<'a> Ssrcs<'a> {
    pub fn iter(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        self.0.chunks_exact(4).filter_map(|chunk| u32_at(chunk, 0)).map(Ssrc::new)
    }
}

/// The packets of one datagram. Reduced-size RTCP (RFC 5506) makes every first packet legal. A packet with a broken body
/// yields an error and the next one follows; where the framing itself is broken the error is the last item.
pub fn compound(datagram: &[u8]) -> impl Iterator<Item = Result<RtcpPacket<'_>, WireError>> {
    Compound { rest: datagram, read: 0 }
}

struct Compound<'a> {
    rest: &'a [u8],
    read: usize,
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<RtcpPacket<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        if self.read == COMPOUND_PACKETS_MAX {
            self.rest = &[];
            return Some(Err(WireError::TooMany));
        }
        self.read += 1;
        match frame(self.rest) {
            Ok((frame, rest)) => {
                self.rest = rest;
                Some(frame.parse())
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// A packet with its header taken off, and its padding.
struct Frame<'a> {
    packet_type: u8,
    /// Reception report count, source count, or feedback message type.
    count: u8,
    body: &'a [u8],
}

/// The first packet and what follows it.
fn frame(bytes: &[u8]) -> Result<(Frame<'_>, &[u8]), WireError> {
    let &[first, packet_type, ..] = bytes else { return Err(WireError::Truncated) };
    if first >> 6 != 2 {
        return Err(WireError::Version);
    }
    let words = u16_at(bytes, 2).ok_or(WireError::Truncated)?;
    let len = HEADER_LEN + 4 * usize::from(words);
    let (packet, rest) = bytes.split_at_checked(len).ok_or(WireError::Truncated)?;
    let mut body = packet.get(HEADER_LEN..).unwrap_or_default();
    if first & 0x20 != 0 {
        // RFC 3550 section 6.4.1: padding only on the last packet, a multiple of four, its count included. Browsers fill the
        // last word of transport-wide feedback with padding of one to three bytes, wherever it stands.
        let is_transport_cc = packet_type == packet_type::TRANSPORT_FEEDBACK && first & 0x1f == format::TRANSPORT_CC;
        let count = usize::from(body.last().copied().unwrap_or_default());
        let is_regular = is_transport_cc || (rest.is_empty() && count % 4 == 0);
        if !is_regular || count == 0 || count > body.len() {
            return Err(WireError::Padding);
        }
        body = body.get(..body.len() - count).unwrap_or_default();
    }
    Ok((Frame { packet_type, count: first & 0x1f, body }, rest))
}

/// The first word of a packet without padding; `body_len` is a multiple of four and fits a datagram.
pub(super) fn header_word(packet_type: u8, count: u8, body_len: usize) -> u32 {
    u32::from_be_bytes([0x80 | count, packet_type, 0, 0]) | (body_len / 4) as u32 & 0xffff
}

impl<'a> Frame<'a> {
    fn parse(&self) -> Result<RtcpPacket<'a>, WireError> {
        let Self { packet_type, count, body } = *self;
        Ok(match (packet_type, count) {
            (packet_type::SENDER_REPORT, _) => RtcpPacket::SenderReport(SenderReport::parse(count, body)?),
            (packet_type::RECEIVER_REPORT, _) => RtcpPacket::ReceiverReport(ReceiverReport::parse(count, body)?),
            (packet_type::SDES, _) => RtcpPacket::Sdes(Sdes::parse(count, body)?),
            (packet_type::BYE, _) => {
                let ssrcs = body.get(..4 * usize::from(count)).ok_or(WireError::Truncated)?;
                RtcpPacket::Bye { ssrcs: Ssrcs(ssrcs) }
            }
            (packet_type::TRANSPORT_FEEDBACK, format::NACK) => RtcpPacket::Nack(Nack::parse(body)?),
            (packet_type::TRANSPORT_FEEDBACK, format::TRANSPORT_CC) => {
                RtcpPacket::TransportCc(TransportCcFeedback::parse(body)?)
            }
            (packet_type::PAYLOAD_FEEDBACK, format::PLI) => RtcpPacket::Pli(Pli::parse(body)?),
            (packet_type::PAYLOAD_FEEDBACK, format::FIR) => RtcpPacket::Fir(Fir::parse(body)?),
            (packet_type::PAYLOAD_FEEDBACK, format::APPLICATION) => match Remb::parse(body)? {
                Some(remb) => RtcpPacket::Remb(remb),
                None => RtcpPacket::Unknown { packet_type, fmt: count },
            },
            (packet_type::XR, _) => RtcpPacket::Xr,
            (packet_type::APP, _) => RtcpPacket::App,
            _ => RtcpPacket::Unknown { packet_type, fmt: count },
        })
    }
}

#[cfg(test)]
mod tests;
