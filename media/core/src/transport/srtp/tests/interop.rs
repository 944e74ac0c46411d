//! Both directions against `rtc-srtp`, another implementation of the same RFCs, from master keys on.

use super::super::{MasterKey, SrtpInbound, SrtpOutbound, SrtpProfile};
use super::{HEADER_LEN, master, plain_rtcp, plain_rtp, random, sealed_rtcp, sealed_rtp};
use rand::{Rng, RngExt, rngs::StdRng};
use rtc::srtp::{context::Context, protection_profile::ProtectionProfile};

fn theirs(profile: SrtpProfile, master: &MasterKey) -> Context {
    let name = match profile {
        SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let crypto = rtc::crypto::default_provider().unwrap();
    Context::new(master.key(), master.salt(), name, None, None, crypto.crypto()).unwrap()
}

/// Indices from shortly before one wrap to shortly after the next, in blocks of `0..=7` packets that are reversed. Between
/// the wraps only every 200th is sent, so that the test is quick.
fn shuffled_over_two_wraps(rng: &mut StdRng) -> Vec<u64> {
    let near = |wrap: u64| wrap - 300..wrap + 300;
    let far = (65_536 + 300..2 * 65_536 - 300).step_by(200);
    let mut indices: Vec<u64> = near(65_536).chain(far).chain(near(2 * 65_536)).collect();
    let mut at = 1;
    while at < indices.len() {
        let end = (at + rng.random_range(0..8)).min(indices.len());
        indices[at..end].reverse();
        at = end.max(at + 1);
    }
    indices
}

fn payload(rng: &mut StdRng) -> Vec<u8> {
    let mut payload = vec![0; 4 * rng.random_range(0..80)];
    rng.fill_bytes(&mut payload);
    payload
}

#[test]
fn rtc_srtp_opens_what_we_seal_over_two_wraps_with_reordering() {
    for profile in SrtpProfile::ALL {
        let mut rng = random(11);
        let master = master(profile, 12);
        let mut ours = SrtpOutbound::new(profile, &master).unwrap();
        let mut theirs = theirs(profile, &master);
        for index in shuffled_over_two_wraps(&mut rng) {
            let body = payload(&mut rng);
            let sealed = sealed_rtp(&ours, 0xdead_beef, index, &body);
            assert_eq!(
                theirs.decrypt_rtp(&sealed).unwrap(),
                plain_rtp(0xdead_beef, index, &body),
                "{profile:?} {index}"
            );
            let plain = plain_rtcp(0xdead_beef, &body);
            assert_eq!(theirs.decrypt_rtcp(&sealed_rtcp(&mut ours, &plain)).unwrap(), plain);
        }
    }
}

#[test]
fn we_open_what_rtc_srtp_seals_over_two_wraps_with_reordering() {
    for profile in SrtpProfile::ALL {
        let mut rng = random(13);
        let master = master(profile, 14);
        let mut ours = SrtpInbound::new(profile, &master).unwrap();
        let mut theirs = theirs(profile, &master);
        for index in shuffled_over_two_wraps(&mut rng) {
            let body = payload(&mut rng);
            let plain = plain_rtp(0xdead_beef, index, &body);
            let mut sealed = theirs.encrypt_rtp(&plain).unwrap().to_vec();
            let opened = ours.open_rtp(&mut sealed, HEADER_LEN).unwrap();
            assert_eq!((opened.ext_seq.get(), &sealed[..opened.len]), (index, &plain[..]), "{profile:?} {index}");
            let plain = plain_rtcp(0xdead_beef, &body);
            let mut sealed = theirs.encrypt_rtcp(&plain).unwrap().to_vec();
            let len = ours.open_rtcp(&mut sealed).unwrap();
            assert_eq!(&sealed[..len], &plain[..]);
        }
    }
}
