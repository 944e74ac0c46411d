//! A WebRTC endpoint for tests and benches: a full ICE agent's controlling side, a DTLS client, SRTP both ways.
//!
//! It does no I/O and reads no clock. STUN and DTLS come from the webrtc-rs family, so that the core is not checked against
//! itself; SRTP is the core's own, which is checked against rtc-srtp elsewhere.

mod handshake;
mod media;
mod stun;

pub use media::{MEDIA_HEADER_LEN, MediaStream, Place, payload_of};

use crate::random::Random;
use consilium_media_core::params::{DtlsRole, Fingerprint, IceCredentials, RemoteParameters};
use consilium_media_core::transport::srtp::{OpenedRtp, SrtpError, SrtpInbound, SrtpOutbound, SrtpProfile};
use handshake::Handshake;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between checks until the first is answered (RFC 8445 section 14.2 asks for 50 ms at least).
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Between checks afterwards: consent (RFC 7675 section 5.1).
const CONSENT_INTERVAL: Duration = Duration::from_secs(4);
/// Largest data-channel message that it says it accepts.
const MESSAGE_SIZE_MAX: u32 = 262_144;

/// Why a peer cannot go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerError {
    #[error("no certificate or DTLS configuration: {0}")]
    Setup(String),
    #[error("DTLS: {0}")]
    Dtls(String),
    #[error("the server's certificate is not the one that was announced")]
    Fingerprint,
    #[error("no usable SRTP profile")]
    Profile,
    #[error("STUN: {0}")]
    Stun(String),
}

/// What a datagram brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// Part of a handshake or a check; nothing for the application.
    Control,
    /// A decrypted RTP packet, header included.
    Rtp(Vec<u8>),
    /// A decrypted compound RTCP packet.
    Rtcp(Vec<u8>),
    /// Could not be understood or authenticated.
    Refused,
}

/// Why a packet was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    Replayed,
    Refused,
}

struct Remote {
    ice: IceCredentials,
    fingerprint: Fingerprint,
}

struct Srtp {
    profile: SrtpProfile,
    outbound: SrtpOutbound,
    inbound: SrtpInbound,
}

pub struct Peer {
    ice: IceCredentials,
    remote: Option<Remote>,
    handshake: Handshake,
    srtp: Option<Srtp>,
    /// The server answered a check: the path works.
    path_works: bool,
    next_check: Option<Instant>,
    outgoing: VecDeque<Vec<u8>>,
    random: Random,
}

impl Peer {
    /// Offers `profiles` in this order.
    pub fn new(seed: u64, profiles: &[SrtpProfile]) -> Result<Self, PeerError> {
        let mut random = Random::new(seed);
        let ice = IceCredentials { ufrag: random.letters(8), pwd: random.letters(24) };
        Ok(Self {
            ice,
            remote: None,
            handshake: Handshake::new(profiles)?,
            srtp: None,
            path_works: false,
            next_check: None,
            outgoing: VecDeque::new(),
            random,
        })
    }

    /// What its offer would say, for the server.
    pub fn remote_parameters(&self) -> RemoteParameters {
        RemoteParameters {
            ice: self.ice.clone(),
            fingerprints: vec![self.handshake.fingerprint().clone()],
            dtls_role: DtlsRole::Server,
            max_message_size: MESSAGE_SIZE_MAX,
        }
    }

    /// The server's answer: starts the checks.
    pub fn connect(&mut self, now: Instant, server: IceCredentials, fingerprint: Fingerprint) {
        self.remote = Some(Remote { ice: server, fingerprint });
        self.next_check = Some(now);
    }

    /// The path works and the handshake is done: media may flow.
    pub fn is_connected(&self) -> bool {
        self.srtp.is_some()
    }

    pub fn profile(&self) -> Option<SrtpProfile> {
        self.srtp.as_ref().map(|srtp| srtp.profile)
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front().or_else(|| self.handshake.poll_transmit())
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.next_check, self.handshake.poll_timeout()].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError> {
        if self.next_check.is_some_and(|at| at <= now) {
            self.check(now)?;
        }
        self.handshake.handle_timeout(now);
        Ok(())
    }

