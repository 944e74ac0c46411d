//! Coming, coming back, and going.

use super::*;
use crate::room::limits;
use consilium_media_core::control::CloseReason;
use livekit_protocol::participant_info::State;
use livekit_protocol::{DisconnectReason, LeaveRequest, Ping, TrickleRequest, leave_request};

#[test]
fn the_join_response_comes_first_and_the_answer_carries_the_offers_id() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let [Message::Join(join), Message::Answer(answer), ..] = stage.inbox(alice) else { panic!("wrong order") };
    assert_eq!(join.participant.as_ref().map(|info| info.identity.as_str()), Some("alice"));
    assert!(join.participant.as_ref().unwrap().sid.starts_with("PA_"));
    assert!(join.room.as_ref().unwrap().sid.starts_with("RM_"));
    assert!(!join.subscriber_primary && join.ping_interval > 0 && join.ping_timeout > join.ping_interval);
    assert!(!join.server_info.as_ref().unwrap().version.is_empty());
    assert_eq!(answer.id, 1);
    assert!(matches!(stage.commands[..], [Command::AddPeer { .. }, Command::SetRemote { .. }, ..]));
}

#[test]
fn a_dual_client_is_offered_a_connection_with_data_channels_at_once() {
    let mut stage = Stage::new();
    let alice = stage.join_with(Join { mode: ConnectionMode::Dual, ..join("alice") });
    let [Message::Join(join), Message::Offer(_)] = stage.inbox(alice) else { panic!("wrong order") };
    assert!(join.subscriber_primary);
    let labels: Vec<_> = stage
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::OpenDataChannel { label, .. } => Some(label.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(labels, ["_reliable", "_lossy"]);
    stage.settle();
    assert!(stage.commands.iter().any(|command| matches!(command, Command::SetRemote { .. })));
}

#[test]
fn others_are_told_who_comes_connects_and_goes() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    assert_eq!(stage.seen(bob, "alice").unwrap().state(), State::Joined);
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Joined);
    stage.connect(bob);
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Active);
    assert_eq!(stage.seen(bob, "bob").unwrap().state(), State::Active);
    stage.request(bob, Request::Leave(LeaveRequest::default()));
    let info = stage.seen(alice, "bob").unwrap();
    assert_eq!(info.state(), State::Disconnected);
    assert_eq!(info.disconnect_reason(), DisconnectReason::ClientInitiated);
    assert_eq!(stage.clients[&bob].closed, Some(SessionEnd::Left));
    assert!(stage.commands.iter().any(|command| matches!(command, Command::RemovePeer { .. })));
}

#[test]
fn a_hidden_participant_is_seen_by_nobody_but_sees_all() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let ghost = stage.join_with(Join { permission: Permission { hidden: true, ..permission() }, ..join("ghost") });
    stage.connect(ghost);
    assert!(stage.seen(alice, "ghost").is_none());
    assert!(stage.seen(ghost, "alice").is_some());
    stage.publish(ghost, "mic", TrackSource::Microphone);
    stage.request(ghost, Request::Leave(LeaveRequest::default()));
    assert!(stage.seen(alice, "ghost").is_none());
    assert!(stage.room.get_participant("ghost").is_err());
}

#[test]
fn a_second_session_of_the_same_identity_ends_the_first() {
    let mut stage = Stage::with(RoomSettings { max_participants: 1, ..settings() });
    let first = stage.join("alice");
    let second = stage.join("alice");
    assert_eq!(stage.clients[&first].closed, Some(SessionEnd::DuplicateIdentity));
    let Some(Message::Leave(leave)) = stage.inbox(first).last() else { panic!("no goodbye") };
    assert_eq!(leave.reason(), DisconnectReason::DuplicateIdentity);
    assert_eq!(leave.action(), leave_request::Action::Disconnect);
    assert!(matches!(stage.inbox(second)[0], Message::Join(_)));
    assert_eq!(stage.room.participants_len(), 1);
}

