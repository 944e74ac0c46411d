//! Repair for subscribers of the plainer kind: no retransmission format, keyframes asked for with FIR.

use super::*;
use crate::wire::rtcp::FirEntry;

/// As in the others' scene, but without RTX.
fn plain_scene() -> Scene {
    let mut scene = Scene::new();
    let publisher = scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(publisher), sections: vec![video(1, &[])] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(VP8, false)]));
    scene
}

/// The datagrams that wait, as they are on the wire. They are lost.
fn lose(scene: &mut Scene) -> Vec<Vec<u8>> {
    let datagrams = scene.out.trains().flat_map(|train| train.datagrams().map(<[u8]>::to_vec).collect::<Vec<_>>());
    let lost = datagrams.collect();
    scene.out.clear();
    lost
}

fn nack(scene: &mut Scene, seq: SeqNo) {
    let nack = rtcp_packet(|rtcp| {
        rtcp.nack(Ssrc::new(1), Ssrc::new(OUT), &[seq]);
    });
    scene.send_rtcp(1, &nack);
}

fn fir(scene: &mut Scene, media: u32) {
    let fir = rtcp_packet(|rtcp| {
        rtcp.fir(Ssrc::new(1), &[FirEntry { ssrc: Ssrc::new(media), seq_nr: 1 }]);
    });
    scene.send_rtcp(1, &fir);
}

/// The same number under the same key means the same nonce: not one byte may differ.
#[test]
fn without_rtx_a_lost_packet_is_sent_again_byte_for_byte() {
    let mut scene = plain_scene();
    (0..3).for_each(|n| drop(send_video(&mut scene, n, n == 0)));
    let before = scene.take(1);
    send_video(&mut scene, 3, false);
    let lost = lose(&mut scene);
    assert_eq!(lost.len(), 1);
    send_video(&mut scene, 4, false);
    assert_eq!(rtp(&scene.take(1)).len(), 1);
    let seq = SeqNo::new(rtp(&before)[2].seq().get().wrapping_add(1));
    nack(&mut scene, seq);
    assert_eq!(lose(&mut scene), lost);
    scene.pass(Duration::from_millis(30));
    scene.out.clear();
    nack(&mut scene, seq);
    let again = scene.take(1);
    let packet = rtp(&again)[0];
    assert_eq!((packet.ssrc(), packet.payload_type(), packet.seq()), (Ssrc::new(OUT), pt(VP8 + 1), seq));
    assert_eq!(packet.payload(), vp8(3, 3, false, 3));
    assert_eq!(scene.worker.stats().rtp_retransmitted, 2);
}

#[test]
fn a_subscribers_fir_asks_the_publisher_for_a_keyframe_within_the_throttle() {
    let mut scene = plain_scene();
    send_video(&mut scene, 0, true);
    scene.pass(KEYFRAME_REQUEST_INTERVAL);
    scene.out.clear();
    (0..5).for_each(|_| fir(&mut scene, OUT));
    assert_eq!(count_rtcp(&scene.take(0), is_pli), 1);
    send_video(&mut scene, 1, true);
    scene.pass(KEYFRAME_REQUEST_INTERVAL * 3);
    scene.out.clear();
    // What is not sent to this subscriber is not its to ask for.
    fir(&mut scene, OUT_RTX);
    assert_eq!(count_rtcp(&scene.take(0), is_pli), 0);
}

#[test]
fn many_who_join_cost_a_publisher_whose_keyframes_take_long_one_each_time() {
    let mut scene = plain_scene();
    send_video(&mut scene, 0, true);
    scene.take(0);
    let pli = rtcp_packet(|rtcp| {
        rtcp.pli(Ssrc::new(1), Ssrc::new(OUT));
    });
    let mut asked = Vec::new();
    for round in 0..4 {
        scene.pass(Duration::from_secs(3));
        // A keyframe comes 1.2 s after it is asked for; somebody else wants one every 100 ms until then.
        for _ in 0..12 {
            scene.send_rtcp(1, &pli);
            scene.pass(Duration::from_millis(100));
        }
        asked.push(count_rtcp(&scene.take(0), is_pli));
        send_video(&mut scene, 1 + round, true);
    }
    assert_eq!(asked, [2, 1, 1, 1], "how long it takes is known from the first");
}

