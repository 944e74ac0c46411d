//! What the application sees of the people in a room and does about them, in plain types. Whoever calls has decided that it
//! is to be.

use super::participant::Participant;
use super::permission::Permission;
use super::{Refusal, Room, profile};
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{MuteTrackRequest, TrackType};
use std::collections::HashMap;

/// Somebody in a room.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    pub identity: String,
    pub name: String,
    /// Milliseconds since the Unix epoch.
    pub joined_at_ms: i64,
    /// Whether media reaches them by now.
    pub is_active: bool,
    pub attributes: HashMap<String, String>,
    pub tracks: Vec<PersonTrack>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PersonTrack {
    /// As tokens name it: `camera`, `microphone`, `screen_share`, `screen_share_audio`, `unknown`.
    pub source: &'static str,
    pub is_muted: bool,
}

/// Who somebody is from now on, and what they may do, in the place of what their token said.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) name: String,
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) permission: Permission,
}

impl Room {
    pub fn people(&self) -> Vec<Person> {
        self.participants.values().map(person).collect()
    }

    /// What each of them says, or was said, to be.
    pub fn attributes(&self) -> impl Iterator<Item = &HashMap<String, String>> {
        self.participants.values().map(|participant| &participant.attributes)
    }

    pub fn is_here(&self, identity: &str) -> bool {
        self.by_identity(identity).is_some()
    }

    pub fn opened_at_ms(&self) -> i64 {
        self.created_ms
    }

    /// Whoever is in the room already stays, also where they are more than that.
    pub fn set_max_participants(&mut self, max: u32) {
        self.settings.max_participants = max;
    }

    /// Mutes every sound of somebody's. Returns of how many tracks.
    pub fn silence(&mut self, identity: &str) -> usize {
        let Some(key) = self.by_identity(identity) else { return 0 };
        let is_loud = |info: &livekit_protocol::TrackInfo| info.r#type() == TrackType::Audio && !info.muted;
        let tracks = self.participants[&key].tracks.values();
        let loud: Vec<_> = tracks.filter(|track| is_loud(&track.info)).map(|track| track.info.sid.clone()).collect();
        for sid in &loud {
            // The publisher first, so that it does not take the update for a disagreement.
            self.tell(key, Message::Mute(MuteTrackRequest { sid: sid.clone(), muted: true }));
            if let Some(&track) = self.track_sids.get(sid) {
                self.set_muted(key, track, true);
            }
        }
        loud.len()
    }

    /// Nothing is said where nothing changes.
    pub(crate) fn revise(&mut self, identity: &str, revision: Revision) -> Result<(), Refusal> {
        let key = self.by_identity(identity).ok_or(Refusal::NotFound)?;
        let Some(participant) = self.participants.get_mut(&key) else { return Err(Refusal::NotFound) };
        let Revision { name, attributes, permission } = revision;
        if (&participant.name, &participant.attributes, &participant.permission) == (&name, &attributes, &permission) {
            return Ok(());
        }
        profile::check_name(&name).map_err(Refusal::InvalidArgument)?;
        profile::check_attributes(&attributes).map_err(Refusal::InvalidArgument)?;
        participant.name = name;
        participant.attributes = attributes;
        self.set_permission(key, permission);
        self.announce(key);
        self.announce_to_self(key);
        self.refresh_token(key);
        Ok(())
    }
}

fn person(participant: &Participant) -> Person {
    let track = |track: &super::track::Track| PersonTrack {
        source: source_name(track.info.source()),
        is_muted: track.info.muted,
    };
    Person {
        identity: participant.identity.clone(),
        name: participant.name.clone(),
        joined_at_ms: participant.joined_at_ms,
        is_active: participant.state == State::Active,
        attributes: participant.attributes.clone(),
        tracks: participant.published().map(track).collect(),
    }
}

const fn source_name(source: livekit_protocol::TrackSource) -> &'static str {
    use livekit_protocol::TrackSource::{Camera, Microphone, ScreenShare, ScreenShareAudio, Unknown};
    match source {
        Unknown => "unknown",
        Camera => "camera",
        Microphone => "microphone",
        ScreenShare => "screen_share",
        ScreenShareAudio => "screen_share_audio",
    }
}
