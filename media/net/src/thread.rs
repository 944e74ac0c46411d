//! One worker's thread: the loop that gives the core its datagrams, commands and time, and sends what it fills.

use crate::coalesce::Coalescing;
use crate::events::EventQueue;
use crate::handle::COMMANDS_MAX;
use crate::socket::{BUFFERS, MediaSocket, ReceiveBatch};
use crate::stats::{NetStats, SendFailure};
use consilium_media_core::batch::SendBatch;
use consilium_media_core::control::{Command, RoomEvent};
use consilium_media_core::drops::DropReason;
use consilium_media_core::params::Path;
use consilium_media_core::worker::{Worker, WorkerStats};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub(crate) const WAKE: mio::Token = mio::Token(usize::MAX);
/// Commands taken before the sockets get their turn again, so that a storm of joins does not hold up media.
const COMMANDS_PER_ROUND: usize = 64;
/// Datagrams in the send batch at which it is sent although more may come: some 600 microseconds of sending, measured at
/// trains of ten.
const FLUSH_DATAGRAMS: usize = 1_024;
/// Errors in a row after which a socket is left alone until it reports again, so that a broken one cannot spin the thread.
/// Single errors are ICMP messages of peers that left.
const RECEIVE_ERRORS_MAX: u32 = 16;
/// How often figures are published.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// How soon a full event queue is tried again.
const EVENT_RETRY: Duration = Duration::from_millis(5);

/// What the thread drives; [`Worker`] is the one, a script in tests the other.
pub(crate) trait Core {
    fn handle_command(&mut self, now: Instant, command: Command, out: &mut SendBatch);
    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut SendBatch);
    fn poll_transmit(&mut self, now: Instant, out: &mut SendBatch) -> bool;
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant, out: &mut SendBatch);
    fn poll_event(&mut self) -> Option<RoomEvent>;
    fn stats(&self) -> &WorkerStats;
}

impl Core for Worker {
    fn handle_command(&mut self, now: Instant, command: Command, out: &mut SendBatch) {
        Worker::handle_command(self, now, command, out);
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut SendBatch) {
        Worker::handle_datagram(self, now, path, datagram, out);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut SendBatch) -> bool {
        Worker::poll_transmit(self, now, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Worker::poll_timeout(self)
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut SendBatch) {
        Worker::handle_timeout(self, now, out);
    }

    fn poll_event(&mut self) -> Option<RoomEvent> {
        Worker::poll_event(self)
    }

    fn stats(&self) -> &WorkerStats {
        Worker::stats(self)
    }
}

/// A socket and whether the kernel may still have something for it: readiness is reported once per arrival.
struct Source {
    socket: MediaSocket,
    readable: bool,
    errors_in_a_row: u32,
}

/// What the thread is born with.
pub(crate) struct Channels {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<RoomEvent>,
    pub(crate) stats: Arc<Mutex<NetStats>>,
    pub(crate) stop: Arc<AtomicBool>,
}

pub(crate) struct WorkerLoop<C> {
    core: C,
    poll: mio::Poll,
    /// One per IP version at most.
    sources: Vec<Source>,
    receive: ReceiveBatch,
    batch: SendBatch,
    commands: mpsc::Receiver<Command>,
    commands_left: bool,
    events: EventQueue,
    stop: Arc<AtomicBool>,
    stats: NetStats,
    published: Arc<Mutex<NetStats>>,
    dirty: bool,
    /// The last clock reading.
    now: Instant,
    next_publish: Instant,
    window_start: Instant,
    busy: Duration,
    coalescing: Coalescing,
}

impl<C: Core> WorkerLoop<C> {
    pub(crate) fn new(
        core: C,
        poll: mio::Poll,
        sockets: Vec<MediaSocket>,
        channels: Channels,
        coalescing: Coalescing,
        now: Instant,
    ) -> Self {
        let source = |socket| Source { socket, readable: true, errors_in_a_row: 0 };
        Self {
            core,
            poll,
            sources: sockets.into_iter().map(source).collect(),
            receive: ReceiveBatch::new(),
            batch: SendBatch::new(),
            commands: channels.commands,
            commands_left: true,
            events: EventQueue::new(channels.events),
            stop: channels.stop,
            stats: NetStats::default(),
            published: channels.stats,
            dirty: true,
            now,
            next_publish: now,
            window_start: now,
            busy: Duration::ZERO,
            coalescing,
        }
    }

    /// Runs until told to stop; what was queued by then is still done.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut ready = mio::Events::with_capacity(8);
        loop {
            self.wait(&mut ready)?;
            let woken = self.now;
            let stopping = self.stop.load(Ordering::Acquire);
            self.take_commands(if stopping { COMMANDS_MAX } else { COMMANDS_PER_ROUND });
            self.flush(woken);
            self.receive_all();
            self.run_timers();
            let drops = &mut self.stats.drops;
            self.events.pump(|| self.core.poll_event(), drops);
            let worked = self.now.saturating_duration_since(woken);
            self.busy += worked;
            self.coalescing.worked(worked, self.now);
            if stopping {
                self.publish();
                return Ok(());
            }
            if self.dirty && self.now >= self.next_publish {
                self.publish();
            }
        }
    }

