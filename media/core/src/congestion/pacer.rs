//! Spreads bursts of video towards a path that is known to be narrow, so that its queue stays free for audio. What waits here
//! is known to the caller only. A path that was never seen to be full has no rate, and everything leaves at once.

use crate::params::Content;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much faster than the estimate packets leave: a frame then waits here rather than in the queue of the path, where audio
/// would wait behind it, and the path does not run dry when the estimate is somewhat low. Measured in this folder's tests: with
/// keyframes of twelve frames the 99th percentile of audio's delay is 50 to 80 ms, at 1.25 140 ms, without pacing 280 ms.
pub(super) const PACE_FACTOR: f64 = 1.1;
/// A queue beyond what is tolerated is emptied by leaving slower: by the whole rate if it were this long...
const DRAIN_US: f64 = 200_000.0;
/// ...and never slower than this. What then waits, waits here, where audio overtakes it and layers can be left out. Measured on a
/// line that falls from 2 to 0.5 Mbit/s under a queue of 1.2 s, it is empty after 3.3 s; by the lower estimate alone after 7.8 s.
const PACE_FACTOR_MIN: f64 = 0.5;
/// What leaves together, so that trains stay trains.
const BURST: Duration = Duration::from_millis(5);
/// What would have to wait longer at the rate is dropped: nobody waits for a picture for so long, and the ingress cache would
/// have lost it. Nothing leaves faster because much waits: a keyframe of a shared screen is seconds of a megabit, and what hurried
/// filled the queue of the path, where audio waited, parts of the keyframe were lost, and the next one did the same.
const BACKLOG_MAX: Duration = Duration::from_secs(4);
/// The same for a shared screen. Browsers' keyframes of one with 1,080 lines were measured to have 0.5 to 1 MB, and one of which
/// a part is dropped was sent in vain.
const DETAIL_BACKLOG_MAX: Duration = Duration::from_secs(12);
/// Packets that wait; a keyframe of 1 MB has 950. Those beyond are dropped.
const PACKETS_MAX: usize = 2_048;
/// Packets that wait to leave again: some pictures of a shared screen. The receiver asks again for those beyond.
const RESENDS_MAX: usize = 256;

/// How much faster than the estimate video leaves, when so much of the path's queue is too much.
pub(super) fn factor(excess_us: f64) -> f64 {
    (PACE_FACTOR - excess_us / DRAIN_US).max(PACE_FACTOR_MIN)
}

pub struct Pacer<T> {
    queue: VecDeque<(T, usize)>,
    /// What is missing at the receiver, and leaves before all others: nothing that follows is of use without.
    resends: VecDeque<(T, usize)>,
    bytes: usize,
    bps: Option<u64>,
    /// When all that left so far has passed at the rate.
    free_at: Option<Instant>,
}

impl<T> Default for Pacer<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), resends: VecDeque::new(), bytes: 0, bps: None, free_at: None }
    }
}

impl<T> Pacer<T> {
    /// In bit/s; `None` for a path that needs no pacing.
    pub fn set_rate(&mut self, bps: Option<u64>) {
        self.bps = bps.filter(|bps| *bps > 0);
    }

    /// It has a say: there is a rate, or something waits.
    pub fn is_active(&self) -> bool {
        self.bps.is_some() || !self.is_empty()
    }

    /// A packet that is to leave now must [wait](Self::push).
    pub fn must_wait(&self, now: Instant) -> bool {
        !self.is_empty() || self.due().is_some_and(|due| due > now)
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.resends.is_empty()
    }

    /// How long it takes at the rate until all that waits has left.
    pub fn backlog(&self) -> Duration {
        self.bps.map_or(Duration::ZERO, |bps| Duration::from_secs_f64(self.bytes as f64 * 8.0 / bps as f64))
    }

    /// `false` when too many wait; nothing is kept then.
    pub fn push(&mut self, item: T, len: usize, content: Content) -> bool {
        let backlog_max = match content {
            Content::Motion => BACKLOG_MAX,
            Content::Detail => DETAIL_BACKLOG_MAX,
        };
        let is_late = |bps: u64| (self.bytes + len) as f64 * 8.0 > bps as f64 * backlog_max.as_secs_f64();
        if self.queue.len() >= PACKETS_MAX || self.bps.is_some_and(is_late) {
            return false;
        }
        self.queue.push_back((item, len));
        self.bytes += len;
        true
    }

    /// As [`Self::push`], for what is missing at the receiver. What waits already waits once.
    pub fn push_resend(&mut self, item: T, len: usize, is_same: impl Fn(&T) -> bool) -> bool {
        if self.resends.iter().any(|(waiting, _)| is_same(waiting)) {
            return true;
        }
        if self.resends.len() >= RESENDS_MAX {
            return false;
        }
        self.resends.push_back((item, len));
        self.bytes += len;
        true
    }

