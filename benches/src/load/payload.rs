//! What a generated packet carries: enough of a codec's format for any server's keyframe logic, then who sent it, which packet of
//! which stream it is, and when it left, so that each packet that arrives is attributed and timed by itself.

use super::seam::{MemberId, StreamKind};

/// Tells our packets from others', such as bandwidth probes.
const MAGIC: u32 = 0xc0_45_11_1a;
/// Magic, member, kind and layer, sequence, time.
const MARK_LEN: usize = 4 + 4 + 2 + 8 + 8;
/// RFC 7741: X and I bits, a picture id of 15 bits.
const VP8_DESCRIPTOR_LEN: usize = 4;
/// RFC 6386 section 9.1.
const KEYFRAME_HEADER: [u8; 10] = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02];
const DELTA_HEADER: [u8; 3] = [0x11, 0x02, 0x00];
/// Shortest payload that has room for everything.
pub(super) const PAYLOAD_LEN_MIN: usize = VP8_DESCRIPTOR_LEN + KEYFRAME_HEADER.len() + MARK_LEN;

/// Who sent which packet, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) member: MemberId,
    pub(super) kind: StreamKind,
    pub(super) layer: u8,
    /// Counts the packets of this stream from 0.
    pub(super) seq: u64,
    /// Since the Unix epoch.
    pub(super) sent_ns: u64,
}

/// A packet's place in its picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Picture {
    pub(super) id: u16,
    pub(super) first_packet: bool,
    pub(super) keyframe: bool,
}

/// Fills `payload`, which has [`PAYLOAD_LEN_MIN`] bytes at least. What is left of it keeps what it held.
pub(super) fn write(payload: &mut [u8], mark: &Mark, picture: Option<Picture>) {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(place) = payload.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        at += bytes.len();
    };
    if let Some(picture) = picture {
        put(&[0x80 | if picture.first_packet { 0x10 } else { 0 }, 0x80]);
        put(&(picture.id | 0x8000).to_be_bytes());
        match (picture.first_packet, picture.keyframe) {
            (true, true) => put(&KEYFRAME_HEADER),
            (true, false) => put(&DELTA_HEADER),
            (false, _) => {}
        }
    }
    put(&MAGIC.to_be_bytes());
    put(&mark.member.0.to_be_bytes());
    put(&[u8::from(mark.kind == StreamKind::Video), mark.layer]);
    put(&mark.seq.to_be_bytes());
    put(&mark.sent_ns.to_be_bytes());
}

/// The mark in a received payload. A server may have changed the numbers in the descriptor, never its length here.
pub(super) fn read(payload: &[u8]) -> Option<Mark> {
    let offsets =
        [0, VP8_DESCRIPTOR_LEN, VP8_DESCRIPTOR_LEN + DELTA_HEADER.len(), VP8_DESCRIPTOR_LEN + KEYFRAME_HEADER.len()];
    offsets.into_iter().find_map(|offset| read_at(payload.get(offset..)?))
}

fn read_at(bytes: &[u8]) -> Option<Mark> {
    let mark: &[u8; MARK_LEN] = bytes.first_chunk()?;
    let four = |at: usize| u32::from_be_bytes([mark[at], mark[at + 1], mark[at + 2], mark[at + 3]]);
    let eight = |at: usize| u64::from(four(at)) << 32 | u64::from(four(at + 4));
    (four(0) == MAGIC).then(|| Mark {
        member: MemberId(four(4)),
        kind: if mark[8] == 1 { StreamKind::Video } else { StreamKind::Audio },
        layer: mark[9],
        seq: eight(10),
        sent_ns: eight(18),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_the_codec_puts_it() {
        let pictures = [
            None,
            Some(Picture { id: 7, first_packet: true, keyframe: true }),
            Some(Picture { id: 8, first_packet: true, keyframe: false }),
            Some(Picture { id: 9, first_packet: false, keyframe: false }),
        ];
        for picture in pictures {
            let kind = if picture.is_some() { StreamKind::Video } else { StreamKind::Audio };
            let mark =
                Mark { member: MemberId(70_000), kind, layer: 2, seq: 1 << 33, sent_ns: 1_700_000_000_123_456_789 };
            let mut payload = [0; PAYLOAD_LEN_MIN];
            write(&mut payload, &mark, picture);
            assert_eq!(read(&payload), Some(mark), "{picture:?}");
        }
    }

    #[test]
    fn what_nobody_marked_is_not_read() {
        assert_eq!(read(&[0; 200]), None);
        assert_eq!(read(&[]), None);
    }
}
