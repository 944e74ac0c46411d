//! The room with scripted clients: no socket, no clock, one seed.

mod admin;
mod backup;
mod dynacast;
mod joining;
mod life;
mod media;
mod notice;
mod people;
mod property;
mod sdp;

use super::permission::Permission;
use super::{
    ConnectionMode, Effect, Join, JoinRefusal, LocalEndpoint, Now, Resume, Room, RoomNotice, RoomSettings, ServerFacts,
    SessionId,
};
use crate::stats::{DataDrop, SessionEnd};
use consilium_media_core::control::{Command, DataChannelId, Event, Reliability};
use consilium_media_core::ids::{PeerId, RoomId, SubscriptionId, TrackId};
use consilium_media_core::params::{Fingerprint, FingerprintHash};
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    AddTrackRequest, ClientInfo, ParticipantInfo, SessionDescription, SignalRequest, TrackInfo, TrackSource, TrackType,
    VideoLayer, VideoQuality,
};
use sdp::Section;
use std::collections::HashMap;
use std::time::{Duration, Instant};

struct Stage {
    room: Room,
    now: Now,
    next_session: u64,
    clients: HashMap<SessionId, Client>,
    commands: Vec<Command>,
    data_drops: Vec<DataDrop>,
    notices: Vec<RoomNotice>,
    finished: bool,
}

/// What a scripted client has seen and said.
#[derive(Default)]
struct Client {
    inbox: Vec<Message>,
    closed: Option<SessionEnd>,
    sections: Vec<Section>,
    ufrag: String,
    offers: u32,
    /// Answers without VP9.
    refuses_vp9: bool,
}

fn permission() -> Permission {
    Permission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        can_update_metadata: false,
        hidden: false,
        recorder: false,
        sources: None,
    }
}

fn join(identity: &str) -> Join {
    Join {
        identity: identity.to_owned(),
        name: format!("Name of {identity}"),
        metadata: String::new(),
        attributes: HashMap::new(),
        permission: permission(),
        kind: 0,
        client: ClientInfo::default(),
        auto_subscribe: true,
        adaptive_stream: false,
        mode: ConnectionMode::Single,
        add_tracks: Vec::new(),
        offer: None,
    }
}

