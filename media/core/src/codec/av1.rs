//! AV1: the dependency descriptor extension (AV1 RTP specification, appendix A), which browsers send for VP8 too, and the
//! aggregation header (section 4.4).
//!
//! Chains and decode targets are skipped over: the core forwards by layer, which the templates' layers tell.

use crate::wire::u16_at;

/// Template ids have six bits.
pub const TEMPLATES_MAX: usize = 64;
/// AV1 has two bits for spatial ids and three for temporal ones (AV1 specification section 5.3.3).
const SPATIAL_ID_MAX: u8 = 3;
const TEMPORAL_ID_MAX: u8 = 7;

/// The mandatory fields, and whether this packet brings a new structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DependencyDescriptor {
    pub start_of_frame: bool,
    pub end_of_frame: bool,
    pub template_id: u8,
    pub frame_number: u16,
    /// A template dependency structure: the first packet of a coded video sequence, so of a keyframe, has one.
    pub has_structure: bool,
    /// The frame's own decode target indications stand in the place of its template's.
    pub has_own_indications: bool,
}

/// Bytes of the mandatory fields (appendix A.8.2).
const MANDATORY_LEN: usize = 3;
/// The five flags at the start of the extended fields.
const EXTENDED_FLAGS: usize = 5;

/// `None` when shorter than the mandatory fields.
pub fn parse(extension: &[u8]) -> Option<DependencyDescriptor> {
    let first = *extension.first()?;
    Some(DependencyDescriptor {
        start_of_frame: first & 0x80 != 0,
        end_of_frame: first & 0x40 != 0,
        template_id: first & 0x3f,
        frame_number: u16_at(extension, 1)?,
        has_structure: extension.get(MANDATORY_LEN).is_some_and(|flags| flags & 0x80 != 0),
        has_own_indications: extension.get(MANDATORY_LEN).is_some_and(|flags| flags & 0x20 != 0),
    })
}

/// Overwrites the frame number in a copy of the extension's value; nothing where it is too short.
pub fn patch_frame_number(extension: &mut [u8], frame_number: u16) {
    if let Some(place) = extension.get_mut(1..MANDATORY_LEN) {
        place.copy_from_slice(&frame_number.to_be_bytes());
    }
}

/// Whether a keyframe begins with this packet. Without the descriptor the N bit of the aggregation header says so.
pub(super) fn is_keyframe(payload: &[u8], extension: Option<&[u8]>) -> bool {
    match extension.and_then(parse) {
        Some(descriptor) => descriptor.start_of_frame && descriptor.has_structure,
        // N: first packet of a coded video sequence; Z, a continued unit, contradicts it.
        None => payload.first().is_some_and(|header| header & 0x08 != 0 && header & 0x80 == 0),
    }
}

/// Spatial and temporal layer of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameLayer {
    pub spatial: u8,
    pub temporal: u8,
    /// No decode target can do without it, so later frames of all of them refer to it or to what it refers to: whoever gets
    /// it may get every temporal layer from here on.
    pub switching_up: bool,
    /// Its indications say the same outright, of every decode target that has it: codecs whose upper layers refer to one another
    /// can do without this one in none of them, and yet cannot begin at each.
    pub is_switch: bool,
}

/// Which layer each template belongs to: valid until the next structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TemplateLayers {
    /// Template id of the first one.
    offset: u8,
    len: usize,
    layers: [FrameLayer; TEMPLATES_MAX],
}

impl TemplateLayers {
    /// `None` where the extension has no structure, or a broken one.
    pub fn parse(extension: &[u8]) -> Option<Self> {
        if !parse(extension)?.has_structure {
            return None;
        }
        let mut bits = Bits { bytes: extension.get(MANDATORY_LEN..)?, at: EXTENDED_FLAGS };
        let offset = bits.take(6)?;
        let decode_targets = usize::from(bits.take(5)?) + 1;
        let mut layers = [FrameLayer::default(); TEMPLATES_MAX];
        let len = read_layers(&mut bits, &mut layers)?;
        for layer in layers.iter_mut().take(len) {
            (layer.switching_up, layer.is_switch) = (true, true);
            for _ in 0..decode_targets {
                let indication = bits.take(2)?;
                layer.switching_up &= indication != DISCARDABLE;
                layer.is_switch &= matches!(indication, NOT_PRESENT | SWITCH);
            }
        }
        Some(Self { offset, len, layers })
    }

