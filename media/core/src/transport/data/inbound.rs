//! How much a peer may send on its data channels, kept by token buckets. Knows nothing of SCTP.
//!
//! What comes too fast is dealt with by what it is:
//! - lossy messages are dropped: their sender counts on that;
//! - reliable bytes are left unread for a while: SCTP's receive window then holds the sender back, so that a file sent as
//!   fast as the sender's network allows arrives, only later;
//! - reliable bytes for somebody who is behind are left unread longer: a file comes to all at the pace of the slowest,
//!   instead of ending them;
//! - reliable messages are more than a peer may send: the window counts bytes, so it would let the smallest ones through by
//!   the million. The peer is closed.

use std::time::{Duration, Instant};

/// Messages per second of each kind in the long run. A cursor or a hand that is drawn sends 60, a game or a robot 300.
const MESSAGES_PER_S: f64 = 500.0;
/// Messages of each kind at once: a client that hands a late joiner everything it knows, one message per item.
const MESSAGES_BURST: f64 = 2_000.0;
/// Bytes per second of each kind in the long run, 16.8 Mbit/s: a file of 10 Mbit/s passes unhindered. Each byte is sent on
/// to everybody in the room.
const BYTES_PER_S: f64 = 2_097_152.0;
/// Bytes of each kind at once: half of what may wait for a receiver, so that no burst of one sender ends one.
const BYTES_BURST: f64 = 2_097_152.0;

/// Bytes per second of large reliable messages while somebody is behind: less than a path of 300 kbit/s carries beside sound,
/// and so little that a path without life is noticed by its consent (30 s) before two senders have filled the backlog.
const SLOWED_BYTES_PER_S: f64 = 16_384.0;
/// The same at once: the largest message, so that one that starts nothing larger is not held up.
const SLOWED_BYTES_BURST: f64 = 65_536.0;
/// Messages up to so many bytes are never slowed: what people write, hands, cursors. So nothing of that kind gathers unread.
const SMALL_LEN_MAX: usize = 1_024;

/// A count that refills with time, up to its burst.
struct Bucket {
    per_s: f64,
    burst: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Bucket {
    fn new(per_s: f64, burst: f64) -> Self {
        Self { per_s, burst, tokens: burst, at: None }
    }

    fn refill(&mut self, now: Instant) {
        if let Some(at) = self.at {
            let elapsed = now.saturating_duration_since(at).as_secs_f64();
            self.tokens = (self.tokens + elapsed * self.per_s).min(self.burst);
        }
        self.at = Some(now);
    }

    /// When nothing is owed any more, if something is. Rounded up, so that no debt is left at that time.
    fn debt_paid_at(&self, now: Instant) -> Option<Instant> {
        let debt = -self.tokens;
        (debt > 0.0).then(|| now + Duration::from_secs_f64(debt / self.per_s) + Duration::from_millis(1))
    }
}

/// One sender's allowance for messages of one kind.
struct Allowance {
    messages: Bucket,
    bytes: Bucket,
}

impl Allowance {
    fn new() -> Self {
        Self { messages: Bucket::new(MESSAGES_PER_S, MESSAGES_BURST), bytes: Bucket::new(BYTES_PER_S, BYTES_BURST) }
    }

    fn refill(&mut self, now: Instant) {
        self.messages.refill(now);
        self.bytes.refill(now);
    }

    fn spend(&mut self, len: usize) {
        self.messages.tokens -= 1.0;
        self.bytes.tokens -= len as f64;
    }
}

/// One peer's allowances.
pub(super) struct Inbound {
    reliable: Allowance,
    lossy: Allowance,
    /// What is left for large reliable messages, while somebody is behind.
    slowed: Option<Bucket>,
}

/// More reliable messages came than a peer may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flood;

impl Inbound {
    pub(super) fn new() -> Self {
        Self { reliable: Allowance::new(), lossy: Allowance::new(), slowed: None }
    }

    /// Whether somebody is behind with what this peer sends. Afterwards nothing is made up for: all senders at once would
    /// put the receiver behind by more than may wait for it.
    pub(super) fn set_slowed(&mut self, now: Instant, slowed: bool) {
        if slowed == self.slowed.is_some() {
            return;
        }
        self.slowed = slowed.then(|| Bucket::new(SLOWED_BYTES_PER_S, SLOWED_BYTES_BURST));
        self.reliable.refill(now);
        let bytes = &mut self.reliable.bytes;
        bytes.tokens = bytes.tokens.min(SLOWED_BYTES_BURST);
    }

    /// When the next reliable message may be read, if not now. A message may be larger than what is left; those after it
    /// wait for it.
    pub(super) fn reliable_from(&mut self, now: Instant) -> Option<Instant> {
        self.reliable.refill(now);
        let slowed = self.slowed.as_mut().and_then(|bucket| {
            bucket.refill(now);
            bucket.debt_paid_at(now)
        });
        self.reliable.bytes.debt_paid_at(now).max(slowed)
    }

