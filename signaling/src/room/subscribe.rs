//! Who receives what, at which quality.

use super::participant::{Asked, ParticipantKey, Subscription};
use super::{Effect, Room, limits};
use crate::negotiation::Outgoing;
use consilium_media_core::control::Command;
use consilium_media_core::ids::{PeerId, SubscriptionId, TrackId};
use consilium_media_core::params::{LayerLimit, MediaKind};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    StreamState, StreamStateInfo, StreamStateUpdate, SubscriptionError, SubscriptionPermission,
    SubscriptionPermissionUpdate, SubscriptionResponse, TrackSubscribed, UpdateSubscription, UpdateTrackSettings,
    VideoQuality,
};

impl Room {
    /// The client wants to receive tracks, or not to.
    pub(super) fn handle_subscription(&mut self, key: ParticipantKey, request: UpdateSubscription) {
        let named = request.participant_tracks.into_iter().flat_map(|tracks| tracks.track_sids);
        let sids: Vec<_> = request.track_sids.into_iter().chain(named).take(limits::SIDS_PER_REQUEST_MAX).collect();
        for sid in sids {
            let Some(&track) = self.track_sids.get(&sid) else {
                if request.subscribe {
                    let err = SubscriptionError::SeTrackNotfound.into();
                    self.tell(key, Message::SubscriptionResponse(SubscriptionResponse { track_sid: sid, err }));
                }
                continue;
            };
            if let Some(participant) = self.participants.get_mut(&key) {
                participant.wishes.entry(track).or_default().subscribe = Some(request.subscribe);
            }
            if request.subscribe {
                self.subscribe(key, track);
            } else {
                self.unsubscribe(key, track);
            }
        }
        self.renegotiate(key);
    }

    /// The client wants tracks at another quality, or paused.
    pub(super) fn handle_track_setting(&mut self, key: ParticipantKey, request: &UpdateTrackSettings) {
        let priority = u8::try_from(request.priority).unwrap_or(u8::MAX);
        for sid in request.track_sids.iter().take(limits::SIDS_PER_REQUEST_MAX) {
            let Some(&id) = self.track_sids.get(sid) else { continue };
            let publisher = self.publishers.get(&id).and_then(|publisher| self.participants.get(publisher));
            let Some(track) = publisher.and_then(|publisher| publisher.tracks.get(&id)) else { continue };
            let asked = Asked { quality: request.quality(), width: request.width, height: request.height };
            let off = request.quality() == VideoQuality::Off && request.width == 0;
            let paused = request.disabled || off;
            let Some(participant) = self.participants.get(&key) else { return };
            let source = participant.subscriptions.get(&id).and_then(|subscription| subscription.source).unwrap_or(id);
            let limit = track.limit_for(source, asked);
            let Some(participant) = self.participants.get_mut(&key) else { return };
            let wish = participant.wishes.entry(id).or_default();
            (wish.paused, wish.asked, wish.priority) = (paused, Some(asked), priority);
            wish.frames_per_second = request.fps;
            let Some(subscription) = participant.subscriptions.get_mut(&id) else { continue };
            let rate_changed = std::mem::replace(&mut subscription.frames_per_second, request.fps) != request.fps;
            let before = (subscription.paused, subscription.limit, subscription.priority);
            (subscription.paused, subscription.limit, subscription.priority) = (paused, limit, priority);
            subscription.asked = Some(asked);
            let changed = before != (paused, limit, priority);
            let (settings, frame_rate) = (subscription.settings(), subscription.frame_rate());
            let subscription = subscription.id;
            let sent = participant.receiving().sending.contains(&subscription);
            if changed {
                self.dynacast.note(id);
            }
            if changed && sent {
                self.media(settings);
            }
            if rate_changed && sent {
                self.media(frame_rate);
            }
        }
    }

    /// The client says who may receive its tracks.
    pub(super) fn handle_subscription_permission(&mut self, key: ParticipantKey, request: SubscriptionPermission) {
        let listed: usize = request.track_permissions.iter().map(|permission| 1 + permission.track_sids.len()).sum();
        if listed > limits::SIDS_PER_REQUEST_MAX {
            return;
        }
        let Some(publisher) = self.participants.get(&key) else { return };
        let tracks: Vec<_> = publisher.tracks.values().map(|track| (track.id, track.info.sid.clone())).collect();
        let others: Vec<_> = self.participants.keys().copied().filter(|&other| other != key).collect();
        let admitted = |room: &Self| {
            let publisher = &room.participants[&key];
            let pairs = others.iter().flat_map(|other| tracks.iter().map(move |(_, sid)| (other, sid)));
            pairs.map(|(other, sid)| publisher.admits(&room.participants[other], sid)).collect::<Vec<_>>()
        };
        let before = admitted(self);
        if let Some(publisher) = self.participants.get_mut(&key) {
            publisher.audience = (!request.all_participants).then_some(request);
        }
        let after = admitted(self);
        let participant_sid = self.participants[&key].sid.clone();
        let pairs = others.iter().flat_map(|&other| tracks.iter().map(move |track| (other, track)));
        for ((other, (track, sid)), (before, allowed)) in pairs.zip(before.into_iter().zip(after)) {
            if before == allowed {
                continue;
            }
            let (participant_sid, track_sid) = (participant_sid.clone(), sid.clone());
            let update = SubscriptionPermissionUpdate { participant_sid, track_sid, allowed };
            self.tell(other, Message::SubscriptionPermissionUpdate(update));
            if allowed {
                self.subscribe_if_wanted(other, *track);
            } else {
                self.unsubscribe(other, *track);
            }
        }
        self.renegotiate_all();
    }

