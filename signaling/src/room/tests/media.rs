//! Publishing, receiving, and who may.

use super::*;
use crate::room::{SilentPath, limits};
use bytes::Bytes;
use consilium_media_core::control::{PathState, SilentCause, TrackLevel};
use consilium_media_core::ids::SubscriptionId;
use consilium_media_core::params::ReceiveSection;
use livekit_protocol::request_response::Reason;
use livekit_protocol::{
    DataPacket, LeaveRequest, MuteTrackRequest, StreamState, SubscriptionPermission, TrackPermission,
    UpdateParticipantMetadata, UpdateSubscription, UpdateTrackSettings, UserPacket, VideoQuality, data_packet,
};
use prost::Message as _;

fn sections(stage: &Stage) -> &[ReceiveSection] {
    let last = stage.commands.iter().rev().find_map(|command| match command {
        Command::SetReceive { sections, .. } => Some(sections),
        _ => None,
    });
    last.unwrap()
}

fn refusals(stage: &Stage, session: SessionId) -> Vec<Reason> {
    let reasons = stage.inbox(session).iter().filter_map(|message| match message {
        Message::RequestResponse(response) => Some(response.reason()),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn what_one_publishes_everybody_else_receives() {
    for mode in [ConnectionMode::Single, ConnectionMode::Dual] {
        let mut stage = Stage::new();
        let alice = stage.join_with(Join { mode, ..join("alice") });
        let bob = stage.join_with(Join { mode, ..join("bob") });
        stage.settle();
        let sid = stage.publish(alice, "mic", TrackSource::Microphone);
        let track = stage.track(&sid);
        assert_eq!(sections(&stage).iter().filter_map(|section| section.track).collect::<Vec<_>>(), [track]);
        assert_eq!(stage.receives(bob), [track]);
        assert!(stage.receives(alice).is_empty());
        let told = stage.inbox(alice).iter().filter(|message| matches!(message, Message::TrackSubscribed(_))).count();
        assert_eq!(told, 1);
        let info = &stage.seen(bob, "alice").unwrap().tracks[0];
        assert_eq!((info.sid.as_str(), info.mime_type.as_str()), (sid.as_str(), "audio/opus"));
        assert!(!info.mid.is_empty());
        // Somebody who comes later receives it too, and in the first exchange.
        let carol = stage.join_with(Join { mode, ..join("carol") });
        if mode == ConnectionMode::Single {
            assert_eq!(stage.receives(carol), [track]);
        }
        stage.settle();
        assert_eq!(stage.receives(carol), [track]);
    }
}

#[test]
fn the_answer_maps_sections_to_tracks_for_a_single_connection() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let sid = stage.publish(alice, "cam", TrackSource::Camera);
    let mut answers = stage.inbox(bob).iter().rev().filter_map(|message| match message {
        Message::Answer(answer) => Some(&answer.mid_to_track_id),
        _ => None,
    });
    assert!(answers.next().unwrap().values().any(|track| *track == sid));
}

#[test]
fn a_client_is_asked_for_the_sections_that_it_lacks_and_only_once() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.try_join(join("bob"), &[]).unwrap();
    for cid in ["one", "two", "three"] {
        stage.publish(alice, cid, TrackSource::Camera);
    }
    assert_eq!(stage.receives(bob).len(), 3);
    assert_eq!(stage.clients[&bob].sections.len(), 3);
    // A client that offers without adding any is not asked for ever.
    let stubborn = stage.try_join(join("stubborn"), &[]).unwrap();
    for _ in 0..5 {
        stage.offer(stubborn);
    }
    let asked = stage.inbox(stubborn).iter().filter(|m| matches!(m, Message::MediaSectionsRequirement(_))).count();
    assert!((1..=3).contains(&asked), "asked {asked} times");
}

#[test]
fn a_description_may_come_before_its_announcement() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.clients.get_mut(&alice).unwrap().sections.push(sdp::sending("audio", "mic"));
    stage.offer(alice);
    assert!(sections(&stage).iter().all(|section| section.track.is_none()));
    stage.request(alice, Request::AddTrack(track_request("mic", TrackSource::Microphone)));
    stage.settle();
    assert_eq!(stage.receives(bob).len(), 1);
}

