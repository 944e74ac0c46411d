//! What the estimate does on a path whose bottleneck is known, under virtual time.

mod hard;
mod hostile;
mod link;

use super::*;
use crate::params::Content;
use crate::virtual_time::start;
use link::{FEEDBACK_PREFIX_LEN, Link, Shape};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const STEP_US: u64 = 1_000;
const FRAME_US: u64 = 33_000;
const AUDIO_US: u64 = 20_000;
const PACKET_LEN: usize = 1_150;
const AUDIO_LEN: usize = 110;
const PADDING_LEN: usize = 300;
const SEEDS: u64 = 4;

/// What is sent, as a function of the estimate, in bit/s.
type Source = fn(u64) -> u64;

/// As much as the estimate allows.
const GREEDY: Source = |estimate| estimate;

struct Scenario {
    link: Link,
    bandwidth: Bandwidth,
    epoch: Instant,
    now_us: u64,
    owed: f64,
    /// Frames differ in size, as an encoder's do.
    random: StdRng,
    source: Source,
    /// Every third second begins with a frame of so many times the mean.
    keyframe: f64,
    pacer: Option<Pacer<usize>>,
    /// Estimate every 100 ms.
    curve: Vec<u64>,
}

impl Scenario {
    fn new(shape: Shape, seed: u64, wanted: u64, source: Source) -> Self {
        let mut bandwidth = Bandwidth::default();
        let epoch = start();
        bandwidth.enable(epoch);
        bandwidth.set_wanted(wanted);
        let link = Link::new(shape, seed);
        let random = StdRng::seed_from_u64(seed);
        Self {
            link,
            bandwidth,
            epoch,
            now_us: seed * 3_000,
            owed: 0.0,
            random,
            source,
            keyframe: 1.0,
            pacer: Some(Pacer::default()),
            curve: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.epoch + Duration::from_micros(self.now_us)
    }

    fn send(&mut self, len: usize) {
        let number = self.bandwidth.sent.next();
        self.bandwidth.sent.record(self.now_us, len);
        self.link.send(self.now_us, number.get(), len);
    }

    fn send_video(&mut self, now: Instant, len: usize) {
        self.send(len);
        self.pacer.iter_mut().for_each(|pacer| pacer.note(now, len));
    }

    fn run(&mut self, seconds: f64) -> &mut Self {
        let end = self.now_us + (seconds * 1e6) as u64;
        while self.now_us < end {
            self.step();
        }
        self
    }

    fn step(&mut self) {
        self.step_with(|bandwidth, now, statuses| assert!(bandwidth.handle_feedback(now, statuses)));
    }

    fn step_with(&mut self, mut told: impl FnMut(&mut Bandwidth, Instant, &Statuses<'_>)) {
        self.now_us += STEP_US;
        let now = self.now();
        let estimate = self.bandwidth.estimate_bps(now).unwrap();
        let pace = self.bandwidth.pace_bps(now);
        self.pacer.iter_mut().for_each(|pacer| pacer.set_rate(pace));
        if self.now_us.is_multiple_of(AUDIO_US) {
            self.send(AUDIO_LEN);
        }
        if self.now_us.is_multiple_of(FRAME_US) {
            let video = (self.source)(estimate).saturating_sub(44_000);
            let is_keyframe = (self.now_us / FRAME_US).is_multiple_of(90);
            let size = if is_keyframe { self.keyframe } else { self.random.random_range(0.6..1.4) };
            self.owed += video as f64 / 8e6 * FRAME_US as f64 * size;
            while self.owed > 0.0 {
                let len = (self.owed as usize).clamp(120, PACKET_LEN);
                self.owed -= len as f64;
                match self.pacer.as_mut().filter(|pacer| pacer.must_wait(now)) {
                    Some(pacer) => assert!(pacer.push(len, len, Content::Motion)),
                    None => self.send_video(now, len),
                }
            }
        }
        while let Some(len) = self.pacer.as_mut().and_then(|pacer| pacer.pop(now)) {
            self.send_video(now, len);
        }
        if self.bandwidth.probe_due().is_some_and(|due| due <= now)
            && let Some(bytes) = self.bandwidth.poll_probe(now)
        {
            (0..bytes.div_ceil(PADDING_LEN as u64)).for_each(|_| self.send(PADDING_LEN));
        }
        self.link.run(self.now_us);
        let (due, waiting) = std::mem::take(&mut self.link.returning).into_iter().partition(|m| m.0 <= self.now_us);
        self.link.returning = waiting;
        let due: Vec<(u64, Vec<u8>)> = due;
        for (_, message) in due {
            let statuses = Statuses::parse(&message[FEEDBACK_PREFIX_LEN..]).unwrap();
            told(&mut self.bandwidth, now, &statuses);
        }
        if self.now_us.is_multiple_of(1_000_000) {
            self.bandwidth.handle_silence(now);
        }
        if self.now_us.is_multiple_of(100_000) {
            self.curve.push(self.estimate());
        }
    }

    fn estimate(&self) -> u64 {
        self.bandwidth.estimate_bps(self.now()).unwrap()
    }

    /// Delivered rate since `from` seconds.
    fn delivered_bps(&self, from: f64) -> f64 {
        let (from_us, to_us) = ((from * 1e6) as u64, self.now_us);
        let bytes: usize = self.link.delivered.iter().filter(|d| (from_us..to_us).contains(&d.0)).map(|d| d.1).sum();
        bytes as f64 * 8e6 / (to_us - from_us) as f64
    }

    /// 95th percentile of the time in the queue since `from` seconds, in ms.
    fn delay_p95_ms(&self, from: f64) -> f64 {
        let from_us = (from * 1e6) as u64;
        let mut delays: Vec<f64> = self.link.delays.iter().filter(|d| d.0 >= from_us).map(|d| d.1 / 1e3).collect();
        delays.sort_by(f64::total_cmp);
        delays[delays.len() * 95 / 100]
    }

    /// As [`Self::delay_p95_ms`], the 99th percentile for audio.
    fn audio_delay_p99_ms(&self, from: f64) -> f64 {
        let from_us = (from * 1e6) as u64;
        let audio = self.link.delays.iter().filter(|d| d.0 >= from_us && d.2 == AUDIO_LEN);
        let mut delays: Vec<f64> = audio.map(|d| d.1 / 1e3).collect();
        delays.sort_by(f64::total_cmp);
        delays[delays.len() * 99 / 100]
    }

    /// Seconds from `from` until the estimate is as `is` says.
    fn time_until(&mut self, limit: f64, is: impl Fn(u64) -> bool) -> f64 {
        let from = self.now_us;
        while !is(self.estimate()) && self.now_us < from + (limit * 1e6) as u64 {
            self.step();
        }
        (self.now_us - from) as f64 / 1e6
    }

    fn shown(&self) -> Vec<u64> {
        self.curve.iter().step_by(5).map(|bps| bps / 1_000).collect()
    }
}

fn for_each_seed(check: impl Fn(u64)) {
    (0..SEEDS).for_each(check);
}

#[test]
fn a_steady_bottleneck_is_used_and_its_queue_stays_short() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(Shape::of(1e6), seed, 5_000_000, GREEDY);
        scenario.run(60.0);
        let (used, delay) = (scenario.delivered_bps(10.0) / 1e6, scenario.delay_p95_ms(10.0));
        assert!(used > 0.85, "{used} {:?}", scenario.shown());
        assert!(delay < 100.0, "{delay} {:?}", scenario.shown());
    });
}