    /// A subscriber's path has become too narrow for a track, or wide enough again: it is told, so that nobody takes the last
    /// picture for the present.
    pub(super) fn handle_stalled(&mut self, peer: PeerId, subscription: SubscriptionId, stalled: bool) {
        let Some(&key) = self.peers.get(&peer) else { return };
        let Some(participant) = self.participants.get(&key) else { return };
        let track =
            participant.subscriptions.iter().find(|(_, known)| known.id == subscription).map(|(track, _)| *track);
        let Some(track) = track else { return };
        let Some(publisher) = self.publishers.get(&track).and_then(|key| self.participants.get(key)) else { return };
        let Some(carried) = publisher.tracks.get(&track) else { return };
        let state = if stalled { StreamState::Paused } else { StreamState::Active };
        let stream = StreamStateInfo {
            participant_sid: publisher.sid.clone(),
            track_sid: carried.info.sid.clone(),
            state: state.into(),
        };
        self.tell(key, Message::StreamStateUpdate(StreamStateUpdate { stream_states: vec![stream] }));
    }

    /// Every track that is there already, as far as the participant wants it.
    pub(super) fn subscribe_to_all(&mut self, key: ParticipantKey) {
        let tracks: Vec<_> = self
            .participants
            .iter()
            .filter(|(other, _)| **other != key)
            .flat_map(|(_, other)| other.published().map(|track| track.id))
            .collect();
        for track in tracks {
            self.subscribe_if_wanted(key, track);
        }
    }

    /// A track that is new, for everybody who wants it.
    pub(super) fn subscribe_everybody(&mut self, track: TrackId) {
        let keys: Vec<_> = self.participants.keys().copied().collect();
        for key in keys {
            self.subscribe_if_wanted(key, track);
        }
    }

    pub(super) fn unsubscribe_from_all(&mut self, key: ParticipantKey) {
        let tracks: Vec<_> = match self.participants.get(&key) {
            Some(participant) => participant.subscriptions.keys().copied().collect(),
            None => return,
        };
        for track in tracks {
            self.unsubscribe(key, track);
        }
    }

    fn subscribe_if_wanted(&mut self, key: ParticipantKey, track: TrackId) {
        if self.participants.get(&key).is_some_and(|participant| participant.wants(track)) {
            self.subscribe(key, track);
        }
    }

    /// The one place where a subscription is made, and so where the right to it is checked.
    pub(super) fn subscribe(&mut self, key: ParticipantKey, id: TrackId) {
        let Some(&publisher_key) = self.publishers.get(&id) else { return };
        let (Some(subscriber), Some(publisher)) = (self.participants.get(&key), self.participants.get(&publisher_key))
        else {
            return;
        };
        let Some(track) = publisher.tracks.get(&id) else { return };
        let Some(section) = &track.section else { return };
        if publisher_key == key
            || publisher.permission.hidden
            || !subscriber.permission.can_subscribe
            || subscriber.subscriptions.contains_key(&id)
            || !publisher.admits(subscriber, &track.info.sid)
        {
            return;
        }
        // Firefox makes up track ids of its own, so its SDK looks for ours in the stream's id.
        let stream = match subscriber.client.browser.eq_ignore_ascii_case("firefox") {
            true => &track.info.sid,
            false => &track.info.stream,
        };
        let subscription = self.names.subscription();
        let kind = track.kind;
        let outgoing = Outgoing {
            subscription,
            kind,
            track_sid: track.info.sid.clone(),
            stream_id: format!("{}|{stream}", publisher.sid),
            cname: publisher.sid.clone(),
            publisher: section.published.clone(),
            ssrc: self.names.ssrc(),
            rtx_ssrc: self.names.ssrc(),
        };
        let wish = subscriber.wishes.get(&id).copied().unwrap_or_default();
        let asked_limit = wish.asked.map(|asked| track.limit_for(id, asked));
        // Where there is a choice, it waits for what the subscriber can decode.
        let source = track.backups.is_empty().then_some(id);
        let Some(subscriber) = self.participants.get_mut(&key) else { return };
        let limit = match kind {
            MediaKind::Audio => LayerLimit::ALL,
            MediaKind::Video => asked_limit.unwrap_or(subscriber.first_limit()),
        };
        let made = Subscription {
            id: subscription,
            source,
            wanted: id,
            paused: wish.paused,
            asked: wish.asked,
            limit,
            priority: wish.priority,
            frames_per_second: wish.frames_per_second,
            fresh: true,
        };
        subscriber.subscriptions.insert(id, made);
        subscriber.receiving_mut().negotiation.add_outgoing(outgoing);
        self.dynacast.note(id);
    }

    pub(super) fn unsubscribe(&mut self, key: ParticipantKey, track: TrackId) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let Some(subscription) = participant.subscriptions.remove(&track) else { return };
        self.dynacast.note(track);
        let peer = participant.receiving_mut();
        peer.negotiation.remove_outgoing(subscription.id);
        if peer.sending.remove(&subscription.id) {
            self.media(Command::Unsubscribe { subscription: subscription.id });
        }
    }

    /// Tells publishers of tracks that somebody receives for the first time.
    pub(super) fn tell_first_receptions(&mut self) {
        let started: Vec<_> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Media(Command::Subscribe { track, .. }) => Some(*track),
                _ => None,
            })
            .collect();
        for id in started {
            let Some(&key) = self.publishers.get(&id) else { continue };
            let Some(track) = self.track_of_source(id) else { continue };
            if !track.subscribed {
                track.subscribed = true;
                let track_sid = track.info.sid.clone();
                self.tell(key, Message::TrackSubscribed(TrackSubscribed { track_sid }));
            }
        }
    }
}
