//! Losses: how many there are, and whether sending less would help.
//!
//! draft-ietf-rmcat-gcc-02 section 6 takes each loss for congestion, so that a radio link that loses a tenth of all packets is
//! left with next to nothing. Here losses without a queue are put to the test: the rate falls once, and where that does not
//! lower the losses they are the path's own, and tolerated for a while.

use super::rate::DECREASE;

/// Losses are counted over at least so long and so many packets, or long enough when few are sent.
const WINDOW_US: u64 = 500_000;
const WINDOW_PACKETS: u32 = 60;
const WINDOW_US_MAX: u64 = 2_000_000;
const WINDOW_PACKETS_MIN: u32 = 10;
/// More are not told apart: no path carries so many within a window.
const PACKETS_MAX: u64 = 1 << 30;
/// Section 6: losses up to this are of no interest.
const LOSS_FREE: f64 = 0.04;
/// Section 6: above this the rate falls, by half of the losses.
const LOSS_HIGH: f64 = 0.10;
/// So many cannot be lived with, whatever their cause; and one burst is no state of the path.
const LOSS_EXCESSIVE: f64 = 0.30;
const EXCESSIVE_WINDOWS: u32 = 2;
/// How far the rate falls for a trial: a policer's losses would fall by as much.
const TRIAL_DECREASE: f64 = 0.85;
/// Losses are the path's own where this share of them stays.
const TRIAL_SHARE: f64 = 0.5;
/// What is tolerated beyond the path's own losses: two to three standard deviations in a window.
const OWN_FACTOR: f64 = 1.5;
const OWN_MARGIN: f64 = 0.05;
/// How long the path's own losses are believed in.
const OWN_US: u64 = 120_000_000;
/// Weight of a window in the mean, for the connection's quality.
const MEAN_WEIGHT: f64 = 0.5;

/// Counts packets until there are enough to speak of a rate.
#[derive(Default)]
pub(super) struct LossMeter {
    since_us: Option<u64>,
    received: u32,
    lost: u32,
    mean: Option<f64>,
}

impl LossMeter {
    pub(super) fn received(&mut self) {
        self.add(1, 0);
    }

    pub(super) fn lost(&mut self) {
        self.add(0, 1);
    }

    /// Of a publisher that skips numbers there can be any number.
    pub(super) fn add(&mut self, received: u64, lost: u64) {
        let sum = |before: u32, more: u64| u64::from(before).saturating_add(more).min(PACKETS_MAX) as u32;
        (self.received, self.lost) = (sum(self.received, received), sum(self.lost, lost));
    }

    /// One that was lost came after all.
    pub(super) fn recovered(&mut self) {
        if self.lost > 0 {
            self.lost -= 1;
            self.received += 1;
        }
    }

    /// The share of lost packets, once a window is full.
    pub(super) fn poll(&mut self, now_us: u64) -> Option<f64> {
        let age = now_us.saturating_sub(*self.since_us.get_or_insert(now_us));
        let total = self.received + self.lost;
        let is_full =
            (age >= WINDOW_US && total >= WINDOW_PACKETS) || (age >= WINDOW_US_MAX && total >= WINDOW_PACKETS_MIN);
        if !is_full {
            return None;
        }
        let share = f64::from(self.lost) / f64::from(total);
        self.mean = Some(self.mean.map_or(share, |mean| mean + (share - mean) * MEAN_WEIGHT));
        (self.since_us, self.received, self.lost) = (Some(now_us), 0, 0);
        Some(share)
    }

    /// Over the last windows, 0 to 1.
    pub(super) fn mean(&self) -> Option<f64> {
        self.mean
    }
}

#[derive(Clone, Copy)]
enum Trial {
    /// What was sent before it is still being reported.
    Settling {
        bps: f64,
        loss: f64,
    },
    Measuring {
        bps: f64,
        loss: f64,
    },
}

/// What is known beside the losses.
pub(super) struct Circumstances {
    pub(super) now_us: u64,
    pub(super) bps: f64,
    pub(super) acked_bps: Option<f64>,
    /// A queue was seen.
    pub(super) is_busy: bool,
    pub(super) is_application_limited: bool,
}

#[derive(Default)]
pub(super) struct LossControl {
    trial: Option<Trial>,
    /// The path's own losses, and until when that is believed.
    own: Option<(f64, u64)>,
    excessive: u32,
    is_lossy: bool,
}

impl LossControl {
    /// More is lost than is tolerated.
    pub(super) fn is_lossy(&self) -> bool {
        self.is_lossy
    }

    /// So much that nothing more may be sent, padding included.
    pub(super) fn is_excessive(&self) -> bool {
        self.excessive > 0
    }

