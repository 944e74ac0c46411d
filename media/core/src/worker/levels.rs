//! Rooms, as far as the core knows them: whose loudness is reported together, and whether senders wait for a receiver.

use super::{Table, Worker};
use crate::control::{Event, RoomEvent, TrackLevel};
use crate::ids::RoomId;
use crate::limits::AUDIO_LEVEL_WINDOW;
use crate::worker::keys::TrackKey;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::time::Instant;

#[derive(Default)]
struct Room {
    peers: usize,
    /// Those of them that are behind with reliable data, and waited for.
    behind: usize,
    audio: Vec<TrackKey>,
    /// How many of them are forwarded; 0 is all.
    loudest: u8,
    /// Those that are.
    forwarded: Vec<TrackKey>,
    /// The last report named someone: one empty report follows.
    was_loud: bool,
    /// At which step of a window its own ends.
    phase: u8,
}

/// Windows of different rooms end at so many different times: what they lead to, in all rooms at once, would hold media up.
/// Measured with 132 rooms and one core for everything: a p99 of 30 ms.
const PHASES: u8 = 8;

pub(super) struct Rooms {
    rooms: Table<RoomId, Room>,
    levels_due: Option<Instant>,
    /// Steps of a window since the first room.
    step: u8,
    next_phase: u8,
    /// Since the last look for silent paths.
    windows: u8,
}

impl Rooms {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { rooms: HashMap::with_hasher(hasher), levels_due: None, step: 0, next_phase: 0, windows: 0 }
    }

    pub(super) fn levels_due(&self) -> Option<Instant> {
        self.levels_due
    }

    /// `true` once in so many windows.
    pub(super) fn window_passed(&mut self, of: u8) -> bool {
        self.windows = (self.windows + 1) % of;
        self.windows == 0
    }

    /// All audio tracks, with their rooms.
    pub(super) fn audio(&self) -> impl Iterator<Item = (RoomId, TrackKey)> {
        self.rooms.iter().flat_map(|(&room, entry)| entry.audio.iter().map(move |&key| (room, key)))
    }

    pub(super) fn set_loudest(&mut self, room: RoomId, loudest: u8) -> Option<()> {
        self.rooms.get_mut(&room)?.loudest = loudest;
        Some(())
    }

    pub(super) fn loudest(&self, room: RoomId) -> u8 {
        self.rooms.get(&room).map_or(0, |entry| entry.loudest)
    }

    /// The audio tracks that are forwarded, where not all are.
    pub(super) fn forwarded(&mut self, room: RoomId) -> &mut Vec<TrackKey> {
        &mut self.rooms.entry(room).or_default().forwarded
    }

    pub(super) fn enter(&mut self, now: Instant, room: RoomId) {
        let Self { rooms, next_phase, step, .. } = self;
        let entry = rooms.entry(room).or_insert_with(|| {
            *next_phase = (*next_phase + 1) % PHASES;
            Room { phase: *next_phase, ..Room::default() }
        });
        entry.peers += 1;
        if self.levels_due.is_none() {
            // The first window of the first room is a whole one.
            *step = entry.phase;
            self.levels_due = Some(now + AUDIO_LEVEL_WINDOW / u32::from(PHASES));
        }
    }

    pub(super) fn leave(&mut self, room: RoomId) {
        if let Some(entry) = self.rooms.get_mut(&room) {
            entry.peers -= 1;
            if entry.peers == 0 {
                self.rooms.remove(&room);
            }
        }
        if self.rooms.is_empty() {
            self.levels_due = None;
        }
    }

    pub(super) fn is_slowed(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|entry| entry.behind > 0)
    }

    /// One more peer of the room is behind, or one less. `true` when that begins or ends the wait of its senders.
    pub(super) fn count_behind(&mut self, room: RoomId, behind: bool) -> bool {
        let Some(entry) = self.rooms.get_mut(&room) else { return false };
        let before = entry.behind > 0;
        entry.behind = if behind { entry.behind + 1 } else { entry.behind.saturating_sub(1) };
        before != (entry.behind > 0)
    }

    pub(super) fn add_audio(&mut self, room: RoomId, track: TrackKey) {
        if let Some(entry) = self.rooms.get_mut(&room) {
            entry.audio.push(track);
        }
    }

    pub(super) fn remove_audio(&mut self, room: RoomId, track: TrackKey) {
        if let Some(entry) = self.rooms.get_mut(&room) {
            entry.audio.retain(|key| *key != track);
            entry.forwarded.retain(|key| *key != track);
        }
    }
}

impl Worker {
    /// At the end of a window: how loud each audio track was.
    pub(super) fn measure_levels(&mut self, now: Instant) {
        if self.rooms.levels_due.is_none_or(|due| due > now) {
            return;
        }
        self.rooms.levels_due = Some(now + AUDIO_LEVEL_WINDOW / u32::from(PHASES));
        self.rooms.step = (self.rooms.step + 1) % PHASES;
        let step = self.rooms.step;
        for (&room, entry) in self.rooms.rooms.iter_mut().filter(|(_, entry)| entry.phase == step) {
            let tracks = &mut self.tracks;
            let mut levels: Vec<TrackLevel> = entry
                .audio
                .iter()
                .filter_map(|&key| {
                    let track = tracks.get_mut(key)?;
                    let loudness = track.meter.take();
                    track.watch.note(&loudness);
                    let level = loudness.amplitude?;
                    Some(TrackLevel { track: track.id, level })
                })
                .collect();
            if levels.is_empty() && !entry.was_loud {
                continue;
            }
            entry.was_loud = !levels.is_empty();
            levels.sort_by(|a, b| b.level.total_cmp(&a.level));
            self.events.push_back(RoomEvent { room, event: Event::AudioLevels { levels } });
        }
        if step == 0 {
            self.look_for_silence(now);
        }
    }
}
