//! Pages, joins, tokens, the server API, metrics and probes of a running server.

use crate::exposition::families;
use crate::harness::{MINUTE, Request, SECRET, Server, wait_until};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use consilium::app::App;
use consilium::config::Config;
use consilium_signaling::access::{ApiKeys, Claims, VideoGrants};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message;
use serde_json::json;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

fn joiner() -> VideoGrants {
    VideoGrants { room: "mdt".into(), room_join: true, ..VideoGrants::default() }
}

fn host() -> VideoGrants {
    VideoGrants { room_create: true, room_list: true, room_admin: true, ..joiner() }
}

#[tokio::test]
async fn a_server_can_be_looked_for_with_head() {
    let server = Server::open().await;
    let answer = server.http(&Request { method: "HEAD", path: "/", ..Request::default() }).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_good_token_validates_in_either_place_and_from_any_origin() {
    let server = Server::closed().await;
    let token = server.token(joiner());
    for path in ["/rtc/validate", "/rtc/v1/validate"] {
        let in_query = format!("{path}?access_token={token}");
        for request in [Request::get(&in_query), Request::get(path).bearer(&token)] {
            let answer = server.http(&request.header("Origin", "https://elsewhere.example")).await;
            assert_eq!((answer.status, answer.text()), (200, "success"), "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bad_token_is_refused_with_a_reason_that_scripts_may_read() {
    let server = Server::closed().await;
    let claims = Claims { identity: "dr-1".into(), video: joiner(), ..Claims::default() };
    let keys = ApiKeys::single("key", SECRET);
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let tokens = [
        ("missing", String::new()),
        ("malformed", "x.y.z".into()),
        ("expired", keys.sign(&claims, now - hour, MINUTE).unwrap()),
        ("not yet valid", keys.sign(&claims, now + hour, MINUTE).unwrap()),
        ("forged", ApiKeys::single("key", "another secret of enough length").sign(&claims, now, MINUTE).unwrap()),
        ("foreign", ApiKeys::single("other", SECRET).sign(&claims, now, MINUTE).unwrap()),
    ];
    let mut reasons = HashSet::new();
    for (name, token) in tokens {
        for path in ["/rtc/validate", "/rtc/v1/validate"] {
            let answer = server.http(&Request::get(&format!("{path}?access_token={token}"))).await;
            assert_eq!(answer.status, 401, "{name} at {path}: {}", answer.text());
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{name} at {path}");
            assert!(!answer.text().is_empty() && (token.is_empty() || !answer.text().contains(&token)), "{name}");
            reasons.insert(answer.text().to_owned());
        }
    }
    assert_eq!(reasons.len(), 6, "each cause has its own reason: {reasons:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_url_of_64_kilobytes_is_read_and_a_longer_one_is_refused() {
    let server = Server::closed().await;
    let path = format!("/rtc/validate?access_token={}&padding=", server.token(joiner()));
    let longest = format!("{path}{}", "x".repeat(64_000 - path.len()));
    assert_eq!(server.http(&Request::get(&longest)).await.status, 200);
    let too_long = format!("{path}{}", "x".repeat(70_000));
    assert!(matches!(server.http(&Request::get(&too_long)).await.status, 414 | 431));
    server.stop().await;
}

#[tokio::test]
async fn an_open_room_gives_a_guest_a_token_that_joins_that_room_only() {
    let server = Server::open().await;
    let body = json!({"room": "first-meeting", "name": "  Dr One "}).to_string();
    let request = Request::post("/api/v1/join", "application/json", body);
    let answer = server.http(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let claims = server.app.keys().verify(&token, SystemTime::now()).unwrap();
    assert_eq!((claims.join_room(), claims.name.as_str()), (Ok("first-meeting"), "Dr One"));
    assert!(claims.identity.starts_with("guest-") && claims.identity.len() == 16);
    assert!(!claims.video.room_admin && !claims.video.room_create && !claims.video.room_list);
    let other = server.http(&request).await.json()["token"].as_str().unwrap().to_owned();
    let other = server.app.keys().verify(&other, SystemTime::now()).unwrap();
    assert_ne!(other.identity, claims.identity, "two guests are two people");
    assert_eq!(server.http(&Request::get(&format!("/rtc/v1/validate?access_token={token}"))).await.status, 200);
    assert!(server.app.first_link().is_some_and(|link| link.ends_with("/m/first-meeting")));
    server.stop().await;
}

#[tokio::test]
async fn a_closed_server_gives_no_tokens_away() {
    let server = Server::closed().await;
    let body = json!({"room": "first-meeting", "name": "Dr One"}).to_string();
    let answer = server.http(&Request::post("/api/v1/join", "application/json", body)).await;
    assert_eq!((answer.status, answer.header("content-type")), (403, "application/problem+json"));
    assert_eq!(answer.json()["code"], "rooms_closed");
    assert_eq!(server.app.first_link(), None);
    server.stop().await;
}

#[tokio::test]
async fn a_request_to_join_that_makes_no_sense_is_told_why() {
    let server = Server::open().await;
    let long = "x".repeat(20_000);
    let cases = [
        ("application/json", json!({"room": "a b", "name": "x"}).to_string(), 422, "invalid_room"),
        ("application/json", json!({"room": "", "name": "x"}).to_string(), 422, "invalid_room"),
        ("application/json", json!({"room": "a", "name": "  "}).to_string(), 422, "invalid_name"),
        ("application/json", json!({"room": "a", "name": "x".repeat(65)}).to_string(), 422, "invalid_name"),
        ("application/json", json!({"room": "a"}).to_string(), 422, "invalid_body"),
        ("application/json", "{".into(), 400, "invalid_json"),
        ("application/json", json!({"room": "a", "name": long}).to_string(), 413, "body_too_large"),
        ("text/plain", json!({"room": "a", "name": "x"}).to_string(), 415, "not_json"),
    ];
    for (content_type, body, status, code) in cases {
        let answer = server.http(&Request::post("/api/v1/join", content_type, body)).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)));
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.ends_with('.')));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_server_api_speaks_json_and_protobuf() {
    let server = Server::closed().await;
    let token = server.token(host());
    let path = |method: &str| format!("/twirp/livekit.RoomService/{method}");
    let create = path("CreateRoom");
    let body = json!({"name": "mdt", "emptyTimeout": 60, "metadata": "m"}).to_string();
    let created = server.http(&Request::post(&create, "application/json", body).bearer(&token)).await;
    assert_eq!(created.status, 200, "{}", created.text());
    assert_eq!((&created.json()["name"], &created.json()["metadata"]), (&json!("mdt"), &json!("m")));
    assert!(created.json()["sid"].as_str().is_some_and(|sid| sid.starts_with("RM_")));

    let list = path("ListRooms");
    let body = proto::ListRoomsRequest::default().encode_to_vec();
    let listed = server.http(&Request::post(&list, "application/protobuf", body).bearer(&token)).await;
    assert_eq!((listed.status, listed.header("content-type")), (200, "application/protobuf"));
    let listed = proto::ListRoomsResponse::decode(listed.body.as_slice()).unwrap();
    assert_eq!(listed.rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["mdt"]);

    let get = path("GetParticipant");
    let body = json!({"room": "mdt", "identity": "nobody"}).to_string();
    let absent = server.http(&Request::post(&get, "application/json", body).bearer(&token)).await;
    assert_eq!((absent.status, absent.json()["code"].as_str()), (404, Some("not_found")));
    assert!(server.ops("/metrics").await.text().contains("\nconsilium_rooms 1\n"));

    let delete = path("DeleteRoom");
    let body = json!({"room": "mdt"}).to_string();
    let deleted = server.http(&Request::post(&delete, "application/json", body).bearer(&token)).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let refused = server.http(&Request::post(&list, "application/json", "{}").bearer("x.y.z")).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("unauthenticated")));
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_is_upgraded_and_hears_of_the_join_first() {
    let server = Server::closed().await;
    let token = server.token(joiner());
    let client = proto::ClientInfo { protocol: 17, ..proto::ClientInfo::default() };
    let request = proto::JoinRequest { client_info: Some(client), ..proto::JoinRequest::default() };
    let wrapped = proto::WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
    let wrapped = URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec());
    let address = server.app.http_addr();
    for path in [
        format!("/rtc?protocol=17&access_token={token}"),
        format!("/rtc/v1?join_request={wrapped}&access_token={token}"),
    ] {
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}{path}")).await.unwrap();
        let first = socket.next().await.unwrap().unwrap().into_data();
        let first = proto::SignalResponse::decode(first).unwrap();
        let Some(proto::signal_response::Message::Join(join)) = first.message else { panic!("not a join: {first:?}") };
        assert_eq!(join.room.unwrap().name, "mdt");
        assert_eq!(join.participant.unwrap().identity, "dr-1");
        assert!(join.server_info.is_some_and(|info| !info.version.is_empty()));
        socket.close(None).await.unwrap();
    }
    let metrics = server.ops("/metrics").await;
    assert!(metrics.text().contains("\nconsilium_joins_total{result=\"ok\"} 2\n"), "{}", metrics.text());
    server.stop().await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = Server::open().await;
    for path in ["/", "/m/first-meeting", "/absent.js", "/rtc/validate", "/api/v1/nothing"] {
        let answer = server.http(&Request::get(path)).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'self'"), "{path}: {policy}");
        assert!(policy.contains(&format!("ws://{}", server.app.http_addr())), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
    for path in ["/absent.js", "/api/v1/nothing", "/rtc/nothing", "/assets/../../Cargo.toml"] {
        assert_eq!(server.http(&Request::get(path)).await.status, 404, "{path}");
    }
    assert_eq!(server.http(&Request::post("/", "text/plain", "x")).await.status, 405);
    server.stop().await;
}

#[tokio::test]
async fn probes_answer_and_the_metrics_are_well_formed() {
    let server = Server::open().await;
    assert_eq!(server.ops("/livez").await.status, 200);
    assert_eq!(server.ops("/readyz").await.status, 200);
    let metrics = server.ops("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let families = families(metrics.text()).unwrap();
    for expected in [
        "consilium_rooms",
        "consilium_participants",
        "consilium_joins_total",
        "consilium_rtp_packets_received_total",
        "consilium_packets_dropped_total",
        "consilium_forwarding_delay_seconds",
    ] {
        assert!(families.contains_key(expected), "{expected} is missing");
    }
    let alerts = include_str!("../../deploy/alerts.yml");
    let rules: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(rules.len(), alerts.matches("- alert: ").count(), "a rule in one line each");
    for rule in rules {
        let words = rule.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: Vec<&str> = words.filter(|word| word.starts_with("consilium_")).collect();
        assert!(!named.is_empty() && named.iter().all(|name| families.contains_key(*name)), "{rule}");
    }
    assert!(!server.http(&Request::get("/metrics")).await.text().contains("consilium_rooms"));
    server.stop().await;
}

/// The media port that a description offers.
fn media_address(sdp: &str) -> SocketAddr {
    let candidate = sdp.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    let words: Vec<_> = candidate.split(' ').collect();
    format!("{}:{}", words[4], words[5]).parse().unwrap()
}

#[tokio::test]
async fn the_metrics_tell_of_a_participant_its_connections_and_of_what_was_dropped() {
    let server = Server::closed().await;
    let token = server.token(joiner());
    let address = server.app.http_addr();
    let path = format!("ws://{address}/rtc?protocol=17&access_token={token}");
    let (mut socket, _) = tokio_tungstenite::connect_async(path).await.unwrap();
    let offer = loop {
        let message = proto::SignalResponse::decode(socket.next().await.unwrap().unwrap().into_data()).unwrap();
        if let Some(proto::signal_response::Message::Offer(offer)) = message.message {
            break offer;
        }
    };
    let ping = proto::SignalRequest { message: Some(proto::signal_request::Message::Ping(1)) };
    socket.send(Frame::Binary(ping.encode_to_vec().into())).await.unwrap();
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(&[0xff; 100], media_address(&offer.sdp)).await.unwrap();
    let expected = [
        "consilium_rooms 1",
        "consilium_participants 1",
        "consilium_sessions 1",
        "consilium_joins_total{result=\"ok\"} 1",
        "consilium_signal_messages_total{direction=\"received\"} 1",
        "consilium_media_peers 1",
        "consilium_media_peers_connected 0",
        "consilium_datagrams_received_total 1",
        "consilium_received_bytes_total 100",
        "consilium_packets_dropped_total{reason=\"unknown_protocol\"} 1",
    ];
    let told = async || {
        let metrics = server.ops("/metrics").await.text().to_owned();
        expected.iter().find(|line| !metrics.contains(&format!("\n{line}\n"))).copied()
    };
    wait_until(async || told().await.is_none(), async || format!("no {:?}", told().await)).await;
    let sent: f64 = value(server.ops("/metrics").await.text(), "consilium_signal_bytes_total{direction=\"sent\"}");
    assert!(sent > 500.0, "a join response and an offer are {sent} bytes");
    socket.close(None).await.unwrap();
    let ended = "\nconsilium_sessions_ended_total{reason=\"connection_lost\"} 1\n";
    let gone = async || server.ops("/metrics").await.text().contains(ended);
    wait_until(gone, async || server.ops("/metrics").await.text().to_owned()).await;
    server.stop().await;
}

/// The value of one series.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(series)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_served_at_once() {
    let server = Server::start(|config| config.http.connections_max = 1).await;
    let address = server.app.http_addr();
    let mut idle = TcpStream::connect(address).await.unwrap();
    // Being answered shows that this connection holds the only place.
    idle.write_all(b"GET /rtc/validate HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(&Request::get("/rtc/validate").bytes(address)).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.read(&mut byte)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(idle);
    assert_eq!(waiting.read(&mut byte).await.unwrap(), 1);
    drop(waiting);
    server.stop().await;
}

#[tokio::test]
async fn a_stopped_server_leaves_its_ports() {
    let server = Server::open().await;
    let (http, ops) = (server.app.http_addr(), server.app.ops_addr());
    // An idle keep-alive connection does not hold the server up.
    let mut idle = TcpStream::connect(http).await.unwrap();
    idle.write_all(b"GET /rtc/validate HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    tokio::time::timeout(Duration::from_secs(4), server.stop()).await.expect("the server stops in time");
    assert!(TcpStream::connect(http).await.is_err());
    assert!(TcpStream::connect(ops).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = Server::open().await;
    let mut config = Config { data_dir: server.data_dir.clone(), ..Config::default() };
    config.http.listen = server.app.http_addr();
    let error = App::start(&config).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains(&server.app.http_addr().to_string()) && error.contains("pages"), "{error}");
    server.stop().await;
}
