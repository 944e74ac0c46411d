//! One member's WebSocket, from joining to leaving.

use super::description::{self, Kind, Remote, RemoteSection, SECTIONS_MAX, Section};
use super::tracks::{outgoing, own_sections};
use super::{Endpoint, JoinError, JoinTimings, Member, Mode, Request, Ticket, token};
use crate::load::seam::{Connection, ConnectionId, ConnectionRole, Media};
use crate::peer::Peer;
use crate::random::Random;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use consilium_media_core::params::RemoteParameters;
use consilium_media_core::transport::srtp::SrtpProfile;
use futures_util::{SinkExt, StreamExt};
use livekit_protocol::signal_request::Message as ToServer;
use livekit_protocol::signal_response::Message as FromServer;
use livekit_protocol::{
    AddTrackRequest, ConnectionSettings, JoinRequest, LeaveRequest, ParticipantInfo, Ping, SessionDescription,
    SignalRequest, SignalResponse, SubscribedQualityUpdate, TrackSource, TrickleRequest, UpdateTrackSettings,
    VideoQuality, WrappedJoinRequest,
};
use prost::Message as _;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// As the SDKs do.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Requests of a scenario that may wait.
const REQUESTS_MAX: usize = 16;
/// Participants whose tracks are remembered.
const KNOWN_MAX: usize = 10_000;
/// The version of the client protocol that is announced.
const PROTOCOL: u32 = 16;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A peer connection, and how far it is.
struct Pc {
    id: ConnectionId,
    own: RemoteParameters,
    /// Until the engine has it.
    peer: Option<Peer>,
    connected: Option<oneshot::Receiver<Result<Instant, String>>>,
    done: bool,
}

impl Pc {
    fn new(ticket: &Ticket, role: ConnectionRole) -> Result<Self, JoinError> {
        let salt = if role == ConnectionRole::Publisher { 0 } else { 0x5bd1_e995 };
        let profiles = [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80];
        let peer = Peer::new(ticket.seed ^ salt, &profiles)?;
        let id = ConnectionId { member: ticket.member, role };
        Ok(Self { id, own: peer.remote_parameters(), peer: Some(peer), connected: None, done: false })
    }
}

struct Session<M: Media> {
    media: M,
    socket: Socket,
    mode: Mode,
    started: Instant,
    timings: JoinTimings,
    publisher: Option<Pc>,
    subscriber: Option<Pc>,
    sections: Vec<Section>,
    add_tracks: Vec<AddTrackRequest>,
    /// Client ids of tracks that the server knows.
    published: Vec<String>,
    /// Sections of the server's last answer, for tracks that are not sent yet.
    answered: Vec<RemoteSection>,
    streams_started: bool,
    offers: u32,
    offer_outstanding: bool,
    offer_again: bool,
    joined: bool,
    /// By the participant's identity: the SID of its camera.
    cameras: HashMap<String, String>,
    /// Layers asked of cameras that are not known yet.
    wanted: HashMap<String, u8>,
    host: Option<SocketAddr>,
    /// A description came before its candidates.
    awaiting_candidates: Vec<(ConnectionRole, Remote)>,
}

pub(super) async fn join<M: Media>(endpoint: &Endpoint, ticket: Ticket, media: M) -> Result<Member, JoinError> {
    let started = Instant::now();
    let mut session = Session::open(endpoint, &ticket, media, started).await?;
    session.timings.web_socket = started.elapsed();
    let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
    let (ready, is_ready) = oneshot::channel();
    let task = tokio::spawn(async move {
        // The reason was told while joining; later, a scenario sees that the member is gone.
        let _ = session.run(receiver, ready).await;
    });
    let mut member = Member { timings: JoinTimings::default(), requests, task };
    member.timings = is_ready.await.unwrap_or_else(|_| Err(JoinError::Ended("the session's task ended".to_owned())))?;
    Ok(member)
}

impl<M: Media> Drop for Session<M> {
    fn drop(&mut self) {
        for pc in [&self.publisher, &self.subscriber].into_iter().flatten() {
            self.media.close(pc.id);
        }
    }
}

