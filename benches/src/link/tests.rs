//! The link keeps what its parameters promise, whatever the seed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, helpers included")]

use super::*;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Pushes `count` packets of `len` bytes, one each `interval`; returns what arrives, with its time since the start.
fn run(link: &mut Link<u64>, start: Instant, count: u64, interval: Duration, len: usize) -> Vec<(Duration, u64)> {
    let mut arrived = Vec::new();
    for number in 0..count {
        let now = start + interval * number as u32;
        drain(link, start, now, &mut arrived);
        link.push(now, len, number);
    }
    drain(link, start, start + Duration::from_secs(3_600), &mut arrived);
    arrived
}

fn drain(link: &mut Link<u64>, start: Instant, until: Instant, arrived: &mut Vec<(Duration, u64)>) {
    while let Some(due) = link.next_due().filter(|&due| due <= until) {
        arrived.push((due - start, link.pop(due).unwrap()));
    }
}

/// Parameters in which everything may happen.
fn any(random: &mut Random) -> LinkParameters {
    let mut share = |most: f64| most * random.below(1_000) as f64 / 1_000.0;
    let loss = match share(3.0) as u32 {
        0 => Loss::None,
        1 => Loss::Random(share(0.3)),
        _ => Loss::Bursts { p_good_to_bad: share(0.1), p_bad_to_good: 0.1 + share(0.5), loss_bad: share(1.0) },
    };
    let (reorder, duplicate) = (share(0.1), share(0.1));
    let mut between = |least: usize, most: usize| (least + random.below(most - least)) as u64;
    LinkParameters {
        rate_bps: Some(between(50_000, 5_000_000)).filter(|rate_bps| rate_bps % 4 != 0),
        queue_bytes: between(0, 100_000) as usize,
        delay: ms(between(0, 200)),
        jitter: ms(between(0, 50)),
        loss,
        reorder: Reorder { share: reorder, held_back: ms(between(1, 50)) },
        duplicate,
        outages: vec![Outage { start: ms(between(0, 900)), length: ms(between(1, 100)), every: Some(ms(700)) }],
    }
}

#[test]
fn a_plain_link_passes_everything_at_once() {
    let start = Instant::now();
    let mut link = Link::new(LinkParameters::default(), 1, start);
    let arrived = run(&mut link, start, 100, ms(1), 1_200);
    assert_eq!(arrived, (0..100).map(|number| (ms(number), number)).collect::<Vec<_>>());
    assert_eq!(link.stats().passed_bytes, 120_000);
}

#[test]
fn the_rate_is_respected_over_every_stretch() {
    for seed in 0..50 {
        let start = Instant::now();
        let mut random = Random::new(seed);
        let rate_bps = 50_000 + random.below(5_000_000) as u64;
        let parameters = LinkParameters { rate_bps: Some(rate_bps), delay: ms(20), ..LinkParameters::default() };
        let mut link = Link::new(parameters, seed, start);
        let len = 100 + random.below(1_300);
        let arrived = run(&mut link, start, 2_000, Duration::from_micros(random.below(4_000) as u64), len);
        let on_wire = time_on_wire(len, Some(rate_bps));
        for pair in arrived.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= on_wire, "seed {seed}: {pair:?} are closer than {on_wire:?}");
        }
    }
}

#[test]
fn a_full_bottleneck_is_used_to_its_rate() {
    let start = Instant::now();
    let parameters = LinkParameters { rate_bps: Some(1_000_000), ..LinkParameters::default() };
    let mut link = Link::new(parameters, 1, start);
    // 2 Mbit/s for 4 s.
    let arrived = run(&mut link, start, 4_000, ms(1), 250);
    let within = arrived.iter().filter(|(at, _)| *at <= ms(4_000)).count();
    assert!((1_990..=2_000).contains(&within), "{within}");
}

#[test]
fn the_queue_has_a_bound_and_drops_the_newest() {
    let start = Instant::now();
    let parameters = LinkParameters { rate_bps: Some(80_000), queue_bytes: 3_000, ..LinkParameters::default() };
    let mut link = Link::new(parameters, 1, start);
    for number in 0..10 {
        link.push(start, 1_000, number);
        assert!(link.queued_bytes(start) <= 3_000);
    }
    let mut arrived = Vec::new();
    drain(&mut link, start, start + ms(10_000), &mut arrived);
    assert_eq!(arrived, [(ms(100), 0), (ms(200), 1), (ms(300), 2), (ms(400), 3)], "one on the wire, three behind it");
    assert_eq!(link.stats().lost_to_queue, 6);
    link.push(start + ms(10_000), 60_000, 10);
    assert_eq!(link.stats().lost_to_queue, 6, "an idle wire takes what is longer than the queue");
    assert_eq!(link.stats().queue_delay.max, ms(300));
}

