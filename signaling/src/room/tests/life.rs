//! Connections that are bad, lost for a moment, and back.

use super::media::{send, user_packet};
use super::*;
use crate::room::limits;
use consilium_media_core::control::PeerFigures;
use livekit_protocol::ConnectionQuality::{self, Excellent, Lost, Poor};
use livekit_protocol::leave_request::Action;
use livekit_protocol::simulate_scenario::Scenario;
use livekit_protocol::{
    CandidateProtocol, DataChannelReceiveState, DataPacket, MuteRoomTrackRequest, MuteTrackRequest, SimulateScenario,
    SubscriptionPermission, SyncState, UpdateParticipantRequest, UpdateSubscription,
};
use prost::Message as _;

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

fn numbered(sequence: u32, text: &str) -> DataPacket {
    DataPacket { sequence, ..user_packet(text, &[]) }
}

#[test]
fn a_message_that_a_resumed_client_repeats_is_passed_on_once() {
    let (mut stage, both, sid) = two();
    for sequence in 1..=5 {
        assert_eq!(send(&mut stage, both[0], 1, &numbered(sequence, "said")).len(), 1);
    }
    stage.room.handle_session_closed(stage.now, both[0]);
    let again = stage.resume("alice", &sid);
    let Some(Message::Reconnect(reconnect)) = stage.inbox(again).first() else { panic!("not resumed") };
    assert_eq!(reconnect.last_message_seq, 5);
    for sequence in 4..=7 {
        let passed_on = send(&mut stage, again, 1, &numbered(sequence, "said")).len();
        assert_eq!(passed_on, usize::from(sequence > 5), "{sequence}");
    }
    assert_eq!(stage.data_drops, [DataDrop::Duplicate; 2]);
}

#[test]
fn what_waits_for_a_missing_message_is_passed_on_when_its_sender_leaves_or_stays_silent() {
    for leaves in [true, false] {
        let (mut stage, both, sid) = two();
        send(&mut stage, both[0], 1, &numbered(1, "said"));
        stage.room.handle_session_closed(stage.now, both[0]);
        let (peer, channel) = (stage.peer_of("alice"), DataChannelId::new(1));
        stage.commands.clear();
        for sequence in [3, 4] {
            let payload = numbered(sequence, "said").encode_to_vec().into();
            stage.event(Event::Data { peer, channel, binary: true, payload });
        }
        assert!(sent_to_bob(&mut stage).is_empty());
        if !leaves {
            stage.resume("alice", &sid);
        }
        stage.pass(limits::RESUME_WINDOW);
        assert_eq!(sent_to_bob(&mut stage), [3, 4]);
    }
}

/// Sequences sent to bob since the last look.
fn sent_to_bob(stage: &mut Stage) -> Vec<u32> {
    let bob = stage.peer_of("bob");
    let commands = std::mem::take(&mut stage.commands);
    let sent = commands.iter().filter_map(|command| match command {
        Command::SendData { peer, payload, .. } if *peer == bob => Some(DataPacket::decode(payload.clone()).unwrap()),
        _ => None,
    });
    sent.map(|packet| packet.sequence).collect()
}

#[test]
fn what_was_under_way_on_a_replaced_channel_is_sent_again_and_nothing_else_is() {
    for replaced_first in [false, true] {
        let (mut stage, both, alice) = two();
        let bob = stage.sid(both[1]);
        (1..=5).for_each(|sequence| drop(send(&mut stage, both[0], 1, &numbered(sequence, "said"))));
        let state = |publisher_sid: &str| SyncState {
            datachannel_receive_states: vec![DataChannelReceiveState {
                publisher_sid: publisher_sid.into(),
                last_seq: 3,
            }],
            ..Default::default()
        };
        let mut again = stage.resume("bob", &bob);
        stage.commands.clear();
        stage.request(again, Request::SyncState(state(&alice)));
        assert!(sent_to_bob(&mut stage).is_empty(), "the channel is still there");
        if replaced_first {
            again = stage.resume("bob", &bob);
            stage.commands.clear();
            stage.open_channels(again);
            assert!(sent_to_bob(&mut stage).is_empty(), "nobody knows what it has");
            stage.request(again, Request::SyncState(state(&alice)));
        } else {
            stage.open_channels(again);
        }
        assert_eq!(sent_to_bob(&mut stage), [4, 5]);
        stage.open_channels(again);
        assert!(sent_to_bob(&mut stage).is_empty());
    }
}

