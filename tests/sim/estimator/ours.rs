//! The core's own estimator.

use super::SenderEstimator;
use consilium_media_core::congestion::Bandwidth;
use consilium_media_core::wire::rtcp::{RtcpPacket, compound};
use consilium_media_core::wire::transport_cc::Statuses;
use std::time::{Duration, Instant};

/// More is wanted than any path here carries, so that it probes.
const WANTED_BPS: u64 = 20_000_000;
const SILENCE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Ours {
    bandwidth: Bandwidth,
    began: Option<Instant>,
    next_silence: Option<Instant>,
}

impl Ours {
    pub(super) fn new() -> Self {
        Self { bandwidth: Bandwidth::default(), began: None, next_silence: None }
    }

    fn begin(&mut self, now: Instant) {
        if self.began.is_none() {
            self.began = Some(now);
            self.bandwidth.enable(now);
            self.bandwidth.set_wanted(WANTED_BPS);
        }
    }
}

impl SenderEstimator for Ours {
    fn name(&self) -> &'static str {
        "consilium"
    }

    fn sent(&mut self, now: Instant, len: usize) -> u16 {
        self.begin(now);
        let number = self.bandwidth.sent.next();
        self.bandwidth.sent.record(self.bandwidth.at_us(now), len);
        number.get()
    }

    fn handle_feedback(&mut self, now: Instant, message: &[u8]) {
        for packet in compound(message) {
            if let RtcpPacket::TransportCc(feedback) = packet.unwrap() {
                assert!(self.bandwidth.handle_feedback(now, &Statuses::parse(feedback.body).unwrap()));
            }
        }
    }

    fn target_bps(&self, now: Instant) -> f64 {
        self.bandwidth.estimate_bps(now).map_or(super::START_BPS, |bps| bps as f64)
    }

    fn poll_probe(&mut self, now: Instant) -> usize {
        let silence = *self.next_silence.get_or_insert(now + SILENCE_INTERVAL);
        if silence <= now {
            self.next_silence = Some(now + SILENCE_INTERVAL);
            self.bandwidth.handle_silence(now);
        }
        if self.bandwidth.probe_due().is_none_or(|due| due > now) {
            return 0;
        }
        self.bandwidth.poll_probe(now).unwrap_or(0) as usize
    }

    fn pace_bps(&self, now: Instant) -> Option<f64> {
        self.bandwidth.pace_bps(now).map(|bps| bps as f64)
    }
}
