//! Transport-wide numbers on what leaves, feedback about them, and padding that probes the path.

use super::*;
use crate::ids::PayloadType;
use crate::params::{Codec, ExtensionId, HeaderExtension, SendParameters};
use crate::wire::rtp::RtpPacket;
use crate::wire::transport_cc::TransportCcRecorder;
use crate::worker::Worker;

pub(super) const NUMBER_ID: u8 = 11;
pub(super) const AUDIO: u32 = 0x2222;
pub(super) const AUDIO_OUT: u32 = 0xdddd;

pub(super) fn numbered(ssrc: u32, rtx_ssrc: Option<u32>, payload_type: u8) -> Box<SendParameters> {
    let mut send = send_parameters(ssrc, rtx_ssrc, &[(payload_type, false)]);
    send.extensions.push(ExtensionId { id: NUMBER_ID, extension: HeaderExtension::TransportCc });
    send
}

/// A publisher (0) of video and audio, and a subscriber (1) that negotiated transport-wide numbers for both.
pub(super) fn numbered_scene() -> Scene {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![video(1, &[]), audio(2)] });
    subscribe(&mut scene, 1, 1, 1, numbered(OUT, Some(OUT_RTX), VP8));
    subscribe(&mut scene, 2, 2, 1, numbered(AUDIO_OUT, None, OPUS));
    scene
}

pub(super) fn send_audio(scene: &mut Scene, n: u64) {
    let (seq, time) = (500 + n, n as u32 * 960);
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a"), (LEVEL_ID, &[0x80 | 20])];
    scene.send(0, &Rtp { payload_type: OPUS, ssrc: AUDIO, seq, time, extensions, payload: &[n as u8; 80] });
}

fn number_of(packet: &RtpPacket<'_>) -> u16 {
    u16::from_be_bytes(packet.extension(NUMBER_ID).unwrap().try_into().unwrap())
}

fn numbers(got: &[Got]) -> Vec<u16> {
    rtp(got).iter().map(number_of).collect()
}

pub(super) fn nack(scene: &mut Scene, media: u32, seq: SeqNo) {
    let nack = rtcp_packet(|rtcp| {
        rtcp.nack(Ssrc::new(1), Ssrc::new(media), &[seq]);
    });
    scene.send_rtcp(1, &nack);
}

/// Tells the worker that all of `got` arrived, `after_ms` after the scene's time.
fn acknowledge(scene: &mut Scene, recorder: &mut TransportCcRecorder, got: &[Got], at: Duration) {
    for number in numbers(got) {
        recorder.record(at, SeqNo::new(number));
    }
    let mut message = Vec::new();
    if recorder.build(Ssrc::new(1), Ssrc::new(OUT), &mut message) {
        scene.send_rtcp(1, &message);
    }
}

