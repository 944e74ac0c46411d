//! Tests of the server API's edge: routes, encodings, authorisation and errors. What the verbs do is tested with rooms.

use super::*;
use crate::access::VideoGrants;
use crate::rooms::{Hooks, RoomsConfig};
use axum::http::StatusCode;
use consilium_media_net::handle::MediaHandle;
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

const METHODS: &[&str] = &[
    "CreateRoom",
    "ListRooms",
    "DeleteRoom",
    "ListParticipants",
    "GetParticipant",
    "RemoveParticipant",
    "MutePublishedTrack",
    "UpdateParticipant",
    "UpdateSubscriptions",
    "SendData",
    "UpdateRoomMetadata",
    "ForwardParticipant",
    "MoveParticipant",
    "PerformRpc",
];

struct Fixture {
    router: Router,
    keys: Arc<ApiKeys>,
}

struct Answer {
    status: StatusCode,
    content_type: String,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> String {
        assert_eq!(self.content_type, JSON, "errors are JSON whatever the request was");
        let json = self.json();
        assert!(json["msg"].as_str().is_some_and(|message| !message.is_empty()));
        json["code"].as_str().unwrap().to_owned()
    }
}

fn fixture() -> Fixture {
    let keys = Arc::new(ApiKeys::single("key", "a secret of enough length to be a secret"));
    let (media, _commands) = MediaHandle::detached();
    let (_events, receiver) = tokio::sync::mpsc::channel(1);
    let rooms = Rooms::start(RoomsConfig::default(), Hooks::default(), keys.clone(), media, receiver);
    Fixture { router: router(rooms, keys.clone()), keys }
}

impl Fixture {
    fn token(&self, video: VideoGrants) -> String {
        let claims = Claims { video, ..Claims::default() };
        self.keys.sign(&claims, SystemTime::now(), Duration::from_secs(60)).unwrap()
    }

    async fn send(&self, request: Request) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let content_type = response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
        Answer {
            status: response.status(),
            content_type: content_type.unwrap_or_default(),
            body: to_bytes(response.into_body(), usize::MAX).await.unwrap(),
        }
    }

    async fn post(&self, method: &str, token: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(format!("/twirp/livekit.RoomService/{method}"))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, content_type)
            .body(body.into())
            .unwrap();
        self.send(request).await
    }

    async fn json(&self, method: &str, video: VideoGrants, body: &Value) -> Answer {
        self.post(method, &self.token(video), JSON, body.to_string()).await
    }
}

fn creator() -> VideoGrants {
    VideoGrants { room_create: true, room_list: true, ..VideoGrants::default() }
}

fn administrator(room: &str) -> VideoGrants {
    VideoGrants { room: room.into(), room_admin: true, ..VideoGrants::default() }
}

#[tokio::test]
async fn a_room_is_created_in_json_and_listed_in_protobuf() {
    let fixture = fixture();
    let created = fixture.json("CreateRoom", creator(), &json!({"name": "mdt", "max_participants": 7})).await;
    assert_eq!((created.status, created.content_type.as_str()), (StatusCode::OK, JSON));
    assert_eq!(created.json()["name"], "mdt");
    assert_eq!(created.json()["maxParticipants"], 7);

    let request = proto::ListRoomsRequest { names: vec!["mdt".into()] }.encode_to_vec();
    let listed = fixture.post("ListRooms", &fixture.token(creator()), PROTOBUF, request).await;
    assert_eq!((listed.status, listed.content_type.as_str()), (StatusCode::OK, PROTOBUF));
    let listed = proto::ListRoomsResponse::decode(listed.body).unwrap();
    assert_eq!(listed.rooms.len(), 1);
    assert_eq!(listed.rooms[0].name, "mdt");
}

#[tokio::test]
async fn every_method_refuses_a_call_without_a_valid_token() {
    let fixture = fixture();
    let other = ApiKeys::single("key", "another secret of enough length for this");
    let forged =
        other.sign(&Claims { video: creator(), ..Claims::default() }, SystemTime::now(), Duration::from_secs(60));
    for method in METHODS {
        for token in ["", "x.y.z", forged.as_deref().unwrap()] {
            let answer = fixture.post(method, token, JSON, "{}").await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (StatusCode::UNAUTHORIZED, "unauthenticated"),
                "{method}"
            );
        }
    }
}

#[tokio::test]
async fn every_method_refuses_a_token_without_its_grant() {
    let fixture = fixture();
    for method in METHODS {
        let wrong = match *method {
            "CreateRoom" | "DeleteRoom" => VideoGrants { room_create: false, room_admin: true, ..creator() },
            "ListRooms" => VideoGrants { room_list: false, room_admin: true, ..creator() },
            _ => VideoGrants { room: "other".into(), room_admin: true, room_join: true, ..creator() },
        };
        let answer = fixture.json(method, wrong, &json!({"room": "mdt"})).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "permission_denied"), "{method}");
    }
}

#[tokio::test]
async fn administration_of_an_absent_room_is_not_found() {
    let fixture = fixture();
    let answer = fixture.json("GetParticipant", administrator("mdt"), &json!({"room": "mdt", "identity": "x"})).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
}

#[tokio::test]
async fn methods_that_are_not_offered_say_so() {
    let fixture = fixture();
    for method in ["ForwardParticipant", "MoveParticipant", "PerformRpc"] {
        let answer = fixture.json(method, administrator("mdt"), &json!({"room": "mdt"})).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_IMPLEMENTED, "unimplemented"), "{method}");
    }
}

#[tokio::test]
async fn what_is_not_a_route_is_a_bad_route() {
    let fixture = fixture();
    let token = fixture.token(creator());
    let unknown = fixture.post("Nothing", &token, JSON, "{}").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (StatusCode::NOT_FOUND, "bad_route"));
    for content_type in ["text/plain", "application/x-protobuf", ""] {
        let answer = fixture.post("ListRooms", &token, content_type, "{}").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "bad_route"), "{content_type}");
    }
    let get = fixture.send(Request::get("/twirp/livekit.RoomService/ListRooms").body(Body::empty()).unwrap()).await;
    assert_eq!(get.code(), "bad_route");
    let service = fixture.send(Request::post("/twirp/livekit.Egress/ListEgress").body(Body::empty()).unwrap()).await;
    assert_eq!(service.code(), "bad_route");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_malformed() {
    let fixture = fixture();
    let token = fixture.token(creator());
    let too_large = format!("{{\"name\":\"{}\"}}", "x".repeat(BODY_LEN_MAX));
    let wrong: [(&str, Vec<u8>); 5] = [
        (JSON, b"{".to_vec()),
        (JSON, b"[]".to_vec()),
        (JSON, b"{\"name\": 7}".to_vec()),
        (JSON, too_large.into_bytes()),
        (PROTOBUF, vec![0xff; 20]),
    ];
    for (content_type, body) in wrong {
        let answer = fixture.post("CreateRoom", &token, content_type, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "malformed"));
    }
}

#[tokio::test]
async fn a_content_type_may_have_parameters_and_unknown_fields_are_ignored() {
    let fixture = fixture();
    let token = fixture.token(creator());
    let answer = fixture.post("ListRooms", &token, "Application/JSON; charset=utf-8", "{\"later\": 1}").await;
    assert_eq!(answer.status, StatusCode::OK);
}
