//! Transport-wide feedback, receiver side (draft-holmer-rmcat-transport-wide-cc-extensions-01): remembers when packets
//! arrived and writes that down. Refuses to know what they were, and to estimate anything.

mod statuses;

pub use statuses::Statuses;

use super::rtcp::{header_word, packet_type};
use crate::ids::{ExtSeqNo, SeqNo, Ssrc};
use std::time::Duration;

/// Packets that are remembered, a power of two. At 20 Mbit/s of 1,000-byte packets this is 0.8 s, and feedback leaves at
/// least every 250 ms. Where more than this is missing at once the oldest is given up.
pub const WINDOW_PACKETS: usize = 2_048;
/// How far behind the last feedback a late packet is still reported. Everything from it on is reported again, so this
/// bounds what a packet can make us send. Reordering on real paths is a few packets.
pub const LATE_PACKETS_MAX: u64 = 256;
/// Packets in a row from before the window after which the sender has evidently started its count anew: without that, one
/// wild number would silence feedback for thousands of packets.
const RESTART_PACKETS: u32 = 32;
/// Bytes of one feedback packet; see [`super::rtcp::RTCP_LEN_MAX`].
const FEEDBACK_LEN_MAX: usize = super::rtcp::RTCP_LEN_MAX;

/// Deltas count in 250 us (section 3.1.5).
const TICK_US: u128 = 250;
/// The reference time counts in 64 ms (section 3.1).
const TICKS_PER_REFERENCE: u64 = 256;
/// Section 3.1: FMT of this message.
const FMT: u8 = 15;
/// Header, two SSRCs, base, count, reference time and feedback count.
const PREFIX_LEN: usize = 20;
/// Symbols in a status vector chunk of one-bit and of two-bit symbols (section 3.1.4).
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;

/// Section 3.1.1. The values are those on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Symbol {
    NotReceived = 0,
    SmallDelta = 1,
    LargeDelta = 2,
}

/// When a packet came, in ticks since the recorder's zero; one more, so that 0 can mean "not received".
#[derive(Clone, Copy, PartialEq, Eq)]
struct Arrival(u64);

impl Arrival {
    const NONE: Self = Self(0);

    fn at(now: Duration) -> Self {
        // Durations of more than 146 million years saturate.
        Self(u64::try_from(now.as_micros() / TICK_US).unwrap_or(u64::MAX).saturating_add(1))
    }

    fn ticks(self) -> Option<u64> {
        self.0.checked_sub(1)
    }
}

/// The memory of one transport: all its streams share one sequence.
pub struct TransportCcRecorder {
    /// By extended number modulo the window. Exact for the last [`WINDOW_PACKETS`] before `end`.
    arrivals: Box<[Arrival]>,
    /// The first number of the next feedback.
    base: u64,
    /// One after the highest number received; `base == end` when there is nothing to report. 0 before the first packet.
    end: u64,
    feedback_count: u8,
    /// Packets in a row from before the window.
    stale: u32,
}

impl Default for TransportCcRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl TransportCcRecorder {
    pub fn new() -> Self {
        let arrivals = vec![Arrival::NONE; WINDOW_PACKETS].into_boxed_slice();
        Self { arrivals, base: 0, end: 0, feedback_count: 0, stale: 0 }
    }

    /// Whether a feedback packet would say anything.
    pub fn has_pending(&self) -> bool {
        self.base != self.end
    }

    /// Notes that the packet `seq` arrived at `now`, counted from any fixed moment (the reference time wraps after 12
    /// days, as the format has it). Duplicates keep their first time.
    pub fn record(&mut self, now: Duration, seq: SeqNo) {
        if self.end == 0 || self.stale == RESTART_PACKETS {
            // Starting a cycle up leaves room for numbers before the first one.
            self.base = 1 << 16 | u64::from(seq.get());
            self.end = self.base;
            self.arrivals.fill(Arrival::NONE);
            self.stale = 0;
        }
        let number = ExtSeqNo::new(self.end).nearest(seq).get();
        let window = WINDOW_PACKETS as u64;
        if number >= self.end {
            self.stale = 0;
            let first_new = self.end.max((number + 1).saturating_sub(window));
            for missing in first_new..number {
                *self.slot(missing) = Arrival::NONE;
            }
            self.end = number + 1;
            self.base = self.base.max(self.end.saturating_sub(window));
            *self.slot(number) = Arrival::at(now);
            return;
        }
        if number + window < self.end {
            self.stale += 1;
            return;
        }
        self.stale = 0;
        if number + LATE_PACKETS_MAX < self.base {
            return;
        }
        let slot = self.slot(number);
        if *slot == Arrival::NONE {
            *slot = Arrival::at(now);
            self.base = self.base.min(number);
        }
    }

    /// Appends one feedback packet to `out`. `false`, with nothing appended, when everything is reported. Call again until
    /// then: what does not fit one packet (its size, or a delta beyond 8.2 s) is left for the next.
    ///
    /// The zero bytes that fill the last word are not announced by the P bit, which RFC 3550 section 6.4.1 allows only on
    /// the last packet of a compound: so feedback may stand anywhere in it. The status count tells where deltas end.
    pub fn build(&mut self, sender: Ssrc, media: Ssrc, out: &mut Vec<u8>) -> bool {
        self.build_within(sender, media, out, FEEDBACK_LEN_MAX)
    }

