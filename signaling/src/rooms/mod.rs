//! The registry of rooms, the task that runs each one, and the verbs of the server API.
//!
//! ```text
//! config    what the operator decides
//! task      one room's task: inputs in, effects out, timers
//! inbox     media events on their way to one room
//! link      what ties a session to its room
//! entry     joining and resuming
//! door      whom the application lets in
//! notices   what the application is told
//! webhook   the same for other systems, without names
//! verbs     the server API, without HTTP
//! people    what the application does in a room
//! ```

mod config;
mod door;
mod entry;
mod inbox;
mod link;
mod notices;
mod people;
mod task;
mod verbs;
mod webhook;

pub use crate::room::{Person, PersonTrack, Refusal};
pub use config::RoomsConfig;
pub use door::{Admission, Denial, Door, Hooks, OpenDoor};
pub use entry::JoinError;
pub(crate) use entry::{Entry, Newcomer};
pub(crate) use link::{Outbox, Outgoing, Session};
pub use notices::{Listeners, Notice, NoticeKind, Notices};
pub use people::{Audience, Company, RoomState};

use crate::access::ApiKeys;
use crate::room::{LocalEndpoint, Now, Room, RoomSettings, limits};
use crate::stats::{SessionEnd, Stats};
use consilium_media_core::control::RoomEvent;
use consilium_media_core::ids::RoomId;
use consilium_media_net::handle::{MediaHandle, WorkerId};
use dashmap::DashMap;
use inbox::{Brought, Inbox};
use livekit_protocol::DisconnectReason;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use task::{Input, Mailboxes, RoomTask};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// Inputs that may wait for one room, beside media events. A session waits when it is full.
const INPUTS_MAX: usize = 1_024;
/// Sessions of the whole server: what 142,000 people at peak over 200 nodes need, many times over.
const SESSIONS_MAX: u32 = 20_000;
/// How long sessions may take to say goodbye at shutdown.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);
/// A room can end between being found and being asked. Whoever asks then looks again, but not for ever.
const ATTEMPTS_MAX: usize = 3;
/// Tag of a room that says how many audio tracks it forwards.
const LOUDEST_TAG: &str = "loudest_speakers";

/// All rooms of this server. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    inner: Arc<Inner>,
}

struct Inner {
    config: RoomsConfig,
    keys: Arc<ApiKeys>,
    hooks: Hooks,
    media: MediaHandle,
    stats: Arc<Stats>,
    by_name: DashMap<String, RoomHandle>,
    by_id: DashMap<RoomId, Arc<Inbox>>,
    rooms: AtomicUsize,
    next_room: AtomicU64,
    next_session: AtomicU64,
    sessions: Arc<Semaphore>,
    closing: AtomicBool,
    tasks: Mutex<JoinSet<()>>,
    dispatcher: Mutex<Option<JoinHandle<()>>>,
}

/// What the registry holds of a room.
#[derive(Clone)]
struct RoomHandle {
    id: RoomId,
    inputs: mpsc::Sender<Input>,
    /// As of the last input.
    full: Arc<AtomicBool>,
}

impl Rooms {
    /// `events` are those of `media`. Must be called inside a tokio runtime.
    pub fn start(
        config: RoomsConfig,
        hooks: Hooks,
        keys: Arc<ApiKeys>,
        media: MediaHandle,
        events: mpsc::Receiver<RoomEvent>,
    ) -> Self {
        let inner = Arc::new(Inner {
            config,
            hooks,
            keys,
            media,
            stats: Arc::default(),
            by_name: DashMap::new(),
            by_id: DashMap::new(),
            rooms: AtomicUsize::new(0),
            next_room: AtomicU64::new(1),
            next_session: AtomicU64::new(1),
            sessions: Arc::new(Semaphore::new(SESSIONS_MAX as usize)),
            closing: AtomicBool::new(false),
            tasks: Mutex::default(),
            dispatcher: Mutex::default(),
        });
        let dispatcher = tokio::spawn(dispatch(Arc::downgrade(&inner), events));
        *inner.dispatcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(dispatcher);
        Self { inner }
    }

    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    pub fn keys(&self) -> &ApiKeys {
        &self.inner.keys
    }

    /// Everybody is told that the server stops, and every task is joined.
    pub async fn shutdown(&self) {
        self.inner.closing.store(true, Ordering::Release);
        let handles: Vec<_> = self.inner.by_name.iter().map(|entry| entry.value().clone()).collect();
        for handle in handles {
            let close = |room: &mut Room, now: Now| {
                room.close(now, DisconnectReason::ServerShutdown, SessionEnd::Shutdown);
            };
            // A room that is gone needs no goodbye.
            let _ = call(&handle, close).await;
        }
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
        let dispatcher = self.inner.dispatcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(dispatcher) = dispatcher {
            dispatcher.abort();
            // Aborted: the error says so.
            let _ = dispatcher.await;
        }
        let goodbyes = self.inner.sessions.acquire_many(SESSIONS_MAX);
        if tokio::time::timeout(GOODBYE_TIMEOUT, goodbyes).await.is_err() {
            tracing::warn!("some clients did not take their goodbye");
        }
    }

