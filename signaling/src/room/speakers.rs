//! Who is speaking: loudness from the media core, smoothed, and told as changes.
//!
//! A beginning is told at once; an end only after a pause that is longer than those between words; and how loud somebody is
//! no more often than clients show it.

use super::Room;
use consilium_media_core::control::TrackLevel;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{SpeakerInfo, SpeakersChanged};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Above this a silent participant counts as speaking, in dBov: the client protocol's threshold.
const START_DB: f32 = -35.0;
/// Below this a speaking one may have stopped. Lower than the start, so that a voice at the threshold does not flap.
const STOP_DB: f32 = -40.0;
/// How long it must stay below: pauses between words and phrases last up to about half a second, between sentences longer.
const HOLD: Duration = Duration::from_secs(1);
/// Least time from telling one level of somebody to telling another.
const LEVEL_INTERVAL: Duration = Duration::from_millis(400);
/// The protocol's levels go from 0 to 1 in steps of an eighth. They are spread over the loudness of speech, from
/// [`STOP_DB`] to 0 dBov, since a linear amplitude would put all voices into the lowest step.
const STEPS: f32 = 8.0;

/// Those who speak, by SID.
#[derive(Default)]
pub(super) struct Speakers {
    active: BTreeMap<String, Speaker>,
}

struct Speaker {
    /// Linear amplitude: follows a rise at once and a fall by halves, so that levels do not jump between syllables.
    amplitude: f32,
    quiet_since: Option<Instant>,
    /// What the clients were told last, in eighths, and when.
    told: u8,
    told_at: Instant,
}

impl Speakers {
    /// Takes one window's amplitudes by SID and returns what changed.
    fn update(&mut self, now: Instant, window: &BTreeMap<String, f32>) -> SpeakersChanged {
        let mut changes = Vec::new();
        for (sid, &heard) in window {
            if decibels(heard) >= START_DB && !self.active.contains_key(sid) {
                let told = eighths(decibels(heard));
                let speaker = Speaker { amplitude: heard, quiet_since: None, told, told_at: now };
                changes.push(speaker.info(sid));
                self.active.insert(sid.clone(), speaker);
            }
        }
        for (sid, speaker) in &mut self.active {
            let heard = window.get(sid).copied().unwrap_or_default();
            if decibels(heard) < STOP_DB {
                speaker.quiet_since.get_or_insert(now);
                continue;
            }
            speaker.quiet_since = None;
            speaker.amplitude = heard.max((speaker.amplitude + heard) / 2.0);
            let level = eighths(decibels(speaker.amplitude));
            if level != speaker.told && now.saturating_duration_since(speaker.told_at) >= LEVEL_INTERVAL {
                (speaker.told, speaker.told_at) = (level, now);
                changes.push(speaker.info(sid));
            }
        }
        changes.extend(self.take_stopped(now));
        SpeakersChanged { speakers: changes }
    }

    /// Those who were quiet for long enough.
    fn take_stopped(&mut self, now: Instant) -> Vec<SpeakerInfo> {
        let mut stopped = Vec::new();
        self.active.retain(|sid, speaker| {
            let over = speaker.stops_at().is_some_and(|at| at <= now);
            if over {
                stopped.push(SpeakerInfo { sid: sid.clone(), level: 0.0, active: false });
            }
            !over
        });
        stopped
    }

    /// When somebody who is quiet has stopped.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.active.values().filter_map(Speaker::stops_at).min()
    }

    /// Everybody who speaks, for a client that comes back.
    pub(super) fn present(&self) -> SpeakersChanged {
        SpeakersChanged { speakers: self.active.iter().map(|(sid, speaker)| speaker.info(sid)).collect() }
    }

    pub(super) fn forget(&mut self, sid: &str) {
        self.active.remove(sid);
    }

    /// Nothing more comes of it; its publisher stops speaking, unless another track goes on.
    pub(super) fn track_ended(&mut self, now: Instant, sid: &str) {
        if let Some(speaker) = self.active.get_mut(sid) {
            speaker.quiet_since.get_or_insert(now);
        }
    }
}

impl Speaker {
    fn stops_at(&self) -> Option<Instant> {
        self.quiet_since.and_then(|since| since.checked_add(HOLD))
    }

    fn info(&self, sid: &str) -> SpeakerInfo {
        SpeakerInfo { sid: sid.to_owned(), level: f32::from(self.told) / STEPS, active: true }
    }
}

