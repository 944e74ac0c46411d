//! The estimate from transport-wide feedback: each message read against what was sent, and what follows from it.

use super::clock::{ArrivalClock, CLOCK_DEVIATION_TICKS, Clock, TICK_US};
use super::delay::QueueMeter;
use super::loss::{Circumstances, LossControl, LossMeter};
use super::meter::RateMeter;
use super::pacer::{self, PACE_FACTOR};
use super::plateau::Plateau;
use super::probe::Prober;
use super::rate::{RateControl, Seen};
use super::sent::{Fate, SENT_MAX, SentPackets};
use super::{BPS_MAX, BPS_MIN, RESPONSE_WEIGHT, START_BPS};
use crate::wire::transport_cc::Statuses;
use std::time::Instant;

/// A receiver that negotiated feedback and sent none for this long, while so many packets left, does not know how.
const FEEDBACK_AWAITED_US: u64 = 3_000_000;
const FEEDBACK_AWAITED_PACKETS: u64 = 50;
/// Feedback comes at least every 250 ms; when it stays away for this long the path is not what it was...
const SILENCE_US: u64 = 1_000_000;
/// ...and the estimate falls by this with each look, one per second, down to what a probe can lift again quickly.
const SILENCE_DECREASE: f64 = 0.7;
const SILENCE_BPS_MIN: f64 = 200_000.0;

/// What transport-wide feedback tells.
pub(super) struct Estimator {
    pub(super) epoch: Instant,
    pub(super) rate: RateControl,
    pub(super) queue: QueueMeter,
    plateau: Plateau,
    acked: RateMeter,
    offered: RateMeter,
    pub(super) losses: LossMeter,
    pub(super) loss_control: LossControl,
    /// As `losses`, of the time without a queue.
    pub(super) own_loss: Option<f64>,
    /// Of the last windows, if they were without a queue: what filled a queue was lost before that was seen.
    own_loss_next: [Option<f64>; 2],
    pub(super) prober: Prober,
    clock: ArrivalClock,
    pub(super) feedback_us: Option<u64>,
    feedback_end: u64,
    pub(super) response_us: Option<f64>,
    /// A queue was seen by the last feedback, and since the last window of losses.
    pub(super) is_busy: bool,
    was_busy: bool,
    /// How fast video leaves, as a multiple of the estimate.
    pub(super) pace_factor: f64,
}

impl Estimator {
    pub(super) fn new(epoch: Instant) -> Self {
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
            pace_factor: PACE_FACTOR,
        }
    }

    pub(super) fn at_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_micros() as u64
    }

    /// Feedback comes, or may still come.
    pub(super) fn is_heard(&self, now: Instant, sent: &SentPackets) -> bool {
        let is_awaited = || {
            let since_us = sent.since_first_us(self.at_us(now));
            sent.end() < (1 << 16) + FEEDBACK_AWAITED_PACKETS || since_us.is_some_and(|us| us < FEEDBACK_AWAITED_US)
        };
        self.feedback_us.is_some() || is_awaited()
    }

    pub(super) fn handle_feedback(&mut self, now: Instant, statuses: &Statuses<'_>, sent: &mut SentPackets) -> bool {
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
        self.pace_factor = pacer::factor(seen.excess_us());
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

    pub(super) fn handle_silence(&mut self, now: Instant, sent: &SentPackets) {
        let (now_us, Some(feedback_us)) = (self.at_us(now), self.feedback_us) else { return };
        let is_silent = now_us > feedback_us + SILENCE_US && sent.last_at_us() > feedback_us + SILENCE_US / 2;
        if is_silent && self.rate.bps > SILENCE_BPS_MIN {
            self.rate.set((self.rate.bps * SILENCE_DECREASE).max(SILENCE_BPS_MIN));
            self.prober.fell(now_us);
        }
    }
}
