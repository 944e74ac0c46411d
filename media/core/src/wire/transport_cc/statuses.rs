//! Transport-wide feedback, sender side: what a receiver wrote about the packets that we sent. Refuses to know which they
//! were.

use super::{ONE_BIT_SYMBOLS, TICKS_PER_REFERENCE, TWO_BIT_SYMBOLS};
use crate::ids::SeqNo;
use crate::wire::{WireError, u16_at, u32_at};

/// Base, status count, reference time and feedback count.
const FIXED_LEN: usize = 8;
const CHUNK_LEN: usize = 2;

/// One feedback message (section 3.1), checked as a whole: its chunks say as much as its count, its deltas are all there.
#[derive(Clone, Copy, Debug)]
pub struct Statuses<'a> {
    pub base: SeqNo,
    /// Packets that it speaks of.
    pub count: u16,
    /// In 64 ms, modulo 2^24.
    pub reference: u32,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// What a chunk says of packets in a row. Section 3.1.3 and 3.1.4.
#[derive(Clone, Copy)]
enum Chunk {
    Run { symbol: u8, len: usize },
    Vector { bits: u16, width: usize, len: usize },
}

impl Chunk {
    fn read(word: u16) -> Self {
        match word >> 14 {
            0 | 1 => Self::Run { symbol: (word >> 13 & 3) as u8, len: usize::from(word & 0x1fff) },
            2 => Self::Vector { bits: word, width: 1, len: ONE_BIT_SYMBOLS },
            _ => Self::Vector { bits: word, width: 2, len: TWO_BIT_SYMBOLS },
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Run { len, .. } | Self::Vector { len, .. } => len,
        }
    }

    /// Bytes of delta that a symbol stands for; the fourth symbol is reserved (section 3.1.1).
    fn delta_len(self, index: usize) -> Result<usize, WireError> {
        let symbol = match self {
            Self::Run { symbol, .. } => u16::from(symbol),
            Self::Vector { bits, width, len } => bits >> ((len - 1 - index) * width) & ((1 << width) - 1),
        };
        if symbol == 3 { Err(WireError::Value) } else { Ok(usize::from(symbol)) }
    }

    /// The same of its first `len` packets together.
    fn deltas_len(self, len: usize) -> Result<usize, WireError> {
        match self {
            Self::Run { .. } if len == 0 => Ok(0),
            Self::Run { .. } => Ok(len * self.delta_len(0)?),
            Self::Vector { .. } => (0..len).map(|index| self.delta_len(index)).sum(),
        }
    }
}

