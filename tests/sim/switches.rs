//! A receiver whose wishes change every two seconds, over a line that loses packets on their way to the server: a change of layers
//! stops pictures no more often than the losses do by themselves.
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

const LENGTH: Duration = Duration::from_secs(30);
/// Between two changes.
const INTERVAL: Duration = Duration::from_secs(2);
const CHANGES: u32 = 13;
const SEEDS: u64 = 4;
/// A browser's.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longer than a loss that is noticed with the next packet, and shorter than two repairs in a row.
const GAP: Duration = Duration::from_millis(200);
/// A keyframe has six times the packets of another picture, each of which may be lost: so many more gaps per change.
const GAPS_PER_CHANGE: f64 = 0.5;

/// Two sizes of a camera of 30 pictures per second, whose line to the server loses 2%, 75 ms each way.
fn scenario(seed: u64, changes: u32) -> Scenario {
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
        ..VideoPlan::default()
    };
    let people = vec![person(Some(plan), line(Loss::Random(0.02), 75)), person(None, line(Loss::None, 5))];
    let limit = |n: u32| Step::Limit {
        publisher: 0,
        receiver: 1,
        limit: LayerLimit { spatial: (n % 2) as u8, temporal: u8::MAX },
        paused: false,
    };
    let steps = (2..2 + changes).map(|n| (INTERVAL * n, limit(n))).collect();
    Scenario { seed, length: LENGTH, patience: PATIENCE, people, steps }
}

/// Gaps between pictures, and changes of layers, in all runs; and the longest gap.
fn run(changes: u32) -> (usize, usize, Duration) {
    let (mut gaps, mut changed, mut longest) = (0, 0, Duration::ZERO);
    for seed in 0..SEEDS {
        let mut world = World::new(scenario(seed, changes), 1);
        world.run();
        let client: &Client = world.clients[1].as_ref().unwrap();
        let video = client.receiver.streams.iter().find(|stream| stream.announced.kind == MediaKind::Video).unwrap();
        let from = world.start + INTERVAL;
        let decoded: Vec<_> = video.decoder.decoded.iter().filter(|decoded| decoded.at > from).collect();
        changed += decoded.windows(2).filter(|pair| pair[0].layer != pair[1].layer).count();
        let lengths = decoded.windows(2).map(|pair| pair[1].at - pair[0].at);
        gaps += lengths.clone().filter(|gap| *gap > GAP).count();
        longest = lengths.fold(longest, Duration::max);
    }
    (gaps, changed, longest)
}

#[test]
fn a_change_of_layers_stops_pictures_no_more_often_than_losses_do() {
    let (still, _, _) = run(0);
    let (gaps, changed, longest) = run(CHANGES);
    println!("{gaps} gaps above {GAP:?} with {changed} changes of layers, {still} without; the longest {longest:?}");
    assert!(changed >= (CHANGES * SEEDS as u32 - 2 * SEEDS as u32) as usize, "{changed} changes");
    let more = gaps.saturating_sub(still) as f64 / changed as f64;
    assert!(more < GAPS_PER_CHANGE && longest < Duration::from_secs(1), "{gaps} gaps, {still} without, {longest:?}");
}
