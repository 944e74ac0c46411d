//! The media of all members: one thread that owns their sockets, their crypto and the clock.
//!
//! ```text
//! mod         the thread's loop: commands, arrivals, what is due
//! handle      the engine from outside
//! connection  one peer connection
//! stream      one stream that is sent
//! incoming    one stream that arrives
//! tally       what arrived of one stream, and what should have
//! measured    what that adds up to
//! socket      UDP with the kernel's offloads
//! ```

mod connection;
mod handle;
mod incoming;
mod measured;
mod socket;
mod stream;
mod tally;

pub use handle::{Engine, EngineHandle};
pub use measured::Measured;
pub use tally::{Counts, Window};

use super::plan::Plan;
use super::process;
use super::seam::{Connection, ConnectionId, ConnectionRole, MemberId, OutgoingStream, StreamKind};
use connection::{LoadConnection, Now, is_over};
use consilium_media_core::wire::ntp::NtpTime;
use handle::{Command, WAKE};
use socket::{Arrivals, LoadSocket};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stream::Stream;
use tally::LastSent;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often missing packets are asked for: a round trip through a nearby server, and some.
const REQUEST_INTERVAL: Duration = Duration::from_millis(50);
/// A packet that leaves this long after its time means that the thread does not keep up.
const LATE: Duration = Duration::from_millis(5);
/// Batches taken from one socket before the others get their turn.
const BATCHES_PER_TURN: usize = 4;

/// What comes up at its time, for a connection in a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Stream(usize),
    Endpoint,
    Reports,
    Requests,
}

/// A place for a connection. The generation tells events of one that was there before.
struct Slot {
    connection: Option<LoadConnection>,
    generation: u32,
}

struct Loop {
    plan: Plan,
    factor: f64,
    poll: mio::Poll,
    commands: mpsc::Receiver<Command>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_id: HashMap<ConnectionId, usize>,
    due: BinaryHeap<Reverse<(Instant, usize, u32, Due)>>,
    arrivals: Arrivals,
    measured: Measured,
    /// Taken when the window ends.
    sent: Option<LastSent>,
    /// When the window began: packets sent by then, and the thread's time.
    before: Option<(u64, Option<process::ThreadTime>)>,
    /// By connections that are closed.
    packets_closed: u64,
    /// Drops at our sockets before the measurement.
    drops_before: u64,
    incoming: Arc<AtomicU64>,
    incoming_counted: Instant,
    readable: Vec<usize>,
}

