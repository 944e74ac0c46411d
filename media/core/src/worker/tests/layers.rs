//! What of a track a subscriber gets whose path carries less than all, and what the layers of one stream leave as.

use super::*;
use crate::codec::vp9 as vp9_codec;
use crate::control::Event;
use crate::params::{Codec, CodecParameters, Content, ExtensionId, HeaderExtension, ReceiveSection};

const RIDS: [&str; 3] = ["q", "h", "f"];

/// A publisher (0) with three encodings of 60, 120 and 220 kbit/s, and a subscriber (1).
fn layered(content: Content) -> Scene {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    let section = ReceiveSection { content, ..video(1, &RIDS) };
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![section] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(VP8, false)]));
    scene
}

/// Sends all encodings for a while, keyframes twice a second. Returns which of them reached the subscriber, by frame.
fn run(scene: &mut Scene, frames: std::ops::Range<u64>) -> String {
    let mut all = Vec::new();
    for n in frames {
        for (rid, len) in RIDS.into_iter().zip([300, 600, 1_100]) {
            let base = u32::from(rid.as_bytes()[0]);
            let mut payload = vp8(n as u16, n as u8, n % 15 == 0, 0);
            payload.resize(len, rid.as_bytes()[0]);
            let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v"), (RID_ID, rid.as_bytes())];
            let (seq, time) = (u64::from(base) * 100 + n, base * 1_000_000 + n as u32 * FRAME_TICKS);
            scene.send(0, &Rtp { payload_type: VP8, ssrc: base, seq, time, extensions, payload: &payload });
        }
        scene.pass(FRAME);
        all.extend(scene.take(1));
    }
    rtp(&all).iter().map(|packet| char::from(*packet.payload().last().unwrap())).collect()
}

fn remb(scene: &mut Scene, kbps: u32) {
    let mut packet = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    packet.extend(b"REMB");
    // One SSRC; 2^10 times the mantissa (draft-alvestrand-rmcat-remb-03 section 2.2).
    let mantissa = kbps * 1_000 / 1_024;
    packet.extend([1, 10 << 2 | (mantissa >> 16) as u8, (mantissa >> 8) as u8, mantissa as u8]);
    packet.extend(OUT.to_be_bytes());
    scene.send_rtcp(1, &packet);
}

fn stalls(scene: &mut Scene) -> Vec<bool> {
    let stalled = |event| match event {
        Event::SubscriptionStalled { stalled, .. } => Some(stalled),
        _ => None,
    };
    scene.events().into_iter().filter_map(stalled).collect()
}

#[test]
fn the_layer_follows_the_path_down_and_up_again() {
    let mut scene = layered(Content::Motion);
    assert!(run(&mut scene, 0..60).ends_with(&"f".repeat(30)), "nothing is known of the path: everything is sent");
    remb(&mut scene, 200);
    assert!(run(&mut scene, 60..120).ends_with(&"h".repeat(30)));
    remb(&mut scene, 90);
    assert!(run(&mut scene, 120..180).ends_with(&"q".repeat(30)));
    assert!(stalls(&mut scene).is_empty());
    remb(&mut scene, 5_000);
    assert!(run(&mut scene, 180..240).ends_with(&"f".repeat(30)));
}

#[test]
fn a_path_too_narrow_for_the_least_stalls_the_video_and_says_so() {
    let mut scene = layered(Content::Motion);
    run(&mut scene, 0..60);
    remb(&mut scene, 40);
    scene.pass(FRAME * 3);
    assert!(run(&mut scene, 60..90).is_empty());
    assert_eq!(stalls(&mut scene), [true]);
    remb(&mut scene, 2_000);
    assert!(run(&mut scene, 90..150).ends_with(&"f".repeat(30)));
    assert_eq!(stalls(&mut scene), [false]);
}

