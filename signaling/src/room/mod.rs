//! The pure room: who is here, who publishes what, who receives it, and what everybody is told.
//!
//! The contract. The caller owns the clock, the sessions and the media plane. It calls a `handle_*` with an input and the
//! present time, then takes [`Effect`]s from [`Room::poll_effect`] until there are none, in order, and calls
//! [`Room::handle_timeout`] when [`Room::poll_timeout`] says so. Nothing here reads a clock, awaits, or draws randomness
//! but from the seed it was made with.
//!
//! ```text
//! join         a participant comes, or comes back
//! signal       what a client asks for, one message at a time
//! negotiate    descriptions, candidates, and what they mean for the media core
//! publish      tracks announced, carried, muted and ended
//! subscribe    who receives what, at which quality
//! backup       who receives it in which codec
//! dynacast     which layers and codecs publishers need to send
//! data         packets on data channels
//! arrivals     the order of reliable ones around a lost session
//! replay       reliable ones of the last seconds
//! speakers     who is speaking
//! quality      how well everybody is connected
//! notice       what the application is told
//! missed       what a client without a session was not told
//! audibility   who is not heard by whom, though they should be
//! profile      names, metadata, attributes
//! simulate     faults on request
//! lifecycle    sessions lost, connections ended, participants removed, rooms closed
//! admin        what hosts do over the server API
//! people       what the application sees and does
//! ```

mod admin;
mod arrivals;
mod audibility;
mod backup;
mod data;
mod dynacast;
mod join;
mod lifecycle;
pub mod limits;
mod missed;
mod names;
mod negotiate;
mod notice;
mod participant;
mod peer;
pub(crate) mod people;
pub mod permission;
mod profile;
mod publish;
mod quality;
mod replay;
mod signal;
mod simulate;
mod speakers;
mod subscribe;
#[cfg(test)]
mod tests;
mod track;

pub use admin::Refusal;
pub use audibility::SilentPath;
pub(crate) use join::state_mismatch;
pub use join::{ConnectionMode, Join, JoinRefusal, Resume};
pub use notice::{Happening, RoomNotice};
pub use peer::LocalEndpoint;
pub use people::{Person, PersonTrack};

use crate::stats::{DataDrop, SessionEnd};
use audibility::Audibility;
use consilium_media_core::control::Command;
use consilium_media_core::ids::{PeerId, RoomId, TrackId};
use consilium_media_core::params::IceCredentials;
use dynacast::Dynacast;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{IceServer, ParticipantUpdate, RoomUpdate, ServerInfo};
use names::Names;
use participant::{Participant, ParticipantKey};
use replay::Replay;
use speakers::Speakers;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The protocol version that is announced: the newest one before pre-negotiated data channels.
const PROTOCOL_VERSION: i32 = 17;

/// One client connection to signalling. A participant that resumes gets a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    pub const fn new(value: u64) -> Self {
        Self(value)
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
}

/// What the caller has to do.
#[derive(Debug)]
pub enum Effect {
    ToClient {
        session: SessionId,
        message: Box<Message>,
    },
    /// After everything before it was sent.
    CloseSession {
        session: SessionId,
        end: SessionEnd,
    },
    Media(Command),
    /// A packet on a data channel went nowhere.
    DataDropped(DataDrop),
    /// A grant changed: the client needs a token that says so, for when it reconnects.
    RefreshToken {
        session: SessionId,
        grants: Box<RefreshedGrants>,
    },
    /// The application is told.
    Notice(Box<RoomNotice>),
    /// The room is over. Nothing follows.
    Finished,
}

/// What a refreshed token says differently.
#[derive(Clone, Debug)]
pub struct RefreshedGrants {
    pub permission: permission::Permission,
    pub name: String,
    pub metadata: String,
    pub attributes: HashMap<String, String>,
}

/// What a room is made with.
#[derive(Clone, Debug, Default)]
pub struct RoomSettings {
    pub name: String,
    pub metadata: String,
    /// How long the room waits for its first participant.
    pub empty_timeout: Duration,
    /// How long the room stays after its last participant left.
    pub departure_timeout: Duration,
    /// 0 is no limit but [`limits::PARTICIPANTS_MAX`].
    pub max_participants: u32,
    /// Whether clients may ask for faults, to see whether they survive them.
    pub simulate: bool,
    /// How many audio tracks are forwarded, the loudest; 0 is all.
    pub loudest_speakers: u8,
}

/// What clients are told of the server.
#[derive(Clone, Debug, Default)]
pub struct ServerFacts {
    pub node: String,
    pub region: String,
    /// A semantic version.
    pub version: String,
    pub ice_servers: Vec<IceServer>,
}

impl ServerFacts {
    fn info(&self) -> ServerInfo {
        ServerInfo {
            version: self.version.clone(),
            protocol: PROTOCOL_VERSION,
            region: self.region.clone(),
            node_id: self.node.clone(),
            ..Default::default()
        }
    }
}

pub struct Room {
    sid: String,
    settings: RoomSettings,
    created_ms: i64,
    server: ServerFacts,
    endpoint: LocalEndpoint,
    names: Names,
    next_key: u32,
    participants: BTreeMap<ParticipantKey, Participant>,
    sessions: HashMap<SessionId, ParticipantKey>,
    peers: HashMap<PeerId, ParticipantKey>,
    /// Who publishes each announced or carried track.
    publishers: HashMap<TrackId, ParticipantKey>,
    track_sids: HashMap<String, TrackId>,
    speakers: Speakers,
    dynacast: Dynacast,
    replay: Replay,
    audibility: Audibility,
    /// The time of the input under way.
    present: Instant,
    /// When an empty room ends.
    closes_at: Option<Instant>,
    /// When clients are told of a new number of participants.
    room_update_at: Option<Instant>,
    /// Filled by one input and emptied before the next, so that the inputs' limits bound it.
    effects: VecDeque<Effect>,
    finished: bool,
}

