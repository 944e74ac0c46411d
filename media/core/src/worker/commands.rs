//! Commands of the control side: the only place where the tables change on request.

use super::{Subscription, Track, Worker};
use crate::batch::SendBatch;
use crate::congestion::Uplink;
use crate::control::Command;
use crate::drops::DropReason;
use crate::egress::subscription::Binding;
use crate::ids::{PeerId, RoomId, SubscriptionId, TrackId};
use crate::limits::{ENCODINGS_MAX, RECEIVE_SECTIONS_MAX};
use crate::params::{HeaderExtension, IceCredentials, LayerLimit, MediaKind, ReceiveSection, SendParameters};
use crate::peer::Peer;
use crate::transport::Transport;
use crate::worker::keys::{PeerKey, SubscriptionKey, TrackKey};
use rand::RngExt;
use slotmap::{Key, SlotMap};
use std::time::Instant;

impl Worker {
    pub(super) fn apply(&mut self, now: Instant, command: Command, out: &mut SendBatch) -> Result<(), DropReason> {
        match command {
            Command::AddPeer { peer, room, local } => self.add_peer(now, peer, room, local),
            Command::SetRemote { peer, remote } => {
                let key = self.peer_key(peer)?;
                let result = self.peers[key].transport.set_remote(now, *remote, out);
                self.take_transport_events(now, key, out);
                self.schedule(key);
                result
            }
            Command::RestartIce { peer, local } => {
                let key = self.peer_key(peer)?;
                self.peers[key].transport.restart_ice(local);
                self.register_ufrags(key);
                Ok(())
            }
            Command::RemovePeer { peer } => {
                let key = self.peer_key(peer)?;
                self.peers[key].transport.close(now, out);
                self.remove_peer(now, key);
                Ok(())
            }
            Command::SetReceive { peer, sections } => self.set_receive(now, peer, sections, out),
            Command::SetTrackMuted { track, muted } => self.set_track_muted(now, track, muted, out),
            Command::Subscribe { subscription, track, peer, send } => {
                self.subscribe(now, subscription, track, peer, &send, out)
            }
            Command::SetSubscription { subscription, paused, limit, priority } => {
                let key = *self.subscriptions_by_id.get(&subscription).ok_or(DropReason::UnknownTarget)?;
                let subscription = &mut self.subscriptions[key];
                (subscription.paused, subscription.limit, subscription.priority) = (paused, limit, priority);
                self.settle_subscription(now, key, out);
                Ok(())
            }
            Command::MoveSubscription { subscription, track, send } => {
                self.move_subscription(now, subscription, track, &send, out)
            }
            Command::SetFrameRate { subscription, frames_per_second } => {
                let key = *self.subscriptions_by_id.get(&subscription).ok_or(DropReason::UnknownTarget)?;
                self.subscriptions[key].frames_per_second = frames_per_second;
                self.settle_subscription(now, key, out);
                Ok(())
            }
            Command::Unsubscribe { subscription } => {
                let key = *self.subscriptions_by_id.get(&subscription).ok_or(DropReason::UnknownTarget)?;
                self.remove_subscription(key);
                Ok(())
            }
            Command::LimitBandwidth { peer, bps_max } => {
                let key = self.peer_key(peer)?;
                self.peers[key].bandwidth.limit(bps_max);
                self.want_allocation(now, key);
                Ok(())
            }
            Command::SetLoudest { room, loudest } => self.set_loudest(room, loudest),
            Command::RequestKeyframe { track } => {
                let key = *self.tracks_by_id.get(&track).ok_or(DropReason::UnknownTarget)?;
                for stream in 0..self.tracks[key].streams.len() {
                    self.request_keyframe(now, key, stream, out);
                }
                Ok(())
            }
            Command::OpenDataChannel { peer, label, reliability } => {
                let key = self.peer_key(peer)?;
                self.peers[key].transport.open_data_channel(now, label, reliability, out);
                self.take_transport_events(now, key, out);
                self.schedule(key);
                Ok(())
            }
            Command::SendData { peer, channel, binary, payload } => {
                let key = self.peer_key(peer)?;
                let result = self.peers[key].transport.send_data(now, channel, binary, payload, out);
                self.take_transport_events(now, key, out);
                self.schedule(key);
                result
            }
        }
    }

