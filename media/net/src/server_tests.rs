//! Real loopback sockets around a scripted core.

use super::*;
use crate::config::Offload;
use crate::handle::WorkerId;
use crate::stats::NetStats;
use bytes::Bytes;
use consilium_media_core::batch::{Destination, Priority, SendBatch};
use consilium_media_core::control::{Command, DataChannelId, Event};
use consilium_media_core::ids::{PeerId, RoomId, TrackId};
use consilium_media_core::params::{FingerprintHash, Path};
use consilium_media_core::worker::WorkerStats;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::mpsc as blocking;
use std::time::Duration;

/// Long enough for a loaded machine; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a datagram tells the scripted core by its first byte.
const ECHO: u8 = b'e';
/// Answers with as many numbered datagrams as the second byte says.
const TRAIN: u8 = b't';
/// Yields 256 times as many events as the second byte says.
const EVENTS: u8 = b'v';
/// Answers after 30 ms, by a timer.
const LATER: u8 = b'l';

const TRAIN_DATAGRAM_LEN: usize = 1_100;

#[derive(Default)]
struct Script {
    stats: WorkerStats,
    events_left: u64,
    events_made: u64,
    later: Option<(Instant, Path)>,
    /// Every command waits for one message here before it is taken.
    gate: Option<blocking::Receiver<()>>,
    /// Peers of the commands that were taken. Closed when the core is dropped.
    taken: Option<blocking::Sender<u64>>,
}

fn to(path: Path) -> Destination {
    Destination { slot: 0, path }
}

impl Core for Script {
    fn handle_command(&mut self, _now: Instant, command: Command, _out: &mut SendBatch) {
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        if let (Some(taken), Command::RemovePeer { peer }) = (&self.taken, command) {
            taken.send(peer.get()).unwrap();
        }
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut SendBatch) {
        self.stats.datagrams_received += 1;
        match *datagram {
            [EVENTS, count] => self.events_left += u64::from(count) * 256,
            [LATER] => self.later = Some((now + Duration::from_millis(30), path)),
            [TRAIN, count] => {
                for number in 0..count {
                    assert!(out.push(to(path), Priority::Normal, &[number; TRAIN_DATAGRAM_LEN]));
                    self.stats.rtp_forwarded += 1;
                }
            }
            _ => {
                assert!(out.push(to(path), Priority::Normal, datagram));
                self.stats.rtp_forwarded += 1;
            }
        }
    }

    fn poll_transmit(&mut self, _now: Instant, _out: &mut SendBatch) -> bool {
        false
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.later.map(|(at, _)| at)
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut SendBatch) {
        let (at, path) = self.later.take().unwrap();
        assert!(at <= now);
        assert!(out.push(to(path), Priority::High, b"timer"));
    }

    fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events_left = self.events_left.checked_sub(1)?;
        self.events_made += 1;
        Some(RoomEvent { room: RoomId::new(1), event: Event::TrackStarted { track: TrackId::new(self.events_made) } })
    }

    fn stats(&self) -> &WorkerStats {
        &self.stats
    }
}

struct Fixture {
    server: MediaServer,
    handle: MediaHandle,
    events: mpsc::Receiver<RoomEvent>,
}

fn config() -> MediaConfig {
    MediaConfig {
        workers: 1,
        udp_port_base: 0,
        bind_v4: Some(Ipv4Addr::LOCALHOST),
        bind_v6: Some(Ipv6Addr::LOCALHOST),
        ..MediaConfig::default()
    }
}

fn try_start<F>(config: &MediaConfig, core_of: impl Fn(usize) -> F) -> Result<Fixture, StartError>
where
    F: FnOnce(Instant) -> Script + Send + 'static,
{
    let fingerprint = Fingerprint { hash: FingerprintHash::Sha256, bytes: vec![0; 32] };
    let (server, handle, events) = start_with(config, fingerprint, core_of)?;
    Ok(Fixture { server, handle, events })
}

fn start_script(config: &MediaConfig) -> Fixture {
    try_start(config, |_| |_| Script::default()).unwrap()
}

impl Fixture {
    fn worker(&self) -> WorkerId {
        self.handle.workers().next().unwrap()
    }

    /// A client of the worker's socket of one IP version.
    fn client(&self, ipv4: bool) -> UdpSocket {
        let candidates = self.handle.candidates(self.worker());
        let server = candidates.iter().map(|c| c.address).find(|a| a.is_ipv4() == ipv4).unwrap();
        let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        socket
    }

