//! Sessions lost, connections ended, participants removed, rooms closed.

use super::participant::ParticipantKey;
use super::peer::{PeerState, RELIABLE_LABEL};
use super::{Effect, Now, Room, SessionId, limits};
use crate::stats::SessionEnd;
use consilium_media_core::control::{CloseReason, Command, Event};
use consilium_media_core::ids::PeerId;
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{DisconnectReason, LeaveRequest, ParticipantUpdate, leave_request};
use std::time::{Duration, Instant};

impl Room {
    /// The client's WebSocket is gone, without a goodbye. Unknown sessions (closed by us) are fine.
    pub fn handle_session_closed(&mut self, now: Now, session: SessionId) {
        self.set_present(now);
        let Some(key) = self.sessions.remove(&session) else { return };
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.session = None;
        participant.quality.away_since = Some(now.instant);
        participant.arrivals.parted();
        // Nobody is there to answer; whoever comes back is offered anew.
        if let Some(peer) = &mut participant.subscriber {
            peer.answer_due = None;
        }
        // Without its connections it cannot come back as the one it was, so there is nothing to wait for.
        if participant.peers().any(|peer| peer.state == PeerState::Closed) {
            return self.remove(now, key, DisconnectReason::SignalClose, SessionEnd::ConnectionLost);
        }
        expire_by(&mut participant.expires_at, now, limits::RESUME_WINDOW);
    }

    pub fn handle_event(&mut self, now: Now, event: Event) {
        self.set_present(now);
        match event {
            Event::PeerConnected { peer } => self.handle_connected(peer),
            Event::PeerClosed { peer, reason } => self.handle_peer_closed(now, peer, reason),
            Event::DataChannelOpened { peer, channel, label, .. } => self.handle_channel_opened(peer, channel, label),
            Event::DataChannelClosed { peer, channel } => {
                if let Some(peer) = self.peer_mut(peer) {
                    peer.channel_closed(channel);
                }
            }
            Event::Data { peer, channel, payload, .. } => {
                if let Err(reason) = self.handle_data(peer, channel, &payload) {
                    self.effects.push_back(Effect::DataDropped(reason));
                }
            }
            Event::SubscriptionStalled { subscription, peer, stalled } => {
                self.handle_stalled(peer, subscription, stalled);
            }
            Event::TrackStarted { track } => self.handle_source_started(track),
            Event::AudioLevels { levels } => self.handle_audio_levels(&levels),
            Event::Figures { figures } => self.handle_figures(now, &figures),
            Event::AudioPath { track, subscription, state } => self.handle_audio_path(track, subscription, state),
        }
    }

    /// More messages of this connection came than the room could take, and some are lost.
    pub fn handle_overrun(&mut self, now: Now, peer: PeerId) {
        self.set_present(now);
        if let Some(&key) = self.peers.get(&peer) {
            self.remove(now, key, DisconnectReason::MediaFailure, SessionEnd::DataFlood);
        }
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.set_present(now);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        let expired: Vec<_> = self
            .participants
            .iter()
            .filter(|(_, participant)| due(participant.deadline()))
            .map(|(&key, participant)| (key, participant.state, due(participant.answer_due())))
            .collect();
        for (key, state, unanswered) in expired {
            let reason = match state {
                State::Active => DisconnectReason::ConnectionTimeout,
                _ => DisconnectReason::JoinFailure,
            };
            let end = if unanswered { SessionEnd::NoAnswer } else { SessionEnd::MediaFailed };
            self.remove(now, key, reason, end);
        }
        let gaps = self.participants.iter().filter(|(_, participant)| due(participant.arrivals.deadline()));
        let gaps: Vec<_> = gaps.map(|(&key, _)| key).collect();
        gaps.into_iter().for_each(|key| self.settle_arrivals(key));
        self.end_simulated_speech(now);
        self.fade_speakers();
        if due(self.room_update_at) {
            self.announce_room();
        }
        if due(self.closes_at) && self.participants.is_empty() {
            self.finish();
        }
    }

    /// Everybody leaves, with the reason, and the room is over.
    pub fn close(&mut self, now: Now, reason: DisconnectReason, end: SessionEnd) {
        let keys: Vec<_> = self.participants.keys().copied().collect();
        // The sessions first: nobody needs to hear of each of the others leaving.
        for key in &keys {
            self.dismiss(*key, reason, end);
        }
        for key in keys {
            self.remove(now, key, reason, end);
        }
        self.finish();
    }

    /// A participant is gone at once: its client is told, its connections end, the others are told.
    pub(super) fn remove(&mut self, now: Now, key: ParticipantKey, reason: DisconnectReason, end: SessionEnd) {
        self.dismiss(key, reason, end);
        self.settle_arrivals(key);
        let tracks: Vec<_> = match self.participants.get(&key) {
            Some(participant) => participant.tracks.keys().copied().collect(),
            None => return,
        };
        for track in tracks {
            self.forget_track(track);
        }
        let Some(participant) = self.participants.remove(&key) else { return };
        participant.subscriptions.keys().for_each(|track| self.dynacast.note(*track));
        tracing::info!(participant = %participant.sid, reason = end.name(), "a participant left");
        for peer in participant.peers() {
            self.peers.remove(&peer.id);
            if matches!(peer.state, PeerState::Connecting | PeerState::Connected) {
                self.effects.push_back(Effect::Media(Command::RemovePeer { peer: peer.id }));
            }
        }
        let info = participant.farewell(&self.server.region, reason);
        self.notice_left(info.clone(), participant.state);
        if participant.is_visible() {
            self.tell_others(None, &Message::Update(ParticipantUpdate { participants: vec![info] }));
        }
        self.speakers.forget(&participant.sid);
        self.renegotiate_all();
        if self.participants.is_empty() {
            self.closes_at = now.instant.checked_add(self.settings.departure_timeout);
        }
        self.schedule_room_update(now);
    }

