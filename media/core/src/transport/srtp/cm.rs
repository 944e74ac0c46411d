//! AES128_CM_HMAC_SHA1_80 (RFC 3711 sections 4.1.1 and 4.2.1). Knows the session keys, nothing of packet layout.

use super::SrtpError;
use super::keys::{SALT_LEN_MAX, SessionKeys};
use crate::ids::Ssrc;
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// 80 bits of HMAC-SHA1.
pub(super) const TAG_LEN: usize = 10;

pub(super) struct CmCipher {
    key: EncryptingKey,
    salt: [u8; SALT_LEN_MAX],
    /// Holds both padded key blocks already hashed: a packet costs a copy of the state, no allocation.
    auth: hmac::Key,
}

impl CmCipher {
    pub(super) fn new(keys: &SessionKeys) -> Result<Self, SrtpError> {
        Self::from_raw(keys.key(), keys.salt(), keys.auth())
    }

    pub(super) fn from_raw(key: &[u8], salt: &[u8], auth: &[u8]) -> Result<Self, SrtpError> {
        let key = UnboundCipherKey::new(&AES_128, key).and_then(EncryptingKey::ctr).map_err(|_| SrtpError::Length)?;
        let salt = salt.try_into().map_err(|_| SrtpError::Length)?;
        Ok(Self { key, salt, auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth) })
    }

    /// Adds the key stream: seals and opens alike.
    pub(super) fn apply_keystream(&self, (ssrc, index): (Ssrc, u64), in_out: &mut [u8]) -> Result<(), SrtpError> {
        let counter = EncryptionContext::Iv128(self.counter(ssrc, index).into());
        self.key.less_safe_encrypt(in_out, counter).map(|_| ()).map_err(|_| SrtpError::Length)
    }

    /// The tag over `message` followed by `suffix`.
    pub(super) fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.auth);
        context.update(message);
        context.update(suffix);
        let full = context.sign();
        let mut tag = [0; TAG_LEN];
        tag.iter_mut().zip(full.as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }

    pub(super) fn verify(&self, message: &[u8], suffix: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        verify_slices_are_equal(&self.tag(message, suffix), tag).map_err(|_| SrtpError::Authentication)
    }

    /// RFC 3711 section 4.1.1: `salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16`.
    fn counter(&self, ssrc: Ssrc, index: u64) -> [u8; 16] {
        let mut block = [0; 16];
        block[4..8].copy_from_slice(&ssrc.get().to_be_bytes());
        block[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        block.iter_mut().zip(&self.salt).for_each(|(byte, salt)| *byte ^= salt);
        block
    }
}
