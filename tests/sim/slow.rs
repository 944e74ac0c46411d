//! Receivers whose line suddenly carries less than what they get, modelled on what browsers send: how soon something plays
//! again, and what stays whole meanwhile.

use crate::client::Client;
use crate::scenario::{AudioPlan, PATIENCE, Person, Scenario, Step, VideoPlan};
use crate::world::World;
use consilium_benches::link::LinkParameters;
use consilium_media_core::params::{Content, MediaKind};
use std::time::{Duration, Instant};

const NARROW_FROM: Duration = Duration::from_secs(8);
const LENGTH: Duration = Duration::from_secs(30);
/// Opus with one repetition, as browsers send it at their default rate: 75 kbit/s of payload.
const REDUNDANT: AudioPlan = AudioPlan { dtx: false, payload_bytes: (85, 18), redundant: true };
/// Of browsers' video packets.
const PAYLOAD_BYTES_MAX: usize = 1_100;
/// So much later than the first that arrived, a voice packet is no longer played: the delay that browsers' jitter buffers
/// adapt to is a multiple of what is usual, and on these lines little is.
const VOICE_LATE: Duration = Duration::from_millis(200);

/// As people have it at home: what waits for 300 ms is queued, the rest is dropped.
fn line_of(rate_bps: u64) -> LinkParameters {
    LinkParameters { rate_bps: Some(rate_bps), queue_bytes: rate_bps as usize * 3 / 80, ..near() }
}

fn near() -> LinkParameters {
    LinkParameters { delay: Duration::from_millis(2), ..LinkParameters::default() }
}

fn person(audio: Option<AudioPlan>, video: Option<VideoPlan>) -> Person {
    Person { room: 1, joins: Duration::ZERO, leaves: None, audio, video, by_ssrc: false, up: near(), down: near() }
}

/// The last of `people` gets a line of `rate_bps`.
fn scenario(seed: u64, people: Vec<Person>, rate_bps: u64) -> Scenario {
    let step = Step::Link { person: people.len() - 1, up: false, parameters: line_of(rate_bps) };
    Scenario { seed, length: LENGTH, patience: PATIENCE, people, steps: vec![(NARROW_FROM, step)] }
}

fn narrowed(world: &World) -> Instant {
    world.start + NARROW_FROM
}

/// Pictures of `publisher` that `client` decoded: when, and of which layer.
fn pictures(client: &Client, publisher: usize) -> Vec<(Instant, u8)> {
    let is_its = |kind, who| kind == MediaKind::Video && who == publisher;
    let stream = client.receiver.streams.iter().find(|s| is_its(s.announced.kind, s.announced.publisher)).unwrap();
    stream.decoder.decoded.iter().map(|decoded| (decoded.at, decoded.layer)).collect()
}

fn fps(pictures: &[(Instant, u8)], from: Instant, to: Instant) -> f64 {
    let count = pictures.iter().filter(|(at, _)| (from..to).contains(at)).count();
    count as f64 / (to - from).as_secs_f64()
}

/// The share of what `publisher` said from `from` to `to` that came too late for `client`, or not at all.
fn unheard(world: &World, client: &Client, publisher: usize, (from, to): (Instant, Instant)) -> f64 {
    let is_its = |kind, who| kind == MediaKind::Audio && who == publisher;
    let stream = client.receiver.streams.iter().find(|s| is_its(s.announced.kind, s.announced.publisher)).unwrap();
    let sent = world.clients[publisher].as_ref().unwrap().publisher.audio_sent();
    let within: Vec<u32> = (0..sent.len() as u32).filter(|n| (from..to).contains(&sent[*n as usize])).collect();
    let in_time = |number: &&u32| {
        let number = **number;
        stream.heard.iter().any(|(at, heard)| *heard == number && *at <= sent[number as usize] + VOICE_LATE)
    };
    1.0 - within.iter().filter(in_time).count() as f64 / within.len() as f64
}