impl<M: Media> Session<M> {
    async fn open(endpoint: &Endpoint, ticket: &Ticket, media: M, started: Instant) -> Result<Self, JoinError> {
        let token = token::join_token(&endpoint.api_key, &endpoint.api_secret, &ticket.room, &ticket.identity)
            .map_err(JoinError::Token)?;
        let mut random = Random::new(ticket.seed);
        let (mut sections, add_tracks) = own_sections(ticket, &mut random);
        let single = endpoint.mode == Mode::Single;
        if single {
            let receiving =
                |kind, count: u32| std::iter::repeat_with(move || Section::receiving(kind)).take(count as usize);
            sections.extend(receiving(Kind::Audio, ticket.expect.audios));
            sections.extend(receiving(Kind::Video, ticket.expect.videos));
            if sections.is_empty() {
                // Who neither sends nor expects anything needs a transport to wait on.
                sections.extend(receiving(Kind::Audio, 1));
            }
        }
        sections.truncate(SECTIONS_MAX);
        let publishes = single || !ticket.publish.is_empty();
        let publisher = if publishes { Some(Pc::new(ticket, ConnectionRole::Publisher)?) } else { None };
        let subscriber = if single { None } else { Some(Pc::new(ticket, ConnectionRole::Subscriber)?) };
        let query = match publisher.as_ref().filter(|_| single) {
            Some(pc) => join_request(pc, ticket.adaptive_stream, &sections, &add_tracks),
            None => {
                let adaptive = u8::from(ticket.adaptive_stream);
                format!("auto_subscribe=1&adaptive_stream={adaptive}&sdk=rust&version=0.1.0&protocol={PROTOCOL}")
            }
        };
        let socket = connect(endpoint, &token, &query).await?;
        let host = match socket.get_ref() {
            MaybeTlsStream::Plain(stream) => stream.peer_addr().ok(),
            _ => None,
        };
        Ok(Self {
            media,
            socket,
            mode: endpoint.mode,
            started,
            timings: JoinTimings::default(),
            publisher,
            subscriber,
            sections,
            add_tracks,
            published: Vec::new(),
            answered: Vec::new(),
            streams_started: false,
            offers: u32::from(single),
            offer_outstanding: single,
            offer_again: false,
            joined: false,
            cameras: HashMap::new(),
            wanted: HashMap::new(),
            host,
            awaiting_candidates: Vec::new(),
        })
    }

    async fn run(
        &mut self,
        mut requests: mpsc::Receiver<Request>,
        ready: oneshot::Sender<Result<JoinTimings, JoinError>>,
    ) -> Result<(), JoinError> {
        let mut ready = Some(ready);
        let mut ping = tokio::time::interval(PING_INTERVAL);
        ping.reset();
        loop {
            let step = tokio::select! {
                frame = self.socket.next() => match frame {
                    Some(Ok(frame)) => self.handle_frame(frame).await,
                    Some(Err(error)) => Err(JoinError::Ended(error.to_string())),
                    None => Err(JoinError::Ended("the connection was closed".to_owned())),
                },
                request = requests.recv() => match request {
                    Some(Request::Quality { identity, layer }) => self.ask_quality(identity, layer).await,
                    Some(Request::Leave) | None => return self.leave().await,
                },
                result = connected(&mut self.publisher, &mut self.subscriber) => result,
                _ = ping.tick() => self.ping().await,
            };
            if let Err(error) = step {
                if let Some(ready) = ready.take() {
                    // Whoever joined may have given up.
                    let _ = ready.send(Err(error.clone()));
                }
                return Err(error);
            }
            if self.is_ready()
                && let Some(ready) = ready.take()
            {
                self.timings.connected = self.started.elapsed();
                let _ = ready.send(Ok(self.timings));
            }
        }
    }

    fn is_ready(&self) -> bool {
        let connected = [&self.publisher, &self.subscriber].into_iter().flatten().all(|pc| pc.done);
        self.joined && connected && (self.add_tracks.is_empty() || self.streams_started)
    }

