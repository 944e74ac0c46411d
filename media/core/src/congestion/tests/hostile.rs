//! Feedback that cannot be true.

use super::*;
use crate::wire::transport_cc::TransportCcRecorder;
use proptest::prelude::*;

/// A scenario that has run for a while, with all its feedback read.
fn running() -> Scenario {
    let mut scenario = Scenario::new(Shape::of(4e6), 1, 0, |_| 900_000);
    scenario.run(5.0);
    scenario
}

/// The body of a message that speaks of `count` packets from `base` on, all received at once at `reference`.
fn message(base: u16, count: u16, reference: u32, delta: i16) -> Vec<u8> {
    let mut body = [base, count].map(u16::to_be_bytes).concat();
    body.extend((reference << 8).to_be_bytes());
    let mut left = count;
    while left > 0 {
        let run = left.min(0x1fff);
        body.extend((2 << 13 | run).to_be_bytes());
        left -= run;
    }
    (0..count).for_each(|_| body.extend(delta.to_be_bytes()));
    body
}

/// Reads a message and says whether it was believed.
fn tell(scenario: &mut Scenario, body: &[u8]) -> bool {
    let now = scenario.now();
    Statuses::parse(body).is_ok_and(|statuses| scenario.bandwidth.handle_feedback(now, &statuses))
}

/// The reference time of the receiver's clock now.
fn reference(scenario: &Scenario) -> u32 {
    ((scenario.now_us + scenario.link.clock_us) / 64_000) as u32
}

#[test]
fn what_cannot_be_true_is_not_believed_and_moves_nothing() {
    let mut scenario = running();
    let (before, time) = (scenario.estimate(), reference(&scenario));
    let next = scenario.bandwidth.sent.next().get();
    let lies = [
        // Never sent: all of it, or the end.
        message(next, 10, time, 1),
        message(next.wrapping_sub(5), 6, time, 1),
        message(next.wrapping_add(30_000), 100, time, 1),
        // More than is remembered, and nothing at all.
        message(next.wrapping_sub(5_000), 5_000, time, 0),
        message(next.wrapping_sub(5), 0, time, 0),
        // Long ago, and long from now.
        message(next.wrapping_sub(10), 10, time - 1_000, 1),
        message(next.wrapping_sub(10), 10, time + 1_000, 1),
        message(next.wrapping_sub(10), 10, time ^ 0x80_0000, 1),
    ];
    for lie in &lies {
        assert!(!tell(&mut scenario, lie));
        assert_eq!(scenario.estimate(), before);
    }
    scenario.run(5.0);
    assert!(scenario.estimate() >= before);
}

#[test]
fn the_same_again_moves_nothing() {
    let mut scenario = running();
    let (before, time) = (scenario.estimate(), reference(&scenario));
    // All of these were reported long ago; now they come again, later and later.
    let old = scenario.bandwidth.sent.next().get().wrapping_sub(400);
    for repetition in 0..200 {
        tell(&mut scenario, &message(old, 100, time + repetition / 10, 4));
    }
    assert_eq!(scenario.estimate(), before);
}

#[test]
fn times_that_run_backwards_within_a_message_move_little() {
    let mut scenario = running();
    let before = scenario.estimate();
    for _ in 0..20 {
        scenario.run(0.05);
        let last = scenario.bandwidth.sent.next().get().wrapping_sub(3);
        let time = reference(&scenario);
        tell(&mut scenario, &message(last, 3, time, -30_000));
    }
    scenario.run(15.0);
    assert!(scenario.estimate() > before / 2);
}

#[test]
fn a_receiver_that_begins_anew_is_believed_in_time() {
    let mut scenario = running();
    let before = scenario.estimate();
    scenario.link.clock_us = 900_000_000_000;
    for _ in 0..5_000 {
        // The first ones are not believed.
        scenario.step_with(|bandwidth, now, statuses| {
            bandwidth.handle_feedback(now, statuses);
        });
    }
    assert!(scenario.estimate() > before / 2);
    scenario.run(1.0);
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        offset in 0..70_000u32,
        count in 0..2_000u16,
        reference in 0..1u32 << 24,
        delta: i16,
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut scenario = Scenario::new(Shape::of(4e6), 1, 3_000_000, GREEDY);
        scenario.run(0.5);
        let base = scenario.bandwidth.sent.next().get().wrapping_sub(offset as u16);
        for _ in 0..12 {
            tell(&mut scenario, &message(base, count, reference, delta));
            tell(&mut scenario, &noise);
        }
        let now = scenario.now();
        prop_assert!(scenario.bandwidth.estimate_bps(now).is_some());
        scenario.bandwidth.poll_probe(now);
        scenario.bandwidth.handle_silence(now);
    }
}

#[test]
fn who_never_sends_feedback_is_unknown_and_remb_stands_in() {
    let mut bandwidth = Bandwidth::default();
    let epoch = start();
    assert_eq!(bandwidth.estimate_bps(epoch), None);
    assert!(!bandwidth.take_change(epoch));
    bandwidth.enable(epoch);
    assert_eq!(bandwidth.estimate_bps(epoch), Some(START_BPS));
    assert!(bandwidth.take_change(epoch) && !bandwidth.take_change(epoch));
    (0..100).for_each(|_| bandwidth.sent.record(0, 1_000));
    let later = epoch + Duration::from_secs(4);
    assert_eq!(bandwidth.estimate_bps(later), None);
    bandwidth.handle_remb(later, 700_000);
    assert_eq!(bandwidth.estimate_bps(later), Some(700_000));
    assert!(bandwidth.take_change(later));
    bandwidth.handle_remb(later, 710_000);
    assert!(!bandwidth.take_change(later), "a little more is nothing new");
    bandwidth.handle_remb(later, u64::MAX);
    assert_eq!(bandwidth.estimate_bps(later), Some(100_000_000));
    bandwidth.handle_report(128);
    assert_eq!(bandwidth.downlink_loss(), Some(0.5));
    // One message, and it is known.
    let mut recorder = TransportCcRecorder::new();
    recorder.record(Duration::from_secs(9), bandwidth.sent.next());
    bandwidth.sent.record(4_000_000, 1_000);
    let mut out = Vec::new();
    recorder.build(crate::ids::Ssrc::new(1), crate::ids::Ssrc::new(2), &mut out);
    let statuses = Statuses::parse(&out[FEEDBACK_PREFIX_LEN..]).unwrap();
    assert!(bandwidth.handle_feedback(later + Duration::from_millis(30), &statuses));
    assert_eq!(bandwidth.estimate_bps(later), Some(START_BPS));
    // From then on what the receiver believes is a bound, while it says so.
    bandwidth.handle_remb(later, 90_000);
    assert_eq!(bandwidth.estimate_bps(later + REMB_HOLDS / 2), Some(90_000));
    assert_eq!(bandwidth.estimate_bps(later + REMB_HOLDS), Some(START_BPS));
    bandwidth.limit(Some(20_000));
    assert_eq!(bandwidth.estimate_bps(later), Some(20_000));
    bandwidth.limit(None);
    assert_eq!(bandwidth.response_time(), Some(Duration::from_millis(30)));
}
