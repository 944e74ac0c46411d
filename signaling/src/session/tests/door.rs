//! Who is let in, who is not, and what they and the application are told.

use super::*;
use crate::rooms::{Admission, Denial, Door, NoticeKind};
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn both_endpoints_greet_with_the_join_response() {
    let server = server(RoomsConfig::default()).await;
    for (path, dual) in [("/rtc/v1", false), ("/rtc", true)] {
        let token = server.token(&claims("alice"));
        let mut socket = server.connect(&format!("{path}?access_token={token}&auto_subscribe=1")).await.unwrap();
        let Some(Message::Join(join)) = receive(&mut socket).await else { panic!("no greeting") };
        assert_eq!(join.subscriber_primary, dual);
        assert_eq!(join.room.unwrap().name, "mdt");
    }
    assert_eq!(server.joins(JoinResult::Ok), 2);
}

#[tokio::test]
async fn a_token_in_the_header_opens_the_door_too() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let server = server(RoomsConfig::default()).await;
    let mut request = format!("ws://{}/rtc/v1", server.address).into_client_request().unwrap();
    let bearer = format!("Bearer {}", server.token(&claims("alice")));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    assert!(matches!(receive(&mut socket).await, Some(Message::Join(_))));
}

#[tokio::test]
async fn bad_tokens_are_refused_with_a_reason_that_every_page_can_read() {
    let server = server(RoomsConfig::default()).await;
    let now = SystemTime::now();
    let sign = |claims: &Claims, at: SystemTime| server.keys.sign(claims, at, Duration::from_secs(60)).unwrap();
    let expired = sign(&claims("alice"), now - Duration::from_secs(3_600));
    let early = sign(&claims("alice"), now + Duration::from_secs(3_600));
    let forged = ApiKeys::single("key", "another secret, also of enough length to be one")
        .sign(&claims("alice"), now, Duration::from_secs(60))
        .unwrap();
    let lobby = Claims { video: VideoGrants { room_join: false, ..claims("a").video }, ..claims("alice") };
    let cases = [
        (expired, StatusCode::UNAUTHORIZED, "expired", JoinResult::TokenExpired),
        (early, StatusCode::UNAUTHORIZED, "not valid yet", JoinResult::TokenNotYetValid),
        (forged, StatusCode::UNAUTHORIZED, "signature", JoinResult::TokenInvalid),
        ("nonsense".into(), StatusCode::UNAUTHORIZED, "not a valid", JoinResult::TokenInvalid),
        (String::new(), StatusCode::UNAUTHORIZED, "no access token", JoinResult::TokenMissing),
        (sign(&lobby, now), StatusCode::FORBIDDEN, "does not grant", JoinResult::NotAllowed),
    ];
    for (token, status, reason, result) in cases {
        let before = server.joins(result);
        for path in ["/rtc/v1", "/rtc", "/rtc/v1/validate", "/rtc/validate"] {
            let refused = refusal(server.connect(&format!("{path}?access_token={token}")).await);
            assert_eq!((refused.0, refused.1), (status, true), "{path}");
            assert!(refused.2.contains(reason), "{path}: {}", refused.2);
        }
        assert_eq!(server.joins(result), before + 2);
    }
    assert_eq!(server.rooms.stats().snapshot().participants, 0);
}

