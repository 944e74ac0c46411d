//! The same picture in a second codec, for who cannot decode the first.
//!
//! A publisher lists further codecs when it announces a track. When a subscriber's description shows that it cannot decode the
//! first, the publisher is told that one of the others is wanted ([`super::dynacast`]), and announces it, under the SID of
//! the track. For clients it is one track; for the media core each codec is one of its own, a source of the track.
//!
//! A subscription has one source at a time and stays one stream when that changes. Once somebody needs a backup that comes,
//! everybody who can takes it, so that the publisher encodes once; only where its policy says so, it sends both.

use super::dynacast::Demand;
use super::participant::{Participant, ParticipantKey};
use super::track::{self, Section, Track};
use super::{Room, limits};
use crate::negotiation::{Incoming, PublishedCodec, PublishedCodecs};
use consilium_media_core::control::Command;
use consilium_media_core::ids::TrackId;
use consilium_media_core::params::{Codec, MediaKind};
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    AddTrackRequest, BackupCodecPolicy, SimulcastCodecInfo, TrackInfo, TrackPublishedResponse, VideoLayer,
};

/// A further codec of a track.
pub(super) struct Backup {
    /// Of the source, for the media core.
    pub(super) id: TrackId,
    pub(super) codec: Codec,
    /// The client's name for it; empty before it is announced.
    pub(super) cid: String,
    /// Lowest quality first; empty before it is announced.
    pub(super) layers: Vec<VideoLayer>,
    /// `None` while no description carries it.
    pub(super) section: Option<Section>,
    /// Packets of it have come.
    pub(super) started: bool,
    pub(super) demand: Demand,
}

/// Which source of a track a subscription has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Choice {
    /// The one it should have; its publisher may not send it yet.
    wanted: TrackId,
    /// Whether it can be had now.
    carried: bool,
}

/// The further codecs that an announcement lists. One that is not to be sent at once has no name yet.
pub(super) fn listed(request: &AddTrackRequest, mut name: impl FnMut() -> TrackId) -> Vec<Backup> {
    let mut backups: Vec<Backup> = Vec::new();
    let primary = request.simulcast_codecs.first().and_then(|codec| track::codec_of_name(&codec.codec));
    for listed in request.simulcast_codecs.iter().skip(1) {
        let codec = track::codec_of_name(&listed.codec).filter(|codec| codec.kind() == MediaKind::Video);
        let Some(codec) = codec.filter(|codec| Some(*codec) != primary) else { continue };
        if backups.iter().all(|known| known.codec != codec) {
            let (cid, layers) = (listed.cid.clone(), track::ranked(listed.layers.clone()));
            let demand = if cid.is_empty() { Demand::NONE } else { Demand::default() };
            backups.push(Backup { id: name(), codec, cid, layers, section: None, started: false, demand });
        }
    }
    backups
}

impl Backup {
    fn bind(&mut self, incoming: &Incoming, info: &mut TrackInfo) {
        let mime_type = track::mime_type(self.codec).to_owned();
        let entry = SimulcastCodecInfo {
            mime_type: mime_type.clone(),
            mid: incoming.mid.as_str().to_owned(),
            cid: self.cid.clone(),
            layers: self.layers.clone(),
            sdp_cid: incoming.track_id.clone().filter(|id| *id != self.cid).unwrap_or_default(),
            ..Default::default()
        };
        match info.codecs.iter_mut().skip(1).find(|codec| codec.mime_type == mime_type) {
            Some(known) => *known = SimulcastCodecInfo { video_layer_mode: known.video_layer_mode, ..entry },
            None => info.codecs.push(entry),
        }
        self.section = Some(Section { mid: incoming.mid, published: incoming.published.clone() });
    }
}

impl Track {
    /// Whether it is this track, in whatever codec.
    pub(super) fn has_source(&self, source: TrackId) -> bool {
        self.id == source || self.backups.iter().any(|backup| backup.id == source)
    }