#[test]
fn two_tracks_of_a_kind_are_told_apart_by_their_names() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    stage.request(alice, Request::AddTrack(track_request("cam", TrackSource::Camera)));
    stage.request(alice, Request::AddTrack(track_request("screen", TrackSource::ScreenShare)));
    let sections = &mut stage.clients.get_mut(&alice).unwrap().sections;
    sections.extend([sdp::sending("video", "screen"), sdp::sending("video", "cam")]);
    stage.offer(alice);
    let (screen, cam) = (stage.published(alice, "screen").sid, stage.published(alice, "cam").sid);
    let mid = |sid: &str| {
        let info = stage.room.get_participant("alice").unwrap();
        info.tracks.iter().find(|track| track.sid == sid).unwrap().mid.clone()
    };
    assert_eq!((mid(&screen).as_str(), mid(&cam).as_str()), ("2", "3"));
}

#[test]
fn a_track_whose_name_in_the_description_is_made_up_is_matched_by_kind() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.request(alice, Request::AddTrack(track_request("cam", TrackSource::Camera)));
    stage.clients.get_mut(&alice).unwrap().sections.push(sdp::sending("video", "{made-up}"));
    stage.offer(alice);
    stage.settle();
    assert_eq!(stage.receives(bob).len(), 1);
    let info = stage.room.get_participant("alice").unwrap();
    assert_eq!(info.tracks[0].codecs[0].sdp_cid, "{made-up}");
}

#[test]
fn a_section_that_stops_sending_ends_its_track_for_everybody() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.publish(alice, "mic", TrackSource::Microphone);
    let section = stage.clients.get_mut(&alice).unwrap().sections.last_mut().unwrap();
    section.direction = "inactive";
    section.track = None;
    stage.offer(alice);
    stage.settle();
    assert!(stage.seen(bob, "alice").unwrap().tracks.is_empty());
    assert!(sections(&stage).is_empty());
    assert!(stage.room.publishers.is_empty() && stage.room.track_sids.is_empty());
    // The section can carry another track.
    stage.request(alice, Request::AddTrack(track_request("mic2", TrackSource::Microphone)));
    *stage.clients.get_mut(&alice).unwrap().sections.last_mut().unwrap() = sdp::sending("audio", "mic2");
    stage.offer(alice);
    stage.settle();
    assert_eq!(stage.seen(bob, "alice").unwrap().tracks.len(), 1);
}

#[test]
fn whoever_may_not_publish_carries_nothing() {
    let mut stage = Stage::new();
    let observer = Permission { can_publish: false, ..permission() };
    let camera_only = Permission { sources: Some(vec![TrackSource::Camera]), ..permission() };
    let alice = stage.join_with(Join { permission: observer, ..join("alice") });
    let bob = stage.join_with(Join { permission: camera_only, ..join("bob") });
    for session in [alice, bob] {
        stage.request(session, Request::AddTrack(track_request("mic", TrackSource::Microphone)));
        assert_eq!(refusals(&stage, session), [Reason::NotAllowed]);
        stage.clients.get_mut(&session).unwrap().sections.push(sdp::sending("audio", "mic"));
        stage.offer(session);
        assert!(sections(&stage).iter().all(|section| section.track.is_none()));
    }
    *stage.clients.get_mut(&bob).unwrap().sections.last_mut().unwrap() = sdp::receiving("audio");
    stage.publish(bob, "cam", TrackSource::Camera);
    assert_eq!(stage.receives(alice).len(), 1);
}

#[test]
fn nobody_announces_more_tracks_than_the_limit() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    for index in 0..=limits::TRACKS_PER_PARTICIPANT_MAX {
        stage.request(alice, Request::AddTrack(track_request(&format!("t{index}"), TrackSource::Camera)));
    }
    assert_eq!(refusals(&stage, alice), [Reason::LimitExceeded]);
}

#[test]
fn whoever_may_not_subscribe_receives_nothing() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let sid = stage.publish(alice, "cam", TrackSource::Camera);
    let deaf =
        stage.join_with(Join { permission: Permission { can_subscribe: false, ..permission() }, ..join("deaf") });
    let ask = UpdateSubscription { track_sids: vec![sid], subscribe: true, ..Default::default() };
    stage.request(deaf, Request::Subscription(ask));
    stage.publish(alice, "mic", TrackSource::Microphone);
    assert!(stage.receives(deaf).is_empty());
}