fn decibels(amplitude: f32) -> f32 {
    20.0 * amplitude.max(f32::MIN_POSITIVE).log10()
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
        let changes = self.speakers.update(self.present, &window);
        if !changes.speakers.is_empty() {
            self.tell_others(None, &Message::SpeakersChanged(changes));
        }
    }

    /// Of the last one who speaks, no window tells that it is over.
    pub(super) fn fade_speakers(&mut self) {
        let speakers = self.speakers.take_stopped(self.present);
        if !speakers.is_empty() {
            self.tell_others(None, &Message::SpeakersChanged(SpeakersChanged { speakers }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilium_media_core::ingress::level::LevelMeter;
    use consilium_media_core::limits::AUDIO_LEVEL_WINDOW;

    /// Packets of sound.
    const PACKET: Duration = Duration::from_millis(20);
    const NOISE: u8 = 62;

    /// One microphone, packet by packet, and what clients are told of it: when, and whether it speaks.
    struct Microphone {
        speakers: Speakers,
        meter: LevelMeter,
        now: Instant,
        elapsed: Duration,
        told: Vec<(Duration, bool, u8)>,
    }

    impl Microphone {
        /// The first window ends after `phase`.
        fn new(phase: Duration) -> Self {
            Self {
                speakers: Speakers::default(),
                meter: LevelMeter::default(),
                now: Instant::now(),
                elapsed: AUDIO_LEVEL_WINDOW - phase,
                told: Vec::new(),
            }
        }

        /// `None` where discontinuous transmission leaves a packet out.
        fn hear(&mut self, levels: impl IntoIterator<Item = Option<u8>>) -> &mut Self {
            for level in levels {
                if let Some(level) = level {
                    self.meter.note(level);
                }
                self.elapsed += PACKET;
                self.now += PACKET;
                if self.elapsed.as_millis().is_multiple_of(AUDIO_LEVEL_WINDOW.as_millis()) {
                    let heard = self.meter.take().amplitude.map(|amplitude| ("PA_a".to_owned(), amplitude));
                    let changes = self.speakers.update(self.now, &heard.into_iter().collect());
                    let told = changes.speakers.iter();
                    self.told.extend(told.map(|info| (self.elapsed, info.active, (info.level * STEPS) as u8)));
                }
            }
            self
        }

        fn turns(&self) -> Vec<bool> {
            let mut turns: Vec<bool> = self.told.iter().map(|(_, active, _)| *active).collect();
            turns.dedup();
            turns
        }
    }

    fn sound(level: u8, ms: u64) -> impl Iterator<Item = Option<u8>> {
        std::iter::repeat_n(Some(level), (ms / 20) as usize)
    }

    /// Speech as it is measured: syllables of 120 to 220 ms that swell and fade, gaps between them, pauses between words.
    fn speech(loudest: u8, seconds: u64) -> Vec<Option<u8>> {
        let (mut levels, mut syllable) = (Vec::new(), 0_u64);
        while (levels.len() as u64) < seconds * 50 {
            let length = 6 + syllable % 6;
            let shape = (0..length).map(|n| Some(loudest + (12 * n.abs_diff(length / 2) / length) as u8));
            levels.extend(shape);
            let pause = match syllable % 7 {
                6 => 620,
                2 | 4 => 240,
                _ => 60,
            };
            levels.extend(sound(NOISE, pause));
            syllable += 1;
        }
        levels
    }

    #[test]
    fn whoever_begins_to_speak_is_told_within_half_a_second_wherever_the_window_stands() {
        for phase in (20..=200).step_by(20) {
            for loudest in [15, 25, 30] {
                let mut microphone = Microphone::new(Duration::from_millis(phase));
                microphone.hear(sound(NOISE, 2_000));
                assert!(microphone.told.is_empty());
                let began = microphone.elapsed;
                microphone.hear(speech(loudest, 2));
                let (at, active, level) = microphone.told[0];
                assert!(active && level >= 1);
                assert!(at - began < Duration::from_millis(500), "{:?} at phase {phase}, {loudest}", at - began);
            }
        }
    }

    #[test]
    fn pauses_between_words_do_not_flap_and_the_end_is_told() {
        for loudest in [10, 20, 28] {
            let mut microphone = Microphone::new(Duration::from_millis(200));
            microphone.hear(speech(loudest, 20));
            assert_eq!(microphone.turns(), [true], "-{loudest} dBov");
            let ended = microphone.elapsed;
            microphone.hear(sound(NOISE, 3_000));
            assert_eq!(microphone.turns(), [true, false]);
            let after = microphone.told.last().unwrap().0 - ended;
            // It may have ended within a pause.
            assert!((HOLD / 4..HOLD + AUDIO_LEVEL_WINDOW * 2).contains(&after), "{after:?}");
        }
    }

    #[test]
    fn discontinuous_transmission_changes_nothing() {
        let mut microphone = Microphone::new(Duration::from_millis(200));
        let left_out = |level: Option<u8>| level.filter(|level| *level < NOISE);
        microphone.hear(speech(20, 10).into_iter().map(left_out)).hear(std::iter::repeat_n(None, 150));
        assert_eq!(microphone.turns(), [true, false]);
    }

    #[test]
    fn noise_and_bursts_of_it_are_nobody_speaking() {
        let mut microphone = Microphone::new(Duration::from_millis(200));
        microphone.hear(sound(38, 5_000));
        // A keyboard: 40 ms, several a second. A door.
        for _ in 0..20 {
            microphone.hear(sound(22, 40)).hear(sound(NOISE, 220));
        }
        microphone.hear(sound(5, 60)).hear(sound(NOISE, 1_000));
        assert_eq!(microphone.told, []);
    }

    #[test]
    fn a_voice_at_the_threshold_does_not_flap() {
        let mut microphone = Microphone::new(Duration::from_millis(200));
        for turn in 0..40 {
            microphone.hear(sound(if turn % 2 == 0 { 34 } else { 38 }, 200));
        }
        assert_eq!(microphone.turns(), [true]);
    }

    #[test]
    fn levels_are_told_as_they_change_and_no_more_often_than_they_are_shown() {
        let mut microphone = Microphone::new(Duration::from_millis(200));
        microphone.hear(sound(30, 1_000));
        assert_eq!(microphone.told.len(), 1, "nothing changed");
        for turn in 0..50 {
            microphone.hear(sound(if turn % 2 == 0 { 5 } else { 30 }, 200));
        }
        let times: Vec<Duration> = microphone.told.iter().map(|(at, ..)| *at).collect();
        assert!(times.len() > 2 && times.windows(2).all(|pair| pair[1] - pair[0] >= LEVEL_INTERVAL), "{times:?}");
    }

    #[test]
    fn levels_are_eighths_and_grow_with_loudness() {
        let levels: Vec<_> = [-35.0, -30.0, -20.0, -10.0, 0.0].into_iter().map(eighths).collect();
        assert!(levels.is_sorted() && levels[0] >= 1 && levels[4] == 8);
    }
}