#[test]
fn a_priority_of_the_client_decides_who_yields() {
    let mut scene = layered(Content::Motion);
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(2), sections: vec![video(2, &[])] });
    subscribe(&mut scene, 2, 2, 1, send_parameters(OUT + 1, None, &[(VP8, false)]));
    let set = |scene: &mut Scene, subscription, priority| {
        let subscription = SubscriptionId::new(subscription);
        scene.command(Command::SetSubscription { subscription, paused: false, limit: LayerLimit::ALL, priority });
    };
    let both = |scene: &mut Scene, frames: std::ops::Range<u64>| {
        let mut got = String::new();
        for n in frames {
            let payload = [vp8(n as u16, n as u8, n % 15 == 0, 0), vec![b'o'; 800]].concat();
            let (seq, time) = (n + 1, n as u32 * FRAME_TICKS);
            let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
            scene.send(2, &Rtp { payload_type: VP8, ssrc: 0x7777, seq, time, extensions, payload: &payload });
            got += &run(scene, n..n + 1);
        }
        got
    };
    both(&mut scene, 0..60);
    remb(&mut scene, 210);
    set(&mut scene, 2, 1);
    let got = both(&mut scene, 60..120);
    assert!(got.ends_with('o') && !got[got.len() - 20..].contains(['q', 'h', 'f']), "{got}");
    set(&mut scene, 2, 2);
    set(&mut scene, 1, 1);
    let got = both(&mut scene, 120..180);
    assert!(got.ends_with('h') && !got[got.len() - 20..].contains('o'), "{got}");
}

const VP9: u8 = 98;

/// A packet of VP9 with two sizes of the picture: one packet each, the smaller first.
fn vp9(scene: &mut Scene, n: u64, spatial: u8, keyframe: bool) {
    let id = (n as u16 | 0x8000).to_be_bytes();
    // I, L, F (flexible), B, E; P unless a keyframe; one reference, to the picture before.
    let first = 0x80 | 0x20 | 0x10 | 0x08 | 0x04 | if keyframe { 0 } else { 0x40 };
    let mut payload = vec![first, id[0], id[1], spatial << 1 | u8::from(spatial > 0)];
    payload.extend((!keyframe).then_some(1 << 1));
    payload.resize(200, spatial);
    let (seq, time) = (1_000 + 2 * n + u64::from(spatial), n as u32 * FRAME_TICKS);
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
    scene.send(0, &Rtp { payload_type: VP9, ssrc: 0x9999, seq, time, extensions, payload: &payload });
}

/// One sends VP9, another receives it.
fn vp9_scene() -> Scene {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    let mut section = video(1, &[]);
    section.codecs = vec![CodecParameters { payload_type: pt(VP9), codec: Codec::Vp9, ..section.codecs[0].clone() }];
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![section] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, Some(OUT_RTX), &[(VP9, false)]));
    scene
}

#[test]
fn a_size_left_out_of_a_stream_leaves_no_gap_and_the_picture_ends_where_it_now_ends() {
    let mut scene = vp9_scene();
    let mut all = Vec::new();
    for n in 0..90 {
        for spatial in 0..2 {
            vp9(&mut scene, n, spatial, n == 0 || n == 75);
        }
        let limit = |spatial| Command::SetSubscription {
            subscription: SubscriptionId::new(1),
            paused: false,
            limit: LayerLimit { spatial, temporal: u8::MAX },
            priority: 0,
        };
        match n {
            29 => scene.command(limit(0)),
            59 => scene.command(limit(1)),
            _ => {}
        }
        scene.pass(FRAME);
        all.extend(scene.take(1));
        if n == 60 {
            assert!(count_rtcp(&scene.take(0), is_pli) <= 1);
        }
    }
    let packets = rtp(&all);
    let seen: Vec<(u16, u8, bool)> = packets
        .iter()
        .map(|packet| {
            let descriptor = vp9_codec::parse(packet.payload()).unwrap();
            (descriptor.picture_id.unwrap().0, descriptor.sid.unwrap(), packet.marker())
        })
        .collect();
    for pair in packets.windows(2) {
        assert_eq!(pair[1].seq().get(), pair[0].seq().get().wrapping_add(1));
    }
    let want: Vec<(u16, u8, bool)> = (0..90)
        .flat_map(|n| match n {
            30..75 => vec![(n, 0, true)],
            _ => vec![(n, 0, false), (n, 1, false)],
        })
        .collect();
    let sizes = |seen: &[(u16, u8, bool)]| seen.iter().map(|(n, spatial, _)| (*n, *spatial)).collect::<Vec<_>>();
    assert_eq!(sizes(&seen), sizes(&want), "pictures keep their numbers: they refer to one another by distance");
    // Before the limit the markers are the publisher's, which sets none here.
    let ends = |n: u16, spatial: u8| n >= 30 && (spatial == 1 || n < 75);
    assert!(seen.iter().all(|(n, spatial, marker)| *marker == ends(*n, *spatial)), "{seen:?}");
}

