//! A bottleneck with a drop-tail queue, and a receiver behind it that writes feedback as a browser does.

use crate::ids::{SeqNo, Ssrc};
use crate::wire::transport_cc::TransportCcRecorder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BinaryHeap;
use std::time::Duration;

/// Header and two SSRCs stand before the body of a feedback message.
pub(super) const FEEDBACK_PREFIX_LEN: usize = 12;
/// What a browser waits between two messages.
const FEEDBACK_INTERVAL_US: u64 = 100_000;

const STALL_PERIOD_US: u64 = 2_000_000;

#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) bps: f64,
    /// The queue holds what the link carries in this time.
    pub(super) queue_us: u64,
    pub(super) delay_us: u64,
    /// Each packet is late by up to this, on top.
    pub(super) jitter_us: u64,
    pub(super) loss: f64,
    /// Of feedback on its way back.
    pub(super) feedback_loss: f64,
    /// Every two seconds nothing passes for this long, as on a radio link that is busy otherwise.
    pub(super) stall_us: u64,
}

impl Shape {
    pub(super) fn of(bps: f64) -> Self {
        Self { bps, queue_us: 300_000, delay_us: 20_000, jitter_us: 0, loss: 0.0, feedback_loss: 0.0, stall_us: 0 }
    }
}

pub(super) struct Link {
    pub(super) shape: Shape,
    /// When the bottleneck is done with what it has.
    free_us: f64,
    random: StdRng,
    /// Packets under way: arrival, number; the earliest on top.
    flying: BinaryHeap<std::cmp::Reverse<(u64, u16)>>,
    recorder: TransportCcRecorder,
    feedback_at_us: u64,
    /// Feedback on its way back.
    pub(super) returning: Vec<(u64, Vec<u8>)>,
    /// The receiver's clock is ahead by this.
    pub(super) clock_us: u64,
    /// When each packet was sent, its time in the queue and at the bottleneck, and its length.
    pub(super) delays: Vec<(u64, f64, usize)>,
    pub(super) delivered: Vec<(u64, usize)>,
}

impl Link {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            free_us: 0.0,
            random: StdRng::seed_from_u64(seed),
            flying: BinaryHeap::new(),
            recorder: TransportCcRecorder::new(),
            feedback_at_us: FEEDBACK_INTERVAL_US,
            returning: Vec::new(),
            clock_us: 77_000_000,
            delays: Vec::new(),
            delivered: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, now_us: u64, number: u16, len: usize) {
        let waits = (self.free_us - now_us as f64).max(0.0);
        if self.random.random::<f64>() < self.shape.loss || waits > self.shape.queue_us as f64 {
            return;
        }
        let mut begins = now_us as f64 + waits;
        let in_period = begins as u64 % STALL_PERIOD_US;
        if in_period < self.shape.stall_us {
            begins += (self.shape.stall_us - in_period) as f64;
        }
        self.free_us = begins + len as f64 * 8e6 / self.shape.bps;
        let jitter = self.random.random_range(0..=self.shape.jitter_us);
        let arrival = self.free_us as u64 + self.shape.delay_us + jitter;
        self.delays.push((now_us, self.free_us - now_us as f64, len));
        self.delivered.push((arrival, len));
        self.flying.push(std::cmp::Reverse((arrival, number)));
    }

    pub(super) fn run(&mut self, now_us: u64) {
        while let Some(&std::cmp::Reverse((arrival, number))) = self.flying.peek()
            && arrival <= now_us
        {
            self.flying.pop();
            self.recorder.record(Duration::from_micros(arrival + self.clock_us), SeqNo::new(number));
        }
        if now_us < self.feedback_at_us {
            return;
        }
        self.feedback_at_us = now_us + FEEDBACK_INTERVAL_US;
        let mut out = Vec::new();
        while self.recorder.build(Ssrc::new(1), Ssrc::new(2), &mut out) {
            let message = std::mem::take(&mut out);
            if self.random.random::<f64>() >= self.shape.feedback_loss {
                self.returning.push((now_us + self.shape.delay_us, message));
            }
        }
    }
}
