//! What happens to a meeting reaches those in its room over the data channel: in a room with a media plane that only listens,
//! so that every message to everybody can be looked at.

use crate::databases::databases;
use consilium::door::MeetingDoor;
use consilium::ids::{InvitationId, MeetingId};
use consilium::live::Live;
use consilium::live::bells::Bells;
use consilium::meetings::admission::{Lobby, claims};
use consilium::meetings::invitation::{Invitation, LinkSecret, Role};
use consilium::meetings::meeting::{Meeting, MeetingPlan, Settings};
use consilium::meetings::schedule::Wanted;
use consilium::moment::Moment;
use consilium::store::Store;
use consilium::store::events::NewEvent;
use consilium::text::Name;
use consilium_media_core::control::{Command, DataChannelId, Event, Reliability, RoomEvent};
use consilium_media_core::ids::PeerId;
use consilium_media_net::handle::MediaHandle;
use consilium_signaling::access::ApiKeys;
use consilium_signaling::rooms::{Hooks, Rooms, RoomsConfig};
use livekit_protocol::data_packet::Value as PacketValue;
use livekit_protocol::{DataPacket, UserPacket};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;

const PATIENCE: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

fn meeting() -> Meeting {
    let start = Moment::now().to_rfc3339();
    let plan = MeetingPlan {
        title: Name::new("Lung MDT").unwrap(),
        schedule: Wanted { start: &start[..19], time_zone: "UTC", duration_minutes: 60, recurrence: None },
        capacity: 10,
        lobby: Lobby::Nobody,
        required_specialties: Vec::new(),
        settings: Settings::default(),
    };
    plan.check().unwrap().into_meeting("test".into(), Moment::now())
}

fn invitation(meeting: &MeetingId, role: Role) -> Invitation {
    let now = Moment::now();
    let link = LinkSecret::new(InvitationId::new(now));
    Invitation {
        id: link.id().clone(),
        meeting: meeting.clone(),
        name: Name::new("Dr One").unwrap(),
        role,
        specialty: None,
        site: None,
        email: None,
        link_hash: link.hash(),
        link_expires_at: now.plus(MINUTE * 60),
        revoked_at: None,
        link_renewed_at: None,
        version: 1,
        created_at: now,
    }
}

/// What the media plane is told to send: to whom, and the event in it.
async fn next_event(commands: &mut mpsc::Receiver<Command>) -> (PeerId, Value) {
    loop {
        let command = tokio::time::timeout(PATIENCE, commands.recv()).await.expect("a message in time").unwrap();
        let Command::SendData { peer, payload, .. } = command else { continue };
        let packet = DataPacket::decode(payload).unwrap();
        assert_eq!(packet.participant_identity, "", "the server is no participant");
        let Some(PacketValue::User(UserPacket { topic, payload, .. })) = packet.value else { panic!("{packet:?}") };
        assert_eq!(topic.as_deref(), Some("consilium.event"));
        return (peer, serde_json::from_slice(&payload).unwrap());
    }
}

async fn append(store: &Store, meeting: &MeetingId, kind: &'static str) -> Instant {
    let mut write = store.write().await.unwrap();
    let body = json!({"meeting": meeting});
    write.append_event(Moment::now(), &NewEvent { kind, subject: meeting.as_str(), body }).await.unwrap();
    write.commit().await.unwrap();
    Instant::now()
}