#[test]
fn a_publisher_without_transport_wide_feedback_is_told_what_its_path_carries() {
    const SEND_TIME_ID: u8 = 6;
    let told = |got: &[Got]| -> Vec<u64> {
        let packets = got.iter().filter_map(|got| match got {
            Got::Rtcp(packet) => Some(packet),
            Got::Rtp(_) => None,
        });
        let estimate = |packet| match packet {
            Ok(RtcpPacket::Remb(remb)) => {
                assert_eq!(remb.ssrcs.iter().collect::<Vec<_>>(), [Ssrc::new(MEDIA)]);
                Some(remb.bitrate_bps)
            }
            _ => None,
        };
        packets.flat_map(|packet| compound(packet)).filter_map(estimate).collect()
    };
    let mut estimates = Vec::new();
    for remb in [true, false] {
        let mut scene = Scene::new();
        scene.join();
        let mut section = video(1, &[]);
        section.codecs.iter_mut().for_each(|codec| codec.remb = remb);
        section.extensions.push(ExtensionId { id: SEND_TIME_ID, extension: HeaderExtension::AbsSendTime });
        scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![section] });
        let mut got = Vec::new();
        // 200 kbit/s; from the sixth second on each packet is 4 ms later than the one before: a tenth too much.
        for n in 0..300_u64 {
            let sent = Duration::from_millis(40 * n);
            let raw = crate::wire::ext::AbsSendTime::from_ntp(NtpTime::from_unix(sent)).to_bytes();
            let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v"), (SEND_TIME_ID, &raw)];
            let payload = [vp8(n as u16, n as u8, n == 0, 0), vec![0; 930]].concat();
            let (seq, time) = (1_000 + n, n as u32 * FRAME_TICKS);
            scene.send(0, &Rtp { payload_type: VP8, ssrc: MEDIA, seq, time, extensions, payload: &payload });
            scene.pass(Duration::from_millis(if n < 150 { 40 } else { 44 }));
            got.extend(scene.take(0));
        }
        estimates.push(told(&got));
    }
    let [with, without] = &estimates[..] else { unreachable!() };
    assert!(without.is_empty());
    let (first, last) = (with.first().unwrap(), with.last().unwrap());
    assert!(*first >= 400_000 && *last < 190_000, "{with:?}");
    assert!((10..40).contains(&with.len()), "about once per second, and when it falls: {with:?}");
}

#[test]
fn who_lacks_a_little_of_what_it_wants_is_probed_for_and_gets_it() {
    const VP9: u8 = 98;
    let mut scene = Scene::new();
    let epoch = scene.now;
    scene.join();
    scene.join();
    let mut section = video(1, &[]);
    section.codecs.iter_mut().for_each(|codec| (codec.payload_type, codec.codec) = (pt(VP9), Codec::Vp9));
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![section] });
    subscribe(&mut scene, 1, 1, 1, numbered(OUT, Some(OUT_RTX), VP9));
    // The larger size takes 4% less than the estimate that everybody begins with, and who rises needs 10% more than it takes.
    let lens = [500, 1_800];
    let (mut keyframe, mut large, mut recorder) = (true, Vec::new(), TransportCcRecorder::new());
    for n in 0..100_u64 {
        for (spatial, len) in (0..).zip(lens) {
            let id = (n as u16 | 0x8000).to_be_bytes();
            let first = 0xbc | if keyframe { 0 } else { 0x40 };
            let mut payload = vec![first, id[0], id[1], spatial << 1 | u8::from(spatial > 0)];
            payload.extend((!keyframe).then_some(1 << 1));
            payload.resize(len, spatial);
            let (seq, time) = (1_000 + 2 * n + u64::from(spatial), n as u32 * FRAME_TICKS);
            let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
            scene.send(0, &Rtp { payload_type: VP9, ssrc: 0x9999, seq, time, extensions, payload: &payload });
        }
        keyframe = false;
        large.push(false);
        // Padding leaves in between.
        for _ in 0..8 {
            scene.pass(FRAME / 8);
            let [asked, got] = &scene.take_each(|| false)[..] else { unreachable!() };
            keyframe |= count_rtcp(asked, |rtcp| matches!(rtcp, RtcpPacket::Pli(_))) > 0;
            large[n as usize] |= rtp(got).iter().any(|packet| packet.payload().last() == Some(&1));
            // A path of 10 Mbit/s: a packet takes less than a millisecond.
            for (index, number) in (0..).zip(numbers(got)) {
                let at = scene.now.saturating_duration_since(epoch) + Duration::from_micros(250) * index;
                recorder.record(at, SeqNo::new(number));
            }
        }
        let mut message = Vec::new();
        if recorder.build(Ssrc::new(1), Ssrc::new(OUT), &mut message) {
            scene.send_rtcp(1, &message);
        }
    }
    assert!(large[75..].iter().all(|large| *large), "{large:?}");
}

