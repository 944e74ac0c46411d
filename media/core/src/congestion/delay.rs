//! Queueing delay from one-way delays: how much later than at best packets arrive now.
//!
//! The signal is the one of NADA (RFC 8698 section 5.1.1): a minimum filter over the delay above its long-term minimum. A
//! gradient as in draft-ietf-rmcat-gcc-02 section 5.3 is not used, because we cannot space what publishers send in bursts: a
//! frame leaves in one train, and its own length at the bottleneck would be read as a queue that grows and shrinks. The
//! least delay of a group is that of its first packet through the bottleneck, so it measures the queue that was there before.

/// Packets sent within this time of a group's first belong to it (draft-ietf-rmcat-gcc-02 section 5.2).
const GROUP_US: u64 = 5_000;
/// Groups remembered: 250 ms of the densest traffic, and a second of 30 pictures.
const GROUPS_MAX: usize = 64;
/// The minimum filter covers this much sending time...
const FILTER_US: u64 = 250_000;
/// ...and so many groups, so that jitter is filtered where little is sent; RFC 8698 section 5.1.1 has 15 packets.
const FILTER_GROUPS_MIN: usize = 6;
/// No group older than this counts.
const FILTER_US_MAX: u64 = 1_000_000;
/// The long-term minimum is that of 8 to 10 s: long enough to see the queue empty between two increases, short enough for a
/// new path, or for a queue that others keep filled (BBR, draft-cardwell-iccrg-bbr-congestion-control section 4.3.4, has 10 s).
const BASE_SLOTS: usize = 5;
const BASE_SLOT_US: u64 = 2_000_000;
/// Weight of a new value in the mean jitter (RFC 3550 section 6.4.1).
const JITTER_WEIGHT: f64 = 1.0 / 16.0;
/// A queue counts as emptying when its later half is lower than its earlier by this much: above the clock's 250 us.
const DRAINING_US: i64 = 4_000;

#[derive(Clone, Copy, Default)]
struct Group {
    sent_us: u64,
    delay_us: i64,
}

/// What the delays say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Queue {
    /// Above the least delay of the last seconds.
    pub(super) delay_us: i64,
    pub(super) is_draining: bool,
}

pub(super) struct QueueMeter {
    /// A ring: `count` groups, the last at `newest`.
    groups: [Group; GROUPS_MAX],
    count: usize,
    newest: usize,
    base: [i64; BASE_SLOTS],
    base_slot: usize,
    base_since_us: Option<u64>,
    jitter_us: f64,
}

impl Default for QueueMeter {
    fn default() -> Self {
        Self {
            groups: [Group::default(); GROUPS_MAX],
            count: 0,
            newest: 0,
            base: [i64::MAX; BASE_SLOTS],
            base_slot: 0,
            base_since_us: None,
            jitter_us: 0.0,
        }
    }
}

impl QueueMeter {
    /// A packet arrived, by the receiver's clock.
    pub(super) fn note(&mut self, sent_us: u64, arrival_us: i64) {
        let delay_us = arrival_us.saturating_sub_unsigned(sent_us);
        self.note_base(sent_us, delay_us);
        let newest = self.groups[self.newest];
        if self.count > 0 && sent_us <= newest.sent_us + GROUP_US {
            // Of an older group, and so of none that matters: its first packet was counted.
            if sent_us >= newest.sent_us {
                self.groups[self.newest].delay_us = newest.delay_us.min(delay_us);
            }
            return;
        }
        if self.count > 1 {
            let before = self.groups[(self.newest + GROUPS_MAX - 1) % GROUPS_MAX];
            let difference = newest.delay_us.saturating_sub(before.delay_us).unsigned_abs() as f64;
            self.jitter_us += (difference - self.jitter_us) * JITTER_WEIGHT;
        }
        self.newest = (self.newest + 1) % GROUPS_MAX;
        self.count = (self.count + 1).min(GROUPS_MAX);
        self.groups[self.newest] = Group { sent_us, delay_us };
    }