    fn peer_key(&self, peer: PeerId) -> Result<PeerKey, DropReason> {
        self.peers_by_id.get(&peer).copied().ok_or(DropReason::UnknownTarget)
    }

    fn add_peer(&mut self, now: Instant, id: PeerId, room: RoomId, local: IceCredentials) -> Result<(), DropReason> {
        // A second peer under a known name or username fragment would take over the first one's packets.
        if self.peers_by_id.contains_key(&id) || self.peers_by_ufrag.contains_key(&local.ufrag) {
            return Err(DropReason::LimitExceeded);
        }
        let (identity, seed) = (&self.identity, self.random.random());
        let key = self.peers.insert_with_key(|key| {
            let slot = key.data().as_ffi() as u32;
            Peer::new(id, room, Transport::new(identity, local, slot, seed, now))
        });
        self.peers_by_id.insert(id, key);
        self.register_ufrags(key);
        self.rooms.enter(now, room);
        self.peers[key].transport.set_slowed(now, self.rooms.is_slowed(room));
        self.stats.peers += 1;
        self.schedule(key);
        Ok(())
    }

    fn register_ufrags(&mut self, key: PeerKey) {
        self.peers_by_ufrag.retain(|_, owner| *owner != key);
        for ufrag in self.peers[key].transport.local_ufrags() {
            self.peers_by_ufrag.insert(ufrag.to_owned(), key);
        }
    }

    pub(super) fn remove_peer(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let (tracks, subscriptions) = (std::mem::take(&mut peer.tracks), std::mem::take(&mut peer.subscriptions));
        tracks.into_iter().for_each(|track| self.remove_track(track));
        subscriptions.into_iter().for_each(|subscription| self.remove_subscription(subscription));
        let Some(peer) = self.peers.remove(key) else { return };
        self.peers_by_id.remove(&peer.id);
        self.peers_by_ufrag.retain(|_, owner| *owner != key);
        self.peers_by_address.retain(|_, owner| *owner != key);
        if peer.behind {
            self.count_behind(now, peer.room, false);
        }
        self.rooms.leave(peer.room);
        self.stats.peers -= 1;
        if self.rooms.levels_due().is_none() {
            // Nobody is left to look at.
            self.stats.audio_paths_silent = 0;
        }
        self.stats.connected_peers -= u64::from(peer.outbound.is_some());
    }

    fn set_receive(
        &mut self,
        now: Instant,
        peer: PeerId,
        sections: Vec<ReceiveSection>,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let key = self.peer_key(peer)?;
        let oversized = |s: &ReceiveSection| s.encodings.is_empty() || s.encodings.len() > ENCODINGS_MAX;
        if sections.len() > RECEIVE_SECTIONS_MAX || sections.iter().any(oversized) {
            return Err(DropReason::LimitExceeded);
        }
        let kept: Vec<TrackId> = sections.iter().filter_map(|section| section.track).collect();
        let ended: Vec<TrackKey> =
            self.peers[key].tracks.iter().copied().filter(|&track| !kept.contains(&self.tracks[track].id)).collect();
        ended.into_iter().for_each(|track| self.remove_track(track));
        let wants_remb = sections.iter().flat_map(|section| &section.codecs).any(|codec| codec.remb);
        let bound: Vec<(ReceiveSection, Option<TrackKey>)> = sections
            .into_iter()
            .map(|section| {
                let track = section.track.and_then(|id| self.place_track(key, id, &section));
                (section, track)
            })
            .collect();
        let Self { peers, tracks, .. } = self;
        let peer = &mut peers[key];
        peer.routes.set_sections(bound, |track, rid, ssrc| find_stream(tracks.get(track)?, rid, ssrc));
        peer.transport_cc.extension_id = peer.routes.extension_id(HeaderExtension::TransportCc);
        peer.send_time_id = peer.routes.extension_id(HeaderExtension::AbsSendTime);
        match wants_remb {
            true => drop(peer.uplink.get_or_insert_with(|| Box::new(Uplink::new(now)))),
            false => peer.uplink = None,
        }
        for track in self.peers[key].tracks.clone() {
            self.retarget_track(now, track, out);
        }
        Ok(())
    }

