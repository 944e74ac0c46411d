//! Which layers a publisher needs to send: those that somebody receives, and no others.
//!
//! What is needed more is said at once; what is needed less, after a while, because people who scroll or rearrange pictures
//! soon want them back, and starting a layer costs a keyframe. A track begins with what is wanted of it then, and with the
//! lowest layer at least: where hundreds join, nobody sends large pictures before somebody looks at them.

use super::participant::{Participant, ParticipantKey};
use super::track::Track;
use super::{Room, limits};
use consilium_media_core::ids::TrackId;
use consilium_media_core::params::MediaKind;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate, VideoQuality};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

const QUALITIES: [VideoQuality; 3] = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];

/// What is known of the demand for one track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Layers that its publisher was told to send, counted from the lowest.
    told: usize,
    /// The publisher was told at all.
    is_told: bool,
}

impl Default for Demand {
    /// Clients begin with all they have.
    fn default() -> Self {
        Self { told: QUALITIES.len(), is_told: false }
    }
}

/// Tracks of which it may have changed who receives what.
#[derive(Default)]
pub(super) struct Dynacast {
    /// Since the last look.
    changed: BTreeSet<TrackId>,
    /// Those whose publishers are to be told of fewer layers, and when.
    lower_at: BTreeMap<TrackId, Instant>,
}

impl Dynacast {
    /// Somebody receives the track who did not, or no longer does, or at another quality.
    pub(super) fn note(&mut self, track: TrackId) {
        self.changed.insert(track);
    }

    /// When a publisher is told that it needs to send less.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.lower_at.values().min().copied()
    }
}

impl Room {
    /// Looks at what changed, and tells publishers.
    pub(super) fn settle_demand(&mut self) {
        let due = self.dynacast.lower_at.iter().filter(|(_, at)| **at <= self.present).map(|(track, _)| *track);
        let due: Vec<_> = due.collect();
        self.dynacast.changed.extend(due);
        for id in std::mem::take(&mut self.dynacast.changed) {
            self.settle_track(id);
        }
    }

    fn settle_track(&mut self, id: TrackId) {
        let lower_at = self.dynacast.lower_at.remove(&id);
        let Some(&key) = self.publishers.get(&id) else { return };
        let received = self.layers_wanted(id);
        let in_a_while = self.present.checked_add(limits::LOWER_DEMAND_AFTER);
        let participant = self.participants.get_mut(&key);
        let Some(track) = participant.and_then(|participant| participant.tracks.get_mut(&id)) else { return };
        if track.kind != MediaKind::Video || track.section.is_none() {
            return;
        }
        let before = track.demand;
        let wanted = if before.is_told { received } else { received.max(1) };
        let waits = before.is_told && wanted < before.told && lower_at.is_none_or(|at| at > self.present);
        if waits || received < wanted {
            self.dynacast.lower_at.extend(lower_at.or(in_a_while).map(|at| (id, at)));
        }
        if waits {
            return;
        }
        track.demand = Demand { told: wanted, is_told: true };
        if wanted != before.told {
            let update = update(track);
            self.tell(key, Message::SubscribedQualityUpdate(update));
        }
    }

    /// What a resumed client is to send, whatever it was told and has heard before.
    pub(super) fn tell_demands(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let updates: Vec<_> = participant.published().filter(|track| track.demand.is_told).map(update).collect();
        for update in updates {
            self.tell(key, Message::SubscribedQualityUpdate(update));
        }
    }

    /// From the lowest up: 0 when nobody receives the track.
    fn layers_wanted(&self, id: TrackId) -> usize {
        let wanted = |participant: &Participant| {
            let subscription = participant.subscriptions.get(&id).filter(|subscription| !subscription.paused)?;
            Some(usize::from(subscription.limit.spatial).saturating_add(1).min(QUALITIES.len()))
        };
        self.participants.values().filter_map(wanted).max().unwrap_or(0)
    }
}

fn update(track: &Track) -> SubscribedQualityUpdate {
    let layers = track.info.codecs.first().map(|codec| codec.layers.as_slice()).unwrap_or_default();
    let needed = |quality: VideoQuality| {
        // A quality that is none of the track's layers is what its client calls a track without layers.
        let rank = layers.iter().position(|layer| layer.quality() == quality).unwrap_or(0);
        SubscribedQuality { quality: quality.into(), enabled: rank < track.demand.told }
    };
    let qualities = QUALITIES.map(needed).to_vec();
    let codec = track.info.mime_type.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    #[allow(deprecated, reason = "older SDKs read the qualities without their codec")]
    SubscribedQualityUpdate {
        track_sid: track.info.sid.clone(),
        subscribed_qualities: qualities.clone(),
        subscribed_codecs: vec![SubscribedCodec { codec, qualities }],
    }
}
