//! Publishers are told which layers somebody receives.

use super::*;
use crate::room::limits::LOWER_DEMAND_AFTER;
use livekit_protocol::{LeaveRequest, UpdateSubscription, UpdateTrackSettings};

/// The qualities that the publisher was told to send, message by message.
fn told(stage: &Stage, publisher: SessionId) -> Vec<Vec<bool>> {
    let update = |message: &Message| match message {
        Message::SubscribedQualityUpdate(update) => {
            let qualities = &update.subscribed_codecs[0].qualities;
            Some(qualities.iter().map(|quality| quality.enabled).collect())
        }
        _ => None,
    };
    stage.inbox(publisher).iter().filter_map(update).collect()
}

fn wants(sid: &str, quality: VideoQuality, disabled: bool) -> Request {
    Request::TrackSetting(UpdateTrackSettings {
        track_sids: vec![sid.into()],
        quality: quality.into(),
        disabled,
        ..Default::default()
    })
}

fn subscribes(sid: &str, subscribe: bool) -> Request {
    Request::Subscription(UpdateSubscription { track_sids: vec![sid.into()], subscribe, ..Default::default() })
}

const ONLY_LOW: [bool; 3] = [true, false, false];

#[test]
fn layers_that_nobody_receives_are_stopped_after_a_while_and_started_at_once() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let cam = stage.publish_layers(alice, "cam");
    stage.request(bob, wants(&cam, VideoQuality::Low, false));
    stage.pass(LOWER_DEMAND_AFTER / 2);
    assert!(told(&stage, alice).is_empty());
    stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(told(&stage, alice), [ONLY_LOW]);
    let carol = stage.join_with(Join { adaptive_stream: true, ..join("carol") });
    assert_eq!(told(&stage, alice).len(), 1, "the smallest is sent already");
    stage.request(carol, wants(&cam, VideoQuality::High, false));
    assert_eq!(told(&stage, alice).last().unwrap(), &[true; 3]);
}

#[test]
fn a_track_that_nobody_receives_is_stopped_whole() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let cam = stage.publish_layers(alice, "cam");
    stage.request(bob, wants(&cam, VideoQuality::High, true));
    stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(told(&stage, alice), [[false; 3]]);
    stage.request(bob, wants(&cam, VideoQuality::High, false));
    assert_eq!(told(&stage, alice).last().unwrap(), &[true; 3]);
    stage.request(bob, subscribes(&cam, false));
    stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(told(&stage, alice).last().unwrap(), &[false; 3]);
    stage.request(bob, subscribes(&cam, true));
    stage.settle();
    assert_eq!(told(&stage, alice).last().unwrap(), &[true; 3]);
    stage.request(bob, Request::Leave(LeaveRequest::default()));
    stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(told(&stage, alice).last().unwrap(), &[false; 3]);
}

#[test]
fn a_track_begins_with_what_is_wanted_of_it() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join_with(Join { adaptive_stream: true, ..join("bob") });
    let cam = stage.publish_layers(alice, "cam");
    assert_eq!(told(&stage, alice), [ONLY_LOW]);
    stage.request(bob, wants(&cam, VideoQuality::High, false));
    assert_eq!(told(&stage, alice).last().unwrap(), &[true; 3]);
}

#[test]
fn a_track_that_nobody_ever_received_begins_with_its_lowest_layer_and_is_then_stopped() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    stage.publish_layers(alice, "cam");
    assert_eq!(told(&stage, alice), [ONLY_LOW]);
    stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(told(&stage, alice).last().unwrap(), &[false; 3]);
}

#[test]
fn who_changes_their_mind_in_time_disturbs_nobody() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let cam = stage.publish_layers(alice, "cam");
    for _ in 0..10 {
        stage.request(bob, wants(&cam, VideoQuality::Low, false));
        stage.pass(LOWER_DEMAND_AFTER / 2);
        stage.request(bob, wants(&cam, VideoQuality::High, false));
        stage.pass(LOWER_DEMAND_AFTER / 2);
    }
    stage.pass(LOWER_DEMAND_AFTER);
    assert!(told(&stage, alice).is_empty());
}

#[test]
fn a_publisher_that_resumes_hears_again_what_it_is_to_send() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let cam = stage.publish_layers(alice, "cam");
    stage.request(bob, wants(&cam, VideoQuality::Low, false));
    stage.pass(LOWER_DEMAND_AFTER);
    stage.connect(alice);
    let sid = stage.sid(alice);
    let again = stage.resume("alice", &sid);
    assert_eq!(told(&stage, again), [ONLY_LOW]);
}