#[tokio::test]
async fn a_good_token_validates_and_a_plain_request_is_told_to_upgrade() {
    let server = server(RoomsConfig::default()).await;
    let token = server.token(&claims("alice"));
    let get = async |path: &str| {
        use tower::ServiceExt;
        let request =
            axum::extract::Request::get(format!("{path}?access_token={token}")).body(axum::body::Body::empty());
        let response = router(server.rooms.clone()).oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        let cors = response.headers().contains_key("access-control-allow-origin");
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        (status, cors, String::from_utf8(body.to_vec()).unwrap())
    };
    for path in ["/rtc/validate", "/rtc/v1/validate"] {
        assert_eq!(get(path).await, (StatusCode::OK, true, "success".into()));
    }
    assert_eq!(get("/rtc/v1").await.0, StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn a_full_room_says_so_at_the_door_and_when_asked_why() {
    let server = server(RoomsConfig { max_participants: 1, ..Default::default() }).await;
    let _alice = server.join("alice").await;
    let token = server.token(&claims("bob"));
    for path in ["/rtc/v1", "/rtc/v1/validate"] {
        let (status, cors, body) = refusal(server.connect(&format!("{path}?access_token={token}")).await);
        assert_eq!((status, cors, body.as_str()), (StatusCode::FORBIDDEN, true, "the room is full"));
    }
    assert_eq!(server.joins(JoinResult::RoomFull), 1);
}

/// Lets in as many times as it is told, each with another name.
struct Turnstile(AtomicUsize);

impl Door for Turnstile {
    fn admit<'a>(&'a self, _: &'a Rooms, room: String, claims: Claims) -> Admission<'a> {
        assert_eq!(room, "mdt");
        let one_less = |left: usize| left.checked_sub(1);
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        Box::pin(async move {
            left.map_err(|_| Denial::NotAllowed("the meeting is locked"))?;
            Ok(Claims { name: "as of now".into(), ..claims })
        })
    }
}

fn turnstile(turns: usize) -> Hooks {
    Hooks { door: Arc::new(Turnstile(AtomicUsize::new(turns))), ..Hooks::default() }
}

#[tokio::test]
async fn the_application_has_its_say_at_the_door() {
    // Asked once before, and once more after the join.
    let server = server_with(RoomsConfig::default(), turnstile(2)).await;
    let (_alice, join) = server.join("alice").await;
    assert_eq!(join.participant.unwrap().name, "as of now");
    let token = server.token(&claims("bob"));
    for path in ["/rtc/v1", "/rtc", "/rtc/v1/validate", "/rtc/validate"] {
        let (status, cors, body) = refusal(server.connect(&format!("{path}?access_token={token}")).await);
        assert_eq!((status, cors, body.as_str()), (StatusCode::FORBIDDEN, true, "the meeting is locked"), "{path}");
    }
    assert_eq!(server.joins(JoinResult::Denied), 2);
    assert_eq!(server.rooms.stats().snapshot().participants, 1);
}

#[tokio::test]
async fn whoever_is_denied_while_they_join_is_not_in() {
    let server = server_with(RoomsConfig::default(), turnstile(1)).await;
    let token = server.token(&claims("alice"));
    let (status, ..) = refusal(server.connect(&format!("/rtc/v1?access_token={token}")).await);
    assert_eq!(status, StatusCode::FORBIDDEN);
    server.until(|server| server.rooms.stats().snapshot().participants == 0).await;
}

#[tokio::test]
async fn the_application_hears_who_comes_and_goes() {
    let mut hooks = Hooks::default();
    let mut notices = hooks.listeners.listen();
    let mut server = server_with(RoomsConfig::default(), hooks).await;
    let mut next = async || {
        let notice = tokio::time::timeout(PATIENCE, notices.recv()).await.expect("a notice comes").unwrap();
        assert_eq!(notice.room_name(), "mdt");
        assert!(notice.room_sid().starts_with("RM_") && notice.unix_ms() > 0);
        (notice.kind(), notice.identity().map(str::to_owned))
    };
    let (mut alice, _) = server.join("alice").await;
    assert_eq!(next().await, (NoticeKind::RoomStarted, None));
    let peer = server.peer().await;
    server.connect_media(peer).await;
    assert_eq!(next().await, (NoticeKind::ParticipantJoined, Some("alice".into())));
    // Somebody whom nothing ever reached did not join.
    let (mut bob, _) = server.join("bob").await;
    send(&mut bob, Request::Leave(LeaveRequest::default())).await;
    assert_eq!(next().await, (NoticeKind::ParticipantConnectionAborted, Some("bob".into())));
    send(&mut alice, Request::Leave(LeaveRequest::default())).await;
    assert_eq!(next().await, (NoticeKind::ParticipantLeft, Some("alice".into())));
    server.rooms.shutdown().await;
    assert_eq!(next().await, (NoticeKind::RoomFinished, None));
    assert_eq!(server.rooms.stats().snapshot().notices_lost, 0);
}

#[tokio::test]
async fn a_server_with_all_its_rooms_opens_no_more() {
    let server = server(RoomsConfig { max_rooms: 1, ..Default::default() }).await;
    let _alice = server.join("alice").await;
    let video = VideoGrants { room: "another".into(), ..claims("bob").video };
    let token = server.token(&Claims { video, ..claims("bob") });
    let (status, ..) = refusal(server.connect(&format!("/rtc/v1?access_token={token}")).await);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
