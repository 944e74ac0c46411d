//! What leaves towards a path that was seen to be full, and what does not.

use super::audio::{red, sound};
use super::congestion::{AUDIO, AUDIO_OUT, NUMBER_ID, nack, narrow, numbered, numbered_scene, send_large};
use super::*;
use crate::params::{ExtensionId, HeaderExtension, SendParameters};
use crate::worker::Worker;
use crate::worker::keys::PeerKey;

fn allocate(scene: &mut Scene, key: PeerKey) {
    let Scene { worker, out, now, .. } = scene;
    worker.allocate(*now, key, out);
}

/// For a moment it has room again.
fn revive(scene: &mut Scene) {
    let subscription = subscription(&mut scene.worker);
    subscription.allowed = Some(LayerLimit::ALL);
    (subscription.current, subscription.target) = (Some(0), Some(0));
}

fn subscription(worker: &mut Worker) -> &mut crate::egress::subscription::Subscription {
    let Worker { subscriptions, subscriptions_by_id, .. } = worker;
    &mut subscriptions[subscriptions_by_id[&SubscriptionId::new(1)]]
}

/// As `numbered_scene`, with redundant audio.
fn redundant_scene() -> Scene {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![video(1, &[]), audio(2)] });
    subscribe(&mut scene, 1, 1, 1, numbered(OUT, Some(OUT_RTX), VP8));
    let mut send: Box<SendParameters> = send_parameters(AUDIO_OUT, None, &[(RED, false), (OPUS, false)]);
    send.extensions.push(ExtensionId { id: NUMBER_ID, extension: HeaderExtension::TransportCc });
    subscribe(&mut scene, 2, 2, 1, send);
    scene
}

/// The number, payload type and payload under which packet `n` of redundant audio leaves.
fn speak(scene: &mut Scene, n: u64) -> (SeqNo, u8, Vec<u8>) {
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a"), (LEVEL_ID, &[0x80 | 20])];
    let (seq, time) = (500 + n, n as u32 * 960);
    scene.send(0, &Rtp { payload_type: RED, ssrc: AUDIO, seq, time, extensions, payload: &red(n) });
    let got = scene.take(1);
    let packets = rtp(&got);
    let packet = packets.iter().find(|packet| packet.ssrc() == Ssrc::new(AUDIO_OUT)).unwrap();
    (packet.seq(), packet.payload_type().get(), packet.payload().to_vec())
}

/// How many datagrams leave when a packet of the audio is asked for.
fn again(scene: &mut Scene, seq: SeqNo) -> usize {
    scene.take(1);
    nack(scene, AUDIO_OUT, seq);
    let count = scene.out.trains().map(|train| train.datagrams().count()).sum();
    scene.out.clear();
    count
}

#[test]
fn redundancy_is_left_out_while_a_path_is_full_and_loses_nothing() {
    let mut scene = redundant_scene();
    let before = speak(&mut scene, 0);
    assert_eq!((before.1, &before.2), (RED + 1, &red(0)));
    let key = narrow(&mut scene);
    speak(&mut scene, 1);
    send_large(&mut scene, 99, false, 4);
    allocate(&mut scene, key);
    let (seq, payload_type, payload) = speak(&mut scene, 2);
    assert_eq!((payload_type, &payload), (OPUS + 1, &sound(2)));
    assert_eq!(seq.get(), before.0.get().wrapping_add(2));
    // Under its number the receiver has, or would have, another packet; what left in the new form may leave again.
    assert_eq!((again(&mut scene, before.0), again(&mut scene, seq)), (0, 1));
    // Nothing else wants the room any more.
    let subscription = SubscriptionId::new(1);
    scene.command(Command::SetSubscription { subscription, paused: true, limit: LayerLimit::ALL, priority: 0 });
    allocate(&mut scene, key);
    assert_eq!(speak(&mut scene, 3).1, RED + 1);
}

#[test]
fn audio_takes_its_part_of_the_pace() {
    let released_after = |packets: u64| {
        let mut scene = numbered_scene();
        let key = narrow(&mut scene);
        for n in 0..packets {
            super::congestion::send_audio(&mut scene, n);
        }
        send_large(&mut scene, 100, false, 20);
        let begun = scene.now;
        while scene.worker.peers[key].pacer.must_wait(scene.now) {
            scene.pass(Duration::from_millis(1));
            scene.take(1);
        }
        scene.now - begun
    };
    assert!(released_after(50) > released_after(0) + Duration::from_millis(50));
}

#[test]
fn no_keyframe_is_asked_for_while_one_waits_to_leave() {
    let pli = rtcp_packet(|rtcp| {
        rtcp.pli(Ssrc::new(1), Ssrc::new(OUT));
    });
    for (keyframe, requests) in [(true, 0), (false, 1)] {
        let mut scene = numbered_scene();
        narrow(&mut scene);
        // Whatever was asked for before.
        send_large(&mut scene, 99, true, 1);
        scene.pass(KEYFRAME_REQUEST_INTERVAL);
        revive(&mut scene);
        send_large(&mut scene, 100, keyframe, 40);
        scene.take(0);
        scene.send_rtcp(1, &pli);
        assert_eq!(count_rtcp(&scene.take(0), is_pli), requests, "{keyframe}");
    }
}

#[test]
fn what_waits_of_a_video_that_is_stalled_does_not_leave() {
    let mut scene = numbered_scene();
    let key = narrow(&mut scene);
    send_large(&mut scene, 100, false, 40);
    scene.take(1);
    assert!(scene.worker.peers[key].pacer.must_wait(scene.now));
    allocate(&mut scene, key);
    assert_eq!(subscription(&mut scene.worker).allowed, None, "the path is too narrow for it");
    scene.pass(Duration::from_secs(2));
    let got = scene.take(1);
    assert!(rtp(&got).iter().all(|packet| packet.payload().is_empty()), "probes apart");
}
