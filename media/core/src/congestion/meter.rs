//! A rate over the last half second: of what arrived, by the receiver's clock, or of what was sent, by ours.

/// Arrivals are counted in slots of this length...
const SLOT_US: i64 = 50_000;
/// ...over half a second, as draft-ietf-rmcat-gcc-02 section 5.5 recommends for R_hat.
const SLOTS: usize = 10;
/// Before so much was seen there is no rate.
const SPAN_MIN_US: i64 = 200_000;

#[derive(Default)]
pub(super) struct RateMeter {
    bytes: [u64; SLOTS],
    /// Number of the newest slot, and of the first ever.
    newest: Option<i64>,
    first: i64,
}

impl RateMeter {
    pub(super) fn note(&mut self, at_us: i64, len: u16) {
        let slot = at_us.div_euclid(SLOT_US);
        let newest = *self.newest.get_or_insert_with(|| {
            self.first = slot;
            slot
        });
        let ahead = slot.saturating_sub(newest);
        if ahead >= SLOTS as i64 {
            self.bytes = [0; SLOTS];
        } else {
            (1..=ahead).for_each(|step| self.bytes[index(newest + step)] = 0);
        }
        if ahead > 0 {
            self.newest = Some(slot);
        }
        if ahead > -(SLOTS as i64) {
            self.bytes[index(slot)] += u64::from(len);
        }
    }

    /// In bit/s; `None` before there is enough to say.
    pub(super) fn bps(&self) -> Option<f64> {
        let span = (self.newest?.saturating_sub(self.first)).saturating_add(1).min(SLOTS as i64) * SLOT_US;
        let bytes: u64 = self.bytes.iter().sum();
        (span >= SPAN_MIN_US).then(|| bytes as f64 * 8e6 / span as f64)
    }
}

fn index(slot: i64) -> usize {
    slot.rem_euclid(SLOTS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(arrivals: impl Iterator<Item = (i64, u16)>) -> Option<f64> {
        let mut meter = RateMeter::default();
        arrivals.for_each(|(at, len)| meter.note(at, len));
        meter.bps()
    }

    #[test]
    fn it_is_the_rate_of_the_last_half_second() {
        let steady = rate((0..1_000).map(|n| (n * 10_000 - 3_000_000, 1_250))).unwrap();
        assert!((steady - 1e6).abs() < 5e4, "{steady}");
        let halved = (0..1_000).map(|n| (n * 10_000, if n < 500 { 1_250 } else { 625 }));
        assert!((rate(halved).unwrap() - 5e5).abs() < 3e4);
    }

    #[test]
    fn a_pause_is_forgotten_and_late_packets_do_not_count_twice() {
        assert!(rate([(0, 9_999), (60_000_000, 100)].into_iter()).unwrap() < 2_000.0);
        assert!(rate([(0, 100), (60_000_000, 100), (0, 9_999)].into_iter()).unwrap() < 2_000.0);
        assert_eq!(rate([(0, 100)].into_iter()), None);
    }
}
