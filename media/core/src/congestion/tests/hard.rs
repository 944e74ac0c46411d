//! Paths and sources of the harder kind: what must hold there is less, and must not collapse.

use super::*;

/// What an allocator does that knows three layers: 150 kbit/s, 500 kbit/s and 1.7 Mbit/s.
const LAYERED: Source = |estimate| match estimate {
    ..500_000 => 150_000,
    500_000..1_700_000 => 500_000,
    _ => 1_700_000,
};

/// Runs for a minute with keyframes of so many times a frame; checks the share of the path that was used after ten seconds
/// and the 95th percentile of the queueing delay in ms.
fn check(shape: Shape, keyframe: f64, used_min: f64, delay_ms_max: f64) {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(shape, seed, 5_000_000, GREEDY);
        scenario.keyframe = keyframe;
        scenario.run(60.0);
        let (used, delay_ms) = (scenario.delivered_bps(10.0) / shape.bps, scenario.delay_p95_ms(10.0));
        assert!(used > used_min && delay_ms < delay_ms_max, "{seed}: {used} {delay_ms} {:?}", scenario.shown());
    });
}

#[test]
fn large_keyframes_do_not_lower_the_estimate() {
    // The delay is that of the keyframes themselves: 270 ms at this rate.
    check(Shape::of(1e6), 8.0, 0.85, 280.0);
}

#[test]
fn audio_does_not_wait_behind_keyframes() {
    let sources: [(f64, Source); 3] = [(8e5, LAYERED), (2.2e6, LAYERED), (1e6, |estimate| estimate * 8 / 10)];
    for (bps, source) in sources {
        for_each_seed(|seed| {
            let [paced, whole] = [Some(Pacer::default()), None].map(|pacer| {
                let mut scenario = Scenario::new(Shape::of(bps), seed, 5_000_000, source);
                (scenario.keyframe, scenario.pacer) = (12.0, pacer);
                scenario.run(60.0);
                scenario.audio_delay_p99_ms(10.0)
            });
            assert!(paced < 120.0 && paced < 0.5 * whole, "{bps} {seed}: {paced} {whole}");
        });
    }
}

#[test]
fn a_long_path_is_used() {
    check(Shape { delay_us: 150_000, ..Shape::of(1e6) }, 1.0, 0.85, 100.0);
}

#[test]
fn lost_feedback_is_not_taken_for_lost_packets() {
    check(Shape { feedback_loss: 0.1, ..Shape::of(1e6) }, 1.0, 0.85, 100.0);
}

#[test]
fn a_radio_link_that_stalls_stays_in_use() {
    check(Shape { stall_us: 150_000, ..Shape::of(3e6) }, 1.0, 0.7, 250.0);
}

#[test]
fn narrow_and_wide_paths_are_used() {
    check(Shape::of(3e5), 1.0, 0.85, 120.0);
    check(Shape::of(1e7), 1.0, 0.8, 100.0);
}

#[test]
fn losses_both_ways_and_jitter_leave_most_of_the_path_in_use() {
    check(Shape { loss: 0.1, feedback_loss: 0.1, ..Shape::of(1e6) }, 4.0, 0.7, 150.0);
    check(Shape { jitter_us: 30_000, loss: 0.02, delay_us: 150_000, ..Shape::of(1e6) }, 4.0, 0.7, 150.0);
}

#[test]
fn a_layer_that_fits_is_kept_and_one_that_does_not_is_not_tried() {
    for (bps, layer) in [(3e5, 150_000), (8e5, 500_000), (1.2e6, 500_000), (3e6, 1_700_000)] {
        for_each_seed(|seed| {
            let mut scenario = Scenario::new(Shape::of(bps), seed, 2_000_000, LAYERED);
            scenario.keyframe = 6.0;
            scenario.run(60.0);
            let layers: Vec<u64> = scenario.curve[100..].iter().map(|estimate| LAYERED(*estimate)).collect();
            assert!(layers.iter().all(|chosen| *chosen == layer), "{bps} {seed} {:?}", scenario.shown());
        });
    }
}

#[test]
fn jitter_and_losses_of_audio_alone_do_not_lower_the_estimate() {
    for jitter_us in [0, 30_000, 60_000] {
        for_each_seed(|seed| {
            let mut scenario = Scenario::new(Shape { jitter_us, loss: 0.02, ..Shape::of(3e5) }, seed, 0, |_| 0);
            scenario.run(60.0);
            assert!(scenario.estimate() >= START_BPS / 2, "{jitter_us} {seed} {:?}", scenario.shown());
        });
    }
}