#[test]
fn what_a_host_or_another_client_changed_meanwhile_is_told_on_the_resume() {
    let (mut stage, both, sid) = two();
    let microphone = stage.published(both[0], "microphone").sid;
    let camera = stage.publish(both[1], "camera", TrackSource::Camera);
    stage.room.handle_session_closed(stage.now, both[0]);
    stage.pump();
    let mute = MuteRoomTrackRequest {
        identity: "alice".into(),
        track_sid: microphone.clone(),
        muted: true,
        ..Default::default()
    };
    stage.room.mute_published_track(&mute).unwrap();
    stage
        .room
        .update_participant(UpdateParticipantRequest {
            identity: "alice".into(),
            name: "Dr Alice".into(),
            ..Default::default()
        })
        .unwrap();
    stage.request(both[1], Request::SubscriptionPermission(SubscriptionPermission::default()));
    let again = stage.resume("alice", &sid);
    let [
        Message::Reconnect(_),
        Message::Mute(mute),
        Message::SubscriptionPermissionUpdate(permission),
        Message::RefreshToken(_),
        Message::Update(update),
        ..,
    ] = stage.inbox(again)
    else {
        panic!("{:?}", stage.inbox(again))
    };
    assert_eq!((mute.sid.as_str(), mute.muted), (microphone.as_str(), true));
    assert_eq!((permission.track_sid.as_str(), permission.allowed), (camera.as_str(), false));
    assert_eq!(update.participants[0].name, "Dr Alice");
    // Once.
    let third = stage.resume("alice", &sid);
    assert!(matches!(stage.inbox(third), [Message::Reconnect(_), Message::Update(_), ..]));
}

#[test]
fn a_wish_that_was_lost_with_the_session_holds_after_the_resume() {
    let (mut stage, both, _) = two();
    let track = stage.published(both[0], "microphone").sid;
    let (bob, id) = (stage.sid(both[1]), stage.track(&track));
    assert!(stage.receives(both[1]).contains(&id));
    let again = stage.resume("bob", &bob);
    let wanted = |subscribe, track_sids| {
        Request::SyncState(SyncState {
            subscription: Some(UpdateSubscription { track_sids, subscribe, ..Default::default() }),
            ..Default::default()
        })
    };
    stage.request(again, wanted(true, vec![track.clone()]));
    assert!(stage.receives(again).contains(&id));
    stage.request(again, wanted(false, vec![track]));
    assert!(!stage.receives(again).contains(&id));
}

fn simulate(stage: &mut Stage, session: SessionId, scenario: Scenario) {
    stage.request(session, Request::Simulate(SimulateScenario { scenario: Some(scenario) }));
}

#[test]
fn each_fault_that_a_client_asks_for_happens_to_it_alone() {
    type Left = Option<Action>;
    let told = |stage: &Stage, session| -> Left {
        let leave = |message: &Message| match message {
            Message::Leave(leave) => Some(leave.action()),
            _ => None,
        };
        stage.inbox(session).iter().find_map(leave)
    };
    for (scenario, action, stays) in [
        (Scenario::NodeFailure(true), None, false),
        (Scenario::Migration(true), Some(Action::Resume), true),
        (Scenario::ServerLeave(true), Some(Action::Disconnect), false),
        (Scenario::LeaveRequestFullReconnect(true), Some(Action::Reconnect), false),
    ] {
        let (mut stage, both, sid) = two();
        simulate(&mut stage, both[0], scenario);
        assert_eq!((told(&stage, both[0]), told(&stage, both[1])), (action, None), "{scenario:?}");
        assert_eq!(stage.clients[&both[0]].closed, Some(SessionEnd::Simulated));
        assert_eq!(stage.clients[&both[1]].closed, None);
        let again = stage.resume("alice", &sid);
        assert_eq!(stage.clients[&again].closed.is_none(), stays, "{scenario:?}");
    }
}

