//! AEAD_AES_128_GCM and AEAD_AES_256_GCM (RFC 7714). Knows one session key and its salt, nothing of packet layout.

use super::keys::SessionKeys;
use super::{SrtpError, SrtpProfile};
use crate::ids::Ssrc;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

pub(super) struct GcmCipher {
    key: LessSafeKey,
    salt: [u8; NONCE_LEN],
}

impl GcmCipher {
    pub(super) fn new(profile: SrtpProfile, keys: &SessionKeys) -> Result<Self, SrtpError> {
        Self::from_raw(profile, keys.key(), keys.salt())
    }

    pub(super) fn from_raw(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        let algorithm = match profile {
            SrtpProfile::AeadAes128Gcm => &AES_128_GCM,
            SrtpProfile::AeadAes256Gcm => &AES_256_GCM,
            SrtpProfile::Aes128CmHmacSha1_80 => return Err(SrtpError::Length),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::Length)?;
        let salt = salt.try_into().map_err(|_| SrtpError::Length)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// Writes the ciphertext of `plain` to `out`, which has the same length, then that of `extra` and the tag to
    /// `extra_and_tag`.
    pub(super) fn seal_from(
        &self,
        (ssrc, index): (Ssrc, u64),
        aad: &[u8],
        (plain, extra): (&[u8], &[u8]),
        out: &mut [u8],
        extra_and_tag: &mut [u8],
    ) -> Result<(), SrtpError> {
        self.key
            .seal_out_of_place_scatter(self.nonce(ssrc, index), Aad::from(aad), plain, out, extra, extra_and_tag)
            .map_err(|_| SrtpError::Length)
    }

    pub(super) fn seal_in_place(
        &self,
        (ssrc, index): (Ssrc, u64),
        aad: &[u8],
        in_out: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), SrtpError> {
        self.key
            .seal_in_place_scatter(self.nonce(ssrc, index), Aad::from(aad), in_out, &[], tag)
            .map_err(|_| SrtpError::Length)
    }

    pub(super) fn open_in_place(
        &self,
        (ssrc, index): (Ssrc, u64),
        aad: &[u8],
        in_out: &mut [u8],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        self.key
            .open_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), tag, in_out)
            .map(|_| ())
            .map_err(|_| SrtpError::Authentication)
    }

    /// RFC 7714 sections 8.1 and 9.1: two zero bytes, the SSRC and 48 bits of index, over the salt. For SRTP the index is
    /// roll-over counter and sequence; for SRTCP it is the 31-bit index behind 16 zero bits, which is the same sum.
    fn nonce(&self, ssrc: Ssrc, index: u64) -> Nonce {
        let mut iv = [0; NONCE_LEN];
        iv[2..6].copy_from_slice(&ssrc.get().to_be_bytes());
        iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        iv.iter_mut().zip(&self.salt).for_each(|(byte, salt)| *byte ^= salt);
        Nonce::assume_unique_for_key(iv)
    }
}