/// Picture `n` of temporal layer `layer`, in one packet.
fn send_layer_of_time(scene: &mut Scene, n: u64, layer: u8) {
    let mut payload = vp8(n as u16, n as u8, n == 0, n as u8);
    payload[5] = layer << 6 | 0x20;
    let (seq, time) = (1_000 + n, n as u32 * FRAME_TICKS);
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
    scene.send(0, &Rtp { payload_type: VP8, ssrc: MEDIA, seq, time, extensions, payload: &payload });
}

/// The lowest layer is wanted; a picture above it comes late. Returns what leaves for it, and the number of its place.
fn late_above_the_limit(scene: &mut Scene) -> (Vec<Vec<u8>>, SeqNo) {
    let (subscription, limit) = (SubscriptionId::new(1), LayerLimit { spatial: u8::MAX, temporal: 0 });
    scene.command(Command::SetSubscription { subscription, paused: false, limit, priority: 0 });
    for n in [0, 1, 3] {
        scene.take(1);
        send_layer_of_time(scene, n, 0);
    }
    let place = SeqNo::new(rtp(&scene.take(1))[0].seq().get().wrapping_sub(1));
    send_layer_of_time(scene, 2, 1);
    (lose(scene), place)
}

#[test]
fn without_rtx_the_place_of_a_late_packet_that_is_not_wanted_holds_one_packet_for_ever() {
    let mut scene = plain_scene();
    let (mut sent, place) = late_above_the_limit(&mut scene);
    for _ in 0..2 {
        scene.pass(Duration::from_millis(30));
        scene.out.clear();
        nack(&mut scene, place);
        sent.extend(lose(&mut scene));
    }
    assert!(!sent.is_empty() && sent.iter().all(|datagram| *datagram == sent[0]), "one index, one packet");
}

#[test]
fn with_rtx_the_place_of_a_late_packet_that_is_not_wanted_is_filled_with_padding() {
    let mut scene = video_scene();
    let (sent, place) = late_above_the_limit(&mut scene);
    assert_eq!(sent.len(), 1);
    let mut scene = video_scene();
    late_above_the_limit(&mut scene);
    send_layer_of_time(&mut scene, 4, 0);
    let next = scene.take(1);
    assert_eq!(rtp(&next)[0].seq().get(), place.get().wrapping_add(2), "no other number is spent");
}

#[test]
fn with_rtx_padding_in_a_place_that_is_asked_for_again_stays_padding() {
    let mut scene = video_scene();
    let (_, place) = late_above_the_limit(&mut scene);
    nack(&mut scene, place);
    let again = scene.take(1);
    let packet = rtp(&again)[0];
    assert_eq!(packet.ssrc(), Ssrc::new(OUT_RTX));
    assert_eq!(packet.payload(), place.get().to_be_bytes(), "the number that it repairs, and nothing more");
}

/// Picture `n` of temporal layer `layer` of the encoding `rid`, in one packet.
fn send_encoding(scene: &mut Scene, rid: &str, n: u64, layer: u8) {
    let mut payload = vp8(n as u16, n as u8, layer == 0, n as u8);
    payload[5] = layer << 6 | 0x20;
    let base = u32::from(rid.as_bytes()[0]);
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v"), (RID_ID, rid.as_bytes())];
    let (seq, time) = (1_000 + n, base * 1_000_000 + n as u32 * FRAME_TICKS);
    scene.send(0, &Rtp { payload_type: VP8, ssrc: base, seq, time, extensions, payload: &payload });
}

/// A subscriber to a camera of two sizes.
fn two_sizes(with_rtx: bool) -> Scene {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![video(1, &["q", "h"])] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, with_rtx.then_some(OUT_RTX), &[(VP8, with_rtx)]));
    scene
}

fn want(scene: &mut Scene, spatial: u8, temporal: u8) {
    let (subscription, limit) = (SubscriptionId::new(1), LayerLimit { spatial, temporal });
    scene.command(Command::SetSubscription { subscription, paused: false, limit, priority: 0 });
}

