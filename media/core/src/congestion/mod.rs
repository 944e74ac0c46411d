//! Congestion control towards one subscriber: how much its path carries, from its feedback about what we sent.
//!
//! ```text
//! sent     which number was sent when         meter   rates over half a second
//! delay    the queue, from one-way delays     rate    the rate control: falls with a queue, rises without
//! loss     how much is lost, and why          probe   padding that finds out whether more would arrive
//! pacer    spreads bursts where it is narrow  plateau tells a longer path from a queue
//! uplink   the other direction: what a publisher may send that knows no such feedback
//! ```
//! Time is that of the caller; inside, microseconds since the first subscription that has numbers. Rates count datagrams as
//! they leave, without UDP and IP headers. Refuses to know what the packets are and who decides what is sent.
//!
//! The family's estimator (`rtc::interceptor`'s `Gcc`) is not used: it has no probes and no notion of a sender that is limited
//! by what publishers send, and its delay gradient takes each frame that leaves as one train for a queue; see [`delay`].

mod delay;
mod loss;
mod meter;
mod pacer;
mod plateau;
mod probe;
mod rate;
mod sent;
mod uplink;

#[cfg(test)]
mod tests;

pub use pacer::Pacer;
pub use sent::{SENT_MAX, SentPackets};
pub use uplink::{LOOK_INTERVAL, Uplink};

use crate::wire::transport_cc::Statuses;
use delay::QueueMeter;
use loss::{Circumstances, LossControl, LossMeter};
use meter::RateMeter;
use pacer::PACE_FACTOR;
use plateau::Plateau;
use probe::Prober;
use rate::{RateControl, Seen};
use sent::Fate;
use std::time::{Duration, Instant};

/// What a path is believed to carry before it is known. A camera's middle layer; a probe follows at once.
pub const START_BPS: u64 = 500_000;
/// Below this nothing of use is left to take away; audio is sent in any case.
const BPS_MIN: f64 = 30_000.0;
/// More than all of a large meeting's tracks together.
const BPS_MAX: f64 = 100e6;
/// Feedback speaks in 250 us.
const TICK_US: i64 = 250;
/// How far the receiver's clock may be off what it was: above any delay that media would survive. Otherwise the message is
/// wrong, or the receiver began anew.
const CLOCK_DEVIATION_TICKS: i64 = 5_000_000 / TICK_US;
/// So many messages in a row from another clock are those of a receiver that began anew.
const IMPLAUSIBLE_MAX: u32 = 10;
/// A receiver that negotiated feedback and sent none for this long, while so many packets left, does not know how.
const FEEDBACK_AWAITED_US: u64 = 3_000_000;
const FEEDBACK_AWAITED_PACKETS: u64 = 50;
/// Feedback comes at least every 250 ms; when it stays away for this long the path is not what it was...
const SILENCE_US: u64 = 1_000_000;
/// ...and the estimate falls by this with each look, one per second, down to what a probe can lift again quickly.
const SILENCE_DECREASE: f64 = 0.7;
const SILENCE_BPS_MIN: f64 = 200_000.0;
/// Receivers repeat what they believe about once per second.
const REMB_HOLDS: Duration = Duration::from_secs(5);
/// A change of this share is worth a new allocation.
const NOTABLE_CHANGE: f64 = 0.05;
/// Weight of a new value in the mean response time.
const RESPONSE_WEIGHT: f64 = 0.125;

/// What is known of the path to one peer, whatever tells it.
#[derive(Default)]
pub struct Bandwidth {
    pub sent: SentPackets,
    estimator: Option<Box<Estimator>>,
    /// What the receiver believes (draft-alvestrand-rmcat-remb-03), and since when.
    remb: Option<(u64, Instant)>,
    /// What is not to be exceeded, whatever the path carries.
    bps_max: Option<u64>,
    /// From the reports about single streams, for who sends no transport-wide feedback.
    reported_loss: Option<f64>,
    /// The estimate when it was last taken note of.
    noted_bps: Option<u64>,
}

