//! The vectors that RFC 3711 and RFC 7714 publish.

use super::super::cipher::SessionCipher;
use super::super::cm::CmCipher;
use super::super::gcm::GcmCipher;
use super::super::keys::prf;
use super::super::{MasterKey, SrtpInbound, SrtpOutbound, SrtpProfile};
use crate::ids::{ExtSeqNo, Ssrc};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// RFC 3711 appendix B.2: SSRC, roll-over counter and sequence are zero, so the counter is the salt itself.
#[test]
fn the_aes_cm_key_stream_is_that_of_rfc_3711() {
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
    let cipher = CmCipher::from_raw(&hex("2B7E151628AED2A6ABF7158809CF4F3C"), &salt, &[0; 20]).unwrap();
    let mut stream = vec![0; 0xff02 * 16];
    cipher.apply_keystream((Ssrc::new(0), 0), &mut stream).unwrap();
    let check = |block: usize, want: &str| assert_eq!(&stream[block * 16..][..16], hex(want));
    check(0x0000, "E03EAD0935C95E80E166B16DD92B4EB4");
    check(0x0001, "D23513162B02D0F72A43A2FE4A5F97AB");
    check(0x0002, "41E95B3BB0A2E8DD477901E4FCA894C0");
    check(0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4");
    check(0xff00, "362B7C3C6773516318A077D7FC5073AE");
    check(0xff01, "6A2CC3787889374FBEB4C81B17BA6C44");
}

/// RFC 3711 appendix B.3.
#[test]
fn session_keys_are_derived_as_in_rfc_3711() {
    let master = MasterKey::new(
        SrtpProfile::Aes128CmHmacSha1_80,
        &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &hex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap();
    let check = |label: u8, want: &str| {
        let want = hex(want);
        let mut out = vec![0; want.len()];
        prf(&master, label, &mut out).unwrap();
        assert_eq!(out, want, "label {label}");
    };
    check(0, "C61E7A93744F39EE10734AFE3FF7A087");
    check(2, "30CBBC08863D8C85D49DB34A9AE1");
    check(
        1,
        "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
         E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
         6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2DC68",
    );
}

/// RFC 7714 sections 16 and 17 share a salt and keys that count up from zero. These are session keys.
fn rfc_7714(profile: SrtpProfile) -> SessionCipher {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    let salt = hex("51756964 2070726f 2071756f");
    SessionCipher::Gcm(Box::new(GcmCipher::from_raw(profile, &key, &salt).unwrap()))
}

/// RFC 7714 sections 16.1 and 16.2.
#[test]
fn gcm_srtp_is_that_of_rfc_7714() {
    const HEADER_LEN: usize = 12;
    let plain =
        hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465
        73207472 6573");
    let check = |profile: SrtpProfile, want: &str| {
        let want = hex(want);
        let outbound = SrtpOutbound::with_ciphers(profile, rfc_7714(profile), rfc_7714(profile), 0);
        let mut sealed = vec![0; want.len()];
        sealed[..HEADER_LEN].copy_from_slice(&plain[..HEADER_LEN]);
        let (ssrc, index) = (Ssrc::new(0x5501_a0b2), ExtSeqNo::new(0xf17b));
        outbound.seal_rtp_from(ssrc, index, &mut sealed, HEADER_LEN, &plain[HEADER_LEN..]).unwrap();
        assert_eq!(sealed, want);
        let mut inbound = SrtpInbound::with_ciphers(profile, rfc_7714(profile), rfc_7714(profile));
        let opened = inbound.open_rtp(&mut sealed, HEADER_LEN).unwrap();
        assert_eq!((opened.ext_seq, &sealed[..opened.len]), (index, &plain[..]));
    };
    check(
        SrtpProfile::AeadAes128Gcm,
        "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf
         8833899d 7f27beb1 6a9152cf 765ee439 0cce",
    );
    check(
        SrtpProfile::AeadAes256Gcm,
        "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799
         b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
    );
}

/// RFC 7714 sections 17.1 and 17.2.
#[test]
fn gcm_srtcp_is_that_of_rfc_7714() {
    let plain =
        hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef
        deadbeef deadbeef");
    let check = |profile: SrtpProfile, want: &str| {
        let want = hex(want);
        let mut outbound = SrtpOutbound::with_ciphers(profile, rfc_7714(profile), rfc_7714(profile), 0x5d4);
        let mut sealed = plain.clone();
        sealed.resize(want.len(), 0);
        assert_eq!(outbound.seal_rtcp(&mut sealed, plain.len()), Ok(want.len()));
        assert_eq!(sealed, want);
        let mut inbound = SrtpInbound::with_ciphers(profile, rfc_7714(profile), rfc_7714(profile));
        assert_eq!(inbound.open_rtcp(&mut sealed), Ok(plain.len()));
        assert_eq!(&sealed[..plain.len()], &plain[..]);
    };
    check(
        SrtpProfile::AeadAes128Gcm,
        "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded
         0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
    );
    check(
        SrtpProfile::AeadAes256Gcm,
        "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047
         6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
    );
}