    /// Makes the track of a section, or brings the one that exists up to date.
    fn place_track(&mut self, peer: PeerKey, id: TrackId, section: &ReceiveSection) -> Option<TrackKey> {
        if let Some(&key) = self.tracks_by_id.get(&id) {
            let track = &mut self.tracks[key];
            if track.publisher != peer || track.kind != section.kind {
                return None;
            }
            let layers = |track: &Track| track.streams.iter().map(|s| (s.layer, s.rid)).collect::<Vec<_>>();
            let before = layers(track);
            track.update(section);
            if layers(track) != before {
                detach_all(track, &mut self.subscriptions);
            }
            return Some(key);
        }
        let mut track = Track::new(id, peer, section);
        if section.kind == MediaKind::Audio {
            track.gate = self.gate_for(self.peers[peer].room, &track);
        }
        let key = self.tracks.insert(track);
        self.tracks_by_id.insert(id, key);
        self.peers[peer].tracks.push(key);
        if section.kind == MediaKind::Audio {
            self.rooms.add_audio(self.peers[peer].room, key);
        }
        self.stats.tracks += 1;
        Some(key)
    }

    fn remove_track(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        for subscription in std::mem::take(&mut track.subscriptions) {
            self.remove_subscription(subscription);
        }
        let Some(track) = self.tracks.remove(key) else { return };
        self.tracks_by_id.remove(&track.id);
        self.stats.tracks -= 1;
        if let Some(peer) = self.peers.get_mut(track.publisher) {
            peer.tracks.retain(|other| *other != key);
            self.rooms.remove_audio(peer.room, key);
        }
    }