    async fn send(&mut self, message: ToServer) -> Result<(), JoinError> {
        let bytes = SignalRequest { message: Some(message) }.encode_to_vec();
        self.socket.send(Frame::Binary(bytes.into())).await.map_err(|error| JoinError::Ended(error.to_string()))
    }

    async fn handle_frame(&mut self, frame: Frame) -> Result<(), JoinError> {
        let bytes = match frame {
            Frame::Binary(bytes) => bytes,
            Frame::Close(close) => {
                let reason = close.map(|close| close.reason.to_string()).unwrap_or_default();
                return Err(JoinError::Ended(format!("closed: {reason}")));
            }
            _ => return Ok(()),
        };
        // A message of a later protocol is passed over.
        let Ok(SignalResponse { message: Some(message) }) = SignalResponse::decode(bytes) else { return Ok(()) };
        self.handle(message).await
    }

    async fn handle(&mut self, message: FromServer) -> Result<(), JoinError> {
        match message {
            FromServer::Join(join) => {
                self.joined = true;
                self.timings.joined = self.started.elapsed();
                self.learn(&join.other_participants).await?;
                if self.mode == Mode::Dual && self.publisher.is_some() {
                    for add_track in self.add_tracks.clone() {
                        self.send(ToServer::AddTrack(add_track)).await?;
                    }
                }
                Ok(())
            }
            FromServer::Answer(answer) => self.handle_answer(&answer).await,
            FromServer::Offer(offer) => self.handle_offer(&offer).await,
            FromServer::Trickle(trickle) => self.handle_trickle(&trickle),
            FromServer::TrackPublished(published) => {
                self.published.push(published.cid);
                let all = self.published.len() >= self.add_tracks.len();
                if all && self.mode == Mode::Dual {
                    self.offer().await?;
                }
                self.start_streams();
                Ok(())
            }
            FromServer::MediaSectionsRequirement(more) => {
                self.add_sections(more.num_audios, more.num_videos);
                self.offer().await
            }
            FromServer::SubscribedQualityUpdate(update) => {
                self.send_wanted_layers(&update);
                Ok(())
            }
            FromServer::Update(update) => self.learn(&update.participants).await,
            FromServer::Leave(leave) => Err(JoinError::Ended(format!("told to leave, reason {}", leave.reason))),
            _ => Ok(()),
        }
    }

    /// Stops layers that nobody receives, and starts them again, as the SDKs do.
    fn send_wanted_layers(&self, update: &SubscribedQualityUpdate) {
        let Some(qualities) = update.subscribed_codecs.first().map(|codec| &codec.qualities) else { return };
        let highest = qualities.iter().filter(|quality| quality.enabled).map(|quality| quality.quality + 1).max();
        if let Some(pc) = &self.publisher {
            self.media.set_layers(pc.id, highest.unwrap_or(0) as u8);
        }
    }

    fn add_sections(&mut self, audios: u32, videos: u32) {
        for (kind, count) in [(Kind::Audio, audios), (Kind::Video, videos)] {
            let room = SECTIONS_MAX.saturating_sub(self.sections.len());
            let more = std::iter::repeat_with(|| Section::receiving(kind)).take((count as usize).min(room));
            self.sections.extend(more);
        }
    }

    async fn offer(&mut self) -> Result<(), JoinError> {
        if self.offer_outstanding {
            self.offer_again = true;
            return Ok(());
        }
        let Some(pc) = &self.publisher else { return Ok(()) };
        self.offers += 1;
        self.offer_outstanding = true;
        let sdp = description::offer(self.offers, &pc.own, &self.sections);
        self.send(ToServer::Offer(described("offer", sdp, self.offers))).await
    }

    async fn handle_answer(&mut self, answer: &SessionDescription) -> Result<(), JoinError> {
        let remote = read(&answer.sdp)?;
        self.offer_outstanding = false;
        self.answered.clone_from(&remote.sections);
        self.open_media(ConnectionRole::Publisher, remote);
        self.start_streams();
        if std::mem::take(&mut self.offer_again) { self.offer().await } else { Ok(()) }
    }

