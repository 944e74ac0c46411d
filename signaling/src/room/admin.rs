//! What hosts do over the server API. Whoever calls has checked that the host may.

use super::data::Destinations;
use super::participant::ParticipantKey;
use super::peer::{LOSSY_LABEL, RELIABLE_LABEL};
use super::permission::Permission;
use super::profile::{self, ProfileChange};
use super::{Effect, Now, RefreshedGrants, Room, limits};
use crate::stats::SessionEnd;
use livekit_protocol::data_packet::{Kind, Value};
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DataPacket, DisconnectReason, MuteRoomTrackRequest, MuteTrackRequest, ParticipantInfo, SendDataRequest, TrackInfo,
    UpdateParticipantRequest, UpdateSubscription, UpdateSubscriptionsRequest, UserPacket,
};

/// Why a host's request is not carried out. `Display` is a sentence for the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the room, participant or track does not exist")]
    NotFound,
    #[error("it exists already")]
    AlreadyExists,
    #[error("{0}")]
    InvalidArgument(&'static str),
    #[error("this is not allowed")]
    PermissionDenied,
    #[error("only the participant can unmute a track")]
    FailedPrecondition,
    #[error("this server has as many rooms as it takes")]
    ResourceExhausted,
    #[error("the server is shutting down")]
    Unavailable,
}

impl Room {
    pub fn list_participants(&self) -> Vec<ParticipantInfo> {
        self.participants.values().map(|participant| participant.info(&self.server.region)).collect()
    }

    pub fn get_participant(&self, identity: &str) -> Result<ParticipantInfo, Refusal> {
        let key = self.by_identity(identity).ok_or(Refusal::NotFound)?;
        Ok(self.participants[&key].info(&self.server.region))
    }

    pub fn remove_participant(&mut self, now: Now, identity: &str) -> Result<(), Refusal> {
        let key = self.by_identity(identity).ok_or(Refusal::NotFound)?;
        self.remove(now, key, DisconnectReason::ParticipantRemoved, SessionEnd::Removed);
        Ok(())
    }

    /// Nobody's microphone or camera is ever switched on from afar: unmuting is for whoever it belongs to.
    pub fn mute_published_track(&mut self, request: &MuteRoomTrackRequest) -> Result<TrackInfo, Refusal> {
        let key = self.by_identity(&request.identity).ok_or(Refusal::NotFound)?;
        let muted =
            self.participants[&key].track_info(&request.track_sid).map(|info| info.muted).ok_or(Refusal::NotFound)?;
        if muted && !request.muted {
            return Err(Refusal::FailedPrecondition);
        }
        if let Some(&track) = self.track_sids.get(&request.track_sid)
            && request.muted
            && !muted
        {
            // The publisher first, so that it does not take the update for a disagreement.
            let sid = request.track_sid.clone();
            self.tell(key, Message::Mute(MuteTrackRequest { sid, muted: true }));
            self.set_muted(key, track, true);
        }
        self.participants[&key].track_info(&request.track_sid).cloned().ok_or(Refusal::NotFound)
    }

    pub fn update_participant(&mut self, request: UpdateParticipantRequest) -> Result<ParticipantInfo, Refusal> {
        let key = self.by_identity(&request.identity).ok_or(Refusal::NotFound)?;
        let Some(participant) = self.participants.get_mut(&key) else { return Err(Refusal::NotFound) };
        let change = ProfileChange { name: request.name, metadata: request.metadata, attributes: request.attributes };
        change.apply(participant).map_err(Refusal::InvalidArgument)?;
        if let Some(permission) = &request.permission {
            self.set_permission(key, Permission::from_proto(permission));
        }
        self.announce(key);
        self.announce_to_self(key);
        self.refresh_token(key);
        self.get_participant(&request.identity)
    }

    pub fn update_subscriptions(&mut self, request: UpdateSubscriptionsRequest) -> Result<(), Refusal> {
        let key = self.by_identity(&request.identity).ok_or(Refusal::NotFound)?;
        let UpdateSubscriptionsRequest { track_sids, subscribe, participant_tracks, .. } = request;
        self.handle_subscription(key, UpdateSubscription { track_sids, subscribe, participant_tracks });
        Ok(())
    }

    #[allow(deprecated, reason = "older hosts name SIDs, and older clients read the packet's kind")]
    pub fn send_data(&mut self, request: SendDataRequest) -> Result<(), Refusal> {
        if request.data.len() > limits::DATA_PACKET_LEN_MAX {
            return Err(Refusal::InvalidArgument("the data is too long"));
        }
        let label = match request.kind() {
            Kind::Reliable => RELIABLE_LABEL,
            Kind::Lossy => LOSSY_LABEL,
        };
        let packet = DataPacket {
            kind: request.kind,
            destination_identities: request.destination_identities.clone(),
            value: Some(Value::User(UserPacket {
                payload: request.data,
                topic: request.topic,
                nonce: request.nonce,
                ..Default::default()
            })),
            ..Default::default()
        };
        let destinations = Destinations::new(request.destination_identities, request.destination_sids);
        self.relay(None, label, &destinations, &packet);
        Ok(())
    }

    pub fn update_metadata(&mut self, metadata: String) -> Result<livekit_protocol::Room, Refusal> {
        profile::check_metadata(&metadata).map_err(Refusal::InvalidArgument)?;
        self.settings.metadata = metadata;
        self.announce_room();
        Ok(self.info())
    }

    /// What is no longer allowed ends at once; what is newly allowed begins.
    pub(super) fn set_permission(&mut self, key: ParticipantKey, permission: Permission) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let before = std::mem::replace(&mut participant.permission, permission);
        let now = participant.permission.clone();
        if before.hidden != now.hidden {
            self.change_visibility(key);
        }
        self.unpublish_forbidden(key);
        if !now.can_subscribe {
            self.unsubscribe_from_all(key);
        } else if !before.can_subscribe {
            self.subscribe_to_all(key);
        }
        self.renegotiate(key);
    }

    /// Others see somebody appear or leave; whoever is hidden is not received either.
    fn change_visibility(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let tracks: Vec<_> = participant.published().map(|track| track.id).collect();
        if participant.permission.hidden {
            let info = participant.farewell(&self.server.region, DisconnectReason::UnknownReason);
            let update = livekit_protocol::ParticipantUpdate { participants: vec![info] };
            self.tell_others(Some(key), &Message::Update(update));
            let others: Vec<_> = self.participants.keys().copied().collect();
            for track in tracks {
                for &other in &others {
                    self.unsubscribe(other, track);
                }
            }
        } else {
            self.announce(key);
            for track in tracks {
                self.subscribe_everybody(track);
            }
        }
        self.renegotiate_all();
    }

    pub(super) fn refresh_token(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.token_stale = participant.session.is_none();
        if let Some(session) = participant.session {
            let grants = Box::new(RefreshedGrants {
                permission: participant.permission.clone(),
                name: participant.name.clone(),
                metadata: participant.metadata.clone(),
                attributes: participant.attributes.clone(),
            });
            self.effects.push_back(Effect::RefreshToken { session, grants });
        }
    }
}