    /// The first codec's, then the backups'.
    pub(super) fn sources(&self) -> impl Iterator<Item = TrackId> {
        std::iter::once(self.id).chain(self.backups.iter().map(|backup| backup.id))
    }

    pub(super) fn backup_mut(&mut self, source: TrackId) -> Option<&mut Backup> {
        self.backups.iter_mut().find(|backup| backup.id == source)
    }

    pub(super) fn section_of(&self, source: TrackId) -> Option<&Section> {
        if source == self.id {
            return self.section.as_ref();
        }
        self.backups.iter().find(|backup| backup.id == source)?.section.as_ref()
    }

    /// The layers of a source, lowest first.
    #[allow(deprecated, reason = "the layers of the primary codec")]
    pub(super) fn layers_of(&self, source: TrackId) -> &[VideoLayer] {
        let backup = self.backups.iter().find(|backup| backup.id == source && !backup.layers.is_empty());
        backup.map_or(&self.info.layers, |backup| &backup.layers)
    }

    /// Lets a section carry the announced backup that it names, or the first announced one.
    pub(super) fn bind_backup(&mut self, incoming: &Incoming, by_kind: bool) -> Option<TrackId> {
        let Self { backups, info, kind, .. } = self;
        if *kind != incoming.kind {
            return None;
        }
        let mut waiting = backups.iter_mut().filter(|backup| !backup.cid.is_empty() && backup.section.is_none());
        let backup = waiting.find(|backup| by_kind || incoming.track_id.as_ref() == Some(&backup.cid))?;
        backup.bind(incoming, info);
        let id = backup.id;
        self.touch();
        Some(id)
    }

    /// No description carries the backup any more: it must be announced again.
    pub(super) fn unbind_backup(&mut self, source: TrackId) {
        let Some(backup) = self.backup_mut(source) else { return };
        (backup.section, backup.started, backup.demand) = (None, false, Demand::NONE);
        backup.cid.clear();
        let mime_type = track::mime_type(backup.codec);
        let mut first = true;
        self.info.codecs.retain(|codec| std::mem::take(&mut first) || codec.mime_type != mime_type);
        self.regressed = self.regressed.filter(|regressed| *regressed != source);
        self.touch();
    }

    /// What a subscription should have whose client can decode what `decodes` says.
    fn choose(&self, decodes: impl Fn(&PublishedCodec) -> bool) -> Option<Choice> {
        let section = self.section.as_ref()?;
        let primary = section.published.first()?;
        // All sections of a connection share their payload types, so the primary's list says what a backup will look like.
        let format = |backup: &Backup| {
            let published: &PublishedCodecs = backup.section.as_ref().map_or(&section.published, |own| &own.published);
            published.iter().find(|codec| codec.codec == backup.codec).cloned()
        };
        let usable = |backup: &&Backup| format(backup).is_some_and(|codec| decodes(&codec));
        let choice = |backup: &Backup| Choice { wanted: backup.id, carried: backup.section.is_some() };
        let regressed = self.backups.iter().find(|backup| Some(backup.id) == self.regressed).filter(usable);
        if let Some(backup) = regressed {
            return Some(choice(backup));
        }
        if decodes(primary) {
            return Some(Choice { wanted: self.id, carried: true });
        }
        self.backups.iter().find(usable).map(choice)
    }

    fn regresses(&self) -> bool {
        // "Regression" is taken as the preference too: who cannot decode the backup goes on with the primary.
        self.info.backup_codec_policy() != BackupCodecPolicy::Simulcast && self.regressed.is_none()
    }
}

impl Room {
    /// The client announces a further codec of a track of its own.
    pub(super) fn handle_add_backup(&mut self, key: ParticipantKey, request: AddTrackRequest) {
        match self.announce_backup(key, &request) {
            Ok(info) => {
                let answer = TrackPublishedResponse { cid: request.cid, track: Some(info) };
                self.tell(key, Message::TrackPublished(answer));
                self.bind_announced(key);
            }
            Err((reason, message)) => self.respond(key, 0, reason, message, Some(Request::AddTrack(request))),
        }
    }

