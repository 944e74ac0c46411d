//! Senders, the bottleneck that they share, and a receiver for each that reports as a browser does.

use super::SenderEstimator;
use crate::oracle::rates::fairness;
use consilium_benches::link::{Link, LinkParameters};
use consilium_benches::random::Random;
use consilium_media_core::ids::{SeqNo, Ssrc};
use consilium_media_core::wire::rtcp::RtcpWriter;
use consilium_media_core::wire::transport_cc::TransportCcRecorder;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(1);
const FRAME_INTERVAL: Duration = Duration::from_millis(40);
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// As Chromium sends it at these rates.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
const PACKET_LEN: usize = 1_150;
const AUDIO_LEN: usize = 110;
/// Of a probe's packets.
const PADDING_LEN: usize = 300;
/// A path is found when so much of it was used for [`CONVERGED_FOR`] with a queue no longer than this.
const CONVERGED_SHARE: f64 = 0.8;
const CONVERGED_QUEUE: Duration = Duration::from_millis(150);
const CONVERGED_FOR: Duration = Duration::from_secs(1);
/// Before the end of a run: what is called its steady state.
const STEADY: Duration = Duration::from_secs(15);

struct Sender {
    estimator: Box<dyn SenderEstimator>,
    next_frame: Instant,
    next_audio: Instant,
    /// Packets of frames that wait for their turn.
    waiting: VecDeque<usize>,
    paced_until: Instant,
    recorder: TransportCcRecorder,
    next_feedback: Instant,
    returning: VecDeque<(Instant, Vec<u8>)>,
}

/// One packet that passed.
struct Passed {
    at: Instant,
    sender: usize,
    len: usize,
}

#[derive(Clone, Copy)]
struct Packet {
    sender: usize,
    seq: u16,
    /// Of media; padding is of no use to anyone.
    useful_len: usize,
}

pub(crate) struct Path {
    start: Instant,
    now: Instant,
    link: Link<Packet>,
    senders: Vec<Sender>,
    passed: Vec<Passed>,
    /// When a packet was sent, and how long it then waited for the bottleneck.
    queued: Vec<(Instant, Duration)>,
    changed: Instant,
    random: Random,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Outcome {
    /// From the start, or from the change, until the path's rate was found.
    pub(crate) convergence: Option<Duration>,
    /// Of the bottleneck, in the end.
    pub(crate) utilisation: f64,
    pub(crate) queue_p95: Duration,
    /// Share of packets that found the queue full, or chance against them.
    pub(crate) lost: f64,
    /// Jain's index of the senders' shares.
    pub(crate) fairness: f64,
}

impl Path {
    pub(crate) fn new(parameters: &LinkParameters, estimators: Vec<Box<dyn SenderEstimator>>, seed: u64) -> Self {
        let start = Instant::now();
        let sender = |(index, estimator): (usize, Box<dyn SenderEstimator>)| Sender {
            estimator,
            next_frame: start + STEP * (7 * index as u32),
            next_audio: start + STEP * (3 * index as u32),
            waiting: VecDeque::new(),
            paced_until: start,
            recorder: TransportCcRecorder::new(),
            next_feedback: start + FEEDBACK_INTERVAL,
            returning: VecDeque::new(),
        };
        Self {
            start,
            now: start,
            link: Link::new(parameters.clone(), seed, start),
            senders: estimators.into_iter().enumerate().map(sender).collect(),
            passed: Vec::new(),
            queued: Vec::new(),
            changed: start,
            random: Random::new(seed),
        }
    }

    pub(crate) fn change(&mut self, parameters: LinkParameters) {
        self.changed = self.now;
        self.link.set_parameters(self.now, parameters);
    }

    pub(crate) fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while self.now < end {
            self.now += STEP;
            for index in 0..self.senders.len() {
                self.send(index);
            }
            while let Some(due) = self.link.next_due().filter(|&due| due <= self.now) {
                let Some(Packet { sender, seq, useful_len }) = self.link.pop(due) else { break };
                self.senders[sender].recorder.record(due - self.start, SeqNo::new(seq));
                self.passed.push(Passed { at: due, sender, len: useful_len });
            }
            let (now, delay) = (self.now, self.link.parameters().delay);
            self.senders.iter_mut().for_each(|sender| sender.report(now, delay));
        }
    }

