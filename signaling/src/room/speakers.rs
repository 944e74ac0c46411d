//! Who is speaking: loudness from the media core, smoothed, and told as changes.

use super::Room;
use consilium_media_core::control::TrackLevel;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{SpeakerInfo, SpeakersChanged};
use std::collections::BTreeMap;

/// Above this a silent participant counts as speaking, in dBov: the client protocol's threshold.
const START_DB: f32 = -35.0;
/// Below this a speaking one counts as silent. Lower than the start, so that a voice at the threshold does not flap.
const STOP_DB: f32 = -40.0;
/// The protocol's levels go from 0 to 1 in steps of an eighth. They are spread over the loudness of speech, from
/// [`STOP_DB`] to 0 dBov, since a linear amplitude would put all voices into the lowest step.
const STEPS: f32 = 8.0;

/// Loudness of each participant that was heard lately, by SID.
#[derive(Default)]
pub(super) struct Speakers {
    heard: BTreeMap<String, Speaker>,
}

#[derive(Clone, Copy, Default)]
struct Speaker {
    /// Linear amplitude: follows a rise at once, halves with each window of silence (6 dB in about 400 ms).
    amplitude: f32,
    active: bool,
    /// What the clients were told last, in eighths; 0 is silent.
    told: u8,
}

impl Speakers {
    /// Takes one window's amplitudes by SID and returns what changed.
    fn update(&mut self, window: &BTreeMap<String, f32>) -> SpeakersChanged {
        for sid in window.keys() {
            self.heard.entry(sid.clone()).or_default();
        }
        let mut changes = Vec::new();
        for (sid, speaker) in &mut self.heard {
            let heard = window.get(sid).copied().unwrap_or_default();
            speaker.amplitude = match window.is_empty() {
                true => 0.0,
                false => heard.max((speaker.amplitude + heard) / 2.0),
            };
            let decibels = 20.0 * speaker.amplitude.max(f32::MIN_POSITIVE).log10();
            speaker.active = decibels >= if speaker.active { STOP_DB } else { START_DB };
            let level = if speaker.active { eighths(decibels) } else { 0 };
            if level != speaker.told {
                speaker.told = level;
                changes.push(speaker.info(sid));
            }
        }
        // Whoever is silent, was said to be, and fades below any notice is forgotten.
        self.heard.retain(|_, speaker| speaker.active || speaker.amplitude > 1e-4);
        SpeakersChanged { speakers: changes }
    }

    /// Everybody who speaks, for a client that comes back.
    pub(super) fn present(&self) -> SpeakersChanged {
        let active = self.heard.iter().filter(|(_, speaker)| speaker.active);
        SpeakersChanged { speakers: active.map(|(sid, speaker)| speaker.info(sid)).collect() }
    }

    pub(super) fn forget(&mut self, sid: &str) {
        self.heard.remove(sid);
    }

    /// The level fades with the next windows.
    pub(super) fn track_ended(&mut self, sid: &str) {
        if let Some(speaker) = self.heard.get_mut(sid) {
            speaker.amplitude = 0.0;
        }
    }
}

impl Speaker {
    fn info(&self, sid: &str) -> SpeakerInfo {
        SpeakerInfo { sid: sid.to_owned(), level: f32::from(self.told) / STEPS, active: self.active }
    }
}

fn eighths(decibels: f32) -> u8 {
    // At least one: a speaking participant has a level. The cast saturates.
    ((decibels - STOP_DB) / -STOP_DB * STEPS).round().clamp(1.0, STEPS) as u8
}

impl Room {
    pub(super) fn handle_audio_levels(&mut self, levels: &[TrackLevel]) {
        let mut window: BTreeMap<String, f32> = BTreeMap::new();
        for level in levels {
            let publisher = self.publishers.get(&level.track).and_then(|key| self.participants.get(key));
            let Some(publisher) = publisher.filter(|publisher| publisher.is_visible()) else { continue };
            if publisher.tracks.get(&level.track).is_none_or(|track| track.info.muted) {
                continue;
            }
            let loudest = window.entry(publisher.sid.clone()).or_default();
            *loudest = loudest.max(level.level);
        }
        let changes = self.speakers.update(&window);
        if !changes.speakers.is_empty() {
            self.tell_others(None, &Message::SpeakersChanged(changes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(entries: &[(&str, f32)]) -> BTreeMap<String, f32> {
        entries.iter().map(|(sid, decibels)| ((*sid).to_owned(), 10f32.powf(decibels / 20.0))).collect()
    }

    #[test]
    fn a_voice_is_told_once_and_its_silence_once() {
        let mut speakers = Speakers::default();
        let changes = speakers.update(&window(&[("PA_a", -20.0)]));
        assert_eq!(changes.speakers.len(), 1);
        assert!(changes.speakers[0].active);
        assert!(speakers.update(&window(&[("PA_a", -20.0)])).speakers.is_empty());
        let changes = speakers.update(&window(&[]));
        assert_eq!(changes.speakers.len(), 1);
        assert!(!changes.speakers[0].active);
        assert_eq!(changes.speakers[0].level, 0.0);
        assert!(speakers.heard.is_empty());
    }

    #[test]
    fn a_voice_at_the_threshold_does_not_flap() {
        let mut speakers = Speakers::default();
        let mut changes = 0;
        for turn in 0..20 {
            let loudness = if turn % 2 == 0 { -34.0 } else { -37.0 };
            let update = speakers.update(&window(&[("PA_a", loudness)]));
            changes += update.speakers.iter().filter(|speaker| !speaker.active).count();
        }
        assert_eq!(changes, 0);
    }

    #[test]
    fn quiet_noise_is_nobody_speaking() {
        let mut speakers = Speakers::default();
        for _ in 0..10 {
            assert!(speakers.update(&window(&[("PA_a", -36.0)])).speakers.is_empty());
        }
    }

    #[test]
    fn levels_are_eighths_and_grow_with_loudness() {
        let levels: Vec<_> = [-35.0, -30.0, -20.0, -10.0, 0.0].into_iter().map(eighths).collect();
        assert!(levels.is_sorted() && levels[0] >= 1 && levels[4] == 8);
    }
}