#[test]
fn a_limit_holds_whatever_the_path_carries_until_it_is_taken_back() {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![video(1, &["q", "h"])] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, Some(OUT_RTX), &[(VP8, false)]));
    let mut layers = String::new();
    for n in 0..180 {
        let bps_max = [None, Some(50_000), None][n as usize / 60];
        if n % 60 == 0 {
            scene.command(Command::LimitBandwidth { peer: scene.peer(1), bps_max });
        }
        for (rid, len) in [("q", 100), ("h", 1_000)] {
            let base = u32::from(rid.as_bytes()[0]);
            let payload = [vp8(n as u16, n as u8, n % 15 == 0, 0), vec![rid.as_bytes()[0]; len]].concat();
            let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v"), (RID_ID, rid.as_bytes())];
            let (seq, time) = (u64::from(base) * 100 + n, base * 1_000_000 + n as u32 * FRAME_TICKS);
            scene.send(0, &Rtp { payload_type: VP8, ssrc: base, seq, time, extensions, payload: &payload });
        }
        scene.pass(FRAME);
        let got = scene.take(1);
        layers.extend(rtp(&got).iter().map(|packet| char::from(*packet.payload().last().unwrap())));
    }
    let changes: String = layers.chars().zip(layers.chars().skip(1)).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
    assert!(changes == "hqh" && layers.ends_with(&"h".repeat(40)), "{layers}");
}

#[test]
fn all_streams_of_a_peer_and_retransmissions_share_one_sequence() {
    let mut scene = numbered_scene();
    let mut got = Vec::new();
    for n in 0..5 {
        send_video(&mut scene, n, n == 0);
        got.extend(scene.take(1));
        send_audio(&mut scene, n);
        got.extend(scene.take(1));
    }
    let lost = rtp(&got)[6].seq();
    nack(&mut scene, OUT, lost);
    got.extend(scene.take(1));
    let found = numbers(&got);
    assert_eq!(found, (0..11).map(|n| found[0].wrapping_add(n)).collect::<Vec<_>>());
    assert_eq!(rtp(&got)[10].ssrc(), Ssrc::new(OUT_RTX));
}

/// The same number under the same key means the same nonce: not one byte may differ, the transport-wide number included.
#[test]
fn what_is_repeated_without_rtx_keeps_its_transport_wide_number() {
    let mut scene = numbered_scene();
    send_audio(&mut scene, 0);
    let first = scene.take(1);
    send_audio(&mut scene, 1);
    let lost: Vec<Vec<u8>> = scene.out.trains().flat_map(|t| t.datagrams().map(<[u8]>::to_vec)).collect();
    scene.out.clear();
    send_video(&mut scene, 0, true);
    scene.out.clear();
    nack(&mut scene, AUDIO_OUT, SeqNo::new(rtp(&first)[0].seq().get().wrapping_add(1)));
    let again: Vec<Vec<u8>> = scene.out.trains().flat_map(|t| t.datagrams().map(<[u8]>::to_vec)).collect();
    assert_eq!(again, lost);
}

#[test]
fn who_did_not_negotiate_numbers_gets_none_and_has_no_estimate() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    assert_eq!(rtp(&scene.take(1))[0].extension(NUMBER_ID), None);
    let key = scene.worker.peers_by_id[&scene.peer(1)];
    assert_eq!(scene.worker.peers[key].bandwidth.estimate_bps(scene.now), None);
}

#[test]
fn a_remb_is_the_estimate_of_who_sends_nothing_else() {
    let mut scene = video_scene();
    let mut remb = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    remb.extend(b"REMB");
    // One SSRC; 2^2 times 100,000.
    remb.extend((1u32 << 24 | 2 << 18 | 100_000).to_be_bytes());
    remb.extend(OUT.to_be_bytes());
    scene.send_rtcp(1, &remb);
    let key = scene.worker.peers_by_id[&scene.peer(1)];
    assert_eq!(scene.worker.peers[key].bandwidth.estimate_bps(scene.now), Some(400_000));
}

