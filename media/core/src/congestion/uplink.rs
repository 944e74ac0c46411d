//! Congestion control towards a publisher that knows no transport-wide feedback: what its uplink carries, from what arrives
//! here, to be told as a receiver's estimate (draft-alvestrand-rmcat-remb-03).
//!
//! The same meters and the same rate control as towards a subscriber, on this end of the path. The queue is seen where packets
//! carry the time at which they left; where they do not, losses alone tell. Nothing can be probed from here, so until the path
//! was first seen to be full, the publisher is left as much again as arrives. Refuses to know packets and RTCP.

use super::delay::QueueMeter;
use super::loss::{Circumstances, LossControl, LossMeter};
use super::meter::RateMeter;
use super::rate::{RateControl, Seen};
use super::{BPS_MAX, BPS_MIN, START_BPS};
use crate::wire::ext::AbsSendTime;
use std::time::{Duration, Instant};

/// How often the estimate is looked at: as often as browsers send feedback.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How often it is told when it has not fallen, as browsers do...
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// ...and a fall of this share is told at once.
const NOTABLE_FALL: f64 = 0.03;
/// What a publisher that follows may send beyond what arrives, while the path was never full.
const UNKNOWN_FACTOR: f64 = 2.0;
/// Until a round trip is known.
const RTT_DEFAULT: Duration = Duration::from_millis(100);
/// A clock that is off by more is another one: the publisher began anew.
const CLOCK_DEVIATION_US: i64 = 5_000_000;
/// The send time wraps after 64 s: over a pause near half of that, nothing can be said.
const PAUSE_US_MAX: u64 = 20_000_000;
/// Send times begin here, so that they can be late.
const SENT_US_FIRST: u64 = 1 << 40;

/// What is known of the path from one publisher.
pub struct Uplink {
    epoch: Instant,
    rate: RateControl,
    queue: QueueMeter,
    arrived: RateMeter,
    losses: LossMeter,
    loss_control: LossControl,
    last: Option<LastPacket>,
    /// The path was seen to be full.
    is_known: bool,
    was_busy: bool,
    told: Option<(f64, Instant)>,
    /// Packets expected and received when losses were last counted.
    totals: (u64, u64),
}

#[derive(Clone, Copy)]
struct LastPacket {
    raw: AbsSendTime,
    sent_us: u64,
    at_us: u64,
}

