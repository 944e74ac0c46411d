//! Which layers a publisher needs to send, in each of its codecs: those that somebody receives, and no others.
//!
//! What is needed more is said at once; what is needed less, after a while, because people who scroll or rearrange pictures
//! soon want them back, and starting a layer costs a keyframe. A track begins with what is wanted of it then, and with the
//! lowest layer at least: where hundreds join, nobody sends large pictures before somebody looks at them.

use super::participant::{Participant, ParticipantKey};
use super::track::{self, Track};
use super::{Room, limits};
use consilium_media_core::ids::TrackId;
use consilium_media_core::params::MediaKind;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate, VideoLayer, VideoQuality};
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

impl Demand {
    /// Of a codec that its publisher does not send unasked.
    pub(super) const NONE: Self = Self { told: 0, is_told: false };
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
    /// Sources whose publishers are to be told of fewer layers: when, and of which track they are.
    lower_at: BTreeMap<TrackId, (Instant, TrackId)>,
}

impl Dynacast {
    /// Somebody receives the track who did not, or no longer does, or at another quality.
    pub(super) fn note(&mut self, track: TrackId) {
        self.changed.insert(track);
    }

    /// When a publisher is told that it needs to send less.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.lower_at.values().map(|(at, _)| *at).min()
    }
}

impl Room {
    /// Looks at what changed, and tells publishers.
    pub(super) fn settle_demand(&mut self) {
        let due = self.dynacast.lower_at.values().filter(|(at, _)| *at <= self.present).map(|(_, track)| *track);
        let due: Vec<_> = due.collect();
        self.dynacast.changed.extend(due);
        for id in std::mem::take(&mut self.dynacast.changed) {
            self.settle_track(id);
        }
    }

    /// All codecs of a track; its publisher is told of all in one.
    fn settle_track(&mut self, id: TrackId) {
        let Some(track) = self.track_of_source(id) else {
            return self.dynacast.lower_at.retain(|_, (_, track)| *track != id);
        };
        let sources: Vec<_> = track.sources().collect();
        let changed = sources.into_iter().filter(|source| self.settle_source(id, *source)).count();
        if changed > 0 {
            self.tell_demand(id);
        }
    }

    /// `true` when there is news for the publisher.
    fn settle_source(&mut self, id: TrackId, source: TrackId) -> bool {
        let lower_at = self.dynacast.lower_at.remove(&source).map(|(at, _)| at);
        let received = self.layers_wanted(id, source);
        let (present, in_a_while) = (self.present, self.present.checked_add(limits::LOWER_DEMAND_AFTER));
        let Some(track) = self.track_of_source(id) else { return false };
        if track.kind != MediaKind::Video || track.section.is_none() {
            return false;
        }
        let is_primary = source == id;
        let Some(demand) = track.demand_mut(source) else { return false };
        let before = *demand;
        let wanted = if before.is_told || !is_primary { received } else { received.max(1) };
        let waits = before.is_told && wanted < before.told && lower_at.is_none_or(|at| at > present);
        if !waits {
            *demand = Demand { told: wanted, is_told: before.is_told || is_primary || wanted > 0 };
        }
        if waits || received < wanted {
            self.dynacast.lower_at.extend(lower_at.or(in_a_while).map(|at| (source, (at, id))));
        }
        !waits && wanted != before.told
    }

    pub(super) fn tell_demand(&mut self, id: TrackId) {
        let Some(&key) = self.publishers.get(&id) else { return };
        if let Some(update) = self.track_of_source(id).map(|track| update(track)) {
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

    /// From the lowest up: 0 when nobody receives the source, or waits for it.
    fn layers_wanted(&self, id: TrackId, source: TrackId) -> usize {
        let wanted = |participant: &Participant| {
            let subscription = participant.subscriptions.get(&id)?;
            if subscription.paused || subscription.wanted != source {
                return None;
            }
            Some(usize::from(subscription.limit.spatial).saturating_add(1).min(QUALITIES.len()))
        };
        self.participants.values().filter_map(wanted).max().unwrap_or(0)
    }
}

impl Track {
    fn demand_mut(&mut self, source: TrackId) -> Option<&mut Demand> {
        if source == self.id {
            return Some(&mut self.demand);
        }
        self.backup_mut(source).map(|backup| &mut backup.demand)
    }
}

/// All of a track's codecs of which its publisher is to know anything, the first one first.
fn update(track: &Track) -> SubscribedQualityUpdate {
    let first = track.info.codecs.first().map(|codec| codec.layers.as_slice()).unwrap_or_default();
    let primary = SubscribedCodec { codec: name(&track.info.mime_type), qualities: qualities(first, track.demand) };
    let backups = track.backups.iter().filter(|backup| backup.demand.is_told).map(|backup| SubscribedCodec {
        codec: name(track::mime_type(backup.codec)),
        qualities: qualities(&backup.layers, backup.demand),
    });
    #[allow(deprecated, reason = "older SDKs read the qualities without their codec")]
    SubscribedQualityUpdate {
        track_sid: track.info.sid.clone(),
        subscribed_qualities: primary.qualities.clone(),
        subscribed_codecs: std::iter::once(primary).chain(backups).collect(),
    }
}

fn qualities(layers: &[VideoLayer], demand: Demand) -> Vec<SubscribedQuality> {
    let needed = |quality: VideoQuality| {
        // A quality that is none of the track's layers is what its client calls a track without layers.
        let rank = layers.iter().position(|layer| layer.quality() == quality).unwrap_or(0);
        SubscribedQuality { quality: quality.into(), enabled: rank < demand.told }
    };
    QUALITIES.map(needed).to_vec()
}

/// As the SDKs name codecs.
fn name(mime_type: &str) -> String {
    mime_type.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}