    /// The next packet that may leave by now, to be [noted](Self::note) when it has.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        if self.due().is_some_and(|due| due > now) {
            return None;
        }
        let (item, len) = self.resends.pop_front().or_else(|| self.queue.pop_front())?;
        self.bytes -= len;
        Some(item)
    }

    /// Whether something of this kind waits.
    pub fn holds(&self, is: impl Fn(&T) -> bool) -> bool {
        self.resends.iter().chain(&self.queue).any(|(item, _)| is(item))
    }

    /// Drops what waits and is not to be kept; returns how many.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) -> usize {
        let before = self.queue.len() + self.resends.len();
        self.queue.retain(|(item, _)| keep(item));
        self.resends.retain(|(item, _)| keep(item));
        self.bytes = self.resends.iter().chain(&self.queue).map(|(_, len)| len).sum();
        before - self.queue.len() - self.resends.len()
    }

    /// A packet left.
    pub fn note(&mut self, now: Instant, len: usize) {
        let Some(bps) = self.bps else { return };
        let takes = Duration::from_secs_f64(len as f64 * 8.0 / bps as f64);
        self.free_at = Some(self.free_at.map_or(now, |at| at.max(now)) + takes);
    }

    /// When [`Self::pop`] wants to be called next; `None` when nothing waits.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        (!self.is_empty()).then(|| self.due().unwrap_or(now))
    }

    /// From when on a packet may leave; `None` for at once.
    fn due(&self) -> Option<Instant> {
        self.bps.and(self.free_at).and_then(|at| at.checked_sub(BURST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    const LEN: usize = 1_250;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Offers `packets` at once and returns when each left, in ms.
    fn burst(pacer: &mut Pacer<usize>, packets: usize) -> Vec<u64> {
        let (t0, mut left) = (start(), Vec::new());
        for n in 0..packets {
            if pacer.must_wait(t0) {
                assert!(pacer.push(n, LEN, Content::Motion));
            } else {
                pacer.note(t0, LEN);
                left.push(0);
            }
        }
        let mut now = t0;
        while let Some(next) = pacer.next(now) {
            now = next.max(now);
            while let Some(n) = pacer.pop(now) {
                assert_eq!(n, left.len(), "in order");
                pacer.note(now, LEN);
                left.push((now - t0).as_millis() as u64);
            }
        }
        left
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        assert_eq!(burst(&mut Pacer::default(), 200), [0; 200]);
    }

    #[test]
    fn a_burst_leaves_at_the_rate() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(1_000_000));
        // 10 ms each.
        let left = burst(&mut pacer, 20);
        assert_eq!((left[0], left[1], left[19]), (0, 5, 185));
    }

    #[test]
    fn a_queue_of_the_path_makes_video_wait_here() {
        assert!((factor(0.0) - PACE_FACTOR).abs() < 1e-9);
        let [short, long] = [20_000.0, 60_000.0].map(factor);
        assert!(short < PACE_FACTOR && long < 0.9 && long > PACE_FACTOR_MIN, "{short} {long}");
        assert!((factor(1e9) - PACE_FACTOR_MIN).abs() < 1e-9, "pictures go on");
    }

    #[test]
    fn what_would_have_to_wait_for_seconds_is_not_kept() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(1_000_000));
        pacer.note(start(), LEN);
        assert_eq!((0..500).filter(|n| pacer.push(*n, LEN, Content::Motion)).count(), 400);
    }

    #[test]
    fn what_waits_leaves_at_once_when_the_rate_goes() {
        let (mut pacer, t0) = (Pacer::default(), start());
        pacer.set_rate(Some(100_000));
        pacer.note(t0, LEN);
        assert!(pacer.must_wait(t0) && pacer.push(1, LEN, Content::Motion) && pacer.push(2, LEN, Content::Motion));
        assert!(pacer.pop(t0).is_none());
        pacer.set_rate(None);
        assert!(pacer.is_active());
        assert_eq!(pacer.next(t0), Some(t0));
        assert_eq!((pacer.pop(t0), pacer.pop(t0)), (Some(1), Some(2)));
        assert!(!pacer.is_active() && !pacer.must_wait(t0 + ms(1)));
    }

    #[test]
    fn what_is_dropped_does_not_keep_others_waiting() {
        let (mut pacer, t0) = (Pacer::default(), start());
        pacer.set_rate(Some(1_000_000));
        pacer.note(t0, LEN);
        (0..20).for_each(|n| assert!(pacer.push(n, LEN, Content::Motion)));
        assert_eq!(pacer.retain(|n| *n == 19), 19);
        assert_eq!(pacer.pop(t0 + ms(5)), Some(19));
        assert!(!pacer.must_wait(t0 + ms(20)) && pacer.bytes == 0);
    }

    #[test]
    fn what_is_missing_leaves_first_and_waits_once() {
        let (mut pacer, t0) = (Pacer::default(), start());
        pacer.set_rate(Some(1_000_000));
        pacer.note(t0, LEN);
        assert!(pacer.push(1, LEN, Content::Detail) && pacer.push_resend(0, LEN, |n| *n == 0));
        assert!(pacer.push_resend(0, LEN, |n| *n == 0));
        assert_eq!(pacer.backlog(), ms(20));
        assert_eq!((pacer.pop(t0 + ms(50)), pacer.pop(t0 + ms(50))), (Some(0), Some(1)));
        assert!(pacer.is_empty() && pacer.backlog().is_zero());
        assert_eq!((0..5_000).filter(|n| pacer.push_resend(*n, 1, |_| false)).count(), RESENDS_MAX);
    }

    #[test]
    fn a_keyframe_of_a_screen_waits_whole() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(1_000_000));
        assert!((0..800).all(|n| pacer.push(n, LEN, Content::Detail)));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut pacer = Pacer::default();
        assert_eq!((0..5_000).filter(|_| pacer.push((), LEN, Content::Motion)).count(), PACKETS_MAX);
    }
}
