//! Tracks announced, carried, muted and ended.

use super::participant::ParticipantKey;
use super::track::{Track, announced_codec};
use super::{Now, Room, backup, limits};
use crate::negotiation::{AudioPreferences, Incoming};
use consilium_media_core::control::Command;
use consilium_media_core::ids::{Mid, TrackId};
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    AddTrackRequest, AudioTrackFeature, MuteTrackRequest, RequestResponse, TrackPublishedResponse,
    TrackUnpublishedResponse, UpdateLocalAudioTrack, UpdateLocalVideoTrack,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What an exchange of descriptions changed about a participant's tracks.
#[derive(Default)]
pub(super) struct TrackChanges {
    pub(super) started: Vec<TrackId>,
    pub(super) ended: Vec<TrackId>,
    /// Tracks that are carried in a further codec now.
    pub(super) backed: Vec<TrackId>,
    /// Sources whose tracks go on without them.
    pub(super) backups_ended: Vec<TrackId>,
}

impl TrackChanges {
    fn is_empty(&self) -> bool {
        [&self.started, &self.ended, &self.backed, &self.backups_ended].into_iter().all(Vec::is_empty)
    }
}

impl Room {
    /// The client announces a track. It is told the track's SID, or why it may not publish.
    pub(super) fn handle_add_track(&mut self, now: Now, key: ParticipantKey, request: AddTrackRequest) {
        let Some(participant) = self.participants.get(&key) else { return };
        if !request.sid.is_empty() {
            return self.handle_add_backup(key, request);
        }
        let refusal = if !participant.permission.may_publish(request.source()) {
            Some((Reason::NotAllowed, "publishing this source is not allowed"))
        } else if participant.tracks.len() >= limits::TRACKS_PER_PARTICIPANT_MAX {
            Some((Reason::LimitExceeded, "too many tracks"))
        } else {
            None
        };
        if let Some((reason, message)) = refusal {
            return self.respond(key, 0, reason, message, Some(Request::AddTrack(request)));
        }
        let announced = participant.tracks.values().find(|track| track.section.is_none() && track.cid == request.cid);
        if let Some(track) = announced {
            let answer = TrackPublishedResponse { cid: request.cid, track: Some(track.info.clone()) };
            return self.tell(key, Message::TrackPublished(answer));
        }
        let (id, sid) = (self.names.track(), self.names.sid("TR"));
        let backups = backup::listed(&request, || self.names.track());
        let sources: Vec<_> = std::iter::once(id).chain(backups.iter().map(|backup| backup.id)).collect();
        let Some(track) = Track::announced(id, sid, request.clone(), backups, now.unix_ms) else {
            let message = "the announcement is incomplete or over a limit";
            return self.respond(key, 0, Reason::InvalidRequest, message, Some(Request::AddTrack(request)));
        };
        let has = |feature: AudioTrackFeature| track.info.audio_features.contains(&feature.into());
        let wanted = AudioPreferences {
            red: !track.info.disable_red,
            dtx: !has(AudioTrackFeature::TfNoDtx),
            stereo: has(AudioTrackFeature::TfStereo),
        };
        let answer = TrackPublishedResponse { cid: request.cid.clone(), track: Some(track.info.clone()) };
        self.publishers.extend(sources.into_iter().map(|source| (source, key)));
        self.track_sids.insert(track.info.sid.clone(), id);
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.publisher.negotiation.set_audio_preferences(&request.cid, wanted);
            if let Some(codec) = announced_codec(&request) {
                participant.publisher.negotiation.set_video_codec(&request.cid, codec);
            }
            participant.tracks.insert(id, track);
        }
        self.tell(key, Message::TrackPublished(answer));
        self.bind_announced(key);
    }

    /// The description may have come before the announcement.
    pub(super) fn bind_announced(&mut self, key: ParticipantKey) {
        let changes = self.bind_sections(key);
        if !changes.started.is_empty() || !changes.backed.is_empty() {
            self.set_receive_again(key);
            self.announce_tracks(key, &changes);
        }
    }

    /// The client muted or unmuted a track of its own.
    pub(super) fn handle_mute(&mut self, key: ParticipantKey, request: &MuteTrackRequest) {
        if let Some(&track) = self.track_sids.get(&request.sid)
            && self.publishers.get(&track) == Some(&key)
        {
            self.set_muted(key, track, request.muted);
        }
    }

    /// `false` when nothing changed.
    pub(super) fn set_muted(&mut self, key: ParticipantKey, id: TrackId, muted: bool) -> bool {
        let participant = self.participants.get_mut(&key);
        let Some(track) = participant.and_then(|participant| participant.tracks.get_mut(&id)) else { return false };
        if track.info.muted == muted {
            return false;
        }
        track.info.muted = muted;
        track.touch();
        let carried: Vec<_> = track.sources().filter(|source| track.section_of(*source).is_some()).collect();
        let is_published = track.section.is_some();
        for source in carried {
            self.media(Command::SetTrackMuted { track: source, muted });
        }
        if is_published {
            self.announce(key);
        }
        true
    }

    pub(super) fn handle_update_audio_track(&mut self, key: ParticipantKey, request: UpdateLocalAudioTrack) {
        if request.features.len() > limits::FEATURES_PER_TRACK_MAX {
            return;
        }
        self.change_own_track(key, &request.track_sid, |track| track.info.audio_features = request.features);
    }

    pub(super) fn handle_update_video_track(&mut self, key: ParticipantKey, request: &UpdateLocalVideoTrack) {
        self.change_own_track(key, &request.track_sid, |track| {
            track.info.width = request.width;
            track.info.height = request.height;
        });
    }

    fn change_own_track(&mut self, key: ParticipantKey, sid: &str, change: impl FnOnce(&mut Track)) {
        let Some(id) = self.track_sids.get(sid) else { return };
        let participant = self.participants.get_mut(&key);
        let Some(track) = participant.and_then(|participant| participant.tracks.get_mut(id)) else { return };
        change(track);
        track.touch();
        self.announce(key);
    }

    /// Matches the sections that the client sends on with the tracks that it announced.
    ///
    /// A section that carried a track goes on carrying it, unless it now names another announced track. A new section
    /// carries the announced track that it names; one whose name nobody announced (some stacks make up ids) carries the
    /// oldest announced track of its kind.
    pub(super) fn bind_sections(&mut self, key: ParticipantKey) -> TrackChanges {
        let mut changes = TrackChanges::default();
        let Some(participant) = self.participants.get_mut(&key) else { return changes };
        let incoming = participant.publisher.negotiation.incoming();
        let tracks = &mut participant.tracks;
        let carried: HashSet<Mid> = sections(tracks).map(|(_, _, mid)| mid).collect();
        let mut taken: HashMap<Mid, TrackId> = HashMap::new();
        let is_new = |section: &&Incoming| !carried.contains(&section.mid);
        let (new, renamed): (Vec<_>, Vec<_>) = incoming.iter().partition(is_new);
        let by_name = new.iter().chain(&renamed).map(|section| (*section, false));
        let by_kind = new.iter().map(|section| (*section, true));
        for (section, by_kind) in by_name.chain(by_kind) {
            if taken.contains_key(&section.mid) {
                continue;
            }
            if let Some(track) = bind_track(tracks, section, by_kind) {
                changes.started.push(track);
                taken.insert(section.mid, track);
            } else if let Some((track, source)) = bind_backup(tracks, section, by_kind) {
                changes.backed.push(track);
                taken.insert(section.mid, source);
            }
        }
        for (track, source, mid) in sections(tracks) {
            let gone = !incoming.iter().any(|incoming| incoming.mid == mid);
            let replaced = taken.get(&mid).is_some_and(|by| *by != source);
            if gone || replaced {
                if track == source { &mut changes.ended } else { &mut changes.backups_ended }.push(source);
            }
        }
        changes
    }

    /// Tells the others of tracks that began or ended, and lets them receive what began.
    pub(super) fn announce_tracks(&mut self, key: ParticipantKey, changes: &TrackChanges) {
        if changes.is_empty() {
            return;
        }
        self.announce(key);
        for &track in &changes.backed {
            self.tell_demand(track);
            self.settle_sources(track);
        }
        for &track in &changes.started {
            self.notice_published(key, track);
            self.dynacast.note(track);
            self.subscribe_everybody(track);
        }
        self.renegotiate_all();
    }

    /// Ends a track here and at everybody who receives it. The media core ends it with its section or connection.
    pub(super) fn forget_track(&mut self, id: TrackId) {
        let Some(key) = self.publishers.remove(&id) else { return };
        self.notice_unpublished(key, id);
        let track = self.participants.get_mut(&key).and_then(|participant| participant.tracks.remove(&id));
        if let Some(track) = track {
            self.track_sids.remove(&track.info.sid);
            for source in track.sources() {
                self.publishers.remove(&source);
            }
        }
        let speaker = self.participants.get(&key).map(|participant| participant.sid.clone());
        for participant in self.participants.values_mut() {
            participant.wishes.remove(&id);
            if let Some(subscription) = participant.subscriptions.remove(&id) {
                let peer = participant.receiving_mut();
                peer.negotiation.remove_outgoing(subscription.id);
                peer.sending.remove(&subscription.id);
            }
        }
        if let Some(sid) = speaker {
            self.speakers.track_ended(self.present, &sid);
        }
    }

    /// Ends tracks that their publisher may no longer publish, and tells it.
    pub(super) fn unpublish_forbidden(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let forbidden: Vec<_> = participant
            .tracks
            .values()
            .filter(|track| !participant.permission.may_publish(track.info.source()))
            .map(|track| (track.id, track.info.sid.clone()))
            .collect();
        if forbidden.is_empty() {
            return;
        }
        for (track, track_sid) in forbidden {
            self.forget_track(track);
            self.tell(key, Message::TrackUnpublished(TrackUnpublishedResponse { track_sid }));
        }
        self.set_receive_again(key);
        self.renegotiate_all();
    }

    /// Tells a client how its request ended.
    pub(super) fn respond(
        &mut self,
        key: ParticipantKey,
        request_id: u32,
        reason: Reason,
        message: &str,
        request: Option<Request>,
    ) {
        let response = RequestResponse { request_id, reason: reason.into(), message: message.to_owned(), request };
        self.tell(key, Message::RequestResponse(response));
    }
}

/// The track, the source and the name of each section that carries something.
fn sections(tracks: &BTreeMap<TrackId, Track>) -> impl Iterator<Item = (TrackId, TrackId, Mid)> {
    let carried = |track: &Track, source| Some((track.id, source, track.section_of(source)?.mid));
    tracks.values().flat_map(move |track| track.sources().filter_map(move |source| carried(track, source)))
}

fn bind_track(tracks: &mut BTreeMap<TrackId, Track>, section: &Incoming, by_kind: bool) -> Option<TrackId> {
    let mut free = tracks.values_mut().filter(|track| track.section.is_none() && track.kind == section.kind);
    let named = |track: &Track| section.track_id.as_ref().is_some_and(|track_id| track.answers_to(track_id));
    let track = free.find(|track| by_kind || named(track))?;
    track.bind(section);
    Some(track.id)
}

fn bind_backup(tracks: &mut BTreeMap<TrackId, Track>, section: &Incoming, by_kind: bool) -> Option<(TrackId, TrackId)> {
    tracks.values_mut().find_map(|track| Some((track.id, track.bind_backup(section, by_kind)?)))
}
