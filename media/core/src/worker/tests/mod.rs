//! What the worker as a whole promises. Virtual time, real packets, no sockets.

mod audio;
mod congestion;
mod distance;
mod files;
mod forwarding;
mod layers;
mod life;
mod narrow;
mod repair;
mod scene;

use crate::codec::vp8 as vp8_codec;
use crate::control::{Command, Event};
use crate::drops::DropReason;
use crate::ids::{SeqNo, Ssrc, SubscriptionId, TrackId};
use crate::limits::{AUDIO_LEVEL_WINDOW, KEYFRAME_REQUEST_INTERVAL};
use crate::params::LayerLimit;
use crate::wire::ntp::NtpTime;
use crate::wire::rtcp::{ReportBlock, RtcpPacket, RtcpWriter, compound};
use scene::*;
use std::time::Duration;

const FRAME: Duration = Duration::from_millis(40);
const FRAME_TICKS: u32 = 3_600;
const MEDIA: u32 = 0x1111;
const OUT: u32 = 0xaaaa;
const OUT_RTX: u32 = 0xbbbb;

/// A publisher (0) of a plain video track and a subscriber (1).
fn video_scene() -> Scene {
    let mut scene = Scene::new();
    let publisher = scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(publisher), sections: vec![video(1, &[])] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, Some(OUT_RTX), &[(VP8, false)]));
    scene
}

fn send_video(scene: &mut Scene, n: u64, keyframe: bool) -> Vec<u8> {
    let payload = vp8(n as u16, n as u8, keyframe, n as u8);
    scene.send(
        0,
        &Rtp {
            payload_type: VP8,
            ssrc: MEDIA,
            seq: 1_000 + n,
            time: n as u32 * FRAME_TICKS,
            extensions: &[(MID_ID, b"v"), (TWCC_ID, &(n as u16).to_be_bytes())],
            payload: &payload,
        },
    )
}

fn rtcp_packet(write: impl FnOnce(&mut RtcpWriter<'_>)) -> Vec<u8> {
    let mut packet = Vec::new();
    write(&mut RtcpWriter::new(&mut packet));
    packet
}

/// Applies `check` to all RTCP packets among what was taken and returns how many it accepts.
fn count_rtcp(got: &[Got], check: impl Fn(&RtcpPacket<'_>) -> bool) -> usize {
    let packets = got.iter().filter_map(|got| match got {
        Got::Rtcp(packet) => Some(packet),
        Got::Rtp(_) => None,
    });
    packets.flat_map(|packet| compound(packet)).filter(|packet| packet.as_ref().is_ok_and(&check)).count()
}

fn is_pli(packet: &RtcpPacket<'_>) -> bool {
    matches!(packet, RtcpPacket::Pli(pli) if pli.media == Ssrc::new(MEDIA))
}

#[test]
fn a_packet_arrives_under_the_subscribers_numbers_and_with_the_publishers_payload() {
    let mut scene = video_scene();
    for n in 0..3 {
        send_video(&mut scene, n, n == 0);
    }
    let got = scene.take(1);
    let packets = rtp(&got);
    assert_eq!(packets.len(), 3);
    for (n, packet) in packets.iter().enumerate() {
        assert_eq!(packet.ssrc(), Ssrc::new(OUT));
        assert_eq!(packet.payload_type(), pt(VP8 + 1));
        assert_eq!(packet.payload(), vp8(n as u16, n as u8, n == 0, n as u8));
        assert_eq!(packet.extensions().collect::<Vec<_>>(), [(9, &b"out"[..])]);
        assert_eq!(packet.seq().get(), packets[0].seq().get().wrapping_add(n as u16));
        assert_eq!(packet.timestamp().since(packets[0].timestamp()), n as i32 * FRAME_TICKS as i32);
    }
    assert!(scene.events().iter().any(|e| matches!(e, Event::TrackStarted { track } if *track == TrackId::new(1))));
}

#[test]
fn a_late_joiner_gets_a_keyframe() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    let late = scene.join();
    subscribe(&mut scene, 2, 1, late, send_parameters(0xcccc, None, &[(VP8, false)]));
    assert_eq!(count_rtcp(&scene.take(0), is_pli), 1);
    send_video(&mut scene, 1, false);
    assert!(rtp(&scene.take(late)).is_empty());
    send_video(&mut scene, 2, true);
    assert_eq!(rtp(&scene.take(late)).len(), 1);
}

#[test]
fn keyframe_requests_of_many_are_one_and_are_repeated_until_answered() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    let pli = rtcp_packet(|rtcp| {
        rtcp.pli(Ssrc::new(1), Ssrc::new(OUT));
    });
    (0..5).for_each(|_| scene.send_rtcp(1, &pli));
    assert_eq!(count_rtcp(&scene.take(0), is_pli), 1);
    scene.pass(KEYFRAME_REQUEST_INTERVAL);
    assert_eq!(count_rtcp(&scene.take(0), is_pli), 1);
    send_video(&mut scene, 1, true);
    scene.pass(KEYFRAME_REQUEST_INTERVAL * 3);
    assert_eq!(count_rtcp(&scene.take(0), is_pli), 0);
}

