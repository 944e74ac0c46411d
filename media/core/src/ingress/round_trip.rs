//! The round trip to a peer: its mean, and how far single ones are from it. Knows nothing of what was measured.

use std::time::{Duration, Instant};

/// People notice a picture that stands for half a second: with less than this, three repairs fit into it, and the first comes
/// within what buffers hold against jitter.
const LONG: Duration = Duration::from_millis(120);

/// The smoothing of RFC 6298 section 2.3, but with an alpha of a quarter instead of an eighth: reports come once per second and
/// not once per round trip, and a path that became longer is to be known in two of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoundTrip {
    pub mean: Duration,
    pub deviation: Duration,
    noted: Instant,
}

impl RoundTrip {
    /// The RFC begins with a deviation of half of the sample, as it doubts a connection that hears nothing; here an answer that
    /// is asked for again too early costs a packet, and one too late a second without a picture.
    pub fn new(now: Instant, sample: Duration) -> Self {
        Self { mean: sample, deviation: sample / 8, noted: now }
    }

    /// Several reports in one packet are one measurement.
    pub fn note(&mut self, now: Instant, sample: Duration) {
        if self.noted == now {
            return;
        }
        self.noted = now;
        self.deviation = (self.deviation * 3 + self.mean.abs_diff(sample)) / 4;
        self.mean = (self.mean * 3 + sample) / 4;
    }

    /// As [`Self::note`], where there may have been none before.
    pub fn note_in(known: &mut Option<Self>, now: Instant, sample: Duration) {
        match known {
            Some(known) => known.note(now, sample),
            None => *known = Some(Self::new(now, sample)),
        }
    }

    /// A repair that is lost costs more than people put up with.
    pub fn is_long(&self) -> bool {
        self.mean >= LONG
    }

    /// Most answers are there by then: with even jitter all but one in twenty.
    pub fn expected(&self) -> Duration {
        self.mean + self.deviation * 2
    }
}

#[cfg(test)]
impl RoundTrip {
    /// One that does not vary.
    pub(crate) fn steady(mean: Duration) -> Self {
        Self { mean, deviation: Duration::ZERO, noted: crate::virtual_time::start() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn jitter_moves_the_mean_little_and_widens_what_is_expected() {
        let (t0, mut known) = (start(), None);
        for n in 0..200_u64 {
            RoundTrip::note_in(&mut known, t0 + ms(1_000 * n), ms(if n % 2 == 0 { 270 } else { 330 }));
        }
        let known = known.unwrap();
        assert!(known.mean.abs_diff(ms(300)) < ms(10), "{known:?}");
        assert!((ms(345)..ms(385)).contains(&known.expected()), "{known:?}");
    }

    #[test]
    fn a_steady_round_trip_is_expected_as_it_is() {
        let (t0, mut known) = (start(), None);
        (0..50).for_each(|n| RoundTrip::note_in(&mut known, t0 + ms(n), ms(40)));
        assert!(known.unwrap().expected() < ms(41));
    }

    #[test]
    fn the_reports_of_one_packet_count_once() {
        let mut known = RoundTrip::new(start(), ms(100));
        let later = start() + ms(1);
        (0..9).for_each(|_| known.note(later, ms(180)));
        assert_eq!(known.mean, ms(120));
    }
}