    /// Asks until the published figures satisfy `wanted`.
    fn stats_until(&self, wanted: impl Fn(&NetStats) -> bool) -> NetStats {
        let start = Instant::now();
        loop {
            let stats = self.handle.stats(self.worker());
            if wanted(&stats) {
                return stats;
            }
            assert!(start.elapsed() < PATIENCE, "the figures never came: {stats:?}");
            std::thread::yield_now();
        }
    }
}

fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let len = client.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn check_echo(ipv4: bool) {
    let fixture = start_script(&config());
    let client = fixture.client(ipv4);
    for number in 0..100u8 {
        let datagram = [ECHO, number, 1, 2, 3];
        client.send(&datagram).unwrap();
        assert_eq!(receive(&client), datagram);
    }
}

#[test]
fn datagrams_come_and_go_over_ipv4() {
    check_echo(true);
}

#[test]
fn datagrams_come_and_go_over_ipv6() {
    check_echo(false);
}

fn check_train(offload: Offload) {
    // More than a train, and no more than the kernel's default receive buffer (212,992 bytes) holds if nobody reads.
    const COUNT: u8 = 80;
    let fixture = start_script(&MediaConfig { offload, ..config() });
    let client = fixture.client(true);
    client.send(&[TRAIN, COUNT]).unwrap();
    for number in 0..COUNT {
        assert_eq!(receive(&client), [number; TRAIN_DATAGRAM_LEN]);
    }
    let stats = fixture.stats_until(|stats| stats.datagrams_sent == u64::from(COUNT));
    assert_eq!(stats.segmentation_offload, offload == Offload::Auto);
    // 59 datagrams of this length fit a train.
    assert_eq!(stats.trains_sent, if offload == Offload::Auto { 2 } else { 0 });
    assert_eq!(stats.bytes_sent, u64::from(COUNT) * TRAIN_DATAGRAM_LEN as u64);
    assert_eq!(stats.forwarding_delay.packets, u64::from(COUNT));
    assert_eq!(stats.forwarding_delay.buckets.iter().sum::<u64>(), u64::from(COUNT));
    assert!(stats.forwarding_delay.sum_seconds > 0.0);
    assert_eq!(stats.core.datagrams_received, 1);
}

#[test]
fn trains_arrive_in_order_and_intact_with_offload() {
    check_train(Offload::Auto);
}

#[test]
fn trains_arrive_in_order_and_intact_without_offload() {
    check_train(Offload::Off);
}

