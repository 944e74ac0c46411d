//! When each peer wants to be looked at: a timer wheel. Entering and leaving cost the same however many peers there are, and
//! nobody is searched for per packet.
//!
//! An entry that was overtaken by an earlier one stays and is skipped when its time comes; a peer has a few of them at most,
//! because the report timer fires each second.

use crate::worker::keys::PeerKey;
use std::time::{Duration, Instant};

/// Entries come up at the end of the tick that they fall into.
const TICK: Duration = Duration::from_millis(1);
/// Ticks of one turn: longer than the report interval, so that what comes up regularly does so in its first turn. What is
/// further away is looked at once per turn.
const SLOTS: usize = 2_048;
const WORD_BITS: usize = u64::BITS as usize;

pub(super) struct Deadlines {
    start: Instant,
    slots: Box<[Vec<(Instant, PeerKey)>]>,
    /// One bit for each slot that holds something.
    occupied: [u64; SLOTS / WORD_BITS],
    /// The tick to look at next: what was due before has come up.
    next_tick: u64,
}

impl Deadlines {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, slots: (0..SLOTS).map(|_| Vec::new()).collect(), occupied: [0; SLOTS / WORD_BITS], next_tick: 0 }
    }

    pub(super) fn push(&mut self, at: Instant, key: PeerKey) {
        let furthest = self.next_tick + SLOTS as u64 - 1;
        let slot = slot_of(self.tick_of(at).clamp(self.next_tick, furthest));
        self.slots[slot].push((at, key));
        self.occupied[slot / WORD_BITS] |= 1 << (slot % WORD_BITS);
    }

    /// When [`Self::pop_due`] may have something next.
    pub(super) fn next(&self) -> Option<Instant> {
        let first = slot_of(self.next_tick);
        let (word, bit) = (first / WORD_BITS, first % WORD_BITS);
        // The word that the turn begins in is looked at twice: from its bit on first, and what is before it last.
        let ahead = self.occupied[word] >> bit;
        if ahead != 0 {
            return Some(self.time_of(self.next_tick + u64::from(ahead.trailing_zeros())));
        }
        (1..=self.occupied.len()).find_map(|distance| {
            let found = self.occupied[(word + distance) % self.occupied.len()];
            let slot = (word + distance) * WORD_BITS + found.trailing_zeros() as usize;
            (found != 0).then(|| self.time_of(self.next_tick + (slot - first) as u64))
        })
    }

    /// The next peer whose time has come. `current` tells which entry of a peer counts.
    pub(super) fn pop_due(&mut self, now: Instant, current: impl Fn(PeerKey) -> Option<Instant>) -> Option<PeerKey> {
        let now_tick = ticks(now.saturating_duration_since(self.start));
        while self.next_tick <= now_tick {
            // Whole stretches without entries are passed over at once.
            let next_tick = self.next().map_or(u64::MAX, |at| self.tick_of(at));
            if next_tick > now_tick {
                self.next_tick = now_tick + 1;
                return None;
            }
            self.next_tick = next_tick;
            let slot = slot_of(next_tick);
            let Some((at, key)) = self.slots[slot].pop() else {
                self.occupied[slot / WORD_BITS] &= !(1 << (slot % WORD_BITS));
                self.next_tick += 1;
                continue;
            };
            if current(key) != Some(at) {
                continue;
            }
            if self.tick_of(at) <= next_tick {
                return Some(key);
            }
            // One turn is not enough for it. It is behind this tick, so it does not go into the slot that is being emptied.
            self.push(at, key);
        }
        None
    }

    /// The tick at whose end `at` has passed.
    fn tick_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        ticks(since + TICK - Duration::from_nanos(1))
    }

    fn time_of(&self, tick: u64) -> Instant {
        self.start + Duration::from_nanos(tick.saturating_mul(TICK.as_nanos() as u64))
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

fn ticks(duration: Duration) -> u64 {
    (duration.as_nanos() / TICK.as_nanos()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;
    use proptest::prelude::*;
    use slotmap::{Key, KeyData};

    fn key(number: u64) -> PeerKey {
        PeerKey::from(KeyData::from_ffi(number | 1 << 32))
    }

    fn at(ms: f64) -> Instant {
        start_of_all() + Duration::from_secs_f64(ms / 1e3)
    }

    fn start_of_all() -> Instant {
        thread_local!(static START: Instant = start());
        START.with(|start| *start)
    }

    fn due(deadlines: &mut Deadlines, now: Instant, entries: &[(u64, Instant)]) -> Vec<u64> {
        let current = |wanted: PeerKey| entries.iter().find(|(number, _)| key(*number) == wanted).map(|(_, at)| *at);
        std::iter::from_fn(|| deadlines.pop_due(now, current)).map(|key| key.data().as_ffi() & 0xffff).collect()
    }

    fn with(entries: &[(u64, Instant)]) -> Deadlines {
        let mut deadlines = Deadlines::new(start_of_all());
        entries.iter().for_each(|(number, at)| deadlines.push(*at, key(*number)));
        deadlines
    }

    #[test]
    fn nobody_comes_up_early_and_nobody_later_than_a_tick() {
        let entries = [(1, at(5.0)), (2, at(5.5)), (3, at(30_000.0))];
        let mut deadlines = with(&entries);
        assert_eq!(deadlines.next(), Some(at(5.0)));
        assert!(due(&mut deadlines, at(4.9), &entries).is_empty());
        assert_eq!(due(&mut deadlines, at(5.4), &entries), [1]);
        assert_eq!(deadlines.next(), Some(at(6.0)));
        assert_eq!(due(&mut deadlines, at(6.0), &entries), [2]);
        assert!(due(&mut deadlines, at(29_999.0), &entries).is_empty());
        assert_eq!(due(&mut deadlines, at(30_000.0), &entries), [3]);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn an_entry_that_was_overtaken_is_skipped() {
        let mut deadlines = with(&[(1, at(10.0)), (1, at(3.0))]);
        assert_eq!(due(&mut deadlines, at(3.0), &[(1, at(3.0))]), [1]);
        assert!(due(&mut deadlines, at(10.0), &[(1, at(900.0))]).is_empty());
    }

    #[test]
    fn what_was_due_before_the_present_comes_up_at_once() {
        let mut deadlines = with(&[]);
        assert!(due(&mut deadlines, at(100.0), &[]).is_empty());
        deadlines.push(at(50.0), key(7));
        assert!(deadlines.next().is_some_and(|next| next <= at(101.0)));
        assert_eq!(due(&mut deadlines, at(101.0), &[(7, at(50.0))]), [7]);
    }

    proptest! {
        /// However time passes, each entry comes up once: not before its time, and at the first look a tick after it.
        #[test]
        fn the_wheel_agrees_with_a_list(
            times in prop::collection::vec(0_u32..9_000, 1..40),
            steps in prop::collection::vec(1_u32..4_000, 1..12),
        ) {
            let entries: Vec<(u64, Instant)> =
                times.iter().enumerate().map(|(number, ms)| (number as u64, at(f64::from(*ms)))).collect();
            let mut deadlines = with(&entries);
            let (mut now_ms, mut before_ms) = (0, None);
            for step in steps.into_iter().chain([20_000]) {
                now_ms += step;
                let mut got = due(&mut deadlines, at(f64::from(now_ms)), &entries);
                got.sort_unstable();
                let want: Vec<u64> = (0..times.len())
                    .filter(|&index| times[index] <= now_ms && before_ms.is_none_or(|before| times[index] > before))
                    .map(|index| index as u64)
                    .collect();
                prop_assert_eq!(got, want);
                before_ms = Some(now_ms);
            }
            prop_assert_eq!(deadlines.next(), None);
        }
    }
}