impl Loop {
    fn new(
        plan: Plan,
        poll: mio::Poll,
        commands: mpsc::Receiver<Command>,
        measured: Measured,
        incoming: Arc<AtomicU64>,
    ) -> Self {
        Self {
            plan,
            factor: 1.0,
            poll,
            commands,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            due: BinaryHeap::new(),
            arrivals: Arrivals::new(),
            measured,
            sent: None,
            before: None,
            packets_closed: 0,
            drops_before: 0,
            incoming,
            incoming_counted: Instant::now(),
            readable: Vec::new(),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        let mut ready = mio::Events::with_capacity(1_024);
        loop {
            let now = Instant::now();
            let next = self.due.peek().map(|Reverse((at, ..))| at.saturating_duration_since(now));
            let timeout = if self.readable.is_empty() { next } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut ready, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in ready.iter().filter(|event| event.token() != WAKE) {
                self.readable.push(event.token().0);
            }
            let now = read_clocks();
            self.snapshot(now);
            if !self.take_commands(now) {
                return Ok(());
            }
            self.receive();
            self.serve_due();
            self.count_incoming(now.at);
        }
    }

    fn take_commands(&mut self, now: Now) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Connect(connection) => self.connect(now.at, *connection),
                Command::Publish(id, streams) => self.publish(now.at, id, streams),
                Command::Close(id) => self.close(id),
                Command::Layers(id, layers) => self.set_layers(now.at, id, layers),
                Command::Speak(member, speaking) => self.speak(now.at, member, speaking),
                Command::Scale(factor) => self.factor = factor,
                Command::Measure(window) => self.measure(window),
                Command::Collect(reply) => self.collect(reply),
                Command::Stop => return false,
            }
        }
        true
    }

    fn connect(&mut self, now: Instant, connection: Connection) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { connection: None, generation: 0 });
            self.slots.len() - 1
        });
        let id = connection.id;
        let Ok(socket) = LoadSocket::open(connection.server) else {
            self.free.push(slot);
            // Whoever waited may have given up.
            let _ = connection.connected.send(Err("no UDP socket can be opened".to_owned()));
            return;
        };
        let mut opened = LoadConnection::new(now, connection, socket, &self.plan);
        let registered =
            self.poll.registry().register(&mut opened.socket.io, mio::Token(slot), mio::Interest::READABLE);
        if let Err(error) = registered {
            self.free.push(slot);
            opened.give_up(format!("the socket cannot be watched: {error}"));
            return;
        }
        opened.handle_timeout(now);
        self.slots[slot].connection = Some(opened);
        self.by_id.insert(id, slot);
        self.enter(now, slot, Due::Endpoint);
        // Reports of different members do not fall together.
        let phase = REPORT_INTERVAL.mul_f64(f64::from(id.member.0 % 101) / 101.0);
        self.enter(now + phase, slot, Due::Reports);
        if self.plan.nack {
            self.enter(now + REQUEST_INTERVAL, slot, Due::Requests);
        }
    }

    /// What was entered before for the same thing no longer counts.
    fn enter(&mut self, at: Instant, slot: usize, due: Due) {
        let Some(connection) = self.slots[slot].connection.as_mut() else { return };
        match due {
            Due::Stream(stream) => {
                if let Some(stream) = connection.streams.get_mut(stream) {
                    stream.due = Some(at);
                }
            }
            Due::Endpoint => connection.endpoint_due = Some(at),
            Due::Reports | Due::Requests => {}
        }
        self.due.push(Reverse((at, slot, self.slots[slot].generation, due)));
    }

    fn publish(&mut self, now: Instant, id: ConnectionId, streams: Vec<OutgoingStream>) {
        let Some(&slot) = self.by_id.get(&id) else { return };
        let Some(connection) = self.slots[slot].connection.as_mut() else { return };
        let mut starts = Vec::new();
        for out in streams {
            let mut stream = Stream::new(id.member, out, &self.plan);
            starts.push((now + stream.phase(self.factor), connection.streams.len()));
            connection.streams.push(stream);
        }
        for (at, stream) in starts {
            self.enter(at, slot, Due::Stream(stream));
        }
    }

    fn close(&mut self, id: ConnectionId) {
        let Some(slot) = self.by_id.remove(&id) else { return };
        let place = &mut self.slots[slot];
        place.generation = place.generation.wrapping_add(1);
        if let Some(mut connection) = place.connection.take() {
            self.packets_closed += connection.packets_sent();
            self.measured.counts += connection.collect(None);
            // Closing the socket would do the same.
            let _ = self.poll.registry().deregister(&mut connection.socket.io);
        }
        self.free.push(slot);
    }

    fn set_layers(&mut self, now: Instant, id: ConnectionId, layers: u8) {
        let Some(&slot) = self.by_id.get(&id) else { return };
        let Some(connection) = self.slots[slot].connection.as_mut() else { return };
        let cameras = connection.streams.iter_mut().enumerate().filter(|(_, s)| s.out.kind == StreamKind::Video);
        let mut starts = Vec::new();
        for (index, stream) in cameras {
            let enabled = stream.out.layer < layers;
            if enabled && !stream.enabled {
                stream.keyframe_wanted = true;
                starts.push(index);
            }
            stream.enabled = enabled;
        }
        starts.into_iter().for_each(|index| self.enter(now, slot, Due::Stream(index)));
    }

    fn speak(&mut self, now: Instant, member: MemberId, speaking: bool) {
        let id = ConnectionId { member, role: ConnectionRole::Publisher };
        let Some(&slot) = self.by_id.get(&id) else { return };
        let Some(connection) = self.slots[slot].connection.as_mut() else { return };
        let microphones = connection.streams.iter_mut().enumerate().filter(|(_, s)| s.out.kind == StreamKind::Audio);
        let mut changed = Vec::new();
        for (index, stream) in microphones.filter(|(_, stream)| stream.speaking != speaking) {
            stream.speaking = speaking;
            changed.push(index);
        }
        // Who falls silent sends one packet more at the old pace; who begins to speak does so at once.
        if speaking {
            changed.into_iter().for_each(|index| self.enter(now, slot, Due::Stream(index)));
        }
    }

    fn receive(&mut self) {
        let mut readable = std::mem::take(&mut self.readable);
        readable.sort_unstable();
        readable.dedup();
        for slot in readable.drain(..) {
            for turn in 0.. {
                let more = self.receive_batch(slot);
                if !more {
                    break;
                }
                if turn >= BATCHES_PER_TURN {
                    self.readable.push(slot);
                    break;
                }
            }
            self.serve_due();
        }
    }

    /// Whether more may wait.
    fn receive_batch(&mut self, slot: usize) -> bool {
        let Some(connection) = self.slots.get_mut(slot).and_then(|slot| slot.connection.as_mut()) else { return false };
        let more = match self.arrivals.receive(&connection.socket) {
            Ok((filled, more)) => {
                let now = read_clocks();
                for (arrived_ns, datagram) in self.arrivals.datagrams(filled) {
                    connection.handle_datagram(now, arrived_ns.unwrap_or(now.ns), datagram, &mut self.measured);
                }
                more
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock && error.kind() != io::ErrorKind::ConnectionRefused,
        };
        // Connected ones have a check every few seconds; the others wait for timers of milliseconds.
        if !connection.is_connected()
            && let Some(at) = connection.poll_timeout()
            && connection.endpoint_due.is_none_or(|due| at < due)
        {
            self.enter(at, slot, Due::Endpoint);
        }
        more
    }

    fn serve_due(&mut self) {
        let mut now = read_clocks();
        while let Some(&Reverse((at, slot, generation, due))) = self.due.peek() {
            if at > now.at {
                return;
            }
            self.due.pop();
            if self.slots[slot].generation == generation {
                self.serve(now, at, slot, due);
            }
            now = read_clocks();
        }
    }

    fn serve(&mut self, now: Now, at: Instant, slot: usize, due: Due) {
        let Some(connection) = self.slots[slot].connection.as_mut() else { return };
        if !connection.is_due(at, due) {
            return;
        }
        let next = match due {
            Due::Stream(stream) => {
                if self.measured.window.is_some_and(|window| window.contains(now.ns)) {
                    self.measured.sends += 1;
                    self.measured.late_sends += u64::from(now.at.saturating_duration_since(at) >= LATE);
                }
                let step = connection.send_media(now, stream, &self.plan, self.factor);
                // From when it was due, so that the rate holds; a thread that is far behind does not try to catch up.
                step.map(|step| (at + step).max(now.at.checked_sub(LATE * 4).unwrap_or(now.at)))
            }
            Due::Endpoint => {
                connection.handle_timeout(now.at);
                let next = connection.poll_timeout();
                next.map(|next| next.max(now.at + Duration::from_millis(1)))
            }
            Due::Reports => {
                if connection.is_connected() {
                    connection.send_reports(now, ntp(now.ns));
                }
                Some(now.at + REPORT_INTERVAL)
            }
            Due::Requests => {
                connection.send_requests(self.plan.nack);
                Some(now.at + REQUEST_INTERVAL)
            }
        };
        if let Some(next) = next {
            self.enter(next, slot, due);
        }
    }

    fn connections(&self) -> impl Iterator<Item = &LoadConnection> {
        self.slots.iter().filter_map(|slot| slot.connection.as_ref())
    }

    fn count_incoming(&mut self, now: Instant) {
        if now.saturating_duration_since(self.incoming_counted) < Duration::from_millis(200) {
            return;
        }
        self.incoming_counted = now;
        // What comes from members who have left is no path any more.
        let sends = |member| self.by_id.contains_key(&ConnectionId { member, role: ConnectionRole::Publisher });
        let streams: usize = self.connections().map(|connection| connection.incoming_len(sends)).sum();
        self.incoming.store(streams as u64, Ordering::Relaxed);
    }

    fn packets_sent(&self) -> u64 {
        self.packets_closed + self.connections().map(LoadConnection::packets_sent).sum::<u64>()
    }

    fn measure(&mut self, window: Window) {
        for slot in &mut self.slots {
            if let Some(connection) = slot.connection.as_mut() {
                connection.reset();
            }
        }
        if let Ok(measured) = Measured::new(Some(window)) {
            self.measured = measured;
        }
        self.sent = None;
        self.before = None;
        self.drops_before = self.socket_drops();
    }

    fn socket_drops(&self) -> u64 {
        let ports: Vec<u16> = self.connections().filter_map(|connection| connection.local_port().ok()).collect();
        process::udp_drops(&ports)
    }

    /// At both ends of the window: how far each stream has come.
    fn snapshot(&mut self, now: Now) {
        let Some(window) = self.measured.window else { return };
        if self.before.is_none() && now.ns >= window.start_ns {
            self.before = Some((self.packets_sent(), process::ThreadTime::read().ok()));
        }
        if self.sent.is_some() || !is_over(self.measured.window, now.ns) {
            return;
        }
        let mut sent = LastSent::new();
        self.connections().for_each(|connection| connection.note_sent(&mut sent));
        self.sent = Some(sent);
        let (packets, time) = self.before.unwrap_or_default();
        self.measured.packets_sent = self.packets_sent().saturating_sub(packets);
        if let (Some(before), Ok(after)) = (time, process::ThreadTime::read()) {
            self.measured.busy_ratio = after.busy_since(&before);
        }
    }

    fn collect(&mut self, reply: tokio::sync::oneshot::Sender<Measured>) {
        let mut measured = self.measured.clone();
        let none = LastSent::new();
        let sent = self.sent.as_ref().unwrap_or(&none);
        for connection in self.connections() {
            measured.counts += connection.collect(Some(sent));
        }
        measured.socket_drops = self.socket_drops().saturating_sub(self.drops_before);
        // Whoever asked may have given up.
        let _ = reply.send(measured);
    }
}

fn read_clocks() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { at: Instant::now(), ns: since_epoch.as_nanos() as u64 }
}

fn ntp(ns: u64) -> NtpTime {
    NtpTime::from_unix(Duration::from_nanos(ns))
}
