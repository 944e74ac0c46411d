//! The VP9 payload descriptor (RFC 9628 section 4.2). It stands in front of every packet, in flexible mode and out of it.

use super::PictureIdBits;

/// What the descriptor says. Absent fields are `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vp9Descriptor {
    /// Bytes of the descriptor: the VP9 data follows.
    pub len: usize,
    pub picture_id: Option<(u16, PictureIdBits)>,
    pub tid: Option<u8>,
    pub sid: Option<u8>,
    /// Only outside flexible mode.
    pub tl0_pic_idx: Option<u8>,
    /// B: first packet of a layer frame.
    pub start_of_frame: bool,
    /// E: last packet of a layer frame.
    pub end_of_frame: bool,
    /// P: depends on earlier pictures.
    pub inter_predicted: bool,
    /// U: a receiver may step up to this temporal layer here.
    pub switching_up: bool,
    /// D: depends on the spatial layer below in the same picture.
    pub inter_layer: bool,
    /// Z inverted: higher spatial layers may depend on this frame.
    pub is_reference: bool,
    /// V: the scalability structure is in this packet.
    pub has_structure: bool,
    /// First packet of a keyframe: of its lowest spatial layer.
    pub is_keyframe: bool,
}

/// Reference indices in flexible mode: a fourth one breaks section 4.2.
const REFERENCES_MAX: usize = 3;

/// `None` for a payload that ends within its descriptor or right after it.
pub fn parse(payload: &[u8]) -> Option<Vp9Descriptor> {
    let first = *payload.first()?;
    let has = |bit: u8| first & bit != 0;
    let (inter_predicted, flexible) = (has(0x40), has(0x10));
    let mut len = 1;
    let mut picture_id = None;
    if has(0x80) {
        let read = PictureIdBits::read(payload, len)?;
        len += read.1.len();
        picture_id = Some(read);
    }
    let (mut layers, mut tl0_pic_idx) = (None, None);
    if has(0x20) {
        layers = Some(*payload.get(len)?);
        len += 1;
        if !flexible {
            tl0_pic_idx = Some(*payload.get(len)?);
            len += 1;
        }
    }
    if inter_predicted && flexible {
        len += references_len(payload.get(len..)?)?;
    }
    let has_structure = has(0x02);
    if has_structure {
        len += structure_len(payload.get(len..)?)?;
    }
    if payload.len() <= len {
        return None;
    }
    let sid = layers.map(|byte| byte >> 1 & 0x07);
    Some(Vp9Descriptor {
        len,
        picture_id,
        tid: layers.map(|byte| byte >> 5),
        sid,
        tl0_pic_idx,
        start_of_frame: has(0x08),
        end_of_frame: has(0x04),
        inter_predicted,
        switching_up: layers.is_some_and(|byte| byte & 0x10 != 0),
        inter_layer: layers.is_some_and(|byte| byte & 0x01 != 0),
        is_reference: !has(0x01),
        has_structure,
        is_keyframe: !inter_predicted && has(0x08) && sid.unwrap_or(0) == 0,
    })
}

/// Bytes of the P_DIFF list: the lowest bit says whether another follows.
fn references_len(bytes: &[u8]) -> Option<usize> {
    let last = bytes.iter().take(REFERENCES_MAX).position(|byte| byte & 1 == 0)?;
    Some(last + 1)
}

/// Bytes of the scalability structure (section 4.2.1).
fn structure_len(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    let mut len = 1;
    if first & 0x10 != 0 {
        // Width and height of each spatial layer.
        len += 4 * (usize::from(first >> 5) + 1);
    }
    if first & 0x08 != 0 {
        // The count has eight bits, so this walks 255 pictures at most.
        let pictures = *bytes.get(len)?;
        len += 1;
        for _ in 0..pictures {
            let references = *bytes.get(len)? >> 2 & 0x03;
            len += 1 + usize::from(references);
        }
    }
    (len <= bytes.len()).then_some(len)
}

/// Rewrites the picture id in place, keeping its width; nothing where there is none. `descriptor_bytes` are those that
/// `descriptor` was parsed from, or a copy.
pub fn patch(descriptor_bytes: &mut [u8], descriptor: &Vp9Descriptor, picture_id: u16) {
    if let Some((_, bits)) = descriptor.picture_id {
        bits.write(descriptor_bytes, 1, picture_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_keyframe_that_browsers_send_is_read_whole() {
        // I L B V, non-flexible: picture id, layers, TL0PICIDX, structure of one layer 1280 x 720 and one picture.
        let bytes = [0xaa, 0x81, 0x02, 0x00, 0x07, 0x18, 0x05, 0x00, 0x02, 0xd0, 1, 0x14, 1, 0xff];
        let read = parse(&bytes).unwrap();
        assert_eq!((read.len, read.picture_id), (13, Some((0x102, PictureIdBits::Fifteen))));
        assert_eq!((read.tid, read.sid, read.tl0_pic_idx), (Some(0), Some(0), Some(7)));
        assert!(
            read.start_of_frame && !read.end_of_frame && read.has_structure && read.is_keyframe && read.is_reference
        );
    }

    #[test]
    fn layer_bits_are_told_apart() {
        // L B E Z in flexible mode, TID 5, U, SID 3, D.
        let read = parse(&[0x3d, 0xb7, 0]).unwrap();
        assert_eq!((read.tid, read.sid, read.tl0_pic_idx, read.len), (Some(5), Some(3), None, 2));
        assert!(read.switching_up && read.inter_layer && read.end_of_frame && !read.is_reference);
    }

    #[test]
    fn a_keyframe_starts_with_the_first_packet_of_the_lowest_layer() {
        let is_keyframe = |bytes: &[u8]| parse(bytes).unwrap().is_keyframe;
        assert!(is_keyframe(&[0x08, 0]));
        assert!(is_keyframe(&[0x28, 0x00, 0, 0]));
        assert!(!is_keyframe(&[0x48, 0]), "inter-predicted");
        assert!(!is_keyframe(&[0x04, 0]), "not the first packet");
        assert!(!is_keyframe(&[0x28, 0x03, 0, 0]), "upper spatial layer");
    }

    #[test]
    fn reference_lists_end_after_three() {
        assert_eq!(parse(&[0x50, 0x02, 9]).unwrap().len, 2);
        assert_eq!(parse(&[0x50, 0x03, 0x05, 0x06, 9]).unwrap().len, 4);
        assert_eq!(parse(&[0x50, 0x03, 0x05, 0x07, 0x08, 9]), None);
    }

    #[test]
    fn structures_are_skipped_to_their_end() {
        // Three spatial layers with sizes, two pictures with two and no references.
        let mut bytes = vec![0x0a, 0x58];
        bytes.extend([1; 12]);
        bytes.extend([2, 0x08, 1, 2, 0x20, 0xff]);
        assert_eq!(parse(&bytes).unwrap().len, bytes.len() - 1);
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_patched_is_read_back(bytes in prop::collection::vec(any::<u8>(), 0..60), picture_id in 0..0x8000u16) {
            if let Some(before) = parse(&bytes) {
                let mut patched = bytes.clone();
                patch(&mut patched, &before, picture_id);
                let mut want = before;
                want.picture_id = before.picture_id.map(|(_, bits)| match bits {
                    PictureIdBits::Seven => (picture_id & 0x7f, bits),
                    PictureIdBits::Fifteen => (picture_id, bits),
                });
                prop_assert_eq!(parse(&patched), Some(want));
                prop_assert!(before.len < bytes.len());
            }
        }
    }
}
