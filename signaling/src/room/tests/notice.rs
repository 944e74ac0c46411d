//! What the application is told.

use super::*;
use crate::room::Happening;
use livekit_protocol::{LeaveRequest, MuteTrackRequest};

/// Who, and what happened to them, since the last call.
fn told(stage: &mut Stage) -> Vec<(String, &'static str)> {
    let word = |happening: &Happening| match happening {
        Happening::Joined => "joined",
        Happening::Left => "left",
        Happening::ConnectionAborted => "aborted",
        Happening::TrackPublished(_) => "published",
        Happening::TrackUnpublished(_) => "unpublished",
    };
    let notices = std::mem::take(&mut stage.notices);
    notices.into_iter().map(|notice| (notice.participant.identity.clone(), word(&notice.happening))).collect()
}

fn alice(words: &[&'static str]) -> Vec<(String, &'static str)> {
    words.iter().map(|word| ("alice".to_owned(), *word)).collect()
}

#[test]
fn a_participant_comes_when_connected_publishes_when_carried_and_leaves_after_its_tracks() {
    for mode in [ConnectionMode::Single, ConnectionMode::Dual] {
        let mut stage = Stage::new();
        let session = stage.join_with(Join { mode, ..join("alice") });
        stage.settle();
        assert_eq!(told(&mut stage), []);
        stage.connect(session);
        assert_eq!(told(&mut stage), alice(&["joined"]));
        stage.request(session, Request::AddTrack(track_request("mic", TrackSource::Microphone)));
        assert_eq!(told(&mut stage), [], "announced only");
        let sid = stage.publish(session, "mic", TrackSource::Microphone);
        stage.request(session, Request::Mute(MuteTrackRequest { sid, muted: true }));
        assert_eq!(told(&mut stage), alice(&["published"]));
        stage.request(session, Request::Leave(LeaveRequest::default()));
        assert_eq!(told(&mut stage), alice(&["unpublished", "left"]));
    }
}

#[test]
fn whoever_was_never_reached_did_not_leave() {
    let mut stage = Stage::new();
    let session = stage.join("alice");
    stage.room.handle_session_closed(stage.now, session);
    stage.pass(Duration::from_secs(120));
    assert_eq!(told(&mut stage), alice(&["aborted"]));
}

#[test]
fn a_session_that_comes_back_was_never_gone_and_one_that_is_replaced_was() {
    let mut stage = Stage::new();
    let session = stage.join("alice");
    stage.connect(session);
    let sid = stage.sid(session);
    stage.room.handle_session_closed(stage.now, session);
    stage.resume("alice", &sid);
    assert_eq!(told(&mut stage), alice(&["joined"]));
    let second = stage.join("alice");
    stage.connect(second);
    assert_eq!(told(&mut stage), alice(&["left", "joined"]));
}
