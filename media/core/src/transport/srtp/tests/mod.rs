//! Properties of the two directions together. The published vectors and the cross-check with another implementation have
//! files of their own.

mod interop;
mod refusals;
mod roll_over;
mod vectors;

use super::{MasterKey, SrtpInbound, SrtpKeys, SrtpOutbound, SrtpProfile};
use crate::ids::{ExtSeqNo, Ssrc};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn master(profile: SrtpProfile, seed: u64) -> MasterKey {
    let mut material = vec![0; profile.key_len() + profile.salt_len()];
    random(seed).fill_bytes(&mut material);
    let (key, salt) = material.split_at(profile.key_len());
    MasterKey::new(profile, key, salt).unwrap()
}

/// A sender and the receiver of what it sends.
fn pair(profile: SrtpProfile) -> (SrtpOutbound, SrtpInbound) {
    let master = master(profile, 1);
    (SrtpOutbound::new(profile, &master).unwrap(), SrtpInbound::new(profile, &master).unwrap())
}

/// Length of [`header`], in bytes: fixed header, one CSRC and a one-byte-form extension of one word.
const HEADER_LEN: usize = 24;

fn header(ssrc: u32, seq: u16) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0] = 0x91;
    header[1] = 96;
    header[2..4].copy_from_slice(&seq.to_be_bytes());
    header[4..8].copy_from_slice(&0x0102_0304_u32.to_be_bytes());
    header[8..12].copy_from_slice(&ssrc.to_be_bytes());
    header[12..16].copy_from_slice(&7_u32.to_be_bytes());
    header[16..20].copy_from_slice(&[0xbe, 0xde, 0, 1]);
    header[20..24].copy_from_slice(&[0x10, 0xaa, 0, 0]);
    header
}

fn plain_rtp(ssrc: u32, index: u64, payload: &[u8]) -> Vec<u8> {
    [&header(ssrc, index as u16)[..], payload].concat()
}

fn sealed_rtp(out: &SrtpOutbound, ssrc: u32, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut packet = plain_rtp(ssrc, index, &[]);
    packet.resize(HEADER_LEN + payload.len() + out.rtp_overhead(), 0xee);
    out.seal_rtp_from(Ssrc::new(ssrc), ExtSeqNo::new(index), &mut packet, HEADER_LEN, payload).unwrap();
    packet
}

#[test]
fn padding_is_sealed_as_if_it_stood_behind_the_payload() {
    for profile in SrtpProfile::ALL {
        let (outbound, _) = pair(profile);
        for (index, (payload_len, padding_len)) in
            [(983, 1), (1_000, 16), (0, 4), (17, 3), (32, 16)].into_iter().enumerate()
        {
            let (payload, padding) = (vec![5; payload_len], vec![6; padding_len]);
            let whole = sealed_rtp(&outbound, 5, index as u64, &[&payload[..], &padding[..]].concat());
            let mut in_parts = plain_rtp(5, index as u64, &[]);
            in_parts.resize(whole.len(), 0xee);
            let parts = (&payload[..], &padding[..]);
            let index = ExtSeqNo::new(index as u64);
            outbound.seal_padded_rtp_from(Ssrc::new(5), index, &mut in_parts, HEADER_LEN, parts).unwrap();
            assert_eq!(in_parts, whole, "{profile:?}");
        }
    }
}

/// A sender report's fixed part and nothing valid behind it: SRTCP does not look.
fn plain_rtcp(ssrc: u32, body: &[u8]) -> Vec<u8> {
    [&[0x80, 200, 0, (body.len() / 4 + 1) as u8][..], &ssrc.to_be_bytes(), body].concat()
}

fn sealed_rtcp(out: &mut SrtpOutbound, plain: &[u8]) -> Vec<u8> {
    let mut packet = plain.to_vec();
    packet.resize(plain.len() + out.rtcp_overhead(), 0xee);
    let total = out.seal_rtcp(&mut packet, plain.len()).unwrap();
    assert_eq!(total, packet.len());
    packet
}

#[test]
fn what_is_sealed_opens_and_both_ways_of_sealing_agree() {
    let mut rng = random(2);
    for profile in SrtpProfile::ALL {
        let (mut outbound, mut inbound) = pair(profile);
        for index in 1..200 {
            let mut payload = vec![0; rng.random_range(0..1_400)];
            rng.fill_bytes(&mut payload);
            let plain = plain_rtp(5, index, &payload);
            let mut sealed = sealed_rtp(&outbound, 5, index, &payload);
            let mut in_place = plain.clone();
            in_place.resize(plain.len() + outbound.rtp_overhead(), 0);
            outbound.seal_rtp_in_place(Ssrc::new(5), ExtSeqNo::new(index), &mut in_place, HEADER_LEN).unwrap();
            assert_eq!(sealed, in_place);
            let opened = inbound.open_rtp(&mut sealed, HEADER_LEN).unwrap();
            assert_eq!((opened.ext_seq.get(), &sealed[..opened.len]), (index, &plain[..]));

            payload.truncate(payload.len() / 4 * 4);
            let plain = plain_rtcp(5, &payload);
            let mut sealed = sealed_rtcp(&mut outbound, &plain);
            let len = inbound.open_rtcp(&mut sealed).unwrap();
            assert_eq!(&sealed[..len], &plain[..]);
        }
    }
}

#[test]
fn exported_material_is_split_so_that_client_and_server_understand_each_other() {
    for profile in SrtpProfile::ALL {
        let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        let client = SrtpKeys::split(profile, &material, true).unwrap();
        let server = SrtpKeys::split(profile, &material, false).unwrap();
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        assert_eq!(client.local.key(), &material[..key_len]);
        assert_eq!(client.remote.key(), &material[key_len..2 * key_len]);
        assert_eq!(client.local.salt(), &material[2 * key_len..2 * key_len + salt_len]);
        assert_eq!(client.remote.salt(), &material[2 * key_len + salt_len..]);
        assert_eq!((client.local.key(), client.local.salt()), (server.remote.key(), server.remote.salt()));
        assert_eq!((client.remote.key(), client.remote.salt()), (server.local.key(), server.local.salt()));
        assert!(SrtpKeys::split(profile, &material[1..], true).is_err());
        assert_eq!(format!("{:?}", client.local), "MasterKey { .. }");
    }
}
