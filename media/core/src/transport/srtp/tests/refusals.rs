//! What must not get in, and what it must not leave behind.

use super::super::cipher::SessionCipher;
use super::super::keys::Protocol;
use super::super::{SrtpError, SrtpInbound, SrtpOutbound, SrtpProfile};
use super::{HEADER_LEN, master, pair, plain_rtcp, random, sealed_rtcp, sealed_rtp};
use crate::drops::DropReason;
use crate::ids::{ExtSeqNo, Ssrc};
use crate::limits::STREAMS_PER_PEER_MAX;
use rand::{Rng, RngExt};

#[test]
fn a_replayed_packet_is_refused_and_an_old_one_too() {
    for profile in SrtpProfile::ALL {
        let (mut outbound, mut inbound) = pair(profile);
        let mut open = |index| inbound.open_rtp(&mut sealed_rtp(&outbound, 9, index, b"payload"), HEADER_LEN).err();
        assert_eq!(open(5_000), None);
        assert_eq!(open(5_000), Some(SrtpError::Replay));
        assert_eq!(open(5_000 - 1_024), None);
        assert_eq!(open(5_000 - 1_024), Some(SrtpError::Replay));
        assert_eq!(open(5_000 - 1_984), Some(SrtpError::TooOld));

        let packets: Vec<_> = (0..200).map(|_| sealed_rtcp(&mut outbound, &plain_rtcp(9, b"body"))).collect();
        let mut open = |at: usize| inbound.open_rtcp(&mut packets[at].clone()).err();
        assert_eq!(open(199), None);
        assert_eq!(open(199), Some(SrtpError::Replay));
        assert_eq!(open(199 - 64), None);
        assert_eq!(open(199 - 64), Some(SrtpError::Replay));
        assert_eq!(open(0), Some(SrtpError::TooOld));
    }
}

#[test]
fn every_single_bit_of_a_packet_is_protected() {
    for profile in SrtpProfile::ALL {
        let (mut outbound, mut inbound) = pair(profile);
        // A first packet, so that the flips meet a stream with a history.
        inbound.open_rtp(&mut sealed_rtp(&outbound, 9, 1, b""), HEADER_LEN).unwrap();
        inbound.open_rtcp(&mut sealed_rtcp(&mut outbound, &plain_rtcp(9, b"body"))).unwrap();
        let rtp = sealed_rtp(&outbound, 9, 2, b"payload");
        let rtcp = sealed_rtcp(&mut outbound, &plain_rtcp(9, b"body"));
        for bit in 0..8 * rtp.len() {
            let mut flipped = rtp.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(inbound.open_rtp(&mut flipped, HEADER_LEN).is_err(), "{profile:?} RTP bit {bit}");
        }
        for bit in 0..8 * rtcp.len() {
            let mut flipped = rtcp.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(inbound.open_rtcp(&mut flipped).is_err(), "{profile:?} RTCP bit {bit}");
        }
        // The failures have left no trace: the true packets are still welcome.
        assert!(inbound.open_rtp(&mut rtp.clone(), HEADER_LEN).is_ok());
        assert!(inbound.open_rtcp(&mut rtcp.clone()).is_ok());
        assert_eq!((inbound.streams(), inbound.rtcp_streams()), (1, 1));
    }
}

#[test]
fn the_roll_over_counter_is_authenticated() {
    for profile in SrtpProfile::ALL {
        let (outbound, mut inbound) = pair(profile);
        inbound.open_rtp(&mut sealed_rtp(&outbound, 9, 1, b""), HEADER_LEN).unwrap();
        let mut other_round = sealed_rtp(&outbound, 9, 2 + (3 << 16), b"payload");
        assert_eq!(inbound.open_rtp(&mut other_round, HEADER_LEN), Err(SrtpError::Authentication));
    }
}

