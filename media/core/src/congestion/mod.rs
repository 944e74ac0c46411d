//! Congestion control towards one subscriber: how much its path carries, from its feedback about what we sent.
//!
//! ```text
//! estimator  what each message of feedback says   clock    the receiver's, as feedback shows it
//! sent       which number was sent when           meter    rates over half a second
//! delay      the queue, from one-way delays       rate     the rate control: falls with a queue, rises without
//! loss       how much is lost, and why            probe    padding that finds out whether more would arrive
//! pacer      spreads bursts where it is narrow    plateau  tells a longer path from a queue
//! uplink     the other direction: what a publisher may send that knows no such feedback
//! ```
//! Time is that of the caller; inside, microseconds since the first subscription that has numbers. Rates count datagrams as
//! they leave, without UDP and IP headers. Refuses to know what the packets are and who decides what is sent.
//!
//! The family's estimator (`rtc::interceptor`'s `Gcc`) is not used: it has no probes and no notion of a sender that is limited
//! by what publishers send, and its delay gradient takes each frame that leaves as one train for a queue; see [`delay`].

mod clock;
mod delay;
mod estimator;
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
use estimator::Estimator;
use std::time::{Duration, Instant};

/// What a path is believed to carry before it is known. A camera's middle layer; a probe follows at once.
pub const START_BPS: u64 = 500_000;
/// Below this nothing of use is left to take away; audio is sent in any case.
const BPS_MIN: f64 = 30_000.0;
/// More than all of a large meeting's tracks together.
const BPS_MAX: f64 = 100e6;
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
        estimator.rate.is_limited(estimator.at_us(now)).then_some((estimator.rate.bps * estimator.pace_factor) as u64)
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