#[test]
fn without_automatic_subscription_a_client_receives_what_it_asks_for() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join_with(Join { auto_subscribe: false, ..join("bob") });
    let cam = stage.publish(alice, "cam", TrackSource::Camera);
    let mic = stage.publish(alice, "mic", TrackSource::Microphone);
    assert!(stage.receives(bob).is_empty());
    let ask = |sid: &str, subscribe| {
        Request::Subscription(UpdateSubscription { track_sids: vec![sid.into()], subscribe, ..Default::default() })
    };
    stage.request(bob, ask(&mic, true));
    stage.settle();
    assert_eq!(stage.receives(bob), [stage.track(&mic)]);
    stage.request(bob, ask(&mic, false));
    stage.request(bob, ask(&cam, true));
    stage.settle();
    assert_eq!(stage.receives(bob), [stage.track(&cam)]);
    stage.request(bob, ask("TR_unknown", true));
    assert!(matches!(stage.inbox(bob).last(), Some(Message::SubscriptionResponse(_))));
}

#[test]
fn a_track_setting_pauses_and_limits_also_before_the_track_is_sent() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join_with(Join { auto_subscribe: false, ..join("bob") });
    let cam = stage.publish(alice, "cam", TrackSource::Camera);
    let setting = |disabled, quality: VideoQuality| {
        Request::TrackSetting(UpdateTrackSettings {
            track_sids: vec![cam.clone()],
            disabled,
            quality: quality.into(),
            ..Default::default()
        })
    };
    let last = |stage: &Stage| match stage.commands.last() {
        Some(Command::SetSubscription { paused, limit, .. }) => Some((*paused, limit.spatial)),
        _ => None,
    };
    stage.request(bob, setting(true, VideoQuality::High));
    let ask = UpdateSubscription { track_sids: vec![cam.clone()], subscribe: true, ..Default::default() };
    stage.request(bob, Request::Subscription(ask));
    stage.settle();
    assert_eq!(last(&stage), Some((true, u8::MAX)));
    stage.request(bob, setting(false, VideoQuality::Low));
    assert_eq!(last(&stage), Some((false, 0)));
    let before = stage.commands.len();
    stage.request(bob, setting(false, VideoQuality::Low));
    assert_eq!(stage.commands.len(), before);
}

#[test]
fn a_client_that_adapts_gets_the_smallest_layer_until_it_has_asked() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join_with(Join { adaptive_stream: true, ..join("bob") });
    let limits = |stage: &Stage| -> Vec<u8> {
        let set = |command: &Command| match command {
            Command::SetSubscription { limit, .. } => Some(limit.spatial),
            _ => None,
        };
        stage.commands.iter().filter_map(set).collect()
    };
    stage.publish(alice, "mic", TrackSource::Microphone);
    assert!(limits(&stage).is_empty(), "audio has no layers");
    let cam = stage.publish(alice, "cam", TrackSource::Camera);
    assert_eq!(limits(&stage), [0]);
    let setting = UpdateTrackSettings { track_sids: vec![cam], width: 4_000, height: 3_000, ..Default::default() };
    stage.request(bob, Request::TrackSetting(setting));
    assert_eq!(limits(&stage), [0, u8::MAX]);
}

#[test]
fn who_has_no_room_for_a_track_is_told_that_it_pauses_and_that_it_is_back() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let cam = stage.publish(alice, "cam", TrackSource::Camera);
    let subscription = stage.commands.iter().rev().find_map(|command| match command {
        Command::Subscribe { subscription, .. } => Some(*subscription),
        _ => None,
    });
    let (peer, subscription) = (stage.peer(bob), subscription.unwrap());
    for stalled in [true, false] {
        stage.event(Event::SubscriptionStalled { subscription, peer, stalled });
    }
    let told = stage.inbox(bob).iter().filter_map(|message| match message {
        Message::StreamStateUpdate(update) => Some(update.stream_states[0].clone()),
        _ => None,
    });
    let told: Vec<_> =
        told.map(|state| (state.participant_sid.clone(), state.track_sid.clone(), state.state())).collect();
    let want = |state| (stage.sid(alice), cam.clone(), state);
    assert_eq!(told, [want(StreamState::Paused), want(StreamState::Active)]);
    let other = stage.peer(alice);
    stage.event(Event::SubscriptionStalled { subscription, peer: other, stalled: true });
    assert!(!stage.inbox(alice).iter().any(|message| matches!(message, Message::StreamStateUpdate(_))));
}