#[test]
fn a_full_room_refuses_the_next_one() {
    let mut stage = Stage::with(RoomSettings { max_participants: 2, ..settings() });
    stage.join("alice");
    assert!(!stage.room.is_full());
    stage.join("bob");
    assert!(stage.room.is_full());
    assert_eq!(stage.try_join(join("carol"), &[]), Err(JoinRefusal::RoomFull));
    assert_eq!(stage.room.participants_len(), 2);
}

#[test]
fn who_cannot_be_sent_data_yet_is_not_active() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let peer = stage.peer(bob);
    stage.event(Event::PeerConnected { peer });
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Joined);
    stage.open_channels(bob);
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Active);
    // Neither is it given up for being late.
    let peer = stage.peer(alice);
    stage.event(Event::PeerConnected { peer });
    stage.pass(limits::CONNECT_WINDOW * 2);
    assert!(stage.inbox(alice).iter().all(|message| !matches!(message, Message::Leave(_))));
}

#[test]
fn a_goodbye_that_comes_after_the_end_of_the_connection_is_a_goodbye() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.connect(alice);
    stage.connect(bob);
    let peer = stage.peer(bob);
    stage.event(Event::PeerClosed { peer, reason: CloseReason::ClosedByPeer });
    stage.request(bob, Request::Leave(LeaveRequest::default()));
    let info = stage.seen(alice, "bob").unwrap();
    assert_eq!(info.disconnect_reason(), DisconnectReason::ClientInitiated);
    assert_eq!(stage.clients[&bob].closed, Some(SessionEnd::Left));
}

#[test]
fn who_closed_its_connection_and_says_no_goodbye_is_soon_given_up() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let [bob, cleo] = ["bob", "cleo"].map(|name| stage.join(name));
    for session in [alice, bob, cleo] {
        stage.connect(session);
    }
    for session in [bob, cleo] {
        let peer = stage.peer(session);
        stage.event(Event::PeerClosed { peer, reason: CloseReason::ClosedByPeer });
    }
    stage.room.handle_session_closed(stage.now, cleo);
    stage.pump();
    assert_eq!(stage.seen(alice, "cleo").unwrap().state(), State::Disconnected);
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Active);
    stage.pass(limits::GOODBYE_WINDOW);
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Disconnected);
    let Some(Message::Leave(leave)) = stage.inbox(bob).last() else { panic!("not told") };
    assert_eq!(leave.reason(), DisconnectReason::ConnectionTimeout);
}

#[test]
fn a_lost_session_is_kept_for_the_window_and_then_given_up() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.connect(alice);
    stage.connect(bob);
    stage.room.handle_session_closed(stage.now, bob);
    stage.pass(limits::RESUME_WINDOW - Duration::from_millis(1));
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Active);
    stage.pass(Duration::from_millis(1));
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Disconnected);
}

#[test]
fn a_resumed_session_goes_on_as_the_same_participant() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.connect(alice);
    stage.connect(bob);
    let sid = stage.sid(bob);
    stage.room.handle_session_closed(stage.now, bob);
    stage.pass(Duration::from_secs(5));
    let again = stage.resume("bob", &sid);
    let [Message::Reconnect(_), Message::Update(update), Message::RoomUpdate(_)] = stage.inbox(again) else {
        panic!("wrong order")
    };
    assert!(update.participants.iter().any(|info| info.identity == "alice"));
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.sid(again), sid);
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Active);
}

#[test]
fn a_resume_by_anybody_else_is_sent_to_join_anew() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let sid = stage.sid(alice);
    for session in [stage.resume("mallory", &sid), stage.resume("alice", "PA_unknown")] {
        let [Message::Leave(leave)] = stage.inbox(session) else { panic!("not refused") };
        assert_eq!(leave.action(), leave_request::Action::Reconnect);
        assert_eq!(leave.reason(), DisconnectReason::StateMismatch);
        assert_eq!(stage.clients[&session].closed, Some(SessionEnd::StateMismatch));
    }
    assert_eq!(stage.clients[&alice].closed, None);
}