#[test]
fn nothing_overtakes_without_reordering() {
    for seed in 0..50 {
        let start = Instant::now();
        let parameters = LinkParameters { reorder: Reorder::default(), ..any(&mut Random::new(seed)) };
        let mut link = Link::new(parameters, seed, start);
        let mut arrived = Vec::new();
        for number in 0..2_000 {
            let now = start + ms(number);
            drain(&mut link, start, now, &mut arrived);
            link.push(now, 500, number);
            if number % 500 == 499 {
                let next = LinkParameters { reorder: Reorder::default(), ..any(&mut Random::new(seed + number)) };
                link.set_parameters(now, next);
            }
        }
        drain(&mut link, start, start + Duration::from_secs(3_600), &mut arrived);
        assert!(arrived.is_sorted_by_key(|&(_, number)| number), "seed {seed}");
        assert!(arrived.is_sorted_by_key(|&(at, _)| at), "seed {seed}");
    }
}

#[test]
fn reordering_holds_back_as_many_as_asked() {
    let start = Instant::now();
    let reorder = Reorder { share: 0.05, held_back: ms(20) };
    let mut link = Link::new(LinkParameters { reorder, delay: ms(10), ..LinkParameters::default() }, 7, start);
    let arrived = run(&mut link, start, 10_000, ms(5), 100);
    assert_eq!(arrived.len(), 10_000);
    let late = arrived.iter().filter(|(at, number)| *at == ms(number * 5 + 30)).count();
    let on_time = arrived.iter().filter(|(at, number)| *at == ms(number * 5 + 10)).count();
    assert_eq!(late + on_time, 10_000);
    assert!((400..=600).contains(&late), "{late}");
    assert!(!arrived.is_sorted_by_key(|&(_, number)| number));
}

#[test]
fn loss_is_as_often_as_asked() {
    for p in [0.01, 0.1, 0.5] {
        let start = Instant::now();
        let mut link = Link::new(LinkParameters { loss: Loss::Random(p), ..LinkParameters::default() }, 3, start);
        let n = 20_000;
        run(&mut link, start, n, ms(1), 100);
        // Four standard deviations.
        let tolerance = 4.0 * (n as f64 * p * (1.0 - p)).sqrt();
        assert!((link.stats().lost as f64 - n as f64 * p).abs() < tolerance, "{p}: {}", link.stats().lost);
    }
}

#[test]
fn bursts_are_as_long_and_as_frequent_as_the_chain_says() {
    let start = Instant::now();
    let loss = Loss::Bursts { p_good_to_bad: 0.01, p_bad_to_good: 0.2, loss_bad: 1.0 };
    let mut link = Link::new(LinkParameters { loss, ..LinkParameters::default() }, 3, start);
    let n = 100_000;
    let arrived = run(&mut link, start, n, ms(1), 100);
    let bursts = arrived.windows(2).filter(|pair| pair[1].1 - pair[0].1 > 1).count();
    let lost = link.stats().lost;
    // The bad state lasts five packets, and 1 / 21 of the time.
    assert!((4.5..5.5).contains(&(lost as f64 / bursts as f64)), "{lost} in {bursts}");
    assert!((0.043..0.052).contains(&(lost as f64 / n as f64)), "{lost}");
}

#[test]
fn jitter_lies_around_the_delay() {
    let start = Instant::now();
    let parameters = LinkParameters { delay: ms(50), jitter: ms(10), ..LinkParameters::default() };
    let mut link = Link::new(parameters, 3, start);
    let arrived = run(&mut link, start, 1_000, ms(100), 100);
    let delays: Vec<_> = arrived.iter().map(|(at, number)| *at - ms(number * 100)).collect();
    assert!(delays.iter().all(|delay| (ms(40)..=ms(60)).contains(delay)));
    assert!(delays.iter().min().unwrap() < &ms(42) && delays.iter().max().unwrap() > &ms(58));
    let mean = delays.iter().sum::<Duration>() / 1_000;
    assert!((ms(49)..ms(51)).contains(&mean), "{mean:?}");
}

#[test]
fn some_arrive_twice_when_asked() {
    let start = Instant::now();
    let mut link = Link::new(LinkParameters { duplicate: 0.1, ..LinkParameters::default() }, 3, start);
    let arrived = run(&mut link, start, 10_000, ms(1), 100);
    let twice = arrived.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((900..1_100).contains(&twice), "{twice}");
    assert_eq!(link.stats().duplicated, twice as u64);
    assert_eq!(link.stats().passed, 10_000 + twice as u64);
}

