//! API keys as texts: `ck_`, the identifier's word, `_` and the secret. The server keeps only a SHA-256 of the secret. A
//! slow password hash would add nothing: the secret is 256 random bits, which nobody guesses however fast they can try.

use super::secret::SecretHash;
use crate::ids::ApiKeyId;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use std::fmt;

const PREFIX: &str = "ck_";
const ID_PREFIX: &str = "key_";
/// Characters of the identifier without its prefix.
const ID_WORD_LEN: usize = 26;
const SECRET_BYTES: usize = 32;
/// Keeps the key for sealing apart from the hash that is stored: neither tells of the other.
const SEAL_CONTEXT: &[u8] = b"consilium seals an answer\0";

/// A whole key, secret included. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeySecret {
    id: ApiKeyId,
    secret: [u8; SECRET_BYTES],
}

impl ApiKeySecret {
    pub fn new(id: ApiKeyId) -> Self {
        let mut secret = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        Self { id, secret }
    }

    /// `None` for whatever is not written as a key is.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (word, secret) = rest.split_at_checked(ID_WORD_LEN)?;
        let secret = URL_SAFE_NO_PAD.decode(secret.strip_prefix('_')?).ok()?;
        let id = ApiKeyId::parse(&format!("{ID_PREFIX}{word}"))?;
        Some(Self { id, secret: secret.try_into().ok()? })
    }

    /// The text that its holder keeps. Named so that a reader of the call sees what is given away.
    pub fn expose(&self) -> String {
        let word = self.id.as_str().strip_prefix(ID_PREFIX).unwrap_or_default();
        format!("{PREFIX}{word}_{}", URL_SAFE_NO_PAD.encode(self.secret))
    }

    pub fn id(&self) -> &ApiKeyId {
        &self.id
    }

    /// What is stored.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }

    pub fn seal_key(&self) -> SealKey {
        let key = digest(&SHA256, &[SEAL_CONTEXT, &self.secret].concat());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(key.as_ref());
        SealKey(bytes)
    }
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeySecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key that only the holder of a secret can make: the database alone does not open what was sealed with it.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// From what is a secret of full entropy, or was derived from one.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// AES-256-GCM with a random nonce, which is safe for the few thousand answers that one caller has sealed at a time.
    /// `context` is bound to the result.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = plain.to_vec();
        let nonce_value = Nonce::assume_unique_for_key(nonce);
        self.cipher()?.seal_in_place_append_tag(nonce_value, Aad::from(context.as_bytes()), &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// `None` where it was sealed by another, for another context, or changed.
    pub fn open(&self, context: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.cipher()?.open_in_place(nonce, Aad::from(context.as_bytes()), &mut sealed).ok()?;
        Some(plain.to_vec())
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    fn key() -> ApiKeySecret {
        ApiKeySecret::new(ApiKeyId::new(Moment::from_ms(1)))
    }

    #[test]
    fn a_key_survives_its_text_and_shows_nothing_in_debug() {
        let key = key();
        let text = key.expose();
        assert_eq!(ApiKeySecret::parse(&text), Some(key.clone()));
        assert!(text.starts_with("ck_") && text.len() == 3 + 26 + 1 + 43, "{text}");
        assert!(!format!("{key:?} {:?}", key.seal_key()).contains(&text[30..]));
        assert!(key.hash().matches(&SecretHash::from_stored(key.hash().as_str().to_owned())));
        assert!(!key.hash().matches(&ApiKeySecret::new(key.id().clone()).hash()));
    }

    #[test]
    fn what_is_not_a_key_is_none() {
        let text = key().expose();
        for wrong in [
            String::new(),
            "ck_".into(),
            "ck_ü".repeat(20),
            text[..text.len() - 1].to_owned(),
            format!("{text}A"),
            text.replacen("ck_", "xx_", 1),
            text.replacen('_', "-", 2),
        ] {
            assert_eq!(ApiKeySecret::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_one_sealed_another_cannot_open() {
        let (own, other) = (key().seal_key(), key().seal_key());
        let sealed = own.seal("a", b"answer").unwrap();
        assert_eq!(own.open("a", &sealed).as_deref(), Some(&b"answer"[..]));
        assert_eq!(own.open("b", &sealed), None);
        assert_eq!(other.open("a", &sealed), None);
        assert_eq!(own.open("a", &sealed[1..]), None);
        assert_ne!(own.seal("a", b"answer"), Some(sealed));
    }
}
