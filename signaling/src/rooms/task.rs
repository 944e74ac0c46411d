//! One room's task: takes inputs, lets the pure room decide, and does what it says, in order.

use super::inbox::{Inbox, Incoming};
use super::link::{Outgoing, SessionLink};
use super::notices::{Notice, NoticeKind};
use super::{RoomHandle, Rooms, now};
use crate::access::{Claims, VideoGrants};
use crate::room::{Effect, Join, JoinRefusal, Now, RefreshedGrants, Resume, Room, SessionId};
use crate::stats::SessionEnd;
use consilium_media_core::control::Command;
use consilium_media_net::handle::WorkerId;
use livekit_protocol::SignalRequest;
use livekit_protocol::signal_response::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

/// A refreshed token lives as long as the one it replaces, and long enough to be used.
const REFRESHED_TOKEN_TTL_MIN: Duration = Duration::from_secs(60);

pub(super) type Ask = Box<dyn FnOnce(&mut Room, Now) + Send>;

pub(super) enum Input {
    Join { session: SessionId, join: Box<Join>, link: SessionLink, reply: oneshot::Sender<Result<(), JoinRefusal>> },
    Resume { session: SessionId, resume: Resume, link: SessionLink, reply: oneshot::Sender<Result<(), JoinRefusal>> },
    Request { session: SessionId, request: Box<SignalRequest> },
    Closed { session: SessionId },
    Call(Ask),
}

/// Where a room's inputs wait.
pub(super) struct Mailboxes {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) events: Arc<Inbox>,
}

pub(super) struct RoomTask {
    rooms: Rooms,
    room: Room,
    name: String,
    worker: WorkerId,
    handle: RoomHandle,
    inputs: mpsc::Receiver<Input>,
    events: Arc<Inbox>,
    sessions: HashMap<SessionId, SessionLink>,
    participants: usize,
}

impl RoomTask {
    pub(super) fn new(
        rooms: Rooms,
        room: Room,
        name: String,
        worker: WorkerId,
        handle: RoomHandle,
        mailboxes: Mailboxes,
    ) -> Self {
        let Mailboxes { inputs, events } = mailboxes;
        Self { rooms, room, name, worker, handle, inputs, events, sessions: HashMap::new(), participants: 0 }
    }

    /// What is logged on the way carries the room's SID, which names no one.
    pub(super) async fn run(self) {
        let span = tracing::info_span!("room", sid = %self.room.info().sid, worker = self.worker.get());
        self.serve().instrument(span).await;
    }