#[test]
fn a_publisher_chooses_its_audience() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let carol = stage.join("carol");
    let cam = stage.publish(alice, "cam", TrackSource::Camera);
    let track = stage.track(&cam);
    let only_bob = SubscriptionPermission {
        all_participants: false,
        track_permissions: vec![TrackPermission {
            participant_identity: "bob".into(),
            all_tracks: true,
            ..Default::default()
        }],
    };
    stage.request(alice, Request::SubscriptionPermission(only_bob));
    assert_eq!(stage.receives(bob), [track]);
    assert!(stage.receives(carol).is_empty());
    assert!(matches!(
        stage.inbox(carol).last(),
        Some(Message::SubscriptionPermissionUpdate(update)) if !update.allowed && update.track_sid == cam
    ));
    let late = stage.join("late");
    assert!(stage.receives(late).is_empty());
    let all = SubscriptionPermission { all_participants: true, ..Default::default() };
    stage.request(alice, Request::SubscriptionPermission(all));
    stage.settle();
    assert_eq!(stage.receives(carol), [track]);
    assert_eq!(stage.receives(late), [track]);
}

#[test]
fn a_muted_track_is_told_and_not_forwarded() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let sid = stage.publish(alice, "mic", TrackSource::Microphone);
    stage.request(bob, Request::Mute(MuteTrackRequest { sid: sid.clone(), muted: true }));
    assert!(!stage.seen(bob, "alice").unwrap().tracks[0].muted, "nobody mutes somebody else's track");
    stage.request(alice, Request::Mute(MuteTrackRequest { sid: sid.clone(), muted: true }));
    assert!(stage.seen(bob, "alice").unwrap().tracks[0].muted);
    assert!(matches!(stage.commands.last(), Some(Command::SetTrackMuted { muted: true, .. })));
    stage.request(alice, Request::Mute(MuteTrackRequest { sid, muted: false }));
    assert!(!stage.seen(bob, "alice").unwrap().tracks[0].muted);
}

#[test]
fn a_track_announced_muted_starts_muted() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let request = AddTrackRequest { muted: true, ..track_request("mic", TrackSource::Microphone) };
    stage.request(alice, Request::AddTrack(request));
    stage.clients.get_mut(&alice).unwrap().sections.push(sdp::sending("audio", "mic"));
    stage.offer(alice);
    let muted = stage.commands.iter().position(|c| matches!(c, Command::SetTrackMuted { muted: true, .. }));
    let received = stage.commands.iter().position(|c| matches!(c, Command::SetReceive { .. }));
    assert!(received < muted);
}

pub(super) fn user_packet(text: &str, destinations: &[&str]) -> DataPacket {
    DataPacket {
        participant_identity: "somebody else".into(),
        destination_identities: destinations.iter().map(|identity| (*identity).to_owned()).collect(),
        value: Some(data_packet::Value::User(UserPacket { payload: text.into(), ..Default::default() })),
        ..Default::default()
    }
}

pub(super) fn send(
    stage: &mut Stage,
    session: SessionId,
    channel: u16,
    packet: &DataPacket,
) -> Vec<(PeerId, DataPacket)> {
    let peer = stage.peer(session);
    stage.commands.clear();
    let payload = Bytes::from(packet.encode_to_vec());
    stage.event(Event::Data { peer, channel: DataChannelId::new(channel), binary: true, payload });
    let sent = stage.commands.iter().filter_map(|command| match command {
        Command::SendData { peer, payload, channel: to, .. } => {
            assert_eq!(to.get(), channel);
            Some((*peer, DataPacket::decode(payload.clone()).unwrap()))
        }
        _ => None,
    });
    sent.collect()
}

#[test]
fn data_goes_to_those_it_is_meant_for_with_its_senders_name() {
    let mut stage = Stage::new();
    let sessions = [stage.join("alice"), stage.join("bob"), stage.join("carol")];
    for session in sessions {
        stage.connect(session);
        stage.open_channels(session);
    }
    let [alice, bob, carol] = sessions.map(|session| stage.peer(session));
    let sent = send(&mut stage, sessions[0], 1, &DataPacket { sequence: 9, ..user_packet("hello", &[]) });
    assert_eq!(sent.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [bob, carol]);
    let packet = &sent[0].1;
    assert_eq!((packet.participant_identity.as_str(), packet.sequence), ("alice", 9));
    assert_eq!(packet.participant_sid, stage.sid(sessions[0]));
    let sent = send(&mut stage, sessions[1], 3, &user_packet("psst", &["alice"]));
    assert_eq!(sent.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [alice]);
    let long = "x".repeat(limits::DATA_PACKET_LEN_MAX);
    assert!(send(&mut stage, sessions[0], 1, &user_packet(&long, &[])).is_empty());
    assert!(send(&mut stage, sessions[0], 5, &user_packet("no such channel", &[])).is_empty());
    assert_eq!(stage.data_drops, [DataDrop::TooLarge, DataDrop::UnknownChannel]);
}