    /// Waits for the earliest of a datagram, a command and a deadline, then reads the clock.
    fn wait(&mut self, ready: &mut mio::Events) -> io::Result<()> {
        let work_left = self.commands_left || self.sources.iter().any(|source| source.readable);
        let timeout = if work_left { Some(Duration::ZERO) } else { self.time_to_next_deadline() };
        match self.poll.poll(ready, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in ready.iter() {
            match event.token() {
                WAKE => self.commands_left = true,
                mio::Token(index) => {
                    if let Some(source) = self.sources.get_mut(index) {
                        source.readable = true;
                    }
                }
            }
        }
        self.let_gather();
        self.now = Instant::now();
        Ok(())
    }

    /// On a busy worker, waits before it takes what has arrived.
    fn let_gather(&self) {
        let wait = self.coalescing.wait();
        if !wait.is_zero() && self.sources.iter().any(|source| source.readable) {
            std::thread::sleep(wait);
        }
    }

    fn time_to_next_deadline(&self) -> Option<Duration> {
        let publish = self.dirty.then_some(self.next_publish);
        let retry = self.events.is_behind().then(|| self.now + EVENT_RETRY);
        let earliest = [self.core.poll_timeout(), publish, retry].into_iter().flatten().min()?;
        Some(earliest.saturating_duration_since(self.now))
    }

    fn take_commands(&mut self, limit: usize) {
        for _ in 0..limit {
            let Ok(command) = self.commands.try_recv() else {
                self.commands_left = false;
                return;
            };
            self.dirty = true;
            self.stats.commands += 1;
            if let Command::RemovePeer { peer } = &command {
                self.events.forget(*peer);
            }
            self.core.handle_command(self.now, command, &mut self.batch);
            if wants_flush(&self.batch) {
                self.flush(self.now);
            }
        }
    }

    /// One batch from each socket that may have one, sent on before the next is taken.
    fn receive_all(&mut self) {
        for index in 0..self.sources.len() {
            let received_at = self.now;
            if let Some(filled) = self.receive_from(index) {
                self.dirty = true;
                self.stats.receive_batches += 1;
                self.take_in(received_at, filled);
                self.send_on(received_at);
            }
        }
    }

    fn receive_from(&mut self, index: usize) -> Option<usize> {
        let source = self.sources.get_mut(index).filter(|source| source.readable)?;
        match self.receive.receive(&source.socket) {
            Ok(filled) => {
                source.errors_in_a_row = 0;
                // The call ends at the first buffer that it cannot fill: the queue was empty then, and whatever arrives later
                // is reported anew.
                source.readable = filled == BUFFERS;
                Some(filled)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                source.readable = false;
                None
            }
            Err(_) => {
                self.stats.receive_errors += 1;
                self.dirty = true;
                source.errors_in_a_row += 1;
                if source.errors_in_a_row >= RECEIVE_ERRORS_MAX {
                    source.errors_in_a_row = 0;
                    source.readable = false;
                }
                None
            }
        }
    }

    fn take_in(&mut self, received_at: Instant, filled: usize) {
        for (path, datagram) in self.receive.datagrams(filled) {
            // RFC 768: port 0 asks for no answer. The kernel refuses to send there, with an error that looks like missing
            // segmentation offload.
            if path.remote.port() == 0 {
                self.stats.drops.count(DropReason::UnknownAddress);
                continue;
            }
            self.core.handle_datagram(self.now, path, datagram, &mut self.batch);
            if wants_flush(&self.batch) {
                let forwarded = self.core.stats().rtp_forwarded;
                self.now = flush(&mut self.sources, &mut self.batch, &mut self.stats, self.now, received_at, forwarded);
            }
        }
    }

    /// Sends what the core has taken in, part by part, so that the first subscribers need not wait for the last.
    fn send_on(&mut self, received_at: Instant) {
        loop {
            let more = self.core.poll_transmit(self.now, &mut self.batch);
            self.flush(received_at);
            if !more {
                return;
            }
        }
    }

    /// `since` is where the delay of what is in the batch is measured from.
    fn flush(&mut self, since: Instant) {
        if self.batch.is_empty() {
            return;
        }
        self.dirty = true;
        let forwarded = self.core.stats().rtp_forwarded;
        self.now = flush(&mut self.sources, &mut self.batch, &mut self.stats, self.now, since, forwarded);
    }

    fn run_timers(&mut self) {
        if self.core.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
            self.dirty = true;
            self.core.handle_timeout(self.now, &mut self.batch);
            self.flush(self.now);
        }
    }

    fn publish(&mut self) {
        let window = self.now.saturating_duration_since(self.window_start);
        if !window.is_zero() {
            self.stats.load = (self.busy.as_secs_f64() / window.as_secs_f64()).min(1.0);
        }
        self.busy = Duration::ZERO;
        self.window_start = self.now;
        self.next_publish = self.now + PUBLISH_INTERVAL;
        self.stats.core.clone_from(self.core.stats());
        self.stats.segmentation_offload = self.sources.iter().all(|source| source.socket.segmentation_offload());
        self.stats.receive_offload = self.sources.iter().all(|source| source.socket.receive_offload());
        // A falling load is news too: the figure must not stay high on a thread that fell idle.
        self.dirty = self.stats.load > 0.01;
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = self.stats.clone();
    }
}

fn wants_flush(batch: &SendBatch) -> bool {
    batch.is_full() || batch.packets() >= FLUSH_DATAGRAMS
}

/// Sends the batch, empties it and returns the time. Free of the loop, which is borrowed while datagrams are walked.
fn flush(
    sources: &mut [Source],
    batch: &mut SendBatch,
    stats: &mut NetStats,
    now: Instant,
    since: Instant,
    forwarded: u64,
) -> Instant {
    for train in batch.trains() {
        let remote = train.path().remote;
        match sources.iter_mut().find(|source| source.socket.address().is_ipv4() == remote.is_ipv4()) {
            Some(source) => source.socket.send(train, now, stats),
            None => stats.send_failures.count(SendFailure::NoSocket, train.packets()),
        }
    }
    batch.clear();
    let now = Instant::now();
    let packets = forwarded.saturating_sub(stats.forwarding_delay.packets);
    if packets > 0 {
        stats.forwarding_delay.observe(now.saturating_duration_since(since), packets);
    }
    now
}