    async fn serve(mut self) {
        tracing::info!("the room opened");
        self.tell(|room, unix_ms| Notice::of_room(NoticeKind::RoomStarted, unix_ms, room.info()));
        while !self.room.is_finished() {
            let timeout = self.room.poll_timeout();
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.handle_input(input),
                    None => break,
                },
                incoming = self.events.take() => self.handle_incoming(incoming),
                () = sleep_until(timeout) => self.room.handle_timeout(now()),
            }
            self.execute().await;
            self.report();
        }
        self.tell(|room, unix_ms| Notice::of_room(NoticeKind::RoomFinished, unix_ms, room.info()));
        self.rooms.forget(&self.name, self.handle.id);
        let inner = &self.rooms.inner;
        inner.by_id.remove(&self.handle.id);
        // Whoever waits for an answer from here on sees the queue end, and looks for the room anew.
        self.inputs.close();
        while self.inputs.recv().await.is_some() {}
        inner.media.release_room(self.worker);
        inner.rooms.fetch_sub(1, Ordering::AcqRel);
        inner.stats.room_closed();
        tracing::info!("the room closed");
    }

    fn handle_input(&mut self, input: Input) {
        let now = now();
        match input {
            Input::Join { session, join, link, reply } => {
                self.sessions.insert(session, link);
                let result = self.room.handle_join(now, session, *join);
                self.answer(session, result, reply);
            }
            Input::Resume { session, resume, link, reply } => {
                self.sessions.insert(session, link);
                let result = self.room.handle_resume(now, session, &resume);
                self.answer(session, result, reply);
            }
            Input::Request { session, request } => self.room.handle_request(now, session, *request),
            Input::Closed { session } => {
                self.sessions.remove(&session);
                self.room.handle_session_closed(now, session);
            }
            Input::Call(ask) => {
                self.room.set_present(now);
                ask(&mut self.room, now);
            }
        }
    }

    fn handle_incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Event(event) => self.room.handle_event(now(), event),
            Incoming::Overrun(peer) => {
                self.room.handle_overrun(now(), peer);
                self.events.forget(peer);
            }
        }
    }

    fn answer(
        &mut self,
        session: SessionId,
        result: Result<(), JoinRefusal>,
        reply: oneshot::Sender<Result<(), JoinRefusal>>,
    ) {
        if result.is_err() {
            self.sessions.remove(&session);
        }
        // Whoever asked may be gone; dropping its session then says so.
        let _ = reply.send(result);
    }

    async fn execute(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::ToClient { session, message } => self.send(session, Outgoing::Message(message)),
                Effect::CloseSession { session, end } => {
                    self.send(session, Outgoing::Close(end));
                    self.sessions.remove(&session);
                }
                Effect::Media(command) => {
                    if let Command::RemovePeer { peer } = &command {
                        self.events.forget(*peer);
                    }
                    if self.rooms.inner.media.command(self.worker, command).await.is_err() {
                        tracing::debug!(worker = self.worker.get(), "a command came after the media worker's end");
                    }
                }
                Effect::DataDropped(reason) => self.rooms.inner.stats.count_dropped_data(reason),
                Effect::Notice(notice) => {
                    self.tell(|room, unix_ms| Notice::of_participant(*notice, unix_ms, room.info()));
                }
                Effect::RefreshToken { session, grants } => self.refresh_token(session, &grants),
                Effect::Finished => {}
            }
        }
    }

    fn tell(&self, notice: impl FnOnce(&Room, i64) -> Notice) {
        let listeners = &self.rooms.inner.hooks.listeners;
        if !listeners.is_empty() {
            let lost = listeners.tell(notice(&self.room, now().unix_ms));
            self.rooms.inner.stats.count_lost_notices(lost);
        }
    }

    /// Never waits: a client that does not read is cut off, and the others do not notice.
    fn send(&mut self, session: SessionId, outgoing: Outgoing) {
        let Some(link) = self.sessions.get(&session) else { return };
        if let Err(mpsc::error::TrySendError::Full(outgoing)) = link.send(outgoing)
            && let Some(link) = self.sessions.remove(&session)
        {
            let end = match outgoing {
                Outgoing::Close(end) => end,
                Outgoing::Message(_) => SessionEnd::SlowReader,
            };
            // Fails for a session that has just ended by itself.
            let _ = link.cut.send(end);
            self.room.handle_session_closed(now(), session);
        }
    }

    fn refresh_token(&mut self, session: SessionId, grants: &RefreshedGrants) {
        let Some(link) = self.sessions.get_mut(&session) else { return };
        let claims = refreshed(&link.claims, grants);
        let now = SystemTime::now();
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(claims.exp.min(u64::from(u32::MAX)));
        let ttl = expires.duration_since(now).unwrap_or_default().max(REFRESHED_TOKEN_TTL_MIN);
        *link.claims = claims;
        match self.rooms.inner.keys.sign(&link.claims, now, ttl) {
            Ok(token) => self.send(session, Outgoing::Message(Box::new(Message::RefreshToken(token)))),
            Err(error) => tracing::warn!(%error, "a token could not be refreshed"),
        }
    }

    fn report(&mut self) {
        let participants = self.room.participants_len();
        self.rooms.inner.stats.participants_changed(self.participants, participants);
        self.participants = participants;
        self.handle.full.store(self.room.is_full(), Ordering::Relaxed);
    }
}

fn refreshed(claims: &Claims, grants: &RefreshedGrants) -> Claims {
    let permission = &grants.permission;
    let sources = permission.sources.iter().flatten();
    Claims {
        name: grants.name.clone(),
        metadata: grants.metadata.clone(),
        attributes: grants.attributes.clone(),
        video: VideoGrants {
            // A list of no source allows none, but an empty list in a token allows all.
            can_publish: Some(
                permission.can_publish && permission.sources.as_ref().is_none_or(|sources| !sources.is_empty()),
            ),
            can_subscribe: Some(permission.can_subscribe),
            can_publish_data: Some(permission.can_publish_data),
            can_publish_sources: sources.map(|source| source.as_str_name().to_ascii_lowercase()).collect(),
            can_update_own_metadata: Some(permission.can_update_metadata),
            hidden: permission.hidden,
            ..claims.video.clone()
        },
        ..claims.clone()
    }
}

/// Never, without a deadline.
async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
