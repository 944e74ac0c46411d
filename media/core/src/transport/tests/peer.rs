//! The far side of the tests: a full ICE agent in outline, DTLS and data channels; and the world between it and a
//! transport.

use super::super::data::{DataChannels, DataEvent};
use super::super::dtls::{Dtls, DtlsEvent};
use super::super::ice::parse_stun;
use super::*;
use demux::{Protocol, demultiplex};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rtc::crypto::RTCCryptoProvider;
use rtc::crypto::providers::AwsLcRsProvider;
use rtc::stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, Setter};
use rtc::stun::textattrs::TextAttribute;
use std::net::SocketAddr;

/// One way of the network.
const DELAY: Duration = Duration::from_millis(20);
/// Checks are frequent until an answer came, then they keep consent.
const FIRST_CHECKS: Duration = Duration::from_millis(50);
const CONSENT_CHECKS: Duration = Duration::from_secs(5);
pub(super) const SLOT: u32 = 42;
const PWD: &str = "local-password-of-22-chars";

pub(crate) fn path(port: u16) -> Path {
    Path { remote: SocketAddr::from(([198, 51, 100, 7], port)), local: None }
}

pub(crate) struct Peer {
    pub(crate) port: u16,
    pub(crate) pwd: String,
    pub(crate) checks: bool,
    pub(crate) speaks_dtls: bool,
    pub(crate) received: Vec<Bytes>,
    pub(crate) received_at: Option<Path>,
    pub(crate) opened: Vec<String>,
    pub(crate) closed: bool,
    pub(crate) username: String,
    next_check: Instant,
    answered: bool,
    dtls: Dtls,
    data: DataChannels,
    role: DtlsRole,
    pending_opens: Vec<(String, Reliability)>,
}

impl Peer {
    pub(crate) fn new(identity: &Identity, role: DtlsRole, seed: u64, now: Instant) -> Self {
        Self {
            port: 1,
            pwd: PWD.to_owned(),
            checks: true,
            speaks_dtls: true,
            received: vec![],
            received_at: None,
            opened: vec![],
            closed: false,
            username: "ours:theirs".to_owned(),
            next_check: now,
            answered: false,
            dtls: Dtls::new(identity, seed),
            data: DataChannels::new(),
            role,
            pending_opens: vec![],
        }
    }

    pub(crate) fn keys(&self) -> Option<SrtpKeys> {
        self.dtls.srtp_keys()
    }

    pub(crate) fn open(&mut self, label: &str, reliability: Reliability) {
        self.pending_opens.push((label.to_owned(), reliability));
    }

    pub(crate) fn close(&mut self, now: Instant) {
        self.dtls.close(now);
    }

    /// `false` when too much waits already, or the channel is not open.
    pub(crate) fn send(&mut self, now: Instant, channel: DataChannelId, payload: &Bytes) -> bool {
        self.data.send(now, channel, true, payload.clone()).is_ok()
    }

    fn check(&self) -> Vec<u8> {
        let provider = AwsLcRsProvider::new();
        let raw = |typ, value: Vec<u8>| Box::new(RawAttribute { typ, length: value.len() as u16, value });
        let setters: [Box<dyn Setter + '_>; 6] = [
            Box::new(BINDING_REQUEST),
            Box::new(TextAttribute::new(ATTR_USERNAME, self.username.clone())),
            raw(ATTR_ICE_CONTROLLING, vec![1; 8]),
            raw(ATTR_USE_CANDIDATE, vec![]),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(self.pwd.clone(), provider.crypto())),
            Box::new(FINGERPRINT),
        ];
        let mut message = Message::new();
        message.build(&setters).unwrap();
        message.raw
    }

    pub(crate) fn handle(&mut self, now: Instant, at: Path, datagram: &[u8]) {
        match demultiplex(datagram) {
            Some(Protocol::Stun) => {
                self.answered = true;
                if self.speaks_dtls {
                    self.dtls.start(now, self.role);
                }
            }
            Some(Protocol::Dtls) if self.speaks_dtls => {
                self.received_at = Some(at);
                let _ = self.dtls.handle(now, datagram);
            }
            _ => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.dtls.handle_timeout(now);
        self.data.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let check = self.checks.then_some(self.next_check);
        [check, self.dtls.poll_timeout(), self.data.poll_timeout()].into_iter().flatten().min()
    }

    /// What it sends now.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Vec<Bytes> {
        let mut out = vec![];
        if self.checks && self.next_check <= now {
            self.next_check = now + if self.answered { CONSENT_CHECKS } else { FIRST_CHECKS };
            out.push(self.check().into());
        }
        while let Some(event) = self.dtls.poll_event() {
            match event {
                DtlsEvent::Connected => self.data.start(now, self.role),
                DtlsEvent::Data(packet) => drop(self.data.handle(now, packet)),
                DtlsEvent::ClosedByPeer | DtlsEvent::Failed => self.closed = true,
            }
        }
        for (label, reliability) in self.pending_opens.drain(..) {
            self.data.open(now, label, reliability);
        }
        while let Some(event) = self.data.poll_event() {
            match event {
                DataEvent::Opened { label, .. } => self.opened.push(label),
                DataEvent::Message { payload, .. } => self.received.push(payload),
                DataEvent::Closed { .. } | DataEvent::Lost | DataEvent::Flood => {}
            }
        }
        while let Some(packets) = self.data.poll_transmit(now) {
            packets.iter().for_each(|packet| self.dtls.write(now, packet));
        }
        out.extend(std::iter::from_fn(|| self.dtls.poll_transmit()));
        out
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Transport,
    Peer,
}

