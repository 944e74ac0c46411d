//! Subscribers and publishers that are far away: what is done so that losses are not seen.

use super::*;
use crate::ingress::round_trip::RoundTrip;
use crate::params::{ExtensionId, HeaderExtension};

const PLAYOUT_ID: u8 = 12;
const FAR: Duration = Duration::from_millis(300);

/// As in the others' scene; the subscriber understands how long it is to wait.
fn scene(rtx: bool) -> Scene {
    let mut scene = Scene::new();
    let publisher = scene.join();
    scene.join();
    scene.command(Command::SetReceive { peer: scene.peer(publisher), sections: vec![video(1, &[])] });
    let mut send = send_parameters(OUT, rtx.then_some(OUT_RTX), &[(VP8, false)]);
    send.extensions.push(ExtensionId { id: PLAYOUT_ID, extension: HeaderExtension::PlayoutDelay });
    subscribe(&mut scene, 1, 1, 1, send);
    scene
}

fn set_rtt(scene: &mut Scene, member: usize, rtt: Duration) {
    let key = scene.worker.peers_by_id[&scene.peer(member)];
    scene.worker.peers[key].rtt = Some(RoundTrip::steady(rtt));
}

/// Twenty seconds of ten pictures each; of those from `from` on, one in ten is lost. Returns what the subscriber was told about
/// playout with the last.
fn told(scene: &mut Scene, lost_from: u64) -> Option<Vec<u8>> {
    let mut last = None;
    for n in 0..200 {
        scene.pass(Duration::from_millis(100));
        scene.out.clear();
        if n < lost_from || n % 10 != 5 {
            send_video(scene, n, n == 0);
            let got = scene.take(1);
            last = rtp(&got).last().and_then(|packet| packet.extension(PLAYOUT_ID).map(<[u8]>::to_vec));
        }
    }
    last
}

#[test]
fn who_watches_a_distant_publisher_that_loses_packets_is_told_to_wait_for_repairs() {
    let mut far = scene(true);
    set_rtt(&mut far, 0, FAR);
    // 30 and 1,000 hundredths of a second.
    assert_eq!(told(&mut far, 10), Some(vec![0x01, 0xe3, 0xe8]));
    let mut near = scene(true);
    set_rtt(&mut near, 0, FAR / 10);
    assert_eq!(told(&mut near, 10), None);
    let mut good = scene(true);
    set_rtt(&mut good, 0, FAR);
    assert_eq!(told(&mut good, u64::MAX), None);
}

/// What goes out again under its own number must be what it was.
#[test]
fn without_rtx_nothing_is_said_about_playout() {
    let mut plain = scene(false);
    set_rtt(&mut plain, 0, FAR);
    assert_eq!(told(&mut plain, 10), None);
}

#[test]
fn what_a_distant_subscriber_asks_for_again_is_sent_twice() {
    for (rtt, again) in [(FAR, 2), (FAR / 10, 1)] {
        let mut scene = scene(true);
        set_rtt(&mut scene, 1, rtt);
        send_video(&mut scene, 0, true);
        let first = scene.take(1);
        let nack = rtcp_packet(|rtcp| {
            rtcp.nack(Ssrc::new(1), Ssrc::new(OUT), &[rtp(&first)[0].seq()]);
        });
        for copies in [1, again] {
            scene.send_rtcp(1, &nack);
            assert_eq!(rtp(&scene.take(1)).len(), copies, "{rtt:?}");
            scene.pass(rtt);
            scene.out.clear();
        }
    }
}