    fn set_track_muted(
        &mut self,
        now: Instant,
        id: TrackId,
        muted: bool,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let key = *self.tracks_by_id.get(&id).ok_or(DropReason::UnknownTarget)?;
        let track = &mut self.tracks[key];
        if std::mem::replace(&mut track.muted, muted) && !muted {
            detach_all(track, &mut self.subscriptions);
            self.retarget_track(now, key, out);
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        track: TrackId,
        peer: PeerId,
        send: &SendParameters,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        if self.subscriptions_by_id.contains_key(&id) {
            return Err(DropReason::LimitExceeded);
        }
        let peer = self.peer_key(peer)?;
        let track_key = *self.tracks_by_id.get(&track).ok_or(DropReason::UnknownTarget)?;
        // A number below 2^15 leaves half the range before the first wrap (RFC 3711 section 3.3.1 has the receiver guess).
        let (first, first_rtx) = (self.random.random::<u16>() >> 1, self.random.random::<u16>() >> 1);
        let binding = Binding { id, peer, track: track_key, kind: self.tracks[track_key].kind };
        let key = self.subscriptions.insert(Subscription::new(&binding, send, first, first_rtx));
        self.subscriptions_by_id.insert(id, key);
        self.tracks[track_key].subscriptions.push(key);
        self.peers[peer].subscriptions.push(key);
        if self.subscriptions[key].extension_id(HeaderExtension::TransportCc) != 0 {
            self.peers[peer].bandwidth.enable(now);
        }
        self.stats.subscriptions += 1;
        if self.peers[peer].allocated.is_some() {
            self.subscriptions[key].allowed = Some(LayerLimit::LEAST);
        }
        self.settle_subscription(now, key, out);
        Ok(())
    }

    fn move_subscription(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        track: TrackId,
        send: &SendParameters,
        out: &mut SendBatch,
    ) -> Result<(), DropReason> {
        let key = *self.subscriptions_by_id.get(&id).ok_or(DropReason::UnknownTarget)?;
        let to = *self.tracks_by_id.get(&track).ok_or(DropReason::UnknownTarget)?;
        let subscription = &mut self.subscriptions[key];
        let from = subscription.track;
        if self.tracks[to].kind != self.tracks[from].kind {
            return Err(DropReason::UnknownTarget);
        }
        subscription.move_to(to, send);
        self.tracks[from].subscriptions.retain(|other| *other != key);
        self.tracks[to].subscriptions.push(key);
        self.settle_subscription(now, key, out);
        Ok(())
    }

    /// A subscription is new or changed: its encoding is chosen, and its peer's bandwidth shared anew.
    fn settle_subscription(&mut self, now: Instant, key: SubscriptionKey, out: &mut SendBatch) {
        self.retarget(now, key, out);
        if let Some(peer) = self.subscriptions.get(key).map(|subscription| subscription.peer) {
            self.want_allocation(now, peer);
        }
    }

    fn remove_subscription(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.remove(key) else { return };
        self.subscriptions_by_id.remove(&subscription.id);
        self.stats.subscriptions -= 1;
        if let Some(track) = self.tracks.get_mut(subscription.track) {
            track.subscriptions.retain(|other| *other != key);
        }
        if let Some(peer) = self.peers.get_mut(subscription.peer) {
            peer.subscriptions.retain(|other| *other != key);
        }
    }

    /// Chooses the encoding of one subscription anew and asks for the keyframe that it then needs.
    pub(super) fn retarget(&mut self, now: Instant, key: SubscriptionKey, out: &mut SendBatch) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let track_key = subscription.track;
        let Some(track) = self.tracks.get(track_key) else { return };
        let connected = self.peers.get(subscription.peer).is_some_and(|peer| peer.outbound.is_some());
        let needs_keyframe = subscription.retarget(now, track);
        if let (true, true, Some(stream)) = (needs_keyframe, connected, subscription.target) {
            self.request_keyframe(now, track_key, stream, out);
        }
    }

    /// Chooses the encodings of a track's subscriptions anew, and asks for nothing.
    pub(super) fn choose_layers(&mut self, now: Instant, track: TrackKey) {
        let Some(row) = self.tracks.get(track) else { return };
        for key in &row.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(*key) {
                subscription.retarget(now, row);
            }
        }
    }

    pub(super) fn retarget_track(&mut self, now: Instant, track: TrackKey, out: &mut SendBatch) {
        let Some(row) = self.tracks.get(track) else { return };
        for index in 0..row.subscriptions.len() {
            let Some(&key) = self.tracks.get(track).and_then(|row| row.subscriptions.get(index)) else { return };
            self.retarget(now, key, out);
        }
    }

    /// The peer can be sent to from now on.
    pub(super) fn resume_subscriptions(&mut self, now: Instant, key: PeerKey, out: &mut SendBatch) {
        let Some(peer) = self.peers.get(key) else { return };
        for subscription in peer.subscriptions.clone() {
            self.retarget(now, subscription, out);
        }
    }
}

/// Makes every subscription of a track start afresh, from a keyframe.
fn detach_all(track: &Track, subscriptions: &mut SlotMap<SubscriptionKey, Subscription>) {
    for key in &track.subscriptions {
        if let Some(subscription) = subscriptions.get_mut(*key) {
            subscription.detach();
        }
    }
}

/// An encoding by its RID, else by its SSRC, else the only one.
pub(super) fn find_stream(
    track: &Track,
    rid: Option<crate::ids::Rid>,
    ssrc: Option<crate::ids::Ssrc>,
) -> Option<usize> {
    let by_rid = rid.and_then(|rid| track.streams.iter().position(|stream| stream.rid == Some(rid)));
    let by_ssrc = || ssrc.and_then(|ssrc| track.streams.iter().position(|stream| stream.ssrc == Some(ssrc)));
    by_rid.or_else(by_ssrc).or_else(|| (track.streams.len() == 1).then_some(0))
}
