//! Joining and resuming: from a verified token to a session.

use super::link::{self, Session};
use super::task::Input;
use super::{ATTEMPTS_MAX, Outgoing, RoomHandle, Rooms, check_room_name};
use crate::access::Claims;
use crate::room::permission::Permission;
use crate::room::{Join, JoinRefusal, Resume, RoomSettings, SessionId, state_mismatch};
use crate::stats::SessionEnd;
use livekit_protocol::RoomParticipantIdentity;
use livekit_protocol::participant_info::Kind;
use livekit_protocol::signal_response::Message;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Why nobody can join now. `Display` is a sentence for the person who wanted to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the room is full")]
    RoomFull,
    #[error("the server has as many rooms as it takes")]
    TooManyRooms,
    #[error("the server is shutting down or has too many sessions")]
    Unavailable,
    /// The application does not let this person in.
    #[error("{0}")]
    Denied(&'static str),
    #[error("{0}")]
    Invalid(&'static str),
}

/// Somebody at the door: what the token says and what the client asks for.
pub(crate) struct Newcomer {
    pub(crate) claims: Claims,
    pub(crate) entry: Entry,
}

pub(crate) enum Entry {
    /// Everything but what the token says is filled in; that is done here.
    Join(Box<Join>),
    /// `participant_sid` of a session that was lost.
    Resume { participant_sid: String },
}

impl Rooms {
    /// The claims were verified and allow joining `room`.
    pub(crate) async fn enter(&self, room: &str, newcomer: Newcomer) -> Result<Session, JoinError> {
        check_room_name(room).map_err(JoinError::Invalid)?;
        let Newcomer { claims, entry } = newcomer;
        let claims = self.inner.hooks.door.admit(self, room.to_owned(), claims).await?;
        let session = match entry {
            Entry::Join(join) => self.join(room, claims.clone(), *join).await?,
            Entry::Resume { participant_sid } => self.resume(room, claims.clone(), participant_sid).await?,
        };
        self.admit_again(room, claims).await?;
        Ok(session)
    }

    /// Whether the application would let somebody in now.
    pub(crate) async fn check_door(&self, room: &str, claims: Claims) -> Result<(), JoinError> {
        self.inner.hooks.door.admit(self, room.to_owned(), claims).await?;
        Ok(())
    }

    /// Whoever is thrown out between the question and the join was not there yet to be thrown out.
    async fn admit_again(&self, room: &str, claims: Claims) -> Result<(), JoinError> {
        let identity = claims.identity.clone();
        match self.inner.hooks.door.admit(self, room.to_owned(), claims.clone()).await {
            Ok(now) => {
                // Their role may have changed meanwhile too.
                if now != claims {
                    self.revise(room, &now).await;
                }
                Ok(())
            }
            Err(denial) => {
                let gone = RoomParticipantIdentity { room: room.to_owned(), identity, ..Default::default() };
                // Not found is as good.
                let _ = self.remove_participant(gone).await;
                Err(denial.into())
            }
        }
    }

    async fn join(&self, room: &str, claims: Claims, join: Join) -> Result<Session, JoinError> {
        let join = with_claims(join, &claims);
        for _ in 0..ATTEMPTS_MAX {
            let handle = self.open(self.settings_for(room, &claims))?;
            let (id, link, session) = self.session(&handle, &claims)?;
            let (reply, answer) = oneshot::channel();
            let input = Input::Join { session: id, join: Box::new(join.clone()), link, reply };
            if handle.inputs.send(input).await.is_err() {
                continue;
            }
            match answer.await {
                Ok(Ok(())) => return Ok(session),
                Ok(Err(JoinRefusal::RoomFull)) => return Err(JoinError::RoomFull),
                Ok(Err(JoinRefusal::Invalid(reason))) => return Err(JoinError::Invalid(reason)),
                Ok(Err(JoinRefusal::Closing)) | Err(_) => {}
            }
        }
        Err(JoinError::Unavailable)
    }

    /// A room or a participant that is gone is no error of HTTP: the client is told to join anew.
    async fn resume(&self, room: &str, claims: Claims, participant_sid: String) -> Result<Session, JoinError> {
        if let Some(handle) = self.find(room) {
            let (id, link, session) = self.session(&handle, &claims)?;
            let (reply, answer) = oneshot::channel();
            let resume = Resume { identity: claims.identity.clone(), participant_sid };
            let input = Input::Resume { session: id, resume, link, reply };
            if handle.inputs.send(input).await.is_ok() && matches!(answer.await, Ok(Ok(()))) {
                return Ok(session);
            }
        }
        self.session_without_room(&claims)
    }

    fn session(
        &self,
        room: &RoomHandle,
        claims: &Claims,
    ) -> Result<(SessionId, link::SessionLink, Session), JoinError> {
        let permit = self.inner.sessions.clone().try_acquire_owned().map_err(|_| JoinError::Unavailable)?;
        let id = SessionId::new(self.inner.next_session.fetch_add(1, Ordering::Relaxed));
        let (link, session) =
            link::link(id, room.inputs.clone(), Box::new(claims.clone()), self.inner.stats.clone(), permit);
        Ok((id, link, session))
    }

    fn session_without_room(&self, claims: &Claims) -> Result<Session, JoinError> {
        let (inputs, _) = mpsc::channel(1);
        let permit = self.inner.sessions.clone().try_acquire_owned().map_err(|_| JoinError::Unavailable)?;
        let id = SessionId::new(self.inner.next_session.fetch_add(1, Ordering::Relaxed));
        let (link, session) = link::link(id, inputs, Box::new(claims.clone()), self.inner.stats.clone(), permit);
        // The queue is new, so that both fit.
        let _ = link.send(Outgoing::Message(Box::new(Message::Leave(state_mismatch()))));
        let _ = link.send(Outgoing::Close(SessionEnd::StateMismatch));
        Ok(session)
    }

    /// What the token wants a room to be that does not exist yet.
    fn settings_for(&self, room: &str, claims: &Claims) -> RoomSettings {
        let mut settings = self.default_settings(room.to_owned());
        if let Some(config) = &claims.room_config {
            if config.empty_timeout > 0 {
                settings.empty_timeout = Duration::from_secs(config.empty_timeout.into());
            }
            if config.departure_timeout > 0 {
                settings.departure_timeout = Duration::from_secs(config.departure_timeout.into());
            }
            if config.max_participants > 0 {
                settings.max_participants = config.max_participants;
            }
            settings.loudest_speakers = super::loudest_speakers(&config.tags, settings.loudest_speakers);
            settings.metadata.clone_from(&config.metadata);
        }
        settings
    }
}

/// The token's word counts; the client may add to its metadata and attributes only where it may change them later.
fn with_claims(join: Join, claims: &Claims) -> Join {
    let permission = Permission::from_grants(&claims.video);
    let mut attributes = claims.attributes.clone();
    let mut metadata = claims.metadata.clone();
    if permission.can_update_metadata {
        attributes.extend(join.attributes);
        if !join.metadata.is_empty() {
            metadata = join.metadata;
        }
    }
    Join {
        identity: claims.identity.clone(),
        name: claims.name.clone(),
        metadata,
        attributes,
        permission,
        kind: kind(&claims.kind).into(),
        ..join
    }
}

fn kind(name: &str) -> Kind {
    Kind::from_str_name(&name.to_ascii_uppercase()).unwrap_or(Kind::Standard)
}
