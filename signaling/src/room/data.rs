//! Packets on data channels: stamped with who sent them, and passed on.

use super::arrivals::{Arrival, Presence};
use super::participant::ParticipantKey;
use super::peer::{LOSSY_LABEL, RELIABLE_LABEL};
use super::replay::Returning;
use super::{Effect, Room, limits};
use crate::stats::DataDrop;
use bytes::Bytes;
use consilium_media_core::control::{Command, DataChannelId};
use consilium_media_core::ids::PeerId;
use livekit_protocol::data_packet::Value;
use livekit_protocol::{DataPacket, SyncState};
use prost::Message as _;
use std::collections::HashSet;

/// Whom a packet goes to.
#[derive(Clone)]
pub(super) struct Destinations {
    identities: HashSet<String>,
    sids: HashSet<String>,
}

impl Destinations {
    pub(super) fn new(identities: impl IntoIterator<Item = String>, sids: impl IntoIterator<Item = String>) -> Self {
        Self { identities: identities.into_iter().collect(), sids: sids.into_iter().collect() }
    }

    pub(super) fn includes(&self, identity: &str, sid: &str) -> bool {
        (self.identities.is_empty() && self.sids.is_empty())
            || self.identities.contains(identity)
            || self.sids.contains(sid)
    }
}

impl Room {
    /// A packet from a client. What goes nowhere is counted; the sender's own library keeps the limits, so nobody is there to
    /// be told.
    pub(super) fn handle_data(
        &mut self,
        peer: PeerId,
        channel: DataChannelId,
        payload: &Bytes,
    ) -> Result<(), DataDrop> {
        // A participant that has just left needs no reason.
        let Some(&key) = self.peers.get(&peer) else { return Ok(()) };
        let Some(participant) = self.participants.get_mut(&key) else { return Ok(()) };
        let label = participant.peers().find(|other| other.id == peer).and_then(|peer| peer.label(channel));
        let label = match label {
            Some(RELIABLE_LABEL) => RELIABLE_LABEL,
            Some(LOSSY_LABEL) => LOSSY_LABEL,
            _ => return Err(DataDrop::UnknownChannel),
        };
        if !participant.permission.can_publish_data {
            return Err(DataDrop::Forbidden);
        }
        if payload.len() > limits::DATA_PACKET_LEN_MAX {
            return Err(DataDrop::TooLarge);
        }
        let mut packet = DataPacket::decode(payload.clone()).map_err(|_| DataDrop::Malformed)?;
        packet.participant_identity.clone_from(&participant.identity);
        packet.participant_sid.clone_from(&participant.sid);
        let destinations = take_destinations(&mut packet).ok_or(DataDrop::Malformed)?;
        if label == LOSSY_LABEL || packet.sequence == 0 {
            self.relay(Some(key), label, &destinations, &packet);
            return Ok(());
        }
        let presence = if participant.session.is_some() { Presence::Here } else { Presence::Away };
        let arrived = participant.arrivals.arrived(self.present, presence, Arrival { destinations, packet });
        self.pass_on(key, arrived.map_err(|_| DataDrop::Duplicate)?);
        Ok(())
    }

    fn pass_on(&mut self, from: ParticipantKey, arrivals: Vec<Arrival>) {
        for Arrival { destinations, packet } in arrivals {
            self.relay(Some(from), RELIABLE_LABEL, &destinations, &packet);
        }
    }

    /// What waits for somebody's missing message waits no longer.
    pub(super) fn settle_arrivals(&mut self, key: ParticipantKey) {
        if let Some(participant) = self.participants.get_mut(&key) {
            let arrivals = participant.arrivals.settle();
            self.pass_on(key, arrivals);
        }
    }