#[test]
fn forged_ssrcs_create_no_state() {
    for profile in SrtpProfile::ALL {
        let (_, mut inbound) = pair(profile);
        let mut forger = SrtpOutbound::new(profile, &master(profile, 666)).unwrap();
        for ssrc in 0..1_000 {
            let mut rtp = sealed_rtp(&forger, ssrc, 1, b"payload");
            assert_eq!(inbound.open_rtp(&mut rtp, HEADER_LEN), Err(SrtpError::Authentication));
            let mut rtcp = sealed_rtcp(&mut forger, &plain_rtcp(ssrc, b"body"));
            assert_eq!(inbound.open_rtcp(&mut rtcp), Err(SrtpError::Authentication));
        }
        assert_eq!((inbound.streams(), inbound.rtcp_streams()), (0, 0));
    }
}

#[test]
fn an_authentic_peer_may_have_so_many_streams_and_no_more() {
    let (mut outbound, mut inbound) = pair(SrtpProfile::AeadAes128Gcm);
    let limit = STREAMS_PER_PEER_MAX as u32;
    for ssrc in 0..limit + 10 {
        let want = if ssrc < limit { None } else { Some(SrtpError::TooManyStreams) };
        assert_eq!(inbound.open_rtp(&mut sealed_rtp(&outbound, ssrc, 1, b""), HEADER_LEN).err(), want);
        assert_eq!(inbound.open_rtcp(&mut sealed_rtcp(&mut outbound, &plain_rtcp(ssrc, b""))).err(), want);
    }
    assert_eq!((inbound.streams(), inbound.rtcp_streams()), (STREAMS_PER_PEER_MAX, STREAMS_PER_PEER_MAX));
    // Those that are known go on, in any order.
    for ssrc in (0..limit).rev() {
        assert!(inbound.open_rtp(&mut sealed_rtp(&outbound, ssrc, 2, b""), HEADER_LEN).is_ok());
        assert_eq!(
            inbound.open_rtp(&mut sealed_rtp(&outbound, ssrc, 1, b""), HEADER_LEN),
            Err(SrtpError::Replay),
            "each stream has a window of its own"
        );
    }
}

#[test]
fn srtcp_without_encryption_is_refused_even_when_authentic() {
    let profile = SrtpProfile::Aes128CmHmacSha1_80;
    let (_, mut inbound) = pair(profile);
    let SessionCipher::Cm(cm) = SessionCipher::new(profile, Protocol::Rtcp, &master(profile, 1)).unwrap() else {
        panic!("the profile is AES-CM");
    };
    let mut packet = plain_rtcp(9, b"body");
    packet.extend_from_slice(&1_u32.to_be_bytes());
    let tag = cm.tag(&packet, &[]);
    packet.extend_from_slice(&tag);
    assert_eq!(inbound.open_rtcp(&mut packet), Err(SrtpError::Malformed));
}

#[test]
fn truncated_packets_are_refused_at_every_length() {
    for profile in SrtpProfile::ALL {
        let (mut outbound, mut inbound) = pair(profile);
        let rtp = sealed_rtp(&outbound, 9, 2, b"payload");
        let rtcp = sealed_rtcp(&mut outbound, &plain_rtcp(9, b"body"));
        for len in 0..rtp.len() {
            assert!(inbound.open_rtp(&mut rtp[..len].to_vec(), HEADER_LEN).is_err());
            assert!(inbound.open_rtp(&mut rtp[..len].to_vec(), usize::MAX).is_err());
            assert!(inbound.open_rtp(&mut rtp[..len].to_vec(), 0).is_err());
        }
        for len in 0..rtcp.len() {
            assert!(inbound.open_rtcp(&mut rtcp[..len].to_vec()).is_err());
        }
    }
}

#[test]
fn a_header_shorter_than_the_fixed_one_or_longer_than_the_packet_is_refused() {
    for profile in SrtpProfile::ALL {
        let (outbound, mut inbound) = pair(profile);
        let rtp = sealed_rtp(&outbound, 9, 2, b"payload");
        for header_len in [0, 8, 11, rtp.len() - outbound.rtp_overhead() + 1, rtp.len(), usize::MAX] {
            assert_eq!(inbound.open_rtp(&mut rtp.clone(), header_len), Err(SrtpError::Malformed));
        }
        assert!(inbound.open_rtp(&mut rtp.clone(), HEADER_LEN).is_ok());
    }
}

