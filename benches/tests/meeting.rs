//! The core as a whole: real handshakes and real SRTP, in memory and under virtual time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use consilium_benches::abuse::Abuse;
use consilium_benches::meeting::{BURST, Meeting};
use consilium_benches::peer::payload_of;
use consilium_benches::random::Random;
use consilium_media_core::control::Event;
use consilium_media_core::drops::DropReason;
use consilium_media_core::transport::identity::Identity;
use consilium_media_core::transport::srtp::SrtpProfile;
use std::time::Instant;

const PAYLOAD_LEN: usize = 1_160;

fn identity() -> Identity {
    Identity::generate().unwrap()
}

/// The payloads that a member got of each publisher, told apart by SSRC, in the order of arrival.
fn payloads(meeting: &mut Meeting, member: usize) -> Vec<Vec<Vec<u8>>> {
    let mut streams: Vec<([u8; 4], Vec<Vec<u8>>)> = Vec::new();
    for packet in meeting.take_received(member) {
        let ssrc = [packet[8], packet[9], packet[10], packet[11]];
        let payload = payload_of(&packet).unwrap().to_vec();
        match streams.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, payloads)) => payloads.push(payload),
            None => streams.push((ssrc, vec![payload])),
        }
    }
    streams.into_iter().map(|(_, payloads)| payloads).collect()
}

/// VP8 descriptor without the picture id, which the core may rewrite, and everything behind it.
fn comparable(payload: &[u8]) -> ([u8; 2], Vec<u8>) {
    ([payload[0], payload[1]], payload[4..].to_vec())
}

fn check_everyone_receives_everything(publishers: usize, receivers: usize, bursts: usize) {
    let mut meeting = Meeting::of(identity(), publishers, receivers, PAYLOAD_LEN).unwrap();
    let mut arrivals = meeting.prepare(bursts);
    meeting.forward_and_deliver(&mut arrivals).unwrap();
    let sent = meeting.stream(0).unwrap().clone();
    let sent: Vec<_> = (0..(bursts * BURST) as u64).map(|number| comparable(&sent.payload(number))).collect();
    let mut streams = 0;
    for member in 0..publishers + receivers {
        for stream in payloads(&mut meeting, member) {
            // All publishers send the same, so that one comparison serves.
            assert_eq!(stream.iter().map(|payload| comparable(payload)).collect::<Vec<_>>(), sent);
            streams += 1;
        }
    }
    assert_eq!(streams, publishers * (publishers + receivers - 1));
}

#[test]
fn every_subscriber_gets_every_packet_in_order_and_unchanged() {
    check_everyone_receives_everything(1, 5, 10);
    check_everyone_receives_everything(4, 0, 10);
}

#[test]
fn every_srtp_profile_carries_media() {
    for profile in SrtpProfile::ALL {
        let mut meeting = Meeting::new(identity(), 7, Instant::now());
        meeting.offer_profiles(&[profile]);
        meeting.join().unwrap();
        meeting.join().unwrap();
        meeting.connect_all().unwrap();
        meeting.publish(0, PAYLOAD_LEN).unwrap();
        meeting.subscribe(0, 1).unwrap();
        let mut arrivals = meeting.prepare(2);
        meeting.forward_and_deliver(&mut arrivals).unwrap();
        assert_eq!(meeting.take_received(1).len(), 2 * BURST, "{profile:?}");
    }
}

#[test]
fn gcm_is_chosen_whenever_it_is_offered() {
    let mut meeting = Meeting::new(identity(), 8, Instant::now());
    // The order in which Chromium offers.
    meeting.offer_profiles(&[SrtpProfile::Aes128CmHmacSha1_80, SrtpProfile::AeadAes256Gcm, SrtpProfile::AeadAes128Gcm]);
    let member = meeting.join().unwrap();
    meeting.connect_all().unwrap();
    assert_eq!(meeting.profile(member), Some(SrtpProfile::AeadAes128Gcm));
}

/// 100,000 bad datagrams, a third of them from a member's own address, while the meeting goes on.
#[test]
fn bad_datagrams_are_dropped_and_counted_and_the_meeting_goes_on() {
    let mut meeting = Meeting::of(identity(), 2, 2, PAYLOAD_LEN).unwrap();
    let mut captured: Vec<Vec<u8>> = Vec::new();
    let mut random = Random::new(11);
    let mut warm_up = meeting.prepare(5);
    captured.extend(warm_up.iter().map(|arrival| arrival.datagram().to_vec()));
    meeting.forward_and_deliver(&mut warm_up).unwrap();
    (0..4).for_each(|member| drop(meeting.take_received(member)));
    let mut abuse = Abuse::new(12).with_captured(captured);
    let dropped_before = meeting.stats().drops.total();

    let mut expected = [0; 4];
    for _ in 0..100 {
        for _ in 0..1_000 {
            let (_, mut datagram) = abuse.next_datagram();
            match random.below(3) {
                0 => meeting.inject(random.below(4), &mut datagram).unwrap(),
                _ => meeting.inject_from_stranger(&mut datagram).unwrap(),
            }
        }
        let mut arrivals = meeting.prepare(1);
        meeting.forward_and_deliver(&mut arrivals).unwrap();
        for (member, expected) in expected.iter_mut().enumerate() {
            *expected += BURST * if member < 2 { 1 } else { 2 };
        }
    }
    for (member, expected) in expected.into_iter().enumerate() {
        assert_eq!(meeting.take_received(member).len(), expected, "member {member}");
    }
    assert_eq!(meeting.stats().connected_peers, 4);
    assert!(meeting.take_events().iter().all(|event| !matches!(event.event, Event::PeerClosed { .. })));
    let stats = meeting.stats();
    assert!(stats.drops.total() - dropped_before > 90_000, "{:?}", stats.drops);
    for reason in [
        DropReason::UnknownProtocol,
        DropReason::UnknownAddress,
        DropReason::StunUnknownUser,
        DropReason::SrtpAuthentication,
        DropReason::SrtpReplay,
    ] {
        assert!(stats.drops.get(reason) > 0, "{reason:?} never happened");
    }
}

#[test]
fn storms_of_requests_are_answered_in_full() {
    let mut meeting = Meeting::with_retransmission(identity(), 1, 3, PAYLOAD_LEN).unwrap();
    for storm in 1..=20 {
        meeting.renew_consent().unwrap();
        for burst in meeting.prepare(5).chunks_mut(BURST) {
            meeting.pass_frame_interval();
            meeting.forward_and_deliver(burst).unwrap();
        }
        let mut requests = meeting.prepare_nacks(17);
        assert_eq!(requests.len(), 3, "one from each receiver");
        meeting.forward_burst(&mut requests);
        assert_eq!(meeting.stats().rtp_retransmitted, storm * 3 * 17, "{:?}", meeting.stats());
    }
}
