//! A picture in a second codec, for who cannot decode the first.

use super::*;
use crate::room::limits::LOWER_DEMAND_AFTER;
use livekit_protocol::request_response::Reason;
use livekit_protocol::{BackupCodecPolicy, LeaveRequest, SimulcastCodec, UpdateTrackSettings};

/// Listed in an announcement: VP9 at once, VP8 where somebody needs it.
fn request(policy: BackupCodecPolicy) -> AddTrackRequest {
    let codec = |codec: &str, cid: &str| SimulcastCodec { codec: codec.into(), cid: cid.into(), ..Default::default() };
    AddTrackRequest {
        simulcast_codecs: vec![codec("vp9", "cam"), codec("vp8", "")],
        backup_codec_policy: policy.into(),
        layers: layers(),
        ..track_request("cam", TrackSource::Camera)
    }
}

fn layers() -> Vec<VideoLayer> {
    let qualities = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];
    let layer = |(index, quality): (u32, VideoQuality)| VideoLayer {
        quality: quality.into(),
        width: 320 << index,
        height: 180 << index,
        ..Default::default()
    };
    (0..).zip(qualities).map(layer).collect()
}

/// Announced under the SID of the track, as the SDKs do when they are told that it is wanted.
fn backup_request(sid: &str) -> AddTrackRequest {
    let listed = SimulcastCodec { codec: "vp8".into(), cid: "cam-vp8".into(), layers: layers(), ..Default::default() };
    AddTrackRequest { sid: sid.into(), simulcast_codecs: vec![listed], ..track_request("cam-vp8", TrackSource::Camera) }
}

struct Meeting {
    stage: Stage,
    alice: SessionId,
    /// Decodes VP9.
    bob: SessionId,
    /// Does not.
    carol: SessionId,
    sid: String,
}

impl Meeting {
    fn new(policy: BackupCodecPolicy) -> Self {
        let mut stage = Stage::new();
        let alice = stage.join("alice");
        let both = [sdp::receiving("audio"), sdp::receiving("video").with_vp9()];
        let bob = stage.try_join(join("bob"), &both).unwrap();
        stage.request(alice, Request::AddTrack(request(policy)));
        stage.clients.get_mut(&alice).unwrap().sections.push(sdp::sending("video", "cam").with_vp9());
        stage.offer(alice);
        stage.settle();
        let sid = stage.published(alice, "cam").sid;
        let carol = stage.join("carol");
        stage.settle();
        Self { stage, alice, bob, carol, sid }
    }

    /// Alice does what she is told.
    fn publish_backup(&mut self) {
        let (stage, alice) = (&mut self.stage, self.alice);
        stage.request(alice, Request::AddTrack(backup_request(&self.sid)));
        stage.clients.get_mut(&alice).unwrap().sections.push(sdp::sending("video", "cam-vp8").with_vp9());
        stage.offer(alice);
        stage.settle();
    }

    fn started(&mut self) {
        let track = self.backup();
        self.stage.event(Event::TrackStarted { track });
    }

    fn primary(&self) -> TrackId {
        self.stage.track(&self.sid)
    }

    fn backup(&self) -> TrackId {
        let key = self.stage.room.key_of(self.alice).unwrap();
        self.stage.room.participants[&key].tracks[&self.primary()].backups[0].id
    }

    /// The sources that a session has, as the media core was told.
    fn has(&self, session: SessionId) -> Vec<TrackId> {
        let own = self.stage.peer(session);
        let mut has: Vec<(SubscriptionId, TrackId)> = Vec::new();
        for command in &self.stage.commands {
            match command {
                Command::Subscribe { subscription, track, peer, .. } if *peer == own => {
                    has.push((*subscription, *track));
                }
                Command::MoveSubscription { subscription, track, .. } => {
                    has.iter_mut().filter(|(id, _)| id == subscription).for_each(|(_, source)| *source = *track);
                }
                Command::Unsubscribe { subscription } => has.retain(|(id, _)| id != subscription),
                _ => {}
            }
        }
        has.into_iter().map(|(_, track)| track).collect()
    }

    /// How many layers of each codec alice was told to send last.
    fn told(&self) -> Vec<(String, usize)> {
        let mut updates = self.stage.inbox(self.alice).iter().filter_map(|message| match message {
            Message::SubscribedQualityUpdate(update) => Some(&update.subscribed_codecs),
            _ => None,
        });
        let count = |codec: &livekit_protocol::SubscribedCodec| {
            (codec.codec.clone(), codec.qualities.iter().filter(|quality| quality.enabled).count())
        };
        updates.next_back().into_iter().flatten().map(count).collect()
    }
}

fn codecs(told: &[(&str, usize)]) -> Vec<(String, usize)> {
    told.iter().map(|(codec, layers)| ((*codec).to_owned(), *layers)).collect()
}