#[test]
fn what_is_wanted_is_probed_for_with_padding_on_the_retransmission_stream() {
    let mut scene = numbered_scene();
    let key = scene.worker.peers_by_id[&scene.peer(1)];
    let (mut recorder, mut padding, epoch) = (TransportCcRecorder::new(), Vec::new(), scene.now);
    let mut before = Vec::new();
    for n in 0..25 {
        send_video(&mut scene, n, n == 0);
        // As if there were more to send than there is.
        scene.worker.set_wanted(key, 2_500_000);
        for _ in 0..40 {
            scene.pass(Duration::from_millis(1));
            let got = scene.take(1);
            let is_padding =
                |got: &&Got| matches!(got, Got::Rtp(p) if RtpPacket::parse(p).unwrap().payload().is_empty());
            padding.extend(got.iter().filter(is_padding).cloned());
            before.extend(numbers(&got));
            let at = scene.now.saturating_duration_since(epoch) + Duration::from_millis(20);
            acknowledge(&mut scene, &mut recorder, &got, at);
        }
    }
    assert!(scene.worker.peers[key].bandwidth.estimate_bps(scene.now).unwrap() >= 2_000_000);
    assert!(before.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "one sequence, without gaps");
    let packets = rtp(&padding);
    assert!(!packets.is_empty());
    for pair in packets.windows(2) {
        assert_eq!(pair[1].seq().get(), pair[0].seq().get().wrapping_add(1), "no SRTP index twice");
    }
    for packet in &packets {
        assert_eq!((packet.ssrc(), packet.payload_type()), (Ssrc::new(OUT_RTX), PayloadType::new(RTX + 10).unwrap()));
        assert_eq!(packet.padding_len(), 255);
    }
    assert_eq!(scene.worker.stats().rtp_forwarded, 25, "padding is no media");
    // Enough is enough.
    scene.worker.set_wanted(key, 0);
    scene.pass(Duration::from_secs(20));
    assert!(rtp(&scene.take(1)).is_empty());
}

#[test]
fn without_a_stream_that_can_carry_it_no_padding_is_sent() {
    let mut scene = Scene::new();
    scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![audio(2)] });
    subscribe(&mut scene, 2, 2, 1, numbered(AUDIO_OUT, None, OPUS));
    let key = scene.worker.peers_by_id[&scene.peer(1)];
    scene.worker.set_wanted(key, 2_500_000);
    send_audio(&mut scene, 0);
    scene.take(1);
    scene.pass(Duration::from_secs(3));
    assert!(rtp(&scene.take(1)).is_empty());
    assert!(scene.worker.poll_timeout().is_some_and(|due| due > scene.now));
}

#[test]
fn forged_feedback_is_counted_and_believed_by_nobody() {
    let mut scene = numbered_scene();
    send_video(&mut scene, 0, true);
    let key = scene.worker.peers_by_id[&scene.peer(1)];
    let before = scene.worker.peers[key].bandwidth.estimate_bps(scene.now);
    let mut recorder = TransportCcRecorder::new();
    (0..300).for_each(|n| recorder.record(Duration::from_secs(1), SeqNo::new(30_000 + n)));
    let mut message = Vec::new();
    recorder.build(Ssrc::new(1), Ssrc::new(OUT), &mut message);
    scene.send_rtcp(1, &message);
    assert_eq!(scene.worker.stats().drops.get(DropReason::RtcpMalformed), 1);
    assert_eq!(scene.worker.peers[key].bandwidth.estimate_bps(scene.now), before);
}

