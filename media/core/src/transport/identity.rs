//! The certificate that every peer connection of this process presents, and the DTLS configurations built around it.
//!
//! Knows nothing of a single connection.

use super::srtp::SrtpProfile;
use crate::params::{Fingerprint, FingerprintHash};
use aws_lc_rs::digest;
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::AwsLcRsProvider;
use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
#[allow(clippy::disallowed_types, reason = "rtc-dtls takes its configuration and its crypto provider in an Arc")]
use std::sync::Arc;
use std::time::Duration;

/// The engine's own timer is only a lower bound: [`super::dtls`] decides when a flight is repeated.
const ENGINE_FLIGHT_INTERVAL: Duration = Duration::from_millis(50);
/// Handshake datagrams fit every path that carries WebRTC (RFC 8831 section 5 asks for 1,200 bytes).
const HANDSHAKE_MTU: usize = 1_200;
/// AEAD suites only; RFC 8827 section 6.5 requires the first.
const CIPHER_SUITES: [CipherSuiteId; 4] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
];
/// What we prefer, best first: GCM costs a fifth of what the counter-mode profile costs.
pub(super) const PREFERRED_PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80];

#[allow(clippy::disallowed_types, reason = "rtc-dtls takes its configuration in an Arc")]
pub(super) type DtlsConfig = Arc<HandshakeConfig>;

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("no certificate could be generated")]
    Certificate,
    #[error("the DTLS configuration was refused")]
    Configuration,
}

/// A self-signed ECDSA P-256 certificate with its private key. Cheap to clone; one for the whole process.
#[derive(Clone)]
pub struct Identity {
    fingerprint: Fingerprint,
    /// As the server, one configuration per profile that we accept, in our order of preference: the engine follows the
    /// client's order, and Chromium offers the slowest profile first.
    server: Vec<DtlsConfig>,
    client: DtlsConfig,
}

impl Identity {
    pub fn generate() -> Result<Self, IdentityError> {
        Self::with_profiles(&PREFERRED_PROFILES)
    }

    /// Accepts and offers only `profiles`, in this order.
    pub(super) fn with_profiles(profiles: &[SrtpProfile]) -> Result<Self, IdentityError> {
        #[allow(clippy::disallowed_types, reason = "rtc-dtls takes its crypto provider in an Arc")]
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::new());
        let certificate = Certificate::generate_self_signed(vec!["webrtc".to_owned()], provider.crypto())
            .map_err(|_| IdentityError::Certificate)?;
        let der = certificate.certificate.first().ok_or(IdentityError::Certificate)?;
        let fingerprint = Fingerprint {
            hash: FingerprintHash::Sha256,
            bytes: certificate_hash(FingerprintHash::Sha256, der.as_ref()),
        };
        let build = |is_client: bool, profiles: &[SrtpProfile]| {
            let config = ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![certificate.clone()])
                .with_cipher_suites(CIPHER_SUITES.to_vec())
                .with_srtp_protection_profiles(profiles.iter().copied().map(to_wire).collect())
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                // WebRTC authenticates by fingerprint (RFC 8827 section 5.6.4), which the transport checks before
                // anything of the connection is exposed.
                .with_insecure_skip_verify(true)
                .with_extended_master_secret(ExtendedMasterSecretType::Require)
                .with_flight_interval(ENGINE_FLIGHT_INTERVAL)
                .with_mtu(HANDSHAKE_MTU)
                .with_server_name("webrtc".to_owned())
                .build(is_client, None)
                .map_err(|_| IdentityError::Configuration)?;
            #[allow(clippy::disallowed_types, reason = "rtc-dtls takes its configuration in an Arc")]
            Ok(Arc::new(config))
        };
        let server = profiles.iter().map(|&profile| build(false, &[profile])).collect::<Result<_, _>>()?;
        Ok(Self { fingerprint, server, client: build(true, profiles)? })
    }

    /// SHA-256 of the certificate, for descriptions.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The configuration for the `rung`-th profile in our order of preference.
    pub(super) fn server_config(&self, rung: usize) -> Option<DtlsConfig> {
        self.server.get(rung).cloned()
    }

    pub(super) fn client_config(&self) -> DtlsConfig {
        self.client.clone()
    }
}

/// Hash of a DER certificate as descriptions carry it (RFC 8122 section 5).
pub(super) fn certificate_hash(hash: FingerprintHash, der: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        FingerprintHash::Sha256 => &digest::SHA256,
        FingerprintHash::Sha384 => &digest::SHA384,
        FingerprintHash::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, der).as_ref().to_vec()
}

fn to_wire(profile: SrtpProfile) -> SrtpProtectionProfile {
    match profile {
        SrtpProfile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        SrtpProfile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}

/// `None` for a profile that we never offer.
pub(super) fn from_wire(profile: SrtpProtectionProfile) -> Option<SrtpProfile> {
    PREFERRED_PROFILES.into_iter().find(|&known| to_wire(known) == profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_crosses_threads_and_its_clones_present_the_same_certificate() {
        fn sendable<T: Send + Clone>(value: &T) -> T {
            value.clone()
        }
        let identity = Identity::generate().unwrap();
        assert_eq!(sendable(&identity).fingerprint(), identity.fingerprint());
        assert_eq!(identity.fingerprint().bytes.len(), identity.fingerprint().hash.output_len());
        assert_ne!(Identity::generate().unwrap().fingerprint(), identity.fingerprint());
    }
}