    async fn handle_offer(&mut self, offer: &SessionDescription) -> Result<(), JoinError> {
        let remote = read(&offer.sdp)?;
        let Some(pc) = &self.subscriber else { return Ok(()) };
        let sdp = description::answer(&offer.sdp, &pc.own);
        self.send(ToServer::Answer(described("answer", sdp, offer.id))).await?;
        self.open_media(ConnectionRole::Subscriber, remote);
        Ok(())
    }

    fn handle_trickle(&mut self, trickle: &TrickleRequest) -> Result<(), JoinError> {
        let role = if trickle.target == 0 { ConnectionRole::Publisher } else { ConnectionRole::Subscriber };
        let init: serde_json::Value = serde_json::from_str(&trickle.candidate_init).unwrap_or_default();
        let Some(candidate) = init["candidate"].as_str().and_then(description::read_candidate) else { return Ok(()) };
        if let Some(index) = self.awaiting_candidates.iter().position(|(waiting, _)| *waiting == role) {
            let (role, mut remote) = self.awaiting_candidates.swap_remove(index);
            remote.candidates.push(candidate);
            self.open_media(role, remote);
        }
        Ok(())
    }

    /// Hands the connection to the engine, once; needs a candidate.
    fn open_media(&mut self, role: ConnectionRole, remote: Remote) {
        let server = best_candidate(&remote.candidates, self.host);
        let pc = match role {
            ConnectionRole::Publisher => &mut self.publisher,
            ConnectionRole::Subscriber => &mut self.subscriber,
        };
        let Some(pc) = pc else { return };
        let Some(server) = server else {
            if pc.peer.is_some() {
                self.awaiting_candidates.retain(|(waiting, _)| *waiting != role);
                self.awaiting_candidates.push((role, remote));
            }
            return;
        };
        let Some(mut peer) = pc.peer.take() else { return };
        peer.connect(Instant::now(), remote.ice, remote.fingerprint);
        let (told, connected) = oneshot::channel();
        pc.connected = Some(connected);
        self.media.connect(Connection { id: pc.id, peer, server, connected: told });
    }

    /// Starts what the server has accepted, all at once.
    fn start_streams(&mut self) {
        let Some(pc) = self.publisher.as_ref().filter(|pc| pc.peer.is_none()) else { return };
        let all_published = self.published.len() >= self.add_tracks.len();
        if self.streams_started || self.add_tracks.is_empty() || !all_published {
            return;
        }
        let mut streams = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let Some(sending) = &section.send else { continue };
            let mid = index.to_string();
            let Some(answered) = self.answered.iter().find(|answered| answered.mid == mid && answered.receives) else {
                // Not negotiated yet: the next answer may have it.
                return;
            };
            streams.extend(outgoing(index, section.kind, sending, answered));
        }
        self.streams_started = true;
        self.media.publish(pc.id, streams);
    }

    async fn learn(&mut self, participants: &[ParticipantInfo]) -> Result<(), JoinError> {
        for participant in participants {
            let camera = participant.tracks.iter().find(|track| track.source == TrackSource::Camera as i32);
            let Some(camera) = camera else { continue };
            if self.cameras.len() < KNOWN_MAX && !self.cameras.contains_key(&participant.identity) {
                self.cameras.insert(participant.identity.clone(), camera.sid.clone());
                if let Some(layer) = self.wanted.remove(&participant.identity) {
                    self.ask_quality(participant.identity.clone(), layer).await?;
                }
            }
        }
        Ok(())
    }

    async fn ask_quality(&mut self, identity: String, layer: u8) -> Result<(), JoinError> {
        let Some(sid) = self.cameras.get(&identity) else {
            self.wanted.insert(identity, layer);
            return Ok(());
        };
        let quality = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];
        let quality = quality.get(usize::from(layer)).copied().unwrap_or(VideoQuality::High);
        let setting =
            UpdateTrackSettings { track_sids: vec![sid.clone()], quality: quality as i32, ..Default::default() };
        self.send(ToServer::TrackSetting(setting)).await
    }

    async fn ping(&mut self) -> Result<(), JoinError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = now.as_millis() as i64;
        self.send(ToServer::Ping(timestamp)).await?;
        self.send(ToServer::PingReq(Ping { timestamp, rtt: 0 })).await
    }

    async fn leave(&mut self) -> Result<(), JoinError> {
        self.send(ToServer::Leave(LeaveRequest::default())).await?;
        self.socket.close(None).await.map_err(|error| JoinError::Ended(error.to_string()))
    }
}

