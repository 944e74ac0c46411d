//! The media core: every protocol and every decision about packets, as pure state machines.
//!
//! The contract. The caller owns the clock, the sockets and the threads. It gives a [`worker::Worker`] datagrams, commands
//! and `now`; the worker fills a [`batch::SendBatch`] and queues [`control::Event`]s. Nothing in this crate reads a clock,
//! opens a socket, starts a thread, takes a lock or awaits. Nothing allocates per packet once buffers have their size.
//!
//! ```text
//! ids params control   the vocabulary, and the values that cross the border
//! limits drops         every bound, and every reason for a drop
//! batch                what is to be sent
//! wire codec           packets as bytes: RTP, RTCP, payload descriptors
//! transport            one peer connection: ICE-lite, DTLS, SRTP, SCTP
//! ingress egress       tracks coming in, subscriptions going out
//! congestion           what the path to a subscriber carries
//! peer worker          what ties them together
//! ```

pub mod batch;
pub mod codec;
pub mod congestion;
pub mod control;
pub mod drops;
pub mod egress;
pub mod ids;
pub mod ingress;
pub mod limits;
pub mod params;
pub mod peer;
pub mod transport;
pub mod wire;
pub mod worker;

/// Where virtual time starts, for the tests of this crate: the one place that reads a clock.
#[cfg(test)]
mod virtual_time {
    use std::time::Instant;

    /// Any moment will do; tests go on from it by adding durations.
    #[allow(clippy::disallowed_methods, reason = "an Instant cannot be made from nothing")]
    pub(crate) fn start() -> Instant {
        Instant::now()
    }
}
