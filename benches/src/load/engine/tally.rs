//! What arrived of one stream at one receiver, and what should have.
//!
//! Packets are attributed by the mark in their payload, so what a server does to headers hides nothing. Only packets that left
//! within the measuring window count.

use crate::load::payload::Mark;
use crate::load::seam::{MemberId, StreamKind};
use std::collections::HashMap;

/// Times in nanoseconds since the Unix epoch between which packets leave that are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    pub start_ns: u64,
    pub end_ns: u64,
}

impl Window {
    pub fn contains(&self, at_ns: u64) -> bool {
        (self.start_ns..self.end_ns).contains(&at_ns)
    }
}

/// One encoding of one member, as a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct StreamKey {
    pub(super) member: MemberId,
    pub(super) kind: StreamKind,
    pub(super) layer: u8,
}

impl StreamKey {
    pub(super) fn of(mark: &Mark) -> Self {
        Self { member: mark.member, kind: mark.kind, layer: mark.layer }
    }
}

/// How many packets of each stream left by the end of the window: what the last ones that arrived are compared with.
pub(super) type LastSent = HashMap<StreamKey, u64>;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub expected: u64,
    pub received: u64,
    pub reordered: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.expected += other.expected;
        self.received += other.received;
        self.reordered += other.reordered;
    }
}

/// One incoming SSRC.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The encoding that arrives now, and the number of its newest packet.
    current: Option<(StreamKey, u64)>,
    counts: Counts,
    sender: Option<MemberId>,
}

/// What a packet meant for the measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Noted {
    /// Its delay counts.
    Measured,
    Outside,
}

impl Tally {
    /// Whether it is of the encoding that the packet belongs to.
    pub(super) fn carries(&self, mark: &Mark) -> bool {
        self.current.is_some_and(|(key, _)| key == StreamKey::of(mark))
    }

    /// Begins a measurement; what arrives now goes on.
    pub(super) fn reset(&mut self) {
        self.counts = Counts::default();
    }

    /// Whose packets arrive; nobody's before the first.
    pub(super) fn sender(&self) -> Option<MemberId> {
        self.sender
    }

    pub(super) fn note(&mut self, window: Option<Window>, mark: &Mark) -> Noted {
        let key = StreamKey::of(mark);
        self.sender = Some(key.member);
        let newest = self.current.filter(|(current, _)| *current == key).map(|(_, seq)| seq);
        let measured = window.is_some_and(|window| window.contains(mark.sent_ns));
        let before_end = window.is_none_or(|window| mark.sent_ns < window.end_ns);
        if newest.is_none_or(|newest| mark.seq > newest) && before_end {
            self.current = Some((key, mark.seq));
        }
        if !measured {
            return Noted::Outside;
        }
        self.counts.received += 1;
        match newest {
            Some(newest) if mark.seq > newest => self.counts.expected += mark.seq - newest,
            Some(_) => self.counts.reordered += 1,
            // The first of an encoding that was not forwarded before: from here on.
            None => self.counts.expected += 1,
        }
        Noted::Measured
    }

    /// Of one that ends before the window does: what would still have come is not known.
    pub(super) fn so_far(&self) -> Counts {
        self.counts
    }

    /// After the window, when what was under way has arrived: with the last packets that never came.
    pub(super) fn finish(&self, sent: &LastSent) -> Counts {
        let mut counts = self.counts;
        if let Some((key, newest)) = self.current
            && let Some(&sent) = sent.get(&key)
        {
            counts.expected += sent.saturating_sub(newest + 1);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start_ns: 100, end_ns: 200 };

    fn mark(seq: u64, sent_ns: u64, layer: u8) -> Mark {
        Mark { member: MemberId(1), kind: StreamKind::Video, layer, seq, sent_ns }
    }

    fn sent(layer: u8, packets: u64) -> LastSent {
        LastSent::from([(StreamKey { member: MemberId(1), kind: StreamKind::Video, layer }, packets)])
    }

    fn counts(marks: &[(u64, u64, u8)], last: &LastSent) -> Counts {
        let mut tally = Tally::default();
        for &(seq, sent_ns, layer) in marks {
            tally.note(Some(WINDOW), &mark(seq, sent_ns, layer));
        }
        tally.finish(last)
    }

    #[test]
    fn a_gap_is_expected_and_not_received() {
        let all = [(9, 99, 0), (10, 100, 0), (11, 110, 0), (14, 140, 0)];
        assert_eq!(counts(&all, &sent(0, 15)), Counts { expected: 5, received: 3, reordered: 0 });
    }

    #[test]
    fn a_late_packet_fills_its_gap() {
        let all = [(9, 99, 0), (10, 100, 0), (12, 120, 0), (11, 110, 0)];
        assert_eq!(counts(&all, &sent(0, 13)), Counts { expected: 3, received: 3, reordered: 1 });
    }

    #[test]
    fn packets_that_never_came_at_the_end_are_missed() {
        let all = [(9, 99, 0), (10, 100, 0)];
        assert_eq!(counts(&all, &sent(0, 20)), Counts { expected: 10, received: 1, reordered: 0 });
    }

    #[test]
    fn a_stream_that_fell_silent_before_the_window_is_missed_whole() {
        assert_eq!(counts(&[(9, 50, 0)], &sent(0, 20)), Counts { expected: 10, received: 0, reordered: 0 });
    }

    #[test]
    fn another_layer_begins_with_its_own_numbers() {
        let all = [(9, 99, 0), (10, 100, 0), (500, 120, 2), (501, 121, 2)];
        assert_eq!(counts(&all, &sent(2, 502)), Counts { expected: 3, received: 3, reordered: 0 });
    }

    #[test]
    fn what_leaves_after_the_window_does_not_count() {
        let all = [(10, 150, 0), (11, 200, 0)];
        assert_eq!(counts(&all, &sent(0, 11)), Counts { expected: 1, received: 1, reordered: 0 });
    }
}