#[test]
fn a_lost_packet_is_sent_again_as_rtx() {
    let mut scene = video_scene();
    (0..5).for_each(|n| drop(send_video(&mut scene, n, n == 0)));
    let got = scene.take(1);
    let lost = rtp(&got)[3];
    let nack = rtcp_packet(|rtcp| {
        rtcp.nack(Ssrc::new(1), Ssrc::new(OUT), &[lost.seq()]);
    });
    scene.send_rtcp(1, &nack);
    let again = scene.take(1);
    let repair = rtp(&again)[0];
    assert_eq!((repair.ssrc(), repair.payload_type()), (Ssrc::new(OUT_RTX), pt(RTX + 10)));
    assert_eq!(repair.timestamp(), lost.timestamp());
    assert_eq!(repair.payload()[..2], lost.seq().get().to_be_bytes());
    assert_eq!(&repair.payload()[2..], lost.payload());
    assert_eq!(scene.worker.stats().rtp_retransmitted, 1);
}

#[test]
fn a_gap_upstream_is_asked_for_and_its_retransmission_is_forwarded_in_place() {
    let mut scene = video_scene();
    for n in [0, 1, 3] {
        send_video(&mut scene, n, n == 0);
    }
    scene.pass(Duration::from_millis(30));
    let asked = |packet: &RtcpPacket<'_>| {
        matches!(packet, RtcpPacket::Nack(nack) if nack.media == Ssrc::new(MEDIA)
            && nack.lost().collect::<Vec<_>>() == [SeqNo::new(1_002)])
    };
    assert_eq!(count_rtcp(&scene.take(0), asked), 1);
    let mut payload = 1_002_u16.to_be_bytes().to_vec();
    payload.extend(vp8(2, 2, false, 2));
    let time = 2 * FRAME_TICKS;
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
    let repair = Rtp { payload_type: RTX, ssrc: 0x2222, seq: 77, time, extensions, payload: &payload };
    scene.send(0, &repair);
    let got = scene.take(1);
    let packet = rtp(&got)[0];
    assert_eq!(packet.payload(), vp8(2, 2, false, 2));
    assert_eq!(packet.ssrc(), Ssrc::new(OUT));
    scene.pass(Duration::from_secs(1));
    assert_eq!(count_rtcp(&scene.take(0), |p| matches!(p, RtcpPacket::Nack(_))), 0);
}

#[test]
fn publishers_get_transport_wide_feedback_and_receiver_reports() {
    let mut scene = video_scene();
    (0..10).for_each(|n| drop(send_video(&mut scene, n, n == 0)));
    scene.pass(Duration::from_millis(60));
    assert_eq!(count_rtcp(&scene.take(0), |p| matches!(p, RtcpPacket::TransportCc(_))), 1);
    scene.pass(Duration::from_millis(200));
    let reported = |packet: &RtcpPacket<'_>| {
        matches!(packet, RtcpPacket::ReceiverReport(report)
            if report.reports.iter().any(|b| b.ssrc == Ssrc::new(MEDIA) && b.highest_seq == 1_009))
    };
    assert_eq!(count_rtcp(&scene.take(0), reported), 1);
}

#[test]
fn sender_reports_follow_the_publishers_clock() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    let their_now = NtpTime::from_unix(Duration::from_secs(42));
    let report = rtcp_packet(|rtcp| {
        rtcp.sender_report(Ssrc::new(MEDIA), their_now, crate::ids::RtpTime::new(0), 1, 1, &[]);
    });
    scene.send_rtcp(0, &report);
    scene.pass(Duration::from_millis(250));
    let got = scene.take(1);
    // The report leaves 200 ms after the join: 18,000 ticks after the moment that the publisher described.
    let fits = |packet: &RtcpPacket<'_>| {
        matches!(packet, RtcpPacket::SenderReport(report) if report.ssrc == Ssrc::new(OUT)
            && (report.rtp.get() as i32 - 18_000).abs() <= 2 && report.packets == 1)
    };
    assert_eq!(count_rtcp(&got, fits), 1, "{got:?}");
    let named = |packet: &RtcpPacket<'_>| matches!(packet, RtcpPacket::Sdes(sdes) if sdes.cname(Ssrc::new(OUT)) == Some(b"publisher"));
    assert_eq!(count_rtcp(&got, named), 1);
}