    fn announce_backup(
        &mut self,
        key: ParticipantKey,
        request: &AddTrackRequest,
    ) -> Result<TrackInfo, (Reason, &'static str)> {
        const INCOMPLETE: (Reason, &str) = (Reason::InvalidRequest, "the announcement is incomplete or over a limit");
        let own = self.track_sids.get(&request.sid).filter(|track| self.publishers.get(track) == Some(&key));
        let participant = own.and_then(|track| Some((*track, self.participants.get_mut(&key)?)));
        let Some((id, participant)) = participant else { return Err((Reason::NotFound, "there is no such track")) };
        let carried =
            participant.tracks.values().flat_map(|track| &track.backups).filter(|backup| !backup.cid.is_empty());
        let is_full = participant.tracks.len() + carried.count() >= limits::TRACKS_PER_PARTICIPANT_MAX;
        let Some(track) = participant.tracks.get_mut(&id) else { return Err(INCOMPLETE) };
        let Some(listed) = request.simulcast_codecs.first().filter(|_| track::within_limits(request)) else {
            return Err(INCOMPLETE);
        };
        let codec = track::codec_of_name(&listed.codec);
        let Some(backup) = track.backups.iter_mut().find(|backup| Some(backup.codec) == codec) else {
            return Err((Reason::UnsupportedType, "the track was announced without this codec"));
        };
        match &backup.section {
            Some(_) if backup.cid == request.cid => return Ok(track.info.clone()),
            Some(_) => return Err((Reason::InvalidRequest, "the codec is published already")),
            None if backup.cid.is_empty() && is_full => return Err((Reason::LimitExceeded, "too many tracks")),
            None => {}
        }
        let layers = if listed.layers.is_empty() { &request.layers } else { &listed.layers };
        (backup.cid, backup.layers) = (request.cid.clone(), track::ranked(layers.clone()));
        let codec = backup.codec;
        participant.publisher.negotiation.set_video_codec(&request.cid, codec);
        Ok(track.info.clone())
    }

    /// Packets of a source came for the first time.
    pub(super) fn handle_source_started(&mut self, source: TrackId) {
        let Some(track) = self.track_of_source(source) else { return };
        let id = track.id;
        if let Some(backup) = track.backup_mut(source) {
            backup.started = true;
            self.settle_sources(id);
        }
    }

    pub(super) fn track_of_source(&mut self, source: TrackId) -> Option<&mut Track> {
        let participant = self.participants.get_mut(self.publishers.get(&source)?)?;
        participant.tracks.values_mut().find(|track| track.has_source(source))
    }

    /// Descriptions carry backups that they did not, or no longer do.
    pub(super) fn end_backups(&mut self, key: ParticipantKey, ended: &[TrackId]) {
        for &source in ended {
            let Some(track) = self.track_of_source(source) else { continue };
            let id = track.id;
            track.unbind_backup(source);
            // The media core ends a source with all that hangs on it. Who cannot decode the primary waits there.
            self.settle_sources(id);
            self.leave_source(key, id, source);
        }
    }

    fn leave_source(&mut self, publisher: ParticipantKey, id: TrackId, source: TrackId) {
        let keys: Vec<_> = self.participants.keys().copied().filter(|key| *key != publisher).collect();
        for key in keys {
            let subscription = self.participants.get(&key).and_then(|participant| participant.subscriptions.get(&id));
            if subscription.is_some_and(|subscription| subscription.source == Some(source)) {
                self.set_source(key, id, id);
            }
        }
    }