impl Uplink {
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            rate: RateControl::new(START_BPS as f64, BPS_MIN..=BPS_MAX),
            queue: QueueMeter::default(),
            arrived: RateMeter::default(),
            losses: LossMeter::default(),
            loss_control: LossControl::default(),
            last: None,
            is_known: false,
            was_busy: false,
            told: None,
            totals: (0, 0),
        }
    }

    fn at_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_micros() as u64
    }

    /// A packet of `len` bytes arrived.
    pub fn note(&mut self, now: Instant, send_time: Option<AbsSendTime>, len: usize) {
        let at_us = self.at_us(now);
        self.arrived.note(at_us as i64, len as u16);
        if let Some(raw) = send_time {
            let sent_us = self.extend(at_us, raw);
            self.queue.note(sent_us, at_us as i64);
        }
    }

    /// The send time without its wrap.
    fn extend(&mut self, at_us: u64, raw: AbsSendTime) -> u64 {
        let sent_us = match self.last {
            None => SENT_US_FIRST,
            Some(last) => {
                let arrived_us = at_us.saturating_sub(last.at_us);
                let sent_us = raw.since_us(last.raw);
                if arrived_us > PAUSE_US_MAX || (sent_us - arrived_us as i64).abs() > CLOCK_DEVIATION_US {
                    self.queue = QueueMeter::default();
                    last.sent_us + arrived_us
                } else {
                    last.sent_us.saturating_add_signed(sent_us)
                }
            }
        };
        self.last = Some(LastPacket { raw, sent_us, at_us });
        sent_us
    }

    /// Looks at what arrived. `totals` are the packets of all streams that were due, and those that came by themselves.
    /// Returns what to tell the publisher now, in bit/s.
    pub fn poll(&mut self, now: Instant, totals: (u64, u64), rtt: Option<Duration>) -> Option<u64> {
        let now_us = self.at_us(now);
        let acked_bps = self.arrived.bps()?;
        self.count_losses(totals);
        let lost = self.losses.mean().unwrap_or(0.0).min(0.9);
        let seen = Seen {
            now_us,
            queue: self.queue.queue(),
            jitter_us: self.queue.jitter_us(),
            acked_bps: Some(acked_bps),
            offered_bps: Some(acked_bps / (1.0 - lost)),
            response_us: rtt.unwrap_or(RTT_DEFAULT).as_micros() as f64,
            is_lossy: self.loss_control.is_lossy(),
        };
        self.was_busy |= seen.is_busy();
        self.is_known |= self.rate.update(&seen);
        self.judge_losses(&seen);
        if !self.is_known && !seen.is_busy() && !seen.is_lossy {
            self.rate.set(self.rate.bps.max(acked_bps * UNKNOWN_FACTOR));
        }
        let is_due = self.told.is_none_or(|(bps, at)| {
            now.saturating_duration_since(at) >= TELL_INTERVAL || self.rate.bps < bps * (1.0 - NOTABLE_FALL)
        });
        is_due.then(|| {
            self.told = Some((self.rate.bps, now));
            self.rate.bps as u64
        })
    }

    fn count_losses(&mut self, totals: (u64, u64)) {
        let before = std::mem::replace(&mut self.totals, totals);
        // What comes late was counted as lost and makes up for another; streams that began anew are counted from there.
        let (due, came) = (totals.0.saturating_sub(before.0), totals.1.saturating_sub(before.1));
        self.losses.add(came, due.saturating_sub(came));
    }

    fn judge_losses(&mut self, seen: &Seen) {
        let Some(loss) = self.losses.poll(seen.now_us) else { return };
        let at = Circumstances {
            now_us: seen.now_us,
            bps: self.rate.bps,
            acked_bps: seen.acked_bps,
            is_busy: std::mem::take(&mut self.was_busy),
            is_application_limited: seen.is_application_limited(self.rate.bps),
        };
        if let Some(bps) = self.loss_control.judge(loss, &at) {
            self.is_known |= bps < self.rate.bps;
            self.rate.set(bps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;
    use crate::wire::ntp::NtpTime;

    const FRAME_US: u64 = 33_000;
    const PACKET_LEN: usize = 1_150;

    /// A publisher that sends what it was told, or less, over a path of `path_bps(seconds)` with a queue of 300 ms.
    struct Publisher {
        timed: bool,
        bps_max: u64,
        told: Vec<(u64, u64)>,
        delays_us: Vec<(u64, u64)>,
    }

    fn run(timed: bool, bps_max: u64, seconds: u64, path_bps: impl Fn(u64) -> f64) -> Publisher {
        let (epoch, mut free_us, mut owed) = (start(), 0.0_f64, 0.0);
        let mut uplink = Uplink::new(epoch);
        let mut publisher = Publisher { timed, bps_max, told: Vec::new(), delays_us: Vec::new() };
        let (mut flying, mut due, mut came) = (std::collections::VecDeque::new(), 0, 0);
        for now_us in (0..seconds * 1_000_000).step_by(1_000) {
            if now_us % FRAME_US == 0 {
                let bps = publisher.told.last().map_or(300_000, |told| told.1).min(publisher.bps_max);
                owed += bps as f64 / 8e6 * FRAME_US as f64;
                while owed >= PACKET_LEN as f64 {
                    owed -= PACKET_LEN as f64;
                    due += 1;
                    let waits_us = (free_us - now_us as f64).max(0.0);
                    if waits_us <= 300_000.0 {
                        free_us = now_us as f64 + waits_us + PACKET_LEN as f64 * 8e6 / path_bps(now_us / 1_000_000);
                        publisher.delays_us.push((now_us, free_us as u64 - now_us));
                        flying.push_back((free_us as u64 + 20_000, now_us));
                    }
                }
            }
            let now = epoch + Duration::from_micros(now_us);
            while let Some(&(_, sent_us)) = flying.front().filter(|(at_us, _)| *at_us <= now_us) {
                flying.pop_front();
                came += 1;
                // A clock of its own, ahead by most of the wrap.
                let clock = NtpTime::from_unix(Duration::from_micros(sent_us + 60_000_000));
                uplink.note(now, publisher.timed.then(|| AbsSendTime::from_ntp(clock)), PACKET_LEN);
            }
            if now_us % 100_000 == 0
                && let Some(bps) = uplink.poll(now, (due - flying.len() as u64, came), Some(Duration::from_millis(40)))
            {
                publisher.told.push((now_us, bps));
            }
        }
        publisher
    }

    impl Publisher {
        /// Mean of what was told from some second on.
        fn mean_from(&self, second: u64) -> f64 {
            let told: Vec<f64> =
                self.told.iter().filter(|(at, _)| *at >= second * 1_000_000).map(|(_, bps)| *bps as f64).collect();
            told.iter().sum::<f64>() / told.len() as f64
        }

        /// The 95th percentile of the time at the bottleneck from some second on, in milliseconds.
        fn delay_p95_ms(&self, second: u64) -> u64 {
            let mut delays: Vec<u64> =
                self.delays_us.iter().filter(|(at, _)| *at >= second * 1_000_000).map(|(_, delay)| *delay).collect();
            delays.sort_unstable();
            delays[delays.len() * 95 / 100] / 1_000
        }
    }

    #[test]
    fn a_path_is_used_and_its_queue_stays_short_where_packets_tell_when_they_left() {
        for path in [400_000.0, 1e6, 3e6] {
            let publisher = run(true, 10_000_000, 60, |_| path);
            let mean = publisher.mean_from(15) / path;
            assert!((0.75..1.02).contains(&mean), "{mean} of {path}");
            assert!(publisher.delay_p95_ms(15) < 120, "{} ms at {path}", publisher.delay_p95_ms(15));
        }
    }

    #[test]
    fn losses_alone_bound_the_rate_where_packets_do_not_tell() {
        let publisher = run(false, 10_000_000, 60, |_| 1e6);
        let mean = publisher.mean_from(20);
        assert!((0.7e6..1.3e6).contains(&mean), "{mean}");
    }

    #[test]
    fn a_fall_is_told_within_two_seconds_and_the_path_is_used_again_when_it_is_wide_again() {
        let publisher = run(true, 1_500_000, 90, |second| if (20..40).contains(&second) { 3e5 } else { 3e6 });
        let below = publisher.told.iter().find(|(at, bps)| *at >= 20_000_000 && *bps < 400_000).map(|(at, _)| *at);
        assert!(below.is_some_and(|at| at < 22_000_000), "{below:?}");
        assert!(publisher.mean_from(85) > 1.5e6, "{}", publisher.mean_from(85));
    }

    #[test]
    fn a_publisher_that_fills_nothing_is_never_held_back() {
        let publisher = run(true, 2_000_000, 30, |_| 20e6);
        assert!(publisher.told.iter().filter(|(at, _)| *at > 5_000_000).all(|(_, bps)| *bps >= 2_500_000));
        // About once per second, and not with each look.
        assert!((25..=35).contains(&publisher.told.len()), "{}", publisher.told.len());
    }

    #[test]
    fn a_clock_that_jumps_is_no_queue() {
        let (mut uplink, epoch) = (Uplink::new(start()), start());
        for n in 0..400_u64 {
            let at = Duration::from_millis(10 * n);
            let jump = if n < 200 { 0 } else { 30 };
            let clock = NtpTime::from_unix(at + Duration::from_secs(100 - jump));
            uplink.note(epoch + at, Some(AbsSendTime::from_ntp(clock)), 1_000);
        }
        // Send times are as fine as 4 us.
        assert!(uplink.queue.queue().is_some_and(|queue| queue.delay_us < 1_000));
    }

    #[test]
    fn numbers_that_were_skipped_are_not_counted_one_by_one() {
        let (epoch, mut uplink) = (start(), Uplink::new(start()));
        for n in 0..100_u64 {
            uplink.note(epoch + Duration::from_millis(10 * n), None, PACKET_LEN);
        }
        let told = [(1_000, (u64::MAX, 100)), (1_700, (u64::MAX, 200))].map(|(at_ms, totals)| {
            let now = epoch + Duration::from_millis(at_ms);
            uplink.note(now, None, PACKET_LEN);
            uplink.poll(now, totals, None)
        });
        assert!(told[0].is_some_and(|bps| bps >= BPS_MIN as u64), "{told:?}");
    }
}
