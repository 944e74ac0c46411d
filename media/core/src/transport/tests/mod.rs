//! A whole transport against a full peer made by hand: checks from rtc-stun, our own DTLS and data channels, a
//! network that delays and loses, virtual time.

pub(crate) mod peer;

use super::*;
use crate::limits::{CONNECT_TIMEOUT, CONSENT_TIMEOUT, DATA_BUFFERED_BYTES_MAX};
use crate::params::{DtlsRole, Fingerprint, FingerprintHash};
use identity::PREFERRED_PROFILES;
use peer::{World, path};
use srtp::SrtpProfile;
use std::time::Duration;

#[test]
fn a_peer_connects_in_either_dtls_role_and_both_ends_hold_the_same_keys() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut world = World::new(role, 1, 0.0);
        world.run_until(World::is_connected);
        let ours = world.keys.clone().unwrap();
        let theirs = world.peer.keys().unwrap();
        assert_eq!(ours.local.key(), theirs.remote.key());
        assert_eq!(ours.remote.key(), theirs.local.key());
        assert_eq!(ours.profile, SrtpProfile::AeadAes128Gcm);
        assert!(world.transport.is_connected());
        assert_eq!(world.transport.selected_path(), Some(path(1)));
        assert_eq!(world.transport.destination().map(|to| to.slot), Some(peer::SLOT));
        assert!(world.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn four_datagrams_lost_in_ten_each_way_do_not_keep_a_peer_out() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        for seed in 0..50 {
            let mut world = World::new(role, seed, 0.4);
            world.run_until(|world| world.is_connected() || world.elapsed() > CONNECT_TIMEOUT);
            assert!(world.is_connected(), "{role:?}, seed {seed}: {:?}", world.closed);
        }
    }
}

#[test]
fn a_wrong_fingerprint_closes_and_exposes_nothing() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut world = World::with(role, 2, 0.0, |remote| {
            let bytes = remote.fingerprints[0].bytes.iter().map(|byte| !byte).collect();
            remote.fingerprints = vec![Fingerprint { hash: FingerprintHash::Sha256, bytes }];
        });
        world.run_until(|world| world.closed.is_some());
        assert_eq!(world.closed, Some(CloseReason::FingerprintMismatch));
        assert!(world.keys.is_none() && world.events.is_empty());
        assert!(!world.transport.is_connected());
        assert_eq!(world.transport.poll_timeout(), None);
    }
}

#[test]
fn any_of_several_fingerprints_and_hashes_may_match() {
    let theirs = Identity::generate().unwrap();
    let mut world = World::between(DtlsRole::Client, &theirs, 3, 0.0, |_| {});
    world.run_until(World::is_connected);
    let certificate = world.transport.dtls.peer_certificate().unwrap().to_vec();
    for hash in [FingerprintHash::Sha256, FingerprintHash::Sha384, FingerprintHash::Sha512] {
        let wrong = Fingerprint { hash, bytes: vec![0; hash.output_len()] };
        let right = Fingerprint { hash, bytes: certificate_hash(hash, &certificate) };
        let mut world = World::between(DtlsRole::Client, &theirs, 3, 0.0, |remote| {
            remote.fingerprints = vec![wrong, right];
        });
        world.run_until(World::is_connected);
    }
}

#[test]
fn every_profile_can_be_agreed_on() {
    for profile in PREFERRED_PROFILES {
        for role in [DtlsRole::Server, DtlsRole::Client] {
            let mut world = World::offering(role, &[profile]);
            world.run_until(World::is_connected);
            assert_eq!(world.keys.as_ref().map(|keys| keys.profile), Some(profile));
        }
    }
}

#[test]
fn a_client_hello_before_the_description_is_not_lost() {
    let mut world = World::undescribed(DtlsRole::Server, &Identity::generate().unwrap(), 1, 0.0);
    world.run_for(Duration::from_millis(300));
    assert!(!world.is_connected());
    world.describe();
    let described = world.now;
    world.run_until(World::is_connected);
    assert!(world.now - described < Duration::from_millis(200));
}

#[test]
fn a_second_description_may_change_only_ice() {
    let mut world = World::new(DtlsRole::Server, 4, 0.0);
    world.run_until(World::is_connected);
    let remote = world.remote();
    let mut out = SendBatch::new();
    let now = world.now;
    let mut set = |change: &dyn Fn(&mut RemoteParameters)| {
        let mut changed = remote.clone();
        change(&mut changed);
        world.transport.set_remote(now, changed, &mut out)
    };
    assert_eq!(set(&|remote| remote.dtls_role = DtlsRole::Client), Err(DropReason::LimitExceeded));
    assert_eq!(set(&|remote| remote.fingerprints[0].bytes[0] ^= 1), Err(DropReason::LimitExceeded));
    assert_eq!(set(&|remote| remote.ice.ufrag.push('2')), Ok(()));
}

#[test]
fn dtls_from_an_address_that_ice_did_not_prove_is_refused() {
    let mut world = World::new(DtlsRole::Server, 5, 0.0);
    let mut out = SendBatch::new();
    let result = world.transport.handle_dtls(world.now, path(99), &[22; 60], &mut out);
    assert_eq!(result, Err(DropReason::UnknownAddress));
    assert!(out.is_empty());
}

#[test]
fn the_session_follows_the_peer_to_another_address() {
    let mut world = World::new(DtlsRole::Server, 6, 0.0);
    world.run_until(World::is_connected);
    let channel = world.open("x", Reliability::Reliable);
    world.peer.port = 7;
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.transport.selected_path(), Some(path(7)));
    world.send(channel, b"after the move");
    world.run_until(|world| world.peer.received.len() == 1);
    assert_eq!(world.peer.received_at, Some(path(7)));
    assert_eq!(world.closed, None);
}

