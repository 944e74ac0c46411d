//! SRTP, sealing and opening, by profile and length, beside the bare calls to aws-lc-rs that it cannot do without.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use consilium_media_core::ids::{ExtSeqNo, SeqNo, Ssrc};
use consilium_media_core::transport::srtp::{MasterKey, SrtpInbound, SrtpOutbound, SrtpProfile};
use race::Race;
use std::hint::black_box;
use std::time::{Duration, Instant};

mod race;

const HEADER_LEN: usize = 24;
/// Opus, and a full video packet.
const PAYLOAD_LENS: [usize; 2] = [100, 1_160];
/// Packets prepared together: few enough to lie in the processor's cache.
const CHUNK: usize = 64;
const SSRC: Ssrc = Ssrc::new(7);

fn name(profile: SrtpProfile) -> &'static str {
    match profile {
        SrtpProfile::AeadAes128Gcm => "AES-128-GCM",
        SrtpProfile::AeadAes256Gcm => "AES-256-GCM",
        SrtpProfile::Aes128CmHmacSha1_80 => "AES128_CM_HMAC_SHA1_80",
    }
}

fn master(profile: SrtpProfile) -> MasterKey {
    MasterKey::new(profile, &vec![7; profile.key_len()], &vec![9; profile.salt_len()]).expect("the lengths are right")
}

fn header(index: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..2].copy_from_slice(&[0x90, 96]);
    header[2..4].copy_from_slice(&SeqNo::new(index as u16).get().to_be_bytes());
    header[8..12].copy_from_slice(&SSRC.get().to_be_bytes());
    header[12..16].copy_from_slice(&[0xbe, 0xde, 0, 2]);
    header
}

/// Seals packet after packet, each with its own index.
struct Sealer {
    outbound: SrtpOutbound,
    index: u64,
    payload: Vec<u8>,
}

impl Sealer {
    fn new(profile: SrtpProfile, payload_len: usize) -> Self {
        let outbound = SrtpOutbound::new(profile, &master(profile)).expect("the key fits the profile");
        Self { outbound, index: 0x1000, payload: vec![5; payload_len] }
    }

    fn packet_len(&self) -> usize {
        HEADER_LEN + self.payload.len() + self.outbound.rtp_overhead()
    }

    #[inline]
    fn seal(&mut self, out: &mut [u8]) {
        self.index += 1;
        out[..HEADER_LEN].copy_from_slice(&header(self.index));
        let index = ExtSeqNo::new(self.index);
        self.outbound.seal_rtp_from(SSRC, index, out, HEADER_LEN, &self.payload).expect("the buffer fits");
    }
}

fn seal(profile: SrtpProfile, payload_len: usize) -> race::Timed {
    let mut sealer = Sealer::new(profile, payload_len);
    let mut out = vec![0; sealer.packet_len()];
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            sealer.seal(black_box(&mut out));
        }
        start.elapsed()
    })
}

fn open(profile: SrtpProfile, payload_len: usize) -> race::Timed {
    let mut sealer = Sealer::new(profile, payload_len);
    let mut inbound = SrtpInbound::new(profile, &master(profile)).expect("the key fits the profile");
    let mut packets = vec![vec![0; sealer.packet_len()]; CHUNK];
    in_chunks(move |count| {
        packets[..count].iter_mut().for_each(|packet| sealer.seal(packet));
        let start = Instant::now();
        for packet in &mut packets[..count] {
            inbound.open_rtp(black_box(packet), HEADER_LEN).expect("the packet is authentic");
        }
        start.elapsed()
    })
}

/// Handles `times` packets, at most [`CHUNK`] at once.
fn in_chunks(mut chunk: impl FnMut(usize) -> Duration + 'static) -> race::Timed {
    Box::new(move |times| {
        let mut left = times as usize;
        let mut elapsed = Duration::ZERO;
        while left > 0 {
            let count = left.min(CHUNK);
            elapsed += chunk(count);
            left -= count;
        }
        elapsed
    })
}

fn gcm_key(algorithm: &'static Algorithm) -> LessSafeKey {
    let key = vec![7; algorithm.key_len()];
    LessSafeKey::new(UnboundKey::new(algorithm, &key).expect("the key has its length"))
}

fn nonce(count: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&count.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn bare_gcm_seal(algorithm: &'static Algorithm, payload_len: usize) -> race::Timed {
    let (key, payload) = (gcm_key(algorithm), vec![5; payload_len]);
    let (mut body, mut tag, mut count) = (vec![0; payload_len], [0; 16], 0);
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            count += 1;
            let aad = Aad::from(header(count));
            key.seal_out_of_place_scatter(nonce(count), aad, &payload, black_box(&mut body), &[], &mut tag)
                .expect("the buffers fit");
        }
        start.elapsed()
    })
}

fn bare_gcm_open(algorithm: &'static Algorithm, payload_len: usize) -> race::Timed {
    let key = gcm_key(algorithm);
    let (mut sealed, mut count) = (vec![vec![0; payload_len + 16]; CHUNK], 0);
    in_chunks(move |packets| {
        let first = count;
        for body in &mut sealed[..packets] {
            count += 1;
            let (body, tag) = body.split_at_mut(payload_len);
            let written = key.seal_in_place_separate_tag(nonce(count), Aad::from(header(count)), body);
            tag.copy_from_slice(written.expect("the key works").as_ref());
        }
        let start = Instant::now();
        for (body, count) in sealed[..packets].iter_mut().zip(first + 1..) {
            key.open_in_place(nonce(count), Aad::from(header(count)), black_box(body)).expect("it is authentic");
        }
        start.elapsed()
    })
}

/// Counter mode and HMAC: the same work in both directions, in the other order.
fn bare_cm(payload_len: usize) -> race::Timed {
    let key = UnboundCipherKey::new(&AES_128, &[7; 16]).expect("the key has its length");
    let key = EncryptingKey::ctr(key).expect("counter mode is there");
    let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[3; 20]);
    let mut packet = vec![5; HEADER_LEN + payload_len];
    let mut count = 0_u128;
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            count += 1 << 16;
            let iv = EncryptionContext::Iv128(count.to_be_bytes().into());
            key.less_safe_encrypt(&mut packet[HEADER_LEN..], iv).expect("the counter has its length");
            black_box(hmac::sign(&mac, &packet));
        }
        start.elapsed()
    })
}

fn main() {
    let mut races = Vec::new();
    for profile in SrtpProfile::ALL {
        for len in PAYLOAD_LENS {
            let (seal_floor, open_floor) = match profile {
                SrtpProfile::AeadAes128Gcm => (bare_gcm_seal(&AES_128_GCM, len), bare_gcm_open(&AES_128_GCM, len)),
                SrtpProfile::AeadAes256Gcm => (bare_gcm_seal(&AES_256_GCM, len), bare_gcm_open(&AES_256_GCM, len)),
                SrtpProfile::Aes128CmHmacSha1_80 => (bare_cm(len), bare_cm(len)),
            };
            let race = |verb: &str, subject, floor| Race {
                name: format!("{verb} {} {len}", name(profile)),
                units: 1,
                subject,
                floor,
            };
            races.push(race("seal", seal(profile, len), seal_floor));
            races.push(race("open", open(profile, len), open_floor));
        }
    }
    race::run("packet", races);
}
