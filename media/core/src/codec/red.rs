//! Redundant audio (RFC 2198): which block is the fresh one, and which are repeats of earlier packets.

use crate::ids::PayloadType;

/// Blocks in one packet. Browsers send one to three, and nine at most when configured by hand.
pub const BLOCKS_MAX: usize = 16;

/// Header of a redundant block; the primary's is one byte.
const REDUNDANT_HEADER_LEN: usize = 4;
const FOLLOWED: u8 = 0x80;

/// One block of audio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedBlock<'a> {
    pub payload_type: PayloadType,
    /// How far before the packet's timestamp it belongs, in the audio's clock: 0 for the primary.
    pub timestamp_offset: u16,
    pub data: &'a [u8],
}

/// The newest audio, and what it is encoded as. `None` where the headers do not fit the payload.
pub fn primary(payload: &[u8]) -> Option<(&[u8], PayloadType)> {
    let primary = blocks(payload)?.last()?;
    Some((primary.data, primary.payload_type))
}

/// All blocks in their order, oldest first and the primary last. `None` where the headers do not fit the payload or name
/// more than [`BLOCKS_MAX`].
pub fn blocks(payload: &[u8]) -> Option<Blocks<'_>> {
    let mut data_offset = 0;
    let mut redundant_len = 0;
    for _ in 0..BLOCKS_MAX {
        let first = *payload.get(data_offset)?;
        if first & FOLLOWED == 0 {
            let data = payload.get(data_offset + 1..)?;
            return (redundant_len <= data.len()).then_some(Blocks { headers: payload, data });
        }
        redundant_len += redundant_header(payload.get(data_offset..)?)?.1;
        data_offset += REDUNDANT_HEADER_LEN;
    }
    None
}

/// Writes a packet of one primary and, where it fits, one redundant block. Returns its length; `None` when `out` is too short.
pub fn compose(redundant: Option<RedBlock<'_>>, primary: RedBlock<'_>, out: &mut [u8]) -> Option<usize> {
    let fits = |block: &RedBlock<'_>| block.timestamp_offset < 1 << 14 && block.data.len() < 1 << 10;
    let redundant = redundant.filter(fits);
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        out.get_mut(len..len + bytes.len())?.copy_from_slice(bytes);
        len += bytes.len();
        Some(())
    };
    if let Some(block) = redundant {
        let first = u32::from(FOLLOWED | block.payload_type.get());
        put(&(first << 24 | u32::from(block.timestamp_offset) << 10 | block.data.len() as u32).to_be_bytes())?;
    }
    put(&[primary.payload_type.get()])?;
    put(redundant.map_or(&[], |block| block.data))?;
    put(primary.data)?;
    Some(len)
}

/// Timestamp offset (14 bits) and length (10 bits).
fn redundant_header(bytes: &[u8]) -> Option<(u16, usize)> {
    let &[_, a, b, c, ..] = bytes else { return None };
    Some((u16::from(a) << 6 | u16::from(b) >> 2, usize::from(b & 3) << 8 | usize::from(c)))
}

/// The blocks of a packet whose headers were checked.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    /// From the next header on; empty after the primary.
    headers: &'a [u8],
    /// From the next block's data on.
    data: &'a [u8],
}

impl<'a> Iterator for Blocks<'a> {
    type Item = RedBlock<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.headers.first()?;
        let payload_type = PayloadType::from_wire(first);
        if first & FOLLOWED == 0 {
            self.headers = &[];
            return Some(RedBlock { payload_type, timestamp_offset: 0, data: self.data });
        }
        let (timestamp_offset, len) = redundant_header(self.headers)?;
        let (data, rest) = self.data.split_at_checked(len)?;
        self.headers = self.headers.get(REDUNDANT_HEADER_LEN..)?;
        self.data = rest;
        Some(RedBlock { payload_type, timestamp_offset, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPUS: PayloadType = PayloadType::from_wire(111);

    fn packet(redundant: &[(u16, Vec<u8>)], primary: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        for (offset, data) in redundant {
            let word = u32::from(FOLLOWED | 111) << 24 | u32::from(*offset) << 10 | data.len() as u32;
            packet.extend(word.to_be_bytes());
        }
        packet.push(111);
        redundant.iter().for_each(|(_, data)| packet.extend(data));
        packet.extend(primary);
        packet
    }

    #[test]
    fn a_single_block_is_its_primary() {
        assert_eq!(primary(&[111, 1, 2, 3]), Some((&[1, 2, 3][..], OPUS)));
        assert_eq!(primary(&[111]), Some((&[][..], OPUS)));
    }

    #[test]
    fn the_primary_follows_the_redundant_data() {
        let packet = packet(&[(960, vec![9; 300]), (480, vec![])], &[1, 2]);
        assert_eq!(primary(&packet), Some((&[1, 2][..], OPUS)));
        let read: Vec<_> = blocks(&packet).unwrap().map(|b| (b.timestamp_offset, b.data.len())).collect();
        assert_eq!(read, [(960, 300), (480, 0), (0, 2)]);
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let packet = packet(&[(960, vec![8; 3]), (480, vec![9; 5])], &[]);
        assert_eq!(primary(&packet), Some((&[][..], OPUS)));
        for len in 0..packet.len() {
            assert_eq!(primary(&packet[..len]), None);
        }
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        let redundant = |count| vec![(1, vec![0]); count];
        assert_eq!(blocks(&packet(&redundant(BLOCKS_MAX - 1), &[])).map(Iterator::count), Some(BLOCKS_MAX));
        assert!(blocks(&packet(&redundant(BLOCKS_MAX), &[])).is_none());
    }

    #[test]
    fn what_is_written_is_read_and_what_does_not_fit_is_left_out() {
        let block = |timestamp_offset, data| RedBlock { payload_type: OPUS, timestamp_offset, data };
        let written = |earlier: RedBlock<'_>| {
            let mut out = [0; 2_048];
            let len = compose(Some(earlier), block(0, &[7; 90]), &mut out).unwrap();
            blocks(&out[..len]).unwrap().map(|b| (b.timestamp_offset, b.data.len())).collect::<Vec<_>>()
        };
        assert_eq!(written(block(960, &[8; 80])), [(960, 80), (0, 90)]);
        assert_eq!(written(block(960, &[8; 1_024])), [(0, 90)]);
        assert_eq!(written(block(1 << 14, &[8; 80])), [(0, 90)]);
        assert_eq!(compose(None, block(0, &[7; 90]), &mut [0; 90]), None);
    }

    proptest! {
        #[test]
        fn what_is_composed_is_read_back(
            redundant in prop::collection::vec((0..1u16 << 14, prop::collection::vec(any::<u8>(), 0..100)), 0..BLOCKS_MAX),
            fresh in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let packet = packet(&redundant, &fresh);
            let read: Vec<_> = blocks(&packet).unwrap().map(|b| (b.timestamp_offset, b.data.to_vec())).collect();
            let want: Vec<_> = redundant.into_iter().chain([(0, fresh)]).collect();
            prop_assert_eq!(read, want);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let from_blocks = blocks(&bytes).and_then(Iterator::last).map(|b| (b.data, b.payload_type));
            prop_assert_eq!(primary(&bytes), from_blocks);
        }
    }
}