#[test]
fn who_cannot_decode_the_codec_of_a_track_has_its_publisher_asked_for_the_backup() {
    let mut meeting = Meeting::new(BackupCodecPolicy::Simulcast);
    assert_eq!(meeting.has(meeting.bob), [meeting.primary()]);
    assert_eq!(meeting.has(meeting.carol), [], "nothing that she can decode is there yet");
    assert_eq!(meeting.told(), codecs(&[("vp9", 3), ("vp8", 3)]));
    meeting.publish_backup();
    assert_eq!(meeting.has(meeting.carol), [meeting.backup()]);
    assert_eq!(meeting.stage.published(meeting.alice, "cam-vp8").sid, meeting.sid, "it is the same track");
    let seen = meeting.stage.seen(meeting.bob, "alice").unwrap();
    let carried: Vec<_> = seen.tracks[0].codecs.iter().map(|codec| codec.mime_type.as_str()).collect();
    assert_eq!((seen.tracks.len(), carried), (1, vec!["video/VP9", "video/VP8"]));
}

#[test]
fn a_publisher_that_simulcasts_sends_each_the_codec_that_suits_it_and_no_layer_in_vain() {
    let mut meeting = Meeting::new(BackupCodecPolicy::Simulcast);
    meeting.publish_backup();
    meeting.started();
    assert_eq!(meeting.has(meeting.bob), [meeting.primary()]);
    assert_eq!(meeting.has(meeting.carol), [meeting.backup()]);
    let small = UpdateTrackSettings {
        track_sids: vec![meeting.sid.clone()],
        quality: VideoQuality::Low.into(),
        ..Default::default()
    };
    meeting.stage.request(meeting.carol, Request::TrackSetting(small));
    meeting.stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(meeting.told(), codecs(&[("vp9", 3), ("vp8", 1)]));
    meeting.stage.request(meeting.carol, Request::Leave(LeaveRequest::default()));
    meeting.stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(meeting.told(), codecs(&[("vp9", 3), ("vp8", 0)]));
    assert_eq!(meeting.has(meeting.bob), [meeting.primary()]);
}

#[test]
fn a_publisher_that_prefers_regression_sends_one_codec_from_when_the_backup_comes() {
    for policy in [BackupCodecPolicy::PreferRegression, BackupCodecPolicy::Regression] {
        let mut meeting = Meeting::new(policy);
        meeting.publish_backup();
        assert_eq!(meeting.has(meeting.bob), [meeting.primary()], "nobody is without a picture meanwhile");
        meeting.started();
        assert_eq!(meeting.has(meeting.bob), [meeting.backup()]);
        assert_eq!(meeting.has(meeting.carol), [meeting.backup()]);
        meeting.stage.pass(LOWER_DEMAND_AFTER);
        assert_eq!(meeting.told(), codecs(&[("vp9", 0), ("vp8", 3)]));
        // It stays so: a codec that changes with each who comes and goes would be worse.
        meeting.stage.request(meeting.carol, Request::Leave(LeaveRequest::default()));
        meeting.stage.pass(LOWER_DEMAND_AFTER * 2);
        assert_eq!(meeting.has(meeting.bob), [meeting.backup()]);
        let late = meeting.stage.try_join(join("dave"), &[sdp::receiving("video").with_vp9()]).unwrap();
        assert_eq!(meeting.has(late), [meeting.backup()]);
    }
}

#[test]
fn where_all_decode_the_first_codec_no_backup_is_asked_for() {
    let mut meeting = Meeting::new(BackupCodecPolicy::PreferRegression);
    meeting.stage.request(meeting.carol, Request::Leave(LeaveRequest::default()));
    meeting.stage.pass(LOWER_DEMAND_AFTER);
    assert_eq!(meeting.told(), codecs(&[("vp9", 3), ("vp8", 0)]));
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    stage.try_join(join("bob"), &[sdp::receiving("video").with_vp9()]).unwrap();
    stage.request(alice, Request::AddTrack(request(BackupCodecPolicy::PreferRegression)));
    stage.clients.get_mut(&alice).unwrap().sections.push(sdp::sending("video", "cam").with_vp9());
    stage.offer(alice);
    stage.settle();
    stage.pass(LOWER_DEMAND_AFTER * 2);
    assert!(stage.inbox(alice).iter().all(|message| !matches!(message, Message::SubscribedQualityUpdate(_))));
}

#[test]
fn where_the_client_does_not_offer_its_answer_says_what_it_can_decode() {
    let mut stage = Stage::new();
    let alice = stage.join("alice");
    stage.request(alice, Request::AddTrack(request(BackupCodecPolicy::Simulcast)));
    stage.clients.get_mut(&alice).unwrap().sections.push(sdp::sending("video", "cam").with_vp9());
    stage.offer(alice);
    let sid = stage.published(alice, "cam").sid;
    let dual = |identity: &str| Join { mode: ConnectionMode::Dual, ..join(identity) };
    let bob = stage.join_with(dual("bob"));
    stage.settle();
    let carol = stage.join_with(dual("carol"));
    stage.clients.get_mut(&carol).unwrap().refuses_vp9 = true;
    stage.settle();
    let mut meeting = Meeting { stage, alice, bob, carol, sid };
    assert_eq!(meeting.has(bob), [meeting.primary()]);
    assert_eq!(meeting.has(carol), []);
    meeting.publish_backup();
    assert_eq!(meeting.has(bob), [meeting.primary()]);
    assert_eq!(meeting.has(carol), [meeting.backup()]);
}

