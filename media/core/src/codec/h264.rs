//! H.264 payloads (RFC 6184): only whether a keyframe begins here.

const NAL_TYPE: u8 = 0x1f;
/// NAL unit types (RFC 6184 section 5.2, H.264 table 7-1).
const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether a keyframe begins in this packet: a sequence parameter set, or an IDR slice that is the first of its picture,
/// as a single NAL unit, aggregated, or as the first fragment.
pub fn is_keyframe(payload: &[u8]) -> bool {
    let Some((&header, rest)) = payload.split_first() else { return false };
    match header & NAL_TYPE {
        STAP_A => aggregated(rest),
        FU_A => match rest.split_first() {
            // Section 5.8: the S bit marks the first fragment, which has the beginning of the slice header.
            Some((&fragment, slice)) => fragment & 0x80 != 0 && begins(fragment & NAL_TYPE, slice),
            None => false,
        },
        kind => begins(kind, rest),
    }
}

/// Section 5.7.1: units with 16-bit lengths. Every step takes two bytes at least.
fn aggregated(mut rest: &[u8]) -> bool {
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let Some((unit, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*len))) else { return false };
        if let Some((&header, body)) = unit.split_first()
            && begins(header & NAL_TYPE, body)
        {
            return true;
        }
        rest = after;
    }
    false
}

/// The slice header opens with first_mb_in_slice as an Exp-Golomb code (H.264 section 7.3.3): a leading 1 bit is zero, the
/// first slice. A later slice of an IDR picture is no place to start.
fn begins(kind: u8, body: &[u8]) -> bool {
    match kind {
        SPS => true,
        IDR => body.first().is_some_and(|byte| byte & 0x80 != 0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameter_sets_and_first_idr_slices_begin_a_keyframe() {
        assert!(is_keyframe(&[0x67, 0x42, 0xe0, 0x1f]));
        assert!(is_keyframe(&[0x65, 0x88]));
        assert!(!is_keyframe(&[0x65, 0x40]), "a later slice");
        assert!(!is_keyframe(&[0x41, 0x9a]), "a delta slice");
        assert!(!is_keyframe(&[0x68, 0xce]), "a picture parameter set alone");
        assert!(!is_keyframe(&[0x65]) && !is_keyframe(&[]));
    }

    #[test]
    fn an_aggregate_is_searched_to_its_end() {
        assert!(is_keyframe(&[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68]));
        assert!(is_keyframe(&[0x78, 0, 1, 0x68, 0, 0, 0, 2, 0x65, 0x88]));
        assert!(!is_keyframe(&[0x78, 0, 1, 0x68, 0, 2, 0x41, 0x9a]));
        assert!(!is_keyframe(&[0x78, 0, 9, 0x67]), "a length beyond the end");
        assert!(!is_keyframe(&[0x78, 0]));
    }

    #[test]
    fn only_the_first_fragment_begins_a_keyframe() {
        assert!(is_keyframe(&[0x7c, 0x85, 0x88]));
        assert!(is_keyframe(&[0x7c, 0x87, 0x42]));
        assert!(!is_keyframe(&[0x7c, 0x05, 0x88]), "a middle fragment");
        assert!(!is_keyframe(&[0x7c, 0x45, 0x88]), "the last fragment");
        assert!(!is_keyframe(&[0x7c, 0x81, 0x88]), "of a delta slice");
        assert!(!is_keyframe(&[0x7c]) && !is_keyframe(&[0x7c, 0x85]));
    }

    proptest! {
        #[test]
        fn any_unit_begins_alike_alone_and_aggregated(unit in prop::collection::vec(any::<u8>(), 1..40)) {
            prop_assume!(![STAP_A, FU_A].contains(&(unit[0] & NAL_TYPE)));
            let mut aggregate = vec![0x78, 0, 1, 0x68, 0, unit.len() as u8];
            aggregate.extend(&unit);
            prop_assert_eq!(is_keyframe(&aggregate), is_keyframe(&unit));
        }
    }
}