#[test]
fn it_falls_when_the_path_narrows_and_rises_when_it_widens() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(Shape::of(2e6), seed, 3_000_000, GREEDY);
        scenario.run(20.0);
        assert!(scenario.estimate() > 1_500_000, "{:?}", scenario.shown());
        scenario.link.shape.bps = 3e5;
        let fell = scenario.time_until(10.0, |bps| bps < 330_000);
        scenario.run(20.0);
        let low = scenario.delivered_bps(30.0);
        scenario.link.shape.bps = 2e6;
        let rose = scenario.time_until(20.0, |bps| bps > 1_600_000);
        assert!(fell < 2.0, "{fell} {:?}", scenario.shown());
        assert!(low > 0.75 * 3e5, "{low} {:?}", scenario.shown());
        assert!(rose < 8.0, "{rose} {:?}", scenario.shown());
    });
}

#[test]
fn a_good_path_is_found_within_a_second_of_the_start() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(Shape::of(20e6), seed, 2_500_000, |estimate| estimate.min(2_500_000));
        let found = scenario.time_until(10.0, |bps| bps > 2_000_000);
        assert!(found < 1.5, "{found} {:?}", scenario.shown());
    });
}

#[test]
fn random_losses_are_not_taken_for_congestion() {
    for_each_seed(|seed| {
        let shape = Shape { loss: 0.1, ..Shape::of(3e6) };
        let mut scenario = Scenario::new(shape, seed, 2_500_000, |estimate| estimate.min(2_500_000));
        scenario.run(60.0);
        let least = *scenario.curve[50..].iter().min().unwrap();
        assert!(least > 900_000, "{least} {:?}", scenario.shown());
        assert!(scenario.estimate() > 1_500_000, "{:?}", scenario.shown());
    });
}

