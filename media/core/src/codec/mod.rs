//! Payload descriptors: what a forwarder must know of a payload without decoding it.
//!
//! Where a picture begins and ends, whether decoding can start there, and which layer it belongs to. Refuses to know
//! packets, streams and choices; it never looks beyond the first bytes of a payload and never at anyone's voice or face.

pub mod av1;
pub mod h264;
pub mod red;
pub mod vp8;
pub mod vp9;

use crate::params::Codec;

/// How wide the picture id of a VP8 or VP9 descriptor is, as its sender chose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PictureIdBits {
    Seven,
    Fifteen,
}

impl PictureIdBits {
    /// Bytes in the descriptor.
    const fn len(self) -> usize {
        match self {
            Self::Seven => 1,
            Self::Fifteen => 2,
        }
    }

    /// Reads a picture id at `offset`: the M bit says how wide it is (RFC 7741 section 4.2, RFC 9628 section 4.2).
    fn read(bytes: &[u8], offset: usize) -> Option<(u16, Self)> {
        let first = *bytes.get(offset)?;
        if first & 0x80 == 0 {
            return Some((u16::from(first), Self::Seven));
        }
        let second = *bytes.get(offset + 1)?;
        Some((u16::from_be_bytes([first & 0x7f, second]), Self::Fifteen))
    }

    /// Writes the low bits of `picture_id` over the one at `offset`; nothing where `bytes` end before.
    fn write(self, bytes: &mut [u8], offset: usize, picture_id: u16) {
        let Some(place) = bytes.get_mut(offset..offset + self.len()) else { return };
        match self {
            Self::Seven => place.copy_from_slice(&[picture_id as u8 & 0x7f]),
            Self::Fifteen => place.copy_from_slice(&(picture_id | 0x8000).to_be_bytes()),
        }
    }
}

/// Whether a decoder that has seen nothing can start with this packet. Audio always can.
///
/// `dependency_descriptor` is the value of that header extension, where the packet has one; only AV1 looks at it.
pub fn is_keyframe_start(codec: Codec, payload: &[u8], dependency_descriptor: Option<&[u8]>) -> bool {
    match codec {
        Codec::Opus | Codec::Red => true,
        Codec::Vp8 => vp8::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe),
        Codec::Vp9 => vp9::parse(payload).is_some_and(|descriptor| descriptor.is_keyframe),
        Codec::H264 => h264::is_keyframe(payload),
        Codec::Av1 => av1::is_keyframe(payload, dependency_descriptor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Codec; 6] = [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    #[test]
    fn an_empty_payload_starts_only_audio() {
        let starts: Vec<_> = ALL.into_iter().filter(|codec| is_keyframe_start(*codec, &[], None)).collect();
        assert_eq!(starts, [Codec::Opus, Codec::Red]);
    }

    #[test]
    fn each_codec_is_asked_in_its_own_way() {
        assert!(is_keyframe_start(Codec::Vp8, &[0x10, 0], None));
        assert!(is_keyframe_start(Codec::Vp9, &[0x08, 0], None));
        assert!(is_keyframe_start(Codec::H264, &[0x67, 0], None));
        assert!(is_keyframe_start(Codec::Av1, &[0x08], None));
        assert!(!is_keyframe_start(Codec::Av1, &[0x08], Some(&[0x80, 0, 1])));
        assert!(is_keyframe_start(Codec::Av1, &[0x00], Some(&[0x80, 0, 1, 0x80])));
    }

    proptest! {
        #[test]
        fn no_payload_makes_a_parser_panic(
            payload in prop::collection::vec(any::<u8>(), 0..80),
            descriptor in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            for codec in ALL {
                let _ = is_keyframe_start(codec, &payload, descriptor.as_deref());
            }
        }
    }
}
