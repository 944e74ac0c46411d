//! What one measurement adds up to.

use super::tally::{Counts, Window};
use hdrhistogram::Histogram;
use std::io;

/// Delays above a minute are one minute.
const DELAY_MAX_NS: u64 = 60_000_000_000;

/// What was measured between the start and the end of the window.
#[derive(Clone, Debug)]
pub struct Measured {
    pub window: Option<Window>,
    pub counts: Counts,
    /// From the first byte composed to the kernel's time of arrival, in nanoseconds.
    pub delays_ns: Histogram<u64>,
    pub bytes: u64,
    pub packets_sent: u64,
    /// Refused by replay protection.
    pub duplicates: u64,
    /// Not authentic, or not what was negotiated.
    pub refused: u64,
    pub thrown_away: u64,
    /// Packets that the server asked us to send again.
    pub upstream_nacks: u64,
    /// Frames, and packets of frames that are spread over time; and those that left later than planned by more than the engine allows.
    pub sends: u64,
    pub late_sends: u64,
    /// Share of its time in which the thread worked.
    pub busy_ratio: f64,
    /// Datagrams that the kernel dropped at our own sockets.
    pub socket_drops: u64,
}

impl Measured {
    pub(super) fn new(window: Option<Window>) -> io::Result<Self> {
        let delays_ns = Histogram::new_with_bounds(1_000, DELAY_MAX_NS, 3).map_err(io::Error::other)?;
        Ok(Self {
            window,
            counts: Counts::default(),
            delays_ns,
            bytes: 0,
            packets_sent: 0,
            duplicates: 0,
            refused: 0,
            thrown_away: 0,
            upstream_nacks: 0,
            sends: 0,
            late_sends: 0,
            busy_ratio: 0.0,
            socket_drops: 0,
        })
    }

    pub(super) fn delay(&mut self, delay_ns: u64) {
        self.delays_ns.saturating_record(delay_ns);
    }
}