impl Bandwidth {
    /// Packets to this peer carry transport-wide numbers from now on.
    pub fn enable(&mut self, now: Instant) {
        self.sent.enable();
        self.estimator.get_or_insert_with(|| Box::new(Estimator::new(now)));
    }

    /// The time of packets that leave now, for [`SentPackets::record`].
    pub fn at_us(&self, now: Instant) -> u64 {
        self.estimator.as_ref().map_or(0, |estimator| estimator.at_us(now))
    }

    /// In bit/s; `None` when nothing tells.
    pub fn estimate_bps(&self, now: Instant) -> Option<u64> {
        let estimator = self.estimator.as_ref().filter(|estimator| estimator.is_heard(now, &self.sent));
        let own = estimator.map(|estimator| estimator.rate.bps as u64);
        // Whoever tells nothing else is believed until it says otherwise; beside feedback it is a bound while it is repeated.
        let is_fresh = |at: Instant| own.is_none() || now.saturating_duration_since(at) < REMB_HOLDS;
        let remb = self.remb.filter(|(_, at)| is_fresh(*at)).map(|(bps, _)| bps);
        [own, remb, self.bps_max].into_iter().flatten().min()
    }

    /// Bounds the estimate, whatever the path carries.
    pub fn limit(&mut self, bps_max: Option<u64>) {
        self.bps_max = bps_max;
    }

    /// Whether the estimate rests on what the receiver told, or is the one that everybody begins with.
    pub fn is_measured(&self) -> bool {
        let is_told = self.remb.is_some() || self.bps_max.is_some();
        is_told || self.estimator.as_ref().is_some_and(|estimator| estimator.feedback_us.is_some())
    }

    /// Whether the estimate is notably another than when this was last `true`.
    pub fn take_change(&mut self, now: Instant) -> bool {
        let bps = self.estimate_bps(now);
        let changed = match (self.noted_bps, bps) {
            (Some(noted), Some(bps)) => noted.abs_diff(bps) as f64 >= noted as f64 * NOTABLE_CHANGE,
            (noted, bps) => noted != bps,
        };
        if changed {
            self.noted_bps = bps;
        }
        changed
    }

    /// What would be sent if the path allowed it. Above the estimate, probes try whether it does; 0 ends them. The caller sets
    /// its timer by [`Self::probe_due`] afterwards.
    pub fn set_wanted(&mut self, bps: u64) {
        if let Some(estimator) = &mut self.estimator {
            estimator.prober.set_wanted(bps as f64);
        }
    }

    /// The share of packets to this peer that were lost of late, 0 to 1.
    pub fn downlink_loss(&self) -> Option<f64> {
        self.estimator.as_ref().and_then(|estimator| estimator.losses.mean()).or(self.reported_loss)
    }

    /// As [`Self::downlink_loss`], of what no queue was to blame for; 0 while that is not known.
    pub fn own_loss(&self) -> f64 {
        self.estimator.as_ref().and_then(|estimator| estimator.own_loss).unwrap_or(0.0)
    }

    /// Mean time from a packet's departure to the feedback about it: the round trip and what the receiver waits.
    pub fn response_time(&self) -> Option<Duration> {
        let estimator = self.estimator.as_ref()?;
        estimator.response_us.map(|us| Duration::from_micros(us as u64))
    }

    /// How long the queue on the path is, by the last feedback.
    pub fn queueing_delay(&self) -> Option<Duration> {
        let queue = self.estimator.as_ref()?.queue.queue()?;
        Some(Duration::from_micros(queue.delay_us.unsigned_abs()))
    }

    /// At which rate video is to leave, in bit/s; `None` for a path that was not seen to be full of late.
    pub fn pace_bps(&self, now: Instant) -> Option<u64> {
        let estimator = self.estimator.as_ref()?;
        estimator.rate.is_limited(estimator.at_us(now)).then_some((estimator.rate.bps * PACE_FACTOR) as u64)
    }