    /// Sends a packet to those it is meant for, but never back. What a participant sends goes only to those who may
    /// receive from others; what a host sends (`from` is `None`) goes to everybody.
    pub(super) fn relay(
        &mut self,
        from: Option<ParticipantKey>,
        label: &str,
        destinations: &Destinations,
        packet: &DataPacket,
    ) {
        let payload = Bytes::from(packet.encode_to_vec());
        if label == RELIABLE_LABEL && packet.sequence != 0 {
            self.replay.keep(self.present, &packet.participant_sid, packet.sequence, destinations, payload.clone());
        }
        for (&key, participant) in &mut self.participants {
            let admitted = from.is_none() || participant.permission.can_subscribe;
            if from == Some(key) || !admitted || !destinations.includes(&participant.identity, &participant.sid) {
                continue;
            }
            let peer = participant.receiving_mut();
            match peer.channel(label) {
                Some(channel) => {
                    let command = Command::SendData { peer: peer.id, channel, binary: true, payload: payload.clone() };
                    self.effects.push_back(Effect::Media(command));
                }
                None if label == RELIABLE_LABEL => peer.hold(&payload),
                None => {}
            }
        }
    }

    /// A channel opened: what was said to the participant since it joined can be sent.
    pub(super) fn handle_channel_opened(&mut self, peer_id: PeerId, channel: DataChannelId, label: String) {
        if let Some(peer) = self.peer_mut(peer_id) {
            let is_reliable = label == RELIABLE_LABEL;
            let early = if is_reliable { peer.take_early() } else { Vec::new() };
            peer.channel_opened(label, channel);
            if is_reliable {
                self.replay_missed(peer_id);
            }
            let send = |payload| Effect::Media(Command::SendData { peer: peer_id, channel, binary: true, payload });
            self.effects.extend(early.into_iter().map(send));
        }
        self.advance_to_active(peer_id);
    }

    /// A resumed client says what it has and what it wants. Its tracks and channels were kept here, so a copy of those tells
    /// nothing new.
    pub(super) fn handle_sync_state(&mut self, key: ParticipantKey, state: SyncState) {
        // What it asked for last may have been lost with its session. It names what differs from `auto_subscribe`.
        let auto_subscribe = self.participants.get(&key).is_some_and(|participant| participant.auto_subscribe);
        if let Some(subscription) = state.subscription.filter(|wanted| wanted.subscribe != auto_subscribe) {
            self.handle_subscription(key, subscription);
        }
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let states = state.datachannel_receive_states.into_iter().take(limits::PARTICIPANTS_MAX);
        participant.received = Some(states.map(|state| (state.publisher_sid, state.last_seq)).collect());
        let peer = participant.receiving().id;
        self.replay_missed(peer);
    }

    /// What was under way on a channel that the client has replaced is sent again, once the client has said what it has.
    fn replay_missed(&mut self, peer: PeerId) {
        let Some(participant) = self.peers.get(&peer).and_then(|key| self.participants.get_mut(key)) else { return };
        let (Some(received), receiving) = (&participant.received, participant.receiving()) else { return };
        let Some(channel) = receiving.channel(RELIABLE_LABEL).filter(|_| receiving.id == peer) else { return };
        if !receiving.reliable_replaced || !participant.permission.can_subscribe {
            return;
        }
        let returning = Returning {
            identity: &participant.identity,
            sid: &participant.sid,
            joined_at: participant.joined_at,
            received,
        };
        let send = |payload| Effect::Media(Command::SendData { peer, channel, binary: true, payload });
        self.effects.extend(self.replay.missed(&returning).map(send));
        participant.received = None;
        participant.receiving_mut().reliable_replaced = false;
    }
}

/// Whom the sender meant, also where an older SDK says so in the user packet. `None` for packets that only servers send.
#[allow(deprecated, reason = "older SDKs set and read the fields of the user packet")]
fn take_destinations(packet: &mut DataPacket) -> Option<Destinations> {
    let mut identities = std::mem::take(&mut packet.destination_identities);
    let mut sids = Vec::new();
    match &mut packet.value {
        None | Some(Value::Speaker(_) | Value::Metrics(_)) => return None,
        Some(Value::User(user)) => {
            user.participant_identity.clone_from(&packet.participant_identity);
            user.participant_sid.clone_from(&packet.participant_sid);
            if identities.is_empty() {
                identities = std::mem::take(&mut user.destination_identities);
            }
            sids = std::mem::take(&mut user.destination_sids);
        }
        Some(_) => {}
    }
    packet.destination_identities.clone_from(&identities);
    Some(Destinations::new(identities, sids))
}
