//! The DTLS client of a peer, on rtc-dtls.

use super::PeerError;
use aws_lc_rs::digest;
use bytes::BytesMut;
use consilium_media_core::params::{Fingerprint, FingerprintHash};
use consilium_media_core::transport::srtp::{SrtpKeys, SrtpProfile};
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::AwsLcRsProvider;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::TransportProtocol;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The engine keys its state by address; a constant one survives every change of path.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const FLIGHT_INTERVAL: Duration = Duration::from_millis(200);
/// RFC 5764 section 4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Longest time between two repetitions of our last flight (RFC 6347 section 4.2.4.1 doubles it).
const RESEND_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// Datagrams of the server that are remembered, to tell repetitions.
const SEEN_MAX: usize = 64;
/// A record's header, and where in it the epoch and number stand (RFC 6347 section 4.1).
const RECORD_HEADER_LEN: usize = 13;
const RECORD_NUMBER: std::ops::Range<usize> = 3..11;

pub(super) struct Handshake {
    endpoint: Endpoint,
    config: Arc<HandshakeConfig>,
    fingerprint: Fingerprint,
    outgoing: VecDeque<Vec<u8>>,
    /// What we said last, until the handshake is done: the engine forgets its timer at any record that arrives, so that one
    /// lost datagram could end a handshake.
    flight: Vec<Vec<u8>>,
    resend_at: Option<Instant>,
    resend_interval: Duration,
    seen: Vec<Vec<u8>>,
}

impl Handshake {
    pub(super) fn new(profiles: &[SrtpProfile]) -> Result<Self, PeerError> {
        let failed = |error: rtc::shared::error::Error| PeerError::Setup(error.to_string());
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::new());
        let certificate =
            Certificate::generate_self_signed(vec!["peer".to_owned()], provider.crypto()).map_err(failed)?;
        let der = certificate.certificate.first().ok_or(PeerError::Setup("empty certificate".to_owned()))?;
        let fingerprint = Fingerprint { hash: FingerprintHash::Sha256, bytes: sha256(der.as_ref()) };
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![certificate])
            .with_srtp_protection_profiles(profiles.iter().copied().map(to_wire).collect())
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // The fingerprint is what authenticates (RFC 8827 section 5.6.4).
            .with_insecure_skip_verify(true)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(FLIGHT_INTERVAL)
            .with_server_name("peer".to_owned())
            .build(true, None)
            .map_err(failed)?;
        let endpoint = Endpoint::new(SERVER, TransportProtocol::UDP, None);
        Ok(Self {
            endpoint,
            config: Arc::new(config),
            fingerprint,
            outgoing: VecDeque::new(),
            flight: Vec::new(),
            resend_at: None,
            resend_interval: FLIGHT_INTERVAL,
            seen: Vec::new(),
        })
    }

    pub(super) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(super) fn start(&mut self, now: Instant) -> Result<(), PeerError> {
        self.endpoint.connect(now, SERVER, Arc::clone(&self.config), None).map_err(dtls_error)?;
        self.take_flight(now);
        Ok(())
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.resend_at
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.resend_at.is_some_and(|at| at <= now) {
            self.outgoing.extend(self.flight.iter().cloned());
            self.resend_interval = (self.resend_interval * 2).min(RESEND_INTERVAL_MAX);
            self.resend_at = Some(now + self.resend_interval);
        }
    }

    /// The keys, once the handshake is done and `expected` is the server's certificate.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        expected: &Fingerprint,
    ) -> Result<Option<SrtpKeys>, PeerError> {
        let content = without_numbers(datagram);
        if self.resend_at.is_some() && self.seen.contains(&content) {
            // The server has not got our last flight, or its repetition crossed ours.
            return Ok(None);
        }
        if self.seen.len() < SEEN_MAX {
            self.seen.push(content);
        }
        let events = self.endpoint.read(now, SERVER, None, BytesMut::from(datagram)).map_err(dtls_error)?;
        self.take_flight(now);
        let done = events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete));
        if !done {
            return Ok(None);
        }
        self.resend_at = None;
        self.flight.clear();
        self.seen = Vec::new();
        self.keys(expected).map(Some)
    }

    /// What the engine says is our last flight from now on.
    fn take_flight(&mut self, now: Instant) {
        let said: Vec<Vec<u8>> =
            std::iter::from_fn(|| self.endpoint.poll_transmit()).map(|transmit| transmit.message.to_vec()).collect();
        if said.is_empty() {
            return;
        }
        self.outgoing.extend(said.iter().cloned());
        self.flight = said;
        self.resend_interval = FLIGHT_INTERVAL;
        self.resend_at = Some(now + self.resend_interval);
    }

    fn keys(&self, expected: &Fingerprint) -> Result<SrtpKeys, PeerError> {
        let state = self.endpoint.get_connection_state(SERVER).ok_or(PeerError::Dtls("no connection".to_owned()))?;
        let presented = state.peer_certificates.first().map(|der| sha256(der));
        if expected.hash != FingerprintHash::Sha256 || presented.as_ref() != Some(&expected.bytes) {
            return Err(PeerError::Fingerprint);
        }
        let negotiated = state.srtp_protection_profile();
        let profile = SrtpProfile::ALL.into_iter().find(|&profile| to_wire(profile) == negotiated);
        let profile = profile.ok_or(PeerError::Profile)?;
        let material =
            state.export_keying_material(EXPORTER_LABEL, &[], profile.keying_material_len()).map_err(dtls_error)?;
        SrtpKeys::split(profile, material.as_ref(), true).map_err(|_| PeerError::Profile)
    }
}

/// A datagram with the numbers of its records taken out: equal for a repetition.
fn without_numbers(datagram: &[u8]) -> Vec<u8> {
    let mut content = datagram.to_vec();
    let mut at = 0;
    while let Some(header) = content.get_mut(at..at + RECORD_HEADER_LEN) {
        header[RECORD_NUMBER].fill(0);
        at += RECORD_HEADER_LEN + usize::from(u16::from_be_bytes([header[11], header[12]]));
    }
    content
}

fn dtls_error(error: impl std::fmt::Display) -> PeerError {
    PeerError::Dtls(error.to_string())
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn to_wire(profile: SrtpProfile) -> SrtpProtectionProfile {
    match profile {
        SrtpProfile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        SrtpProfile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}
