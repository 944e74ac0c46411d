//! One peer connection: its transport, its keys, the streams that it sends and the subscriptions that it receives.

pub mod routes;

use crate::congestion::{Bandwidth, Pacer, Uplink};
use crate::egress::held::Held;
use crate::egress::playout::Repairs;
use crate::egress::send::Outlet;
use crate::ids::{PeerId, RoomId, Ssrc};
use crate::ingress::clock::PublisherClock;
use crate::ingress::round_trip::RoundTrip;
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
    pub rtt: Option<RoundTrip>,
    pub resend_budget: ResendBudget,
    /// When its bandwidth was last shared among its subscriptions; `None` while nothing is known of its path.
    pub allocated: Option<Instant>,
    /// What its path carries.
    pub bandwidth: Bandwidth,
    pub pacer: Pacer<Held>,
    pub presence: Presence,
    /// Since when it is behind with reliable data.
    pub behind_since: Option<Instant>,
    /// It is counted in its room among those whom the senders wait for.
    pub behind: bool,
    /// Of what it sends, and of what it is sent.
    pub repairs_up: Repairs,
    pub repairs_down: Repairs,
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
            behind_since: None,
            behind: false,
            repairs_up: Repairs::default(),
            repairs_down: Repairs::default(),
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

/// Retransmissions to one subscriber: a peer cannot make us send more than this by asking, nor fill a narrow path with them.
#[derive(Default)]
pub struct ResendBudget {
    window: Option<Instant>,
    bytes: usize,
}

/// Window of the budget, and bytes in it: 4 Mbit/s of retransmission. A share of 10 Mbit/s at 30% loss needs less.
const RESEND_WINDOW: Duration = Duration::from_millis(100);
const RESEND_BYTES_MAX: usize = 50_000;
/// Towards a path that was seen to be full: what is missing there was lost to its queue, and would be again. A quarter of what it
/// carries repairs what a radio link loses beside, up to a fifth of all.
const NARROW_WINDOW: Duration = Duration::from_millis(500);
const NARROW_SHARE: u64 = 4;
/// Two packets of video, however narrow it is.
const NARROW_BYTES_MIN: u64 = 2_500;

impl ResendBudget {
    /// Whether `len` more bytes may be sent again now. `path_bps` is what a path carries that was seen to be full.
    pub fn take(&mut self, now: Instant, len: usize, path_bps: Option<u64>) -> bool {
        let (window, bytes_max) = match path_bps {
            None => (RESEND_WINDOW, RESEND_BYTES_MAX),
            Some(bps) => {
                let bytes = bps / 8 * NARROW_WINDOW.as_millis() as u64 / 1_000 / NARROW_SHARE;
                (NARROW_WINDOW, bytes.clamp(NARROW_BYTES_MIN, RESEND_BYTES_MAX as u64) as usize)
            }
        };
        if self.window.is_none_or(|start| now.saturating_duration_since(start) >= window) {
            self.window = Some(now);
            self.bytes = 0;
        }
        self.bytes += len;
        self.bytes <= bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resend_budget_is_refilled_by_time_alone() {
        let (mut budget, t0) = (ResendBudget::default(), crate::virtual_time::start());
        let sent = (0..1_000).filter(|_| budget.take(t0, 1_000, None)).count();
        assert_eq!(sent, RESEND_BYTES_MAX / 1_000);
        assert!(budget.take(t0 + RESEND_WINDOW, 1_000, None));
    }

    #[test]
    fn towards_a_narrow_path_a_quarter_of_what_it_carries_is_sent_again() {
        let t0 = crate::virtual_time::start();
        let sent = |bps| {
            let mut budget = ResendBudget::default();
            (0..10_000).filter(|ms| budget.take(t0 + Duration::from_millis(*ms), 1_000, Some(bps))).count() as u64 * 800
        };
        assert!((60_000..=75_000).contains(&sent(300_000)), "{}", sent(300_000));
        assert!((230_000..=250_000).contains(&sent(1_000_000)), "{}", sent(1_000_000));
        assert!(sent(1_000) > 0, "a little always");
    }
}
