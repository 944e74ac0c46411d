//! The limit on a client's messages: a token bucket for their number and one for their bytes.

use std::time::Instant;

/// Messages at once: a client that joins a large room sends a setting for each track, and its candidates.
const BURST: f64 = 600.0;
/// Messages per second in the long run. The SDKs debounce what they send; a busy one stays below ten.
const RATE: f64 = 60.0;
/// Bytes at once: sixteen of the longest messages. A room that is busy keeps what its clients say, so that a count alone
/// would let one of them fill the memory.
const BYTES_BURST: f64 = 8_388_608.0;
/// Bytes per second in the long run: eight descriptions of the longest kind, as a client of a very large room sends them
/// when tracks come and go.
const BYTES_RATE: f64 = 2_097_152.0;

pub(super) struct Bucket {
    messages: f64,
    bytes: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { messages: BURST, bytes: BYTES_BURST, at: now }
    }

    /// Whether one more message of so many bytes is within the limit.
    pub(super) fn take(&mut self, now: Instant, len: usize) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.messages = (self.messages + elapsed * RATE).min(BURST);
        self.bytes = (self.bytes + elapsed * BYTES_RATE).min(BYTES_BURST);
        let len = len as f64;
        let within = self.messages >= 1.0 && self.bytes >= len;
        if within {
            self.messages -= 1.0;
            self.bytes -= len;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        for (len, burst, rate) in [(100, BURST, RATE), (65_536, BYTES_BURST / 65_536.0, BYTES_RATE / 65_536.0)] {
            let start = Instant::now();
            let mut bucket = Bucket::new(start);
            assert!((0..burst as usize).all(|_| bucket.take(start, len)));
            assert!(!bucket.take(start, len));
            let later = start + Duration::from_secs(1);
            assert!((0..rate as usize).all(|_| bucket.take(later, len)));
            assert!(!bucket.take(later, len));
        }
    }
}
