//! The limit on a client's messages: a token bucket.

use std::time::Instant;

/// Messages at once: a client that joins a large room sends a setting for each track, and its candidates.
const BURST: f64 = 600.0;
/// Messages per second in the long run. The SDKs debounce what they send; a busy one stays below ten.
const RATE: f64 = 60.0;

pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: BURST, at: now }
    }

    /// Whether one more message is within the limit.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + elapsed * RATE).min(BURST);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert!((0..BURST as usize).all(|_| bucket.take(start)));
        assert!(!bucket.take(start));
        let later = start + Duration::from_secs(1);
        assert!((0..RATE as usize).all(|_| bucket.take(later)));
        assert!(!bucket.take(later));
    }
}
