//! What a link did to the packets that it was given.

use std::time::Duration;

/// Queue delays are counted by the millisecond; those beyond count as the last.
const DELAYS_MS_MAX: usize = 10_000;

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LinkStats {
    pub offered: u64,
    /// Delivered, copies included.
    pub passed: u64,
    pub passed_bytes: u64,
    pub duplicated: u64,
    /// By the loss of the path.
    pub lost: u64,
    /// Because the queue was full.
    pub lost_to_queue: u64,
    pub lost_to_outages: u64,
    pub queue_delay: QueueDelay,
}

/// Time from a packet's arrival at the queue until its first bit left it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct QueueDelay {
    pub max: Duration,
    total: Duration,
    count: u64,
    by_millisecond: Vec<u32>,
}

impl QueueDelay {
    pub(super) fn record(&mut self, delay: Duration) {
        let bucket = usize::try_from(delay.as_millis()).map_or(DELAYS_MS_MAX, |delay| delay.min(DELAYS_MS_MAX));
        if self.by_millisecond.len() <= bucket {
            self.by_millisecond.resize(bucket + 1, 0);
        }
        if let Some(count) = self.by_millisecond.get_mut(bucket) {
            *count += 1;
        }
        self.max = self.max.max(delay);
        self.total += delay;
        self.count += 1;
    }

    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.total.as_secs_f64() / self.count.max(1) as f64)
    }

    /// What so large a share of the packets did not exceed, to the millisecond above.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = self.count as f64 * share;
        let mut counted = 0.0;
        for (delay_ms, &count) in (1..).zip(&self.by_millisecond) {
            counted += f64::from(count);
            if counted >= wanted {
                return Duration::from_millis(delay_ms);
            }
        }
        self.max
    }
}