    /// The highest spatial layer.
    pub fn spatial_max(&self) -> u8 {
        self.layers.iter().take(self.len).map(|layer| layer.spatial).max().unwrap_or(0)
    }

    /// The layer of a frame by its template id; `None` for an id that the structure does not have.
    pub fn layer(&self, template_id: u8) -> Option<FrameLayer> {
        let index = usize::from(template_id.wrapping_sub(self.offset)) % TEMPLATES_MAX;
        self.layers.get(..self.len)?.get(index).copied()
    }
}

/// Decode target indications (appendix A.8.3): the target does not have the frame; nothing else of it needs the frame; all that
/// follow of it can be decoded with the frame.
const NOT_PRESENT: u8 = 0;
const DISCARDABLE: u8 = 1;
const SWITCH: u8 = 2;

/// Reads the template layers (appendix A.8.2) and returns how many there are.
fn read_layers(bits: &mut Bits<'_>, layers: &mut [FrameLayer; TEMPLATES_MAX]) -> Option<usize> {
    let mut layer = FrameLayer::default();
    for (index, place) in layers.iter_mut().enumerate() {
        *place = layer;
        // next_layer_idc: same layer, next temporal, next spatial, or the end.
        match bits.take(2)? {
            0 => {}
            1 => layer.temporal += 1,
            2 => layer = FrameLayer { spatial: layer.spatial + 1, ..FrameLayer::default() },
            _ => return Some(index + 1),
        }
        if layer.spatial > SPATIAL_ID_MAX || layer.temporal > TEMPORAL_ID_MAX {
            return None;
        }
    }
    None
}