    fn send(&mut self, index: usize) {
        let now = self.now;
        let mut leaving = Vec::new();
        let sender = &mut self.senders[index];
        if sender.next_audio <= now {
            sender.next_audio += AUDIO_INTERVAL;
            leaving.push((AUDIO_LEN, AUDIO_LEN));
        }
        if sender.next_frame <= now {
            sender.next_frame += FRAME_INTERVAL;
            let audio_bps = AUDIO_LEN as f64 * 8.0 / AUDIO_INTERVAL.as_secs_f64();
            let bps = (sender.estimator.target_bps(now) - audio_bps).max(0.0);
            // Frames differ in size.
            let bytes = bps / 8.0 * FRAME_INTERVAL.as_secs_f64() * (0.7 + 0.6 * self.random.below(1_001) as f64 / 1e3);
            let packets = (bytes as usize).div_ceil(PACKET_LEN).max(1);
            sender.waiting.extend(std::iter::repeat_n(bytes as usize / packets, packets).filter(|len| *len > 0));
        }
        while sender.paced_until <= now
            && let Some(len) = sender.waiting.pop_front()
        {
            leaving.push((len, len));
            if let Some(bps) = sender.estimator.pace_bps(now) {
                sender.paced_until =
                    sender.paced_until.max(now - STEP) + Duration::from_secs_f64(len as f64 * 8.0 / bps);
            }
        }
        let probe = sender.estimator.poll_probe(now);
        leaving.extend(std::iter::repeat_n((PADDING_LEN, 0), probe.div_ceil(PADDING_LEN)));
        for (len, useful_len) in leaving {
            let seq = sender.estimator.sent(now, len);
            let rate_bps = self.link.parameters().rate_bps.unwrap_or(u64::MAX);
            let wait = self.link.queued_bytes(now) as f64 * 8.0 / rate_bps as f64;
            self.queued.push((now, Duration::from_secs_f64(wait)));
            self.link.push(now, len, Packet { sender: index, seq, useful_len });
        }
    }

    fn delivered_bps(&self, from: Instant, to: Instant, sender: Option<usize>) -> f64 {
        let first = self.passed.partition_point(|passed| passed.at < from);
        let within = self.passed[first..].iter().take_while(|passed| passed.at < to);
        let bytes: usize = within.filter(|passed| sender.is_none_or(|s| s == passed.sender)).map(|p| p.len).sum();
        bytes as f64 * 8.0 / (to - from).as_secs_f64()
    }

    fn convergence(&self, rate_bps: f64) -> Option<Duration> {
        let mut from = self.changed;
        while from + CONVERGED_FOR <= self.now {
            let to = from + CONVERGED_FOR;
            let first = self.queued.partition_point(|(at, _)| *at < from);
            let mut queued = self.queued[first..].iter().take_while(|(at, _)| *at < to);
            let short = queued.all(|(_, wait)| *wait <= CONVERGED_QUEUE);
            if short && self.delivered_bps(from, to, None) >= CONVERGED_SHARE * rate_bps {
                return Some(from - self.changed);
            }
            from += STEP * 100;
        }
        None
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let rate_bps = self.link.parameters().rate_bps.unwrap_or(u64::MAX) as f64;
        let steady = self.now - STEADY.min((self.now - self.start) / 2);
        let mut waits: Vec<_> = self.queued.iter().filter(|(at, _)| *at >= steady).map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        let stats = self.link.stats();
        let shares: Vec<f64> =
            (0..self.senders.len()).map(|sender| self.delivered_bps(steady, self.now, Some(sender))).collect();
        Outcome {
            convergence: self.convergence(rate_bps),
            utilisation: self.delivered_bps(steady, self.now, None) / rate_bps,
            queue_p95: waits.get(waits.len() * 95 / 100).copied().unwrap_or_default(),
            lost: (stats.lost + stats.lost_to_queue) as f64 / stats.offered.max(1) as f64,
            fairness: fairness(&shares),
        }
    }
}

impl Sender {
    fn report(&mut self, now: Instant, delay: Duration) {
        if self.next_feedback <= now {
            self.next_feedback += FEEDBACK_INTERVAL;
            while self.recorder.has_pending() {
                let mut message = Vec::new();
                RtcpWriter::new(&mut message).transport_cc(&mut self.recorder, Ssrc::new(1), Ssrc::new(2));
                self.returning.push_back((now + delay, message));
            }
        }
        while let Some((_, message)) = self.returning.pop_front_if(|(due, _)| *due <= now) {
            self.estimator.handle_feedback(now, &message);
        }
    }
}
