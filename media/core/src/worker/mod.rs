//! The root of the core: one worker's peers, tracks and subscriptions, and the routing table that they form.
//!
//! Here is what enters and what leaves; `commands` changes the tables, `media` takes RTP packets in, `forward` sends them on
//! from where they are `pending`, `redundancy` fills gaps of audio, `silence` watches that it is heard, `loudest` forwards
//! a few, `feedback` reads RTCP, `reports` writes it, `figures` sums it up, `probe` sends padding, `pace` what waited,
//! `allocate` shares what paths carry, `slow` has senders of data wait for those who are behind.

mod allocate;
mod commands;
mod deadlines;
mod feedback;
mod figures;
mod forward;
mod levels;
pub(crate) mod loudest;
mod media;
mod pace;
pub(crate) mod pending;
mod probe;
mod redundancy;
mod reports;
pub(crate) mod silence;
mod slow;

pub mod keys;

#[cfg(test)]
mod tests;

use crate::batch::SendBatch;
use crate::control::{Command, Event, RoomEvent, SilentCause};
use crate::drops::{DropCounters, DropReason};
use crate::egress::subscription::Subscription;
use crate::ids::{PeerId, SeqNo, Ssrc, SubscriptionId, TrackId};
use crate::ingress::clock::WallClock;
use crate::ingress::loss::REQUEST_BATCH_MAX;
use crate::ingress::track::Track;
use crate::params::Path;
use crate::peer::Peer;
use crate::transport::TransportEvent;
use crate::transport::demux::{Protocol, demultiplex};
use crate::transport::ice;
use crate::transport::identity::Identity;
use crate::transport::srtp::{SrtpInbound, SrtpOutbound};
use deadlines::Deadlines;
use figures::Figures;
use foldhash::fast::FixedState;
use keys::{PeerKey, SubscriptionKey, TrackKey};
use levels::Rooms;
use pending::Pending;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use slotmap::SlotMap;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Events waiting for the caller. It takes them after each call, and one call makes a few: this is a bound, not a working
/// size. Beyond it, data messages are dropped and counted; what changes state never is.
const EVENTS_MAX: usize = 65_536;

/// Between two looks at one peer by the clock. Feedback is sent every 50 ms, NACKs after 10 ms: a millisecond is early enough.
const TIMER_GRANULARITY: Duration = Duration::from_millis(1);

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
    /// Lost packets that were taken out of later ones (RFC 2198).
    pub rtp_recovered: u64,
    pub nacks_sent: u64,
    pub keyframe_requests_sent: u64,
    /// Audio paths that are silent now, and that fell silent, by [`SilentCause`].
    pub audio_paths_silent: u64,
    pub audio_paths_fell_silent: [u64; SilentCause::ALL.len()],
    pub drops: DropCounters,
}

type Table<K, V> = HashMap<K, V, FixedState>;

pub struct Worker {
    identity: Identity,
    random: StdRng,
    clock: WallClock,
    /// The source of our own feedback: publishers see it as sender of receiver reports, NACKs and keyframe requests.
    feedback_ssrc: Ssrc,
    peers: SlotMap<PeerKey, Peer>,
    tracks: SlotMap<TrackKey, Track>,
    subscriptions: SlotMap<SubscriptionKey, Subscription>,
    peers_by_id: Table<PeerId, PeerKey>,
    tracks_by_id: Table<TrackId, TrackKey>,
    subscriptions_by_id: Table<SubscriptionId, SubscriptionKey>,
    /// Only addresses that ICE validated.
    peers_by_address: Table<SocketAddr, PeerKey>,
    peers_by_ufrag: Table<String, PeerKey>,
    rooms: Rooms,
    figures: Figures,
    pending: Pending,
    deadlines: Deadlines,
    events: VecDeque<RoomEvent>,
    stats: WorkerStats,
    /// Where RTCP is composed.
    rtcp: Vec<u8>,
    /// Where what to ask a publisher for is gathered.
    lost: Vec<SeqNo>,
}

impl Worker {
    pub fn new(config: WorkerConfig) -> Self {
        let mut random = StdRng::seed_from_u64(config.seed);
        let hasher = FixedState::with_seed(random.random());
        Self {
            identity: config.identity,
            clock: WallClock::new(config.start, config.unix_start),
            feedback_ssrc: Ssrc::new(random.random()),
            random,
            peers: SlotMap::with_key(),
            tracks: SlotMap::with_key(),
            subscriptions: SlotMap::with_key(),
            peers_by_id: HashMap::with_hasher(hasher.clone()),
            tracks_by_id: HashMap::with_hasher(hasher.clone()),
            subscriptions_by_id: HashMap::with_hasher(hasher.clone()),
            peers_by_address: HashMap::with_hasher(hasher.clone()),
            peers_by_ufrag: HashMap::with_hasher(hasher.clone()),
            rooms: Rooms::new(hasher),
            figures: Figures::default(),
            pending: Pending::default(),
            deadlines: Deadlines::new(config.start),
            events: VecDeque::new(),
            stats: WorkerStats::default(),
            rtcp: Vec::with_capacity(2 * crate::wire::rtcp::RTCP_LEN_MAX),
            lost: Vec::with_capacity(REQUEST_BATCH_MAX),
        }
    }

    pub fn handle_command(&mut self, now: Instant, command: Command, out: &mut SendBatch) {
        // What waits was taken in by the tables as they were.
        self.send_pending(now, out);
        if let Err(reason) = self.apply(now, command, out) {
            self.stats.drops.count(reason);
        }
    }