#[test]
fn a_dual_resume_restarts_the_connection_that_we_offer() {
    let mut stage = Stage::new();
    let alice = stage.join_with(Join { mode: ConnectionMode::Dual, ..join("alice") });
    stage.settle();
    stage.connect(alice);
    let sid = stage.sid(alice);
    stage.forget_inboxes();
    let again = stage.resume("alice", &sid);
    assert_eq!(stage.clients[&alice].closed, Some(SessionEnd::Replaced));
    assert!(matches!(stage.commands[..], [Command::RestartIce { .. }]));
    assert!(matches!(stage.inbox(again).last(), Some(Message::Offer(_))));
    stage.settle();
    assert!(matches!(stage.commands.last(), Some(Command::SetRemote { .. })));
}

#[test]
fn a_lost_connection_sends_the_client_to_join_anew() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.connect(bob);
    let peer = stage.peer(bob);
    let sid = stage.sid(bob);
    stage.event(Event::PeerClosed { peer, reason: CloseReason::ConsentExpired });
    let Some(Message::Leave(leave)) = stage.inbox(bob).last() else { panic!("not told") };
    assert_eq!(leave.action(), leave_request::Action::Reconnect);
    let late = stage.resume("bob", &sid);
    assert_eq!(stage.clients[&late].closed, Some(SessionEnd::StateMismatch));
    stage.pass(limits::RESUME_WINDOW);
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Disconnected);
}

#[test]
fn whoever_floods_with_data_is_removed_and_not_asked_back() {
    let floods: [fn(&mut Stage, PeerId); 2] = [
        |stage, peer| stage.event(Event::PeerClosed { peer, reason: CloseReason::DataFlood }),
        |stage, peer| {
            stage.room.handle_overrun(stage.now, peer);
            stage.pump();
        },
    ];
    for flood in floods {
        let mut stage = Stage::new();
        let alice = stage.join("alice");
        let bob = stage.join("bob");
        stage.connect(bob);
        let peer = stage.peer(bob);
        flood(&mut stage, peer);
        let Some(Message::Leave(leave)) = stage.inbox(bob).last() else { panic!("not told") };
        assert_eq!(leave.action(), leave_request::Action::Disconnect);
        assert_eq!(stage.clients[&bob].closed, Some(SessionEnd::DataFlood));
        assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Disconnected);
        // Known or not, a second word changes nothing.
        flood(&mut stage, peer);
    }
}

#[test]
fn a_client_that_never_connects_is_removed() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    stage.pass(limits::CONNECT_WINDOW);
    let Some(Message::Leave(leave)) = stage.inbox(alice).last() else { panic!("not told") };
    assert_eq!(leave.reason(), DisconnectReason::JoinFailure);
    assert_eq!(stage.room.participants_len(), 0);
}

#[test]
fn a_client_that_never_answers_an_offer_is_removed_and_one_that_does_stays() {
    let dual = |identity: &str| Join { mode: ConnectionMode::Dual, ..join(identity) };
    let mut stage = Stage::new();
    let mute = stage.join_with(dual("mute"));
    let late = stage.join_with(dual("late"));
    stage.pass(limits::ANSWER_WINDOW - Duration::from_millis(1));
    assert_eq!(stage.clients[&mute].closed, None);
    while stage.react(late) {}
    stage.pass(Duration::from_millis(1));
    let Some(Message::Leave(leave)) = stage.inbox(mute).last() else { panic!("not told") };
    assert_eq!(leave.reason(), DisconnectReason::JoinFailure);
    assert_eq!(stage.clients[&mute].closed, Some(SessionEnd::NoAnswer));
    assert_eq!((stage.clients[&late].closed, stage.room.participants_len()), (None, 1));
    // An offer in the midst of a meeting must be answered as well; the client may try anew then.
    stage.connect(late);
    let carol = stage.join("carol");
    stage.publish_only(carol, "mic", TrackSource::Microphone);
    stage.pass(limits::ANSWER_WINDOW);
    let Some(Message::Leave(leave)) = stage.inbox(late).last() else { panic!("not told") };
    assert_eq!(leave.action(), leave_request::Action::Reconnect);
    assert_eq!(stage.clients[&late].closed, Some(SessionEnd::NoAnswer));
}