/// A path that is full: what is sent arrives at 400 kbit/s, 300 ms late and later.
pub(super) fn narrow(scene: &mut Scene) -> crate::worker::keys::PeerKey {
    let key = scene.worker.peers_by_id[&scene.peer(1)];
    let (mut recorder, epoch) = (TransportCcRecorder::new(), scene.now);
    let mut free = Duration::ZERO;
    for n in 0..40 {
        send_large(scene, n, n == 0, 4);
        scene.pass(FRAME);
        let got = scene.take(1);
        let sent_at = scene.now.saturating_duration_since(epoch);
        for number in numbers(&got) {
            free = free.max(sent_at) + Duration::from_millis(20);
            recorder.record(free, SeqNo::new(number));
        }
        acknowledge(scene, &mut recorder, &[], Duration::ZERO);
    }
    scene.pass(Duration::from_secs(2));
    scene.take(1);
    // The path is too narrow for this video, which has stalled: what is tested here is the moment before.
    let Worker { subscriptions, subscriptions_by_id, .. } = &mut scene.worker;
    let subscription = &mut subscriptions[subscriptions_by_id[&SubscriptionId::new(1)]];
    subscription.allowed = Some(LayerLimit::ALL);
    (subscription.current, subscription.target) = (Some(0), Some(0));
    key
}

/// A picture of so many packets.
pub(super) fn send_large(scene: &mut Scene, picture: u64, keyframe: bool, packets: u64) {
    for n in 0..packets {
        let mut payload = vp8(picture as u16, picture as u8, keyframe && n == 0, 0);
        payload.resize(1_000, 7);
        let (seq, time) = (5_000 + picture * 40 + n, picture as u32 * FRAME_TICKS);
        let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
        scene.take_in(0, &Rtp { payload_type: VP8, ssrc: MEDIA, seq, time, extensions, payload: &payload });
    }
    while scene.worker.poll_transmit(scene.now, &mut scene.out) {}
}

#[test]
fn a_burst_towards_a_narrow_path_is_spread_and_audio_overtakes_it() {
    let mut scene = numbered_scene();
    let key = narrow(&mut scene);
    let rate = scene.worker.peers[key].bandwidth.pace_bps(scene.now).unwrap();
    assert!(rate < 800_000, "{rate}");
    let begun = scene.now;
    send_large(&mut scene, 100, false, 20);
    send_audio(&mut scene, 1);
    // That it does not fit will be found out afterwards.
    scene.worker.peers[key].timers.allocate = None;
    let first = scene.take(1);
    let (early, spoken): (Vec<_>, Vec<_>) = rtp(&first).into_iter().partition(|packet| packet.ssrc() == Ssrc::new(OUT));
    assert!(early.len() < 5 && spoken.len() == 1, "{} {}", early.len(), spoken.len());
    let mut got = first;
    while rtp(&got).len() < 21 {
        scene.pass(Duration::from_millis(1));
        assert!(scene.now < begun + Duration::from_secs(1), "{rate} {}", rtp(&got).len());
        got.extend(scene.take(1));
    }
    assert!(scene.now > begun + Duration::from_millis(250));
    let seqs: Vec<u16> = rtp(&got).iter().filter(|p| p.ssrc() == Ssrc::new(OUT)).map(|p| p.seq().get()).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "in order");
    // Audio leaves before the video of its batch, whose number is lower.
    let mut found = numbers(&got);
    found.sort_unstable();
    assert!(found.windows(2).all(|pair| pair[1] == pair[0] + 1), "numbered as they leave");
}

#[test]
fn a_path_that_was_never_full_gets_its_frames_whole() {
    let mut scene = numbered_scene();
    send_large(&mut scene, 0, true, 40);
    assert_eq!(rtp(&scene.take(1)).len(), 40);
}

#[test]
fn what_waits_for_a_subscription_that_ends_does_not_leave() {
    let mut scene = numbered_scene();
    narrow(&mut scene);
    send_large(&mut scene, 100, false, 40);
    scene.take(1);
    scene.command(Command::Unsubscribe { subscription: SubscriptionId::new(1) });
    scene.pass(Duration::from_secs(2));
    assert!(rtp(&scene.take(1)).is_empty());
    assert!(!scene.worker.peers[scene.worker.peers_by_id[&scene.peer(1)]].pacer.must_wait(scene.now));
}
