//! A participant comes, or comes back.

use super::arrivals::Arrivals;
use super::missed::Missed;
use super::participant::{Participant, ParticipantKey};
use super::peer::{Peer, PeerState};
use super::permission::Permission;
use super::quality::Quality;
use super::simulate::{OnResume, Simulation};
use super::{Effect, Now, Room, SessionId, limits, profile, track};
use crate::negotiation::Role;
use crate::stats::SessionEnd;
use consilium_media_core::control::{Command, Reliability};
use consilium_media_core::params::Codec as MediaCodec;
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    AddTrackRequest, ClientInfo, Codec, DisconnectReason, JoinResponse, LeaveRequest, ParticipantUpdate,
    ReconnectResponse, RoomUpdate, SessionDescription, leave_request,
};
use std::collections::{BTreeMap, HashMap};

/// Seconds between a client's pings, and how long the server may be silent before a client gives up.
const PING_INTERVAL_S: i32 = 5;
const PING_TIMEOUT_S: i32 = 15;

/// How a client wants to be connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionMode {
    /// One connection for everything; the client offers.
    Single,
    /// One connection to publish, negotiated by the client, and one to receive, negotiated by us.
    Dual,
}

/// Somebody who may join: the token was verified.
#[derive(Clone, Debug)]
pub struct Join {
    pub identity: String,
    pub name: String,
    pub metadata: String,
    pub attributes: HashMap<String, String>,
    pub permission: Permission,
    /// `participant_info::Kind`.
    pub kind: i32,
    pub client: ClientInfo,
    pub auto_subscribe: bool,
    /// The client says how large it shows each picture, and is to get the smallest until then.
    pub adaptive_stream: bool,
    pub mode: ConnectionMode,
    /// Tracks announced with the request.
    pub add_tracks: Vec<AddTrackRequest>,
    /// A description sent with the request.
    pub offer: Option<SessionDescription>,
}

/// Somebody who was here a moment ago and lost the WebSocket: the token was verified.
#[derive(Clone, Debug)]
pub struct Resume {
    pub identity: String,
    pub participant_sid: String,
}

/// Why somebody with a good token cannot join.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JoinRefusal {
    #[error("the room is full")]
    RoomFull,
    #[error("the room is closing")]
    Closing,
    #[error("{0}")]
    Invalid(&'static str),
}

impl Room {
    /// The first message to `session` is the join response.
    pub fn handle_join(&mut self, now: Now, session: SessionId, join: Join) -> Result<(), JoinRefusal> {
        self.set_present(now);
        if self.finished {
            return Err(JoinRefusal::Closing);
        }
        check(&join)?;
        let older = self.by_identity(&join.identity);
        if older.is_none() && self.is_full() {
            return Err(JoinRefusal::RoomFull);
        }
        if let Some(older) = older {
            self.remove(now, older, DisconnectReason::DuplicateIdentity, SessionEnd::DuplicateIdentity);
        }
        let add_tracks = join.add_tracks.clone();
        let offer = join.offer.clone();
        let key = self.admit(now, session, join);
        if let Some(participant) = self.participants.get(&key) {
            tracing::info!(participant = %participant.sid, "a participant joined");
        }
        self.greet(key);
        self.open_primary(key);
        self.subscribe_to_all(key);
        for request in add_tracks {
            self.handle_add_track(now, key, request);
        }
        match offer {
            Some(offer) => self.handle_offer(now, key, &offer),
            None => self.renegotiate(key),
        }
        self.closes_at = None;
        self.schedule_room_update(now);
        Ok(())
    }

    /// The first message to `session` is the reconnect response, or a leave that sends the client to join anew.
    pub fn handle_resume(&mut self, now: Now, session: SessionId, resume: &Resume) -> Result<(), JoinRefusal> {
        self.set_present(now);
        let known = self.by_identity(&resume.identity).filter(|key| {
            let participant = &self.participants[key];
            participant.sid == resume.participant_sid && participant.peers().all(|peer| peer.state != PeerState::Closed)
        });
        let Some(key) = known.filter(|_| !self.finished) else {
            let message = Box::new(Message::Leave(state_mismatch()));
            self.effects.push_back(Effect::ToClient { session, message });
            self.effects.push_back(Effect::CloseSession { session, end: SessionEnd::StateMismatch });
            return Ok(());
        };
        self.attach(now, key, session);
        if self.fails_resume(now, key, OnResume::BeforeMessages) {
            return Ok(());
        }
        self.tell_state(key);
        self.tell_qualities(now, &[key]);
        self.tell_all_qualities(key);
        self.restart_receiving(key);
        self.fails_resume(now, key, OnResume::AfterMessages);
        Ok(())
    }

    fn admit(&mut self, now: Now, session: SessionId, join: Join) -> ParticipantKey {
        self.next_key = self.next_key.wrapping_add(1);
        let key = ParticipantKey(self.next_key);
        let publisher = Peer::new(self.names.peer(), Role::Answerer, &self.endpoint, self.names.ice());
        let subscriber = (join.mode == ConnectionMode::Dual)
            .then(|| Peer::new(self.names.peer(), Role::Offerer, &self.endpoint, self.names.ice()));
        for peer in std::iter::once(&publisher).chain(&subscriber) {
            self.peers.insert(peer.id, key);
        }
        let participant = Participant {
            sid: self.names.sid("PA"),
            identity: join.identity,
            name: join.name,
            metadata: join.metadata,
            attributes: join.attributes,
            permission: join.permission,
            kind: join.kind,
            client: join.client,
            state: State::Joining,
            joined_at_ms: now.unix_ms,
            joined_at: now.instant,
            version: 0,
            session: Some(session),
            expires_at: now.instant.checked_add(limits::CONNECT_WINDOW),
            publisher,
            subscriber,
            tracks: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            auto_subscribe: join.auto_subscribe,
            adaptive_stream: join.adaptive_stream,
            wishes: HashMap::new(),
            audience: None,
            arrivals: Arrivals::default(),
            received: None,
            missed: Missed::default(),
            token_stale: false,
            quality: Quality::default(),
            simulation: Simulation::default(),
        };
        self.sessions.insert(session, key);
        self.participants.insert(key, participant);
        key
    }

