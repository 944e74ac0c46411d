//! A meeting with everything that befalls it, derived wholly from one number.

use consilium_benches::link::{LinkParameters, Loss, Outage, Reorder};
use consilium_benches::random::Random;
use consilium_media_core::params::{Content, LayerLimit};
use std::time::Duration;

/// Virtual seconds of a scenario, at least and at most: long enough for a keyframe that is lost twice, short enough for a
/// thousand scenarios in a minute.
const LENGTH_MS: (usize, usize) = (2_500, 4_000);
const PEOPLE_MAX: usize = 6;
/// Less than a browser's three seconds: scenarios are short.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    /// How long a receiver waits for what is missing before it asks for a keyframe.
    pub(crate) patience: Duration,
    pub(crate) people: Vec<Person>,
    /// In order.
    pub(crate) steps: Vec<(Duration, Step)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) room: u64,
    pub(crate) joins: Duration,
    pub(crate) leaves: Option<Duration>,
    pub(crate) audio: Option<AudioPlan>,
    pub(crate) video: Option<VideoPlan>,
    /// SSRCs stand in the description; otherwise MID and RID tell.
    pub(crate) by_ssrc: bool,
    pub(crate) up: LinkParameters,
    pub(crate) down: LinkParameters,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AudioPlan {
    /// It falls silent now and then.
    pub(crate) dtx: bool,
    /// Of 20 ms of speech, at least, and by how much it may be longer.
    pub(crate) payload_bytes: (usize, usize),
    /// Each packet repeats the one before it (RFC 2198).
    pub(crate) redundant: bool,
}

impl AudioPlan {
    /// Opus as it comes.
    pub(crate) fn of(dtx: bool) -> Self {
        Self { dtx, payload_bytes: (60, 60), redundant: false }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VideoPlan {
    pub(crate) layers: u8,
    pub(crate) temporal: u8,
    pub(crate) fps: u32,
    pub(crate) rtx: bool,
    pub(crate) content: Content,
    /// By layer.
    pub(crate) rates_bps: [u64; 3],
    pub(crate) payload_bytes_max: usize,
    /// A keyframe is so many times as large as another frame.
    pub(crate) keyframe_factor: usize,
    /// A keyframe of one layer is one of all, as libvpx makes them.
    pub(crate) keyframes_together: bool,
}

impl Default for VideoPlan {
    /// Small packets, so that frames have several of them at low rates.
    fn default() -> Self {
        Self {
            layers: 1,
            temporal: 1,
            fps: 15,
            rtx: true,
            content: Content::Motion,
            rates_bps: [80_000, 200_000, 500_000],
            payload_bytes_max: 600,
            keyframe_factor: 3,
            keyframes_together: false,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// What one person wants of another's video.
    Limit {
        publisher: usize,
        receiver: usize,
        limit: LayerLimit,
        paused: bool,
    },
    /// The server mutes a video.
    Mute {
        publisher: usize,
        muted: bool,
    },
    Link {
        person: usize,
        up: bool,
        parameters: LinkParameters,
    },
}

impl Scenario {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51_4d);
        let length = milliseconds(&mut random, LENGTH_MS);
        // Small meetings are cheaper, and most of what can go wrong goes wrong between two.
        let count = 2 + random.below(PEOPLE_MAX - 1).min(random.below(PEOPLE_MAX - 1));
        let rooms = if count > 3 { 1 + random.below(2) } else { 1 };
        let people: Vec<Person> =
            (0..count).map(|index| Person::draw(&mut random, index % rooms, index, length)).collect();
        let mut steps = Vec::new();
        for _ in 0..random.below(7) {
            steps.push((milliseconds(&mut random, (400, LENGTH_MS.1)), step(&mut random, &people)));
        }
        steps.sort_by_key(|(at, _)| *at);
        Self { seed, length, patience: PATIENCE, people, steps }
    }
}

impl Person {
    fn draw(random: &mut Random, room: usize, index: usize, length: Duration) -> Self {
        let late = index > 1 && random.below(3) == 0;
        let joins = if late { length.mul_f64(0.4) } else { milliseconds(random, (0, 200)) };
        let leaves = (index > 0 && random.below(6) == 0).then(|| length.mul_f64(0.7));
        let video = VideoPlan {
            layers: 1 + random.below(3) as u8,
            temporal: 1 + random.below(3) as u8,
            fps: [8, 12, 20][random.below(3)],
            rtx: random.below(5) > 0,
            ..VideoPlan::default()
        };
        Self {
            room: room as u64 + 1,
            joins,
            leaves,
            audio: (random.below(5) > 0).then(|| AudioPlan::of(random.below(3) == 0)),
            video: (index == 0 || random.below(3) > 0).then_some(video),
            by_ssrc: random.below(3) == 0,
            up: link(random, length),
            down: link(random, length),
        }
    }
}

fn milliseconds(random: &mut Random, (least, most): (usize, usize)) -> Duration {
    Duration::from_millis((least + random.below(most - least)) as u64)
}

/// Any path that a meeting may run over.
fn link(random: &mut Random, length: Duration) -> LinkParameters {
    let mut parameters = LinkParameters { delay: milliseconds(random, (1, 80)), ..LinkParameters::default() };
    let percent = |random: &mut Random, most: usize| random.below(most * 100) as f64 / 10_000.0;
    parameters.loss = match random.below(6) {
        0 => Loss::Random(percent(random, 10)),
        1 => Loss::Random(percent(random, 2)),
        2 => Loss::Bursts {
            p_good_to_bad: percent(random, 2),
            p_bad_to_good: 0.35 + percent(random, 30),
            loss_bad: 0.5 + percent(random, 50),
        },
        _ => Loss::None,
    };
    if random.below(3) == 0 {
        parameters.jitter = milliseconds(random, (1, 30)).min(parameters.delay);
    }
    if random.below(4) == 0 {
        parameters.reorder = Reorder { share: percent(random, 5), held_back: milliseconds(random, (1, 40)) };
    }
    if random.below(5) == 0 {
        parameters.duplicate = percent(random, 5);
    }
    if random.below(4) == 0 {
        parameters.rate_bps = Some(200_000 + random.below(1_500_000) as u64);
        parameters.queue_bytes = 10_000 + random.below(40_000);
    }
    if random.below(6) == 0 {
        let start = length.mul_f64(0.2 + percent(random, 50));
        parameters.outages.push(Outage::once(start, milliseconds(random, (50, 800))));
    }
    parameters
}

fn step(random: &mut Random, people: &[Person]) -> Step {
    let publisher = random.below(people.len());
    match random.below(6) {
        0 => Step::Mute { publisher, muted: random.below(2) == 0 },
        1 => {
            let former = &people[publisher];
            let up = random.below(2) == 0;
            let former = if up { &former.up } else { &former.down };
            let rate_bps = Some(150_000 + random.below(1_500_000) as u64);
            Step::Link { person: publisher, up, parameters: LinkParameters { rate_bps, ..former.clone() } }
        }
        _ => {
            let receiver = (publisher + 1 + random.below(people.len() - 1)) % people.len();
            let limit = LayerLimit { spatial: random.below(3) as u8, temporal: random.below(3) as u8 };
            Step::Limit { publisher, receiver, limit, paused: random.below(4) == 0 }
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_scenario() {
    let shown = |seed| format!("{:?}", Scenario::from_seed(seed));
    assert_eq!(shown(7), shown(7));
    assert_ne!(shown(7), shown(8));
}