/// Required is 5 s, of a browser, which takes longer to answer than a model.
const FALL_MAX: Duration = Duration::from_millis(3_500);
/// From then on all is as it stays.
const SETTLE_MAX: Duration = Duration::from_secs(6);
const UNHEARD_MAX: f64 = 0.01;
/// A longer time without a picture is a pause.
const PAUSE_MAX: Duration = Duration::from_millis(500);
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

/// Simulcast of a camera with 540 lines.
fn camera() -> VideoPlan {
    VideoPlan {
        layers: 3,
        temporal: 3,
        fps: 30,
        rates_bps: [150_000, 400_000, 1_000_000],
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        keyframe_factor: 6,
        keyframes_together: true,
        ..VideoPlan::default()
    }
}

#[test]
fn the_smaller_layer_plays_soon_on_a_line_of_300_kbit() {
    for seed in SEEDS {
        let people = vec![person(Some(REDUNDANT), Some(camera())), person(None, None), person(None, None)];
        let mut world = World::new(scenario(seed, people, 300_000), 1);
        world.run();
        let [near, slow] = [1, 2].map(|index| world.clients[index].as_ref().unwrap());
        let (from, settled) = (narrowed(&world), (narrowed(&world) + SETTLE_MAX, world.start + LENGTH));
        let seen = pictures(slow, 0);
        let small: Vec<Instant> =
            seen.iter().filter(|(at, layer)| *at > from && *layer == 0).map(|(at, _)| *at).collect();
        // Two in a row: the first alone may be the last for a while.
        let plays = small.windows(2).find(|pair| pair[1] - pair[0] < Duration::from_millis(300));
        let took = plays.map(|pair| pair[1] - from);
        assert!(took.is_some_and(|took| took < FALL_MAX), "{seed}: plays after {took:?}");
        assert!(fps(&seen, settled.0, settled.1) > 20.0, "{seed}: {}", fps(&seen, settled.0, settled.1));
        assert!(unheard(&world, slow, 0, settled) < UNHEARD_MAX, "{seed}");
        let from_start = pictures(near, 0);
        assert!(
            from_start.iter().filter(|(at, _)| *at > from).all(|(_, layer)| *layer == 2),
            "{seed}: who is near pays"
        );
    }
}

/// A screen with two pictures per second, 500 kbit/s of it, in two sizes.
fn screen(temporal: u8) -> VideoPlan {
    VideoPlan {
        layers: 2,
        temporal,
        fps: 2,
        content: Content::Detail,
        rates_bps: [150_000, 500_000, 0],
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        keyframes_together: true,
        ..VideoPlan::default()
    }
}

#[test]
fn a_share_and_voices_stay_whole_on_a_megabit_and_cameras_give_way() {
    for (seed, temporal) in SEEDS.zip([1, 3].into_iter().cycle()) {
        let small =
            VideoPlan { rates_bps: [120_000, 0, 0], payload_bytes_max: PAYLOAD_BYTES_MAX, ..VideoPlan::default() };
        let mut people = vec![person(Some(REDUNDANT), Some(screen(temporal)))];
        people.extend((0..4).map(|_| person(Some(REDUNDANT), Some(small))));
        people.push(person(None, None));
        let mut world = World::new(scenario(seed, people, 1_000_000), 1);
        world.run();
        let olga = world.clients[5].as_ref().unwrap();
        let settled = (narrowed(&world) + SETTLE_MAX, world.start + LENGTH);
        let shared = pictures(olga, 0);
        let mut late = shared.iter().filter(|(at, _)| *at > settled.0);
        assert!(late.all(|(_, layer)| *layer == 1), "{seed}: the screen keeps its lines: {shared:?}");
        assert!(fps(&shared, settled.0, settled.1) >= 1.0, "{seed}: {}", fps(&shared, settled.0, settled.1));
        for publisher in 0..5 {
            let share = unheard(&world, olga, publisher, settled);
            assert!(share < UNHEARD_MAX, "{seed}: {share} of {publisher} is not heard");
        }
        let cameras: f64 = (1..5).map(|publisher| fps(&pictures(olga, publisher), settled.0, settled.1)).sum();
        assert!(cameras < 30.0, "{seed}: cameras give way: {cameras}");
    }
}

