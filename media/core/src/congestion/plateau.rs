//! Whether a longer delay is a queue. One that rose and then neither grows nor shrinks, while nothing is lost by it, is a longer
//! path: a queue of ours grows where the path carries less than we send, and drains where it carries more or we send less.

use super::rate::Seen;

/// It must stand as it is for so long. At nine tenths of what a path carries, a queue loses 100 ms in this time.
const STANDS_US: u64 = 900_000;
/// And vary no more than this, and what the filter leaves of the jitter.
const BREADTH_US: f64 = 10_000.0;
const BREADTH_JITTERS: f64 = 2.0;

#[derive(Clone, Copy)]
struct Standing {
    since_us: u64,
    least_us: i64,
    most_us: i64,
    /// The estimate before it was lowered for it.
    bps: f64,
}

#[derive(Default)]
pub(super) struct Plateau {
    standing: Option<Standing>,
}

impl Plateau {
    /// To be called with all that is seen, and the estimate that followed from what was seen before. Returns the estimate that is
    /// to hold again when what looked like a queue is the path's own delay.
    pub(super) fn note(&mut self, seen: &Seen, bps: f64) -> Option<f64> {
        let queue = seen.queue.filter(|_| seen.is_queued() && !seen.is_lossy);
        let Some(delay_us) = queue.map(|queue| queue.delay_us) else {
            self.standing = None;
            return None;
        };
        let anew = |bps| Standing { since_us: seen.now_us, least_us: delay_us, most_us: delay_us, bps };
        let standing = self.standing.get_or_insert_with(|| anew(bps));
        standing.least_us = standing.least_us.min(delay_us);
        standing.most_us = standing.most_us.max(delay_us);
        let breadth_us = standing.most_us.saturating_sub(standing.least_us) as f64;
        if breadth_us > BREADTH_US + BREADTH_JITTERS * seen.jitter_us {
            *standing = anew(standing.bps);
        }
        let before = standing.bps;
        (seen.now_us.saturating_sub(standing.since_us) >= STANDS_US).then(|| {
            self.standing = None;
            before
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::delay::Queue;
    use super::*;

    /// Feedback every 50 ms about delays in ms; when the plateau was found, in ms.
    fn found(delays_ms: impl Iterator<Item = i64>, is_lossy: bool) -> Option<u64> {
        let mut plateau = Plateau::default();
        (0..).step_by(50).zip(delays_ms).find_map(|(at_ms, delay_ms)| {
            let seen = Seen {
                now_us: at_ms * 1_000,
                queue: Some(Queue { delay_us: delay_ms * 1_000, is_draining: false }),
                jitter_us: 2_000.0,
                acked_bps: None,
                offered_bps: None,
                response_us: 100_000.0,
                is_lossy,
            };
            plateau.note(&seen, 1e6 - at_ms as f64).map(|bps| {
                assert!(bps > 1e6 - 400.0, "the estimate from before it fell: {bps}");
                at_ms
            })
        })
    }

    #[test]
    fn a_longer_path_is_told_from_a_queue() {
        let step = |n: i64| if n < 4 { n * 40 } else { 150 + n % 3 };
        assert!(found((0..60).map(step), false).is_some_and(|at_ms| at_ms < 1_300));
    }

    #[test]
    fn a_queue_that_grows_or_drains_or_costs_packets_or_is_short_stays_one() {
        assert_eq!(found((0..60).map(|n| 60 + n * 3), false), None);
        assert_eq!(found((0..60).map(|n| 200 - n * 3), false), None);
        assert_eq!(found(std::iter::repeat_n(150, 60), true), None);
        assert_eq!(found(std::iter::repeat_n(15, 60), false), None);
    }
}
