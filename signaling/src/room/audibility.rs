//! Who is not heard by whom, though they should be: what the media core found, with the names that clients and logs know.

use super::Room;
use consilium_media_core::control::{PathState, SilentCause};
use consilium_media_core::ids::{SubscriptionId, TrackId};
use std::collections::BTreeMap;

/// Paths that are remembered as silent. More than that is no fault of a path, and the counters tell of it.
const SILENT_PATHS_MAX: usize = 1_024;

/// Audio that is silent though its source speaks. All names are SIDs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SilentPath {
    pub publisher: String,
    pub track: String,
    /// `None` where nobody hears the track.
    pub subscriber: Option<String>,
    pub cause: SilentCause,
}

#[derive(Default)]
pub(super) struct Audibility {
    silent: BTreeMap<(TrackId, Option<SubscriptionId>), SilentCause>,
}

impl Room {
    /// The paths that are silent now.
    pub fn silent_paths(&self) -> Vec<SilentPath> {
        let silent = &self.audibility.silent;
        silent.iter().filter_map(|(&(track, subscription), &cause)| self.path(track, subscription, cause)).collect()
    }

    pub(super) fn handle_audio_path(&mut self, track: TrackId, subscription: Option<SubscriptionId>, state: PathState) {
        let key = (track, subscription);
        let before = self.audibility.silent.remove(&key);
        match state {
            PathState::Silent(cause) => {
                // It may have ended while the news of it came.
                let Some(path) = self.path(track, subscription, cause) else { return };
                tracing::warn!(
                    publisher = path.publisher,
                    track = path.track,
                    subscriber = path.subscriber,
                    cause = cause.label(),
                    "audio is not heard"
                );
                self.forget_ended_paths();
                if self.audibility.silent.len() < SILENT_PATHS_MAX {
                    self.audibility.silent.insert(key, cause);
                }
            }
            PathState::Over => {
                let Some(path) = before.and_then(|cause| self.path(track, subscription, cause)) else { return };
                tracing::info!(
                    publisher = path.publisher,
                    track = path.track,
                    subscriber = path.subscriber,
                    "audio is heard again, or need not be"
                );
            }
        }
    }

    fn forget_ended_paths(&mut self) {
        let mut silent = std::mem::take(&mut self.audibility.silent);
        silent.retain(|&(track, subscription), cause| self.path(track, subscription, *cause).is_some());
        self.audibility.silent = silent;
    }

    /// `None` when the track or the subscription ended.
    fn path(&self, track: TrackId, subscription: Option<SubscriptionId>, cause: SilentCause) -> Option<SilentPath> {
        let publisher = self.participants.get(self.publishers.get(&track)?)?;
        let receives = |id: SubscriptionId| {
            let mut all = self.participants.values();
            all.find(|other| other.subscriptions.get(&track).is_some_and(|subscription| subscription.id == id))
        };
        let subscriber = match subscription {
            Some(id) => Some(receives(id)?.sid.clone()),
            None => None,
        };
        let sid = publisher.tracks.get(&track)?.info.sid.clone();
        Some(SilentPath { publisher: publisher.sid.clone(), track: sid, subscriber, cause })
    }
}
