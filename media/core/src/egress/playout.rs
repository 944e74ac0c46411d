//! How long a subscriber is asked to wait before it shows a picture, so that what was lost and sent again still comes in time.
//!
//! A browser that loses packets on its own path waits for a round trip of that path. Of a path beyond the server it knows
//! nothing: it shows each picture as soon as it is there, and stands still for a round trip at each packet that a distant
//! publisher lost. The header extension `playout-delay` tells it.

use crate::ingress::round_trip::RoundTrip;
use std::time::{Duration, Instant};

/// A conversation suffers from more. Of a round trip of 300 ms the first repair is not seen, and a second one as a gap of less
/// than half a second.
const WAIT_MAX: Duration = Duration::from_millis(350);
/// Where less is lost the wait costs more than it saves: with 50 packets a second, a repair every three seconds.
const LOSS_MIN: f64 = 0.0075;
/// Weight of a second in the mean loss: of one that loses 2 % the second is noticed, and one alone is not.
const LOSS_WEIGHT: f64 = 0.25;
/// A path that lost nothing for so long is taken for a good one.
const HOLD: Duration = Duration::from_secs(30);
/// A wait that changes by less stays as it is.
const CHANGE_MIN: Duration = Duration::from_millis(50);
/// The extension counts in this; its greatest number is 4,095.
const UNIT_MS: u128 = 10;
/// What the least delay of nothing must be joined with: a most of nothing would mean to show pictures without any buffer.
const MOST: u32 = 1_000;

/// What repairs take on one way of a peer's path, where they are frequent.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Repairs {
    loss: f64,
    wait: Duration,
    until: Option<Instant>,
}

impl Repairs {
    /// Once per second: the share of packets that were lost, where any were due.
    pub fn note(&mut self, now: Instant, loss: Option<f32>, rtt: Option<RoundTrip>) {
        self.loss += (f64::from(loss.unwrap_or(0.0)) - self.loss) * LOSS_WEIGHT;
        let rtt = rtt.filter(|rtt| rtt.is_long() && self.loss >= LOSS_MIN);
        match rtt.map(|rtt| rtt.expected().min(WAIT_MAX)) {
            Some(wait) => {
                if wait.abs_diff(self.wait) >= CHANGE_MIN {
                    self.wait = wait;
                }
                self.until = Some(now + HOLD);
            }
            None if self.until.is_some_and(|until| now >= until) => *self = Self { loss: self.loss, ..Self::default() },
            None => {}
        }
    }

    pub fn wait(&self) -> Duration {
        self.wait
    }
}

/// What one subscription says about it. Nothing until there is something to say; from then on always, because single
/// packets are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Playout {
    value: Option<[u8; 3]>,
}

impl Playout {
    pub fn set(&mut self, wait: Duration) {
        if wait.is_zero() && self.value.is_none() {
            return;
        }
        // Twelve bits each, the least and the most.
        let least = u32::try_from(wait.as_millis() / UNIT_MS).unwrap_or(MOST).min(MOST);
        let [_, high, middle, low] = (least << 12 | MOST).to_be_bytes();
        self.value = Some([high, middle, low]);
    }

    /// The extension's value.
    pub fn value(&self) -> Option<&[u8; 3]> {
        self.value.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    /// The waits of so many seconds.
    fn waits(rtt_ms: u64, losses: impl Iterator<Item = f32>) -> Vec<u128> {
        let (t0, mut repairs) = (start(), Repairs::default());
        let rtt = RoundTrip::steady(Duration::from_millis(rtt_ms));
        let mut note = |(second, loss)| {
            repairs.note(t0 + Duration::from_secs(second), Some(loss), Some(rtt));
            repairs.wait().as_millis()
        };
        (0..).zip(losses).map(&mut note).collect()
    }

    #[test]
    fn a_long_path_with_losses_is_waited_for_and_a_short_or_a_good_one_is_not() {
        assert_eq!(waits(300, std::iter::repeat_n(0.02, 10)).last(), Some(&300));
        assert_eq!(waits(200, std::iter::repeat_n(0.02, 10)).last(), Some(&200));
        assert_eq!(waits(900, std::iter::repeat_n(0.02, 10)).last(), Some(&350));
        assert_eq!(waits(60, std::iter::repeat_n(0.02, 10)).last(), Some(&0));
        assert_eq!(waits(300, std::iter::repeat_n(0.002, 90)).last(), Some(&0));
    }

    #[test]
    fn one_bad_second_is_no_bad_path_and_a_good_path_is_believed_in_after_a_while() {
        let waits = waits(300, [0.02].into_iter().chain([0.0; 9]).chain([0.02; 10]).chain([0.0; 90]));
        assert!(waits[..10].iter().all(|wait| *wait == 0));
        assert!(waits[15..45].iter().all(|wait| *wait == 300), "{waits:?}");
        assert_eq!(waits.last(), Some(&0));
    }

    #[test]
    fn the_value_has_the_least_and_the_most_in_hundredths_of_a_second() {
        let mut playout = Playout::default();
        playout.set(Duration::ZERO);
        assert_eq!(playout.value(), None);
        playout.set(Duration::from_millis(300));
        assert_eq!(playout.value(), Some(&[0x01, 0xe3, 0xe8]));
        playout.set(Duration::ZERO);
        assert_eq!(playout.value(), Some(&[0x00, 0x03, 0xe8]));
    }
}
