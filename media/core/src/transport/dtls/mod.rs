//! One DTLS association in either role, on the engine of rtc-dtls.
//!
//! Owns what the engine lacks: it repeats a lost flight on a schedule that survives heavy loss, picks the SRTP
//! profile that we prefer, and waits with an early ClientHello until the role is known. Knows nothing of paths and of
//! what is in the data.

mod records;
#[cfg(test)]
mod tests;

use super::identity::{Identity, from_wire};
use super::srtp::SrtpKeys;
use crate::drops::DropReason;
use crate::params::DtlsRole;
use bytes::{Bytes, BytesMut};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use records::{Contents, RecordGuard, Stage};
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The engine tells associations apart by address. One endpoint per peer with a constant address survives changes of
/// path.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1);
/// RFC 5764 section 4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// Datagrams kept from before the role is known, or until the profile is agreed. Browsers send a ClientHello in two.
const HELLO_DATAGRAMS_MAX: usize = 8;
/// What differs between a record and its repetition ends here (RFC 6347 section 4.1).
const RECORD_NUMBER_END: usize = 11;
/// Where a record that is alone in its datagram has the handshake type, and what it is (RFC 6347 section 4.3.2).
const HANDSHAKE_TYPE_AT: usize = 13;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// RFC 6347 section 4.2.4.1 says one second; WebRTC endpoints start far lower because people wait for the first word.
const RESEND_INTERVAL_MIN: Duration = Duration::from_millis(150);
/// Some thirty tries within [`crate::limits::CONNECT_TIMEOUT`]. With 40% loss each way 11,000 simulated handshakes
/// all ended; with two seconds one in two thousand failed.
const RESEND_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Least time between two answers to repetitions of the peer, which nothing authenticates.
const REPEAT_ANSWER_INTERVAL: Duration = Duration::from_millis(20);
/// The engine gives up at its eighth repetition of a flight, so it is asked for six. Each has fresh record numbers,
/// which a peer needs to see that its own last flight is missing; between and after them the last one is sent as it
/// was.
const FRESH_REPETITIONS_MAX: u32 = 6;

pub(super) enum DtlsEvent {
    Connected,
    Data(Bytes),
    /// close_notify or a fatal alert, authenticated.
    ClosedByPeer,
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The role is not known.
    Idle,
    Handshaking,
    Connected,
    Closed,
}

/// What we sent last of the handshake, and when to send it again.
struct Flight {
    datagrams: Vec<Bytes>,
    resend_at: Option<Instant>,
    interval: Duration,
    resent: u32,
    fresh: u32,
    answered_at: Option<Instant>,
}

impl Default for Flight {
    fn default() -> Self {
        Self {
            datagrams: Vec::new(),
            resend_at: None,
            interval: RESEND_INTERVAL_MIN,
            resent: 0,
            fresh: 0,
            answered_at: None,
        }
    }
}

pub(super) struct Dtls {
    identity: Identity,
    phase: Phase,
    role: Option<DtlsRole>,
    engine: Option<Endpoint>,
    /// Which of our preferred profiles the engine accepts now.
    rung: usize,
    /// The ClientHello, while we may need it once more.
    hello: Vec<Bytes>,
    guard: RecordGuard,
    /// The highest message number that led to our last flight, and the highest seen.
    answered_message: Option<u16>,
    newest_message: Option<u16>,
    flight: Flight,
    outgoing: VecDeque<Bytes>,
    events: VecDeque<DtlsEvent>,
    /// Spreads the repetitions of many peers that joined at once. Key material never comes from here.
    jitter: SmallRng,
}

