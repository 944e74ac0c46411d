//! A meeting whose links become narrow and wide again: layers follow in time, equal subscribers fare alike, nobody else pays.

use crate::client::Client;
use crate::oracle::gaps::longest_gap;
use crate::oracle::rates::{changes, convergence, fairness, swings};
use crate::scenario::{AudioPlan, PATIENCE, Person, Scenario, Step, VideoPlan};
use crate::world::World;
use consilium_benches::link::LinkParameters;
use consilium_media_core::params::MediaKind;
use std::time::{Duration, Instant};

const NARROW_FROM: Duration = Duration::from_secs(6);
const WIDE_FROM: Duration = Duration::from_secs(18);
const LENGTH: Duration = Duration::from_secs(30);
/// Room for audio (150 kbit/s) and the middle layer (220), not for the highest (550).
const NARROW_BPS: u64 = 500_000;
const MIDDLE_LAYER: u8 = 1;
const TOP_LAYER: u8 = 2;

/// A layer falls in so much time, stays where the link has room after so much, and is back in so much once the limit has gone.
/// Between the first two it may go too far down: the estimate undershoots while the queue drains.
const FALL_MAX: Duration = Duration::from_secs(5);
const SETTLE_MAX: Duration = Duration::from_secs(8);
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// A layer that is left and taken again within this swings.
const SWING: Duration = Duration::from_secs(4);
const FAIRNESS_MIN: f64 = 0.95;
const GAP_MAX: Duration = Duration::from_secs(1);

/// One who is filmed, two behind equal links that become narrow, one whose link stays as it is.
fn scenario(seed: u64) -> Scenario {
    let wide = LinkParameters { delay: Duration::from_millis(20), ..LinkParameters::default() };
    let narrow =
        LinkParameters { rate_bps: Some(NARROW_BPS), queue_bytes: NARROW_BPS as usize * 3 / 80, ..wide.clone() };
    let person = |video| Person {
        room: 1,
        joins: Duration::ZERO,
        leaves: None,
        audio: Some(AudioPlan::of(false)),
        video,
        by_ssrc: false,
        up: wide.clone(),
        down: wide.clone(),
    };
    let plan = VideoPlan { layers: 3, ..VideoPlan::default() };
    let steps = [1, 2].into_iter().flat_map(|person| {
        let link = |parameters: &LinkParameters| Step::Link { person, up: false, parameters: parameters.clone() };
        [(NARROW_FROM, link(&narrow)), (WIDE_FROM, link(&wide))]
    });
    let mut steps: Vec<_> = steps.collect();
    steps.sort_by_key(|(at, _)| *at);
    let people = vec![person(Some(plan)), person(None), person(None), person(None)];
    Scenario { seed, length: LENGTH, patience: PATIENCE, people, steps }
}

/// When the receiver's layer changed, and when it saw a frame.
fn seen(client: &Client) -> (Vec<(Instant, u8)>, Vec<Instant>) {
    let video = client.receiver.streams.iter().find(|stream| stream.announced.kind == MediaKind::Video).unwrap();
    let decoded = &video.decoder.decoded;
    (changes(decoded.iter().map(|d| (d.at, d.layer))), decoded.iter().map(|d| d.at).collect())
}

fn judge(world: &World) -> Vec<String> {
    let mut violations = Vec::new();
    let clients: Vec<&Client> = world.clients.iter().flatten().collect();
    let (narrow, wide, end) = (world.start + NARROW_FROM, world.start + WIDE_FROM, world.start + LENGTH);
    let in_time = |took: Option<Duration>, most| took.is_some_and(|took| took < most);
    for (index, client) in clients.iter().enumerate().skip(1) {
        let (layers, frames) = seen(client);
        let settled: Vec<_> = layers.iter().copied().filter(|(at, _)| *at >= narrow + SETTLE_MAX).collect();
        if swings(&settled, SWING) > 0 {
            violations.push(format!("{index} swings between layers: {layers:?}"));
        }
        if index == 3 {
            let stays = convergence(&layers, (narrow, end), |layer| layer == TOP_LAYER);
            if stays != Some(Duration::ZERO) {
                violations.push("the link of 3 is wide, and it pays for those that are not".to_owned());
            }
            continue;
        }
        let fall =
            layers.iter().find(|(at, layer)| *at >= narrow && *layer <= MIDDLE_LAYER).map(|(at, _)| *at - narrow);
        if !in_time(fall, FALL_MAX) {
            violations.push(format!("the layer of {index} falls after {fall:?}"));
        }
        let settles = convergence(&layers, (narrow, wide), |layer| layer == MIDDLE_LAYER);
        if !in_time(settles, SETTLE_MAX) {
            violations.push(format!("the layer of {index} settles after {settles:?}"));
        }
        let recovery = convergence(&layers, (wide, end), |layer| layer == TOP_LAYER);
        if !in_time(recovery, RECOVERY_MAX) {
            violations.push(format!("the layer of {index} is back after {recovery:?}"));
        }
        let gap = longest_gap((narrow + SETTLE_MAX, wide), frames.into_iter(), &[]);
        if gap > GAP_MAX {
            violations.push(format!("{index} sees nothing for {gap:?}"));
        }
    }
    let share = |client: &Client| {
        let within = client.receiver.arrived.iter().filter(|a| a.at >= narrow + SETTLE_MAX && a.at < wide);
        within.map(|arrived| arrived.len as f64).sum::<f64>()
    };
    let fairness = fairness(&[share(clients[1]), share(clients[2])]);
    if fairness < FAIRNESS_MIN {
        violations.push(format!("equal subscribers get unequal shares: {fairness:.2}"));
    }
    violations
}

#[test]
fn layers_follow_a_narrow_link_and_come_back() {
    let mut world = World::new(scenario(1), 1);
    world.run();
    let violations = judge(&world);
    assert!(violations.is_empty(), "{violations:#?}");
}
