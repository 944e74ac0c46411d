//! Packets of one batch: who gets them in which order, and how they become trains.

use super::scene::*;
use super::{FRAME_TICKS, MEDIA, OUT, OUT_RTX, send_video, video_scene};
use crate::control::Command;
use crate::worker::pending::{PACKETS_MAX, PADDING_LEN_MAX};

/// Frames of packets with these payload lengths, as one batch. Returns the lengths of the datagrams that leave, per train.
fn trains_of(scene: &mut Scene, payload_lens: &[usize]) -> Vec<Vec<usize>> {
    for (n, &len) in payload_lens.iter().enumerate() {
        let mut payload = vp8(1, 1, n == 0, 0);
        payload.resize(len, 7);
        let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
        let rtp = Rtp { payload_type: VP8, ssrc: MEDIA, seq: n as u64, time: 0, extensions, payload: &payload };
        scene.take_in(0, &rtp);
    }
    while scene.worker.poll_transmit(scene.now, &mut scene.out) {}
    scene.out.trains().map(|train| train.datagrams().map(<[u8]>::len).collect()).collect()
}

#[test]
fn the_packets_of_a_frame_leave_as_one_train_and_arrive_without_their_padding() {
    let mut scene = video_scene();
    let trains = trains_of(&mut scene, &[983, 983, 984, 984, 700]);
    assert_eq!(trains.iter().map(Vec::len).collect::<Vec<_>>(), [5]);
    let got = scene.take(1);
    let lens: Vec<usize> = rtp(&got).iter().map(|packet| packet.payload().len()).collect();
    assert_eq!(lens, [983, 983, 984, 984, 700]);
    let padding: Vec<usize> = rtp(&got).iter().map(|packet| packet.padding_len()).collect();
    assert_eq!(padding, [1, 1, 0, 0, 0]);
}

#[test]
fn packets_of_very_different_length_are_not_padded() {
    let mut scene = video_scene();
    let trains = trains_of(&mut scene, &[500, 500 + PADDING_LEN_MAX + 1]);
    assert_eq!(trains.len(), 2);
    assert!(rtp(&scene.take(1)).iter().all(|packet| packet.padding_len() == 0));
}

/// What is sent again under its own number must be what it was: padding would depend on the neighbours.
#[test]
fn without_rtx_nothing_is_padded() {
    let mut scene = Scene::new();
    let publisher = scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(publisher), sections: vec![video(1, &[])] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(VP8, false)]));
    trains_of(&mut scene, &[983, 984]);
    assert!(rtp(&scene.take(1)).iter().all(|packet| packet.padding_len() == 0));
}

#[test]
fn audio_of_all_leaves_before_video_of_anyone() {
    let mut scene = Scene::new();
    (0..3).for_each(|_| drop(scene.join()));
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![video(1, &[]), audio(2)] });
    for member in [1, 2] {
        subscribe(&mut scene, member, 1, member as usize, send_parameters(OUT, Some(OUT_RTX), &[(VP8, false)]));
        subscribe(&mut scene, 10 + member, 2, member as usize, send_parameters(OUT + 1, None, &[(OPUS, false)]));
    }
    scene.out.clear();
    let payload = vp8(1, 1, true, 1);
    let (v, a): (&[(u8, &[u8])], &[(u8, &[u8])]) = (&[(MID_ID, b"v")], &[(MID_ID, b"a")]);
    scene.take_in(0, &Rtp { payload_type: VP8, ssrc: 1, seq: 1, time: 0, extensions: v, payload: &payload });
    scene.take_in(0, &Rtp { payload_type: OPUS, ssrc: 2, seq: 1, time: 0, extensions: a, payload: &[1, 2, 3] });
    while scene.worker.poll_transmit(scene.now, &mut scene.out) {}
    let lens: Vec<usize> = scene.out.trains().map(|train| train.bytes().len()).collect();
    assert_eq!(lens.len(), 4);
    assert!(lens[..2].iter().max() < lens[2..].iter().min(), "{lens:?}");
}

#[test]
fn more_than_may_wait_is_sent_on_without_being_asked_for_and_nothing_is_lost() {
    let mut scene = video_scene();
    let all = PACKETS_MAX as u64 * 2 + 10;
    for n in 0..all {
        let payload = vp8(n as u16, n as u8, n == 0, n as u8);
        let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
        let (seq, time) = (1_000 + n, n as u32 * FRAME_TICKS);
        scene.take_in(0, &Rtp { payload_type: VP8, ssrc: MEDIA, seq, time, extensions, payload: &payload });
    }
    assert!(scene.out.packets() >= PACKETS_MAX * 2);
    while scene.worker.poll_transmit(scene.now, &mut scene.out) {}
    let got = scene.take(1);
    let tails: Vec<u8> = rtp(&got).iter().map(|packet| packet.payload()[packet.payload().len() - 1]).collect();
    assert_eq!(tails, (0..all).map(|n| n as u8).collect::<Vec<_>>());
}

#[test]
fn a_command_finds_nothing_under_way() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    scene.take(1);
    let payload = vp8(1, 1, false, 1);
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"v")];
    scene.take_in(
        0,
        &Rtp { payload_type: VP8, ssrc: MEDIA, seq: 1_001, time: FRAME_TICKS, extensions, payload: &payload },
    );
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![] });
    assert_eq!(rtp(&scene.take(1)).len(), 1);
    assert!(!scene.worker.poll_transmit(scene.now, &mut scene.out) && scene.out.is_empty());
}
