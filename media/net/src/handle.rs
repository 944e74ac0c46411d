//! What the control side holds of the media plane.

use crate::stats::NetStats;
use consilium_media_core::control::Command;
use consilium_media_core::params::{Fingerprint, FingerprintHash};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Commands that may wait for one worker. A join takes about ten, so a hundred joins at once pass without waiting.
pub(crate) const COMMANDS_MAX: usize = 1_024;
/// What a room counts for when rooms are placed, as a share of a core, until its traffic shows in the worker's load.
const ROOM_LOAD: f64 = 0.02;

/// Index of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WorkerId(usize);

impl WorkerId {
    pub fn get(self) -> usize {
        self.0
    }
}

/// An address at which a worker receives media; a host candidate of RFC 8839.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IceCandidate {
    pub address: SocketAddr,
    /// RFC 8445 section 5.1.2.
    pub priority: u32,
}

/// The worker's thread has ended: the process is shutting down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the media worker has stopped")]
pub struct WorkerStopped;

/// The control side's end of one worker.
pub(crate) struct Port {
    pub(crate) commands: mpsc::Sender<Command>,
    /// Ends the thread's wait. `None` without a thread.
    pub(crate) waker: Option<Arc<mio::Waker>>,
    pub(crate) candidates: Vec<IceCandidate>,
    pub(crate) stats: Arc<Mutex<NetStats>>,
    pub(crate) rooms: AtomicUsize,
}

impl Port {
    fn snapshot<T>(&self, read: impl FnOnce(&NetStats) -> T) -> T {
        // Whole values are stored, so a poisoned lock guards nothing half-written.
        read(&self.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct MediaHandle {
    inner: Arc<Inner>,
}

struct Inner {
    fingerprint: Fingerprint,
    ports: Vec<Port>,
}

impl MediaHandle {
    /// `ports` is not empty.
    pub(crate) fn new(fingerprint: Fingerprint, ports: Vec<Port>) -> Self {
        Self { inner: Arc::new(Inner { fingerprint, ports }) }
    }

    pub fn workers(&self) -> impl Iterator<Item = WorkerId> + use<> {
        (0..self.inner.ports.len()).map(WorkerId)
    }

    /// Reserves room for a new meeting on the least loaded worker. To be given back with [`Self::release_room`].
    pub fn place_room(&self) -> WorkerId {
        let score = |port: &Port| {
            let rooms = port.rooms.load(Ordering::Relaxed) as f64;
            port.snapshot(|stats| stats.load) + rooms * ROOM_LOAD
        };
        let scores = self.inner.ports.iter().map(score).enumerate();
        let least = scores.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(index, _)| index);
        if let Some(port) = self.inner.ports.get(least) {
            port.rooms.fetch_add(1, Ordering::Relaxed);
        }
        WorkerId(least)
    }

    /// The meeting has ended.
    pub fn release_room(&self, worker: WorkerId) {
        if let Some(port) = self.inner.ports.get(worker.0) {
            let less_one = |rooms: usize| Some(rooms.saturating_sub(1));
            // Always succeeds: the closure never refuses.
            let _ = port.rooms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_one);
        }
    }

    /// Queues a command, waiting while the worker's queue is full. Commands of one caller keep their order.
    pub async fn command(&self, worker: WorkerId, command: Command) -> Result<(), WorkerStopped> {
        let port = self.inner.ports.get(worker.0).ok_or(WorkerStopped)?;
        port.commands.send(command).await.map_err(|_| WorkerStopped)?;
        match &port.waker {
            Some(waker) => waker.wake().map_err(|_| WorkerStopped),
            None => Ok(()),
        }
    }

    /// Whether every worker's thread runs: part of the process's liveness.
    pub fn is_running(&self) -> bool {
        self.inner.ports.iter().all(|port| !port.commands.is_closed())
    }

    /// What descriptions advertise for peers of this worker, most preferred first.
    pub fn candidates(&self, worker: WorkerId) -> &[IceCandidate] {
        self.inner.ports.get(worker.0).map_or(&[], |port| &port.candidates)
    }

    pub fn fingerprint(&self) -> &Fingerprint {
        &self.inner.fingerprint
    }

    /// The worker's figures as of its last report, about 200 ms old at most.
    pub fn stats(&self, worker: WorkerId) -> NetStats {
        self.inner.ports.get(worker.0).map_or_else(NetStats::default, |port| port.snapshot(NetStats::clone))
    }

    /// For tests of the control side: no worker behind it, commands go to the returned receiver. One worker with one
    /// loopback candidate, and a fingerprint of no certificate.
    pub fn detached() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let fingerprint = Fingerprint { hash: FingerprintHash::Sha256, bytes: (0..32).collect() };
        let candidate = IceCandidate { address: ([127, 0, 0, 1], 7882).into(), priority: 2_130_706_431 };
        let port = Port {
            commands,
            waker: None,
            candidates: vec![candidate],
            stats: Arc::default(),
            rooms: AtomicUsize::new(0),
        };
        (Self::new(fingerprint, vec![port]), receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilium_media_core::ids::PeerId;

    fn ports(loads: &[f64]) -> MediaHandle {
        let port = |load: &f64| {
            let stats = NetStats { load: *load, ..NetStats::default() };
            Port {
                commands: mpsc::channel(1).0,
                waker: None,
                candidates: vec![],
                stats: Arc::new(Mutex::new(stats)),
                rooms: AtomicUsize::new(0),
            }
        };
        let fingerprint = Fingerprint { hash: FingerprintHash::Sha256, bytes: vec![0; 32] };
        MediaHandle::new(fingerprint, loads.iter().map(port).collect())
    }

    #[test]
    fn rooms_spread_over_idle_workers_and_released_ones_make_room() {
        let handle = ports(&[0.0, 0.0, 0.0]);
        let placed: Vec<usize> = (0..6).map(|_| handle.place_room().get()).collect();
        assert_eq!(placed, [0, 1, 2, 0, 1, 2]);
        handle.release_room(WorkerId(1));
        assert_eq!(handle.place_room().get(), 1);
    }

    #[test]
    fn a_busy_worker_gets_fewer_rooms() {
        let handle = ports(&[0.5, 0.1]);
        let on_busy = (0..20).filter(|_| handle.place_room().get() == 0).count();
        assert_eq!(on_busy, 0);
    }

    #[test]
    fn a_room_released_twice_is_counted_once() {
        let handle = ports(&[0.0]);
        handle.release_room(WorkerId(0));
        assert_eq!(handle.inner.ports[0].rooms.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_detached_handle_passes_commands_on() {
        let (handle, mut commands) = MediaHandle::detached();
        let worker = handle.place_room();
        assert_eq!(handle.candidates(worker).len(), 1);
        assert_eq!(handle.fingerprint().bytes.len(), 32);
        handle.command(worker, Command::RemovePeer { peer: PeerId::new(7) }).await.unwrap();
        assert!(matches!(commands.recv().await, Some(Command::RemovePeer { peer }) if peer.get() == 7));
        drop(commands);
        assert!(!handle.is_running());
        assert_eq!(handle.command(worker, Command::RemovePeer { peer: PeerId::new(7) }).await, Err(WorkerStopped));
    }
}
