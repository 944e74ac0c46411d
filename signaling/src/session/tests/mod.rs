//! The protocol edge over real sockets, with a media plane that only listens.

mod door;

use super::router;
use crate::access::{ApiKeys, Claims, VideoGrants};
use crate::rooms::{Hooks, Rooms, RoomsConfig};
use crate::stats::{JoinResult, SessionEnd};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use consilium_media_core::control::{Command, DataChannelId, Event, Reliability, RoomEvent};
use consilium_media_core::ids::{PeerId, RoomId};
use consilium_media_net::handle::MediaHandle;
use futures_util::{SinkExt, StreamExt};
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DataPacket, DisconnectReason, JoinRequest, JoinResponse, LeaveRequest, ParticipantPermission, Ping,
    RoomParticipantIdentity, SessionDescription, SignalRequest, SignalResponse, TrickleRequest,
    UpdateParticipantRequest, UpdateRoomMetadataRequest, UserPacket, WrappedJoinRequest, data_packet,
};
use prost::Message as _;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// No answer takes this long on a loopback socket; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const RELIABLE: DataChannelId = DataChannelId::new(1);
const LOSSY: DataChannelId = DataChannelId::new(3);

struct Server {
    address: String,
    rooms: Rooms,
    keys: Arc<ApiKeys>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<RoomEvent>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn server(config: RoomsConfig) -> Server {
    server_with(config, Hooks::default()).await
}

async fn server_with(config: RoomsConfig, hooks: Hooks) -> Server {
    let keys = Arc::new(ApiKeys::single("key", "a secret of enough length to be a secret"));
    let (media, commands) = MediaHandle::detached();
    let (events, receiver) = mpsc::channel(64);
    let rooms = Rooms::start(config, hooks, keys.clone(), media, receiver);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = router(rooms.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server { address, rooms, keys, commands, events }
}

fn claims(identity: &str) -> Claims {
    Claims {
        identity: identity.into(),
        video: VideoGrants { room: "mdt".into(), room_join: true, ..Default::default() },
        ..Default::default()
    }
}

impl Server {
    fn token(&self, claims: &Claims) -> String {
        self.keys.sign(claims, SystemTime::now(), Duration::from_secs(60)).unwrap()
    }

    async fn connect(&self, path_and_query: &str) -> Result<Socket, Error> {
        connect_async(format!("ws://{}{path_and_query}", self.address)).await.map(|(socket, _)| socket)
    }

    async fn join(&self, identity: &str) -> (Socket, JoinResponse) {
        self.join_as(&claims(identity)).await
    }

    async fn join_as(&self, claims: &Claims) -> (Socket, JoinResponse) {
        let token = self.token(claims);
        let mut socket = self.connect(&format!("/rtc/v1?access_token={token}")).await.unwrap();
        match receive(&mut socket).await {
            Some(Message::Join(join)) => (socket, join),
            other => panic!("the first message is {other:?}"),
        }
    }

    /// Whom the media plane was told to expect.
    async fn peer(&mut self) -> (PeerId, RoomId) {
        loop {
            match self.commands.recv().await {
                Some(Command::AddPeer { peer, room, .. }) => return (peer, room),
                Some(_) => {}
                None => panic!("no peer"),
            }
        }
    }

    async fn event(&self, room: RoomId, event: Event) {
        let sent = self.events.send(RoomEvent { room, event });
        tokio::time::timeout(PATIENCE, sent).await.expect("events are taken in time").unwrap();
    }

    /// The connection is up, with both data channels.
    async fn connect_media(&self, (peer, room): (PeerId, RoomId)) {
        self.event(room, Event::PeerConnected { peer }).await;
        let channels = [(RELIABLE, "_reliable", Reliability::Reliable), (LOSSY, "_lossy", Reliability::Lossy)];
        for (channel, label, reliability) in channels {
            self.event(room, Event::DataChannelOpened { peer, channel, label: label.into(), reliability }).await;
        }
    }

    fn ended(&self, end: SessionEnd) -> u64 {
        let ends = self.rooms.stats().snapshot().session_ends;
        ends.into_iter().find(|(known, _)| *known == end).map(|(_, count)| count).unwrap()
    }

    fn joins(&self, result: JoinResult) -> u64 {
        let joins = self.rooms.stats().snapshot().joins;
        joins.into_iter().find(|(known, _)| *known == result).map(|(_, count)| count).unwrap()
    }

    /// Waits for a condition that another task brings about.
    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            let mut poll = tokio::time::interval(Duration::from_millis(5));
            while !condition(self) {
                poll.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the condition holds in time");
    }
}

async fn send(socket: &mut Socket, request: Request) {
    let message = SignalRequest { message: Some(request) };
    socket.send(Frame::Binary(message.encode_to_vec().into())).await.unwrap();
}

/// The next message; `None` when the server closed.
async fn receive(socket: &mut Socket) -> Option<Message> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message comes in time")? {
            Ok(Frame::Binary(bytes)) => return SignalResponse::decode(&bytes[..]).unwrap().message,
            Ok(Frame::Text(text)) => return serde_json::from_str::<SignalResponse>(&text).unwrap().message,
            Ok(Frame::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn receive_until<T>(socket: &mut Socket, find: impl Fn(Message) -> Option<T>) -> T {
    loop {
        let message = receive(socket).await.expect("the session stays open");
        if let Some(found) = find(message) {
            return found;
        }
    }
}

/// The close code that the server sent, and its reason.
async fn goodbye<S>(socket: &mut S) -> (u16, String)
where
    S: futures_util::Stream<Item = Result<Frame, Error>> + Unpin,
{
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("the server closes in time") {
            Some(Ok(Frame::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
            Some(Ok(_)) => {}
            other => panic!("no close frame but {other:?}"),
        }
    }
}

async fn close_code(socket: &mut Socket) -> u16 {
    goodbye(socket).await.0
}

/// Pings like an SDK, and does nothing else, until the server says goodbye. Returns what it said.
async fn only_ping(socket: Socket) -> (Vec<Message>, (u16, String)) {
    let (mut sink, mut stream) = socket.split();
    let mut heard = Vec::new();
    loop {
        let ping = SignalRequest { message: Some(Request::PingReq(Ping::default())) };
        // Fails once the server has closed.
        let _ = sink.send(Frame::Binary(ping.encode_to_vec().into())).await;
        let pause = tokio::time::sleep(Duration::from_secs(2));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                frame = stream.next() => match frame.expect("a goodbye comes first").unwrap() {
                    Frame::Binary(bytes) => heard.extend(SignalResponse::decode(&bytes[..]).unwrap().message),
                    Frame::Close(Some(frame)) => return (heard, (frame.code.into(), frame.reason.to_string())),
                    _ => {}
                },
            }
        }
    }
}

fn leave(message: Message) -> Option<LeaveRequest> {
    match message {
        Message::Leave(leave) => Some(leave),
        _ => None,
    }
}

fn refusal(result: Result<Socket, Error>) -> (StatusCode, bool, String) {
    let Err(Error::Http(response)) = result else { panic!("not refused by HTTP") };
    let cors = response.headers().get("access-control-allow-origin").is_some_and(|origin| origin == "*");
    let body = response.body().clone().unwrap_or_default();
    (response.status(), cors, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_very_long_url_is_accepted() {
    let server = server(RoomsConfig::default()).await;
    let token = server.token(&claims("alice"));
    let padding = "x".repeat(60_000);
    let mut socket = server.connect(&format!("/rtc?access_token={token}&device_model={padding}")).await.unwrap();
    assert!(matches!(receive(&mut socket).await, Some(Message::Join(_))));
}

#[tokio::test]
async fn a_client_that_writes_text_is_answered_in_text() {
    let server = server(RoomsConfig::default()).await;
    let (mut socket, _) = server.join("alice").await;
    let ping = SignalRequest { message: Some(Request::PingReq(Ping { timestamp: 42, rtt: 0 })) };
    socket.send(Frame::Text(serde_json::to_string(&ping).unwrap().into())).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Frame::Text(text) => {
                assert!(text.contains("pongResp") && text.contains("42"), "{text}");
                return;
            }
            // What was under way before.
            Frame::Binary(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The next answer in text that `find` accepts; every answer must be text.
async fn receive_json<T>(socket: &mut Socket, find: impl Fn(&serde_json::Value) -> Option<T>) -> T {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message comes in time").unwrap().unwrap() {
            Frame::Text(text) => {
                if let Some(found) = find(&serde_json::from_str(&text).unwrap()) {
                    return found;
                }
            }
            other => panic!("{other:?} in answer to text"),
        }
    }
}

/// Written by hand, as somebody would who has only the protocol's JSON form.
#[tokio::test]
async fn a_whole_meeting_can_be_negotiated_in_text() {
    const PUBLISH: &str = include_str!("../../negotiation/tests/sdp/chromium_publish_single.sdp");
    const MICROPHONE: &str = "8d7822d2-144d-46e8-aaac-35719a358339";
    let mut server = server(RoomsConfig::default()).await;
    let (mut bob, _) = server.join("bob").await;
    server.peer().await;
    // The join response comes before the client has written anything, so it is binary.
    let (mut alice, _) = server.join("alice").await;
    let media = server.peer().await;
    let say = |json: serde_json::Value| Frame::Text(json.to_string().into());
    alice.send(say(json!({"pingReq": {"timestamp": "42"}}))).await.unwrap();
    let pong = receive_json(&mut alice, |message| message["pongResp"]["lastPingTimestamp"].as_str().map(str::to_owned));
    assert_eq!(pong.await, "42");
    let track = json!({"cid": MICROPHONE, "name": "voice", "type": "AUDIO", "source": "MICROPHONE"});
    alice.send(say(json!({"addTrack": track}))).await.unwrap();
    let sid = receive_json(&mut alice, |message| {
        let published = &message["trackPublished"];
        (published["cid"] == MICROPHONE).then(|| published["track"]["sid"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(sid.starts_with("TR_"));
    alice.send(say(json!({"offer": {"type": "offer", "sdp": PUBLISH, "id": 7}}))).await.unwrap();
    let answer = receive_json(&mut alice, |message| message.get("answer").cloned()).await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("answer"), &json!(7)));
    assert!(answer["sdp"].as_str().unwrap().starts_with("v=0"));
    let candidate = json!({"candidate": "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host", "sdpMid": "0"});
    let trickle = json!({"candidateInit": candidate.to_string(), "target": "PUBLISHER"});
    alice.send(say(json!({"trickle": trickle}))).await.unwrap();
    server.connect_media(media).await;
    let state = receive_json(&mut alice, |message| {
        let own = message["update"]["participants"].as_array()?.iter().find(|info| info["identity"] == "alice")?;
        (own["state"] == "ACTIVE").then(|| own["tracks"][0]["name"].as_str().unwrap().to_owned())
    });
    assert_eq!(state.await, "voice");
    let name = receive_until(&mut bob, |message| match message {
        Message::Update(update) => update.participants.into_iter().find_map(|mut info| info.tracks.pop()),
        _ => None,
    });
    assert_eq!(name.await.sid, sid);
    alice.send(say(json!({"mute": {"sid": sid, "muted": true}}))).await.unwrap();
    receive_until(&mut bob, |message| match message {
        Message::Update(update) => {
            update.participants.iter().any(|info| info.tracks.iter().any(|track| track.muted)).then_some(())
        }
        _ => None,
    })
    .await;
    alice.send(say(json!({"leave": {}}))).await.unwrap();
    assert_eq!(goodbye(&mut alice).await, (1000, "left".into()));
}

#[tokio::test]
async fn what_cannot_be_read_closes_the_session_and_is_counted() {
    let server = server(RoomsConfig::default()).await;
    let (mut witness, _) = server.join("witness").await;
    let trickle = TrickleRequest { candidate_init: "not JSON".into(), ..Default::default() };
    let offer = SessionDescription { sdp: "v=1".into(), r#type: "offer".into(), ..Default::default() };
    let binary = |request| Frame::Binary(SignalRequest { message: Some(request) }.encode_to_vec().into());
    let frames = [
        Frame::Binary(vec![0xff; 40].into()),
        Frame::Text("{\"no\": ".into()),
        binary(Request::Offer(offer)),
        binary(Request::Trickle(trickle)),
    ];
    for (index, frame) in frames.into_iter().enumerate() {
        let (mut socket, _) = server.join(&format!("mallory{index}")).await;
        socket.send(frame).await.unwrap();
        assert_eq!(close_code(&mut socket).await, 1007);
        drop(socket);
        server.until(|server| server.ended(SessionEnd::Malformed) == index as u64 + 1).await;
    }
    assert_eq!(server.rooms.stats().snapshot().malformed, 4);
    send(&mut witness, Request::PingReq(Ping::default())).await;
    receive_until(&mut witness, |message| matches!(message, Message::PongResp(_)).then_some(())).await;
}

#[tokio::test]
async fn a_message_over_the_limit_closes_the_session() {
    let server = server(RoomsConfig::default()).await;
    let (mut socket, _) = server.join("alice").await;
    socket.send(Frame::Binary(vec![0; 600 * 1024].into())).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 1009);
    drop(socket);
    server.until(|server| server.ended(SessionEnd::MessageTooLarge) == 1).await;
    // One that is larger still is not even taken into memory. Like a browser, the client reads while it writes.
    let (socket, _) = server.join("bob").await;
    let (mut sink, mut stream) = socket.split();
    let writing = tokio::spawn(async move { sink.send(Frame::Binary(vec![0; 8 << 20].into())).await });
    assert_eq!(goodbye(&mut stream).await, (1009, "message_too_large".into()));
    drop(stream);
    server.until(|server| server.ended(SessionEnd::MessageTooLarge) == 2).await;
    let _ = writing.await;
    assert_eq!(server.rooms.stats().snapshot().sessions, 0);
}

#[tokio::test]
async fn text_that_is_no_text_closes_the_session_as_malformed() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame as RawFrame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let server = server(RoomsConfig::default()).await;
    let (mut socket, _) = server.join("alice").await;
    let text = RawFrame::message(vec![0xc3, 0x28], OpCode::Data(Data::Text), true);
    socket.send(Frame::Frame(text)).await.unwrap();
    assert_eq!(goodbye(&mut socket).await, (1007, "malformed".into()));
    drop(socket);
    server.until(|server| server.ended(SessionEnd::Malformed) == 1).await;
    assert_eq!(server.rooms.stats().snapshot().malformed, 1);
}

fn join_request(request: &JoinRequest) -> String {
    let wrapped = WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
    URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec())
}

#[tokio::test]
async fn a_join_request_that_cannot_be_read_is_refused_in_a_way_that_every_page_can_read() {
    let server = server(RoomsConfig::default()).await;
    let token = server.token(&claims("alice"));
    let not_a_request = URL_SAFE_NO_PAD.encode([0xff; 40]);
    for (index, request) in ["no base64!", not_a_request.as_str()].into_iter().enumerate() {
        let path = format!("/rtc/v1?access_token={token}&join_request={}", request.replace(' ', "%20"));
        let (status, cors, body) = refusal(server.connect(&path).await);
        assert_eq!((status, cors, body.as_str()), (StatusCode::BAD_REQUEST, true, "the join request cannot be read"));
        assert_eq!(server.joins(JoinResult::Malformed), index as u64 + 1);
    }
    let path = format!("/rtc?access_token={token}&attributes=no-json");
    assert_eq!(refusal(server.connect(&path).await).0, StatusCode::BAD_REQUEST);
    assert_eq!(server.rooms.stats().snapshot().participants, 0);
}

#[tokio::test]
async fn a_join_request_with_a_bad_description_joins_nobody_and_says_why() {
    let server = server(RoomsConfig::default()).await;
    let (mut witness, _) = server.join("witness").await;
    let offer = SessionDescription { sdp: "v=1".into(), r#type: "offer".into(), ..Default::default() };
    let request = JoinRequest { publisher_offer: Some(offer), ..Default::default() };
    let token = server.token(&claims("mallory"));
    let path = format!("/rtc/v1?access_token={token}&join_request={}", join_request(&request));
    let mut socket = server.connect(&path).await.unwrap();
    assert_eq!(receive_until(&mut socket, leave).await.reason(), DisconnectReason::JoinFailure);
    assert_eq!(goodbye(&mut socket).await, (1007, "malformed".into()));
    drop(socket);
    server.until(|server| server.ended(SessionEnd::Malformed) == 1).await;
    let snapshot = server.rooms.stats().snapshot();
    assert_eq!((snapshot.malformed, snapshot.participants), (1, 1));
    send(&mut witness, Request::PingReq(Ping::default())).await;
    receive_until(&mut witness, |message| matches!(message, Message::PongResp(_)).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_never_answers_an_offer_is_closed_with_that_reason() {
    let server = server(RoomsConfig::default()).await;
    let token = server.token(&claims("alice"));
    let socket = server.connect(&format!("/rtc?access_token={token}")).await.unwrap();
    // From here on time passes whenever nobody has anything to do.
    tokio::time::pause();
    let (heard, end) = only_ping(socket).await;
    assert!(heard.iter().any(|message| matches!(message, Message::Offer(_))));
    assert_eq!(end, (1008, "no_answer".into()));
    server.until(|server| server.ended(SessionEnd::NoAnswer) == 1).await;
    assert_eq!(server.rooms.stats().snapshot().participants, 0);
}

#[tokio::test]
async fn a_client_that_never_connects_its_media_is_closed_with_that_reason() {
    let server = server(RoomsConfig::default()).await;
    let (socket, _) = server.join("alice").await;
    tokio::time::pause();
    let (heard, end) = only_ping(socket).await;
    assert_eq!(heard.into_iter().find_map(leave).unwrap().reason(), DisconnectReason::JoinFailure);
    assert_eq!(end, (1000, "media_failed".into()));
    server.until(|server| server.ended(SessionEnd::MediaFailed) == 1).await;
    assert_eq!(server.rooms.stats().snapshot().participants, 0);
}

#[tokio::test]
async fn a_flood_closes_the_session_and_the_others_go_on() {
    let server = server(RoomsConfig::default()).await;
    let (mut witness, _) = server.join("witness").await;
    let (mut socket, _) = server.join("mallory").await;
    for _ in 0..2_000 {
        let ping = SignalRequest { message: Some(Request::Ping(1)) };
        if socket.feed(Frame::Binary(ping.encode_to_vec().into())).await.is_err() {
            break;
        }
    }
    let _ = socket.flush().await;
    assert_eq!(goodbye(&mut socket).await, (1008, "flood".into()));
    drop(socket);
    server.until(|server| server.ended(SessionEnd::Flood) == 1).await;
    send(&mut witness, Request::PingReq(Ping::default())).await;
    receive_until(&mut witness, |message| matches!(message, Message::PongResp(_)).then_some(())).await;
}

fn user_packet(payload: &[u8]) -> Bytes {
    let user = UserPacket { payload: payload.to_vec(), ..Default::default() };
    DataPacket { value: Some(data_packet::Value::User(user)), ..Default::default() }.encode_to_vec().into()
}

/// Waits until somebody is seen in a state.
async fn sees(socket: &mut Socket, identity: &str, state: State) {
    receive_until(socket, |message| match message {
        Message::Update(update) => {
            update.participants.into_iter().find(|info| info.identity == identity && info.state() == state).map(drop)
        }
        _ => None,
    })
    .await;
}

/// Nobody takes the media commands, so the room that sends some is stuck.
#[tokio::test]
async fn a_room_stuck_behind_a_flood_holds_up_no_other_and_only_its_flooder_is_ended() {
    let mut server = server(RoomsConfig::default()).await;
    let (mut alice, _) = server.join("alice").await;
    let flooder = server.peer().await;
    let (mut bob, _) = server.join("bob").await;
    let witness = server.peer().await;
    let elsewhere = VideoGrants { room: "elsewhere".into(), ..claims("carol").video };
    let (mut carol, _) = server.join_as(&Claims { video: elsewhere, ..claims("carol") }).await;
    let other = server.peer().await;
    server.connect_media(flooder).await;
    server.connect_media(witness).await;
    sees(&mut bob, "alice", State::Active).await;
    let (peer, room) = flooder;
    let flood = async |channel| {
        let payload = user_packet(&[7; 1_000]);
        for _ in 0..20_000 {
            server.event(room, Event::Data { peer, channel, binary: true, payload: payload.clone() }).await;
        }
    };
    flood(LOSSY).await;
    assert!(server.rooms.stats().snapshot().events_dropped > 10_000);
    server.connect_media(other).await;
    sees(&mut carol, "carol", State::Active).await;
    flood(RELIABLE).await;
    assert_eq!(server.rooms.stats().snapshot().sessions, 3);
    // The media plane works again, and the room gets to what waits.
    let mut commands = std::mem::replace(&mut server.commands, mpsc::channel(1).1);
    let media = tokio::spawn(async move { while commands.recv().await.is_some() {} });
    assert_eq!(close_code(&mut alice).await, 1008);
    sees(&mut bob, "alice", State::Disconnected).await;
    server.until(|server| server.ended(SessionEnd::DataFlood) == 1).await;
    send(&mut bob, Request::PingReq(Ping::default())).await;
    receive_until(&mut bob, |message| matches!(message, Message::PongResp(_)).then_some(())).await;
    media.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_the_others_miss_nothing() {
    let server = server(RoomsConfig::default()).await;
    let (mut slow, _) = server.join("slow").await;
    let (mut witness, _) = server.join("witness").await;
    // Twice what may wait for a client in bytes, and what the sockets hold; in messages, not nearly what may wait.
    const UPDATES: usize = 450;
    let reading = tokio::spawn(async move {
        let mut updates = 0;
        while updates < UPDATES {
            let message = receive(&mut witness).await.expect("the witness stays");
            updates += usize::from(matches!(
                message,
                Message::RoomUpdate(update) if !update.room.as_ref().unwrap().metadata.is_empty()
            ));
        }
        witness
    });
    for _ in 0..UPDATES {
        let request = UpdateRoomMetadataRequest { room: "mdt".into(), metadata: "x".repeat(60_000) };
        server.rooms.update_room_metadata(request).await.unwrap();
        // The witness gets the processor; what is measured is who is cut off, not how fast the loop is.
        tokio::task::yield_now().await;
    }
    assert_eq!(goodbye(&mut slow).await, (1008, "slow_reader".into()));
    drop(slow);
    let _witness = tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    server.until(|server| server.ended(SessionEnd::SlowReader) == 1).await;
}

#[tokio::test]
async fn a_silent_client_is_given_up_after_the_ping_timeout() {
    let server = server(RoomsConfig::default()).await;
    let (mut socket, _) = server.join("alice").await;
    // From here on time passes whenever nobody has anything to do.
    tokio::time::pause();
    assert_eq!(goodbye(&mut socket).await, (1008, "ping_timeout".into()));
    server.until(|server| server.ended(SessionEnd::PingTimeout) == 1).await;
}

#[tokio::test]
async fn a_connection_event_reaches_its_room_and_everybody_in_it() {
    let mut server = server(RoomsConfig::default()).await;
    let (_alice, _) = server.join("alice").await;
    let Some(Command::AddPeer { peer, room, .. }) = server.commands.recv().await else { panic!("no peer") };
    let (mut bob, _) = server.join("bob").await;
    // Alice never offered, so nobody knows of her until her connection is there.
    server.events.send(RoomEvent { room, event: Event::PeerConnected { peer } }).await.unwrap();
    let alice = receive_until(&mut bob, |message| match message {
        Message::Update(update) => update.participants.into_iter().find(|info| info.identity == "alice"),
        _ => None,
    })
    .await;
    assert_eq!(alice.state(), State::Active);
}

/// Browsers report a socket that ends without the closing handshake (RFC 6455 section 7.1.4) as an error.
#[tokio::test]
async fn a_client_that_closes_first_gets_the_closing_handshake() {
    let server = server(RoomsConfig::default()).await;
    for say_leave in [false, true] {
        let (mut socket, _) = server.join("anna").await;
        if say_leave {
            send(&mut socket, Request::Leave(LeaveRequest::default())).await;
        }
        socket.close(None).await.unwrap();
        while let Some(frame) = socket.next().await {
            assert!(frame.is_ok(), "{frame:?}");
        }
    }
}

#[tokio::test]
async fn a_removed_participant_is_told_before_the_socket_closes() {
    let server = server(RoomsConfig::default()).await;
    let (mut alice, _) = server.join("alice").await;
    let request = RoomParticipantIdentity { room: "mdt".into(), identity: "alice".into(), ..Default::default() };
    server.rooms.remove_participant(request).await.unwrap();
    let leave = receive_until(&mut alice, leave).await;
    assert_eq!(leave.reason(), DisconnectReason::ParticipantRemoved);
    assert_eq!(close_code(&mut alice).await, 1000);
    drop(alice);
    server.until(|server| server.ended(SessionEnd::Removed) == 1).await;
}

#[tokio::test]
async fn a_lost_session_resumes_over_a_new_socket_and_a_strangers_does_not() {
    let server = server(RoomsConfig::default()).await;
    let (alice, join) = server.join("alice").await;
    let sid = join.participant.unwrap().sid;
    drop(alice);
    server.until(|server| server.ended(SessionEnd::ConnectionLost) == 1).await;
    let token = server.token(&claims("alice"));
    let resume = |sid: &str| format!("/rtc?access_token={token}&reconnect=1&sid={sid}");
    let mut socket = server.connect(&resume(&sid)).await.unwrap();
    assert!(matches!(receive(&mut socket).await, Some(Message::Reconnect(_))));
    let mut stranger = server.connect(&resume("PA_stranger")).await.unwrap();
    assert!(receive(&mut stranger).await.and_then(leave).is_some());
    let video = VideoGrants { room: "nowhere".into(), ..claims("alice").video };
    let token = server.token(&Claims { video, ..claims("alice") });
    let mut nowhere = server.connect(&format!("/rtc?access_token={token}&reconnect=1&sid={sid}")).await.unwrap();
    assert!(receive(&mut nowhere).await.and_then(leave).is_some());
    assert_eq!(server.rooms.stats().snapshot().rooms, 1);
}

#[tokio::test]
async fn shutdown_says_goodbye_and_joins_every_task() {
    let server = server(RoomsConfig::default()).await;
    let (mut alice, _) = server.join("alice").await;
    let client = tokio::spawn(async move { receive_until(&mut alice, leave).await });
    server.rooms.shutdown().await;
    assert_eq!(client.await.unwrap().reason(), DisconnectReason::ServerShutdown);
    let snapshot = server.rooms.stats().snapshot();
    assert_eq!((snapshot.rooms, snapshot.participants, snapshot.sessions), (0, 0, 0));
    let token = server.token(&claims("bob"));
    let (status, ..) = refusal(server.connect(&format!("/rtc/v1?access_token={token}")).await);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_changed_grant_comes_with_a_token_that_says_so_and_lives_no_longer() {
    let server = server(RoomsConfig::default()).await;
    let (mut alice, _) = server.join("alice").await;
    let permission = ParticipantPermission { can_subscribe: true, ..Default::default() };
    let request = UpdateParticipantRequest {
        room: "mdt".into(),
        identity: "alice".into(),
        name: "Observer".into(),
        permission: Some(permission),
        ..Default::default()
    };
    server.rooms.update_participant(request).await.unwrap();
    let token = receive_until(&mut alice, |message| match message {
        Message::RefreshToken(token) => Some(token),
        _ => None,
    })
    .await;
    let before = server.keys.verify(&server.token(&claims("alice")), SystemTime::now()).unwrap();
    let after = server.keys.verify(&token, SystemTime::now()).unwrap();
    assert_eq!((after.identity.as_str(), after.name.as_str()), ("alice", "Observer"));
    assert_eq!(after.join_room(), Ok("mdt"));
    assert!(after.video.may_subscribe() && !after.video.may_publish_data());
    assert!(!after.video.may_publish(livekit_protocol::TrackSource::Camera));
    assert!(after.exp <= before.exp + 1);
}
