//! The root of the core: one worker's peers, tracks and subscriptions.

use crate::batch::SendBatch;
use crate::control::{Command, RoomEvent};
use crate::drops::DropCounters;
use crate::params::Path;
use crate::transport::identity::Identity;
use std::time::{Duration, Instant};

pub struct WorkerConfig {
    pub identity: Identity,
    /// Seeds every random choice of the worker.
    pub seed: u64,
    /// One reading of both clocks at start: `unix_start` is the time since the Unix epoch at `start`.
    pub start: Instant,
    pub unix_start: Duration,
}

/// What the worker has done so far, for metrics. Counters only grow.
#[derive(Clone, Debug, Default)]
pub struct WorkerStats {
    pub peers: u64,
    pub connected_peers: u64,
    pub tracks: u64,
    pub subscriptions: u64,
    pub datagrams_received: u64,
    pub bytes_received: u64,
    pub rtp_received: u64,
    pub rtp_forwarded: u64,
    pub rtp_forwarded_bytes: u64,
    pub rtp_retransmitted: u64,
    pub nacks_sent: u64,
    pub keyframe_requests_sent: u64,
    pub drops: DropCounters,
}

pub struct Worker {
    stats: WorkerStats,
}

impl Worker {
    pub fn new(_config: WorkerConfig) -> Self {
        Self { stats: WorkerStats::default() }
    }

    pub fn handle_command(&mut self, _now: Instant, _command: Command, _out: &mut SendBatch) {}

    /// Takes one datagram; it is decrypted in place.
    pub fn handle_datagram(&mut self, _now: Instant, _path: Path, _datagram: &mut [u8], _out: &mut SendBatch) {}

    /// When [`Worker::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub fn handle_timeout(&mut self, _now: Instant, _out: &mut SendBatch) {}

    pub fn poll_event(&mut self) -> Option<RoomEvent> {
        None
    }

    pub fn stats(&self) -> &WorkerStats {
        &self.stats
    }
}