/// So long libwebrtc waits for a picture before it asks for a keyframe.
const BROWSER_PATIENCE: Duration = Duration::from_secs(3);

/// A screen of two sizes, with a keyframe that would be six seconds of the line, beside four cameras and five voices: at who has a
/// megabit it keeps its lines with `fps_min` at least, and voices are whole. Returns the world as it is at the end.
fn shared_on_a_megabit(seed: u64, screen_bps: u64, temporal: u8, fps_min: f64) -> World {
    let small = VideoPlan { rates_bps: [120_000, 0, 0], payload_bytes_max: PAYLOAD_BYTES_MAX, ..VideoPlan::default() };
    let wide = VideoPlan { rates_bps: [150_000, screen_bps, 0], keyframe_factor: 10, ..screen(temporal) };
    let mut people = vec![person(Some(REDUNDANT), Some(wide))];
    people.extend((0..4).map(|_| person(Some(REDUNDANT), Some(small))));
    people.push(person(None, None));
    let scenario = Scenario { patience: BROWSER_PATIENCE, ..scenario(seed, people, 1_000_000) };
    let mut world = World::new(scenario, 1);
    world.run();
    let olga = world.clients[5].as_ref().unwrap();
    let settled = (narrowed(&world) + SETTLE_MAX, world.start + LENGTH);
    let shared = pictures(olga, 0);
    let mut late = shared.iter().filter(|(at, _)| *at > settled.0);
    assert!(late.all(|(_, layer)| *layer == 1), "{seed}: the screen keeps its lines: {shared:?}");
    assert!(fps(&shared, settled.0, settled.1) >= fps_min, "{seed}: {}", fps(&shared, settled.0, settled.1));
    for publisher in 0..5 {
        let share = unheard(&world, olga, publisher, settled);
        assert!(share < UNHEARD_MAX, "{seed}: {share} of {publisher} is not heard");
    }
    world
}

/// More than there is room for.
#[test]
fn a_share_that_exceeds_the_line_becomes_slower_and_is_repaired_without_a_keyframe() {
    for seed in SEEDS {
        let world = shared_on_a_megabit(seed, 700_000, 3, 1.0);
        let keyframes = world.clients[0].as_ref().unwrap().publisher.keyframes();
        assert!(keyframes.iter().all(|at| *at < narrowed(&world)), "{seed}: no keyframe is needed");
    }
}

/// A camera as browsers send it, without temporal layers, whose smallest picture hardly fits: when its rate varies, it waits.
#[test]
fn a_small_layer_that_hardly_fits_goes_on_without_a_pause() {
    for (seed, smallest_bps) in (1..=8).zip([170_000, 190_000].into_iter().cycle()) {
        let plan = VideoPlan { temporal: 1, rates_bps: [smallest_bps, 400_000, 1_150_000], ..camera() };
        let people = vec![person(Some(REDUNDANT), Some(plan)), person(None, None), person(None, None)];
        let mut world = World::new(scenario(seed, people, 300_000), 1);
        world.run();
        let (slow, from) = (world.clients[2].as_ref().unwrap(), narrowed(&world));
        let seen = pictures(slow, 0).into_iter().filter(|(at, layer)| *at > from && *layer == 0);
        let mut small: Vec<Instant> = seen.map(|(at, _)| at).collect();
        let first = *small.first().unwrap();
        assert!(first - from < FALL_MAX, "{seed}: falls after {:?}", first - from);
        small.push(world.start + LENGTH);
        let longest = small.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest < PAUSE_MAX, "{seed}: pauses for {longest:?}");
        let heard_from = from + Duration::from_secs(5);
        let share = unheard(&world, slow, 0, (heard_from, world.start + LENGTH));
        assert!(share < UNHEARD_MAX, "{seed}: {share} is not heard");
    }
}

/// A screen as browsers send it in VP8, without temporal layers, and with more than the line has even without cameras: it goes
/// on in its size and comes late.
#[test]
fn a_share_that_cannot_become_slower_has_the_line_before_cameras() {
    for seed in SEEDS {
        shared_on_a_megabit(seed, 740_000, 1, 1.4);
    }
}
