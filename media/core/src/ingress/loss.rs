//! Which packets of an incoming stream are missing, and when to ask for them again (RFC 4585 generic NACK).

use crate::ids::{ExtSeqNo, SeqNo};
use std::time::{Duration, Instant};

/// Missing packets remembered per stream: a longer gap is not repaired but restarted by a keyframe.
pub const MISSING_MAX: usize = 256;
/// Reordering on the way is common and short; asking at once would ask for packets that are about to arrive.
const FIRST_REQUEST_DELAY: Duration = Duration::from_millis(10);
/// Until a round-trip time is known.
const RETRY_INTERVAL_DEFAULT: Duration = Duration::from_millis(100);
const RETRY_INTERVAL_MIN: Duration = Duration::from_millis(20);
const REQUESTS_MAX: u8 = 10;
/// What one feedback message asks for at most.
pub const REQUEST_BATCH_MAX: usize = 128;

struct Missing {
    ext_seq: ExtSeqNo,
    due: Instant,
    requests: u8,
}

/// What a gap led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    None,
    /// The packets in between are now tracked.
    Opened,
    /// Too many are missing: tracking starts anew, the picture needs a keyframe.
    TooLarge,
}

#[derive(Default)]
pub struct LossTracker {
    highest: Option<ExtSeqNo>,
    /// In ascending order.
    missing: Vec<Missing>,
}

impl LossTracker {
    pub fn reset(&mut self) {
        self.highest = None;
        self.missing.clear();
    }

    /// Notes an arrival.
    pub fn received(&mut self, now: Instant, ext_seq: ExtSeqNo) -> Gap {
        let Some(highest) = self.highest else {
            self.highest = Some(ext_seq);
            return Gap::None;
        };
        if ext_seq <= highest {
            if let Ok(index) = self.missing.binary_search_by_key(&ext_seq, |m| m.ext_seq) {
                self.missing.remove(index);
            }
            return Gap::None;
        }
        self.highest = Some(ext_seq);
        let gap = (ext_seq.get() - highest.get() - 1) as usize;
        if gap == 0 {
            return Gap::None;
        }
        if self.missing.len() + gap > MISSING_MAX {
            self.missing.clear();
            return Gap::TooLarge;
        }
        let due = now + FIRST_REQUEST_DELAY;
        let gap = highest.get() + 1..ext_seq.get();
        self.missing.extend(gap.map(|seq| Missing { ext_seq: ExtSeqNo::new(seq), due, requests: 0 }));
        Gap::Opened
    }

    /// The numbers to ask for now. Those asked for often enough are given up and reported by `false` in second place.
    pub fn poll_requests(&mut self, now: Instant, rtt: Option<Duration>, out: &mut Vec<SeqNo>) -> bool {
        let retry = rtt.map_or(RETRY_INTERVAL_DEFAULT, |rtt| (rtt * 3 / 2).max(RETRY_INTERVAL_MIN));
        let mut complete = true;
        self.missing.retain_mut(|missing| {
            if missing.due > now || out.len() >= REQUEST_BATCH_MAX {
                return true;
            }
            if missing.requests >= REQUESTS_MAX {
                complete = false;
                return false;
            }
            missing.requests += 1;
            missing.due = now + retry;
            out.push(missing.ext_seq.seq());
            true
        });
        complete
    }

    /// When [`Self::poll_requests`] has something to say next.
    pub fn next_due(&self) -> Option<Instant> {
        self.missing.iter().map(|m| m.due).min()
    }

    pub fn missing_len(&self) -> usize {
        self.missing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    fn received(tracker: &mut LossTracker, now: Instant, seqs: &[u64]) {
        for &seq in seqs {
            tracker.received(now, ExtSeqNo::new(seq));
        }
    }

    fn requests(tracker: &mut LossTracker, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        tracker.poll_requests(now, None, &mut out);
        out.iter().map(|s| s.get()).collect()
    }

    #[test]
    fn a_gap_is_asked_for_after_the_reordering_delay_and_again_until_filled() {
        let (mut tracker, t0) = (LossTracker::default(), start());
        received(&mut tracker, t0, &[65_534, 65_535, 65_538]);
        assert!(requests(&mut tracker, t0).is_empty());
        assert_eq!(requests(&mut tracker, t0 + FIRST_REQUEST_DELAY), [0, 1]);
        received(&mut tracker, t0, &[65_536]);
        assert_eq!(requests(&mut tracker, t0 + FIRST_REQUEST_DELAY + RETRY_INTERVAL_DEFAULT), [1]);
        received(&mut tracker, t0, &[65_537]);
        assert_eq!(tracker.next_due(), None);
    }

    #[test]
    fn a_packet_that_never_comes_is_given_up() {
        let (mut tracker, mut now) = (LossTracker::default(), start());
        received(&mut tracker, now, &[1, 3]);
        let mut asked = 0;
        let mut complete = true;
        while let Some(due) = tracker.next_due() {
            now = due;
            let mut out = Vec::new();
            complete = tracker.poll_requests(now, None, &mut out);
            asked += out.len();
        }
        assert_eq!(asked, usize::from(REQUESTS_MAX));
        assert!(!complete);
    }

    #[test]
    fn a_gap_beyond_the_bound_is_not_tracked() {
        let (mut tracker, t0) = (LossTracker::default(), start());
        received(&mut tracker, t0, &[1]);
        assert_eq!(tracker.received(t0, ExtSeqNo::new(10_000)), Gap::TooLarge);
        assert_eq!(tracker.missing_len(), 0);
    }
}