    /// Says goodbye to a participant's session, if it is there.
    fn dismiss(&mut self, key: ParticipantKey, reason: DisconnectReason, end: SessionEnd) {
        if reason != DisconnectReason::ClientInitiated {
            // A failed connection can be made anew, and a server that stops may be back in a moment, or another in its
            // place. Everything else is meant.
            let action = match reason {
                DisconnectReason::ConnectionTimeout | DisconnectReason::ServerShutdown => {
                    leave_request::Action::Reconnect
                }
                _ => leave_request::Action::Disconnect,
            };
            let leave = LeaveRequest {
                can_reconnect: action == leave_request::Action::Reconnect,
                reason: reason.into(),
                action: action.into(),
                ..Default::default()
            };
            self.tell(key, Message::Leave(leave));
        }
        let session = self.participants.get_mut(&key).and_then(|participant| participant.session.take());
        if let Some(session) = session {
            self.sessions.remove(&session);
            self.effects.push_back(Effect::CloseSession { session, end });
        }
    }

    fn handle_connected(&mut self, peer: PeerId) {
        let Some(&key) = self.peers.get(&peer) else { return };
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if let Some(peer) = participant.peer_mut(peer) {
            peer.state = PeerState::Connected;
        }
        if participant.receiving().id == peer && participant.session.is_some() {
            participant.expires_at = None;
        }
        self.advance_to_active(peer);
    }

    /// To the others, an active participant is one whom data reaches: they send as soon as they hear of it. So its
    /// connection is up and, where it has data channels at all, the reliable one is open.
    pub(super) fn advance_to_active(&mut self, peer: PeerId) {
        let Some(&key) = self.peers.get(&peer) else { return };
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let receiving = participant.receiving();
        let is_reached = receiving.state == PeerState::Connected
            && (receiving.channel(RELIABLE_LABEL).is_some() || !receiving.negotiation.has_data_channel());
        if !is_reached || participant.state == State::Active {
            return;
        }
        participant.state = State::Active;
        self.notice_joined(key);
        self.announce(key);
        self.announce_to_self(key);
        self.tell_all_qualities(key);
    }

    /// The client is told to join anew; whoever does not is removed when the window ends. A client that closed in order is
    /// leaving: its goodbye comes by another way, and may come later.
    fn handle_peer_closed(&mut self, now: Now, id: PeerId, reason: CloseReason) {
        let Some(key) = self.peers.remove(&id) else { return };
        let Some(participant) = self.participants.get_mut(&key) else { return };
        tracing::info!(participant = %participant.sid, ?reason, "a media connection ended");
        let was_connected = participant.state == State::Active || participant.receiving().state == PeerState::Connected;
        if let Some(peer) = participant.peer_mut(id) {
            peer.state = PeerState::Closed;
            peer.answer_due = None;
            peer.sending.clear();
        }
        let carried: Vec<_> = match participant.publisher.id == id {
            true => participant.published().map(|track| track.id).collect(),
            false => Vec::new(),
        };
        let window = match reason {
            CloseReason::ClosedByPeer => limits::GOODBYE_WINDOW,
            _ => limits::RESUME_WINDOW,
        };
        expire_by(&mut participant.expires_at, now, window);
        for track in &carried {
            self.forget_track(*track);
        }
        if !carried.is_empty() {
            self.announce(key);
            self.renegotiate_all();
        }
        if reason == CloseReason::DataFlood {
            // Joining anew would only bring the same again.
            self.remove(now, key, DisconnectReason::MediaFailure, SessionEnd::DataFlood);
        } else if !was_connected {
            // It never worked: the client is told so, and to stop trying.
            self.remove(now, key, DisconnectReason::JoinFailure, SessionEnd::MediaFailed);
        } else if reason != CloseReason::ClosedByPeer {
            self.dismiss(key, DisconnectReason::ConnectionTimeout, SessionEnd::MediaFailed);
        }
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.closes_at = None;
            self.room_update_at = None;
            self.effects.push_back(Effect::Finished);
        }
    }

    pub(super) fn peer_mut(&mut self, id: PeerId) -> Option<&mut super::peer::Peer> {
        let key = self.peers.get(&id)?;
        self.participants.get_mut(key)?.peer_mut(id)
    }
}

/// Moves an expiry forward to the end of a window that begins now, never back.
fn expire_by(expires_at: &mut Option<Instant>, now: Now, window: Duration) {
    let end = now.instant.checked_add(window);
    *expires_at = match (*expires_at, end) {
        (Some(at), Some(end)) => Some(at.min(end)),
        (at, end) => at.or(end),
    };
}

impl Room {
    /// The client said goodbye.
    pub(super) fn handle_leave(&mut self, now: Now, key: ParticipantKey) {
        self.remove(now, key, DisconnectReason::ClientInitiated, SessionEnd::Left);
    }

    /// The client sent something that cannot be read or is not allowed where it stands: it is closed.
    pub(super) fn reject(&mut self, now: Now, key: ParticipantKey) {
        let reason = match self.participants.get(&key).map(|participant| participant.state) {
            Some(State::Active) => DisconnectReason::MediaFailure,
            _ => DisconnectReason::JoinFailure,
        };
        self.remove(now, key, reason, SessionEnd::Malformed);
    }

    pub(super) fn key_of(&self, session: SessionId) -> Option<ParticipantKey> {
        self.sessions.get(&session).copied()
    }
}
