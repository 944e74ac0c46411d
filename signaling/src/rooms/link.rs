//! What ties a session to its room: two bounded queues and a way to cut it off.

use super::task::Input;
use crate::access::Claims;
use crate::room::SessionId;
use crate::stats::{SessionEnd, Stats};
use livekit_protocol::SignalRequest;
use livekit_protocol::signal_response::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Messages that may wait for one client. A join of a room of a hundred is one message, and a client that is this many
/// behind does not read.
pub(super) const OUTBOX_MAX: usize = 512;
/// Bytes of such messages: what a client at 7 Mbit/s reads in the time in which it must read anything. One message alone may
/// be longer: the join of a large room carries everybody's metadata.
const OUTBOX_BYTES_MAX: usize = 8 << 20;

/// What a room sends to a session.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Box<Message>),
    /// Close the WebSocket after everything before.
    Close(SessionEnd),
}

/// The room's end.
pub(super) struct SessionLink {
    outbox: mpsc::Sender<Outgoing>,
    backlog: Arc<AtomicUsize>,
    /// Ends the session at once, whatever waits.
    pub(super) cut: oneshot::Sender<SessionEnd>,
    /// What the client's token said; a refreshed one says the same but for what changed.
    pub(super) claims: Box<Claims>,
}

impl SessionLink {
    /// Fails when more waits than one client may leave waiting.
    pub(super) fn send(&self, outgoing: Outgoing) -> Result<(), TrySendError<Outgoing>> {
        let len = outgoing.len();
        let before = self.backlog.load(Ordering::Relaxed);
        if before > 0 && before + len > OUTBOX_BYTES_MAX {
            return Err(TrySendError::Full(outgoing));
        }
        self.backlog.fetch_add(len, Ordering::Relaxed);
        self.outbox.try_send(outgoing)
    }
}

impl Outgoing {
    /// Of its binary form, in bytes.
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.encoded_len(),
            Self::Close(_) => 0,
        }
    }
}

/// What waits for one client.
pub(crate) struct Outbox {
    receiver: mpsc::Receiver<Outgoing>,
    backlog: Arc<AtomicUsize>,
    /// Bytes of the message that is being written.
    under_way: usize,
}

impl Outbox {
    /// The one before was written. `None` when the room let go of the session.
    pub(crate) async fn next(&mut self) -> Option<Outgoing> {
        self.backlog.fetch_sub(std::mem::take(&mut self.under_way), Ordering::Relaxed);
        let outgoing = self.receiver.recv().await?;
        self.under_way = outgoing.len();
        Some(outgoing)
    }
}

/// The session's end. Dropping it tells the room that the client is gone.
pub(crate) struct Session {
    id: SessionId,
    room: mpsc::Sender<Input>,
    outbox: Outbox,
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
    let (sender, receiver) = mpsc::channel(OUTBOX_MAX);
    let backlog = Arc::<AtomicUsize>::default();
    let outbox = Outbox { receiver, backlog: backlog.clone(), under_way: 0 };
    let (cut, cut_receiver) = oneshot::channel();
    let session = Session { id, room, outbox, cut: cut_receiver, stats, presence: Presence::Here, _permit: permit };
    (SessionLink { outbox: sender, backlog, cut, claims }, session)
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
    pub(crate) fn parts(&mut self) -> (Requests, &mut Outbox, &mut oneshot::Receiver<SessionEnd>) {
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