#[test]
fn a_resume_fails_once_when_the_client_asked_for_that() {
    for (scenario, heard) in
        [(Scenario::DisconnectSignalOnResume(true), true), (Scenario::DisconnectSignalOnResumeNoMessages(true), false)]
    {
        let (mut stage, both, sid) = two();
        simulate(&mut stage, both[0], scenario);
        let failed = stage.resume("alice", &sid);
        assert_eq!(stage.clients[&failed].closed, Some(SessionEnd::Simulated));
        assert_eq!(!stage.inbox(failed).is_empty(), heard);
        let again = stage.resume("alice", &sid);
        assert_eq!(stage.clients[&again].closed, None);
        stage.pass(limits::RESUME_WINDOW * 2);
        assert_eq!(stage.sid(again), sid);
    }
}

#[test]
fn pretended_speech_is_told_to_its_speaker_and_ends() {
    let (mut stage, both, _) = two();
    let speech = |stage: &Stage, session| -> Vec<bool> {
        let speakers = stage.inbox(session).iter().filter_map(|message| match message {
            Message::SpeakersChanged(changed) => Some(changed.speakers[0].active),
            _ => None,
        });
        speakers.collect()
    };
    (0..3).for_each(|_| simulate(&mut stage, both[0], Scenario::SpeakerUpdate(3)));
    assert_eq!(speech(&stage, both[0]), [true]);
    stage.pass(SECOND * 3);
    assert_eq!(speech(&stage, both[0]), [true, false]);
    simulate(&mut stage, both[0], Scenario::SpeakerUpdate(i32::MAX));
    stage.pass(SECOND * 30);
    assert_eq!(speech(&stage, both[0]), [true, false, true, false]);
    assert!(speech(&stage, both[1]).is_empty());
}

#[test]
fn a_receiver_limits_its_own_bandwidth_and_takes_the_limit_back() {
    let (mut stage, both, _) = two();
    for (bps, bps_max) in [(300_000, Some(300_000)), (0, None), (i64::MIN, None)] {
        let before = stage.commands.len();
        simulate(&mut stage, both[0], Scenario::SubscriberBandwidth(bps));
        let peer = stage.peer(both[0]);
        let limits: Vec<_> = stage.commands[before..]
            .iter()
            .filter_map(|command| match command {
                Command::LimitBandwidth { peer, bps_max } => Some((*peer, *bps_max)),
                _ => None,
            })
            .collect();
        assert_eq!(limits, [(peer, bps_max)]);
    }
}

#[test]
fn who_asks_for_another_candidate_protocol_stays_until_it_joins_anew_by_itself() {
    let (mut stage, both, sid) = two();
    for protocol in [CandidateProtocol::Tcp, CandidateProtocol::Tls] {
        stage.forget_inboxes();
        simulate(&mut stage, both[0], Scenario::SwitchCandidateProtocol(protocol.into()));
        assert!(stage.commands.is_empty());
        assert!(both.iter().all(|session| stage.inbox(*session).is_empty() && stage.clients[session].closed.is_none()));
    }
    assert_eq!(stage.sid(both[0]), sid);
}

#[test]
fn no_fault_can_be_asked_for_where_the_operator_does_not_allow_it() {
    let mut stage = Stage::with(RoomSettings { simulate: false, ..settings() });
    let alice = stage.join("alice");
    stage.connect(alice);
    for scenario in [Scenario::NodeFailure(true), Scenario::ServerLeave(true), Scenario::SpeakerUpdate(3)] {
        stage.forget_inboxes();
        simulate(&mut stage, alice, scenario);
        assert!(stage.inbox(alice).is_empty() && stage.clients[&alice].closed.is_none());
    }
}
