//! Reliable messages of the last seconds, for clients that come back on a new data channel.
//!
//! A resumed client keeps its SCTP association, and with it everything under way. Only what was under way on a channel that
//! it then replaced is gone. Such a client says what it received last of each sender (`DataChannelReceiveState`), and gets
//! the rest once more from here. Whoever keeps its channel gets nothing twice.

use super::data::Destinations;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Bytes that one room keeps: a busy chat's hour, and a second of somebody's file.
const BYTES_MAX: usize = 1 << 20;
/// How long: who is away for longer has left ([`super::limits::RESUME_WINDOW`]), and the SDKs remember what they received
/// for 30 s.
const KEPT: Duration = Duration::from_secs(25);
/// Counted for each message beside its bytes, so that many empty ones are bounded too.
const OVERHEAD: usize = 256;

#[derive(Default)]
pub(super) struct Replay {
    messages: VecDeque<Kept>,
    bytes: usize,
}

struct Kept {
    at: Instant,
    from_sid: String,
    sequence: u32,
    to: Destinations,
    payload: Bytes,
}

/// Who comes back, and what it has.
pub(super) struct Returning<'a> {
    pub(super) identity: &'a str,
    pub(super) sid: &'a str,
    pub(super) joined_at: Instant,
    /// Last sequence received, by sender.
    pub(super) received: &'a HashMap<String, u32>,
}

impl Replay {
    pub(super) fn keep(&mut self, now: Instant, from_sid: &str, sequence: u32, to: &Destinations, payload: Bytes) {
        let expired = |kept: &Kept| now.saturating_duration_since(kept.at) >= KEPT;
        self.bytes += payload.len() + OVERHEAD;
        self.messages.push_back(Kept { at: now, from_sid: from_sid.to_owned(), sequence, to: to.clone(), payload });
        while self.bytes > BYTES_MAX || self.messages.front().is_some_and(expired) {
            let Some(oldest) = self.messages.pop_front() else { return };
            self.bytes -= oldest.payload.len() + OVERHEAD;
        }
    }

    /// What was meant for a participant since it joined and is not among what it has, oldest first.
    pub(super) fn missed<'a>(&'a self, by: &'a Returning<'_>) -> impl Iterator<Item = Bytes> + 'a {
        let missed = |kept: &&Kept| {
            kept.from_sid != by.sid
                && kept.at >= by.joined_at
                && kept.to.includes(by.identity, by.sid)
                && by.received.get(&kept.from_sid).is_none_or(|last| kept.sequence > *last)
        };
        self.messages.iter().filter(missed).map(|kept| kept.payload.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sequences: std::ops::Range<u32>, len: usize, every: Duration) -> (Replay, Instant) {
        let (mut replay, start) = (Replay::default(), Instant::now());
        let everybody = Destinations::new([], []);
        for n in sequences {
            replay.keep(start + every * n, "PA_a", n, &everybody, vec![n as u8; len].into());
        }
        (replay, start)
    }

    fn missed(replay: &Replay, joined_at: Instant, last: Option<u32>) -> usize {
        let received = last.map(|last| ("PA_a".to_owned(), last)).into_iter().collect();
        replay.missed(&Returning { identity: "bob", sid: "PA_b", joined_at, received: &received }).count()
    }

    #[test]
    fn what_somebody_has_or_was_not_here_for_is_not_missed() {
        let (replay, start) = kept(1..11, 10, Duration::from_millis(1));
        assert_eq!(missed(&replay, start, None), 10);
        assert_eq!(missed(&replay, start, Some(7)), 3);
        assert_eq!(missed(&replay, start + Duration::from_millis(6), None), 5);
    }

    #[test]
    fn time_and_bytes_bound_what_is_kept() {
        let (replay, start) = kept(0..100, 10, Duration::from_secs(1));
        assert_eq!(missed(&replay, start, None) as u64, KEPT.as_secs());
        for len in [0, 60_000] {
            let (replay, start) = kept(0..20_000, len, Duration::ZERO);
            assert!(replay.bytes <= BYTES_MAX);
            assert_eq!(missed(&replay, start, None), BYTES_MAX / (len + OVERHEAD));
        }
    }
}