    /// Feedback comes, and neither it nor anybody else said of late that the path is full.
    pub fn is_free(&self, now: Instant) -> bool {
        let estimator = self.estimator.as_ref().filter(|estimator| estimator.feedback_us.is_some());
        estimator.is_some_and(|estimator| self.estimate_bps(now) == Some(estimator.rate.bps as u64))
            && self.pace_bps(now).is_none()
    }

    /// The path was seen to be full for the first time a moment ago: the estimate is lower than what it will settle at.
    pub fn is_newly_limited(&self, now: Instant) -> bool {
        self.estimator.as_ref().is_some_and(|estimator| estimator.rate.is_newly_limited(estimator.at_us(now)))
    }

    /// Transport-wide feedback came. `false` for a message that cannot be true; it changes nothing.
    pub fn handle_feedback(&mut self, now: Instant, statuses: &Statuses<'_>) -> bool {
        let Self { sent, estimator, .. } = self;
        estimator.as_mut().is_some_and(|estimator| estimator.handle_feedback(now, statuses, sent))
    }

    /// draft-alvestrand-rmcat-remb-03: what the receiver believes.
    pub fn handle_remb(&mut self, now: Instant, bitrate_bps: u64) {
        self.remb = Some((bitrate_bps.clamp(BPS_MIN as u64, BPS_MAX as u64), now));
    }

    /// A report block about one of the streams: lost packets in 256ths (RFC 3550 section 6.4.1).
    pub fn handle_report(&mut self, fraction_lost: u8) {
        let share = f64::from(fraction_lost) / 256.0;
        self.reported_loss = Some(self.reported_loss.map_or(share, |mean| mean + (share - mean) * RESPONSE_WEIGHT));
    }

    /// To be called about once per second: feedback that stays away is a message too.
    pub fn handle_silence(&mut self, now: Instant) {
        if let Some(estimator) = &mut self.estimator {
            estimator.handle_silence(now, &self.sent);
        }
    }

    /// When [`Self::poll_probe`] wants to be called next.
    pub fn probe_due(&self) -> Option<Instant> {
        let estimator = self.estimator.as_ref()?;
        let due = estimator.prober.due_us(estimator.rate.bps)?;
        Some(estimator.epoch + Duration::from_micros(due))
    }

    /// Bytes of padding that are to leave now. Where none can, [`Self::cannot_probe`] says so.
    pub fn poll_probe(&mut self, now: Instant) -> Option<u64> {
        let Self { sent, estimator, .. } = self;
        let estimator = estimator.as_mut()?;
        let now_us = estimator.at_us(now);
        let may_start = !estimator.is_busy && !estimator.loss_control.is_excessive();
        let (bps, jitter_us) = (estimator.rate.bps, estimator.queue.jitter_us());
        estimator.prober.poll(now_us, bps, jitter_us, may_start, sent)
    }

    pub fn cannot_probe(&mut self, now: Instant) {
        let Self { sent, estimator, .. } = self;
        if let Some(estimator) = estimator {
            let now_us = estimator.at_us(now);
            estimator.prober.cannot_send(now_us, sent);
        }
    }
}

/// What transport-wide feedback tells.
struct Estimator {
    epoch: Instant,
    rate: RateControl,
    queue: QueueMeter,
    plateau: Plateau,
    acked: RateMeter,
    offered: RateMeter,
    losses: LossMeter,
    loss_control: LossControl,
    /// As `losses`, of the time without a queue.
    own_loss: Option<f64>,
    /// Of the last windows, if they were without a queue: what filled a queue was lost before that was seen.
    own_loss_next: [Option<f64>; 2],
    prober: Prober,
    clock: ArrivalClock,
    feedback_us: Option<u64>,
    feedback_end: u64,
    response_us: Option<f64>,
    /// A queue was seen by the last feedback, and since the last window of losses.
    is_busy: bool,
    was_busy: bool,
}

