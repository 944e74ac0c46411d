//! The VP8 payload descriptor and the first bytes of the frame header (RFC 7741 section 4).

use super::PictureIdBits;

/// What the descriptor says. Absent fields are `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vp8Descriptor {
    /// Bytes of the descriptor: the VP8 data follows.
    pub len: usize,
    /// S bit and partition 0.
    pub start_of_frame: bool,
    pub picture_id: Option<(u16, PictureIdBits)>,
    pub tl0_pic_idx: Option<u8>,
    pub tid: Option<u8>,
    /// Y bit: this frame depends on the base layer only, so that a receiver may step up here.
    pub layer_sync: bool,
    pub key_idx: Option<u8>,
    /// Start of a keyframe.
    pub is_keyframe: bool,
    /// Width and height in pixels, on the first packet of a keyframe.
    pub size: Option<(u16, u16)>,
}

/// X bit's byte comes second, then what its I, L, and T or K bits announce.
const OPTIONAL_OFFSET: usize = 2;

/// `None` for a payload that ends within its descriptor or right after it.
pub fn parse(payload: &[u8]) -> Option<Vp8Descriptor> {
    let first = *payload.first()?;
    let extended = first & 0x80 != 0;
    let bits = if extended { *payload.get(1)? } else { 0 };
    let mut len = if extended { OPTIONAL_OFFSET } else { 1 };
    let mut picture_id = None;
    if bits & 0x80 != 0 {
        let read = PictureIdBits::read(payload, len)?;
        len += read.1.len();
        picture_id = Some(read);
    }
    let mut tl0_pic_idx = None;
    if bits & 0x40 != 0 {
        tl0_pic_idx = Some(*payload.get(len)?);
        len += 1;
    }
    let (mut tid, mut key_idx, mut layer_sync) = (None, None, false);
    if bits & 0x30 != 0 {
        let byte = *payload.get(len)?;
        if bits & 0x20 != 0 {
            tid = Some(byte >> 6);
            layer_sync = byte & 0x20 != 0;
        }
        key_idx = (bits & 0x10 != 0).then_some(byte & 0x1f);
        len += 1;
    }
    let frame = payload.get(len..)?;
    let start_of_frame = first & 0x10 != 0 && first & 0x07 == 0;
    // Section 4.3: the inverse keyframe flag is the lowest bit of the frame header.
    let is_keyframe = frame.first()? & 1 == 0 && start_of_frame;
    let size = if is_keyframe { size(frame) } else { None };
    Some(Vp8Descriptor { len, start_of_frame, picture_id, tl0_pic_idx, tid, layer_sync, key_idx, is_keyframe, size })
}

/// RFC 6386 section 9.1: three bytes of frame tag, the start code, 14 bits each of width and height, little-endian.
fn size(frame: &[u8]) -> Option<(u16, u16)> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = frame else { return None };
    Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
}