#[test]
fn jitter_is_not_taken_for_congestion() {
    for_each_seed(|seed| {
        let shape = Shape { jitter_us: 30_000, delay_us: 150_000, loss: 0.02, ..Shape::of(3e6) };
        let mut scenario = Scenario::new(shape, seed, 2_500_000, |estimate| estimate.min(2_500_000));
        scenario.run(60.0);
        let least = *scenario.curve[100..].iter().min().unwrap();
        assert!(least > 900_000, "{least} {:?}", scenario.shown());
        assert!(scenario.estimate() > 1_500_000, "{:?}", scenario.shown());
    });
}

#[test]
fn little_to_send_neither_lowers_the_estimate_nor_holds_it_down() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(Shape::of(4e6), seed, 3_000_000, |estimate| estimate.min(2_500_000));
        scenario.run(10.0);
        let before = scenario.estimate();
        scenario.source = |_| 60_000;
        scenario.bandwidth.set_wanted(60_000);
        scenario.run(60.0);
        assert!(scenario.estimate() >= before, "{:?}", scenario.shown());
        // Who never sent much, but wants to, finds out that there is room.
        let mut quiet = Scenario::new(Shape::of(4e6), seed, 2_500_000, |_| 80_000);
        let found = quiet.time_until(10.0, |bps| bps > 2_000_000);
        assert!(found < 3.0, "{found} {:?}", quiet.shown());
    });
}

#[test]
fn nothing_is_probed_for_when_nothing_is_wanted() {
    let mut scenario = Scenario::new(Shape::of(4e6), 1, 0, |_| 80_000);
    scenario.run(30.0);
    assert!(scenario.link.delivered.iter().all(|d| d.1 != PADDING_LEN));
    assert_eq!(scenario.bandwidth.probe_due(), None);
}

#[test]
fn padding_stays_a_small_part_of_what_the_path_carries() {
    for bps in [3e5, 1e6, 3e6] {
        let mut scenario = Scenario::new(Shape::of(bps), 1, 10_000_000, GREEDY);
        scenario.run(60.0);
        let padding = scenario.link.delivered.iter().filter(|d| d.1 == PADDING_LEN).count() * PADDING_LEN;
        let all: usize = scenario.link.delivered.iter().map(|d| d.1).sum();
        let share = padding as f64 / all as f64;
        assert!(share < 0.04, "{share} at {bps}");
    }
}

#[test]
fn after_an_outage_the_path_is_used_again() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(Shape::of(3e6), seed, 2_500_000, |estimate| estimate.min(2_500_000));
        scenario.run(15.0);
        scenario.link.shape.loss = 1.0;
        scenario.run(8.0);
        scenario.link.shape.loss = 0.0;
        let back = scenario.time_until(20.0, |bps| bps > 1_500_000);
        assert!(back < 8.0, "{back} {:?}", scenario.shown());
    });
}
