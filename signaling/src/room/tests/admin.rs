//! What hosts do.

use super::*;
use crate::room::Refusal;
use livekit_protocol::participant_info::State;
use livekit_protocol::{
    DisconnectReason, MuteRoomTrackRequest, ParticipantPermission, SendDataRequest, UpdateParticipantRequest,
};

fn granted() -> ParticipantPermission {
    permission().to_proto()
}

#[test]
fn a_removed_participant_is_told_and_so_are_the_others() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.room.remove_participant(stage.now, "bob").unwrap();
    stage.pump();
    let Some(Message::Leave(leave)) = stage.inbox(bob).last() else { panic!("no goodbye") };
    assert_eq!(leave.reason(), DisconnectReason::ParticipantRemoved);
    assert_eq!(stage.clients[&bob].closed, Some(SessionEnd::Removed));
    assert_eq!(stage.seen(alice, "bob").unwrap().state(), State::Disconnected);
    assert_eq!(stage.room.remove_participant(stage.now, "bob"), Err(Refusal::NotFound));
}

#[test]
fn a_host_mutes_but_never_unmutes() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    let track_sid = stage.publish(alice, "mic", TrackSource::Microphone);
    let request = |muted| MuteRoomTrackRequest {
        room: "mdt".into(),
        identity: "alice".into(),
        track_sid: track_sid.clone(),
        muted,
    };
    assert!(stage.room.mute_published_track(&request(true)).unwrap().muted);
    stage.pump();
    assert!(matches!(stage.inbox(alice).last(), Some(Message::Mute(mute)) if mute.muted));
    assert!(stage.seen(bob, "alice").unwrap().tracks[0].muted);
    assert_eq!(stage.room.mute_published_track(&request(false)), Err(Refusal::FailedPrecondition));
    let unknown = MuteRoomTrackRequest { track_sid: "TR_unknown".into(), ..request(true) };
    assert_eq!(stage.room.mute_published_track(&unknown), Err(Refusal::NotFound));
}

#[test]
fn a_right_that_is_taken_ends_what_it_allowed() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.publish(alice, "mic", TrackSource::Microphone);
    stage.publish(bob, "mic", TrackSource::Microphone);
    assert_eq!((stage.receives(alice).len(), stage.receives(bob).len()), (1, 1));
    let update = |permission| UpdateParticipantRequest {
        identity: "bob".into(),
        permission: Some(permission),
        ..Default::default()
    };
    let none = ParticipantPermission { can_publish: false, can_subscribe: false, ..granted() };
    stage.room.update_participant(update(none)).unwrap();
    stage.pump();
    assert!(stage.inbox(bob).iter().any(|message| matches!(message, Message::TrackUnpublished(_))));
    assert!(stage.receives(bob).is_empty());
    assert!(stage.seen(alice, "bob").unwrap().tracks.is_empty());
    assert!(!stage.seen(bob, "bob").unwrap().permission.unwrap().can_publish);
    let last = stage.commands.iter().rev().find_map(|command| match command {
        Command::SetReceive { sections, .. } => Some(sections.iter().all(|section| section.track.is_none())),
        _ => None,
    });
    assert_eq!(last, Some(true));
    stage.room.update_participant(update(granted())).unwrap();
    stage.pump();
    stage.settle();
    assert_eq!(stage.receives(bob).len(), 1);
}

#[test]
fn a_profile_that_breaks_a_limit_changes_nothing() {
    let mut stage = Stage::new();
    stage.join("alice");
    let request = UpdateParticipantRequest {
        identity: "alice".into(),
        name: "New".into(),
        metadata: "x".repeat(crate::room::limits::METADATA_LEN_MAX + 1),
        ..Default::default()
    };
    assert!(matches!(stage.room.update_participant(request), Err(Refusal::InvalidArgument(_))));
    assert_eq!(stage.room.get_participant("alice").unwrap().name, "Name of alice");
}

#[test]
fn a_host_reaches_everybody_or_only_some() {
    let mut stage = Stage::new();
    let sessions = [stage.join("alice"), stage.join("bob")];
    for session in sessions {
        stage.open_channels(session);
    }
    let mut sent = |destinations: &[&str]| {
        let request = SendDataRequest {
            data: b"notice".to_vec(),
            destination_identities: destinations.iter().map(|identity| (*identity).to_owned()).collect(),
            ..Default::default()
        };
        stage.commands.clear();
        stage.room.send_data(request).unwrap();
        stage.pump();
        stage.commands.iter().filter(|command| matches!(command, Command::SendData { .. })).count()
    };
    assert_eq!(sent(&[]), 2);
    assert_eq!(sent(&["bob"]), 1);
}

#[test]
fn new_metadata_of_the_room_is_told() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    stage.room.update_metadata("agenda".into()).unwrap();
    stage.pump();
    assert!(matches!(
        stage.inbox(alice).last(),
        Some(Message::RoomUpdate(update)) if update.room.as_ref().unwrap().metadata == "agenda"
    ));
}
