//! Faults on request: what a client asks for to see whether it survives them. Each concerns the client itself alone.
//!
//! Only where the operator allows it: what helps in development is, in a meeting, a way for a page to make a person vanish
//! that looks like the server's fault, and to fill logs and metrics with failures that are none.

use super::participant::ParticipantKey;
use super::{Effect, Now, Room};
use crate::stats::SessionEnd;
use consilium_media_core::control::Command;
use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_response::Message;
use livekit_protocol::simulate_scenario::Scenario;
use livekit_protocol::{DisconnectReason, LeaveRequest, SimulateScenario, SpeakerInfo, SpeakersChanged};
use std::time::{Duration, Instant};

/// The longest pretended speech, in seconds. The SDKs ask for three.
const SPEECH_MAX_S: i32 = 30;

/// What a participant asked to happen to it.
#[derive(Default)]
pub(super) struct Simulation {
    on_resume: Option<OnResume>,
    speaks_until: Option<Instant>,
}

/// Its next resumed session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnResume {
    BeforeMessages,
    AfterMessages,
}

impl Simulation {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.speaks_until
    }
}

impl Room {
    pub(super) fn handle_simulate(&mut self, now: Now, key: ParticipantKey, request: &SimulateScenario) {
        if !self.settings.simulate {
            tracing::debug!("a simulation was asked for and is not allowed");
            return;
        }
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let simulation = &mut participant.simulation;
        match request.scenario {
            Some(Scenario::SpeakerUpdate(seconds)) if simulation.speaks_until.is_none() => {
                let seconds = seconds.clamp(1, SPEECH_MAX_S);
                simulation.speaks_until = now.instant.checked_add(Duration::from_secs(seconds.unsigned_abs().into()));
                self.tell_speech(key, true);
            }
            Some(Scenario::DisconnectSignalOnResume(true)) => simulation.on_resume = Some(OnResume::AfterMessages),
            Some(Scenario::DisconnectSignalOnResumeNoMessages(true)) => {
                simulation.on_resume = Some(OnResume::BeforeMessages);
            }
            // As if this server had failed: not a word, and nothing of the participant is left.
            Some(Scenario::NodeFailure(true)) => {
                self.remove(now, key, DisconnectReason::ClientInitiated, SessionEnd::Simulated);
            }
            // Another server would take over the participant as it is; here the same one does.
            Some(Scenario::Migration(true)) => {
                self.send_leave(key, DisconnectReason::Migration, Action::Resume);
                self.end_session(now, key);
            }
            Some(Scenario::ServerLeave(true)) => {
                self.send_leave(key, DisconnectReason::ServerShutdown, Action::Disconnect);
                self.remove(now, key, DisconnectReason::ClientInitiated, SessionEnd::Simulated);
            }
            Some(Scenario::LeaveRequestFullReconnect(true)) => {
                self.send_leave(key, DisconnectReason::UnknownReason, Action::Reconnect);
                self.remove(now, key, DisconnectReason::ClientInitiated, SessionEnd::Simulated);
            }
            // Until it asks for another limit, with 0 for none, or joins anew.
            Some(Scenario::SubscriberBandwidth(bps)) => {
                let peer = participant.receiving().id;
                let bps_max = u64::try_from(bps).ok().filter(|bps| *bps > 0);
                self.media(Command::LimitBandwidth { peer, bps_max });
            }
            // The SDKs join anew by themselves after asking for it, and there are candidates of one protocol alone: they come
            // back over that one. Nothing is refused, as the request has no number by which an answer could name it.
            Some(Scenario::SwitchCandidateProtocol(_)) => {
                tracing::debug!("another candidate protocol was asked for; there is one");
            }
            _ => {}
        }
    }

    /// Whether the session that has just resumed was to end now.
    pub(super) fn fails_resume(&mut self, now: Now, key: ParticipantKey, when: OnResume) -> bool {
        let Some(participant) = self.participants.get_mut(&key) else { return false };
        if participant.simulation.on_resume != Some(when) {
            return false;
        }
        participant.simulation.on_resume = None;
        self.end_session(now, key);
        true
    }

    pub(super) fn end_simulated_speech(&mut self, now: Now) {
        let over = |until: Option<Instant>| until.is_some_and(|at| at <= now.instant);
        let over: Vec<_> = self
            .participants
            .iter_mut()
            .filter(|(_, participant)| over(participant.simulation.speaks_until))
            .map(|(&key, participant)| {
                participant.simulation.speaks_until = None;
                key
            })
            .collect();
        over.into_iter().for_each(|key| self.tell_speech(key, false));
    }

    /// To the one who asked: it alone is to be fooled.
    fn tell_speech(&mut self, key: ParticipantKey, active: bool) {
        let Some(participant) = self.participants.get(&key) else { return };
        let level = if active { 1.0 } else { 0.0 };
        let speaker = SpeakerInfo { sid: participant.sid.clone(), level, active };
        self.tell(key, Message::SpeakersChanged(SpeakersChanged { speakers: vec![speaker] }));
    }

    fn send_leave(&mut self, key: ParticipantKey, reason: DisconnectReason, action: Action) {
        let leave = LeaveRequest {
            can_reconnect: action != Action::Disconnect,
            reason: reason.into(),
            action: action.into(),
            ..Default::default()
        };
        self.tell(key, Message::Leave(leave));
    }

    /// Ends a session as if its WebSocket had been lost.
    fn end_session(&mut self, now: Now, key: ParticipantKey) {
        if let Some(session) = self.participants.get(&key).and_then(|participant| participant.session) {
            self.effects.push_back(Effect::CloseSession { session, end: SessionEnd::Simulated });
            self.handle_session_closed(now, session);
        }
    }
}