pub(super) struct World {
    pub(super) transport: Transport,
    pub(super) peer: Peer,
    pub(super) now: Instant,
    /// All but `Connected` and `Closed`.
    pub(super) events: Vec<TransportEvent>,
    pub(super) keys: Option<SrtpKeys>,
    pub(super) closed: Option<CloseReason>,
    remote: RemoteParameters,
    start: Instant,
    out: SendBatch,
    under_way: Vec<(Instant, To, Path, Bytes)>,
    rng: SmallRng,
    loss: f64,
}

impl World {
    /// `role` is ours.
    pub(super) fn new(role: DtlsRole, seed: u64, loss: f64) -> Self {
        Self::with(role, seed, loss, |_| {})
    }

    pub(super) fn with(role: DtlsRole, seed: u64, loss: f64, change: impl FnOnce(&mut RemoteParameters)) -> Self {
        Self::between(role, &Identity::generate().unwrap(), seed, loss, change)
    }

    pub(super) fn offering(role: DtlsRole, profiles: &[SrtpProfile]) -> Self {
        Self::between(role, &Identity::with_profiles(profiles).unwrap(), 1, 0.0, |_| {})
    }

    pub(super) fn between(
        role: DtlsRole,
        theirs: &Identity,
        seed: u64,
        loss: f64,
        change: impl FnOnce(&mut RemoteParameters),
    ) -> Self {
        let mut world = Self::undescribed(role, theirs, seed, loss);
        change(&mut world.remote);
        world.describe();
        world
    }

    pub(super) fn undescribed(role: DtlsRole, theirs: &Identity, seed: u64, loss: f64) -> Self {
        let now = crate::virtual_time::start();
        let local = IceCredentials { ufrag: "ours".to_owned(), pwd: PWD.to_owned() };
        let remote = RemoteParameters {
            ice: IceCredentials { ufrag: "theirs".to_owned(), pwd: "unused".to_owned() },
            fingerprints: vec![theirs.fingerprint().clone()],
            dtls_role: role,
            max_message_size: 262_144,
        };
        let theirs_role = match role {
            DtlsRole::Client => DtlsRole::Server,
            DtlsRole::Server => DtlsRole::Client,
        };
        Self {
            transport: Transport::new(&Identity::generate().unwrap(), local, SLOT, seed, now),
            peer: Peer::new(theirs, theirs_role, seed + 1_000, now),
            now,
            events: vec![],
            keys: None,
            closed: None,
            remote,
            start: now,
            out: SendBatch::new(),
            under_way: vec![],
            rng: SmallRng::seed_from_u64(seed),
            loss,
        }
    }

    pub(super) fn describe(&mut self) {
        self.transport.set_remote(self.now, self.remote.clone(), &mut self.out).unwrap();
    }

    pub(super) fn remote(&self) -> RemoteParameters {
        self.remote.clone()
    }