/// Rewrites the numbers that continue across a change of source, in place: fields that are absent stay absent and the width
/// of the picture id is kept. `descriptor_bytes` are those that `descriptor` was parsed from, or a copy.
pub fn patch(descriptor_bytes: &mut [u8], descriptor: &Vp8Descriptor, picture_id: u16, tl0_pic_idx: u8) {
    let mut at = OPTIONAL_OFFSET;
    if let Some((_, bits)) = descriptor.picture_id {
        bits.write(descriptor_bytes, at, picture_id);
        at += bits.len();
    }
    if descriptor.tl0_pic_idx.is_some()
        && let Some(place) = descriptor_bytes.get_mut(at)
    {
        *place = tl0_pic_idx;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keyframe header of 640 x 360.
    const KEYFRAME: [u8; 10] = [0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

    fn payload(descriptor: &[u8], frame: &[u8]) -> Vec<u8> {
        [descriptor, frame].concat()
    }

    #[test]
    fn the_descriptor_that_browsers_send_is_read_whole() {
        // X; I L T K... as Chromium: 15-bit picture id, TL0PICIDX, TID 1 with Y, KEYIDX 3.
        let bytes = payload(&[0x90, 0xf0, 0x92, 0x34, 0x56, 0x40 | 0x20 | 3], &KEYFRAME);
        let want = Vp8Descriptor {
            len: 6,
            start_of_frame: true,
            picture_id: Some((0x1234, PictureIdBits::Fifteen)),
            tl0_pic_idx: Some(0x56),
            tid: Some(1),
            layer_sync: true,
            key_idx: Some(3),
            is_keyframe: true,
            size: Some((640, 360)),
        };
        assert_eq!(parse(&bytes), Some(want));
    }

    #[test]
    fn the_smallest_descriptor_has_no_numbers() {
        let read = parse(&[0x10, 0x01]).unwrap();
        assert_eq!((read.len, read.picture_id, read.tl0_pic_idx, read.tid), (1, None, None, None));
        assert!(read.start_of_frame && !read.is_keyframe);
    }

    #[test]
    fn only_the_first_partition_starts_a_frame() {
        let starts = |first: u8| parse(&payload(&[first], &KEYFRAME)).unwrap().is_keyframe;
        assert!(starts(0x10));
        assert!(!starts(0x11), "start of partition 1");
        assert!(!starts(0x00), "continuation");
    }

    #[test]
    fn a_keyframe_cut_short_has_no_size() {
        let read = parse(&payload(&[0x10], &KEYFRAME[..9])).unwrap();
        assert_eq!((read.is_keyframe, read.size), (true, None));
    }

    #[test]
    fn a_key_index_alone_is_not_a_temporal_layer() {
        let read = parse(&[0x80, 0x10, 0xff, 1]).unwrap();
        assert_eq!((read.tid, read.layer_sync, read.key_idx), (None, false, Some(31)));
    }

    #[test]
    fn a_descriptor_without_a_frame_is_refused() {
        for bytes in [&[][..], &[0x10], &[0x80], &[0x80, 0x80], &[0x80, 0x80, 0x80], &[0x80, 0xf0, 0x80, 0, 0, 0]] {
            assert_eq!(parse(bytes), None);
        }
    }

    #[test]
    fn patching_touches_only_what_is_there() {
        let check = |descriptor: &[u8], want: &[u8]| {
            let mut patched = payload(descriptor, &KEYFRAME);
            let read = parse(&patched).unwrap();
            patch(&mut patched[..read.len], &read, 0x7abc, 0xee);
            assert_eq!(patched, payload(want, &KEYFRAME));
        };
        check(&[0x90, 0xe0, 0x92, 0x34, 0x56, 0x40], &[0x90, 0xe0, 0xfa, 0xbc, 0xee, 0x40]);
        check(&[0x90, 0xc0, 0x12, 0x56], &[0x90, 0xc0, 0x3c, 0xee]);
        check(&[0x90, 0x60, 0x56, 0x40], &[0x90, 0x60, 0xee, 0x40]);
        check(&[0x90, 0x20, 0x40], &[0x90, 0x20, 0x40]);
        check(&[0x10], &[0x10]);
    }

    proptest! {
        #[test]
        fn what_is_patched_is_read_back(
            bytes in prop::collection::vec(any::<u8>(), 0..20), picture_id in 0..0x8000u16, tl0: u8,
        ) {
            if let Some(before) = parse(&bytes) {
                let mut patched = bytes.clone();
                patch(&mut patched, &before, picture_id, tl0);
                let after = parse(&patched).unwrap();
                let mut want = before;
                want.picture_id = before.picture_id.map(|(_, bits)| match bits {
                    PictureIdBits::Seven => (picture_id & 0x7f, bits),
                    PictureIdBits::Fifteen => (picture_id, bits),
                });
                want.tl0_pic_idx = before.tl0_pic_idx.map(|_| tl0);
                prop_assert_eq!(after, want);
                prop_assert!(after.len < bytes.len());
            }
        }
    }
}
