//! A worker of the core with connected peers around it: no sockets, and time that passes as it is told to.

use crate::peer::{MediaStream, Peer, PeerError, Place, Received};
use crate::random::Random;
use consilium_media_core::batch::SendBatch;
use consilium_media_core::control::{Command, RoomEvent};
use consilium_media_core::ids::{Mid, PayloadType, PeerId, RoomId, Ssrc, SubscriptionId, TrackId};
use consilium_media_core::params::{
    Codec, CodecParameters, Content, Encoding, ExtensionId, HeaderExtension, IceCredentials, MediaKind, Path,
    PayloadMapping, ReceiveSection, SendParameters,
};
use consilium_media_core::transport::identity::Identity;
use consilium_media_core::transport::srtp::SrtpProfile;
use consilium_media_core::wire::rtcp::RtcpWriter;
use consilium_media_core::wire::rtp::RtpPacket;
use consilium_media_core::worker::{Worker, WorkerConfig, WorkerStats};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Packets that arrive together and are forwarded before the batch is sent: a video frame of about 1 Mbit/s.
pub const BURST: usize = 4;
/// 25 frames per second.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);
/// In virtual time.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const CONNECT_STEP: Duration = Duration::from_millis(5);

pub const MID_EXTENSION: u8 = 4;
pub const TRANSPORT_CC_EXTENSION: u8 = 3;
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;
const OPUS: u8 = 111;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MeetingError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("{connected} of {all} peers connected in time")]
    NotConnected { connected: usize, all: usize },
    #[error("{0} is not a constant that the wire can carry")]
    Constant(&'static str),
}

/// Index of a member.
pub type MemberIndex = usize;

struct Member {
    peer: Peer,
    id: PeerId,
    path: Path,
    stream: Option<MediaStream>,
    /// Of what it publishes.
    kind: MediaKind,
    track: TrackId,
    received: Vec<Vec<u8>>,
}

/// A sealed datagram on its way to the worker, which decrypts it in place.
pub struct Arrival {
    path: Path,
    datagram: Vec<u8>,
}

impl Arrival {
    pub fn datagram(&self) -> &[u8] {
        &self.datagram
    }
}

pub struct Meeting {
    worker: Worker,
    identity: Identity,
    out: SendBatch,
    now: Instant,
    members: Vec<Member>,
    next_subscription: u64,
    /// Virtual time between two bursts.
    burst_interval: Duration,
    random: Random,
    profiles: Vec<SrtpProfile>,
    /// Whether subscriptions have a stream for retransmissions (RFC 4588).
    retransmission: bool,
    events: Vec<RoomEvent>,
}

const ROOM: RoomId = RoomId::new(1);

impl Meeting {
    pub fn new(identity: Identity, seed: u64, start: Instant) -> Self {
        let config = WorkerConfig {
            identity: identity.clone(),
            seed,
            start,
            // Any wall clock will do; this is 14 November 2023.
            unix_start: Duration::from_secs(1_700_000_000),
        };
        Self {
            worker: Worker::new(config),
            identity,
            out: SendBatch::new(),
            now: start,
            members: Vec::new(),
            next_subscription: 1,
            burst_interval: FRAME_INTERVAL,
            random: Random::new(seed),
            profiles: vec![SrtpProfile::AeadAes128Gcm],
            retransmission: false,
            events: Vec::new(),
        }
    }

    /// What members that join from now on offer.
    pub fn offer_profiles(&mut self, profiles: &[SrtpProfile]) {
        self.profiles = profiles.to_vec();
    }

    /// `publishers` members that publish video, `receivers` that do not; everybody receives everybody else's. Connected.
    pub fn of(
        identity: Identity,
        publishers: usize,
        receivers: usize,
        payload_len: usize,
    ) -> Result<Self, MeetingError> {
        Self::new(identity, 1, Instant::now()).filled(publishers, receivers, payload_len)
    }

    /// As [`Self::of`]; what is sent again has a stream of its own.
    pub fn with_retransmission(
        identity: Identity,
        publishers: usize,
        receivers: usize,
        payload_len: usize,
    ) -> Result<Self, MeetingError> {
        let meeting = Self { retransmission: true, ..Self::new(identity, 1, Instant::now()) };
        meeting.filled(publishers, receivers, payload_len)
    }