fn send_layer(scene: &mut Scene, rid: &str, n: u64, keyframe: bool) {
    let base = u32::from(rid.as_bytes()[0]);
    // Each layer counts from somewhere else, as browsers do.
    let (picture, tl0) = (n as u16 + base as u16 * 10, (n as u8).wrapping_add(base as u8));
    let payload = vp8(picture, tl0, keyframe, rid.as_bytes()[0]);
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v"), (RID_ID, rid.as_bytes())];
    let (seq, time) = (u64::from(base) * 100 + n, base * 1_000_000 + n as u32 * FRAME_TICKS);
    scene.send(0, &Rtp { payload_type: VP8, ssrc: base, seq, time, extensions, payload: &payload });
}

#[test]
fn a_layer_limit_switches_at_a_keyframe_without_a_break_in_the_numbers() {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![video(1, &["q", "h", "f"])] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(VP8, false)]));
    let mut all = Vec::new();
    for n in 0..30 {
        if n == 10 {
            let subscription = SubscriptionId::new(1);
            let limit = LayerLimit { spatial: 0, temporal: u8::MAX };
            scene.command(Command::SetSubscription { subscription, paused: false, limit, priority: 0 });
        }
        for rid in ["q", "h", "f"] {
            send_layer(&mut scene, rid, n, n == 0 || n == 15);
        }
        scene.now += FRAME;
        all.extend(scene.take(1));
    }
    let packets = rtp(&all);
    let layers: String = packets.iter().map(|p| char::from(p.payload()[p.payload().len() - 1])).collect();
    assert!(layers.ends_with(&"q".repeat(15)), "{layers}");
    assert_eq!(layers.trim_start_matches(['q', 'h']).trim_end_matches('q').chars().filter(|c| *c != 'f').count(), 0);
    for pair in packets.windows(2) {
        assert_eq!(pair[1].seq().get(), pair[0].seq().get().wrapping_add(1));
        assert!(pair[1].timestamp().since(pair[0].timestamp()) > 0);
        let picture =
            |p: &crate::wire::rtp::RtpPacket<'_>| vp8_codec::parse(p.payload()).unwrap().picture_id.unwrap().0;
        assert_eq!(picture(&pair[1]), (picture(&pair[0]) + 1) & 0x7fff);
    }
}

#[test]
fn a_paused_subscription_gets_nothing_and_resumes_at_a_keyframe() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    assert_eq!(rtp(&scene.take(1)).len(), 1);
    let set = |paused| Command::SetSubscription {
        subscription: SubscriptionId::new(1),
        paused,
        limit: LayerLimit::ALL,
        priority: 0,
    };
    scene.command(set(true));
    send_video(&mut scene, 1, true);
    assert!(scene.take(1).is_empty());
    scene.pass(KEYFRAME_REQUEST_INTERVAL);
    scene.command(set(false));
    assert_eq!(count_rtcp(&scene.take(0), is_pli), 1);
    send_video(&mut scene, 2, false);
    assert!(rtp(&scene.take(1)).is_empty());
    send_video(&mut scene, 3, true);
    assert_eq!(rtp(&scene.take(1)).len(), 1);
}

#[test]
fn a_muted_track_reaches_nobody() {
    let mut scene = video_scene();
    scene.command(Command::SetTrackMuted { track: TrackId::new(1), muted: true });
    send_video(&mut scene, 0, true);
    assert!(rtp(&scene.take(1)).is_empty());
    assert_eq!(scene.worker.stats().drops.get(DropReason::Muted), 1);
    scene.command(Command::SetTrackMuted { track: TrackId::new(1), muted: false });
    send_video(&mut scene, 1, true);
    assert_eq!(rtp(&scene.take(1)).len(), 1);
}

#[test]
fn red_goes_whole_to_those_who_know_it_and_stripped_to_those_who_do_not() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.join();
    }
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![audio(1)] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(OPUS, false), (RED, false)]));
    subscribe(&mut scene, 2, 1, 2, send_parameters(OUT, None, &[(OPUS, false), (RED, true)]));
    // RFC 2198: one redundant block of 3 bytes, then the primary.
    let red = [0x80 | OPUS, 0x0f, 0x00, 3, OPUS, 1, 2, 3, b'p', b'r', b'i', b'm'];
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a"), (LEVEL_ID, &[30])];
    scene.send(0, &Rtp { payload_type: RED, ssrc: 5, seq: 1, time: 0, extensions, payload: &red });
    let whole = scene.take(1);
    assert_eq!(rtp(&whole)[0].payload(), red);
    scene.send(0, &Rtp { payload_type: RED, ssrc: 5, seq: 2, time: 960, extensions, payload: &red });
    let stripped = scene.take(2);
    assert_eq!(rtp(&stripped)[0].payload(), b"prim");
    assert_eq!(rtp(&stripped)[0].payload_type(), pt(OPUS + 1));
}

