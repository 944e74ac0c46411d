//! A receiver whose wishes change every two seconds, over a line that loses packets on their way to the server: a change of layers
//! stops pictures no more often than the losses do by themselves, and none for as long as its receiver is patient.
//!
//! A layer takes over with the first packet of its keyframe, not with the last. Were it held back until the keyframe is whole, the
//! former layer would bridge the wait for a repair, but its pictures are later than the keyframe, whose time then has to be bent.
//! What there is to gain is judged here: nothing that can be told from the repairs of all other pictures.

use crate::client::Client;
use crate::scenario::{AudioPlan, Person, Scenario, Step, VideoPlan};
use crate::world::World;
use consilium_benches::link::{LinkParameters, Loss};
use consilium_media_core::params::{LayerLimit, MediaKind};
use std::time::Duration;

/// Between two changes.
const INTERVAL: Duration = Duration::from_secs(2);
/// A browser's.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longer than a loss that is noticed with the next packet, and shorter than two repairs in a row.
const GAP: Duration = Duration::from_millis(200);
/// A keyframe has six times the packets of another picture, each of which may be lost: so many more gaps per change.
const GAPS_PER_CHANGE: f64 = 0.5;

/// How long the line to the server is, and how often what is wanted changes.
#[derive(Clone, Copy)]
struct Plan {
    delay_ms: u64,
    keyframes_together: bool,
    length: Duration,
    changes: u32,
    seeds: u64,
}

const NEAR: Plan =
    Plan { delay_ms: 75, keyframes_together: false, length: Duration::from_secs(30), changes: 13, seeds: 4 };
/// Where a repair takes more than one round trip, another layer has taken over before it comes.
const FAR: [Plan; 2] = [
    Plan { delay_ms: 150, keyframes_together: true, length: Duration::from_secs(60), changes: 28, seeds: 6 },
    Plan { delay_ms: 200, keyframes_together: true, length: Duration::from_secs(30), changes: 13, seeds: 3 },
];

/// Two sizes of a camera of 30 pictures per second, whose line to the server loses 2%.
fn scenario(seed: u64, of: Plan) -> Scenario {
    let line =
        |loss, delay_ms| LinkParameters { loss, delay: Duration::from_millis(delay_ms), ..LinkParameters::default() };
    let person = |video, up: LinkParameters| Person {
        room: 1,
        joins: Duration::ZERO,
        leaves: None,
        audio: Some(AudioPlan::of(false)),
        video,
        by_ssrc: false,
        down: LinkParameters { loss: Loss::None, ..up.clone() },
        up,
    };
    let plan = VideoPlan {
        layers: 2,
        fps: 30,
        rates_bps: [150_000, 800_000, 0],
        payload_bytes_max: 1_100,
        keyframe_factor: 6,
        keyframes_together: of.keyframes_together,
        ..VideoPlan::default()
    };
    let people = vec![person(Some(plan), line(Loss::Random(0.02), of.delay_ms)), person(None, line(Loss::None, 5))];
    let limit = |n: u32| Step::Limit {
        publisher: 0,
        receiver: 1,
        limit: LayerLimit { spatial: (n % 2) as u8, temporal: u8::MAX },
        paused: false,
    };
    let steps = (2..2 + of.changes).map(|n| (INTERVAL * n, limit(n))).collect();
    Scenario { seed, length: of.length, patience: PATIENCE, people, steps }
}

/// Gaps between pictures, and changes of layers, in all runs; and the longest gap.
fn run(plan: Plan) -> (usize, usize, Duration) {
    let (mut gaps, mut changed, mut longest) = (0, 0, Duration::ZERO);
    for seed in 0..plan.seeds {
        let mut world = World::new(scenario(seed, plan), 1);
        world.run();
        let client: &Client = world.clients[1].as_ref().unwrap();
        let video = client.receiver.streams.iter().find(|stream| stream.announced.kind == MediaKind::Video).unwrap();
        let from = world.start + INTERVAL;
        let decoded: Vec<_> = video.decoder.decoded.iter().filter(|decoded| decoded.at > from).collect();
        changed += decoded.windows(2).filter(|pair| pair[0].layer != pair[1].layer).count();
        let lengths = decoded.windows(2).map(|pair| pair[1].at - pair[0].at);
        gaps += lengths.clone().filter(|gap| *gap > GAP).count();
        longest = lengths.fold(longest, Duration::max);
        assert!(video.decoder.broken.is_empty(), "seed {seed}: {:?}", video.decoder.broken);
        assert!(world.numbers[1].violations.is_empty(), "seed {seed}: {:?}", world.numbers[1].violations);
    }
    assert!(changed >= (plan.changes as usize).saturating_sub(2) * plan.seeds as usize, "{changed} changes");
    (gaps, changed, longest)
}

#[test]
fn a_change_of_layers_stops_pictures_no_more_often_than_losses_do() {
    let (still, _, _) = run(Plan { changes: 0, ..NEAR });
    let (gaps, changed, longest) = run(NEAR);
    println!("{gaps} gaps above {GAP:?} with {changed} changes of layers, {still} without; the longest {longest:?}");
    let more = gaps.saturating_sub(still) as f64 / changed as f64;
    assert!(more < GAPS_PER_CHANGE && longest < Duration::from_secs(1), "{gaps} gaps, {still} without, {longest:?}");
}

/// What was lost of the former layer and comes after the change is still waited for.
#[test]
fn over_a_long_line_no_change_of_layers_stops_pictures_until_patience_ends() {
    for plan in FAR {
        let (gaps, changed, longest) = run(plan);
        let Plan { delay_ms, .. } = plan;
        println!("{delay_ms} ms: {gaps} gaps above {GAP:?} with {changed} changes of layers; the longest {longest:?}");
        assert!(longest < PATIENCE / 2, "{delay_ms} ms: {longest:?}");
    }
}