    fn greet(&mut self, key: ParticipantKey) {
        let participant = &self.participants[&key];
        let join = JoinResponse {
            room: Some(self.info()),
            participant: Some(participant.info(&self.server.region)),
            other_participants: self.others(key),
            server_version: self.server.version.clone(),
            server_region: self.server.region.clone(),
            ice_servers: self.server.ice_servers.clone(),
            subscriber_primary: participant.subscriber.is_some(),
            ping_timeout: PING_TIMEOUT_S,
            ping_interval: PING_INTERVAL_S,
            // `sif_trailer` stays empty. Clients that decrypt play a frame with that ending as it is: no such frame is ours,
            // so there is no door to leave open for one.
            server_info: Some(self.server.info()),
            enabled_publish_codecs: enabled_codecs(),
            fast_publish: participant.permission.can_publish,
            ..Default::default()
        };
        self.tell(key, Message::Join(join));
    }

    /// Opens the connection that must come up first.
    fn open_primary(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let dual = participant.subscriber.is_some();
        let peer = participant.receiving_mut();
        peer.state = PeerState::Connecting;
        let (peer, local) = (peer.id, peer.negotiation.local().ice.clone());
        self.add_peer(peer, local);
        if dual {
            let labels =
                [(super::peer::RELIABLE_LABEL, Reliability::Reliable), (super::peer::LOSSY_LABEL, Reliability::Lossy)];
            for (label, reliability) in labels {
                self.media(Command::OpenDataChannel { peer, label: label.to_owned(), reliability });
            }
        }
    }

    /// Gives a participant a new session; the older one, if any, is closed without a word: its client is gone.
    fn attach(&mut self, now: Now, key: ParticipantKey, session: SessionId) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.quality.away_since = None;
        participant.received = None;
        participant.arrivals.resumed(now.instant);
        let older = participant.session.replace(session);
        participant.expires_at = match participant.state {
            State::Active => None,
            _ => now.instant.checked_add(limits::CONNECT_WINDOW),
        };
        self.sessions.insert(session, key);
        if let Some(older) = older {
            self.sessions.remove(&older);
            self.effects.push_back(Effect::CloseSession { session: older, end: SessionEnd::Replaced });
        }
    }

    /// Everything that a resumed client may have missed.
    fn tell_state(&mut self, key: ParticipantKey) {
        let participant = &self.participants[&key];
        let reconnect = ReconnectResponse {
            ice_servers: self.server.ice_servers.clone(),
            server_info: Some(self.server.info()),
            last_message_seq: participant.arrivals.last(),
            ..Default::default()
        };
        let mut participants = vec![participant.info(&self.server.region)];
        participants.extend(self.others(key));
        self.tell(key, Message::Reconnect(reconnect));
        // Before the client compares itself with how we see it: a host may have muted it.
        let missed = self.participants.get_mut(&key).map(|participant| participant.missed.take());
        missed.into_iter().flatten().for_each(|message| self.tell(key, message));
        if self.participants[&key].token_stale {
            self.refresh_token(key);
        }
        self.tell(key, Message::Update(ParticipantUpdate { participants }));
        let room = Some(self.info());
        self.tell(key, Message::RoomUpdate(RoomUpdate { room }));
        let speakers = self.speakers.present();
        if !speakers.speakers.is_empty() {
            self.tell(key, Message::SpeakersChanged(speakers));
        }
        self.tell_demands(key);
    }

    fn others(&self, key: ParticipantKey) -> Vec<livekit_protocol::ParticipantInfo> {
        let others = self.participants.iter().filter(|(other, participant)| **other != key && participant.is_visible());
        others.map(|(_, participant)| participant.info(&self.server.region)).collect()
    }
}

/// The client is to join anew.
pub(crate) fn state_mismatch() -> LeaveRequest {
    LeaveRequest {
        can_reconnect: true,
        reason: DisconnectReason::StateMismatch.into(),
        action: leave_request::Action::Reconnect.into(),
        ..Default::default()
    }
}

pub(super) fn enabled_codecs() -> Vec<Codec> {
    let codecs =
        [MediaCodec::Opus, MediaCodec::Red, MediaCodec::Vp8, MediaCodec::H264, MediaCodec::Vp9, MediaCodec::Av1];
    codecs.map(|codec| Codec { mime: track::mime_type(codec).to_owned(), fmtp_line: String::new() }).to_vec()
}

fn check(join: &Join) -> Result<(), JoinRefusal> {
    if join.identity.is_empty() || join.identity.len() > limits::NAME_LEN_MAX {
        return Err(JoinRefusal::Invalid("the identity is empty or too long"));
    }
    profile::check_name(&join.name).map_err(JoinRefusal::Invalid)?;
    profile::check_metadata(&join.metadata).map_err(JoinRefusal::Invalid)?;
    profile::check_attributes(&join.attributes).map_err(JoinRefusal::Invalid)?;
    if join.add_tracks.len() > limits::TRACKS_PER_PARTICIPANT_MAX {
        return Err(JoinRefusal::Invalid("the request announces too many tracks"));
    }
    Ok(())
}