    /// Sends a connectivity check that nominates the path.
    pub fn check(&mut self, now: Instant) -> Result<(), PeerError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let username = format!("{}:{}", remote.ice.ufrag, self.ice.ufrag);
        self.outgoing.push_back(stun::check(&username, &remote.ice.pwd, &mut self.random)?);
        self.next_check = Some(now + if self.path_works { CONSENT_INTERVAL } else { CHECK_INTERVAL });
        Ok(())
    }

    /// RFC 7983 demultiplexing.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<Received, PeerError> {
        match (datagram.first(), datagram.get(1)) {
            (Some(0..=3), _) => Ok(self.handle_stun(now, datagram)?),
            (Some(20..=63), _) => self.handle_dtls(now, datagram),
            (Some(128..=191), Some(192..=223)) => Ok(self.handle_rtcp(datagram)),
            (Some(128..=191), _) => Ok(self.handle_rtp(datagram)),
            _ => Ok(Received::Refused),
        }
    }

    fn handle_stun(&mut self, now: Instant, datagram: &[u8]) -> Result<Received, PeerError> {
        let Some(remote) = &self.remote else { return Ok(Received::Refused) };
        if !stun::is_success(datagram, &remote.ice.pwd) {
            return Ok(Received::Refused);
        }
        if !self.path_works {
            self.path_works = true;
            self.next_check = Some(now + CONSENT_INTERVAL);
            self.handshake.start(now)?;
        }
        Ok(Received::Control)
    }

    fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) -> Result<Received, PeerError> {
        let Some(remote) = &self.remote else { return Ok(Received::Refused) };
        if let Some(keys) = self.handshake.handle(now, datagram, &remote.fingerprint)? {
            let profile = keys.profile;
            let outbound = SrtpOutbound::new(profile, &keys.local).map_err(|_| PeerError::Profile)?;
            let inbound = SrtpInbound::new(profile, &keys.remote).map_err(|_| PeerError::Profile)?;
            self.srtp = Some(Srtp { profile, outbound, inbound });
        }
        Ok(Received::Control)
    }

    fn handle_rtp(&mut self, datagram: &[u8]) -> Received {
        let mut packet = datagram.to_vec();
        let opened = self
            .srtp
            .as_mut()
            .zip(media::header_len(datagram))
            .and_then(|(srtp, header_len)| srtp.inbound.open_rtp(&mut packet, header_len).ok());
        let Some(OpenedRtp { len, .. }) = opened else { return Received::Refused };
        packet.truncate(len);
        Received::Rtp(packet)
    }

    fn handle_rtcp(&mut self, datagram: &[u8]) -> Received {
        let mut packet = datagram.to_vec();
        let opened = self.srtp.as_mut().and_then(|srtp| srtp.inbound.open_rtcp(&mut packet).ok());
        let Some(len) = opened else { return Received::Refused };
        packet.truncate(len);
        Received::Rtcp(packet)
    }

    /// Decrypts an RTP packet in place. The error tells one that was received before from one that cannot be used.
    pub fn open_rtp(&mut self, datagram: &mut [u8]) -> Result<OpenedRtp, OpenError> {
        let header_len = media::header_len(datagram).ok_or(OpenError::Refused)?;
        let srtp = self.srtp.as_mut().ok_or(OpenError::Refused)?;
        srtp.inbound.open_rtp(datagram, header_len).map_err(|error| match error {
            SrtpError::Replay => OpenError::Replayed,
            _ => OpenError::Refused,
        })
    }

    /// Decrypts a compound RTCP packet in place and returns its length.
    pub fn open_rtcp(&mut self, datagram: &mut [u8]) -> Option<usize> {
        self.srtp.as_mut()?.inbound.open_rtcp(datagram).ok()
    }

    /// The sending half of its SRTP, once connected.
    pub fn outbound(&self) -> Option<&SrtpOutbound> {
        self.srtp.as_ref().map(|srtp| &srtp.outbound)
    }

    /// The next packet of `stream`, sealed. `None` before [`Self::is_connected`].
    pub fn seal(&self, stream: &mut MediaStream) -> Option<Vec<u8>> {
        stream.next_packet(&self.srtp.as_ref()?.outbound)
    }

    /// As [`Self::seal`], for a packet of another place and length.
    pub fn seal_at(&self, stream: &mut MediaStream, place: Place) -> Option<Vec<u8>> {
        stream.next_packet_at(&self.srtp.as_ref()?.outbound, place)
    }

    /// A compound RTCP packet, sealed.
    pub fn seal_rtcp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let srtp = self.srtp.as_mut()?;
        let mut out = packet.to_vec();
        out.resize(packet.len() + srtp.outbound.rtcp_overhead(), 0);
        let len = srtp.outbound.seal_rtcp(&mut out, packet.len()).ok()?;
        out.truncate(len);
        Some(out)
    }
}