#[test]
fn a_packet_that_cannot_be_read_or_is_the_servers_to_send_is_dropped_and_counted() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.connect(alice);
    stage.connect(bob);
    let peer = stage.peer(alice);
    let server_only = DataPacket { value: Some(data_packet::Value::Metrics(Default::default())), ..Default::default() };
    for payload in [Bytes::from(vec![0xff; 40]), Bytes::new(), server_only.encode_to_vec().into()] {
        stage.commands.clear();
        stage.event(Event::Data { peer, channel: DataChannelId::new(1), binary: true, payload });
        assert!(stage.commands.is_empty());
    }
    assert_eq!(stage.data_drops, [DataDrop::Malformed; 3]);
}

#[test]
fn reliable_data_reaches_who_has_just_joined_once_its_channel_is_open() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.join("alice"), stage.join("bob"));
    stage.connect(alice);
    assert!(send(&mut stage, alice, 1, &user_packet("first", &[])).is_empty());
    assert!(send(&mut stage, alice, 3, &user_packet("lossy", &[])).is_empty());
    assert!(send(&mut stage, alice, 1, &user_packet("second", &[])).is_empty());
    stage.commands.clear();
    stage.connect(bob);
    let said = |stage: &Stage| -> Vec<Vec<u8>> {
        let payloads = stage.commands.iter().filter_map(|command| match command {
            Command::SendData { payload, .. } => DataPacket::decode(payload.clone()).unwrap().value,
            _ => None,
        });
        let user = |value| match value {
            data_packet::Value::User(user) => user.payload,
            _ => Vec::new(),
        };
        payloads.map(user).collect()
    };
    assert_eq!(said(&stage), [b"first".to_vec(), b"second".to_vec()]);
    // Once, and no more than the bound.
    stage.commands.clear();
    stage.open_channels(bob);
    assert!(said(&stage).is_empty());
    let carol = stage.join("carol");
    for _ in 0..limits::EARLY_PACKETS_MAX * 2 {
        send(&mut stage, alice, 1, &user_packet("x", &["carol"]));
    }
    stage.commands.clear();
    stage.connect(carol);
    assert_eq!(said(&stage).len(), limits::EARLY_PACKETS_MAX);
}

#[test]
fn data_needs_the_right_to_send_and_the_right_to_receive() {
    let mut stage = Stage::new();
    let silent = Permission { can_publish_data: false, ..permission() };
    let deaf = Permission { can_subscribe: false, ..permission() };
    let sessions = [
        stage.join("alice"),
        stage.join_with(Join { permission: silent, ..join("silent") }),
        stage.join_with(Join { permission: deaf, ..join("deaf") }),
    ];
    for session in sessions {
        stage.open_channels(session);
    }
    assert!(send(&mut stage, sessions[1], 1, &user_packet("no", &[])).is_empty());
    assert_eq!(stage.data_drops, [DataDrop::Forbidden]);
    let sent = send(&mut stage, sessions[0], 1, &user_packet("yes", &[]));
    assert_eq!(sent.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [stage.peer(sessions[1])]);
}

#[test]
fn speakers_are_told_to_everybody_and_muted_ones_are_not() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let sid = stage.publish(alice, "mic", TrackSource::Microphone);
    let levels = vec![TrackLevel { track: stage.track(&sid), level: 0.2 }];
    stage.forget_inboxes();
    stage.event(Event::AudioLevels { levels: levels.clone() });
    for session in [alice, bob] {
        let Some(Message::SpeakersChanged(changed)) = stage.inbox(session).last() else { panic!("not told") };
        assert!(changed.speakers[0].active && changed.speakers[0].sid == stage.sid(alice));
        assert_eq!((changed.speakers[0].level * 8.0).fract(), 0.0);
    }
    stage.forget_inboxes();
    stage.event(Event::AudioLevels { levels: vec![] });
    assert!(stage.inbox(bob).is_empty(), "a pause");
    // No window tells that it is over.
    stage.pass(Duration::from_secs(1));
    let told = stage.inbox(bob).iter().find_map(|message| match message {
        Message::SpeakersChanged(changed) => Some(changed),
        _ => None,
    });
    let changed = told.unwrap();
    assert!(!changed.speakers[0].active && changed.speakers[0].level == 0.0);
    stage.request(alice, Request::Mute(MuteTrackRequest { sid, muted: true }));
    stage.forget_inboxes();
    stage.event(Event::AudioLevels { levels });
    assert!(stage.inbox(bob).is_empty());
}