    /// Takes one datagram; it is decrypted in place. Media waits for [`Worker::poll_transmit`]; what else is to be said, and
    /// media when too much of it waits, goes to `out` at once.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut SendBatch) {
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        let result = match demultiplex(datagram) {
            Some(Protocol::Rtp) => self.handle_rtp(now, path, datagram, out),
            Some(Protocol::Rtcp) => self.handle_rtcp(now, path, datagram, out),
            Some(Protocol::Stun) => self.handle_stun(now, path, datagram, out),
            Some(Protocol::Dtls) => self.handle_dtls(now, path, datagram, out),
            None => Err(DropReason::UnknownProtocol),
        };
        if let Err(reason) = result {
            self.stats.drops.count(reason);
        }
    }

    /// When [`Worker::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.deadlines.next(), self.rooms.levels_due(), self.figures.due()].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant, out: &mut SendBatch) {
        while let Some(key) = self.deadlines.pop_due(now, |key| self.peers.get(key).and_then(|peer| peer.timers.queued))
        {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if out.is_full() {
                // The caller sends and comes back: the entry is put in place again.
                peer.timers.queued = Some(now);
                self.deadlines.push(now, key);
                break;
            }
            peer.timers.queued = None;
            peer.transport.handle_timeout(now, out);
            self.take_transport_events(now, key, out);
            self.send_due_reports(now, key, out);
            self.send_due_probe(now, key, out);
            self.send_due_allocation(now, key, out);
            self.release_due(now, key, out);
            // A timer that does not move on when it is served costs a look per millisecond, and never the thread.
            self.schedule_from(now + TIMER_GRANULARITY, key);
        }
        self.measure_levels(now);
        self.measure_figures(now);
    }

    pub fn poll_event(&mut self) -> Option<RoomEvent> {
        self.events.pop_front()
    }

    pub fn stats(&self) -> &WorkerStats {
        &self.stats
    }

    fn handle_stun(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let message = ice::parse_stun(datagram)?;
        let ufrag = message.local_ufrag().ok_or(DropReason::StunUnknownUser)?;
        let key = *self.peers_by_ufrag.get(ufrag).ok_or(DropReason::StunUnknownUser)?;
        let peer = self.peers.get_mut(key).ok_or(DropReason::StunUnknownUser)?;
        let outcome = peer.transport.handle_stun(now, path, &message, out)?;
        for address in outcome.evicted.iter().map(|path| path.remote) {
            if self.peers_by_address.get(&address) == Some(&key) {
                self.peers_by_address.remove(&address);
            }
        }
        if let Some(ufrag) = &outcome.retired_ufrag {
            self.peers_by_ufrag.remove(ufrag);
        }
        if let Some(path) = outcome.validated {
            self.peers_by_address.insert(path.remote, key);
        }
        if let Some(peer) = self.peers.get_mut(key) {
            peer.presence.heard(now);
        }
        self.take_transport_events(now, key, out);
        self.schedule(key);
        Ok(())
    }

    fn handle_dtls(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let key = *self.peers_by_address.get(&path.remote).ok_or(DropReason::UnknownAddress)?;
        let peer = self.peers.get_mut(key).ok_or(DropReason::UnknownAddress)?;
        let result = peer.transport.handle_dtls(now, path, datagram, out);
        self.take_transport_events(now, key, out);
        self.schedule(key);
        result
    }

    /// Passes on what the transport has to say, and notes whether its peer is behind. A connection that closed is gone
    /// afterwards.
    fn take_transport_events(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        while let Some((id, room, event)) = self.peers.get_mut(key).and_then(|peer| {
            let event = peer.transport.poll_event()?;
            Some((peer.id, peer.room, event))
        }) {
            let event = match event {
                TransportEvent::Connected(keys) => {
                    let inbound = SrtpInbound::new(keys.profile, &keys.remote);
                    let outbound = SrtpOutbound::new(keys.profile, &keys.local);
                    if let Some(peer) = self.peers.get_mut(key) {
                        // Keys of the right length cannot be refused: the profile cut them.
                        (peer.inbound, peer.outbound) = (inbound.ok(), outbound.ok());
                        peer.timers.report = Some(now + reports::FIRST_REPORT_DELAY);
                    }
                    self.stats.connected_peers += 1;
                    self.figures.begin(now);
                    self.resume_subscriptions(now, key, out);
                    Event::PeerConnected { peer: id }
                }
                TransportEvent::Closed(reason) => {
                    self.remove_peer(now, key);
                    Event::PeerClosed { peer: id, reason }
                }
                TransportEvent::DataChannelOpened { channel, label, reliability } => {
                    Event::DataChannelOpened { peer: id, channel, label, reliability }
                }
                TransportEvent::DataChannelClosed { channel } => Event::DataChannelClosed { peer: id, channel },
                TransportEvent::Data { channel, binary, payload } => {
                    if self.events.len() >= EVENTS_MAX {
                        self.stats.drops.count(DropReason::QueueFull);
                        continue;
                    }
                    Event::Data { peer: id, channel, binary, payload }
                }
            };
            self.events.push_back(RoomEvent { room, event });
        }
        self.note_backlog(now, key);
    }

    /// Enters the peer's next deadline, if it is earlier than the one entered.
    fn schedule(&mut self, key: PeerKey) {
        self.schedule_from(self.clock.start(), key);
    }

    /// As [`Self::schedule`], but not for a time before `earliest`.
    fn schedule_from(&mut self, earliest: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let next = [peer.timers.next(), peer.transport.poll_timeout()].into_iter().flatten().min();
        let Some(next) = next.map(|next| next.max(earliest)) else { return };
        if peer.timers.queued.is_none_or(|queued| next < queued) {
            peer.timers.queued = Some(next);
            self.deadlines.push(next, key);
        }
    }
}
