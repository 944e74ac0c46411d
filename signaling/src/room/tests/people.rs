//! What the application sees of people, and does about them.

use super::*;
use crate::access::VideoGrants;
use crate::room::PersonTrack;
use crate::room::people::Revision;
use crate::room::permission::Permission;

#[test]
fn every_sound_of_somebody_is_muted_and_no_picture() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    for (cid, source) in
        [("mic", TrackSource::Microphone), ("cam", TrackSource::Camera), ("sound", TrackSource::ScreenShareAudio)]
    {
        stage.publish(alice, cid, source);
    }
    assert_eq!(stage.room.silence("alice"), 2);
    stage.pump();
    assert_eq!(stage.room.silence("alice"), 0, "there is nothing left to mute");
    assert_eq!(stage.room.silence("nobody"), 0);
    assert!(matches!(stage.inbox(alice).last(), Some(Message::Mute(mute)) if mute.muted));
    let muted: Vec<_> = stage.seen(bob, "alice").unwrap().tracks.iter().map(|track| track.muted).collect();
    assert_eq!(muted.iter().filter(|muted| **muted).count(), 2);
    let people = stage.room.people();
    let tracks = &people.iter().find(|person| person.identity == "alice").unwrap().tracks;
    assert!(tracks.contains(&PersonTrack { source: "camera", is_muted: false }));
    assert!(tracks.contains(&PersonTrack { source: "microphone", is_muted: true }));
    assert!(stage.room.is_here("alice") && !stage.room.is_here("nobody"));
}

#[test]
fn who_somebody_is_now_takes_the_place_of_what_their_token_said() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    let bob = stage.join("bob");
    stage.publish(alice, "mic", TrackSource::Microphone);
    assert_eq!(stage.receives(bob).len(), 1);
    let observer = VideoGrants { can_publish: Some(false), ..VideoGrants::default() };
    let revision = || Revision {
        name: "Alice".into(),
        attributes: [("role".to_owned(), "observer".to_owned())].into(),
        permission: Permission::from_grants(&observer),
    };
    stage.room.revise("alice", revision()).unwrap();
    stage.pump();
    assert!(stage.inbox(alice).iter().any(|message| matches!(message, Message::TrackUnpublished(_))));
    let seen = stage.seen(bob, "alice").unwrap();
    assert_eq!((seen.name.as_str(), seen.attributes["role"].as_str(), seen.attributes.len()), ("Alice", "observer", 1));
    assert!(seen.tracks.is_empty(), "what is no longer allowed ends");
    let told = stage.inbox(bob).len();
    stage.room.revise("alice", revision()).unwrap();
    stage.pump();
    assert_eq!(stage.inbox(bob).len(), told, "nothing new is not news");
    assert_eq!(stage.room.revise("nobody", revision()).err(), Some(crate::room::Refusal::NotFound));
}
