//! Composes a compound RTCP datagram, packet after packet, in the caller's buffer.

use super::report::{REPORT_BLOCK_LEN, SENDER_INFO_LEN};
use super::{FirEntry, HEADER_LEN, ReportBlock, format, packet_type, sdes};
use crate::ids::{RtpTime, SeqNo, Ssrc};
use crate::wire::ntp::NtpTime;
use crate::wire::transport_cc::TransportCcRecorder;

/// Bytes of one compound before protection: with SRTCP, UDP and IPv6 headers it stays within the 1,280 bytes that every
/// IPv6 path carries (RFC 8200 section 5).
pub const RTCP_LEN_MAX: usize = 1_200;
/// The count field has five bits (RFC 3550 section 6.4.1).
const COUNT_MAX: usize = 31;
/// The two SSRCs of a feedback message.
const FEEDBACK_PREFIX_LEN: usize = 8;

/// Appends to `out`. A packet that does not fit in [`RTCP_LEN_MAX`] bytes since [`RtcpWriter::new`] is not written at all,
/// and its method says so.
pub struct RtcpWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> RtcpWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `reports` beyond the 31st are left out, for a [`RtcpWriter::receiver_report`] to carry (RFC 3550 section 6.1).
    pub fn sender_report(
        &mut self,
        ssrc: Ssrc,
        ntp: NtpTime,
        rtp: RtpTime,
        packets: u32,
        octets: u32,
        reports: &[ReportBlock],
    ) -> bool {
        let reports = &reports[..reports.len().min(COUNT_MAX)];
        let body_len = SENDER_INFO_LEN + reports.len() * REPORT_BLOCK_LEN;
        if !self.header(packet_type::SENDER_REPORT, reports.len() as u8, body_len) {
            return false;
        }
        self.word(ssrc.get());
        self.out.extend_from_slice(&ntp.get().to_be_bytes());
        for word in [rtp.get(), packets, octets] {
            self.word(word);
        }
        reports.iter().for_each(|report| report.write(self.out));
        true
    }

    /// `reports` beyond the 31st are left out, for another one to carry.
    pub fn receiver_report(&mut self, ssrc: Ssrc, reports: &[ReportBlock]) -> bool {
        let reports = &reports[..reports.len().min(COUNT_MAX)];
        if !self.header(packet_type::RECEIVER_REPORT, reports.len() as u8, 4 + reports.len() * REPORT_BLOCK_LEN) {
            return false;
        }
        self.word(ssrc.get());
        reports.iter().for_each(|report| report.write(self.out));
        true
    }

    /// One chunk. A `cname` of more than 255 bytes is refused.
    pub fn sdes_cname(&mut self, ssrc: Ssrc, cname: &[u8]) -> bool {
        // SSRC, item type and length, text, and one zero at least.
        let body_len = (4 + 2 + cname.len() + 1).next_multiple_of(4);
        let Ok(len) = u8::try_from(cname.len()) else { return false };
        if !self.header(packet_type::SDES, 1, body_len) {
            return false;
        }
        let end = self.out.len() + body_len;
        self.word(ssrc.get());
        self.out.extend_from_slice(&[sdes::CNAME, len]);
        self.out.extend_from_slice(cname);
        self.out.resize(end, 0);
        true
    }

    /// Asks for `lost`, packed into ids and masks: ascending order (with wrap) packs best, any order is right. Returns how
    /// many of them went in, from the front; less than all when the room or [`super::NACK_ITEMS_MAX`] ends.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, lost: &[SeqNo]) -> usize {
        let room = RTCP_LEN_MAX.saturating_sub(self.len() + HEADER_LEN + FEEDBACK_PREFIX_LEN) / 4;
        let room = room.min(super::NACK_ITEMS_MAX);
        let (mut items, mut written) = (0, 0);
        while items < room && written < lost.len() {
            written += nack_item(&lost[written..]).2;
            items += 1;
        }
        if items == 0 || !self.feedback(packet_type::TRANSPORT_FEEDBACK, format::NACK, sender, media, items * 4) {
            return 0;
        }
        let mut rest = &lost[..written];
        while !rest.is_empty() {
            let (first, mask, taken) = nack_item(rest);
            self.word(u32::from(first) << 16 | u32::from(mask));
            rest = &rest[taken..];
        }
        written
    }

    pub fn pli(&mut self, sender: Ssrc, media: Ssrc) -> bool {
        self.feedback(packet_type::PAYLOAD_FEEDBACK, format::PLI, sender, media, 0)
    }

    /// RFC 5104 section 4.3.1.2: the media SSRC of the message is zero.
    pub fn fir(&mut self, sender: Ssrc, entries: &[FirEntry]) -> bool {
        let len = entries.len() * 8;
        if entries.is_empty() || !self.feedback(packet_type::PAYLOAD_FEEDBACK, format::FIR, sender, Ssrc::new(0), len) {
            return false;
        }
        for entry in entries {
            self.word(entry.ssrc.get());
            self.word(u32::from(entry.seq_nr) << 24);
        }
        true
    }

    /// draft-alvestrand-rmcat-remb-03 section 2.2, rounded down to 18 bits; the media SSRC of the message is zero. At most
    /// 255 sources.
    pub fn remb(&mut self, sender: Ssrc, bitrate_bps: u64, ssrcs: &[Ssrc]) -> bool {
        let (Ok(count), len) = (u8::try_from(ssrcs.len()), 8 + 4 * ssrcs.len()) else { return false };
        if !self.feedback(packet_type::PAYLOAD_FEEDBACK, format::APPLICATION, sender, Ssrc::new(0), len) {
            return false;
        }
        let exponent = (64 - bitrate_bps.leading_zeros()).saturating_sub(18);
        self.out.extend_from_slice(b"REMB");
        self.word(u32::from(count) << 24 | exponent << 18 | (bitrate_bps >> exponent) as u32);
        ssrcs.iter().for_each(|ssrc| self.word(ssrc.get()));
        true
    }

    /// At most 31 sources.
    pub fn bye(&mut self, ssrcs: &[Ssrc]) -> bool {
        if ssrcs.len() > COUNT_MAX || !self.header(packet_type::BYE, ssrcs.len() as u8, ssrcs.len() * 4) {
            return false;
        }
        ssrcs.iter().for_each(|ssrc| self.word(ssrc.get()));
        true
    }

    /// One feedback packet of what `recorder` has to report, as far as it fits; `false` when there is nothing, or no room.
    pub fn transport_cc(&mut self, recorder: &mut TransportCcRecorder, sender: Ssrc, media: Ssrc) -> bool {
        let room = RTCP_LEN_MAX.saturating_sub(self.len());
        recorder.build_within(sender, media, self.out, room)
    }

    /// `body_len` is a multiple of four.
    fn header(&mut self, packet_type: u8, count: u8, body_len: usize) -> bool {
        if self.len() + HEADER_LEN + body_len > RTCP_LEN_MAX {
            return false;
        }
        self.word(super::header_word(packet_type, count, body_len));
        true
    }

    fn feedback(&mut self, packet_type: u8, fmt: u8, sender: Ssrc, media: Ssrc, len: usize) -> bool {
        if !self.header(packet_type, fmt, FEEDBACK_PREFIX_LEN + len) {
            return false;
        }
        self.word(sender.get());
        self.word(media.get());
        true
    }

    fn word(&mut self, word: u32) {
        self.out.extend_from_slice(&word.to_be_bytes());
    }
}

/// The item that the front of `lost` makes: packet id, mask of the following sixteen, and how many numbers it covers.
fn nack_item(lost: &[SeqNo]) -> (u16, u16, usize) {
    let Some((first, rest)) = lost.split_first() else { return (0, 0, 0) };
    let mut mask = 0;
    let mut taken = 1;
    for seq in rest {
        match seq.get().wrapping_sub(first.get()) {
            0 => {}
            distance @ 1..=16 => mask |= 1 << (distance - 1),
            _ => break,
        }
        taken += 1;
    }
    (first.get(), mask, taken)
}
