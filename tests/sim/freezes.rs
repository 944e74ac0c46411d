//! A meeting over a long line that loses packets and delivers them unevenly: pictures go on, in both directions.
//!
//! Judged is what is shown, not what arrives: a receiver plays out what it has after a delay of its own.

use crate::client::Client;
use crate::client::receive::InStream;
use crate::oracle::rates::changes;
use crate::scenario::{AudioPlan, Person, Scenario, Step, VideoPlan};
use crate::world::{Entry, World};
use consilium_benches::link::{LinkParameters, Loss};
use consilium_media_core::control::Event;
use consilium_media_core::params::MediaKind;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Each way, of the one who is far.
const LOSS: f64 = 0.02;
const DELAY: Duration = Duration::from_millis(150);
const JITTER: Duration = Duration::from_millis(30);
/// Until buffers have found the length that the line needs.
const SETTLED: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(60);
const GAP_MAX: Duration = Duration::from_millis(500);
/// Two repairs in a row fail once in a thousand losses, of which there are 70 in a minute: the third takes this long, and there
/// are so many in all seeds together. Without what is done for long lines there were 30.
const THIRD_REPAIR_MAX: Duration = Duration::from_millis(900);
const THIRD_REPAIRS: usize = 2;
/// When a line turns from good to bad.
const TURNS: Duration = Duration::from_secs(8);
const SEEDS: u64 = 8;
/// A browser asks for a keyframe when it had nothing to show for so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a browser's buffer of pictures holds against such a jitter by itself: measured with Chromium, 60 to 110 ms.
const BUFFER: Duration = Duration::from_millis(60);
/// Where many packets were sent again, a browser waits for a round trip on its own path as well, and no longer than this.
const REPAIR_WAIT_MAX: Duration = Duration::from_millis(200);
/// A delay of playout grows by so much of the time that passes.
const STRETCH: f64 = 0.1;

const NEAR: usize = 0;
const FAR: usize = 1;

fn scenario(seed: u64) -> Scenario {
    let near = LinkParameters { delay: Duration::from_millis(1), ..LinkParameters::default() };
    let far = LinkParameters { loss: Loss::Random(LOSS), delay: DELAY, jitter: JITTER, ..LinkParameters::default() };
    let person = |link: &LinkParameters| Person {
        room: 1,
        joins: Duration::ZERO,
        leaves: None,
        audio: Some(AudioPlan::of(false)),
        video: Some(VideoPlan { layers: 2, fps: 30, ..VideoPlan::default() }),
        by_ssrc: false,
        up: link.clone(),
        down: link.clone(),
    };
    let people = vec![person(&near), person(&far)];
    Scenario { seed, length: SETTLED + WATCHED, patience: PATIENCE, people, steps: Vec::new() }
}

/// The same, over a line that is good until it becomes what it is.
fn turning(seed: u64) -> Scenario {
    let mut scenario = scenario(seed);
    let good = scenario.people[NEAR].up.clone();
    let far = std::mem::replace(&mut scenario.people[FAR].up, good.clone());
    scenario.people[FAR].down = good;
    let step = |up| (TURNS, Step::Link { person: FAR, up, parameters: far.clone() });
    scenario.steps = vec![step(false), step(true)];
    scenario.length = TURNS + SETTLED;
    scenario
}

fn video(client: &Client) -> &InStream {
    client.receiver.streams.iter().find(|stream| stream.announced.kind == MediaKind::Video).unwrap()
}

/// When each picture of `publisher` is shown at `receiver`: not before it is there, and after the delay of playout, which
/// follows slowly what is wanted.
fn shown(publisher: &Client, receiver: &Client) -> Vec<Instant> {
    let stream = video(receiver);
    let own_wait = (receiver.publisher.rtt().unwrap_or_default().mul_f64(0.9)).min(REPAIR_WAIT_MAX);
    let own_wait = if receiver.index == FAR { own_wait } else { Duration::ZERO };
    let (mut least, mut delay, mut last) = (None::<Duration>, BUFFER, None::<Instant>);
    let mut shown = Vec::new();
    for decoded in &stream.decoder.decoded {
        let filmed = publisher.publisher.filmed(decoded.frame).unwrap();
        let way = decoded.at.saturating_duration_since(filmed);
        let base = *least.insert(least.map_or(way, |least| least.min(way)));
        let asked =
            stream.playout.iter().rfind(|(at, _)| *at <= decoded.at).map_or(Duration::ZERO, |(_, delay)| *delay);
        let wanted = asked.max(BUFFER + own_wait);
        let passed = last.map_or(Duration::ZERO, |last| decoded.at.saturating_duration_since(last));
        delay = wanted.min(delay + passed.mul_f64(STRETCH)).max(wanted.min(delay));
        let at = decoded.at.max(filmed + base + delay).max(last.unwrap_or(decoded.at));
        last = Some(decoded.at);
        shown.push(at);
    }
    shown
}

