//! Whatever clients, hosts and connections do, in whatever order: nothing panics, nobody receives what they may not, and
//! the room forgets who is gone.

use super::*;
use consilium_media_core::control::{CloseReason, PeerFigures};
use livekit_protocol::simulate_scenario::Scenario;
use livekit_protocol::{
    LeaveRequest, MuteTrackRequest, SimulateScenario, SubscriptionPermission, SyncState, TrackPermission,
    UpdateParticipantRequest, UpdateSubscription,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const IDENTITIES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const STEPS: usize = 120;

struct Chaos {
    stage: Stage,
    rng: StdRng,
    cids: u32,
}

impl Chaos {
    fn random_permission(&mut self) -> Permission {
        Permission {
            can_subscribe: self.rng.random_bool(0.7),
            can_publish: self.rng.random_bool(0.8),
            hidden: self.rng.random_bool(0.1),
            ..permission()
        }
    }

    fn session(&mut self) -> Option<SessionId> {
        let mut open: Vec<_> =
            self.stage.clients.iter().filter(|(_, client)| client.closed.is_none()).map(|(id, _)| *id).collect();
        open.sort();
        (!open.is_empty()).then(|| open[self.rng.random_range(0..open.len())])
    }

    fn any_sid(&mut self) -> String {
        let mut sids: Vec<_> = self.stage.room.track_sids.keys().cloned().collect();
        sids.sort();
        if sids.is_empty() { "TR_none".into() } else { sids[self.rng.random_range(0..sids.len())].clone() }
    }

    fn step(&mut self) {
        let identity = IDENTITIES[self.rng.random_range(0..IDENTITIES.len())];
        let choice = self.rng.random_range(0..15);
        if choice == 0 {
            let mode = if self.rng.random_bool(0.5) { ConnectionMode::Single } else { ConnectionMode::Dual };
            let permission = self.random_permission();
            let _ = self.stage.try_join(Join { mode, permission, ..join(identity) }, &[sdp::receiving("audio")]);
            return;
        }
        let Some(session) = self.session().filter(|session| self.stage.room.key_of(*session).is_some()) else { return };
        match choice {
            1 | 2 => {
                self.cids += 1;
                let cid = format!("cid{}", self.cids);
                self.stage.request(session, Request::AddTrack(track_request(&cid, TrackSource::Camera)));
                self.stage.clients.get_mut(&session).unwrap().sections.push(sdp::sending("video", &cid));
                self.stage.offer(session);
            }
            3 => {
                let sections = &mut self.stage.clients.get_mut(&session).unwrap().sections;
                if let Some(section) = sections.iter_mut().find(|section| section.track.is_some()) {
                    section.direction = "inactive";
                    section.track = None;
                }
                self.stage.offer(session);
            }
            4 => {
                let (sid, subscribe) = (self.any_sid(), self.rng.random_bool(0.5));
                let ask = UpdateSubscription { track_sids: vec![sid], subscribe, ..Default::default() };
                self.stage.request(session, Request::Subscription(ask));
            }
            5 => {
                let only =
                    TrackPermission { participant_identity: identity.into(), all_tracks: true, ..Default::default() };
                let all_participants = self.rng.random_bool(0.5);
                let request = SubscriptionPermission { all_participants, track_permissions: vec![only] };
                self.stage.request(session, Request::SubscriptionPermission(request));
            }
            6 => {
                let permission = self.random_permission();
                let request = UpdateParticipantRequest {
                    identity: identity.into(),
                    permission: Some(permission.to_proto()),
                    ..Default::default()
                };
                let _ = self.stage.room.update_participant(request);
                self.stage.pump();
            }
            7 => self.stage.connect(session),
            8 => {
                let peer = self.stage.peer(session);
                self.stage.event(Event::PeerClosed { peer, reason: CloseReason::ClosedByPeer });
            }
            9 => {
                let (sid, muted) = (self.any_sid(), self.rng.random_bool(0.5));
                self.stage.request(session, Request::Mute(MuteTrackRequest { sid, muted }));
            }
            10 => self.stage.request(session, Request::Leave(LeaveRequest::default())),
            11 => self.resume(session),
            12 => {
                let scenario = match self.rng.random_range(0..4) {
                    0 => Scenario::Migration(true),
                    1 => Scenario::DisconnectSignalOnResume(true),
                    2 => Scenario::SpeakerUpdate(1),
                    _ => Scenario::NodeFailure(true),
                };
                self.stage.request(session, Request::Simulate(SimulateScenario { scenario: Some(scenario) }));
            }
            13 => {
                let silent_for = Duration::from_secs(self.rng.random_range(0..20));
                let figures = |peer| PeerFigures { peer, silent_for, loss_up: Some(0.1), loss_down: None, rtt: None };
                let figures = self.stage.room.peers.keys().copied().map(figures).collect();
                self.stage.event(Event::Figures { figures });
            }
            _ => {
                self.stage.room.handle_session_closed(self.stage.now, session);
                self.stage.clients.get_mut(&session).unwrap().closed = Some(SessionEnd::ConnectionLost);
                self.stage.pass(Duration::from_secs(self.rng.random_range(0..20)));
            }
        }
    }

    fn resume(&mut self, before: SessionId) {
        let (sid, key) = (self.stage.sid(before), self.stage.room.key_of(before).unwrap());
        let identity = self.stage.room.participants[&key].identity.clone();
        let (sections, offers) = (self.stage.clients[&before].sections.clone(), self.stage.clients[&before].offers);
        let session = self.stage.resume(&identity, &sid);
        let client = self.stage.clients.get_mut(&session).unwrap();
        (client.sections, client.offers) = (sections, offers);
        if self.stage.room.key_of(session).is_some() {
            let wanted = UpdateSubscription { track_sids: vec![self.any_sid()], ..Default::default() };
            let state = SyncState { subscription: Some(wanted), ..Default::default() };
            self.stage.request(session, Request::SyncState(state));
        }
    }

    fn check(&self) {
        let room = &self.stage.room;
        for (key, participant) in &room.participants {
            for track in participant.subscriptions.keys() {
                let publisher = &room.participants[&room.publishers[track]];
                let sid = &publisher.tracks[track].info.sid;
                assert!(participant.permission.can_subscribe, "receives without the right to");
                assert!(!publisher.permission.hidden, "receives somebody hidden");
                assert!(publisher.admits(participant, sid), "receives what its publisher withholds");
                assert!(room.publishers[track] != *key, "receives itself");
            }
            for subscription in &participant.receiving().sending {
                assert!(participant.subscriptions.values().any(|known| known.id == *subscription));
            }
            for track in participant.tracks.values().filter(|track| track.section.is_some()) {
                assert!(participant.permission.may_publish(track.info.source()), "publishes without the right to");
            }
        }
        let published: usize = room.participants.values().map(|participant| participant.tracks.len()).sum();
        assert_eq!(room.publishers.len(), published);
        assert_eq!(room.track_sids.len(), published);
        assert!(room.peers.values().all(|key| room.participants.contains_key(key)));
        assert!(room.sessions.values().all(|key| room.participants.contains_key(key)));
    }
}

#[test]
fn rights_hold_through_any_sequence_of_events() {
    for seed in 0..60 {
        let stage = Stage::with(RoomSettings { empty_timeout: Duration::from_secs(100_000), ..settings() });
        let mut chaos = Chaos { stage, rng: StdRng::seed_from_u64(seed), cids: 0 };
        chaos.stage.room.closes_at = None;
        for _ in 0..STEPS {
            chaos.step();
            chaos.check();
            if chaos.rng.random_bool(0.5) {
                chaos.stage.settle();
                chaos.check();
            }
        }
    }
}