#[test]
fn the_core_is_called_at_its_deadline() {
    let fixture = start_script(&config());
    let client = fixture.client(true);
    let start = Instant::now();
    client.send(&[LATER]).unwrap();
    assert_eq!(receive(&client), b"timer");
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn shutdown_does_what_was_queued_and_joins_the_threads() {
    let (taken_sender, taken) = blocking::channel();
    let fixture = try_start(&config(), |_| {
        let taken = Some(taken_sender.clone());
        move |_| Script { taken, ..Script::default() }
    })
    .unwrap();
    drop(taken_sender);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let command = |peer| fixture.handle.command(fixture.worker(), Command::RemovePeer { peer: PeerId::new(peer) });
    runtime.block_on(async {
        for peer in 0..500 {
            command(peer).await.unwrap();
        }
    });
    let handle = fixture.handle.clone();
    let worker = fixture.worker();
    fixture.server.shutdown();
    // The channel is closed, which only the dropped core does: the thread has ended.
    assert_eq!(taken.try_iter().collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    assert_eq!(taken.try_recv(), Err(blocking::TryRecvError::Disconnected));
    assert!(!handle.is_running());
    let refused = runtime.block_on(handle.command(worker, Command::RemovePeer { peer: PeerId::new(0) }));
    assert!(refused.is_err());
}

#[test]
fn commands_wait_while_the_queue_is_full_and_keep_their_order() {
    let (gate, gate_receiver) = blocking::channel();
    let (taken_sender, taken) = blocking::channel();
    let gate_receiver = Mutex::new(Some(gate_receiver));
    let fixture = try_start(&config(), |_| {
        let script = (gate_receiver.lock().unwrap().take(), Some(taken_sender.clone()));
        move |_| Script { gate: script.0, taken: script.1, ..Script::default() }
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let total = 2 * COMMANDS_MAX as u64;
    runtime.block_on(async {
        let mut sent = 0;
        let handle = &fixture.handle;
        let worker = fixture.worker();
        let command = |peer| handle.command(worker, Command::RemovePeer { peer: PeerId::new(peer) });
        // One is with the thread, which waits at the gate; the queue is full behind it.
        while let Ok(result) = tokio::time::timeout(Duration::from_millis(200), command(sent)).await {
            result.unwrap();
            sent += 1;
            assert!(sent <= COMMANDS_MAX as u64 + 1, "the queue has no bound");
        }
        assert!(sent >= COMMANDS_MAX as u64);
        (0..total).for_each(|_| gate.send(()).unwrap());
        for peer in sent..total {
            command(peer).await.unwrap();
        }
    });
    let order: Vec<u64> = (0..total).map(|_| taken.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(order, (0..total).collect::<Vec<_>>());
}

#[test]
fn events_are_never_lost_when_the_control_side_is_slow() {
    let mut fixture = start_script(&config());
    let client = fixture.client(true);
    // More than the channel and the thread's own queue hold together.
    let total = 255 * 256;
    assert!(total > 2 * EVENTS_MAX as u64);
    client.send(&[EVENTS, 255]).unwrap();
    // The worker goes on although nobody has taken an event yet.
    client.send(&[ECHO]).unwrap();
    assert_eq!(receive(&client), [ECHO]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for number in 1..=total {
            let event = tokio::time::timeout(PATIENCE, fixture.events.recv()).await.unwrap().unwrap();
            assert!(matches!(event.event, Event::TrackStarted { track } if track.get() == number));
        }
    });
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = MediaConfig { udp_port_base: address.port(), ..config() };
    let error = try_start(&config, |_| |_| Script::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Bind { .. }));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn neither_ip_version_is_an_error() {
    let config = MediaConfig { bind_v4: None, bind_v6: None, ..config() };
    let error = try_start(&config, |_| |_| Script::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::NoAddress));
}

#[test]
fn each_worker_has_a_port_and_a_thread_of_its_own() {
    let config = MediaConfig { workers: 3, pin_workers: true, ..config() };
    let fixture = start_script(&config);
    let ports: Vec<u16> =
        fixture.handle.workers().flat_map(|w| fixture.handle.candidates(w)).map(|c| c.address.port()).collect();
    assert_eq!(ports.len(), 6);
    for worker in fixture.handle.workers() {
        for candidate in fixture.handle.candidates(worker) {
            let client = UdpSocket::bind(SocketAddr::new(candidate.address.ip(), 0)).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send_to(&[ECHO, 9], candidate.address).unwrap();
            assert_eq!(receive(&client), [ECHO, 9]);
        }
    }
}

#[test]
fn an_answer_to_a_closed_port_disturbs_nobody() {
    let fixture = start_script(&config());
    for _ in 0..50 {
        // Gone before the answer comes: the kernel gets an ICMP port unreachable.
        let gone = fixture.client(true);
        gone.send(&[TRAIN, 20]).unwrap();
        drop(gone);
    }
    let client = fixture.client(true);
    client.send(&[ECHO, 1]).unwrap();
    // It may have inherited a port, and with it answers to the one that is gone.
    while receive(&client) != [ECHO, 1] {}
    assert!(fixture.handle.is_running());
}

#[test]
fn a_data_event_of_an_unknown_channel_counts_as_reliable() {
    // The queue may only discard what it knows to be lossy.
    let (sender, mut receiver) = mpsc::channel(1);
    let mut queue = crate::events::EventQueue::new(sender);
    let data = |byte| RoomEvent {
        room: RoomId::new(1),
        event: Event::Data {
            peer: PeerId::new(1),
            channel: DataChannelId::new(1),
            binary: true,
            payload: Bytes::copy_from_slice(&[byte]),
        },
    };
    let mut events = (0..3).map(data);
    let mut drops = Default::default();
    queue.pump(|| events.next(), &mut drops);
    for byte in 0..3u8 {
        let event = receiver.try_recv().unwrap();
        assert!(matches!(event.event, Event::Data { payload, .. } if payload[..] == [byte]));
        queue.pump(|| None, &mut drops);
    }
    assert_eq!(drops.total(), 0);
}
