//! Joining: ICE and DTLS in memory, both ends of it, until media may flow. The floor is the public-key cryptography that the two
//! ends cannot do without: each makes a key, agrees, signs and verifies.

use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey as Share, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use consilium_benches::meeting::Meeting;
use consilium_media_core::transport::identity::Identity;
use race::Race;
use std::hint::black_box;
use std::time::{Duration, Instant};

mod race;

/// People who come into one room at the same time.
const PEOPLE: usize = 10;

fn join() -> race::Timed {
    let identity = Identity::generate().expect("a certificate can be made");
    Box::new(move |times| {
        let mut elapsed = Duration::ZERO;
        for seed in 0..times {
            let mut meeting = Meeting::new(identity.clone(), seed, Instant::now());
            // Their certificates are made before.
            for _ in 0..PEOPLE {
                meeting.join().expect("a peer can be made");
            }
            let start = Instant::now();
            meeting.connect_all().expect("everybody connects");
            elapsed += start.elapsed();
        }
        elapsed
    })
}

fn crypto() -> race::Timed {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key can be made");
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times as usize * PEOPLE {
            handshake(&random, &key);
        }
        start.elapsed()
    })
}

/// Both ends.
fn handshake(random: &SystemRandom, key: &EcdsaKeyPair) {
    let mut shares: Vec<EphemeralPrivateKey> = Vec::with_capacity(2);
    let mut public = Vec::with_capacity(2);
    for _ in 0..2 {
        let private = EphemeralPrivateKey::generate(&X25519, random).expect("a key can be made");
        public.push(private.compute_public_key().expect("it has a public half"));
        shares.push(private);
    }
    for (private, public) in shares.into_iter().zip(public.iter().rev()) {
        let public = Share::new(&X25519, public.as_ref());
        agree_ephemeral(private, public, "failed", |secret| {
            black_box(secret.len());
            Ok(())
        })
        .expect("both use the same curve");
        let signature = key.sign(random, b"what was said so far").expect("the key works");
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
        verifier.verify(b"what was said so far", signature.as_ref()).expect("it was signed above");
    }
}

fn main() {
    let name = format!("{PEOPLE} people, both ends");
    race::run("join", vec![Race { name, units: PEOPLE as u64, subject: join(), floor: crypto() }]);
}
