//! One peer connection of a participant, as the room sees it: its negotiation and its data channels.

use super::limits;
use crate::negotiation::{LocalTransport, Negotiation, Role};
use bytes::Bytes;
use consilium_media_core::control::DataChannelId;
use consilium_media_core::ids::{PeerId, SubscriptionId};
use consilium_media_core::params::{Fingerprint, IceCredentials};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

pub(super) const RELIABLE_LABEL: &str = "_reliable";
pub(super) const LOSSY_LABEL: &str = "_lossy";

/// What every description of this room's peers says of us.
#[derive(Clone)]
pub struct LocalEndpoint {
    pub fingerprint: Fingerprint,
    /// Address and priority of each host candidate.
    pub candidates: Vec<(SocketAddr, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PeerState {
    /// The media core does not know it yet.
    Idle,
    Connecting,
    Connected,
    /// Ended by itself; the client must join anew.
    Closed,
}

pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) state: PeerState,
    pub(super) negotiation: Negotiation,
    /// Credentials of the far side that the media core has.
    pub(super) remote_ice: Option<IceCredentials>,
    /// Subscriptions that the media core sends on this connection.
    pub(super) sending: BTreeSet<SubscriptionId>,
    /// The client's offers so far, if it is the one that offers.
    pub(super) offers_received: u32,
    /// Sections that the client was asked to add and has not offered yet; `None` when it was not asked to offer.
    pub(super) sections_asked: Option<(u32, u32)>,
    /// Id of our offer that waits for an answer, if we are the one that offers.
    pub(super) offer_outstanding: Option<u32>,
    /// When that answer must be here; `None` while the client has no session to hear the offer on.
    pub(super) answer_due: Option<Instant>,
    pub(super) offers_sent: u32,
    /// Whether the media core was told of sections that the client sends on.
    pub(super) receives: bool,
    /// The channel for reliable messages is not the first one: what was under way on the one before is lost.
    pub(super) reliable_replaced: bool,
    had_reliable: bool,
    channels: HashMap<String, DataChannelId>,
    /// Reliable packets that came before the channel for them was open, oldest first.
    early: Vec<Bytes>,
    early_bytes: usize,
}

impl Peer {
    pub(super) fn new(id: PeerId, role: Role, endpoint: &LocalEndpoint, ice: IceCredentials) -> Self {
        let local =
            LocalTransport { ice, fingerprint: endpoint.fingerprint.clone(), candidates: endpoint.candidates.clone() };
        Self {
            id,
            state: PeerState::Idle,
            negotiation: Negotiation::new(role, local),
            remote_ice: None,
            sending: BTreeSet::new(),
            offers_received: 0,
            sections_asked: None,
            offer_outstanding: None,
            answer_due: None,
            offers_sent: 0,
            receives: false,
            reliable_replaced: false,
            had_reliable: false,
            channels: HashMap::new(),
            early: Vec::new(),
            early_bytes: 0,
        }
    }

    pub(super) fn channel(&self, label: &str) -> Option<DataChannelId> {
        self.channels.get(label).copied()
    }

    pub(super) fn label(&self, channel: DataChannelId) -> Option<&str> {
        self.channels.iter().find(|(_, id)| **id == channel).map(|(label, _)| label.as_str())
    }

    /// A label opened anew replaces the channel that had it before: clients reopen channels after a failed one.
    pub(super) fn channel_opened(&mut self, label: String, channel: DataChannelId) {
        if label == RELIABLE_LABEL {
            self.reliable_replaced |= std::mem::replace(&mut self.had_reliable, true);
        }
        if self.channels.len() < limits::CHANNELS_PER_PEER_MAX || self.channels.contains_key(&label) {
            self.channels.insert(label, channel);
        }
    }

    /// Keeps a reliable packet until its channel opens, up to a bound.
    pub(super) fn hold(&mut self, packet: &Bytes) {
        let fits =
            self.early.len() < limits::EARLY_PACKETS_MAX && self.early_bytes + packet.len() <= limits::EARLY_BYTES_MAX;
        if fits && self.state != PeerState::Closed {
            self.early_bytes += packet.len();
            self.early.push(packet.clone());
        }
    }

    /// What was held, now that it can be sent.
    pub(super) fn take_early(&mut self) -> Vec<Bytes> {
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }

    pub(super) fn channel_closed(&mut self, channel: DataChannelId) {
        self.channels.retain(|_, id| *id != channel);
    }
}