impl<'a> Statuses<'a> {
    /// `body` is what follows the two SSRCs.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let read = || Some((u16_at(body, 0)?, u16_at(body, 2)?, u32_at(body, 4)? >> 8, body.get(FIXED_LEN..)?));
        let (base, count, reference, rest) = read().ok_or(WireError::Truncated)?;
        let (mut said, mut chunks_len, mut deltas_len) = (0, 0, 0);
        while said < usize::from(count) {
            let chunk = Chunk::read(u16_at(rest, chunks_len).ok_or(WireError::Truncated)?);
            let len = chunk.len().min(usize::from(count) - said);
            deltas_len += chunk.deltas_len(len)?;
            said += len;
            chunks_len += CHUNK_LEN;
        }
        let (chunks, rest) = rest.split_at_checked(chunks_len).ok_or(WireError::Truncated)?;
        let deltas = rest.get(..deltas_len).ok_or(WireError::Truncated)?;
        Ok(Self { base: SeqNo::new(base), count, reference, chunks, deltas })
    }

    /// Packet after packet: its number and, if it came, when, in 250 us since the reference time's zero.
    pub fn iter(&self) -> impl Iterator<Item = (SeqNo, Option<i64>)> + use<'a> {
        let Self { base, count, reference, chunks, mut deltas } = *self;
        let mut ticks = i64::from(reference) * TICKS_PER_REFERENCE as i64;
        let symbols = chunks.chunks_exact(CHUNK_LEN).flat_map(|word| {
            let chunk = Chunk::read(u16_at(word, 0).unwrap_or_default());
            // The reserved symbol was refused when the message was read.
            (0..chunk.len()).map(move |index| chunk.delta_len(index).unwrap_or_default())
        });
        symbols.take(usize::from(count)).enumerate().map(move |(index, delta_len)| {
            let delta = match (delta_len, deltas) {
                (1, [small, rest @ ..]) => {
                    deltas = rest;
                    Some(i64::from(*small))
                }
                (2, [high, low, rest @ ..]) => {
                    deltas = rest;
                    Some(i64::from(i16::from_be_bytes([*high, *low])))
                }
                _ => None,
            };
            let arrival = delta.map(|delta| {
                ticks += delta;
                ticks
            });
            (SeqNo::new(base.get().wrapping_add(index as u16)), arrival)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ssrc;
    use crate::wire::transport_cc::TransportCcRecorder;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Header and two SSRCs stand before the body.
    const PREFIX_LEN: usize = 12;

    fn body(base: u16, count: u16, chunks: &[u16], deltas: &[u8]) -> Vec<u8> {
        let mut body = [base, count].map(u16::to_be_bytes).concat();
        body.extend([0, 0, 2, 9]);
        body.extend(chunks.iter().flat_map(|chunk| chunk.to_be_bytes()));
        body.extend(deltas);
        body
    }

    #[test]
    fn all_kinds_of_chunk_are_read() {
        // A run of two small deltas, a one-bit vector that begins with a received packet, a two-bit one with a large delta.
        let chunks = [1 << 13 | 2, 0b1010_0000_0000_0000, 0b1110_0100_0000_0000];
        let deltas = [4, 0, 8, 0xff, 0xf0, 1];
        let bytes = body(65_535, 18, &chunks, &deltas);
        let read = Statuses::parse(&bytes).unwrap();
        let statuses: Vec<_> = read.iter().map(|(seq, arrival)| (seq.get(), arrival)).collect();
        assert_eq!(statuses.len(), 18);
        assert_eq!(statuses[..4], [(65_535, Some(516)), (0, Some(516)), (1, Some(524)), (2, None)]);
        assert_eq!(statuses[15..], [(14, None), (15, Some(508)), (16, Some(509))][..]);
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let check = |bytes: &[u8], want| assert_eq!(Statuses::parse(bytes).unwrap_err(), want);
        check(&body(0, 3, &[1 << 13 | 3], &[1, 2]), WireError::Truncated);
        check(&body(0, u16::MAX, &[0x1fff], &[]), WireError::Truncated);
        check(&body(0, 1, &[3 << 13 | 1], &[1, 2, 3, 4]), WireError::Value);
        check(&body(0, 1, &[0; 400], &[]), WireError::Truncated);
        check(&[0; 7], WireError::Truncated);
        assert_eq!(Statuses::parse(&body(0, u16::MAX, &[0x1fff; 9], &[])).unwrap().iter().count(), 65_535);
    }

    proptest! {
        #[test]
        fn what_the_recorder_wrote_is_read_back(
            first: u16,
            packets in prop::collection::vec((0..6u16, 0..400u64), 1..300),
        ) {
            let mut recorder = TransportCcRecorder::new();
            let (mut seq, mut at_ms, mut want) = (first, 1_000, Vec::new());
            for (skip, wait) in packets {
                (seq, at_ms) = (seq.wrapping_add(1 + skip), at_ms + wait);
                recorder.record(Duration::from_millis(at_ms), SeqNo::new(seq));
                want.push((seq, at_ms as i64 * 4));
            }
            let mut read = Vec::new();
            let mut out = Vec::new();
            while recorder.build(Ssrc::new(1), Ssrc::new(2), &mut out) {
                let statuses = Statuses::parse(&out[PREFIX_LEN..]).unwrap();
                read.extend(statuses.iter().filter_map(|(seq, arrival)| Some((seq.get(), arrival?))));
                out.clear();
            }
            prop_assert_eq!(read, want);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(statuses) = Statuses::parse(&bytes) {
                prop_assert_eq!(statuses.iter().count(), usize::from(statuses.count));
            }
        }
    }
}