    /// As [`TransportCcRecorder::build`], of at most `len_max` bytes.
    pub(super) fn build_within(&mut self, sender: Ssrc, media: Ssrc, out: &mut Vec<u8>, len_max: usize) -> bool {
        let mut symbols = [Symbol::NotReceived; WINDOW_PACKETS];
        let Some(span) = self.measure(&mut symbols, len_max) else { return false };
        let start = out.len();
        for word in [0, sender.get(), media.get(), (self.base as u32) << 16 | span.count as u32] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        let reference = (span.reference as u32) << 8;
        out.extend_from_slice(&(reference | u32::from(self.feedback_count)).to_be_bytes());
        write_chunks(&symbols[..span.count], out);
        let mut previous = span.reference * TICKS_PER_REFERENCE;
        for number in self.base..self.base + span.count as u64 {
            let Some(ticks) = self.slot(number).ticks() else { continue };
            let delta = ticks.wrapping_sub(previous) as i16;
            match u8::try_from(delta) {
                Ok(small) => out.push(small),
                Err(_) => out.extend_from_slice(&delta.to_be_bytes()),
            }
            previous = ticks;
        }
        let len = (out.len() - start).next_multiple_of(4);
        out.resize(start + len, 0);
        let header = header_word(packet_type::TRANSPORT_FEEDBACK, FMT, len - 4);
        out[start..start + 4].copy_from_slice(&header.to_be_bytes());
        self.base += span.count as u64;
        self.feedback_count = self.feedback_count.wrapping_add(1);
        true
    }

    /// Decides how much the next packet says, up to and with a received one, and fills in the symbols.
    fn measure(&mut self, symbols: &mut [Symbol; WINDOW_PACKETS], len_max: usize) -> Option<Span> {
        let mut span: Option<Span> = None;
        let mut previous = 0;
        let mut deltas_len = 0;
        for (index, number) in (self.base..self.end).enumerate() {
            let Some(ticks) = self.slot(number).ticks() else { continue };
            let reference = span.as_ref().map_or(ticks / TICKS_PER_REFERENCE, |span| span.reference);
            if span.is_none() {
                previous = reference * TICKS_PER_REFERENCE;
            }
            let Ok(delta) = i16::try_from(ticks.wrapping_sub(previous) as i64) else { break };
            let symbol = if (0..=255).contains(&delta) { Symbol::SmallDelta } else { Symbol::LargeDelta };
            deltas_len += symbol as usize;
            // No chunk but the last stands for fewer than seven symbols.
            let chunks_len = 2 * (index + 1).div_ceil(TWO_BIT_SYMBOLS);
            if (PREFIX_LEN + chunks_len + deltas_len).next_multiple_of(4) > len_max {
                break;
            }
            *symbols.get_mut(index)? = symbol;
            span = Some(Span { reference, count: index + 1 });
            previous = ticks;
        }
        span
    }

    fn slot(&mut self, number: u64) -> &mut Arrival {
        // The window is a power of two and the index is taken modulo its length.
        &mut self.arrivals[number as usize % WINDOW_PACKETS]
    }
}

/// One feedback packet: `count` numbers from the base.
struct Span {
    /// In 64 ms.
    reference: u64,
    count: usize,
}

/// Section 3.1.2 to 3.1.4. Where one-bit symbols do they carry twice as much; a run is taken when it says at least as much
/// as the vector that could stand in its place.
fn write_chunks(symbols: &[Symbol], out: &mut Vec<u8>) {
    let mut rest = symbols;
    while let Some(&first) = rest.first() {
        // Shorter than the 8,191 that a run can say: the window is.
        let run = rest.iter().take_while(|symbol| **symbol == first).count();
        let near = &rest[..rest.len().min(ONE_BIT_SYMBOLS)];
        let one_bit = !near.contains(&Symbol::LargeDelta);
        let (chunk, taken) = if run >= near.len() || (!one_bit && run >= TWO_BIT_SYMBOLS) {
            ((first as u16) << 13 | run as u16, run)
        } else if one_bit {
            (vector(near, 1, ONE_BIT_SYMBOLS) | 1 << 15, near.len())
        } else {
            let near = &near[..near.len().min(TWO_BIT_SYMBOLS)];
            (vector(near, 2, TWO_BIT_SYMBOLS) | 1 << 15 | 1 << 14, near.len())
        };
        out.extend_from_slice(&chunk.to_be_bytes());
        rest = &rest[taken..];
    }
}

/// The first symbol stands highest; places without one are zero.
fn vector(symbols: &[Symbol], bits: usize, places: usize) -> u16 {
    symbols.iter().zip((0..places).rev()).fold(0, |chunk, (symbol, place)| chunk | (*symbol as u16) << (place * bits))
}

#[cfg(test)]
mod tests;
