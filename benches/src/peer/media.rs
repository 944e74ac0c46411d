//! What a peer sends: a VP8 stream, as a browser would packetise it (RFC 7741), of equal packets unless told.

use consilium_media_core::ids::{ExtSeqNo, Mid, PayloadType, Ssrc};
use consilium_media_core::transport::srtp::SrtpOutbound;

/// Fixed header, extension header, MID of one byte and transport-wide sequence number, padded to a word.
pub const MEDIA_HEADER_LEN: usize = 24;
/// Packets of one frame: about 1 Mbit/s at 25 frames per second.
const PACKETS_PER_FRAME: u64 = 4;
/// RTP ticks of one frame at 90 kHz and 25 frames per second.
const TICKS_PER_FRAME: u32 = 3_600;
/// Frames from keyframe to keyframe. A new subscription starts at one.
const FRAMES_PER_KEYFRAME: u64 = 250;

/// A packet's place in its stream, and how much it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub frame: u64,
    pub first: bool,
    pub last: bool,
    pub payload_len: usize,
}

#[derive(Clone, Debug)]
pub struct MediaStream {
    pub ssrc: Ssrc,
    pub payload_type: PayloadType,
    mid: u8,
    mid_extension: u8,
    transport_cc_extension: u8,
    payload_len: usize,
    packets: u64,
}

impl MediaStream {
    /// `mid` is of one character. Extension ids are those of the one-byte form (RFC 8285 section 4.2).
    pub fn new(
        ssrc: Ssrc,
        payload_type: PayloadType,
        mid: Mid,
        mid_extension: u8,
        transport_cc_extension: u8,
        payload_len: usize,
    ) -> Self {
        let mid = mid.as_bytes().first().copied().unwrap_or(b'0');
        Self { ssrc, payload_type, mid, mid_extension, transport_cc_extension, payload_len, packets: 0 }
    }

    /// Packets made so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Starts the next frame as a keyframe.
    pub fn restart_at_keyframe(&mut self) {
        let keyframe = PACKETS_PER_FRAME * FRAMES_PER_KEYFRAME;
        self.packets = self.packets.next_multiple_of(keyframe);
    }

    /// Where the packet of this number stands when all frames have as many packets.
    fn regular_place(&self, number: u64) -> Place {
        let at = number % PACKETS_PER_FRAME;
        let (first, last) = (at == 0, at == PACKETS_PER_FRAME - 1);
        Place { frame: number / PACKETS_PER_FRAME, first, last, payload_len: self.payload_len }
    }

    pub(super) fn next_packet(&mut self, srtp: &SrtpOutbound) -> Option<Vec<u8>> {
        self.next_packet_at(srtp, self.regular_place(self.packets))
    }

    pub(super) fn next_packet_at(&mut self, srtp: &SrtpOutbound, place: Place) -> Option<Vec<u8>> {
        let number = self.packets;
        self.packets += 1;
        let payload = payload(number, place);
        let mut out = vec![0; MEDIA_HEADER_LEN + payload.len() + srtp.rtp_overhead()];
        // A start in the middle of the space leaves room below for what is late.
        let index = ExtSeqNo::new(0x1000 + number);
        out[..MEDIA_HEADER_LEN].copy_from_slice(&self.header(number, place, index));
        srtp.seal_rtp_from(self.ssrc, index, &mut out, MEDIA_HEADER_LEN, &payload).ok()?;
        Some(out)
    }

    fn header(&self, number: u64, place: Place, index: ExtSeqNo) -> [u8; MEDIA_HEADER_LEN] {
        let mut header = [0; MEDIA_HEADER_LEN];
        header[0] = 0x90;
        header[1] = self.payload_type.get() | if place.last { 0x80 } else { 0 };
        header[2..4].copy_from_slice(&index.seq().get().to_be_bytes());
        header[4..8].copy_from_slice(&(place.frame as u32).wrapping_mul(TICKS_PER_FRAME).to_be_bytes());
        header[8..12].copy_from_slice(&self.ssrc.get().to_be_bytes());
        header[12..16].copy_from_slice(&[0xbe, 0xde, 0, 2]);
        header[16] = self.mid_extension << 4;
        header[17] = self.mid;
        header[18] = self.transport_cc_extension << 4 | 1;
        header[19..21].copy_from_slice(&(number as u16).to_be_bytes());
        header
    }

    /// What the stream's packet of this number carries, from 0 on, when all frames have as many packets.
    pub fn payload(&self, number: u64) -> Vec<u8> {
        payload(number, self.regular_place(number))
    }
}

/// A descriptor with a 15-bit picture id, then the frame header where a frame starts.
fn payload(number: u64, place: Place) -> Vec<u8> {
    let picture = (place.frame as u16 & 0x7fff) | 0x8000;
    let mut payload = vec![0x80 | if place.first { 0x10 } else { 0 }, 0x80];
    payload.extend(picture.to_be_bytes());
    if place.first && place.frame.is_multiple_of(FRAMES_PER_KEYFRAME) {
        // RFC 6386 section 9.1: keyframe, start code, 640 x 360.
        payload.extend([0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01]);
    } else if place.first {
        payload.extend([0x11, 0x02, 0x00]);
    }
    // Recognisable, so that a receiver can tell that it got this packet unchanged.
    payload.extend(number.to_be_bytes());
    payload.resize(place.payload_len.max(payload.len()), number as u8);
    payload
}

/// Length of an RTP packet's header, extensions included; `None` when it is cut off.
pub(super) fn header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let fixed = 12 + 4 * usize::from(first & 0x0f);
    let len = match first & 0x10 {
        0 => fixed,
        _ => {
            let words = packet.get(fixed + 2..fixed + 4)?;
            fixed + 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]))
        }
    };
    (len <= packet.len()).then_some(len)
}

/// The payload of a decrypted packet.
pub fn payload_of(packet: &[u8]) -> Option<&[u8]> {
    packet.get(header_len(packet)?..)
}