    /// The room of this name, made now if it does not exist.
    fn open(&self, settings: RoomSettings) -> Result<RoomHandle, JoinError> {
        if self.inner.closing.load(Ordering::Acquire) {
            return Err(JoinError::Unavailable);
        }
        match self.inner.by_name.entry(settings.name.clone()) {
            dashmap::Entry::Occupied(entry) => Ok(entry.get().clone()),
            dashmap::Entry::Vacant(entry) => {
                let max = self.inner.config.max_rooms;
                let one_more = |rooms: usize| (rooms < max).then_some(rooms + 1);
                if self.inner.rooms.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_err() {
                    return Err(JoinError::TooManyRooms);
                }
                let handle = self.spawn(settings);
                entry.insert(handle.clone());
                Ok(handle)
            }
        }
    }

    fn spawn(&self, settings: RoomSettings) -> RoomHandle {
        let inner = &self.inner;
        let id = RoomId::new(inner.next_room.fetch_add(1, Ordering::Relaxed));
        let (inputs, mailbox) = mpsc::channel(INPUTS_MAX);
        let handle = RoomHandle { id, inputs, full: Arc::default() };
        let worker = inner.media.place_room();
        let room = Room::new(id, settings.clone(), inner.config.facts(), self.endpoint(worker), rand::random(), now());
        let inbox = Arc::<Inbox>::default();
        inner.by_id.insert(id, inbox.clone());
        inner.stats.room_opened();
        let mailboxes = Mailboxes { inputs: mailbox, events: inbox };
        let task = RoomTask::new(self.clone(), room, settings.name, worker, handle.clone(), mailboxes);
        let mut tasks = inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task.run());
        handle
    }

    fn endpoint(&self, worker: WorkerId) -> LocalEndpoint {
        let candidates = self.inner.media.candidates(worker);
        LocalEndpoint {
            fingerprint: self.inner.media.fingerprint().clone(),
            candidates: candidates.iter().map(|candidate| (candidate.address, candidate.priority)).collect(),
        }
    }

    fn find(&self, name: &str) -> Option<RoomHandle> {
        self.inner.by_name.get(name).map(|entry| entry.value().clone())
    }

    /// Whether a newcomer would be refused for want of a place.
    pub(crate) fn is_full(&self, name: &str) -> bool {
        match self.find(name) {
            Some(handle) => handle.full.load(Ordering::Relaxed),
            None => self.inner.rooms.load(Ordering::Relaxed) >= self.inner.config.max_rooms,
        }
    }

    /// What rooms are made with unless somebody says otherwise.
    fn default_settings(&self, name: String) -> RoomSettings {
        RoomSettings {
            name,
            metadata: String::new(),
            empty_timeout: self.inner.config.empty_timeout,
            departure_timeout: self.inner.config.departure_timeout,
            max_participants: self.inner.config.max_participants,
            simulate: self.inner.config.simulate,
            loudest_speakers: self.inner.config.loudest_speakers,
        }
    }

    /// The room's task ended, or is about to: its name is free.
    fn forget(&self, name: &str, id: RoomId) {
        self.inner.by_name.remove_if(name, |_, handle| handle.id == id);
    }
}

/// Asks a room. `None` when it ended meanwhile.
async fn call<R: Send + 'static>(
    handle: &RoomHandle,
    ask: impl FnOnce(&mut Room, Now) -> R + Send + 'static,
) -> Option<R> {
    let (reply, answer) = oneshot::channel();
    let ask = Box::new(move |room: &mut Room, now: Now| {
        // Whoever asked may have given up.
        let _ = reply.send(ask(room, now));
    });
    handle.inputs.send(Input::Call(ask)).await.ok()?;
    answer.await.ok()
}

/// Brings media events to their rooms. Waits for no room.
async fn dispatch(inner: std::sync::Weak<Inner>, mut events: mpsc::Receiver<RoomEvent>) {
    while let Some(RoomEvent { room, event }) = events.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        // A room that has just ended needs to hear nothing.
        let Some(inbox) = inner.by_id.get(&room).map(|entry| entry.value().clone()) else { continue };
        if inbox.bring(event) == Brought::Dropped {
            inner.stats.count_dropped_event();
        }
    }
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The runtime's clock, which its timers go by.
    Now {
        instant: tokio::time::Instant::now().into_std(),
        unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX),
    }
}

/// A host says it with a room's tags, as the client protocol has no field for it. What is no number leaves it as it is.
fn loudest_speakers(tags: &HashMap<String, String>, otherwise: u8) -> u8 {
    tags.get(LOUDEST_TAG).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn check_room_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > limits::ROOM_NAME_LEN_MAX {
        return Err("the room's name is empty or too long");
    }
    Ok(())
}
