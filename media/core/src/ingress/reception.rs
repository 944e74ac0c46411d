//! Reception statistics of one incoming stream, as receiver reports carry them (RFC 3550 sections 6.4.1 and A.3, A.8).

use crate::ids::{ExtSeqNo, RtpTime};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Reception {
    base: Option<ExtSeqNo>,
    highest: u64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// In 1/16 timestamp units, as in RFC 3550 A.8.
    jitter_scaled: u32,
    last_arrival: Option<(Instant, RtpTime)>,
}

/// The figures of one report block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// In 1/256.
    pub fraction_lost: u8,
    /// Clamped to 24 bits, signed: duplicates make it negative.
    pub cumulative_lost: i32,
    pub highest_seq: u32,
    /// In timestamp units.
    pub jitter: u32,
}

impl Reception {
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    pub fn received(&mut self, now: Instant, ext_seq: ExtSeqNo, timestamp: RtpTime, clock_rate: u32) {
        if self.base.is_none() {
            self.base = Some(ext_seq);
            self.highest = ext_seq.get();
        }
        self.highest = self.highest.max(ext_seq.get());
        self.received += 1;
        if let Some((at, earlier)) = self.last_arrival {
            let elapsed = now.saturating_duration_since(at);
            let ticks = ticks(elapsed, clock_rate) as i64;
            let deviation = (ticks - i64::from(timestamp.since(earlier))).unsigned_abs().min(u64::from(u32::MAX >> 5));
            let decay = (self.jitter_scaled + 8) >> 4;
            self.jitter_scaled = self.jitter_scaled.saturating_add(deviation as u32).saturating_sub(decay);
        }
        self.last_arrival = Some((now, timestamp));
    }

    /// Packets that were due since the first one, and those that came.
    pub fn totals(&self) -> (u64, u64) {
        (self.base.map_or(0, |base| self.highest - base.get() + 1), self.received)
    }

    /// The report since the last call; `None` before the first packet.
    pub fn report(&mut self) -> Option<Report> {
        let base = self.base?;
        let expected = self.highest - base.get() + 1;
        let lost = expected as i64 - self.received as i64;
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let received_interval = self.received.saturating_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = (lost_interval << 8).checked_div(expected_interval).unwrap_or(0).min(255);
        Some(Report {
            fraction_lost: fraction as u8,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_seq: self.highest as u32,
            jitter: self.jitter_scaled >> 4,
        })
    }
}

/// A duration in units of a clock rate.
pub fn ticks(duration: Duration, clock_rate: u32) -> u64 {
    (duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    #[test]
    fn half_the_packets_missing_is_a_fraction_of_128() {
        let (mut reception, t0) = (Reception::default(), start());
        for seq in (0..100).step_by(2) {
            reception.received(t0, ExtSeqNo::new(1_000 + seq), RtpTime::new(0), 48_000);
        }
        let report = reception.report().unwrap();
        assert_eq!(report.cumulative_lost, 49);
        assert_eq!(report.fraction_lost, (49 * 256 / 99) as u8);
        assert_eq!(report.highest_seq, 1_098);
        assert_eq!(reception.report().unwrap().fraction_lost, 0);
    }

    #[test]
    fn regular_arrivals_have_no_jitter_and_irregular_ones_do() {
        let jitter = |deviation_ms: u64| {
            let (mut reception, t0) = (Reception::default(), start());
            for n in 0..200_u64 {
                let late = if n % 2 == 0 { 0 } else { deviation_ms };
                let at = t0 + Duration::from_millis(20 * n + late);
                reception.received(at, ExtSeqNo::new(n), RtpTime::new(960 * n as u32), 48_000);
            }
            reception.report().unwrap().jitter
        };
        assert_eq!(jitter(0), 0);
        // Successive transit times differ by 5 ms, 240 ticks at 48 kHz.
        assert!((225..=240).contains(&jitter(5)), "{}", jitter(5));
    }
}