#[test]
fn who_chose_a_smaller_picture_gets_the_larger_one_again_as_soon_as_it_is_wanted() {
    let mut scene = vp9_scene();
    remb(&mut scene, 5_000);
    // Large for a second, small for half a second: nobody who rises and falls so often of a path is let rise again soon.
    let (mut keyframe, mut wanted_since, mut waits) = (true, None, Vec::new());
    for n in 0..400 {
        if n >= 120 && (n % 36 == 0 || n % 36 == 24) {
            let (subscription, spatial) = (SubscriptionId::new(1), u8::from(n % 36 == 0));
            let limit = LayerLimit { spatial, temporal: u8::MAX };
            scene.command(Command::SetSubscription { subscription, paused: false, limit, priority: 0 });
            wanted_since = (spatial > 0).then_some(n);
        }
        (0..2).for_each(|spatial| vp9(&mut scene, n, spatial, keyframe));
        scene.pass(FRAME);
        let [asked, got] = &scene.take_each(|| false)[..] else { unreachable!() };
        keyframe = count_rtcp(asked, |rtcp| matches!(rtcp, RtcpPacket::Pli(_))) > 0;
        let is_large = rtp(got).iter().any(|packet| vp9_codec::parse(packet.payload()).unwrap().sid == Some(1));
        waits.extend(wanted_since.take_if(|_| is_large).map(|since| n - since));
    }
    assert_eq!(
        waits, [1; 8],
        "frames from the wish to the larger picture: the keyframe is the one after it is asked for"
    );
}

const DEPENDENCY_ID: u8 = 13;
/// Of a keyframe: two templates, T0 and T1, with their indications for two decode targets.
const STRUCTURE: [u8; 7] = [0xc0, 0, 0, 0x80, 0x01, 0x7a, 0x10];

/// 25 pictures per second, every other one in the higher layer, of which nothing, then 13, then 25 are wanted per second, for two
/// seconds each. `picture` gives the payload and the dependency descriptor of a picture in a layer. Returns how many came in each
/// second.
fn at_wanted_rates(picture: impl Fn(u64, bool) -> (Vec<u8>, Option<Vec<u8>>)) -> Vec<usize> {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    let mut section = video(1, &[]);
    section.extensions.push(ExtensionId { id: DEPENDENCY_ID, extension: HeaderExtension::DependencyDescriptor });
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![section] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, Some(OUT_RTX), &[(VP8, false)]));
    let mut per_second = Vec::new();
    for second in 0..6u64 {
        let frames_per_second = [0, 0, 13, 13, 25, 25][second as usize];
        let subscription = SubscriptionId::new(1);
        scene.command(Command::SetFrameRate { subscription, frames_per_second });
        let mut got = Vec::new();
        for n in second * 25..second * 25 + 25 {
            let (payload, dependency) = picture(n, n % 2 == 1);
            let mut extensions: Vec<(u8, &[u8])> = vec![(MID_ID, b"v")];
            extensions.extend(dependency.as_deref().map(|value| (DEPENDENCY_ID, value)));
            let (seq, time) = (1_000 + n, n as u32 * FRAME_TICKS);
            let extensions = extensions.as_slice();
            scene.send(0, &Rtp { payload_type: VP8, ssrc: MEDIA, seq, time, extensions, payload: &payload });
            scene.pass(FRAME);
            got.extend(scene.take(1));
        }
        let packets = rtp(&got);
        assert!(packets.windows(2).all(|pair| pair[1].seq().get() == pair[0].seq().get().wrapping_add(1)));
        per_second.push(packets.len());
    }
    per_second
}