#[test]
fn an_outage_loses_all_that_is_sent_in_it_and_nothing_else() {
    let start = Instant::now();
    let once = Outage::once(ms(100), ms(50));
    let again = Outage { start: ms(500), length: ms(10), every: Some(ms(200)) };
    let mut link = Link::new(LinkParameters { outages: vec![once, again], ..LinkParameters::default() }, 3, start);
    let arrived: Vec<_> = run(&mut link, start, 1_000, ms(1), 100).into_iter().map(|(_, number)| number).collect();
    let out = |number: &u64| {
        (100..150).contains(number) || [500, 700, 900].iter().any(|first| (*first..first + 10).contains(number))
    };
    assert_eq!(arrived, (0..1_000).filter(|number| !out(number)).collect::<Vec<_>>());
    assert_eq!(link.stats().lost_to_outages, 80);
}

#[test]
fn a_new_rate_holds_for_what_waits() {
    let start = Instant::now();
    let rate = |rate_bps| LinkParameters { rate_bps: Some(rate_bps), ..LinkParameters::default() };
    let mut link = Link::new(rate(80_000), 1, start);
    (0..4).for_each(|number| link.push(start, 1_000, number));
    let mut arrived = Vec::new();
    drain(&mut link, start, start + ms(150), &mut arrived);
    // Half of the second packet is left: 50 ms at twice the rate are 25.
    link.set_parameters(start + ms(150), rate(160_000));
    drain(&mut link, start, start + ms(1_000), &mut arrived);
    assert_eq!(arrived, [(ms(100), 0), (ms(175), 1), (ms(225), 2), (ms(275), 3)]);
}

#[test]
fn every_packet_is_accounted_for() {
    for seed in 0..100 {
        let start = Instant::now();
        let mut link = Link::new(any(&mut Random::new(seed)), seed, start);
        let arrived = run(&mut link, start, 2_000, Duration::from_micros(700), 800);
        let stats = link.stats();
        assert_eq!(stats.passed, arrived.len() as u64);
        let gone = stats.lost + stats.lost_to_queue + stats.lost_to_outages;
        assert_eq!(stats.offered + stats.duplicated, stats.passed + gone, "seed {seed}: {stats:?}");
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 0..20 {
        let once = |seed| {
            let start = Instant::now();
            let mut link = Link::new(any(&mut Random::new(5)), seed, start);
            let arrived = run(&mut link, start, 1_000, ms(1), 300);
            (arrived, link.stats().clone())
        };
        assert_eq!(once(seed), once(seed));
        assert_ne!(once(seed), once(seed + 1));
    }
}

#[test]
fn parameters_are_read_from_json() {
    let json = r#"{
        "rate_bps": 300000, "queue_bytes": 32000, "delay_ms": 150, "jitter_ms": 30.5,
        "loss": {"bursts": {"p_good_to_bad": 0.01, "p_bad_to_good": 0.3, "loss_bad": 0.8}},
        "reorder": {"share": 0.01, "held_back_ms": 5}, "duplicate": 0.001,
        "outages": [{"start_ms": 1000, "length_ms": 8000}, {"start_ms": 0, "length_ms": 10, "every_ms": 100}]
    }"#;
    let parameters: LinkParameters = serde_json::from_str(json).unwrap();
    assert_eq!(parameters.jitter, Duration::from_micros(30_500));
    assert_eq!(parameters.outages[0], Outage::once(ms(1_000), ms(8_000)));
    assert_eq!(parameters.validate(), Ok(()));
    let again = serde_json::from_str(&serde_json::to_string(&parameters).unwrap()).unwrap();
    assert_eq!(parameters, again);
    assert_eq!(serde_json::from_str::<LinkParameters>("{}").unwrap(), LinkParameters::default());
    assert_eq!(serde_json::from_str::<LinkParameters>(r#"{"loss": {"random": 0.1}}"#).unwrap().loss, Loss::Random(0.1));
    assert!(serde_json::from_str::<LinkParameters>(r#"{"delay_ms": -1}"#).is_err());
    assert!(serde_json::from_str::<LinkParameters>(r#"{"dely_ms": 1}"#).is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |json| serde_json::from_str::<LinkParameters>(json).unwrap().validate().is_err();
    assert!(refused(r#"{"loss": {"random": 1.5}}"#));
    assert!(refused(r#"{"rate_bps": 0}"#));
    assert!(refused(r#"{"duplicate": -0.1}"#));
    assert!(refused(r#"{"delay_ms": 1e9}"#));
    assert!(refused(r#"{"outages": [{"start_ms": 1e9, "length_ms": 1}]}"#));
}