#[test]
fn what_left_of_a_source_before_another_took_over_leaves_again_as_it_was() {
    let mut scene = two_sizes(true);
    send_encoding(&mut scene, "q", 0, 0);
    send_encoding(&mut scene, "h", 0, 0);
    scene.take(1);
    send_encoding(&mut scene, "h", 1, 1);
    let got = scene.take(1);
    let (place, payload) = (rtp(&got)[0].seq(), rtp(&got)[0].payload().to_vec());
    want(&mut scene, 0, 0);
    send_encoding(&mut scene, "q", 2, 0);
    assert_eq!(rtp(&scene.take(1)).len(), 1, "it took over");
    scene.pass(Duration::from_millis(30));
    scene.out.clear();
    nack(&mut scene, place);
    let again = scene.take(1);
    assert_eq!(rtp(&again)[0].payload(), [&place.get().to_be_bytes(), payload.as_slice()].concat());
}

/// Of the larger size, picture 2 is missing, which is of temporal layer `layer`; then the smaller takes over, and the larger
/// again `returns` times. Returns the packets that left, and those that leave when the picture comes.
fn late_of_a_source_that_was_left(with_rtx: bool, (layer, temporal): (u8, u8), returns: u64) -> [Vec<Got>; 2] {
    let mut scene = two_sizes(with_rtx);
    let mut sent = Vec::new();
    send_encoding(&mut scene, "q", 0, 0);
    send_encoding(&mut scene, "h", 0, 0);
    scene.take(1);
    want(&mut scene, 1, temporal);
    for n in [1, 3] {
        send_encoding(&mut scene, "h", n, 0);
        sent.extend(scene.take(1));
    }
    for change in 0..=returns {
        let (rid, spatial) = if change % 2 == 0 { ("q", 0) } else { ("h", 1) };
        want(&mut scene, spatial, u8::MAX);
        send_encoding(&mut scene, rid, 4 + change, 0);
        sent.extend(scene.take(1));
    }
    send_encoding(&mut scene, "h", 2, layer);
    [sent, scene.take(1)]
}

#[test]
fn what_comes_of_a_source_after_another_took_over_leaves_in_the_place_that_was_kept_for_it() {
    for with_rtx in [true, false] {
        for returns in 0..3 {
            let [sent, late] = late_of_a_source_that_was_left(with_rtx, (1, u8::MAX), returns);
            let (sent, late) = (rtp(&sent), rtp(&late));
            let places: Vec<u16> =
                sent.iter().map(|packet| packet.seq().get().wrapping_sub(sent[0].seq().get())).collect();
            let taken = [vec![0, 2], (3..=3 + returns as u16).collect()].concat();
            assert_eq!(places, taken, "with RTX {with_rtx}, {returns} returns");
            let [late] = late[..] else { panic!("with RTX {with_rtx}, {returns} returns: {} packets", late.len()) };
            assert_eq!((late.ssrc(), late.seq().get()), (Ssrc::new(OUT), sent[0].seq().get().wrapping_add(1)));
            assert_eq!(late.timestamp().since(sent[0].timestamp()), FRAME_TICKS as i32);
            assert_eq!(late.payload().last(), Some(&2));
        }
    }
}

#[test]
fn what_was_not_wanted_of_a_source_that_was_left_fills_its_place_or_leaves_it_empty() {
    let [sent, late] = late_of_a_source_that_was_left(true, (1, 0), 0);
    let (sent, late) = (rtp(&sent), rtp(&late));
    assert_eq!((late[0].seq().get(), late[0].payload()), (sent[0].seq().get().wrapping_add(1), &[][..]));
    let [_, late] = late_of_a_source_that_was_left(false, (1, 0), 0);
    assert!(rtp(&late).is_empty(), "without RTX a number holds one packet for ever");
}

#[test]
fn what_comes_late_of_a_source_goes_to_nobody_who_never_had_it() {
    let mut scene = two_sizes(true);
    want(&mut scene, 0, u8::MAX);
    let forwarded = |scene: &mut Scene, rid, n| {
        send_encoding(scene, rid, n, 0);
        rtp(&scene.take(1)).len()
    };
    let sent =
        [("q", 0), ("h", 0), ("h", 2), ("q", 2), ("h", 1), ("q", 1)].map(|(rid, n)| forwarded(&mut scene, rid, n));
    assert_eq!(sent, [1, 0, 0, 1, 0, 1]);
    let drops = scene.worker.stats().drops.total();
    assert_eq!(drops, 0, "nobody looks at what is not its own");
}