    pub(super) fn restart_ice(&mut self) {
        self.transport.restart_ice(IceCredentials { ufrag: "restarted".to_owned(), pwd: PWD.to_owned() });
        self.remote.ice.ufrag = "theirs2".to_owned();
        self.peer.username = "restarted:theirs2".to_owned();
        self.describe();
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(super) fn is_connected(&self) -> bool {
        self.keys.is_some() && self.peer.keys().is_some()
    }

    pub(super) fn opened(&self) -> Vec<(DataChannelId, String, Reliability)> {
        let opened = |event: &TransportEvent| match event {
            TransportEvent::DataChannelOpened { channel, label, reliability } => {
                Some((*channel, label.clone(), *reliability))
            }
            _ => None,
        };
        self.events.iter().filter_map(opened).collect()
    }

    pub(super) fn received(&self) -> Vec<Bytes> {
        let payload = |event: &TransportEvent| match event {
            TransportEvent::Data { payload, .. } => Some(payload.clone()),
            _ => None,
        };
        self.events.iter().filter_map(payload).collect()
    }

    /// Opens a channel from our side and waits until both have it.
    pub(super) fn open(&mut self, label: &str, reliability: Reliability) -> DataChannelId {
        self.transport.open_data_channel(self.now, label.to_owned(), reliability, &mut self.out);
        self.run_until(|world| !world.opened().is_empty() && !world.peer.opened.is_empty());
        self.opened()[0].0
    }

    pub(super) fn send(&mut self, channel: DataChannelId, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        self.transport.send_data(self.now, channel, true, payload, &mut self.out).unwrap();
    }

    pub(super) fn peer_send(&mut self, channel: DataChannelId, payload: &Bytes) {
        assert!(self.peer.send(self.now, channel, payload));
    }

    pub(super) fn close(&mut self) {
        self.transport.close(self.now, &mut self.out);
    }

    /// Random DTLS-like datagrams, and damaged copies of what the peer really sent.
    pub(super) fn throw_garbage(&mut self, count: usize) {
        self.peer.dtls.write(self.now, b"to be damaged");
        let sealed = self.peer.dtls.poll_transmit().unwrap();
        for round in 0..count {
            let mut bytes = sealed.to_vec();
            if round % 2 == 0 {
                bytes.truncate(self.rng.random_range(0..sealed.len()));
                self.rng.fill(&mut bytes[..]);
            }
            if let Some(first) = bytes.first_mut() {
                *first = self.rng.random_range(20..=25);
            }
            let at = self.rng.random_range(0..bytes.len().max(1));
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x55);
            let _ = self.transport.handle_dtls(self.now, path(self.peer.port), &bytes, &mut self.out);
        }
        self.out.clear();
    }

    pub(super) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = self.now + Duration::from_secs(180);
        while !done(self) {
            assert!(self.step(deadline) && self.now < deadline, "nothing more happens: {:?}", self.closed);
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let deadline = self.now + time;
        while self.now < deadline && self.step(deadline) {}
        self.now = deadline;
    }

    fn step(&mut self, deadline: Instant) -> bool {
        self.collect();
        let timers = [self.peer.poll_timeout(), self.transport.poll_timeout()].into_iter().flatten();
        let Some(next) = self.under_way.iter().map(|(at, ..)| *at).chain(timers).min() else { return false };
        self.now = self.now.max(next.min(deadline));
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.under_way).into_iter().partition(|(at, ..)| *at <= now);
        self.under_way = later;
        let due: Vec<_> = due;
        for (_, to, at, datagram) in due {
            match to {
                To::Peer => self.peer.handle(now, at, &datagram),
                To::Transport => self.deliver(at, &datagram),
            }
        }
        self.peer.handle_timeout(now);
        self.transport.handle_timeout(now, &mut self.out);
        self.collect();
        true
    }

    fn deliver(&mut self, from: Path, datagram: &[u8]) {
        match demultiplex(datagram) {
            Some(Protocol::Stun) => {
                let message = parse_stun(datagram).unwrap();
                let _ = self.transport.handle_stun(self.now, from, &message, &mut self.out);
            }
            Some(Protocol::Dtls) => drop(self.transport.handle_dtls(self.now, from, datagram, &mut self.out)),
            _ => panic!("the peer sends nothing else"),
        }
    }

    /// Puts what both want sent on its way, and takes our events.
    fn collect(&mut self) {
        let arrival = self.now + DELAY;
        for datagram in self.peer.poll_transmit(self.now) {
            self.launch(arrival, To::Transport, path(self.peer.port), datagram);
        }
        let sent: Vec<_> = self
            .out
            .trains()
            .flat_map(|train| train.datagrams().map(|datagram| (train.path(), Bytes::copy_from_slice(datagram))))
            .collect();
        self.out.clear();
        for (to, datagram) in sent {
            self.launch(arrival, To::Peer, to, datagram);
        }
        while let Some(event) = self.transport.poll_event() {
            assert_eq!(self.closed, None, "nothing comes after the end");
            match event {
                TransportEvent::Connected(keys) => assert!(self.keys.replace(keys).is_none(), "connected once"),
                TransportEvent::Closed(reason) => self.closed = Some(reason),
                event => self.events.push(event),
            }
        }
    }

    fn launch(&mut self, arrival: Instant, to: To, at: Path, datagram: Bytes) {
        // A peer that moved no longer hears what is sent to its old address.
        let heard = to == To::Transport || at == path(self.peer.port);
        if heard && !self.rng.random_bool(self.loss) {
            self.under_way.push((arrival, to, at, datagram));
        }
    }
}