impl Estimator {
    fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            rate: RateControl::new(START_BPS as f64, BPS_MIN..=BPS_MAX),
            queue: QueueMeter::default(),
            plateau: Plateau::default(),
            acked: RateMeter::default(),
            offered: RateMeter::default(),
            losses: LossMeter::default(),
            loss_control: LossControl::default(),
            own_loss: None,
            own_loss_next: [None; 2],
            prober: Prober::default(),
            clock: ArrivalClock::default(),
            feedback_us: None,
            feedback_end: 0,
            response_us: None,
            is_busy: false,
            was_busy: false,
        }
    }

    fn at_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_micros() as u64
    }

    /// Feedback comes, or may still come.
    fn is_heard(&self, now: Instant, sent: &SentPackets) -> bool {
        let is_awaited = || {
            let since_us = sent.since_first_us(self.at_us(now));
            sent.end() < (1 << 16) + FEEDBACK_AWAITED_PACKETS || since_us.is_some_and(|us| us < FEEDBACK_AWAITED_US)
        };
        self.feedback_us.is_some() || is_awaited()
    }

    fn handle_feedback(&mut self, now: Instant, statuses: &Statuses<'_>, sent: &mut SentPackets) -> bool {
        let now_us = self.at_us(now);
        let count = u64::from(statuses.count);
        // What was never sent cannot have been seen, and what is forgotten tells nothing.
        let first = sent.extend(statuses.base).filter(|first| first + count <= sent.end());
        let Some(first) = first.filter(|_| (1..=SENT_MAX as u64).contains(&count)) else { return false };
        let newest = statuses.iter().filter_map(|(_, ticks)| ticks).max();
        let shift = match newest.map(|newest| self.clock.accept(now_us, newest)) {
            Some(Clock::Implausible) => return false,
            Some(Clock::Anew { shift }) => {
                self.queue = QueueMeter::default();
                self.acked = RateMeter::default();
                shift
            }
            Some(Clock::Known { shift }) => shift,
            None => 0,
        };
        if let Some(oldest) = statuses.iter().find_map(|(_, ticks)| ticks) {
            self.assume(now_us, first, (oldest + shift) * TICK_US, sent);
        }
        let mut newest_sent_us = None;
        for (number, (_, ticks)) in (first..).zip(statuses.iter()) {
            let sent_us = match ticks {
                Some(ticks) if newest.is_some_and(|newest| newest - ticks > CLOCK_DEVIATION_TICKS) => None,
                Some(ticks) => self.arrived(now_us, number, (ticks + shift) * TICK_US, sent),
                None => self.lost(now_us, number, sent),
            };
            newest_sent_us = newest_sent_us.max(sent_us);
        }
        // A message that tells nothing new is no reason for anything.
        let Some(newest_sent_us) = newest_sent_us else { return true };
        self.feedback_us = Some(now_us);
        self.feedback_end = self.feedback_end.max(first + count);
        let response_us = now_us.saturating_sub(newest_sent_us) as f64;
        self.response_us = Some(self.response_us.map_or(response_us, |m| m + (response_us - m) * RESPONSE_WEIGHT));
        self.conclude(now_us);
        true
    }

    /// Returns when the packet left, if that it arrived is news.
    fn arrived(&mut self, now_us: u64, number: u64, arrival_us: i64, sent: &mut SentPackets) -> Option<u64> {
        let packet = sent.resolve(number, Fate::Received, now_us).filter(|packet| packet.before != Fate::Received)?;
        match packet.before {
            Fate::Lost => self.losses.recovered(),
            Fate::Unreported => {
                self.losses.received();
                return Some(packet.at_us);
            }
            Fate::Unknown | Fate::Received => {
                self.losses.received();
                self.offered.note(packet.at_us as i64, packet.len);
                self.queue.note(packet.at_us, arrival_us);
            }
        }
        self.acked.note(arrival_us, packet.len);
        self.prober.arrived(&packet, arrival_us);
        Some(packet.at_us)
    }

    /// Where a message about packets before `first` was lost they are counted as having arrived when this one begins: else
    /// each lost message would look as if the path had carried less.
    fn assume(&mut self, now_us: u64, first: u64, arrival_us: i64, sent: &mut SentPackets) {
        let from = self.feedback_end.max(first.saturating_sub(SENT_MAX as u64));
        if self.feedback_us.is_none_or(|at| now_us > at + SILENCE_US) {
            return;
        }
        for number in from..first {
            let packet = sent.resolve(number, Fate::Unreported, now_us);
            if let Some(packet) = packet.filter(|packet| packet.before == Fate::Unknown) {
                self.offered.note(packet.at_us as i64, packet.len);
                self.acked.note(arrival_us, packet.len);
            }
        }
    }

    fn lost(&mut self, now_us: u64, number: u64, sent: &mut SentPackets) -> Option<u64> {
        let packet = sent.resolve(number, Fate::Lost, now_us)?;
        match packet.before {
            Fate::Unknown => self.offered.note(packet.at_us as i64, packet.len),
            Fate::Unreported => {}
            Fate::Received | Fate::Lost => return None,
        }
        self.losses.lost();
        Some(packet.at_us)
    }

    /// Draws the conclusions from a message.
    fn conclude(&mut self, now_us: u64) {
        let seen = Seen {
            now_us,
            queue: self.queue.queue(),
            jitter_us: self.queue.jitter_us(),
            acked_bps: self.acked.bps(),
            offered_bps: self.offered.bps(),
            response_us: self.response_us.unwrap_or_default(),
            is_lossy: self.loss_control.is_lossy(),
        };
        if let Some(bps) = self.plateau.note(&seen, self.rate.bps) {
            self.queue.rebase();
            self.rate.absolve(bps);
            return;
        }
        self.is_busy = seen.is_busy();
        self.was_busy |= self.is_busy;
        if self.rate.update(&seen) {
            self.prober.fell(now_us);
        }
        if let Some(loss) = self.losses.poll(now_us) {
            let at = Circumstances {
                now_us,
                bps: self.rate.bps,
                acked_bps: seen.acked_bps,
                is_busy: std::mem::take(&mut self.was_busy),
                is_application_limited: seen.is_application_limited(self.rate.bps),
            };
            let [before, last] = self.own_loss_next;
            self.own_loss_next = if at.is_busy { [None; 2] } else { [last, Some(loss)] };
            if let Some(loss) = before.filter(|_| !at.is_busy) {
                self.own_loss = Some(self.own_loss.map_or(loss, |mean| (mean + loss) / 2.0));
            }
            if let Some(bps) = self.loss_control.judge(loss, &at) {
                if bps < self.rate.bps {
                    self.prober.fell(now_us);
                }
                self.rate.set(bps);
            }
        }
        if let Some(outcome) = self.prober.evaluate(now_us, self.rate.bps, self.feedback_end)
            && !seen.is_congested()
        {
            self.rate.probed(now_us, outcome.bps, outcome.is_full);
        }
    }

    fn handle_silence(&mut self, now: Instant, sent: &SentPackets) {
        let (now_us, Some(feedback_us)) = (self.at_us(now), self.feedback_us) else { return };
        let is_silent = now_us > feedback_us + SILENCE_US && sent.last_at_us() > feedback_us + SILENCE_US / 2;
        if is_silent && self.rate.bps > SILENCE_BPS_MIN {
            self.rate.set((self.rate.bps * SILENCE_DECREASE).max(SILENCE_BPS_MIN));
            self.prober.fell(now_us);
        }
    }
}

/// The receiver's clock, whose zero is anywhere and whose count wraps after 12 days (the format's 24 bits of 64 ms).
#[derive(Default)]
struct ArrivalClock {
    /// The newest arrival, unwrapped, and when we learned of it.
    last: Option<(i64, u64)>,
    implausible: u32,
}

enum Clock {
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
    fn accept(&mut self, now_us: u64, newest: i64) -> Clock {
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