#[test]
fn a_backup_that_ends_gives_everybody_back_what_they_had_before_the_media_core_ends_it() {
    let mut meeting = Meeting::new(BackupCodecPolicy::PreferRegression);
    meeting.publish_backup();
    meeting.started();
    let backup = meeting.backup();
    meeting.stage.clients.get_mut(&meeting.alice).unwrap().sections.last_mut().unwrap().direction = "inactive";
    meeting.stage.commands.retain(|command| matches!(command, Command::Subscribe { .. }));
    meeting.stage.offer(meeting.alice);
    assert_eq!(meeting.has(meeting.bob), [meeting.primary()]);
    assert_eq!(meeting.has(meeting.carol), [meeting.primary()]);
    let ends = |command: &Command| match command {
        Command::SetReceive { sections, .. } => sections.iter().all(|section| section.track != Some(backup)),
        _ => false,
    };
    let position = |found: &dyn Fn(&Command) -> bool| meeting.stage.commands.iter().rposition(found);
    let moved = position(&|command| matches!(command, Command::MoveSubscription { .. }));
    assert!(
        moved.unwrap() < position(&ends).unwrap(),
        "a subscription that ended could not begin again under its SSRC"
    );
    let seen = meeting.stage.seen(meeting.bob, "alice").unwrap();
    assert_eq!(seen.tracks[0].codecs.len(), 1);
    // It can be announced and sent again.
    meeting.stage.clients.get_mut(&meeting.alice).unwrap().sections.pop();
    meeting.stage.clients.get_mut(&meeting.alice).unwrap().sections.push(sdp::receiving("video"));
    meeting.publish_backup();
    assert_eq!(meeting.has(meeting.carol), [meeting.backup()]);
}

#[test]
fn a_track_that_ends_ends_in_all_its_codecs() {
    let mut meeting = Meeting::new(BackupCodecPolicy::PreferRegression);
    meeting.publish_backup();
    meeting.started();
    let sources = [meeting.primary(), meeting.backup()];
    let sections = &mut meeting.stage.clients.get_mut(&meeting.alice).unwrap().sections;
    sections.iter_mut().filter(|section| section.track.is_some()).for_each(|section| section.direction = "inactive");
    meeting.stage.offer(meeting.alice);
    assert!(sources.iter().all(|source| !meeting.stage.room.publishers.contains_key(source)));
    assert!(meeting.stage.seen(meeting.carol, "alice").unwrap().tracks.is_empty());
    meeting.stage.pass(LOWER_DEMAND_AFTER * 2);
}

#[test]
fn muting_a_track_mutes_all_its_codecs() {
    let mut meeting = Meeting::new(BackupCodecPolicy::Simulcast);
    meeting.publish_backup();
    let mute = livekit_protocol::MuteTrackRequest { sid: meeting.sid.clone(), muted: true };
    meeting.stage.request(meeting.alice, Request::Mute(mute));
    let muted: Vec<_> = meeting
        .stage
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::SetTrackMuted { track, muted: true } => Some(*track),
            _ => None,
        })
        .collect();
    assert_eq!(muted, [meeting.primary(), meeting.backup()]);
}

#[test]
fn a_backup_of_what_was_not_announced_with_it_is_refused() {
    let mut meeting = Meeting::new(BackupCodecPolicy::Simulcast);
    let with = |change: &dyn Fn(&mut AddTrackRequest)| {
        let mut request = backup_request(&meeting.sid);
        change(&mut request);
        Request::AddTrack(request)
    };
    let bad = [
        with(&|request| request.sid = "TR_unknown".into()),
        with(&|request| request.simulcast_codecs[0].codec = "h264".into()),
        with(&|request| request.simulcast_codecs.clear()),
        with(&|request| request.cid.clear()),
    ];
    let own = with(&|_| {});
    for request in bad {
        meeting.stage.request(meeting.alice, request);
    }
    // A track of somebody else.
    meeting.stage.request(meeting.bob, own);
    let refusals = |session: SessionId| {
        let reason = |message: &Message| match message {
            Message::RequestResponse(response) => Some(response.reason()),
            _ => None,
        };
        meeting.stage.inbox(session).iter().filter_map(reason).collect::<Vec<_>>()
    };
    use Reason::{InvalidRequest, NotFound, UnsupportedType};
    assert_eq!(refusals(meeting.alice), [NotFound, UnsupportedType, InvalidRequest, InvalidRequest]);
    assert_eq!(refusals(meeting.bob), [NotFound]);
}