    fn note_base(&mut self, sent_us: u64, delay_us: i64) {
        let since = *self.base_since_us.get_or_insert(sent_us);
        if sent_us >= since + BASE_SLOT_US {
            self.base_since_us = Some(sent_us);
            self.base_slot = (self.base_slot + 1) % BASE_SLOTS;
            self.base[self.base_slot] = i64::MAX;
        }
        let slot = &mut self.base[self.base_slot];
        *slot = delay_us.min(*slot);
    }

    /// What the path delays now is its own: the queue is empty.
    pub(super) fn rebase(&mut self) {
        let Some(queue) = self.queue() else { return };
        let base = self.base.iter().min().map_or(0, |base| base.saturating_add(queue.delay_us));
        self.base = [i64::MAX; BASE_SLOTS];
        self.base[self.base_slot] = base;
    }

    /// Mean difference between the delays of two groups.
    pub(super) fn jitter_us(&self) -> f64 {
        self.jitter_us
    }

    /// `None` before there are enough packets to say.
    pub(super) fn queue(&self) -> Option<Queue> {
        let newest = self.groups[self.newest];
        let ago = |age: usize| self.groups[(self.newest + GROUPS_MAX - age) % GROUPS_MAX];
        let counts = |age: &usize| {
            let since = newest.sent_us.saturating_sub(ago(*age).sent_us);
            since <= FILTER_US || (*age < FILTER_GROUPS_MIN && since <= FILTER_US_MAX)
        };
        let len = (0..self.count).take_while(counts).count();
        if len < FILTER_GROUPS_MIN.min(3) {
            return None;
        }
        let least = |ages: std::ops::Range<usize>| ages.map(|age| ago(age).delay_us).min();
        let (late, early) = (least(0..len / 2)?, least(len / 2..len)?);
        let base = *self.base.iter().min()?;
        let delay_us = late.min(early).saturating_sub(base).max(0);
        Some(Queue { delay_us, is_draining: late < early - DRAINING_US })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSET: i64 = -7_000_000;

    /// A group every 20 ms under the delays that `delay_ms` gives.
    fn meter(groups: u64, delay_ms: impl Fn(u64) -> i64) -> QueueMeter {
        let mut meter = QueueMeter::default();
        for n in 0..groups {
            meter.note(n * 20_000, n as i64 * 20_000 + OFFSET + delay_ms(n) * 1_000);
        }
        meter
    }

    #[test]
    fn a_standing_queue_is_measured_above_the_least_delay() {
        let meter = meter(100, |n| if n < 50 { 40 } else { 90 });
        assert_eq!(meter.queue(), Some(Queue { delay_us: 50_000, is_draining: false }));
    }

    #[test]
    fn jitter_is_no_queue() {
        let meter = meter(200, |n| 40 + (n * 7_919 % 31) as i64);
        assert!(meter.queue().unwrap().delay_us < 8_000);
        assert!(meter.jitter_us() > 5_000.0);
    }

    #[test]
    fn a_burst_that_drains_is_seen_to_drain() {
        let meter = meter(120, |n| if n < 100 { 40 } else { 340 - (n as i64 - 100) * 10 });
        assert!(meter.queue().unwrap().is_draining);
    }

    #[test]
    fn a_frame_sent_in_one_burst_is_no_queue() {
        let mut meter = QueueMeter::default();
        for frame in 0..100 {
            for packet in 0..10 {
                meter.note(frame * 33_000, frame as i64 * 33_000 + OFFSET + packet * 3_000);
            }
        }
        assert_eq!(meter.queue().unwrap().delay_us, 0);
    }

    #[test]
    fn a_longer_path_is_the_new_base_in_time() {
        let before = meter(600, |n| if n < 300 { 40 } else { 140 });
        assert_eq!(before.queue().unwrap().delay_us, 100_000);
        let after = meter(850, |n| if n < 300 { 40 } else { 140 });
        assert_eq!(after.queue().unwrap().delay_us, 0);
    }

    #[test]
    fn insane_times_overflow_nothing() {
        let mut meter = QueueMeter::default();
        for (sent, arrival) in [(0, i64::MIN), (u64::MAX / 2, i64::MAX), (1, 0), (u64::MAX / 2, i64::MIN), (9, 9)] {
            meter.note(sent, arrival);
            meter.queue();
        }
    }
}