/// Reads bits from the highest down.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// `count` is eight at most.
    fn take(&mut self, count: usize) -> Option<u8> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | byte >> (7 - self.at % 8) & 1;
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A keyframe's extension with these `next_layer_idc` values, one decode target, and switch indications for it.
    fn with_structure(offset: u8, steps: &[u8]) -> Vec<u8> {
        with_indications(offset, 1, steps, &vec![2; steps.len()])
    }

    fn with_indications(offset: u8, targets: u8, steps: &[u8], indications: &[u8]) -> Vec<u8> {
        let fields = [(1, 1), (0, 4), (offset, 6), (targets - 1, 5)].into_iter();
        let fields = fields.chain(steps.iter().chain(indications).map(|pair| (*pair, 2)));
        let bits: Vec<u8> =
            fields.flat_map(|(value, count)| (0..count).rev().map(move |bit| value >> bit & 1)).collect();
        let packed = bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |all, (i, bit)| all | bit << (7 - i)));
        [0x80 | offset, 0x12, 0x34].into_iter().chain(packed).collect()
    }

    #[test]
    fn the_mandatory_fields_are_read() {
        let want = DependencyDescriptor {
            start_of_frame: true,
            end_of_frame: false,
            template_id: 5,
            frame_number: 0x1234,
            has_structure: false,
            has_own_indications: false,
        };
        assert_eq!(parse(&[0x85, 0x12, 0x34]), Some(want));
        assert_eq!(parse(&[0x45, 0x12, 0x34]).map(|d| (d.start_of_frame, d.end_of_frame)), Some((false, true)));
        assert_eq!(parse(&[0x85, 0x12]), None);
    }

    #[test]
    fn a_structure_at_the_start_of_a_frame_is_a_keyframe() {
        assert!(is_keyframe(&[0], Some(&with_structure(0, &[3]))));
        assert!(!is_keyframe(&[0], Some(&[0x80, 0, 1])), "mandatory fields alone");
        assert!(!is_keyframe(&[0], Some(&[0x80, 0, 1, 0x40])), "extended, without structure");
        assert!(!is_keyframe(&[0], Some(&[0x00, 0, 1, 0x80])), "not the start");
    }

    #[test]
    fn without_a_descriptor_the_aggregation_header_tells() {
        assert!(is_keyframe(&[0x18], None));
        assert!(is_keyframe(&[0x18], Some(&[])), "a descriptor that cannot be read");
        assert!(!is_keyframe(&[0x10], None));
        assert!(!is_keyframe(&[0x88], None), "a continuation");
        assert!(!is_keyframe(&[], None));
    }

    #[test]
    fn templates_tell_the_layer_of_a_frame() {
        // L2T2: two templates of (0,0), one of (0,1), one of (1,0), one of (1,1).
        let layers = TemplateLayers::parse(&with_structure(62, &[0, 1, 2, 1, 3])).unwrap();
        let read: Vec<_> = [62, 63, 0, 1, 2].map(|id| layers.layer(id).map(|l| (l.spatial, l.temporal))).to_vec();
        assert_eq!(read, [Some((0, 0)), Some((0, 0)), Some((0, 1)), Some((1, 0)), Some((1, 1))]);
        assert_eq!((layers.layer(3), layers.layer(61)), (None, None));
    }

    #[test]
    fn temporal_layers_may_be_entered_where_nothing_can_be_left_out() {
        // L1T3 as in appendix A.10: T0, T1, T2 and their indications for three decode targets.
        let indications = [2, 2, 2, 0, 1, 2, 0, 0, 1];
        let layers = TemplateLayers::parse(&with_indications(0, 3, &[1, 1, 3], &indications)).unwrap();
        assert_eq!([0, 1, 2].map(|id| layers.layer(id).unwrap().switching_up), [true, false, false]);
        assert_eq!(layers.spatial_max(), 0);
        assert_eq!(TemplateLayers::parse(&with_indications(0, 3, &[1, 1, 3], &indications[..3])), None);
    }

    #[test]
    fn layers_that_refer_to_one_another_are_entered_where_it_is_said() {
        // T0 that begins everything, T0 after which T1 refers to an older T1, T1 that refers to T0 alone, and T2.
        let indications = [2, 2, 2, 2, 3, 3, 0, 2, 2, 0, 0, 1];
        let layers = TemplateLayers::parse(&with_indications(0, 3, &[0, 1, 1, 3], &indications)).unwrap();
        assert_eq!([0, 1, 2, 3].map(|id| layers.layer(id).unwrap().is_switch), [true, false, true, false]);
    }

    #[test]
    fn a_structure_without_an_end_is_refused() {
        assert_eq!(TemplateLayers::parse(&with_structure(0, &[0; 64])), None);
        assert_eq!(TemplateLayers::parse(&with_structure(0, &[1, 1])), None);
        assert!(TemplateLayers::parse(&with_structure(0, &[[0; 63].as_slice(), &[3]].concat())).is_some());
        assert_eq!(TemplateLayers::parse(&[0x80, 0, 1]), None);
    }

    #[test]
    fn layers_that_av1_cannot_have_are_refused() {
        let parses = |step: u8, count: usize| {
            let steps = [vec![step; count], vec![3]].concat();
            TemplateLayers::parse(&with_structure(0, &steps)).is_some()
        };
        assert!(parses(1, 7) && !parses(1, 8));
        assert!(parses(2, 3) && !parses(2, 4));
    }

    proptest! {
        #[test]
        fn a_patched_frame_number_is_read_back(bytes in prop::collection::vec(any::<u8>(), 0..20), number: u16) {
            let mut patched = bytes.clone();
            patch_frame_number(&mut patched, number);
            let want = parse(&bytes).map(|before| DependencyDescriptor { frame_number: number, ..before });
            prop_assert_eq!(parse(&patched), want);
        }

        #[test]
        fn no_bytes_make_the_structure_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..40), id: u8) {
            if let Some(flags) = bytes.get_mut(3) {
                *flags |= 0x80;
            }
            if let Some(layers) = TemplateLayers::parse(&bytes) {
                let _ = layers.layer(id);
                prop_assert!(layers.layer(layers.offset).is_some());
            }
        }
    }
}