impl Dtls {
    pub(super) fn new(identity: &Identity, seed: u64) -> Self {
        Self {
            identity: identity.clone(),
            phase: Phase::Idle,
            role: None,
            engine: None,
            rung: 0,
            hello: Vec::new(),
            guard: RecordGuard::default(),
            answered_message: None,
            newest_message: None,
            flight: Flight::default(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            jitter: SmallRng::seed_from_u64(seed),
        }
    }

    pub(super) fn is_started(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// The client speaks first; the server takes what came before it knew that it is the server.
    pub(super) fn start(&mut self, now: Instant, role: DtlsRole) {
        if self.phase != Phase::Idle {
            return;
        }
        self.phase = Phase::Handshaking;
        self.role = Some(role);
        let early = std::mem::take(&mut self.hello);
        match role {
            DtlsRole::Client => {
                let mut engine = Endpoint::new(PEER, TransportProtocol::UDP, None);
                let connected = engine.connect(now, PEER, self.identity.client_config(), None);
                self.engine = Some(engine);
                match connected {
                    Ok(()) => self.take_flight(now),
                    Err(_) => self.fail(),
                }
            }
            DtlsRole::Server => {
                self.engine = self.server_engine();
                for datagram in early {
                    // They were admitted when they came.
                    self.read_hello(now, &datagram);
                }
            }
        }
    }

    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DropReason> {
        match self.phase {
            Phase::Closed => Err(DropReason::DtlsUnexpected),
            Phase::Idle => {
                self.guard.admit(datagram, Stage::Handshaking)?;
                self.keep_hello(datagram)
            }
            Phase::Handshaking => {
                let contents = self.guard.admit(datagram, Stage::Handshaking)?;
                self.handle_handshake(now, datagram, contents);
                Ok(())
            }
            Phase::Connected => {
                let contents = self.guard.admit(datagram, Stage::Connected)?;
                self.handle_connected(now, datagram, contents)
            }
        }
    }

    pub(super) fn write(&mut self, now: Instant, data: &[u8]) {
        if self.phase == Phase::Connected
            && let Some(engine) = &mut self.engine
            && engine.write(now, PEER, data).is_ok()
        {
            self.drain();
        }
    }

    /// Says goodbye (RFC 5246 section 7.2.1). Nothing is received after it.
    pub(super) fn close(&mut self, now: Instant) {
        if let Some(engine) = &mut self.engine
            && matches!(self.phase, Phase::Handshaking | Phase::Connected)
            && engine.close(now).is_ok()
        {
            self.drain();
        }
        self.end();
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    pub(super) fn poll_event(&mut self) -> Option<DtlsEvent> {
        self.events.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Handshaking { self.flight.resend_at } else { None }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.flight.resent += 1;
        let wants_fresh = self.flight.resent % 2 == 1 && self.flight.fresh < FRESH_REPETITIONS_MAX;
        if !(wants_fresh && self.repeat_fresh(now)) {
            self.outgoing.extend(self.flight.datagrams.iter().cloned());
        }
        self.flight.interval = (self.flight.interval * 2).min(RESEND_INTERVAL_MAX);
        self.arm(now);
    }

    /// The keys that the handshake agreed on (RFC 5764 section 4.2). `None` before its end, or without a profile of
    /// ours.
    pub(super) fn srtp_keys(&self) -> Option<SrtpKeys> {
        let state = self.engine.as_ref()?.get_connection_state(PEER)?;
        let profile = from_wire(state.srtp_protection_profile())?;
        let material = state.export_keying_material(EXPORTER_LABEL, &[], profile.keying_material_len()).ok()?;
        SrtpKeys::split(profile, material.as_ref(), self.role? == DtlsRole::Client).ok()
    }

    /// The certificate whose key signed the handshake, as DER.
    pub(super) fn peer_certificate(&self) -> Option<&[u8]> {
        let state = self.engine.as_ref()?.get_connection_state(PEER)?;
        state.peer_certificates.first().map(Vec::as_slice)
    }

    fn server_engine(&self) -> Option<Endpoint> {
        let config = self.identity.server_config(self.rung)?;
        Some(Endpoint::new(PEER, TransportProtocol::UDP, Some(config)))
    }

    fn keep_hello(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        // A repetition differs in its record number alone.
        let body = datagram.get(RECORD_NUMBER_END..);
        if self.hello.iter().any(|kept| kept.get(RECORD_NUMBER_END..) == body) {
            return Ok(());
        }
        if self.hello.len() >= HELLO_DATAGRAMS_MAX {
            return Err(DropReason::DtlsUnexpected);
        }
        self.hello.push(Bytes::copy_from_slice(datagram));
        Ok(())
    }

    fn handle_handshake(&mut self, now: Instant, datagram: &[u8], contents: Contents) {
        // The engine forgets its timer at any handshake record, so it does not see repetitions. What is new, on the
        // other hand, shows that the peer has our last flight.
        if contents.repeats(self.answered_message) {
            self.answer_repetition(now);
            return;
        }
        self.newest_message = self.newest_message.max(contents.newest_message);
        if self.role == Some(DtlsRole::Server) && self.flight.datagrams.is_empty() {
            self.read_hello(now, datagram);
            return;
        }
        match self.read(now, datagram) {
            Ok(()) => self.take_flight(now),
            Err(_) => self.fail(),
        }
    }

    /// The engine takes the client's first profile that it accepts, and Chromium puts the slowest first. So it is
    /// told of one profile at a time, our favourite first, and hears the ClientHello again as often as none matched.
    fn read_hello(&mut self, now: Instant, datagram: &[u8]) {
        // If there is no room, then it counts for this profile alone.
        let _ = self.keep_hello(datagram);
        let mut result = self.read(now, datagram);
        while result == Err(Error::ErrServerNoMatchingSrtpProfile) {
            self.rung += 1;
            let Some(engine) = self.server_engine() else { break };
            self.engine = Some(engine);
            let hello = std::mem::take(&mut self.hello);
            result = hello.iter().try_for_each(|datagram| self.read(now, datagram));
            self.hello = hello;
        }
        match result {
            Ok(()) => self.take_flight(now),
            Err(_) => self.fail(),
        }
        if !self.flight.datagrams.is_empty() {
            self.hello = Vec::new();
        }
    }

    fn handle_connected(&mut self, now: Instant, datagram: &[u8], contents: Contents) -> Result<(), DropReason> {
        if contents.handshake && !self.may_answer(now) {
            return Err(DropReason::DtlsUnexpected);
        }
        let sent = self.outgoing.len();
        let result = self.read(now, datagram);
        if contents.handshake {
            // RFC 6347 section 4.2.4: the peer has not seen our last flight.
            self.take_flight(now);
            if self.outgoing.len() == sent {
                self.outgoing.extend(self.flight.datagrams.iter().cloned());
            }
        } else {
            self.drain();
        }
        match result {
            Ok(()) => Ok(()),
            Err(Error::ErrAlertFatalOrClose) => {
                self.events.push_back(DtlsEvent::ClosedByPeer);
                self.end();
                Ok(())
            }
            Err(_) => Err(DropReason::DtlsMalformed),
        }
    }

    fn read(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Error> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        for event in engine.read(now, PEER, None, BytesMut::from(datagram))? {
            match event {
                EndpointEvent::HandshakeComplete => {
                    self.phase = Phase::Connected;
                    self.events.push_back(DtlsEvent::Connected);
                }
                EndpointEvent::ApplicationData(data) => self.events.push_back(DtlsEvent::Data(data.freeze())),
                EndpointEvent::PeerClosed => {
                    self.drain();
                    self.events.push_back(DtlsEvent::ClosedByPeer);
                    self.end();
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves the engine's output to ours; if there is any, it is the new last flight.
    fn take_flight(&mut self, now: Instant) {
        let before = self.outgoing.len();
        self.drain();
        if self.outgoing.len() == before {
            return;
        }
        let flight: Vec<_> = self.outgoing.iter().skip(before).cloned().collect();
        let is_hello_verify =
            self.role == Some(DtlsRole::Server) && flight.first().is_some_and(is_hello_verify_request);
        if is_hello_verify && !self.flight.datagrams.is_empty() {
            // The engine says it again when the second ClientHello comes in parts; the client has it, or it would not
            // have sent that.
            self.outgoing.truncate(before);
            return;
        }
        self.flight = Flight { datagrams: flight, answered_at: Some(now), ..Flight::default() };
        if is_hello_verify {
            // RFC 6347 section 4.2.1: sent once for each first ClientHello, message 0, and never on a timer.
            self.answered_message = Some(0);
        } else {
            self.answered_message = self.newest_message;
            self.arm(now);
        }
    }

    fn drain(&mut self) {
        if let Some(engine) = &mut self.engine {
            while let Some(transmit) = engine.poll_transmit() {
                self.outgoing.push_back(transmit.message.freeze());
            }
        }
    }

    /// Lets the engine build the flight again. `false` when it has nothing armed.
    fn repeat_fresh(&mut self, now: Instant) -> bool {
        let Some(engine) = &mut self.engine else { return false };
        if engine.handle_timeout(PEER, now).is_err() {
            self.fail();
            return true;
        }
        let before = self.outgoing.len();
        self.drain();
        if self.outgoing.len() == before {
            return false;
        }
        self.flight.datagrams = self.outgoing.iter().skip(before).cloned().collect();
        self.flight.fresh += 1;
        true
    }

    fn answer_repetition(&mut self, now: Instant) {
        if self.may_answer(now) {
            self.outgoing.extend(self.flight.datagrams.iter().cloned());
        }
    }

    fn may_answer(&mut self, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < REPEAT_ANSWER_INTERVAL;
        if self.flight.answered_at.is_some_and(recent) {
            return false;
        }
        self.flight.answered_at = Some(now);
        true
    }

    fn arm(&mut self, now: Instant) {
        let jitter = self.jitter.random_range(0.75..1.25);
        self.flight.resend_at = Some(now + self.flight.interval.mul_f64(jitter));
    }

    fn fail(&mut self) {
        // The engine's alert tells the peer why.
        self.drain();
        self.events.push_back(DtlsEvent::Failed);
        self.end();
    }

    fn end(&mut self) {
        self.phase = Phase::Closed;
        self.hello = Vec::new();
        self.flight.datagrams = Vec::new();
        self.flight.resend_at = None;
    }
}

fn is_hello_verify_request(datagram: &Bytes) -> bool {
    datagram.get(HANDSHAKE_TYPE_AT) == Some(&HELLO_VERIFY_REQUEST)
}