    pub(super) fn take_reliable(&mut self, now: Instant, len: usize) -> Result<(), Flood> {
        self.reliable.refill(now);
        if self.reliable.messages.tokens < 1.0 {
            return Err(Flood);
        }
        self.reliable.spend(len);
        if let Some(slowed) = self.slowed.as_mut().filter(|_| len > SMALL_LEN_MAX) {
            slowed.tokens -= len as f64;
        }
        Ok(())
    }

    /// Whether a lossy message is within the limits.
    pub(super) fn take_lossy(&mut self, now: Instant, len: usize) -> bool {
        self.lossy.refill(now);
        let within = self.lossy.messages.tokens >= 1.0 && self.lossy.bytes.tokens >= len as f64;
        if within {
            self.lossy.spend(len);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends for ten seconds and tells how many messages were within the limits.
    fn lossy(per_s: u32, len: usize) -> usize {
        let mut inbound = Inbound::new();
        let start = crate::virtual_time::start();
        let within = |index: &u32| inbound.take_lossy(start + Duration::from_secs(1) * *index / per_s, len);
        (0..10 * per_s).filter(within).count()
    }

    #[test]
    fn what_people_send_passes_whole_and_a_flood_is_cut_to_the_rate() {
        assert_eq!(lossy(300, 1_000), 3_000);
        assert_eq!(lossy(100, 15_000), 1_000);
        let rate_and_burst = (10.0 * MESSAGES_PER_S + MESSAGES_BURST) as usize;
        assert!(lossy(10_000, 10).abs_diff(rate_and_burst) <= 1);
        let rate_and_burst = ((10.0 * BYTES_PER_S + BYTES_BURST) / 60_000.0) as usize;
        assert!(lossy(400, 60_000).abs_diff(rate_and_burst) <= 1);
    }

    #[test]
    fn too_many_reliable_messages_are_a_flood_and_lossy_ones_do_not_count_towards_it() {
        let mut inbound = Inbound::new();
        let now = crate::virtual_time::start();
        for _ in 0..100_000 {
            inbound.take_lossy(now, 100);
        }
        let taken = (0..100_000).take_while(|_| inbound.take_reliable(now, 1).is_ok()).count();
        assert_eq!(taken, MESSAGES_BURST as usize);
        assert_eq!(inbound.take_reliable(now + Duration::from_secs(1), 1), Ok(()));
    }

    #[test]
    fn too_many_reliable_bytes_wait_until_their_time() {
        let mut inbound = Inbound::new();
        let start = crate::virtual_time::start();
        let mut now = start;
        for _ in 0..300 {
            now = inbound.reliable_from(now).unwrap_or(now);
            assert_eq!(inbound.reliable_from(now), None, "the time given is enough");
            inbound.take_reliable(now, 64_000).unwrap();
        }
        let expected = (300.0 * 64_000.0 - BYTES_BURST) / BYTES_PER_S;
        assert!(((now - start).as_secs_f64() - expected).abs() < 0.5, "{:?}", now - start);
    }

    /// Reads messages of `len` for ten seconds, each as soon as it may be read, and tells how many bytes that were.
    fn read_for_ten_seconds(inbound: &mut Inbound, start: Instant, len: usize, per_s: u32) -> usize {
        let mut bytes = 0;
        for index in 0..10 * per_s {
            let now = start + Duration::from_secs(1) * index / per_s;
            if inbound.reliable_from(now).is_none() {
                inbound.take_reliable(now, len).unwrap();
                bytes += len;
            }
        }
        bytes
    }

    #[test]
    fn while_somebody_is_behind_files_crawl_and_what_people_write_passes() {
        let start = crate::virtual_time::start();
        let mut inbound = Inbound::new();
        inbound.set_slowed(start, true);
        assert_eq!(read_for_ten_seconds(&mut inbound, start, SMALL_LEN_MAX, 400), 4_000 * SMALL_LEN_MAX);
        let start = start + Duration::from_secs(10);
        let file = read_for_ten_seconds(&mut inbound, start, 15_000, 400);
        let crawl = (10.0 * SLOWED_BYTES_PER_S + SLOWED_BYTES_BURST) as usize;
        assert!(file.abs_diff(crawl) <= 15_000, "{file} bytes");
    }

    #[test]
    fn what_was_not_sent_while_somebody_was_behind_is_not_made_up_for() {
        let start = crate::virtual_time::start();
        let mut inbound = Inbound::new();
        inbound.set_slowed(start, true);
        let later = start + Duration::from_secs(10);
        inbound.set_slowed(later, false);
        let mut burst = 0;
        while inbound.reliable_from(later).is_none() {
            inbound.take_reliable(later, 15_000).unwrap();
            burst += 15_000;
        }
        assert!(burst <= SLOWED_BYTES_BURST as usize + 15_000, "{burst} bytes at once");
    }
}
