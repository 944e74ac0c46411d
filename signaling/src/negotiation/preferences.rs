//! How published tracks should be encoded, per track. It refuses to know sections.

use super::bounds::TRACK_PREFERENCES_MAX;
use consilium_media_core::params::Codec;
use std::collections::HashMap;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AudioPreferences {
    /// Redundant audio (RFC 2198) before plain Opus: a lost packet is not heard.
    pub red: bool,
    /// Discontinuous transmission (RFC 7587 section 6.1): silence costs nothing.
    pub dtx: bool,
    /// The client encodes both channels.
    pub stereo: bool,
}

impl Default for AudioPreferences {
    /// Speech.
    fn default() -> Self {
        Self { red: true, dtx: true, stereo: false }
    }
}

/// What is wanted of one track; the half of the other kind has no effect.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) audio: AudioPreferences,
    /// The codec that the client announced for its picture. Browsers send what stands first in the answer, whatever they
    /// were set to send. `None` leaves the order of the offer.
    pub(super) video: Option<Codec>,
}

#[derive(Clone, Default, Debug)]
pub(super) struct TrackPreferences {
    by_track: HashMap<String, Wanted>,
}

impl TrackPreferences {
    pub(super) fn of(&self, track_id: Option<&str>) -> Wanted {
        track_id.and_then(|track| self.by_track.get(track)).copied().unwrap_or_default()
    }

    /// Over the bound the preferences of tracks that `is_current` does not know are forgotten; if that frees nothing,
    /// the track keeps the default.
    pub(super) fn set(&mut self, track_id: &str, wanted: Wanted, is_current: impl Fn(&str) -> bool) {
        if !self.by_track.contains_key(track_id) && self.by_track.len() >= TRACK_PREFERENCES_MAX {
            self.by_track.retain(|track, _| is_current(track));
            if self.by_track.len() >= TRACK_PREFERENCES_MAX {
                return;
            }
        }
        self.by_track.insert(track_id.to_owned(), wanted);
    }
}
