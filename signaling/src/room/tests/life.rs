//! Connections that are bad, lost for a moment, and back.

use super::*;
use consilium_media_core::control::PeerFigures;
use livekit_protocol::ConnectionQuality::{self, Excellent, Lost, Poor};
use livekit_protocol::MuteTrackRequest;

const SECOND: Duration = Duration::from_secs(1);

fn healthy(peer: PeerId) -> PeerFigures {
    let rtt = Some(Duration::from_millis(40));
    PeerFigures { peer, silent_for: Duration::ZERO, loss_up: Some(0.0), loss_down: Some(0.0), rtt }
}

/// A second passes, in which the first of `sessions` fared as `change` says and the others well.
fn fare(stage: &mut Stage, sessions: &[SessionId], change: impl FnOnce(&mut PeerFigures)) {
    stage.pass(SECOND);
    let mut figures: Vec<_> = sessions.iter().map(|&session| healthy(stage.peer(session))).collect();
    change(&mut figures[0]);
    stage.event(Event::Figures { figures });
}

/// What a session was told of a participant, in order.
fn told(stage: &Stage, session: SessionId, sid: &str) -> Vec<ConnectionQuality> {
    let updates = stage.inbox(session).iter().flat_map(|message| match message {
        Message::ConnectionQuality(update) => update.updates.clone(),
        _ => Vec::new(),
    });
    updates.filter(|info| info.participant_sid == sid).map(|info| info.quality()).collect()
}

/// Two in a room, the first with its microphone on.
fn two() -> (Stage, [SessionId; 2], String) {
    let mut stage = Stage::new();
    let sessions = [stage.join("alice"), stage.join("bob")];
    sessions.iter().for_each(|&session| stage.connect(session));
    stage.publish(sessions[0], "microphone", TrackSource::Microphone);
    let sid = stage.sid(sessions[0]);
    (stage, sessions, sid)
}

#[test]
fn a_quality_is_told_once_and_again_when_a_change_has_held() {
    let (mut stage, both, sid) = two();
    (0..10).for_each(|_| fare(&mut stage, &both, |_| {}));
    fare(&mut stage, &both, |of| of.loss_up = Some(0.3));
    assert_eq!(told(&stage, both[1], &sid), [Excellent], "a second of loss is no change");
    (0..10).for_each(|_| fare(&mut stage, &both, |of| of.loss_down = Some(0.3)));
    for session in both {
        assert_eq!(told(&stage, session, &sid).first(), Some(&Excellent));
        assert_eq!(told(&stage, session, &sid).last(), Some(&Poor));
        assert!(told(&stage, session, &sid).len() <= 3);
    }
}

#[test]
fn a_silent_path_is_told_as_lost_and_its_return_at_once() {
    let (mut stage, both, sid) = two();
    fare(&mut stage, &both, |_| {});
    for silent in 1..=8 {
        fare(&mut stage, &both, |of| (of.silent_for, of.loss_up, of.loss_down) = (SECOND * silent, None, None));
        let lost = told(&stage, both[1], &sid).contains(&Lost);
        assert_eq!(lost, silent >= 4, "after {silent} s");
    }
    fare(&mut stage, &both, |_| {});
    assert_eq!(told(&stage, both[1], &sid), [Excellent, Lost, Excellent]);
    assert_eq!(told(&stage, both[0], &sid), [Excellent, Lost, Excellent]);
}

#[test]
fn whoever_sends_nothing_may_be_as_silent_as_the_checks_of_its_browser() {
    let (mut stage, both, _) = two();
    let sid = stage.sid(both[1]);
    let listener = [both[1], both[0]];
    for silent in [0, 2, 6, 3, 12, 1] {
        fare(&mut stage, &listener, |of| (of.silent_for, of.loss_up) = (SECOND * silent, None));
    }
    assert_eq!(told(&stage, both[0], &sid), [Excellent]);
}

#[test]
fn whoever_has_just_muted_in_firefox_is_not_lost_before_its_next_check() {
    let mut stage = Stage::new();
    let client = ClientInfo { browser: "Firefox".into(), ..Default::default() };
    let alice = stage.join_with(Join { client, ..join("alice") });
    let bob = stage.join("bob");
    [alice, bob].into_iter().for_each(|session| stage.connect(session));
    let microphone = stage.publish(alice, "microphone", TrackSource::Microphone);
    let sid = stage.sid(alice);
    fare(&mut stage, &[alice, bob], |_| {});
    stage.request(alice, Request::Mute(MuteTrackRequest { sid: microphone, muted: true }));
    for silent in 1..=6 {
        fare(&mut stage, &[alice, bob], |of| (of.silent_for, of.loss_up) = (SECOND * silent, None));
    }
    assert_eq!(told(&stage, bob, &sid), [Excellent]);
}

#[test]
fn the_second_connection_of_a_sender_is_not_held_to_the_first_ones_rhythm() {
    let mut stage = Stage::new();
    let bob = stage.join("bob");
    let alice = stage.join_with(Join { mode: ConnectionMode::Dual, ..join("alice") });
    stage.settle();
    [alice, bob].into_iter().for_each(|session| stage.connect(session));
    stage.publish(alice, "microphone", TrackSource::Microphone);
    let sid = stage.sid(alice);
    let key = stage.room.key_of(alice).unwrap();
    let publisher = stage.room.participants[&key].publisher.id;
    for _ in 0..5 {
        stage.pass(SECOND);
        let receiving =
            PeerFigures { silent_for: SECOND * 6, loss_up: None, loss_down: None, ..healthy(stage.peer(alice)) };
        stage.event(Event::Figures { figures: vec![healthy(publisher), receiving] });
    }
    assert_eq!(told(&stage, bob, &sid), [Excellent]);
}

#[test]
fn of_a_lost_session_the_others_are_told_until_it_is_back() {
    let (mut stage, both, sid) = two();
    let bob = [both[1]];
    fare(&mut stage, &both, |_| {});
    stage.room.handle_session_closed(stage.now, both[0]);
    let peers = [stage.peer_of("alice"), stage.peer(both[1])];
    for _ in 0..3 {
        stage.pass(SECOND);
        stage.event(Event::Figures { figures: peers.map(healthy).to_vec() });
    }
    assert_eq!(told(&stage, bob[0], &sid), [Excellent, Lost]);
    let again = stage.resume("alice", &sid);
    assert_eq!(told(&stage, bob[0], &sid), [Excellent, Lost, Excellent]);
    // It is never told that it was lost itself, and learns how the others are.
    assert!(!told(&stage, again, &sid).contains(&Lost));
    assert_eq!(told(&stage, again, &stage.sid(both[1])), [Excellent]);
}

#[test]
fn somebody_new_learns_how_the_others_are_and_nobody_of_the_hidden() {
    let (mut stage, both, sid) = two();
    fare(&mut stage, &both, |_| {});
    let hidden = stage.join_with(Join { permission: Permission { hidden: true, ..permission() }, ..join("observer") });
    stage.connect(hidden);
    assert_eq!(told(&stage, hidden, &sid), [Excellent]);
    fare(&mut stage, &[hidden, both[0], both[1]], |of| of.silent_for = SECOND * 20);
    let own = stage.sid(hidden);
    assert_eq!(told(&stage, hidden, &own), [Lost]);
    assert!(told(&stage, both[0], &own).is_empty());
}