    fn filled(mut self, publishers: usize, receivers: usize, payload_len: usize) -> Result<Self, MeetingError> {
        let meeting = &mut self;
        for _ in 0..publishers + receivers {
            meeting.join()?;
        }
        meeting.connect_all()?;
        for publisher in 0..publishers {
            meeting.publish(publisher, payload_len)?;
        }
        for publisher in 0..publishers {
            for receiver in (0..publishers + receivers).filter(|&receiver| receiver != publisher) {
                meeting.subscribe(publisher, receiver)?;
            }
        }
        meeting.exchange()?;
        Ok(self)
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn stats(&self) -> &WorkerStats {
        self.worker.stats()
    }

    /// Events since the last call.
    pub fn take_events(&mut self) -> Vec<RoomEvent> {
        std::mem::take(&mut self.events)
    }

    /// RTP packets that the member got since the last call, decrypted.
    pub fn take_received(&mut self, member: MemberIndex) -> Vec<Vec<u8>> {
        self.members.get_mut(member).map(|member| std::mem::take(&mut member.received)).unwrap_or_default()
    }

    pub fn join(&mut self) -> Result<MemberIndex, MeetingError> {
        let index = self.members.len();
        let mut peer = Peer::new(self.random.next_u64(), &self.profiles)?;
        let id = PeerId::new(index as u64 + 1);
        let local = IceCredentials { ufrag: self.random.letters(8), pwd: self.random.letters(24) };
        let remote = Box::new(peer.remote_parameters());
        self.command(Command::AddPeer { peer: id, room: ROOM, local: local.clone() });
        self.command(Command::SetRemote { peer: id, remote });
        peer.connect(self.now, local, self.identity.fingerprint().clone());
        let address = SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + index as u32), 5_000));
        self.members.push(Member {
            peer,
            id,
            path: Path { remote: address, local: None },
            stream: None,
            kind: MediaKind::Video,
            track: TrackId::new(index as u64 + 1),
            received: Vec::new(),
        });
        Ok(index)
    }

    pub fn connect_all(&mut self) -> Result<(), MeetingError> {
        let give_up = self.now + CONNECT_PATIENCE;
        while self.now < give_up {
            self.exchange()?;
            if self.connected() == self.members.len()
                && self.worker.stats().connected_peers == self.members.len() as u64
            {
                return Ok(());
            }
            self.now += CONNECT_STEP;
        }
        Err(MeetingError::NotConnected { connected: self.connected(), all: self.members.len() })
    }

    fn connected(&self) -> usize {
        self.members.iter().filter(|member| member.peer.is_connected()).count()
    }

    /// The member sends VP8 packets of `payload_len` bytes from now on.
    pub fn publish(&mut self, member: MemberIndex, payload_len: usize) -> Result<(), MeetingError> {
        self.publish_kind(member, MediaKind::Video, payload_len)
    }

    /// As [`Self::publish`]; audio counts as Opus, whatever it carries.
    pub fn publish_kind(
        &mut self,
        member: MemberIndex,
        kind: MediaKind,
        payload_len: usize,
    ) -> Result<(), MeetingError> {
        let payload_type = payload_type(kind)?;
        let mid = Mid::new(b"0").ok_or(MeetingError::Constant("mid"))?;
        let Some(publisher) = self.members.get_mut(member) else { return Ok(()) };
        let ssrc = Ssrc::new(0x1000 + member as u32);
        publisher.kind = kind;
        let (codec, clock_rate) = match kind {
            MediaKind::Audio => (Codec::Opus, 48_000),
            MediaKind::Video => (Codec::Vp8, 90_000),
        };
        let codec = CodecParameters {
            payload_type,
            codec,
            clock_rate,
            rtx: None,
            nack: kind == MediaKind::Video,
            fir_only: false,
            remb: false,
        };
        let encoding = Encoding { rid: None, ssrc: Some(ssrc), rtx_ssrc: None, layer: 0 };
        let section = ReceiveSection {
            mid,
            kind,
            content: Content::Motion,
            track: Some(publisher.track),
            codecs: vec![codec],
            extensions: extensions(),
            encodings: vec![encoding],
        };
        publisher.stream =
            Some(MediaStream::new(ssrc, payload_type, mid, MID_EXTENSION, TRANSPORT_CC_EXTENSION, payload_len));
        let peer = publisher.id;
        self.burst_interval = FRAME_INTERVAL / self.publishers() as u32;
        self.command(Command::SetReceive { peer, sections: vec![section] });
        Ok(())
    }

    pub fn subscribe(&mut self, publisher: MemberIndex, receiver: MemberIndex) -> Result<SubscriptionId, MeetingError> {
        let kind = self.members.get(publisher).map_or(MediaKind::Video, |member| member.kind);
        let payload_type = payload_type(kind)?;
        let mid = Mid::new(format!("{publisher}").as_bytes()).ok_or(MeetingError::Constant("mid"))?;
        let subscription = SubscriptionId::new(self.next_subscription);
        self.next_subscription += 1;
        let rtx = PayloadType::new(VP8_RTX).filter(|_| self.retransmission);
        let send = SendParameters {
            mid,
            ssrc: Ssrc::new(0x8000_0000 + self.next_subscription as u32),
            rtx_ssrc: rtx.map(|_| Ssrc::new(0xc000_0000 + self.next_subscription as u32)),
            cname: format!("member{publisher}"),
            payloads: vec![PayloadMapping { from: payload_type, to: payload_type, rtx, strip_red: false }],
            extensions: extensions(),
        };
        let ids = self.members.get(publisher).zip(self.members.get(receiver)).map(|(p, r)| (p.track, r.id));
        if let Some((track, peer)) = ids {
            self.command(Command::Subscribe { subscription, track, peer, send: Box::new(send) });
        }
        Ok(subscription)
    }

    pub fn command(&mut self, command: Command) {
        self.worker.handle_command(self.now, command, &mut self.out);
    }

    /// `bursts` bursts of every publisher, one after the other, sealed.
    pub fn prepare(&mut self, bursts: usize) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for _ in 0..bursts {
            for member in &mut self.members {
                let Some(stream) = &mut member.stream else { continue };
                let path = member.path;
                let packets = std::iter::repeat_with(|| member.peer.seal(stream)).take(BURST).flatten();
                arrivals.extend(packets.map(|datagram| Arrival { path, datagram }));
            }
        }
        arrivals
    }

    /// The member's next packet, sealed; `None` when it publishes nothing.
    pub fn prepare_packet(&mut self, member: MemberIndex, place: Place) -> Option<Arrival> {
        let member = self.members.get_mut(member)?;
        let datagram = member.peer.seal_at(member.stream.as_mut()?, place)?;
        Some(Arrival { path: member.path, datagram })
    }

    /// From each member that has received something since the last call of this or [`Self::take_received`]: a request for the
    /// newest `count` packets of it, sealed.
    pub fn prepare_nacks(&mut self, count: usize) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for member in &mut self.members {
            let received = std::mem::take(&mut member.received);
            // Without what only probes the path.
            let media = received.iter().filter_map(|packet| RtpPacket::parse(packet).ok());
            let mut packets: Vec<_> = media.filter(|packet| !packet.payload().is_empty()).collect();
            packets.drain(..packets.len().saturating_sub(count));
            let Some(media) = packets.first().map(RtpPacket::ssrc) else { continue };
            let lost: Vec<_> = packets.iter().map(RtpPacket::seq).collect();
            let mut request = Vec::new();
            RtcpWriter::new(&mut request).nack(Ssrc::new(1), media, &lost);
            let sealed = member.peer.seal_rtcp(&request);
            arrivals.extend(sealed.map(|datagram| Arrival { path: member.path, datagram }));
        }
        arrivals
    }

    /// Time passes that is not measured.
    pub fn pass_frame_interval(&mut self) {
        self.now += self.burst_interval;
    }

    /// From now on so much time passes before each burst.
    pub fn set_burst_interval(&mut self, interval: Duration) {
        self.burst_interval = interval;
    }

    /// As [`Self::forward_burst`]; returns how many trains and packets it would have sent.
    pub fn count_burst(&mut self, burst: &mut [Arrival]) -> (usize, usize) {
        self.now += self.burst_interval;
        for arrival in burst {
            self.worker.handle_datagram(self.now, arrival.path, &mut arrival.datagram, &mut self.out);
        }
        let (mut trains, mut packets) = (0, 0);
        loop {
            let more = self.worker.poll_transmit(self.now, &mut self.out);
            trains += self.out.trains().count();
            packets += self.out.packets();
            self.out.clear();
            if !more {
                return (trains, packets);
            }
        }
    }

    /// The packet path and nothing else: the burst in, the batch filled and thrown away. Time passes as it would with 25
    /// frames per second of each publisher.
    #[inline(never)]
    pub fn forward_burst(&mut self, burst: &mut [Arrival]) {
        self.now += self.burst_interval;
        for arrival in burst {
            self.worker.handle_datagram(self.now, arrival.path, &mut arrival.datagram, &mut self.out);
        }
        while self.worker.poll_transmit(self.now, &mut self.out) {
            self.out.clear();
        }
        self.out.clear();
    }

    /// Reports, feedback and whatever else is due; what it sends is thrown away.
    #[inline(never)]
    pub fn run_timers(&mut self) {
        if self.worker.poll_timeout().is_some_and(|at| at <= self.now) {
            self.worker.handle_timeout(self.now, &mut self.out);
            self.out.clear();
        }
    }

    /// Hands over the datagrams one by one, and what is sent to the members.
    pub fn forward_and_deliver(&mut self, arrivals: &mut [Arrival]) -> Result<(), MeetingError> {
        for arrival in arrivals {
            self.worker.handle_datagram(self.now, arrival.path, &mut arrival.datagram, &mut self.out);
            self.forward();
            self.exchange()?;
        }
        Ok(())
    }

    fn forward(&mut self) {
        while self.worker.poll_transmit(self.now, &mut self.out) {}
    }

    /// A datagram as if from the address of `member`.
    pub fn inject(&mut self, member: MemberIndex, datagram: &mut [u8]) -> Result<(), MeetingError> {
        if let Some(path) = self.members.get(member).map(|member| member.path) {
            self.worker.handle_datagram(self.now, path, datagram, &mut self.out);
        }
        self.forward();
        self.exchange()
    }

    /// A datagram from an address that nobody has.
    pub fn inject_from_stranger(&mut self, datagram: &mut [u8]) -> Result<(), MeetingError> {
        let path = Path { remote: SocketAddr::from(([203, 0, 113, 66], 666)), local: None };
        self.worker.handle_datagram(self.now, path, datagram, &mut self.out);
        self.exchange()
    }

    /// Members that send; one when nobody does.
    pub fn publishers(&self) -> usize {
        self.members.iter().filter(|member| member.stream.is_some()).count().max(1)
    }

    /// What the member publishes.
    pub fn stream(&self, member: MemberIndex) -> Option<&MediaStream> {
        self.members.get(member)?.stream.as_ref()
    }

    pub fn profile(&self, member: MemberIndex) -> Option<SrtpProfile> {
        self.members.get(member)?.peer.profile()
    }

    /// Renews every member's consent, so that time may pass in which nobody reads what is sent.
    pub fn renew_consent(&mut self) -> Result<(), MeetingError> {
        for index in 0..self.members.len() {
            let now = self.now;
            if let Some(member) = self.members.get_mut(index) {
                member.peer.check(now)?;
            }
        }
        self.exchange()
    }

    /// Carries datagrams to and fro until nobody has one, and runs what is due.
    pub fn exchange(&mut self) -> Result<(), MeetingError> {
        if self.worker.poll_timeout().is_some_and(|at| at <= self.now) {
            self.worker.handle_timeout(self.now, &mut self.out);
        }
        for member in &mut self.members {
            member.peer.handle_timeout(self.now)?;
        }
        loop {
            self.deliver_to_members()?;
            let mut moved = false;
            for member in &mut self.members {
                while let Some(mut datagram) = member.peer.poll_transmit() {
                    moved = true;
                    self.worker.handle_datagram(self.now, member.path, &mut datagram, &mut self.out);
                }
            }
            self.forward();
            self.events.extend(std::iter::from_fn(|| self.worker.poll_event()));
            if !moved && self.out.is_empty() {
                return Ok(());
            }
        }
    }

    fn deliver_to_members(&mut self) -> Result<(), MeetingError> {
        let out = std::mem::take(&mut self.out);
        for train in out.trains() {
            let remote = train.path().remote;
            let Some(member) = self.members.iter_mut().find(|member| member.path.remote == remote) else { continue };
            for datagram in train.datagrams() {
                if let Received::Rtp(packet) = member.peer.handle_datagram(self.now, datagram)? {
                    member.received.push(packet);
                }
            }
        }
        self.out = out;
        self.out.clear();
        Ok(())
    }
}

fn payload_type(kind: MediaKind) -> Result<PayloadType, MeetingError> {
    let number = match kind {
        MediaKind::Audio => OPUS,
        MediaKind::Video => VP8,
    };
    PayloadType::new(number).ok_or(MeetingError::Constant("payload type"))
}

fn extensions() -> Vec<ExtensionId> {
    vec![
        ExtensionId { id: MID_EXTENSION, extension: HeaderExtension::Mid },
        ExtensionId { id: TRANSPORT_CC_EXTENSION, extension: HeaderExtension::TransportCc },
    ]
}