#[test]
fn loudness_is_reported_per_window_and_silence_once() {
    let mut scene = Scene::new();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![audio(1)] });
    for seq in 0..10 {
        let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a"), (LEVEL_ID, &[20])];
        let payload = &[1, 2, 3];
        scene.send(0, &Rtp { payload_type: OPUS, ssrc: 5, seq, time: seq as u32 * 960, extensions, payload });
    }
    scene.pass(AUDIO_LEVEL_WINDOW * 4);
    let levels: Vec<usize> = scene
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::AudioLevels { levels } => Some(levels.len()),
            _ => None,
        })
        .collect();
    assert_eq!(levels, [1, 0]);
}

#[test]
fn replayed_flipped_and_foreign_packets_change_nothing() {
    let mut scene = video_scene();
    let datagram = send_video(&mut scene, 0, true);
    assert_eq!(rtp(&scene.take(1)).len(), 1);
    scene.inject(0, &datagram);
    let mut flipped = datagram.clone();
    for bit in 0..datagram.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        scene.inject(0, &flipped);
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    // What the subscriber's own keys sealed is not the publisher's.
    scene.inject(1, &datagram);
    assert!(rtp(&scene.take(1)).is_empty());
    let drops = &scene.worker.stats().drops;
    assert!(drops.get(DropReason::SrtpReplay) >= 1);
    assert!(drops.get(DropReason::SrtpAuthentication) > 0);
    assert_eq!(drops.total(), 2 + datagram.len() as u64 * 8);
    assert_eq!(scene.worker.stats().rtp_forwarded, 1);
    send_video(&mut scene, 1, false);
    assert_eq!(rtp(&scene.take(1)).len(), 1);
}

#[test]
fn an_ssrc_that_nothing_ties_to_a_track_is_dropped() {
    let mut scene = video_scene();
    let payload = vp8(0, 0, true, 0);
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"other")];
    scene.send(0, &Rtp { payload_type: VP8, ssrc: 9, seq: 1, time: 0, extensions, payload: &payload });
    assert!(rtp(&scene.take(1)).is_empty());
    assert_eq!(scene.worker.stats().drops.get(DropReason::UnknownStream), 1);
}

#[test]
fn what_was_learned_of_an_ssrc_outlives_a_renegotiation() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    scene.take(1);
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![video(1, &[]), audio(2)] });
    let payload = vp8(1, 1, false, 1);
    // No MID any more: the browser knows that it was received.
    scene.send(0, &Rtp { payload_type: VP8, ssrc: MEDIA, seq: 1_001, time: 3_600, extensions: &[], payload: &payload });
    assert_eq!(rtp(&scene.take(1)).len(), 1);
}

#[test]
fn a_track_that_is_no_longer_negotiated_ends_with_its_subscriptions() {
    let mut scene = video_scene();
    assert_eq!((scene.worker.stats().tracks, scene.worker.stats().subscriptions), (1, 1));
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![] });
    assert_eq!((scene.worker.stats().tracks, scene.worker.stats().subscriptions), (0, 0));
    send_video(&mut scene, 0, true);
    assert!(rtp(&scene.take(1)).is_empty());
}

#[test]
fn nothing_is_left_of_peers_that_left() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    for member in [0, 1] {
        scene.command(Command::RemovePeer { peer: scene.peer(member) });
    }
    let worker = &scene.worker;
    assert!(worker.peers.is_empty() && worker.tracks.is_empty() && worker.subscriptions.is_empty());
    assert!(worker.peers_by_address.is_empty() && worker.peers_by_ufrag.is_empty() && worker.peers_by_id.is_empty());
    assert!(worker.tracks_by_id.is_empty() && worker.subscriptions_by_id.is_empty());
    assert_eq!(worker.rooms.levels_due(), None);
    send_video(&mut scene, 1, true);
    assert_eq!(scene.worker.stats().drops.get(DropReason::UnknownAddress), 1);
}

#[test]
fn a_command_for_something_unknown_is_counted() {
    let mut scene = Scene::new();
    scene.command(Command::Unsubscribe { subscription: SubscriptionId::new(99) });
    assert_eq!(scene.worker.stats().drops.get(DropReason::UnknownTarget), 1);
}