#[test]
fn random_bytes_never_open_and_never_panic() {
    let mut rng = random(21);
    for profile in SrtpProfile::ALL {
        let (_, mut inbound) = pair(profile);
        for _ in 0..5_000 {
            let mut packet = vec![0; rng.random_range(0..120)];
            rng.fill_bytes(&mut packet);
            let header_len = rng.random_range(0..140);
            assert!(inbound.open_rtp(&mut packet.clone(), header_len).is_err());
            assert!(inbound.open_rtcp(&mut packet).is_err());
        }
        assert_eq!((inbound.streams(), inbound.rtcp_streams()), (0, 0));
    }
}

#[test]
fn the_wrong_direction_or_profile_does_not_open() {
    let keys = [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80];
    for profile in keys {
        let outbound = SrtpOutbound::new(profile, &master(profile, 1)).unwrap();
        let mut other = SrtpInbound::new(profile, &master(profile, 2)).unwrap();
        let mut packet = sealed_rtp(&outbound, 9, 1, b"payload");
        assert_eq!(other.open_rtp(&mut packet, HEADER_LEN), Err(SrtpError::Authentication));
        let other_profile = if profile == keys[1] { keys[0] } else { keys[1] };
        assert!(SrtpInbound::new(other_profile, &master(profile, 1)).is_err());
    }
}

#[test]
fn sealing_refuses_buffers_and_headers_that_do_not_fit() {
    for profile in SrtpProfile::ALL {
        let (mut outbound, _) = pair(profile);
        let (ssrc, index) = (Ssrc::new(9), ExtSeqNo::new(3));
        let mut out = sealed_rtp(&outbound, 9, 3, b"payload");
        let mut check = |ssrc, index, header_len, payload: &[u8], want| {
            assert_eq!(outbound.seal_rtp_from(ssrc, index, &mut out, header_len, payload), Err(want));
        };
        check(ssrc, index, HEADER_LEN, b"longer payload", SrtpError::Length);
        check(ssrc, index, HEADER_LEN, b"short", SrtpError::Length);
        check(ssrc, index, usize::MAX, b"payload", SrtpError::Length);
        check(ssrc, index, 11, b"payload", SrtpError::Length);
        check(Ssrc::new(8), index, HEADER_LEN, b"payload", SrtpError::Malformed);
        check(ssrc, ExtSeqNo::new(4), HEADER_LEN, b"payload", SrtpError::Malformed);
        let mut short = out[..HEADER_LEN + 3].to_vec();
        assert_eq!(outbound.seal_rtp_in_place(ssrc, index, &mut short, HEADER_LEN), Err(SrtpError::Length));
        let mut rtcp = plain_rtcp(9, b"body");
        assert_eq!(outbound.seal_rtcp(&mut rtcp, 12), Err(SrtpError::Length));
        assert_eq!(outbound.seal_rtcp(&mut [0; 64], 7), Err(SrtpError::Malformed));
        assert_eq!(outbound.seal_rtcp(&mut [0; 64], usize::MAX), Err(SrtpError::Length));
    }
}

#[test]
fn the_last_srtcp_index_of_a_key_can_be_sealed_and_none_after_it() {
    for profile in SrtpProfile::ALL {
        let cipher = |protocol| SessionCipher::new(profile, protocol, &master(profile, 1)).unwrap();
        let (rtp, rtcp) = (cipher(Protocol::Rtp), cipher(Protocol::Rtcp));
        let mut outbound = SrtpOutbound::with_ciphers(profile, rtp, rtcp, (1 << 31) - 1);
        let mut sealed = sealed_rtcp(&mut outbound, &plain_rtcp(9, b"body"));
        let (_, mut inbound) = pair(profile);
        assert!(inbound.open_rtcp(&mut sealed).is_ok());
        assert_eq!(outbound.seal_rtcp(&mut [0; 64], 12), Err(SrtpError::KeyExhausted));
    }
}

#[test]
fn each_error_is_counted_under_its_own_reason() {
    use SrtpError::{Authentication, KeyExhausted, Length, Malformed, Replay, TooManyStreams, TooOld};
    let all = [Malformed, Authentication, Replay, TooOld, TooManyStreams, KeyExhausted, Length];
    let reasons: std::collections::HashSet<DropReason> = all.into_iter().map(SrtpError::drop_reason).collect();
    assert_eq!(reasons.len(), all.len());
}
