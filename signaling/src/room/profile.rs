//! Names, metadata, attributes: their limits, and changes by their owner.

use super::participant::{Participant, ParticipantKey};
use super::{Room, limits};
use livekit_protocol::UpdateParticipantMetadata;
use livekit_protocol::request_response::{Reason, Request};
use std::collections::HashMap;

pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() > limits::NAME_LEN_MAX { Err("the name is too long") } else { Ok(()) }
}

pub(super) fn check_metadata(metadata: &str) -> Result<(), &'static str> {
    if metadata.len() > limits::METADATA_LEN_MAX { Err("the metadata is too long") } else { Ok(()) }
}

pub(super) fn check_attributes(attributes: &HashMap<String, String>) -> Result<(), &'static str> {
    let len: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if attributes.len() > limits::ATTRIBUTES_MAX || len > limits::ATTRIBUTES_LEN_MAX {
        return Err("the attributes are too many or too long");
    }
    Ok(())
}

/// A change to who somebody is. What is empty stays as it is; an attribute set to nothing is removed.
pub(super) struct ProfileChange {
    pub(super) name: String,
    pub(super) metadata: String,
    pub(super) attributes: HashMap<String, String>,
}

impl ProfileChange {
    /// Applies all or nothing.
    pub(super) fn apply(self, participant: &mut Participant) -> Result<(), &'static str> {
        check_name(&self.name)?;
        check_metadata(&self.metadata)?;
        let mut attributes = participant.attributes.clone();
        for (key, value) in self.attributes {
            if value.is_empty() {
                attributes.remove(&key);
            } else {
                attributes.insert(key, value);
            }
        }
        check_attributes(&attributes)?;
        participant.attributes = attributes;
        if !self.name.is_empty() {
            participant.name = self.name;
        }
        if !self.metadata.is_empty() {
            participant.metadata = self.metadata;
        }
        Ok(())
    }
}

impl Room {
    /// The client changes its own name, metadata or attributes, if it may.
    pub(super) fn handle_update_metadata(&mut self, key: ParticipantKey, request: UpdateParticipantMetadata) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let id = request.request_id;
        if !participant.permission.can_update_metadata {
            let message = "changing one's own name, metadata or attributes is not allowed";
            return self.respond(key, id, Reason::NotAllowed, message, Some(Request::UpdateMetadata(request)));
        }
        let change = ProfileChange { name: request.name, metadata: request.metadata, attributes: request.attributes };
        if let Err(message) = change.apply(participant) {
            return self.respond(key, id, Reason::LimitExceeded, message, None);
        }
        self.announce(key);
        self.announce_to_self(key);
        self.respond(key, id, Reason::Ok, "", None);
    }
}
