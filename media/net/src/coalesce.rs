//! How long a busy worker lets datagrams gather before it takes them: the longer, the more packets leave in one train. Knows
//! times, nothing of sockets.

use std::time::{Duration, Instant};

/// Below this load nobody waits: there is time for every packet at once.
const LOAD_LIGHT: f64 = 0.6;
/// From this load on, the whole bound is waited.
const LOAD_HEAVY: f64 = 0.9;
/// Over which the load is measured: some frames of a meeting.
const WINDOW: Duration = Duration::from_millis(20);
/// Share of a new window in the running figure, so that one keyframe does not make everybody wait.
const NEWEST_SHARE: f64 = 0.25;

pub(crate) struct Coalescing {
    bound: Duration,
    load: f64,
    window_start: Instant,
    busy: Duration,
}

impl Coalescing {
    /// `bound` is the longest wait; zero turns it off.
    pub(crate) fn new(bound: Duration, now: Instant) -> Self {
        Self { bound, load: 0.0, window_start: now, busy: Duration::ZERO }
    }

    /// Notes that the thread has worked for `busy` until `now`.
    pub(crate) fn worked(&mut self, busy: Duration, now: Instant) {
        self.busy += busy;
        let window = now.saturating_duration_since(self.window_start);
        if window < WINDOW {
            return;
        }
        let load = (self.busy.as_secs_f64() / window.as_secs_f64()).min(1.0);
        self.load += (load - self.load) * NEWEST_SHARE;
        self.window_start = now;
        self.busy = Duration::ZERO;
    }

    /// How long to wait before taking what has arrived.
    pub(crate) fn wait(&self) -> Duration {
        let share = (self.load - LOAD_LIGHT) / (LOAD_HEAVY - LOAD_LIGHT);
        self.bound.mul_f64(share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(1);

    /// After two seconds of this load, in rounds of half a millisecond.
    fn wait_at(load: f64, bound: Duration) -> Duration {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(bound, start);
        let round = Duration::from_micros(500);
        for number in 1..4_000 {
            coalescing.worked(round.mul_f64(load), start + round * number);
        }
        coalescing.wait()
    }

    #[test]
    fn nobody_waits_at_light_load() {
        assert_eq!(wait_at(0.0, BOUND), Duration::ZERO);
        assert_eq!(wait_at(0.5, BOUND), Duration::ZERO);
    }

    #[test]
    fn the_wait_grows_with_the_load_up_to_its_bound() {
        let (some, more) = (wait_at(0.7, BOUND), wait_at(0.8, BOUND));
        assert!(Duration::ZERO < some && some < more && more < BOUND, "{some:?} {more:?}");
        assert_eq!(wait_at(0.95, BOUND), BOUND);
        assert_eq!(wait_at(1.0, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn one_busy_window_is_not_a_busy_worker() {
        let start = Instant::now();
        let mut coalescing = Coalescing::new(BOUND, start);
        coalescing.worked(WINDOW, start + WINDOW);
        assert_eq!(coalescing.wait(), Duration::ZERO);
    }
}
