//! From the DTLS exporter to master keys, and from a master key to session keys. Knows nothing of packets.

use super::{SrtpError, SrtpProfile};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};

/// Longest key of any profile, in bytes.
pub(super) const KEY_LEN_MAX: usize = 32;
/// Longest salt of any profile, in bytes.
pub(super) const SALT_LEN_MAX: usize = 14;
/// Key of HMAC-SHA1 (RFC 3711 section 5.2), in bytes.
pub(super) const AUTH_KEY_LEN: usize = 20;

/// Secret bytes, wiped when dropped as well as safe code can: the fill may not be optimised away because the bytes are then
/// shown to an opaque function. `Debug` hides them.
#[derive(Clone)]
struct Secret<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> Secret<MAX> {
    fn new(value: &[u8]) -> Result<Self, SrtpError> {
        let mut bytes = [0; MAX];
        bytes.get_mut(..value.len()).ok_or(SrtpError::Length)?.copy_from_slice(value);
        Ok(Self { bytes, len: value.len() })
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const MAX: usize> Drop for Secret<MAX> {
    fn drop(&mut self) {
        self.bytes.fill(0);
        std::hint::black_box(&self.bytes);
    }
}

/// Master key and master salt of one direction (RFC 3711 section 3.2.1). `Debug` hides both.
#[derive(Clone)]
pub struct MasterKey {
    key: Secret<KEY_LEN_MAX>,
    salt: Secret<SALT_LEN_MAX>,
}

impl MasterKey {
    /// `Length` unless both have the profile's lengths.
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(SrtpError::Length);
        }
        Ok(Self { key: Secret::new(key)?, salt: Secret::new(salt)? })
    }

    pub fn key(&self) -> &[u8] {
        self.key.get()
    }

    pub fn salt(&self) -> &[u8] {
        self.salt.get()
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").finish_non_exhaustive()
    }
}

/// The master keys of both directions, seen from our side.
#[derive(Clone, Debug)]
pub struct SrtpKeys {
    pub profile: SrtpProfile,
    /// Protects what we send.
    pub local: MasterKey,
    /// Protects what we receive.
    pub remote: MasterKey,
}

impl SrtpKeys {
    /// Takes apart what the DTLS exporter gave for the label `EXTRACTOR-dtls_srtp`. RFC 5764 section 4.2 sets the order:
    /// client key, server key, client salt, server salt.
    pub fn split(profile: SrtpProfile, material: &[u8], is_dtls_client: bool) -> Result<Self, SrtpError> {
        if material.len() != profile.keying_material_len() {
            return Err(SrtpError::Length);
        }
        let (keys, salts) = material.split_at(2 * profile.key_len());
        let (client_key, server_key) = keys.split_at(profile.key_len());
        let (client_salt, server_salt) = salts.split_at(profile.salt_len());
        let client = MasterKey::new(profile, client_key, client_salt)?;
        let server = MasterKey::new(profile, server_key, server_salt)?;
        let (local, remote) = if is_dtls_client { (client, server) } else { (server, client) };
        Ok(Self { profile, local, remote })
    }
}

/// The two protocols have session keys of their own; the discriminant is the first of three labels (RFC 3711 section 4.3.2).
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Rtp = 0,
    Rtcp = 3,
}

/// Session encryption key, authentication key and salt of one direction and protocol.
pub(super) struct SessionKeys {
    key: Secret<KEY_LEN_MAX>,
    auth: Secret<AUTH_KEY_LEN>,
    salt: Secret<SALT_LEN_MAX>,
}

impl SessionKeys {
    /// RFC 3711 section 4.3.1 with a key derivation rate of zero; for GCM see RFC 7714 section 11.
    pub(super) fn derive(profile: SrtpProfile, protocol: Protocol, master: &MasterKey) -> Result<Self, SrtpError> {
        if master.key().len() != profile.key_len() || master.salt().len() != profile.salt_len() {
            return Err(SrtpError::Length);
        }
        let label = protocol as u8;
        let mut keys = Self {
            key: Secret { bytes: [0; KEY_LEN_MAX], len: profile.key_len() },
            auth: Secret { bytes: [0; AUTH_KEY_LEN], len: AUTH_KEY_LEN },
            salt: Secret { bytes: [0; SALT_LEN_MAX], len: profile.salt_len() },
        };
        // A prefix of the key stream is all that is asked for, so the arrays may be filled to the end.
        prf(master, label, &mut keys.key.bytes)?;
        prf(master, label + 1, &mut keys.auth.bytes)?;
        prf(master, label + 2, &mut keys.salt.bytes)?;
        Ok(keys)
    }

    pub(super) fn key(&self) -> &[u8] {
        self.key.get()
    }

    pub(super) fn auth(&self) -> &[u8] {
        self.auth.get()
    }

    pub(super) fn salt(&self) -> &[u8] {
        self.salt.get()
    }
}

/// The pseudo-random function of RFC 3711 section 4.3.3 (RFC 6188 section 3.1 for AES-256): the AES-CM key stream from
/// `x * 2^16`, where `x` is the 112-bit master salt with the label folded in. A 96-bit salt is padded with zeros on the
/// right (RFC 7714 section 11).
pub(super) fn prf(master: &MasterKey, label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
    let algorithm = match master.key().len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(SrtpError::Length),
    };
    let key = UnboundCipherKey::new(algorithm, master.key()).and_then(EncryptingKey::ctr);
    let mut block = [0; 16];
    block[..SALT_LEN_MAX].copy_from_slice(&master.salt.bytes);
    // The key identifier is 56 bits, right-aligned in 112: its first byte, the label, falls on the eighth.
    block[7] ^= label;
    out.fill(0);
    key.and_then(|key| key.less_safe_encrypt(out, EncryptionContext::Iv128(block.into())))
        .map_err(|_| SrtpError::Length)?;
    Ok(())
}