#[test]
fn a_wanted_frame_rate_leaves_out_the_temporal_layers_above_it() {
    let in_the_payload = |n: u64, upper: bool| {
        let mut payload = vp8(n as u16, (n / 2) as u8, n == 0, 0);
        payload[5] = if upper { 0x60 } else { 0x20 };
        (payload, None)
    };
    // As Chromium sends it where both sides know the extension: nothing beside the start of the picture in the payload.
    let in_the_extension = |n: u64, upper: bool| {
        let payload = vp8(n as u16, 0, n == 0, 0);
        let number = (n as u16).to_be_bytes();
        let mut dependency = vec![0xc0 | u8::from(upper), number[0], number[1]];
        if n == 0 {
            dependency = STRUCTURE.to_vec();
        }
        ([&[0x10], &payload[6..]].concat(), Some(dependency))
    };
    for per_second in [at_wanted_rates(in_the_payload), at_wanted_rates(in_the_extension)] {
        assert_eq!(per_second[1], 25);
        assert!((12..=13).contains(&per_second[3]), "{per_second:?}");
        assert_eq!(per_second[5], 25);
    }
}

#[test]
fn a_subscription_that_moves_to_another_codec_stays_one_stream() {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    let (vp9_section, vp8_section) = (video(1, &[]), video(2, &[]));
    let codec = |payload_type, codec| CodecParameters {
        payload_type: pt(payload_type),
        codec,
        ..video(1, &[]).codecs[0].clone()
    };
    let sections = vec![
        ReceiveSection { codecs: vec![codec(VP9, Codec::Vp9)], ..vp9_section },
        ReceiveSection { codecs: vec![codec(VP8, Codec::Vp8)], mid: mid("b"), ..vp8_section },
    ];
    scene.command(Command::SetReceive { peer: scene.peer(0), sections });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, Some(OUT_RTX), &[(VP9, false)]));
    let mut all = Vec::new();
    for n in 0..40u64 {
        if n == 20 {
            let (subscription, track) = (SubscriptionId::new(1), TrackId::new(2));
            let send = send_parameters(OUT, Some(OUT_RTX), &[(VP8, false)]);
            scene.command(Command::MoveSubscription { subscription, track, send });
        }
        (0..2).for_each(|spatial| vp9(&mut scene, n, spatial, n == 0));
        let payload = vp8(500 + n as u16, n as u8, n % 11 == 3, 0);
        let (seq, time) = (30_000 + n, 77_000 + n as u32 * FRAME_TICKS);
        let extensions: &[(u8, &[u8])] = &[(MID_ID, b"b")];
        scene.send(0, &Rtp { payload_type: VP8, ssrc: 0x8888, seq, time, extensions, payload: &payload });
        scene.pass(FRAME);
        all.extend(scene.take(1));
    }
    let packets = rtp(&all);
    let types: Vec<u8> = packets.iter().map(|packet| packet.payload_type().get()).collect();
    // From picture 25 on: the first keyframe after the move.
    assert_eq!(types, [vec![VP9 + 1; 40], vec![VP8 + 1; 15]].concat());
    for pair in packets.windows(2) {
        assert_eq!(pair[1].ssrc(), Ssrc::new(OUT));
        assert_eq!(pair[1].seq().get(), pair[0].seq().get().wrapping_add(1));
        assert!(pair[1].timestamp().since(pair[0].timestamp()) >= 0);
    }
    // What left before the move cannot be sent again; what left after can.
    let resent = |scene: &mut Scene, seq: SeqNo| {
        let nack = rtcp_packet(|rtcp| {
            rtcp.nack(Ssrc::new(1), Ssrc::new(OUT), &[seq]);
        });
        scene.send_rtcp(1, &nack);
        rtp(&scene.take(1)).len()
    };
    assert_eq!(resent(&mut scene, packets[39].seq()), 0);
    assert_eq!(resent(&mut scene, packets[41].seq()), 1);
    scene.command(Command::Unsubscribe { subscription: SubscriptionId::new(1) });
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: Vec::new() });
    assert_eq!(scene.worker.stats().subscriptions, 0);
}