fn track_request(cid: &str, source: TrackSource) -> AddTrackRequest {
    let kind = match source {
        TrackSource::Microphone | TrackSource::ScreenShareAudio => TrackType::Audio,
        _ => TrackType::Video,
    };
    AddTrackRequest { cid: cid.to_owned(), r#type: kind.into(), source: source.into(), ..Default::default() }
}

fn settings() -> RoomSettings {
    RoomSettings {
        loudest_speakers: 0,
        name: "mdt".into(),
        metadata: String::new(),
        empty_timeout: Duration::from_secs(300),
        departure_timeout: Duration::from_secs(20),
        max_participants: 0,
        simulate: true,
    }
}

impl Stage {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: RoomSettings) -> Self {
        let now = Now { instant: Instant::now(), unix_ms: 1_700_000_000_000 };
        let endpoint = LocalEndpoint {
            fingerprint: Fingerprint { hash: FingerprintHash::Sha256, bytes: vec![7; 32] },
            candidates: vec![(([127, 0, 0, 1], 7882).into(), 1)],
        };
        let facts = ServerFacts { version: "0.1.0".into(), ..Default::default() };
        Self {
            room: Room::new(RoomId::new(1), settings, facts, endpoint, [3; 32], now),
            now,
            next_session: 0,
            clients: HashMap::new(),
            commands: Vec::new(),
            data_drops: Vec::new(),
            notices: Vec::new(),
            finished: false,
        }
    }

    fn pump(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::ToClient { session, message } => {
                    let client = self.clients.get_mut(&session).expect("a message goes to a known session");
                    assert!(client.closed.is_none(), "nothing is said after the goodbye");
                    client.inbox.push(*message);
                }
                Effect::CloseSession { session, end } => {
                    self.clients.get_mut(&session).expect("a known session is closed").closed = Some(end);
                }
                Effect::Media(command) => self.commands.push(command),
                Effect::DataDropped(reason) => self.data_drops.push(reason),
                Effect::RefreshToken { session, .. } => {
                    let client = self.clients.get_mut(&session).expect("a known session gets a token");
                    client.inbox.push(Message::RefreshToken(String::new()));
                }
                Effect::Notice(notice) => self.notices.push(*notice),
                Effect::Finished => self.finished = true,
            }
        }
    }

    fn try_join(&mut self, mut join: Join, sections: &[Section]) -> Result<SessionId, JoinRefusal> {
        self.next_session += 1;
        let session = SessionId::new(self.next_session);
        let ufrag = format!("user{}", self.next_session);
        if join.mode == ConnectionMode::Single && join.offer.is_none() {
            join.offer = Some(SessionDescription {
                r#type: "offer".into(),
                sdp: sdp::offer(&ufrag, sections),
                id: 1,
                ..Default::default()
            });
        }
        let client = Client { sections: sections.to_vec(), ufrag, offers: 1, ..Default::default() };
        self.clients.insert(session, client);
        let result = self.room.handle_join(self.now, session, join);
        self.pump();
        result.map(|()| session)
    }

    /// With one section of each kind to receive on.
    fn join(&mut self, identity: &str) -> SessionId {
        self.join_with(join(identity))
    }

    fn join_with(&mut self, join: Join) -> SessionId {
        self.try_join(join, &[sdp::receiving("audio"), sdp::receiving("video")]).unwrap()
    }

    fn resume(&mut self, identity: &str, sid: &str) -> SessionId {
        self.next_session += 1;
        let session = SessionId::new(self.next_session);
        self.clients.insert(session, Client { ufrag: format!("user{}", self.next_session), ..Default::default() });
        let resume = Resume { identity: identity.into(), participant_sid: sid.into() };
        self.room.handle_resume(self.now, session, &resume).unwrap();
        self.pump();
        session
    }

    fn request(&mut self, session: SessionId, request: Request) {
        self.room.handle_request(self.now, session, SignalRequest { message: Some(request) });
        self.pump();
    }

    fn offer(&mut self, session: SessionId) {
        let client = self.clients.get_mut(&session).unwrap();
        client.offers += 1;
        let offer = SessionDescription {
            r#type: "offer".into(),
            sdp: sdp::offer(&client.ufrag, &client.sections),
            id: client.offers,
            ..Default::default()
        };
        self.request(session, Request::Offer(offer));
    }

    /// Does what the SDKs do when they are asked for sections or offered a description, until nobody is asked for more.
    fn settle(&mut self) {
        for _ in 0..50 {
            let mut quiet = true;
            let sessions: Vec<_> = self.clients.keys().copied().collect();
            for session in sessions {
                quiet &= !self.react(session);
            }
            if quiet {
                return;
            }
        }
        panic!("the negotiation does not settle");
    }

    fn react(&mut self, session: SessionId) -> bool {
        let client = self.clients.get_mut(&session).unwrap();
        if client.closed.is_some() {
            return false;
        }
        let (asks, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut client.inbox)
            .into_iter()
            .partition(|message| matches!(message, Message::MediaSectionsRequirement(_) | Message::Offer(_)));
        client.inbox = rest;
        let reacts = !asks.is_empty();
        for ask in asks {
            match ask {
                Message::MediaSectionsRequirement(need) => {
                    let client = self.clients.get_mut(&session).unwrap();
                    client.sections.extend((0..need.num_audios).map(|_| sdp::receiving("audio")));
                    client.sections.extend((0..need.num_videos).map(|_| sdp::receiving("video")));
                    self.offer(session);
                }
                Message::Offer(offer) => {
                    let client = &self.clients[&session];
                    let sdp = sdp::answer(&offer.sdp, &client.ufrag);
                    let sdp = if client.refuses_vp9 { sdp::without_vp9(&sdp) } else { sdp };
                    let answer =
                        SessionDescription { r#type: "answer".into(), sdp, id: offer.id, ..Default::default() };
                    self.request(session, Request::Answer(answer));
                }
                _ => {}
            }
        }
        reacts
    }

    /// Announces a track, offers a section for it, and lets everybody negotiate.
    fn publish(&mut self, session: SessionId, cid: &str, source: TrackSource) -> String {
        self.publish_only(session, cid, source);
        self.settle();
        self.published(session, cid).sid
    }

    /// A camera with three layers.
    fn publish_layers(&mut self, session: SessionId, cid: &str) -> String {
        let layer = |(index, quality): (u32, VideoQuality)| VideoLayer {
            quality: quality.into(),
            width: 320 << index,
            height: 180 << index,
            ..Default::default()
        };
        let qualities = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];
        let layers = (0..).zip(qualities).map(layer).collect();
        let request = AddTrackRequest { layers, ..track_request(cid, TrackSource::Camera) };
        self.request(session, Request::AddTrack(request));
        self.clients.get_mut(&session).unwrap().sections.push(sdp::sending("video", cid));
        self.offer(session);
        self.settle();
        self.published(session, cid).sid
    }

    /// The same, but the others do not react.
    fn publish_only(&mut self, session: SessionId, cid: &str, source: TrackSource) {
        self.request(session, Request::AddTrack(track_request(cid, source)));
        let kind = if track_request(cid, source).r#type() == TrackType::Audio { "audio" } else { "video" };
        self.clients.get_mut(&session).unwrap().sections.push(sdp::sending(kind, cid));
        self.offer(session);
    }

    fn published(&self, session: SessionId, cid: &str) -> TrackInfo {
        let mut answers = self.clients[&session].inbox.iter().rev().filter_map(|message| match message {
            Message::TrackPublished(answer) if answer.cid == cid => answer.track.clone(),
            _ => None,
        });
        answers.next().unwrap()
    }

    fn event(&mut self, event: Event) {
        self.room.handle_event(self.now, event);
        self.pump();
    }

    /// The connection is up, and the data channels are open on it.
    fn connect(&mut self, session: SessionId) {
        let peer = self.peer(session);
        self.event(Event::PeerConnected { peer });
        self.open_channels(session);
    }

    fn open_channels(&mut self, session: SessionId) {
        let peer = self.peer(session);
        for (id, label) in [(1, "_reliable"), (3, "_lossy")] {
            let reliability = Reliability::Reliable;
            let channel = DataChannelId::new(id);
            self.event(Event::DataChannelOpened { peer, channel, label: label.into(), reliability });
        }
    }

    /// The receiving connection of a session's participant.
    fn peer(&self, session: SessionId) -> PeerId {
        let key = self.room.key_of(session).unwrap();
        self.room.participants[&key].receiving().id
    }

    fn peer_of(&self, identity: &str) -> PeerId {
        let key = self.room.by_identity(identity).unwrap();
        self.room.participants[&key].receiving().id
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_ms += time.as_millis() as i64;
        while self.room.poll_timeout().is_some_and(|at| at <= self.now.instant) {
            self.room.handle_timeout(self.now);
            self.pump();
        }
    }

    fn inbox(&self, session: SessionId) -> &[Message] {
        &self.clients[&session].inbox
    }

    fn forget_inboxes(&mut self) {
        self.clients.values_mut().for_each(|client| client.inbox.clear());
        self.commands.clear();
    }

    fn sid(&self, session: SessionId) -> String {
        let key = self.room.key_of(session).unwrap();
        self.room.participants[&key].sid.clone()
    }

    /// What a session was told last of a participant.
    fn seen(&self, session: SessionId, identity: &str) -> Option<ParticipantInfo> {
        let mut lists = self.inbox(session).iter().flat_map(|message| match message {
            Message::Update(update) => update.participants.clone(),
            Message::Join(join) => join.other_participants.clone(),
            _ => Vec::new(),
        });
        lists.rfind(|info| info.identity == identity)
    }

    /// The tracks that are sent to a session, as the media core was told.
    fn receives(&self, session: SessionId) -> Vec<TrackId> {
        let own = self.peer(session);
        let mut tracks = Vec::new();
        for command in &self.commands {
            match command {
                Command::Subscribe { subscription, track, peer, .. } if *peer == own => {
                    tracks.push((*subscription, *track));
                }
                Command::Unsubscribe { subscription } => tracks.retain(|(id, _)| id != subscription),
                _ => {}
            }
        }
        tracks.into_iter().map(|(_, track)| track).collect()
    }

    fn track(&self, sid: &str) -> TrackId {
        self.room.track_sids[sid]
    }
}
