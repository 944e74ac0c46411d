//! Connections that move, suffer and fall silent.

use super::*;
use crate::control::PeerFigures;
use crate::limits::FIGURES_INTERVAL;
use crate::params::Path;

/// Of a member, from the last event.
fn figures(scene: &mut Scene, member: usize) -> PeerFigures {
    let id = scene.peer(member);
    let events = scene.events();
    let last = events.iter().rev().find_map(|event| match event {
        Event::Figures { figures } => Some(figures),
        _ => None,
    });
    *last.unwrap().iter().find(|figures| figures.peer == id).unwrap()
}

#[test]
fn media_goes_on_from_and_to_the_address_that_a_nat_gave_anew() {
    let mut scene = video_scene();
    send_video(&mut scene, 0, true);
    let elsewhere = |host| Path { remote: ([10, 9, 9, host], 5_000).into(), local: None };
    for (member, path) in [(0, elsewhere(1)), (1, elsewhere(2))] {
        scene.move_to(member, path);
    }
    scene.take(1);
    send_video(&mut scene, 1, false);
    assert_eq!(rtp(&scene.take(1)).len(), 1);
}

#[test]
fn packets_that_do_not_come_show_as_loss_of_whoever_sent_them() {
    let mut scene = video_scene();
    for n in (0..100).filter(|n| n % 10 != 5) {
        send_video(&mut scene, n, n == 0);
    }
    scene.pass(FIGURES_INTERVAL);
    let sender = figures(&mut scene, 0);
    assert!((0.09..=0.11).contains(&sender.loss_up.unwrap()), "{sender:?}");
    assert_eq!(sender.loss_down, None);
    let receiver = figures_after_report(&mut scene, 64);
    assert_eq!((receiver.loss_up, receiver.loss_down), (None, Some(0.25)));
    scene.pass(FIGURES_INTERVAL);
    assert_eq!(figures(&mut scene, 0).loss_up, None);
}

fn figures_after_report(scene: &mut Scene, fraction_lost: u8) -> PeerFigures {
    let block = ReportBlock {
        ssrc: Ssrc::new(OUT),
        fraction_lost,
        cumulative_lost: 0,
        highest_seq: 0,
        jitter: 0,
        lsr: 0,
        dlsr: 0,
    };
    let report = rtcp_packet(|rtcp| {
        rtcp.receiver_report(Ssrc::new(1), &[block]);
    });
    scene.send_rtcp(1, &report);
    scene.pass(FIGURES_INTERVAL);
    figures(scene, 1)
}

#[test]
fn silence_lasts_from_the_last_sign_of_life() {
    let mut scene = video_scene();
    scene.pass(FIGURES_INTERVAL * 3);
    assert_eq!(figures(&mut scene, 0).silent_for, FIGURES_INTERVAL * 3);
    scene.pass(FIGURES_INTERVAL / 2);
    send_video(&mut scene, 0, true);
    scene.pass(FIGURES_INTERVAL / 2);
    assert_eq!(figures(&mut scene, 0).silent_for, FIGURES_INTERVAL / 2);
    figures_after_report(&mut scene, 0);
    scene.pass(FIGURES_INTERVAL);
    assert_eq!(figures(&mut scene, 1).silent_for, FIGURES_INTERVAL * 2);
}

#[test]
fn a_worker_that_was_held_up_blames_nobody() {
    let mut scene = video_scene();
    scene.stall(FIGURES_INTERVAL * 9);
    scene.pass(FIGURES_INTERVAL / 2);
    assert!(!scene.events().iter().any(|event| matches!(event, Event::Figures { .. })));
    scene.pass(FIGURES_INTERVAL);
    figures(&mut scene, 0);
}
