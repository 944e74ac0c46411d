//! The verbs of the server API. Whoever calls has checked that the host may.

use super::{JoinError, Refusal, RoomHandle, Rooms, call, check_room_name};
use crate::room::{Now, Room, limits};
use crate::stats::SessionEnd;
use livekit_protocol as proto;
use std::time::Duration;

impl Rooms {
    /// A room that exists is returned as it is.
    pub async fn create_room(&self, request: proto::CreateRoomRequest) -> Result<proto::Room, Refusal> {
        check_room_name(&request.name).map_err(Refusal::InvalidArgument)?;
        if request.metadata.len() > limits::METADATA_LEN_MAX {
            return Err(Refusal::InvalidArgument("the metadata is too long"));
        }
        let mut settings = self.default_settings(request.name);
        settings.metadata = request.metadata;
        if request.empty_timeout > 0 {
            settings.empty_timeout = Duration::from_secs(request.empty_timeout.into());
        }
        if request.departure_timeout > 0 {
            settings.departure_timeout = Duration::from_secs(request.departure_timeout.into());
        }
        if request.max_participants > 0 {
            settings.max_participants = request.max_participants;
        }
        settings.loudest_speakers = super::loudest_speakers(&request.tags, settings.loudest_speakers);
        for _ in 0..super::ATTEMPTS_MAX {
            let handle = self.open(settings.clone()).map_err(|error| match error {
                JoinError::TooManyRooms => Refusal::ResourceExhausted,
                JoinError::Invalid(reason) => Refusal::InvalidArgument(reason),
                JoinError::RoomFull | JoinError::Denied(_) | JoinError::Unavailable => Refusal::Unavailable,
            })?;
            if let Some(room) = call(&handle, |room: &mut Room, _| room.info()).await {
                return Ok(room);
            }
        }
        Err(Refusal::Unavailable)
    }

    /// All rooms, or those of the names given that exist.
    pub async fn list_rooms(&self, request: proto::ListRoomsRequest) -> Result<proto::ListRoomsResponse, Refusal> {
        let wanted = |name: &String| request.names.is_empty() || request.names.contains(name);
        let handles: Vec<RoomHandle> =
            self.inner.by_name.iter().filter(|entry| wanted(entry.key())).map(|entry| entry.value().clone()).collect();
        let mut rooms = Vec::with_capacity(handles.len());
        for handle in handles {
            rooms.extend(call(&handle, |room: &mut Room, _| room.info()).await);
        }
        Ok(proto::ListRoomsResponse { rooms })
    }

    pub async fn delete_room(&self, request: proto::DeleteRoomRequest) -> Result<proto::DeleteRoomResponse, Refusal> {
        let handle = self.find(&request.room).ok_or(Refusal::NotFound)?;
        let close = |room: &mut Room, now: Now| {
            room.close(now, proto::DisconnectReason::RoomDeleted, SessionEnd::RoomDeleted);
        };
        call(&handle, close).await.ok_or(Refusal::NotFound)?;
        // Its name is free when the host hears of it, not a moment later.
        self.forget(&request.room, handle.id);
        Ok(proto::DeleteRoomResponse {})
    }

    pub async fn list_participants(
        &self,
        request: proto::ListParticipantsRequest,
    ) -> Result<proto::ListParticipantsResponse, Refusal> {
        let participants = self.ask(&request.room, |room, _| Ok(room.list_participants())).await?;
        Ok(proto::ListParticipantsResponse { participants })
    }

    pub async fn get_participant(
        &self,
        request: proto::RoomParticipantIdentity,
    ) -> Result<proto::ParticipantInfo, Refusal> {
        self.ask(&request.room, move |room, _| room.get_participant(&request.identity)).await
    }

    pub async fn remove_participant(
        &self,
        request: proto::RoomParticipantIdentity,
    ) -> Result<proto::RemoveParticipantResponse, Refusal> {
        self.ask(&request.room, move |room, now| room.remove_participant(now, &request.identity)).await?;
        Ok(proto::RemoveParticipantResponse {})
    }

    pub async fn mute_published_track(
        &self,
        request: proto::MuteRoomTrackRequest,
    ) -> Result<proto::MuteRoomTrackResponse, Refusal> {
        let name = request.room.clone();
        let track = self.ask(&name, move |room, _| room.mute_published_track(&request)).await?;
        Ok(proto::MuteRoomTrackResponse { track: Some(track) })
    }

    pub async fn update_participant(
        &self,
        request: proto::UpdateParticipantRequest,
    ) -> Result<proto::ParticipantInfo, Refusal> {
        let name = request.room.clone();
        self.ask(&name, move |room, _| room.update_participant(request)).await
    }

    pub async fn update_subscriptions(
        &self,
        request: proto::UpdateSubscriptionsRequest,
    ) -> Result<proto::UpdateSubscriptionsResponse, Refusal> {
        let name = request.room.clone();
        self.ask(&name, move |room, _| room.update_subscriptions(request)).await?;
        Ok(proto::UpdateSubscriptionsResponse {})
    }

    pub async fn send_data(&self, request: proto::SendDataRequest) -> Result<proto::SendDataResponse, Refusal> {
        let name = request.room.clone();
        self.ask(&name, move |room, _| room.send_data(request)).await?;
        Ok(proto::SendDataResponse {})
    }

    pub async fn update_room_metadata(
        &self,
        request: proto::UpdateRoomMetadataRequest,
    ) -> Result<proto::Room, Refusal> {
        self.ask(&request.room, move |room, _| room.update_metadata(request.metadata)).await
    }

    async fn ask<R: Send + 'static>(
        &self,
        name: &str,
        ask: impl FnOnce(&mut Room, Now) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, Refusal> {
        let handle = self.find(name).ok_or(Refusal::NotFound)?;
        call(&handle, ask).await.ok_or(Refusal::NotFound)?
    }
}