impl Room {
    pub fn new(
        id: RoomId,
        settings: RoomSettings,
        server: ServerFacts,
        endpoint: LocalEndpoint,
        seed: [u8; 32],
        now: Now,
    ) -> Self {
        let mut names = Names::new(id, seed);
        Self {
            sid: names.sid("RM"),
            closes_at: now.instant.checked_add(settings.empty_timeout),
            settings,
            created_ms: now.unix_ms,
            server,
            endpoint,
            names,
            next_key: 0,
            participants: BTreeMap::new(),
            sessions: HashMap::new(),
            peers: HashMap::new(),
            publishers: HashMap::new(),
            track_sids: HashMap::new(),
            speakers: Speakers::default(),
            dynacast: Dynacast::default(),
            replay: Replay::default(),
            audibility: Audibility::default(),
            present: now.instant,
            room_update_at: None,
            effects: VecDeque::new(),
            finished: false,
        }
    }

    /// Before whatever a host asks for: what has a time limit counts from here.
    pub fn set_present(&mut self, now: Now) {
        self.present = now.instant;
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            self.settle_demand();
        }
        self.effects.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiries = self.participants.values().filter_map(Participant::deadline);
        let speeches = self.participants.values().filter_map(|participant| participant.simulation.deadline());
        let gaps = self.participants.values().filter_map(|participant| participant.arrivals.deadline());
        let own = [self.closes_at, self.room_update_at, self.dynacast.poll_timeout(), self.speakers.poll_timeout()];
        expiries.chain(speeches).chain(gaps).chain(own.into_iter().flatten()).min()
    }

    pub fn participants_len(&self) -> usize {
        self.participants.len()
    }

    /// Whether one more participant fits.
    pub fn is_full(&self) -> bool {
        let own_limit = match self.settings.max_participants {
            0 => limits::PARTICIPANTS_MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX).min(limits::PARTICIPANTS_MAX),
        };
        self.participants.len() >= own_limit
    }

    pub fn is_finished(&self) -> bool {
        self.finished
    }

    pub fn info(&self) -> livekit_protocol::Room {
        let visible = || self.participants.values().filter(|participant| !participant.permission.hidden);
        livekit_protocol::Room {
            sid: self.sid.clone(),
            name: self.settings.name.clone(),
            empty_timeout: seconds(self.settings.empty_timeout),
            departure_timeout: seconds(self.settings.departure_timeout),
            max_participants: self.settings.max_participants,
            creation_time: self.created_ms / 1_000,
            creation_time_ms: self.created_ms,
            enabled_codecs: join::enabled_codecs(),
            metadata: self.settings.metadata.clone(),
            num_participants: visible().count() as u32,
            num_publishers: visible().filter(|participant| participant.published().next().is_some()).count() as u32,
            ..Default::default()
        }
    }

    fn id(&self) -> RoomId {
        self.names.room()
    }

    fn media(&mut self, command: Command) {
        self.effects.push_back(Effect::Media(command));
    }

    /// With each connection: the media core knows a room by its connections.
    fn add_peer(&mut self, peer: PeerId, local: IceCredentials) {
        let (room, loudest) = (self.id(), self.settings.loudest_speakers);
        self.media(Command::AddPeer { peer, room, local });
        if loudest > 0 {
            self.media(Command::SetLoudest { room, loudest });
        }
    }

    /// To one participant: now, or when its session is back.
    fn tell(&mut self, key: ParticipantKey, message: Message) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        match participant.session {
            Some(session) => self.effects.push_back(Effect::ToClient { session, message: Box::new(message) }),
            None => participant.missed.keep(message),
        }
    }

    /// To everybody but `except`.
    fn tell_others(&mut self, except: Option<ParticipantKey>, message: &Message) {
        for (&key, participant) in &self.participants {
            if let Some(session) = participant.session.filter(|_| Some(key) != except) {
                self.effects.push_back(Effect::ToClient { session, message: Box::new(message.clone()) });
            }
        }
    }

    /// Tells the others how a participant looks now. Nobody is told of a hidden one.
    fn announce(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.version = participant.version.wrapping_add(1);
        if participant.is_visible() {
            let info = participant.info(&self.server.region);
            self.tell_others(Some(key), &Message::Update(ParticipantUpdate { participants: vec![info] }));
        }
    }

    /// Tells a participant how the room sees it.
    fn announce_to_self(&mut self, key: ParticipantKey) {
        if let Some(participant) = self.participants.get(&key) {
            let info = participant.info(&self.server.region);
            self.tell(key, Message::Update(ParticipantUpdate { participants: vec![info] }));
        }
    }

    fn announce_room(&mut self) {
        self.room_update_at = None;
        let message = Message::RoomUpdate(RoomUpdate { room: Some(self.info()) });
        self.tell_others(None, &message);
    }

    fn schedule_room_update(&mut self, now: Now) {
        if self.room_update_at.is_none() {
            self.room_update_at = now.instant.checked_add(limits::ROOM_UPDATE_INTERVAL);
        }
    }

    fn by_identity(&self, identity: &str) -> Option<ParticipantKey> {
        self.participants.iter().find(|(_, participant)| participant.identity == identity).map(|(&key, _)| key)
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
