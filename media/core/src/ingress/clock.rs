//! The publisher's clock as seen from ours, from its sender reports (RFC 3550 section 6.4.1).
//!
//! Subscribers get sender reports in *our* time: the round-trip time in their answers is then ours to read, and all tracks
//! of one publisher are shifted by the same offset, so that they stay synchronised with one another.

use crate::ids::RtpTime;
use crate::wire::ntp::NtpTime;
use std::time::{Duration, Instant};

/// The worker's wall clock: one reading at start, monotonic from there on.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    start: Instant,
    unix_start: Duration,
}

impl WallClock {
    pub fn new(start: Instant, unix_start: Duration) -> Self {
        Self { start, unix_start }
    }

    pub fn start(&self) -> Instant {
        self.start
    }

    pub fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(self.unix_start + now.saturating_duration_since(self.start))
    }

    /// Time since the worker's start.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

/// How far our clock is ahead of one publisher's, in 1/2^32 s, transit time included.
#[derive(Default)]
pub struct PublisherClock {
    offset: Option<i64>,
}

/// A jump of the publisher's clock is followed at once above this, 0.5 s in 1/2^32 s; below it is drift or jitter.
const STEP: u64 = 1 << 31;
/// Share of a deviation taken over per report, as a shift: 1/64, so that jitter of one report stays under a millisecond.
const SMOOTHING_SHIFT: u32 = 6;

impl PublisherClock {
    pub fn update(&mut self, ours: NtpTime, theirs: NtpTime) {
        let sample = delta(ours, theirs);
        self.offset = Some(match self.offset {
            Some(offset) if sample.wrapping_sub(offset).unsigned_abs() < STEP => {
                offset.wrapping_add(sample.wrapping_sub(offset) >> SMOOTHING_SHIFT)
            }
            _ => sample,
        });
    }

    pub fn offset(&self) -> Option<i64> {
        self.offset
    }
}

/// The last sender report of one stream: its timestamp at a moment of the publisher's clock.
#[derive(Clone, Copy, Debug)]
pub struct SenderReportMark {
    pub ntp: NtpTime,
    pub rtp: RtpTime,
    pub arrival: Instant,
}

impl SenderReportMark {
    /// The stream's timestamp at `ours` (our clock), given the publisher's offset.
    pub fn rtp_at(&self, ours: NtpTime, offset: i64, clock_rate: u32) -> RtpTime {
        let elapsed = delta(ours, self.ntp).wrapping_sub(offset);
        self.rtp.wrapping_add(scale(elapsed, clock_rate) as u32)
    }

    /// The timestamp in this stream of what has timestamp `theirs` in a sibling encoding with the mark `sibling`.
    pub fn translate(&self, sibling: &Self, theirs: RtpTime, clock_rate: u32) -> RtpTime {
        let between = scale(delta(sibling.ntp, self.ntp), clock_rate);
        let ticks = i64::from(theirs.since(sibling.rtp)).wrapping_add(between);
        self.rtp.wrapping_add(ticks as u32)
    }
}

/// In 1/2^32 s.
fn delta(later: NtpTime, earlier: NtpTime) -> i64 {
    later.get().wrapping_sub(earlier.get()) as i64
}

/// 1/2^32 s to ticks, rounded to the nearest.
fn scale(ntp_delta: i64, clock_rate: u32) -> i64 {
    ((i128::from(ntp_delta) * i128::from(clock_rate) + (1 << 31)) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    fn ntp(ms: u64) -> NtpTime {
        NtpTime::from_unix(Duration::from_millis(1_700_000_000_000 + ms))
    }

    #[test]
    fn a_mark_extrapolates_in_our_clock() {
        // The publisher's clock is 5 s behind ours.
        let mut clock = PublisherClock::default();
        clock.update(ntp(6_000), ntp(1_000));
        let mark = SenderReportMark { ntp: ntp(1_000), rtp: RtpTime::new(0xffff_ff00), arrival: start() };
        let at = mark.rtp_at(ntp(6_500), clock.offset().unwrap(), 48_000);
        assert_eq!(at, RtpTime::new(0xffff_ff00).wrapping_add(24_000));
    }

    #[test]
    fn translation_between_encodings_agrees_with_their_marks() {
        let a = SenderReportMark { ntp: ntp(1_000), rtp: RtpTime::new(10_000), arrival: start() };
        let b = SenderReportMark { ntp: ntp(1_100), rtp: RtpTime::new(900_000), arrival: start() };
        // 50 ms after b's mark is 150 ms after a's.
        let in_a = a.translate(&b, RtpTime::new(900_000 + 4_500), 90_000);
        assert_eq!(in_a, RtpTime::new(10_000 + 13_500));
    }

    #[test]
    fn a_step_is_followed_at_once_and_jitter_is_not() {
        let mut clock = PublisherClock::default();
        clock.update(ntp(1_000), ntp(1_000));
        clock.update(ntp(2_064), ntp(2_000));
        let offset_ms = (clock.offset().unwrap() * 1_000) >> 32;
        assert!((0..=1).contains(&offset_ms), "{offset_ms}");
        clock.update(ntp(13_000), ntp(3_000));
        let offset_ms = (clock.offset().unwrap() * 1_000 + (1 << 31)) >> 32;
        assert_eq!(offset_ms, 10_000);
    }
}
