//! The choice between the two transforms, made once per session. Knows no state of streams.

use super::cm::CmCipher;
use super::gcm::GcmCipher;
use super::keys::{MasterKey, Protocol, SessionKeys};
use super::{SrtpError, SrtpProfile};

/// The cipher of one direction and protocol.
pub(super) enum SessionCipher {
    Gcm(Box<GcmCipher>),
    Cm(Box<CmCipher>),
}

impl SessionCipher {
    pub(super) fn new(profile: SrtpProfile, protocol: Protocol, master: &MasterKey) -> Result<Self, SrtpError> {
        let keys = SessionKeys::derive(profile, protocol, master)?;
        match profile {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => {
                GcmCipher::new(profile, &keys).map(|cipher| Self::Gcm(Box::new(cipher)))
            }
            SrtpProfile::Aes128CmHmacSha1_80 => CmCipher::new(&keys).map(|cipher| Self::Cm(Box::new(cipher))),
        }
    }
}