/// Waits until one of the connections is connected or has failed; for ever when none is under way.
async fn connected(first: &mut Option<Pc>, second: &mut Option<Pc>) -> Result<(), JoinError> {
    tokio::select! {
        result = wait_for(first.as_mut()) => result,
        result = wait_for(second.as_mut()) => result,
    }
}

async fn wait_for(pc: Option<&mut Pc>) -> Result<(), JoinError> {
    let Some(pc) = pc else { return std::future::pending().await };
    let Some(connected) = pc.connected.as_mut() else { return std::future::pending().await };
    let result = connected.await;
    pc.connected = None;
    match result {
        Ok(Ok(_)) => {
            pc.done = true;
            Ok(())
        }
        Ok(Err(error)) => Err(JoinError::Media(error)),
        Err(_) => Err(JoinError::Media("the media thread has ended".to_owned())),
    }
}

async fn connect(endpoint: &Endpoint, token: &str, query: &str) -> Result<Socket, JoinError> {
    let base = endpoint.url.trim_end_matches('/');
    let base = match base.split_once("://") {
        Some(("http", rest)) => format!("ws://{rest}"),
        Some(("https", rest)) => format!("wss://{rest}"),
        Some(("ws" | "wss", _)) => base.to_owned(),
        _ => return Err(JoinError::Url(endpoint.url.clone())),
    };
    let path = match endpoint.mode {
        Mode::Single => "rtc/v1",
        Mode::Dual => "rtc",
    };
    let url = format!("{base}/{path}?access_token={token}&{query}");
    let config = WebSocketConfig::default().read_buffer_size(4 * 1_024);
    let connected = tokio_tungstenite::connect_async_with_config(url, Some(config), true).await;
    // The error may hold the answer, never the token.
    connected.map(|(socket, _)| socket).map_err(|error| JoinError::WebSocket(error.to_string()))
}

fn join_request(pc: &Pc, adaptive_stream: bool, sections: &[Section], add_tracks: &[AddTrackRequest]) -> String {
    let settings = ConnectionSettings { auto_subscribe: true, adaptive_stream, ..Default::default() };
    let client =
        livekit_protocol::ClientInfo { protocol: PROTOCOL as i32, version: "0.1.0".to_owned(), ..Default::default() };
    let request = JoinRequest {
        client_info: Some(client),
        connection_settings: Some(settings),
        add_track_requests: add_tracks.to_vec(),
        publisher_offer: Some(described("offer", description::offer(1, &pc.own, sections), 1)),
        ..Default::default()
    };
    let wrapped = WrappedJoinRequest { compression: 0, join_request: request.encode_to_vec() };
    format!("join_request={}", URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec()))
}

fn described(kind: &str, sdp: String, id: u32) -> SessionDescription {
    SessionDescription { r#type: kind.to_owned(), sdp, id, ..Default::default() }
}

fn read(sdp: &str) -> Result<Remote, JoinError> {
    description::read(sdp).map_err(|reason| JoinError::Description(reason.to_owned()))
}

/// The address that signalling goes to, where media is there too; else any of its family; else the first.
fn best_candidate(candidates: &[SocketAddr], host: Option<SocketAddr>) -> Option<SocketAddr> {
    let same_host = candidates.iter().find(|candidate| host.is_some_and(|host| host.ip() == candidate.ip()));
    let same_family =
        candidates.iter().find(|candidate| host.is_some_and(|host| host.is_ipv4() == candidate.is_ipv4()));
    same_host.or(same_family).or(candidates.first()).copied()
}