    /// Chooses the source of everybody who receives a track anew.
    pub(super) fn settle_sources(&mut self, id: TrackId) {
        let keys: Vec<_> = self.participants.keys().copied().collect();
        keys.iter().for_each(|key| self.choose_source(*key, id));
        self.settle_regression(id);
    }

    /// Once somebody needs a backup that comes, everybody takes it who can.
    fn settle_regression(&mut self, id: TrackId) {
        let Some(track) = self.track_of_source(id).filter(|track| track.regresses()) else { return };
        let running: Vec<_> = track.backups.iter().filter(|backup| backup.started).map(|backup| backup.id).collect();
        let has =
            |participant: &Participant| participant.subscriptions.get(&id).map(|subscription| subscription.wanted);
        let needed = running.into_iter().find(|backup| self.participants.values().any(|one| has(one) == Some(*backup)));
        if let (Some(backup), Some(track)) = (needed, self.track_of_source(id)) {
            track.regressed = Some(backup);
            let keys: Vec<_> = self.participants.keys().copied().collect();
            keys.into_iter().for_each(|key| self.choose_source(key, id));
        }
    }

    /// What a participant can decode became known: chooses the sources of all that it receives.
    pub(super) fn choose_sources(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let tracks: Vec<_> = participant.subscriptions.keys().copied().collect();
        for id in tracks {
            if self.track_of_source(id).is_some_and(|track| !track.backups.is_empty()) {
                self.choose_source(key, id);
                self.settle_regression(id);
            }
        }
    }

    fn choose_source(&mut self, key: ParticipantKey, id: TrackId) {
        let publisher = self.publishers.get(&id).and_then(|key| self.participants.get(key));
        let (Some(track), Some(participant)) =
            (publisher.and_then(|publisher| publisher.tracks.get(&id)), self.participants.get(&key))
        else {
            return;
        };
        let Some(subscription) = participant.subscriptions.get(&id).filter(|_| !track.backups.is_empty()) else {
            return;
        };
        let negotiation = &participant.receiving().negotiation;
        let Some(decodes) = negotiation.decoder_of(subscription.id) else { return };
        let Some(choice) = track.choose(decodes) else { return };
        if subscription.wanted != choice.wanted {
            if let Some(subscription) = self.participants.get_mut(&key).and_then(|one| one.subscriptions.get_mut(&id)) {
                subscription.wanted = choice.wanted;
            }
            self.dynacast.note(id);
        }
        if choice.carried {
            self.set_source(key, id, choice.wanted);
        }
    }

    /// Gives a subscription its source: what it is sent becomes that from its next keyframe on.
    fn set_source(&mut self, key: ParticipantKey, id: TrackId, source: TrackId) {
        let publisher = self.publishers.get(&id).and_then(|key| self.participants.get(key));
        let Some(track) = publisher.and_then(|publisher| publisher.tracks.get(&id)) else { return };
        let Some(published) = track.section_of(source).map(|section| section.published.clone()) else { return };
        let Some(asked) = self.participants.get(&key).and_then(|one| one.subscriptions.get(&id)).map(|one| one.asked)
        else {
            return;
        };
        let limit = asked.map(|asked| track.limit_for(source, asked));
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let Some(subscription) = participant.subscriptions.get_mut(&id) else { return };
        if subscription.source == Some(source) {
            return;
        }
        subscription.source = Some(source);
        let limited = limit.is_some_and(|limit| std::mem::replace(&mut subscription.limit, limit) != limit);
        let (subscription, settings) = (subscription.id, subscription.settings());
        let peer = participant.receiving_mut();
        peer.negotiation.set_publisher(subscription, published);
        if !peer.sending.contains(&subscription) {
            return self.send_placed(key);
        }
        let placed = peer.negotiation.placed().into_iter().find(|place| place.subscription == subscription);
        if let Some(place) = placed {
            let send = Box::new(place.send);
            self.media(Command::MoveSubscription { subscription, track: source, send });
        }
        if limited {
            self.media(settings);
        }
    }
}
