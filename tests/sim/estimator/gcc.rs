//! The baseline: the webrtc-rs family's port of Google's congestion control, with its own history and feedback reader.

use super::SenderEstimator;
use rtc::interceptor::{BandwidthEstimator, History, convert_twcc};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::shared::marshal::Unmarshal;
use std::time::{Duration, Instant};

/// As low as ours may go, and above every path that is tried.
const MIN_BPS: f64 = 30_000.0;
const MAX_BPS: f64 = 20_000_000.0;
/// What was not reported by then never will be.
const HORIZON: Duration = Duration::from_secs(3);

pub(super) struct Gcc {
    estimator: rtc::interceptor::Gcc,
    history: History,
    next: u16,
}

impl Gcc {
    pub(super) fn new(start_bps: f64) -> Self {
        let estimator = rtc::interceptor::Gcc::new(start_bps, MIN_BPS, MAX_BPS);
        Self { estimator, history: History::new(), next: 0 }
    }
}

impl SenderEstimator for Gcc {
    fn name(&self) -> &'static str {
        "rtc's GCC"
    }

    fn sent(&mut self, now: Instant, len: usize) -> u16 {
        let seq = self.next;
        self.next = self.next.wrapping_add(1);
        self.history.add_outgoing(1, seq, true, seq, len, now);
        seq
    }

    fn handle_feedback(&mut self, now: Instant, mut message: &[u8]) {
        let feedback = TransportLayerCc::unmarshal(&mut message).unwrap();
        for acknowledgement in convert_twcc(&feedback) {
            self.history.on_twcc_feedback(now, acknowledgement);
        }
        let reports = self.history.take_reports();
        self.estimator.on_reports(now, &reports);
        if let Some(cutoff) = now.checked_sub(HORIZON) {
            self.history.prune_before(cutoff);
        }
    }

    fn target_bps(&self, _now: Instant) -> f64 {
        self.estimator.target_bitrate()
    }
}
