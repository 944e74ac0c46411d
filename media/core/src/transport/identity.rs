//! The certificate that every peer connection of this process presents.

use crate::params::Fingerprint;

/// A self-signed certificate with its private key. Cheap to clone; one for the whole process.
#[derive(Clone)]
pub struct Identity {
    fingerprint: Fingerprint,
}

impl Identity {
    /// SHA-256 of the certificate, for descriptions.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}
