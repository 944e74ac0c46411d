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
use std::collections::BTreeSet;
use std::time::Instant;

const QUALITIES: [VideoQuality; 3] = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];

/// What is known of the demand for one track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    /// Layers that its publisher was told to send, counted from the lowest.
    told: usize,
    /// The publisher was told at all.
    is_told: bool,
    /// When it is told of fewer.
    lower_at: Option<Instant>,
}

impl Default for Demand {
    /// Clients begin with all they have.
    fn default() -> Self {
        Self { told: QUALITIES.len(), is_told: false, lower_at: None }
    }
}

/// Tracks whose subscriptions changed since the last look.
#[derive(Default)]
pub(super) struct Dynacast {
    changed: BTreeSet<TrackId>,
    /// Those that wait for `lower_at`.
    waiting: BTreeSet<TrackId>,
}

impl Dynacast {
    /// Somebody receives the track who did not, or no longer does, or at another quality.
    pub(super) fn note(&mut self, track: TrackId) {
        self.changed.insert(track);
    }
}

impl Room {
    /// When a publisher is told that it needs to send less.
    pub(super) fn demand_due(&self) -> Option<Instant> {
        self.dynacast.waiting.iter().filter_map(|id| self.track(*id)?.demand.lower_at).min()
    }

    /// Looks at what changed, and tells publishers.
    pub(super) fn settle_demand(&mut self) {
        let due: Vec<_> = self.dynacast.waiting.iter().copied().filter(|id| self.is_due(*id)).collect();
        self.dynacast.changed.extend(due);
        for id in std::mem::take(&mut self.dynacast.changed) {
            self.settle_track(id);
        }
    }

    fn is_due(&self, id: TrackId) -> bool {
        self.track(id).is_none_or(|track| track.demand.lower_at.is_none_or(|at| at <= self.present))
    }

    fn settle_track(&mut self, id: TrackId) {
        self.dynacast.waiting.remove(&id);
        let Some(&key) = self.publishers.get(&id) else { return };
        let received = self.layers_wanted(id);
        let present = self.present;
        let participant = self.participants.get_mut(&key);
        let Some(track) = participant.and_then(|participant| participant.tracks.get_mut(&id)) else { return };
        if track.kind != MediaKind::Video || track.section.is_none() {
            return;
        }
        let demand = &mut track.demand;
        let wanted = if demand.is_told { received } else { received.max(1) };
        if wanted >= demand.told {
            demand.lower_at = None;
            if wanted == demand.told {
                demand.is_told = true;
                return;
            }
        } else if demand.is_told && demand.lower_at.is_none_or(|at| at > present) {
            let at = demand.lower_at.or(present.checked_add(limits::LOWER_DEMAND_AFTER));
            demand.lower_at = at;
            self.dynacast.waiting.insert(id);
            return;
        }
        let lower_at = present.checked_add(limits::LOWER_DEMAND_AFTER).filter(|_| received < wanted);
        *demand = Demand { told: wanted, is_told: true, lower_at };
        if lower_at.is_some() {
            self.dynacast.waiting.insert(id);
        }
        let update = update(track);
        self.tell_demand(key, update);
    }

    fn tell_demand(&mut self, key: ParticipantKey, update: SubscribedQualityUpdate) {
        self.tell(key, Message::SubscribedQualityUpdate(update));
    }

    /// A client that resumed may have missed what it was told.
    pub(super) fn tell_demands(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let told = participant.published().filter(|track| track.demand.told < QUALITIES.len());
        let updates: Vec<_> = told.map(update).collect();
        for update in updates {
            self.tell_demand(key, update);
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

    fn track(&self, id: TrackId) -> Option<&Track> {
        self.participants.get(self.publishers.get(&id)?)?.tracks.get(&id)
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
