//! One peer connection: its transport, its keys, the streams that it sends and the subscriptions that it receives.

pub mod routes;

use crate::congestion::{Bandwidth, Pacer, Uplink};
use crate::egress::held::Held;
use crate::egress::send::Outlet;
use crate::ids::{PeerId, RoomId, Ssrc};
use crate::ingress::clock::PublisherClock;
use crate::params::MediaKind;
use crate::peer::routes::Routes;
use crate::transport::Transport;
use crate::transport::srtp::{SrtpInbound, SrtpOutbound};
use crate::wire::transport_cc::TransportCcRecorder;
use crate::worker::keys::{SubscriptionKey, TrackKey};
use crate::worker::silence::Presence;
use std::time::{Duration, Instant};

pub struct Peer {
    pub id: PeerId,
    pub room: RoomId,
    pub transport: Transport,
    pub inbound: Option<SrtpInbound>,
    pub outbound: Option<SrtpOutbound>,
    pub routes: Routes,
    pub tracks: Vec<TrackKey>,
    pub subscriptions: Vec<SubscriptionKey>,
    /// Those of them that have packets waiting, while packets are sent on.
    pub due: Vec<SubscriptionKey>,
    pub transport_cc: TransportCc,
    /// Of a publisher that knows no transport-wide feedback.
    pub uplink: Option<Box<Uplink>>,
    /// The negotiated id of the extension in which it says when a packet left.
    pub send_time_id: Option<u8>,
    pub clock: PublisherClock,
    pub timers: Timers,
    /// From the reports of the streams that it receives.
    pub rtt: Option<Duration>,
    pub resend_budget: ResendBudget,
    /// When its bandwidth was last shared among its subscriptions; `None` while nothing is known of its path.
    pub allocated: Option<Instant>,
    /// What its path carries.
    pub bandwidth: Bandwidth,
    pub pacer: Pacer<Held>,
    pub presence: Presence,
}

impl Peer {
    pub fn new(id: PeerId, room: RoomId, transport: Transport) -> Self {
        Self {
            id,
            room,
            transport,
            inbound: None,
            outbound: None,
            routes: Routes::default(),
            tracks: Vec::new(),
            subscriptions: Vec::new(),
            due: Vec::new(),
            transport_cc: TransportCc::default(),
            uplink: None,
            send_time_id: None,
            clock: PublisherClock::default(),
            timers: Timers::default(),
            rtt: None,
            resend_budget: ResendBudget::default(),
            allocated: None,
            bandwidth: Bandwidth::default(),
            pacer: Pacer::default(),
            presence: Presence::default(),
        }
    }

    /// It can be sent to.
    pub fn is_connected(&self) -> bool {
        self.transport.destination().is_some() && self.outbound.is_some()
    }

    /// Where its packets go and under which keys and numbers, once it is connected.
    pub fn outlet(&mut self, now: Instant, kind: MediaKind) -> Option<Outlet<'_>> {
        let (to, srtp) = (self.transport.destination()?, self.outbound.as_ref()?);
        let at_us = self.bandwidth.at_us(now);
        self.pacer.set_rate(self.bandwidth.pace_bps(now));
        let pacer = self.pacer.is_active().then_some(&mut self.pacer);
        Some(Outlet { to, srtp, kind, sent: &mut self.bandwidth.sent, at_us, pacer })
    }
}

/// Transport-wide feedback towards a publisher.
#[derive(Default)]
pub struct TransportCc {
    /// Made by the first packet that has a number; only publishers pay for it.
    pub recorder: Option<Box<TransportCcRecorder>>,
    /// The extension's negotiated id.
    pub extension_id: Option<u8>,
    /// The SSRC that the feedback names: any of the publisher's.
    pub media: Option<Ssrc>,
}

/// Least time between two rounds of NACKs to one publisher. Each costs a system call and a look at all that is missing: where
/// a worker is overloaded and loses packets by itself, asking for each of them at its own moment would keep it overloaded.
/// Measured with 660 publishers of three encodings on one core, which never recovered without.
const REPAIR_INTERVAL: Duration = Duration::from_millis(20);

/// What the peer is waiting to be sent, each `None` when there is nothing to send.
#[derive(Default)]
pub struct Timers {
    /// Transport-wide feedback.
    pub feedback: Option<Instant>,
    /// NACKs and keyframe requests.
    pub repair: Option<Instant>,
    repair_not_before: Option<Instant>,
    /// Sender and receiver reports.
    pub report: Option<Instant>,
    /// Padding that probes the path.
    pub probe: Option<Instant>,
    /// A new allocation of its bandwidth.
    pub allocate: Option<Instant>,
    /// Video that waits for its turn.
    pub release: Option<Instant>,
    /// The earliest time for which the worker's queue has an entry.
    pub queued: Option<Instant>,
}

impl Timers {
    pub fn next(&self) -> Option<Instant> {
        let timers = [self.feedback, self.repair, self.report, self.probe, self.allocate, self.release];
        timers.into_iter().flatten().min()
    }

    /// Brings the repair timer forward to `due`, or to as soon as repairs may follow those before.
    pub fn repair_by(&mut self, due: Instant) {
        let due = self.repair_not_before.map_or(due, |earliest| due.max(earliest));
        self.repair = Some(self.repair.map_or(due, |at| at.min(due)));
    }

    /// Repairs are sent now.
    pub fn begin_repair(&mut self, now: Instant) {
        self.repair = None;
        self.repair_not_before = Some(now + REPAIR_INTERVAL);
    }
}

/// Retransmissions to one subscriber: a peer cannot make us send more than this by asking.
#[derive(Default)]
pub struct ResendBudget {
    window: Option<Instant>,
    bytes: usize,
}

/// Window of the budget, and bytes in it: 4 Mbit/s of retransmission. A share of 10 Mbit/s at 30% loss needs less.
const RESEND_WINDOW: Duration = Duration::from_millis(100);
const RESEND_BYTES_MAX: usize = 50_000;

impl ResendBudget {
    /// Whether `len` more bytes may be sent again now.
    pub fn take(&mut self, now: Instant, len: usize) -> bool {
        if self.window.is_none_or(|start| now.saturating_duration_since(start) >= RESEND_WINDOW) {
            self.window = Some(now);
            self.bytes = 0;
        }
        self.bytes += len;
        self.bytes <= RESEND_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resend_budget_is_refilled_by_time_alone() {
        let (mut budget, t0) = (ResendBudget::default(), crate::virtual_time::start());
        let sent = (0..1_000).filter(|_| budget.take(t0, 1_000)).count();
        assert_eq!(sent, RESEND_BYTES_MAX / 1_000);
        assert!(budget.take(t0 + RESEND_WINDOW, 1_000));
    }
}
