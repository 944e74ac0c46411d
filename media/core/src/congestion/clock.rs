//! The receiver's clock, as its feedback shows it.

/// Feedback speaks in 250 us.
pub(super) const TICK_US: i64 = 250;
/// How far the receiver's clock may be off what it was: above any delay that media would survive. Otherwise the message is
/// wrong, or the receiver began anew.
pub(super) const CLOCK_DEVIATION_TICKS: i64 = 5_000_000 / TICK_US;
/// So many messages in a row from another clock are those of a receiver that began anew.
const IMPLAUSIBLE_MAX: u32 = 10;

/// The receiver's clock, whose zero is anywhere and whose count wraps after 12 days (the format's 24 bits of 64 ms).
#[derive(Default)]
pub(super) struct ArrivalClock {
    /// The newest arrival, unwrapped, and when we learned of it.
    last: Option<(i64, u64)>,
    implausible: u32,
}

pub(super) enum Clock {
    /// `shift` unwraps the ticks of the message.
    Known {
        shift: i64,
    },
    Anew {
        shift: i64,
    },
    Implausible,
}

impl ArrivalClock {
    pub(super) fn accept(&mut self, now_us: u64, newest: i64) -> Clock {
        let Some((last, learned_us)) = self.last else {
            self.last = Some((newest, now_us));
            return Clock::Known { shift: 0 };
        };
        let expected = last + (now_us.saturating_sub(learned_us)) as i64 / TICK_US;
        // All 32 bits are there: 24 of the reference and 8 of its 64 ms.
        let deviation = i64::from((newest as u32).wrapping_sub(expected as u32) as i32);
        let unwrapped = expected + deviation;
        let shift = unwrapped - newest;
        if deviation.abs() <= CLOCK_DEVIATION_TICKS {
            self.implausible = 0;
            if unwrapped > last {
                self.last = Some((unwrapped, now_us));
            }
            return Clock::Known { shift };
        }
        self.implausible += 1;
        if self.implausible < IMPLAUSIBLE_MAX {
            return Clock::Implausible;
        }
        self.implausible = 0;
        self.last = Some((unwrapped, now_us));
        Clock::Anew { shift }
    }
}