/// Between pictures, once the line is known: each longer than `least`, with its beginning.
fn gaps(world: &World, shown: &[Instant], least: Duration) -> Vec<(Duration, Duration)> {
    let from = world.start + SETTLED;
    let mut marks: Vec<Instant> = shown.iter().copied().filter(|at| *at >= from).collect();
    marks.insert(0, from);
    marks.push(world.now);
    let gaps = marks.windows(2).map(|pair| (pair[0] - world.start, pair[1].saturating_duration_since(pair[0])));
    gaps.filter(|(_, gap)| *gap > least).collect()
}

fn stalls(world: &World) -> impl Iterator<Item = &(Duration, Entry)> {
    let is_stall = |entry: &Entry| match entry {
        Entry::Event(event) => matches!(event.event, Event::SubscriptionStalled { .. }),
        _ => false,
    };
    world.log.iter().filter(move |(_, entry)| is_stall(entry))
}

/// What else happened, for who looks into a failure.
fn account(world: &World) -> String {
    let mut account = String::new();
    for client in world.clients.iter().flatten() {
        let decoded = &video(client).decoder.decoded;
        let layers = changes(decoded.iter().map(|decoded| (decoded.at, decoded.layer)));
        let layers: Vec<_> = layers.iter().map(|(at, layer)| (*at - world.start, *layer)).collect();
        let _ = writeln!(
            account,
            "  {} frames at {}, {} keyframes asked of it, layers {layers:?}",
            decoded.len(),
            client.index,
            client.keyframes_asked
        );
    }
    for client in world.clients.iter().flatten() {
        let waits: Vec<_> = video(client).playout.iter().map(|(at, wait)| (*at - world.start, *wait)).collect();
        let _ = writeln!(account, "  {} is told to wait {waits:?}", client.index);
    }
    for stall in stalls(world) {
        let _ = writeln!(account, "  {stall:?}");
    }
    account
}

#[test]
fn no_picture_freezes_on_a_long_line_with_losses_and_jitter() {
    let (first, count) = (crate::number("SEED").unwrap_or(0), crate::number("SEEDS").unwrap_or(SEEDS));
    let mut found = String::new();
    let (mut third_repairs, mut longest) = (0, Duration::ZERO);
    for seed in first..first + count {
        let mut world = World::new(scenario(seed), 1);
        world.run();
        let [near, far] = [NEAR, FAR].map(|index| world.clients[index].as_ref().unwrap());
        for (publisher, receiver) in [(near, far), (far, near)] {
            let gaps = gaps(&world, &shown(publisher, receiver), GAP_MAX);
            third_repairs += gaps.len();
            longest = gaps.iter().map(|(_, gap)| *gap).fold(longest, Duration::max);
            if !gaps.is_empty() {
                let _ = writeln!(found, "seed {seed}: at {}: {gaps:?}\n{}", receiver.index, account(&world));
            }
        }
    }
    let most = THIRD_REPAIRS * count as usize / SEEDS as usize;
    println!("{third_repairs} gaps above {GAP_MAX:?}, the longest {longest:?}");
    assert!(third_repairs <= most && longest <= THIRD_REPAIR_MAX, "{third_repairs} gaps, {longest:?}\n{found}");
}

#[test]
fn a_line_that_becomes_long_is_not_taken_for_a_full_one() {
    for seed in 0..SEEDS {
        let mut world = World::new(turning(seed), 1);
        world.run();
        let stalls: Vec<_> = stalls(&world).collect();
        assert!(stalls.is_empty(), "seed {seed}: {stalls:?}\n{}", account(&world));
    }
}