#[test]
fn an_ice_restart_keeps_the_session() {
    let mut world = World::new(DtlsRole::Server, 7, 0.0);
    world.run_until(World::is_connected);
    world.restart_ice();
    world.peer.port = 8;
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.transport.selected_path(), Some(path(8)));
    assert_eq!(world.transport.local_ufrags().collect::<Vec<_>>(), ["restarted"]);
    world.run_for(2 * CONSENT_TIMEOUT);
    assert_eq!(world.closed, None);
}

#[test]
fn consent_ends_thirty_seconds_after_the_last_check() {
    let mut world = World::new(DtlsRole::Server, 8, 0.0);
    world.run_until(World::is_connected);
    world.run_for(2 * CONSENT_TIMEOUT);
    assert_eq!(world.closed, None);
    world.peer.checks = false;
    let silent = world.now;
    world.run_until(|world| world.closed.is_some());
    assert_eq!(world.closed, Some(CloseReason::ConsentExpired));
    let waited = world.now - silent;
    assert!((CONSENT_TIMEOUT - Duration::from_secs(6)..=CONSENT_TIMEOUT).contains(&waited), "{waited:?}");
}

#[test]
fn forged_checks_do_not_keep_consent_alive() {
    let mut world = World::new(DtlsRole::Server, 9, 0.0);
    world.run_until(World::is_connected);
    world.peer.pwd = "guessed".to_owned();
    world.run_until(|world| world.closed.is_some());
    assert_eq!(world.closed, Some(CloseReason::ConsentExpired));
}

#[test]
fn a_peer_that_never_comes_and_one_that_never_shakes_hands_time_out_with_their_reasons() {
    let mut absent = World::new(DtlsRole::Server, 10, 1.0);
    absent.run_until(|world| world.closed.is_some());
    assert_eq!((absent.closed, absent.elapsed()), (Some(CloseReason::IceTimeout), CONNECT_TIMEOUT));
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut mute = World::new(role, 11, 0.0);
        mute.peer.speaks_dtls = false;
        mute.run_until(|world| world.closed.is_some());
        assert_eq!((mute.closed, mute.elapsed()), (Some(CloseReason::DtlsFailed), CONNECT_TIMEOUT));
    }
}

#[test]
fn data_goes_both_ways_on_channels_of_either_side() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut world = World::new(role, 12, 0.0);
        let now = world.now;
        world.transport.open_data_channel(now, "_reliable".to_owned(), Reliability::Reliable, &mut SendBatch::new());
        world.peer.open("_lossy", Reliability::Lossy);
        world.run_until(|world| world.opened().len() == 2 && world.peer.opened.len() == 2);
        let big: Bytes = (0..60_000_u32).map(|index| index as u8).collect();
        for (channel, label, reliability) in world.opened() {
            assert_eq!(reliability, if label == "_lossy" { Reliability::Lossy } else { Reliability::Reliable });
            world.send(channel, &big);
            world.peer_send(channel, &big);
        }
        world.run_until(|world| world.peer.received.len() == 2 && world.received().len() == 2);
        assert!(world.received().iter().chain(&world.peer.received).all(|payload| *payload == big));
    }
}

#[test]
fn a_peer_that_does_not_read_its_reliable_data_is_closed() {
    let mut world = World::new(DtlsRole::Server, 13, 0.0);
    world.run_until(World::is_connected);
    let channel = world.open("x", Reliability::Reliable);
    let payload = Bytes::from(vec![0; 200_000]);
    let (now, mut out) = (world.now, SendBatch::new());
    let sent =
        (0..100).take_while(|_| world.transport.send_data(now, channel, true, payload.clone(), &mut out).is_ok());
    assert_eq!(sent.count(), DATA_BUFFERED_BYTES_MAX / payload.len());
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.closed, Some(CloseReason::DataBacklog));
}

#[test]
fn a_peer_that_floods_its_reliable_channel_is_closed_with_that_reason() {
    let mut world = World::new(DtlsRole::Server, 17, 0.0);
    world.run_until(World::is_connected);
    let channel = world.open("x", Reliability::Reliable);
    let payload = Bytes::from_static(b"x");
    for _ in 0..5_000 {
        world.peer_send(channel, &payload);
    }
    world.run_until(|world| world.closed.is_some());
    assert_eq!(world.closed, Some(CloseReason::DataFlood));
}

#[test]
fn closing_tells_the_peer_and_raises_no_event() {
    let mut world = World::new(DtlsRole::Server, 14, 0.0);
    world.run_until(World::is_connected);
    world.events.clear();
    world.close();
    world.run_for(Duration::from_secs(1));
    assert!(world.peer.closed);
    assert!(world.closed.is_none() && world.events.is_empty());
    assert_eq!(world.transport.poll_timeout(), None);
}

#[test]
fn a_transport_can_move_to_its_workers_thread() {
    fn check<T: Send>() {}
    check::<Transport>();
}

#[test]
fn a_peer_that_closes_is_noticed_at_once() {
    let mut world = World::new(DtlsRole::Client, 15, 0.0);
    world.run_until(World::is_connected);
    world.peer.close(world.now);
    let before = world.now;
    world.run_until(|world| world.closed.is_some());
    assert_eq!(world.closed, Some(CloseReason::ClosedByPeer));
    assert!(world.now - before < Duration::from_millis(100));
}

#[test]
fn garbage_from_a_proven_path_does_not_end_the_session() {
    let mut world = World::new(DtlsRole::Server, 16, 0.0);
    world.run_until(World::is_connected);
    let channel = world.open("x", Reliability::Reliable);
    world.throw_garbage(20_000);
    world.send(channel, b"still here");
    world.run_until(|world| !world.peer.received.is_empty());
    assert_eq!(world.closed, None);
}