    /// Judges a window; returns the rate that follows from it.
    pub(super) fn judge(&mut self, loss: f64, at: &Circumstances) -> Option<f64> {
        self.own = self.own.filter(|(_, until)| at.now_us < *until);
        let tolerated = self.own.map_or(LOSS_FREE, |(own, _)| own * OWN_FACTOR + OWN_MARGIN);
        self.excessive = if loss > LOSS_EXCESSIVE { self.excessive + 1 } else { 0 };
        self.is_lossy = loss > tolerated;
        if let Some(Trial::Measuring { bps, loss: before }) = self.trial {
            self.trial = None;
            if loss <= before * TRIAL_SHARE {
                return None;
            }
            let own = (loss + before) / 2.0;
            if own < LOSS_EXCESSIVE && !at.is_busy {
                self.own = Some((own, at.now_us + OWN_US));
                self.is_lossy = false;
                return (bps > at.bps).then_some(bps);
            }
        }
        if let Some(Trial::Settling { bps, loss }) = self.trial {
            self.trial = Some(Trial::Measuring { bps, loss });
            return None;
        }
        if !self.is_lossy {
            return None;
        }
        self.react(loss, at)
    }

    fn react(&mut self, loss: f64, at: &Circumstances) -> Option<f64> {
        if at.is_busy {
            // What overflowed the queue may have left before the rate fell for that queue. A share of what arrives empties the
            // queue, whatever was lost: less than that would stall pictures for which there is room.
            let drains_at = at.acked_bps.map_or(0.0, |acked| acked * DECREASE);
            let bps = (at.bps * (1.0 - 0.5 * loss)).max(drains_at);
            return (loss > LOSS_HIGH && bps < at.bps).then_some(bps);
        }
        if self.excessive >= EXCESSIVE_WINDOWS {
            return at.acked_bps.filter(|acked| *acked < at.bps);
        }
        if at.is_application_limited || loss > LOSS_EXCESSIVE {
            return None;
        }
        self.trial = Some(Trial::Settling { bps: at.bps, loss });
        Some(at.bps * TRIAL_DECREASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(window: u64, bps: f64) -> Circumstances {
        let now_us = window * WINDOW_US;
        Circumstances { now_us, bps, acked_bps: Some(bps * 0.6), is_busy: false, is_application_limited: false }
    }

    /// Runs windows whose loss depends on the rate; returns the rate at the end.
    fn run(windows: u64, mut bps: f64, loss: impl Fn(u64, f64) -> f64) -> f64 {
        let mut control = LossControl::default();
        for window in 0..windows {
            bps = control.judge(loss(window, bps), &at(window, bps)).unwrap_or(bps);
        }
        bps
    }

    #[test]
    fn losses_that_do_not_depend_on_the_rate_do_not_lower_it() {
        assert_eq!(run(100, 1e6, |n, _| if n % 3 == 0 { 0.13 } else { 0.08 }), 1e6);
    }

    #[test]
    fn a_policer_is_obeyed() {
        let policed = run(60, 1e6, |_, bps| (1.0 - 0.8e6 / bps).max(0.0));
        assert!(policed < 0.86e6 && policed > 0.6e6, "{policed}");
        let hard = run(60, 2e6, |_, bps| (1.0 - 0.8e6 / bps).max(0.0));
        assert!(hard < 1e6, "{hard}");
    }

    #[test]
    fn one_burst_changes_nothing() {
        assert_eq!(run(20, 1e6, |n, _| if n == 5 { 0.6 } else { 0.0 }), 1e6);
    }

    #[test]
    fn losses_with_a_queue_lower_the_rate_at_once() {
        let busy = Circumstances { is_busy: true, ..at(1, 1e6) };
        assert_eq!(LossControl::default().judge(0.2, &busy), Some(0.9e6));
    }

    /// Measured in a browser on a line of 300 kbit/s: half was lost of what left until the estimate fell from 2,300 to 223 kbit/s.
    #[test]
    fn losses_from_before_a_fall_do_not_lower_the_rate_below_what_empties_the_queue() {
        let acked_bps = Some(254e3);
        let fallen = Circumstances { is_busy: true, acked_bps, ..at(1, 223e3) };
        assert_eq!(LossControl::default().judge(0.52, &fallen), Some(254e3 * DECREASE));
        let lower = Circumstances { is_busy: true, acked_bps, ..at(1, 210e3) };
        assert_eq!(LossControl::default().judge(0.52, &lower), None);
        let higher = Circumstances { is_busy: true, acked_bps, ..at(1, 400e3) };
        assert_eq!(LossControl::default().judge(0.5, &higher), Some(300e3));
    }

    #[test]
    fn a_window_is_full_by_time_and_number() {
        let mut meter = LossMeter::default();
        assert_eq!(meter.poll(0), None);
        (0..9).for_each(|_| meter.received());
        meter.lost();
        assert_eq!(meter.poll(WINDOW_US), None);
        assert_eq!(meter.poll(WINDOW_US_MAX), Some(0.1));
        (0..54).for_each(|_| meter.received());
        (0..6).for_each(|_| meter.lost());
        (0..3).for_each(|_| meter.recovered());
        assert_eq!(meter.poll(WINDOW_US_MAX + WINDOW_US), Some(0.05));
        assert!((meter.mean().unwrap() - 0.075).abs() < 1e-9);
    }
}