#[test]
fn nobody_has_to_answer_while_away_and_whoever_comes_back_is_offered_anew() {
    let mut stage = Stage::new();
    let alice = stage.join_with(Join { mode: ConnectionMode::Dual, ..join("alice") });
    while stage.react(alice) {}
    stage.connect(alice);
    let sid = stage.sid(alice);
    let bob = stage.join("bob");
    stage.publish_only(bob, "mic", TrackSource::Microphone);
    stage.pass(limits::ANSWER_WINDOW - Duration::from_secs(1));
    stage.room.handle_session_closed(stage.now, alice);
    stage.pass(Duration::from_secs(5));
    let back = stage.resume("alice", &sid);
    stage.pass(limits::ANSWER_WINDOW - Duration::from_secs(1));
    assert_eq!(stage.clients[&back].closed, None);
    while stage.react(back) {}
    stage.pass(10 * limits::ANSWER_WINDOW);
    assert_eq!(stage.clients[&back].closed, None);
}

#[test]
fn an_unused_room_ends_and_so_does_one_that_everybody_left() {
    let mut stage = Stage::new();
    stage.pass(Duration::from_secs(299));
    assert!(!stage.finished);
    let alice = stage.join("alice");
    stage.connect(alice);
    stage.pass(Duration::from_secs(1_000));
    assert!(!stage.finished);
    stage.request(alice, Request::Leave(LeaveRequest::default()));
    stage.pass(Duration::from_secs(19));
    assert!(!stage.finished);
    stage.pass(Duration::from_secs(1));
    assert!(stage.finished);
    let mut unused = Stage::new();
    unused.pass(Duration::from_secs(300));
    assert!(unused.finished);
}

#[test]
fn a_closed_room_says_goodbye_to_everybody() {
    let mut stage = Stage::new();
    let sessions = [stage.join("alice"), stage.join("bob")];
    stage.room.close(stage.now, DisconnectReason::RoomDeleted, SessionEnd::RoomDeleted);
    stage.pump();
    for session in sessions {
        let Some(Message::Leave(leave)) = stage.inbox(session).last() else { panic!("no goodbye") };
        assert_eq!(leave.reason(), DisconnectReason::RoomDeleted);
        assert_eq!(stage.clients[&session].closed, Some(SessionEnd::RoomDeleted));
    }
    assert!(stage.finished);
    assert_eq!(stage.try_join(join("carol"), &[]), Err(JoinRefusal::Closing));
}

#[test]
fn pings_are_answered() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    stage.forget_inboxes();
    stage.request(alice, Request::Ping(1));
    stage.request(alice, Request::PingReq(Ping { timestamp: 42, rtt: 0 }));
    let [Message::Pong(_), Message::PongResp(pong)] = stage.inbox(alice) else { panic!("not answered") };
    assert_eq!(pong.last_ping_timestamp, 42);
}

#[test]
fn an_illegible_description_or_candidate_ends_the_session_and_nobody_elses() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let offer = SessionDescription { sdp: "v=0\r\nnonsense".into(), ..Default::default() };
    stage.request(bob, Request::Offer(offer));
    assert_eq!(stage.clients[&bob].closed, Some(SessionEnd::Malformed));
    let carol = stage.join("carol");
    let trickle = |text: &str| TrickleRequest { candidate_init: text.into(), ..Default::default() };
    let good = "{\"candidate\":\"candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host\",\"sdpMid\":\"0\"}";
    stage.request(carol, Request::Trickle(trickle(good)));
    assert_eq!(stage.clients[&carol].closed, None);
    stage.request(carol, Request::Trickle(trickle("{\"candidate\":17}")));
    assert_eq!(stage.clients[&carol].closed, Some(SessionEnd::Malformed));
    assert_eq!(stage.clients[&alice].closed, None);
    assert_eq!(stage.room.participants_len(), 1);
}
