//! Forwarding of the loudest few of a room: who is not among them costs nobody bandwidth.
//!
//! Whoever begins to speak enters with the first loud packet, so that no word loses its start; who was quiet for longest makes
//! room. Between words one stays. What is left out leaves no gap in what subscribers get.

use super::Worker;
use crate::batch::SendBatch;
use crate::drops::DropReason;
use crate::egress::packet::PacketInfo;
use crate::ids::{ExtSeqNo, RoomId};
use crate::ingress::level;
use crate::ingress::track::Track;
use crate::params::HeaderExtension;
use crate::worker::keys::TrackKey;
use std::time::{Duration, Instant};

/// As long after its last loud packet nobody who is quieter takes a track's place: longer than the pauses between words.
const HOLD: Duration = Duration::from_secs(1);
/// Nor does somebody louder sooner after it entered: places do not change hands by the syllable.
const STAY_MIN: Duration = Duration::from_millis(500);
/// Louder by so much, 6 dB, somebody new takes the place of one who speaks.
const LOUDER: f32 = 4.0;
/// Between two attempts of one track to enter.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);
/// Weight of a packet in the smoothed power: it rises within about 160 ms of speech, and falls so slowly that a pause between
/// words leaves half of it.
const RISE: f32 = 1.0 / 8.0;
const FALL: f32 = 1.0 / 64.0;

/// Whether a track is among those that are forwarded.
#[derive(Default)]
pub enum Gate {
    /// All tracks of the room are.
    #[default]
    Off,
    On(State),
}

#[derive(Default)]
pub struct State {
    /// Since when, while it is forwarded.
    entered: Option<Instant>,
    /// What is older came while it was not.
    from: Option<ExtSeqNo>,
    loud_at: Option<Instant>,
    power: f32,
    attempted: Option<Instant>,
}

impl Gate {
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::On(state) if state.entered.is_none())
    }
}

impl State {
    fn note(&mut self, now: Instant, level: Option<u8>) {
        let Some(level) = level else { return };
        let change = level::power(level) - self.power;
        self.power += change * if change > 0.0 { RISE } else { FALL };
        if level::is_loud(level) {
            self.loud_at = Some(now);
        }
    }

    fn takes(&self, ext_seq: ExtSeqNo) -> bool {
        self.entered.is_some() && self.from.is_none_or(|from| from <= ext_seq)
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.loud_at.is_none_or(|at| now.saturating_duration_since(at) >= HOLD)
    }
}

impl Worker {
    /// For a room's whole life, before anything is published in it.
    pub(super) fn set_loudest(&mut self, room: RoomId, loudest: u8) -> Result<(), DropReason> {
        self.rooms.set_loudest(room, loudest).ok_or(DropReason::UnknownTarget)
    }

    /// A new track of a room. One that tells no levels is always forwarded.
    pub(super) fn gate_for(&self, room: RoomId, track: &Track) -> Gate {
        let tells = track.has_extension(HeaderExtension::AudioLevel);
        if self.rooms.loudest(room) > 0 && tells { Gate::On(State::default()) } else { Gate::Off }
    }

    /// Whether a packet is forwarded. Of a track that is, the answer costs a comparison.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        key: TrackKey,
        info: &PacketInfo,
        level: Option<u8>,
        out: &mut SendBatch,
    ) -> bool {
        let Some(track) = self.tracks.get_mut(key) else { return false };
        let Gate::On(state) = &mut track.gate else { return true };
        state.note(now, level);
        if state.entered.is_some() {
            return state.takes(info.ext_seq);
        }
        let loud = level.filter(|level| level::is_loud(*level));
        let rested = state.attempted.is_none_or(|at| now.saturating_duration_since(at) >= ATTEMPT_INTERVAL);
        let (Some(level), true) = (loud, rested) else { return false };
        state.attempted = Some(now);
        let publisher = track.publisher;
        let Some(room) = self.peers.get(publisher).map(|peer| peer.room) else { return false };
        if !self.make_place(now, room, level::power(level)) {
            return false;
        }
        // Numbers go on after the last packet that left, so what waits leaves first.
        self.send_pending(now, out);
        self.rooms.forwarded(room).push(key);
        self.open(now, key, info);
        true
    }

    /// Whether one more of this loudness may be forwarded; one that is makes way where it must.
    fn make_place(&mut self, now: Instant, room: RoomId, power: f32) -> bool {
        let loudest = usize::from(self.rooms.loudest(room));
        let Self { rooms, tracks, .. } = self;
        let forwarded = rooms.forwarded(room);
        forwarded.retain(|key| tracks.contains_key(*key));
        if forwarded.len() < loudest {
            return true;
        }
        let state = |key: &TrackKey| match tracks.get(*key).map(|track| &track.gate) {
            Some(Gate::On(state)) => Some(state),
            _ => None,
        };
        let longest_quiet = forwarded.iter().filter(|key| state(key).is_none_or(|state| state.is_quiet(now)));
        let longest_quiet = longest_quiet.min_by_key(|key| state(key).and_then(|state| state.loud_at)).copied();
        let quietest = || {
            let settled = |state: &State| {
                state.entered.is_some_and(|at| now.saturating_duration_since(at) >= STAY_MIN)
                    && state.power * LOUDER < power
            };
            let candidates = forwarded.iter().filter(|key| state(key).is_some_and(settled));
            let power = |key: &TrackKey| state(key).map_or(0.0, |state| state.power);
            candidates.min_by(|a, b| power(a).total_cmp(&power(b))).copied()
        };
        let Some(leaves) = longest_quiet.or_else(quietest) else { return false };
        forwarded.retain(|key| *key != leaves);
        if let Some(Gate::On(state)) = tracks.get_mut(leaves).map(|track| &mut track.gate) {
            state.entered = None;
        }
        true
    }

    fn open(&mut self, now: Instant, key: TrackKey, info: &PacketInfo) {
        let Self { tracks, subscriptions, .. } = self;
        let Some(track) = tracks.get_mut(key) else { return };
        if let Gate::On(state) = &mut track.gate {
            (state.entered, state.from) = (Some(now), Some(info.ext_seq));
        }
        for key in &track.subscriptions {
            if let Some(subscription) = subscriptions.get_mut(*key) {
                subscription.resume_at(info);
            }
        }
    }
}
