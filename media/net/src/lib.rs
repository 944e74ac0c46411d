//! Threads, sockets, batches and the only clock of the media path.
//!
//! [`start`] binds one UDP port per worker and runs each [`consilium_media_core::worker::Worker`] on a thread of its own.
//! The control side holds a [`handle::MediaHandle`] and receives events from one bounded channel.
//!
//! ```text
//! config      what the operator chooses, and what can be wrong with it
//! server      starts and joins the threads
//! place       where a thread runs, and before whom
//! handle      commands in, placement of rooms, figures out
//! thread      the loop: wait, clock, commands, receive, core, flush, timers, events
//! coalesce    how long a busy worker lets datagrams gather
//! socket      UDP with segmentation and receive offload
//! candidates  which addresses are advertised
//! events      the bounded way of events to the control side
//! stats       counters, the delay histogram
//! ```

mod candidates;
mod coalesce;
mod config;
mod events;
pub mod handle;
mod place;
mod server;
mod socket;
mod stats;
mod thread;

pub use config::{
    COALESCE_DEFAULT, MediaConfig, NICE_DEFAULT, Offload, SOCKET_BUFFER_BYTES_DEFAULT, StartError,
    UDP_PORT_BASE_DEFAULT,
};
pub use handle::{IceCandidate, MediaHandle, WorkerId, WorkerStopped};
pub use server::{MediaServer, start};
pub use stats::{DELAY_BUCKETS, DelayHistogram, NetStats, SendFailure, SendFailures};
