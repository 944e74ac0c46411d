//! Media over real sockets: the server's threads, two peers, and a stranger who throws everything at the port.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use consilium_benches::abuse::Abuse;
use consilium_benches::peer::{MediaStream, Peer, Received};
use consilium_benches::random::Random;
use consilium_media_core::control::{Command, Event, RoomEvent};
use consilium_media_core::ids::{Mid, PayloadType, PeerId, RoomId, Ssrc, SubscriptionId, TrackId};
use consilium_media_core::params::{
    Codec, CodecParameters, Content, Encoding, ExtensionId, HeaderExtension, IceCredentials, MediaKind, PayloadMapping,
    ReceiveSection, SendParameters,
};
use consilium_media_core::transport::identity::Identity;
use consilium_media_core::transport::srtp::SrtpProfile;
use consilium_media_net::{MediaConfig, MediaHandle, MediaServer, WorkerId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);
const ROOM: RoomId = RoomId::new(1);

struct Server {
    runtime: Runtime,
    handle: MediaHandle,
    events: mpsc::Receiver<RoomEvent>,
    worker: WorkerId,
    address: SocketAddr,
    _server: MediaServer,
}

impl Server {
    fn start(loopback: IpAddr) -> Self {
        let (bind_v4, bind_v6) = match loopback {
            IpAddr::V4(address) => (Some(address), None),
            IpAddr::V6(address) => (None, Some(address)),
        };
        let config = MediaConfig { workers: 1, udp_port_base: 0, bind_v4, bind_v6, ..MediaConfig::default() };
        let (server, handle, events) = consilium_media_net::start(&config, Identity::generate().unwrap()).unwrap();
        let worker = handle.place_room();
        let address = handle.candidates(worker)[0].address;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { runtime, handle, events, worker, address, _server: server }
    }

    fn command(&self, command: Command) {
        self.runtime.block_on(self.handle.command(self.worker, command)).unwrap();
    }

    fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) {
        let events = &mut self.events;
        self.runtime.block_on(async {
            loop {
                let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
                assert!(!matches!(event.event, Event::PeerClosed { .. }), "{:?}", event.event);
                if wanted(&event.event) {
                    return;
                }
            }
        });
    }

    fn join(&mut self, id: u64) -> Client {
        let mut random = Random::new(id);
        let mut peer = Peer::new(id, &[SrtpProfile::AeadAes128Gcm]).unwrap();
        let local = IceCredentials { ufrag: random.letters(8), pwd: random.letters(24) };
        let peer_id = PeerId::new(id);
        let remote = Box::new(peer.remote_parameters());
        self.command(Command::AddPeer { peer: peer_id, room: ROOM, local: local.clone() });
        self.command(Command::SetRemote { peer: peer_id, remote });
        let socket = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        peer.connect(Instant::now(), local, self.handle.fingerprint().clone());
        let mut client = Client { peer, socket, received: 0 };
        client.run_until(|client| client.peer.is_connected());
        self.wait_for(|event| matches!(event, Event::PeerConnected { peer } if *peer == peer_id));
        client
    }
}

struct Client {
    peer: Peer,
    socket: UdpSocket,
    received: usize,
}

impl Client {
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        let mut buffer = [0; 4096];
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "received {}", self.received);
            self.peer.handle_timeout(Instant::now()).unwrap();
            while let Some(datagram) = self.peer.poll_transmit() {
                self.socket.send(&datagram).unwrap();
            }
            let Ok(len) = self.socket.recv(&mut buffer) else { continue };
            if let Received::Rtp(_) = self.peer.handle_datagram(Instant::now(), &buffer[..len]).unwrap() {
                self.received += 1;
            }
        }
    }
}

fn extensions() -> Vec<ExtensionId> {
    vec![ExtensionId { id: 4, extension: HeaderExtension::Mid }]
}

#[test]
fn a_meeting_over_sockets_survives_a_stranger_at_its_port() {
    check_meeting_survives(Ipv4Addr::LOCALHOST.into());
}

#[test]
fn a_meeting_over_ipv6_survives_a_stranger_at_its_port() {
    check_meeting_survives(Ipv6Addr::LOCALHOST.into());
}

fn check_meeting_survives(loopback: IpAddr) {
    let mut server = Server::start(loopback);
    let publisher = server.join(1);
    let mut receiver = server.join(2);
    let vp8 = PayloadType::new(96).unwrap();
    let mid = Mid::new(b"0").unwrap();
    let ssrc = Ssrc::new(77);
    let track = TrackId::new(5);
    server.command(Command::SetReceive {
        peer: PeerId::new(1),
        sections: vec![ReceiveSection {
            mid,
            kind: MediaKind::Video,
            content: Content::Motion,
            track: Some(track),
            codecs: vec![CodecParameters {
                payload_type: vp8,
                codec: Codec::Vp8,
                clock_rate: 90_000,
                rtx: None,
                nack: true,
                fir_only: false,
                remb: false,
            }],
            extensions: extensions(),
            encodings: vec![Encoding { rid: None, ssrc: Some(ssrc), rtx_ssrc: None, layer: 0 }],
        }],
    });
    server.command(Command::Subscribe {
        subscription: SubscriptionId::new(1),
        track,
        peer: PeerId::new(2),
        send: Box::new(SendParameters {
            mid,
            ssrc: Ssrc::new(99),
            rtx_ssrc: None,
            cname: "publisher".to_owned(),
            payloads: vec![PayloadMapping { from: vp8, to: vp8, rtx: None, strip_red: false }],
            extensions: extensions(),
        }),
    });
    let mut stream = MediaStream::new(ssrc, vp8, mid, 4, 3, 1_160);
    let stranger = UdpSocket::bind((loopback, 0)).unwrap();
    let mut captured = Vec::new();
    for round in 1..=100 {
        let datagram = publisher.peer.seal(&mut stream).unwrap();
        publisher.socket.send(&datagram).unwrap();
        captured.push(datagram);
        let mut abuse = Abuse::new(round).with_captured(captured.clone());
        for number in 0..1_000 {
            let (_, bad) = abuse.next_datagram();
            // What a peer's own network could do to it, too.
            let socket = if number % 4 == 0 { &publisher.socket } else { &stranger };
            socket.send_to(&bad, server.address).or_else(|_| socket.send(&bad)).unwrap();
        }
        // The kernel drops what does not fit its buffer; the next packet waits for this one, so none of ours is lost.
        receiver.run_until(|receiver| receiver.received >= round as usize);
    }
    assert_eq!(receiver.received, 100);
    let stats = server.handle.stats(server.worker);
    assert_eq!(stats.core.connected_peers, 2);
    assert!(stats.core.drops.total() > 10_000, "{:?}", stats.core.drops);
    assert!(server.handle.is_running());
}