#[test]
fn a_room_that_forwards_its_loudest_says_so_with_each_connection() {
    for (loudest_speakers, mode, times) in
        [(0, ConnectionMode::Single, 0), (3, ConnectionMode::Single, 1), (3, ConnectionMode::Dual, 2)]
    {
        let mut stage = Stage::with(RoomSettings { loudest_speakers, ..settings() });
        let alice = stage.join_with(Join { mode, ..join("alice") });
        stage.settle();
        stage.publish(alice, "mic", TrackSource::Microphone);
        let position = |wanted: fn(&Command) -> bool| stage.commands.iter().position(wanted);
        let said = stage.commands.iter().filter(|c| matches!(c, Command::SetLoudest { loudest: 3, .. })).count();
        assert_eq!(said, times, "{mode:?}");
        let before = position(|c| matches!(c, Command::SetLoudest { .. }));
        let published = position(|c| matches!(c, Command::SetReceive { sections, .. } if !sections.is_empty()));
        assert!(published.is_some() && before.is_none_or(|before| Some(before) < published));
    }
}

#[test]
fn a_silent_path_is_known_by_its_sids_until_it_is_over_or_ends() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let sid = stage.publish(alice, "mic", TrackSource::Microphone);
    let track = stage.track(&sid);
    let subscription = stage.commands.iter().find_map(|command| match command {
        Command::Subscribe { subscription, track: of, .. } if *of == track => Some(*subscription),
        _ => None,
    });
    assert!(subscription.is_some());
    let silent = |cause| PathState::Silent(cause);
    let path = |subscription, state| Event::AudioPath { track, subscription, state };
    stage.event(path(subscription, silent(SilentCause::NotForwarded)));
    stage.event(path(None, silent(SilentCause::Uplink)));
    let (publisher, listener) = (stage.sid(alice), stage.sid(bob));
    let known = |subscriber, cause| SilentPath { publisher: publisher.clone(), track: sid.clone(), subscriber, cause };
    let uplink = known(None, SilentCause::Uplink);
    assert_eq!(stage.room.silent_paths(), [uplink.clone(), known(Some(listener), SilentCause::NotForwarded)]);
    stage.event(path(subscription, PathState::Over));
    assert_eq!(stage.room.silent_paths(), [uplink]);
    stage.event(path(Some(SubscriptionId::new(u64::MAX)), silent(SilentCause::NotReceived)));
    stage.request(alice, Request::Leave(LeaveRequest::default()));
    assert!(stage.room.silent_paths().is_empty());
    // News of a track that ended.
    stage.event(path(None, silent(SilentCause::Uplink)));
    assert!(stage.room.silent_paths().is_empty());
}

#[test]
fn only_those_who_may_change_their_own_profile_and_within_limits() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let editor = Permission { can_update_metadata: true, ..permission() };
    let bob = stage.join_with(Join { permission: editor, ..join("bob") });
    let update = |name: &str, attributes: &[(&str, &str)]| {
        Request::UpdateMetadata(UpdateParticipantMetadata {
            name: name.into(),
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            request_id: 5,
            ..Default::default()
        })
    };
    stage.request(alice, update("Chair", &[]));
    assert_eq!(refusals(&stage, alice), [Reason::NotAllowed]);
    assert_eq!(stage.room.get_participant("alice").unwrap().name, "Name of alice");
    stage.request(bob, update("Chair", &[("hand", "up"), ("role", "guest")]));
    stage.request(bob, update("", &[("hand", "")]));
    assert_eq!(refusals(&stage, bob), [Reason::Ok, Reason::Ok]);
    let info = stage.seen(alice, "bob").unwrap();
    assert_eq!(info.name, "Chair");
    assert_eq!(info.attributes, HashMap::from([("role".to_owned(), "guest".to_owned())]));
    let many: Vec<_> = (0..=limits::ATTRIBUTES_MAX).map(|index| index.to_string()).collect();
    let many: Vec<_> = many.iter().map(|key| (key.as_str(), "x")).collect();
    stage.request(bob, update("", &many));
    assert_eq!(refusals(&stage, bob).last(), Some(&Reason::LimitExceeded));
    assert_eq!(stage.room.get_participant("bob").unwrap().attributes.len(), 1);
}
