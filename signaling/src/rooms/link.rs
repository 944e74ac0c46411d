//! What ties a session to its room: two bounded queues and a way to cut it off.

use super::task::Input;
use crate::access::Claims;
use crate::room::SessionId;
use crate::stats::{SessionEnd, Stats};
use livekit_protocol::SignalRequest;
use livekit_protocol::signal_response::Message;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Messages that may wait for one client. A join of a room of a hundred is one message, and a client that is this many
/// behind does not read.
pub(super) const OUTBOX_MAX: usize = 512;

/// What a room sends to a session.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Box<Message>),
    /// Close the WebSocket after everything before.
    Close(SessionEnd),
}

/// The room's end.
pub(super) struct SessionLink {
    pub(super) outbox: mpsc::Sender<Outgoing>,
    /// Ends the session at once, whatever waits.
    pub(super) cut: oneshot::Sender<SessionEnd>,
    /// What the client's token said; a refreshed one says the same but for what changed.
    pub(super) claims: Box<Claims>,
}

/// The session's end. Dropping it tells the room that the client is gone.
pub(crate) struct Session {
    id: SessionId,
    room: mpsc::Sender<Input>,
    outbox: mpsc::Receiver<Outgoing>,
    cut: oneshot::Receiver<SessionEnd>,
    stats: Arc<Stats>,
    presence: Presence,
    _permit: OwnedSemaphorePermit,
}

/// Whether the room was told that the client is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    Gone,
}

pub(super) fn link(
    id: SessionId,
    room: mpsc::Sender<Input>,
    claims: Box<Claims>,
    stats: Arc<Stats>,
    permit: OwnedSemaphorePermit,
) -> (SessionLink, Session) {
    let (outbox, receiver) = mpsc::channel(OUTBOX_MAX);
    let (cut, cut_receiver) = oneshot::channel();
    let session =
        Session { id, room, outbox: receiver, cut: cut_receiver, stats, presence: Presence::Here, _permit: permit };
    (SessionLink { outbox, cut, claims }, session)
}

impl Session {
    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Tells the room that the client is gone.
    pub(crate) fn tell_gone(&mut self) {
        if std::mem::replace(&mut self.presence, Presence::Gone) == Presence::Gone {
            return;
        }
        let closed = Input::Closed { session: self.id };
        if let Err(mpsc::error::TrySendError::Full(closed)) = self.room.try_send(closed) {
            let room = self.room.clone();
            // Ends as soon as the room has read one input; the room's task owns the queue and ends it in any case.
            tokio::spawn(async move {
                let _ = room.send(closed).await;
            });
        }
    }

    /// The parts that a client's connection works with.
    pub(crate) fn parts(&mut self) -> (Requests, &mut mpsc::Receiver<Outgoing>, &mut oneshot::Receiver<SessionEnd>) {
        (Requests { id: self.id, room: self.room.clone() }, &mut self.outbox, &mut self.cut)
    }
}

/// Where a client's messages go.
pub(crate) struct Requests {
    id: SessionId,
    room: mpsc::Sender<Input>,
}

impl Requests {
    /// Waits while the room is busy. `false` when the room is gone.
    pub(crate) async fn send(&self, request: SignalRequest) -> bool {
        self.room.send(Input::Request { session: self.id, request: Box::new(request) }).await.is_ok()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.tell_gone();
    }
}