#[tokio::test]
async fn a_knock_reaches_the_hosts_within_a_second_and_a_case_everybody() {
    for database in databases().await {
        let store = database.open().await;
        let (media, mut commands) = MediaHandle::detached();
        let (media_events, receiver) = mpsc::channel(64);
        let keys = Arc::new(ApiKeys::single("key", "a secret of enough length to be a secret"));
        let hooks = Hooks { door: Arc::new(MeetingDoor::new(store.clone())), ..Hooks::default() };
        let rooms = Rooms::start(RoomsConfig::default(), hooks, keys.clone(), media, receiver);
        let live = Live::start(store.clone(), rooms.clone(), Bells::default()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = consilium_signaling::session::router(rooms.clone());
        let http = tokio::spawn(async move { axum::serve(listener, router).await });

        let meeting = meeting();
        let mut write = store.write().await.unwrap();
        write.insert_meeting(&meeting).await.unwrap();
        let people = [Role::Chair, Role::Core, Role::Coordinator].map(|role| invitation(&meeting.id, role));
        for person in &people {
            write.insert_invitation(person).await.unwrap();
        }
        write.commit().await.unwrap();
        let (mut sockets, mut peers) = (Vec::new(), Vec::new());
        for person in &people {
            let token = keys.sign(&claims(&meeting, person, None), SystemTime::now(), MINUTE).unwrap();
            sockets.push(connect_async(format!("ws://{address}/rtc/v1?access_token={token}")).await.unwrap());
            let (peer, room) = loop {
                let command = tokio::time::timeout(PATIENCE, commands.recv()).await.expect("a peer in time").unwrap();
                if let Command::AddPeer { peer, room, .. } = command {
                    break (peer, room);
                }
            };
            for event in [
                Event::PeerConnected { peer },
                Event::DataChannelOpened {
                    peer,
                    channel: DataChannelId::new(1),
                    label: "_reliable".into(),
                    reliability: Reliability::Reliable,
                },
            ] {
                media_events.send(RoomEvent { room, event }).await.unwrap();
            }
            peers.push(peer);
        }
        let [chair, core, coordinator] = peers[..] else { panic!("three came") };

        let knocked_at = append(&store, &meeting.id, "lobby.knocked").await;
        let mut hearers = BTreeSet::new();
        for _ in 0..2 {
            let (peer, event) = next_event(&mut commands).await;
            assert_eq!((&event["kind"], &event["subject"]), (&json!("lobby.knocked"), &json!(meeting.id)), "{event}");
            assert_eq!((&event["sequence"], &event["body"]["meeting"]), (&json!(1), &json!(meeting.id)));
            hearers.insert(peer);
        }
        assert!(knocked_at.elapsed() < Duration::from_secs(1), "{}: {:?}", database.name, knocked_at.elapsed());
        assert_eq!(hearers, BTreeSet::from([chair, coordinator]), "{}", database.name);

        append(&store, &meeting.id, "case.started").await;
        let mut hearers = BTreeSet::new();
        for _ in 0..3 {
            let (peer, event) = next_event(&mut commands).await;
            // So nobody else heard the knock in between.
            assert_eq!(event["kind"], "case.started");
            hearers.insert(peer);
        }
        assert_eq!(hearers, BTreeSet::from([chair, core, coordinator]), "{}", database.name);
        rooms.shutdown().await;
        live.shutdown().await;
        http.abort();
        store.close().await;
    }
}

#[tokio::test]
async fn events_that_another_server_writes_are_seen_too() {
    let database = crate::databases::Database::sqlite();
    let (store, other) = (database.open().await, database.open().await);
    let (media, _commands) = MediaHandle::detached();
    let (_media_events, receiver) = mpsc::channel(1);
    let keys = Arc::new(ApiKeys::single("key", "a secret of enough length to be a secret"));
    let rooms = Rooms::start(RoomsConfig::default(), Hooks::default(), keys, media, receiver);
    let bells = Bells::default();
    let live = Live::start(store.clone(), rooms.clone(), bells.clone()).await.unwrap();
    let meeting = MeetingId::new(Moment::now());
    let mut listening = bells.listen(&InvitationId::new(Moment::now()), &meeting).unwrap();
    append(&other, &meeting, "meeting.ended").await;
    assert!(tokio::time::timeout(PATIENCE, listening.rung()).await.expect("a ring in time"));
    bells.close();
    assert!(!listening.rung().await);
    rooms.shutdown().await;
    live.shutdown().await;
}
