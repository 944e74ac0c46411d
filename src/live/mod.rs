//! Follows the log of events and brings what happens to a meeting into its room, on this server: those who are in it are told,
//! and what was decided is done. The log is what was decided; nothing here decides.
//!
//! ```text
//! announce      an event as a message on the data channel
//! enforce       what was decided, done to those who are inside
//! bells         who waits at a door and listens
//! sweep         the end of a meeting that everybody has left
//! ```

mod announce;
pub mod bells;
mod enforce;
pub mod sweep;

use crate::ids::MeetingId;
use crate::moment::Moment;
use crate::store::events::Event;
use crate::store::{Store, StoreError};
use bells::Bells;
use consilium_signaling::rooms::Rooms;
use enforce::Enforcer;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Events read at a time.
const PAGE: i64 = 100;
/// Events of this server are announced at once. Those of others that share the database are looked for this often: a knock
/// has to reach the hosts within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Owns the task that follows, and the one that sweeps: what is decided about somebody does not wait for it.
pub struct Live {
    stop: watch::Sender<()>,
    follower: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl Live {
    /// From the events on that come after this call.
    pub async fn start(store: Store, rooms: Rooms, bells: Bells) -> Result<Self, StoreError> {
        let last = store.last_event().await?;
        let (stop, stopped) = watch::channel(());
        let enforcer = Enforcer { store: store.clone(), rooms: rooms.clone(), bells };
        let sweeper = tokio::spawn(sweep_until(store.clone(), rooms.clone(), stopped.clone()));
        let follower = Follower { store, rooms, enforcer, last };
        Ok(Self { stop, follower: tokio::spawn(follower.run(stopped)), sweeper })
    }

    pub async fn shutdown(self) {
        drop(self.stop);
        for task in [self.follower, self.sweeper] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task that follows meetings failed");
            }
        }
    }
}

async fn sweep_until(store: Store, rooms: Rooms, mut stopped: watch::Receiver<()>) {
    let mut sweeps = tokio::time::interval(sweep::INTERVAL);
    sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Fails when the sender is dropped, which is the signal.
            _ = stopped.changed() => return,
            _ = sweeps.tick() => {}
        }
        if let Err(error) = sweep::sweep(&store, &rooms, Moment::now()).await {
            tracing::warn!(%error, "it could not be looked which meetings are over");
        }
    }
}

struct Follower {
    store: Store,
    rooms: Rooms,
    enforcer: Enforcer,
    /// The number of the last event that was dealt with.
    last: i64,
}

impl Follower {
    async fn run(mut self, mut stopped: watch::Receiver<()>) {
        let mut committed = self.store.committed();
        loop {
            tokio::select! {
                // Fails when the sender is dropped, which is the signal.
                _ = stopped.changed() => return,
                _ = committed.changed() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if let Err(error) = self.catch_up().await {
                // The same events are tried again at the next look.
                tracing::warn!(%error, "what happened in meetings could not be read");
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let events = self.store.events_after(self.last, PAGE).await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                match self.bring(&event).await {
                    Err(error @ (StoreError::Busy(_) | StoreError::Unavailable(_))) => return Err(error),
                    // It would fail for ever, and whatever was decided after it would never be done.
                    Err(error) => tracing::error!(%error, event.sequence, "an event was not brought into its room"),
                    Ok(()) => {}
                }
                self.last = event.sequence;
            }
        }
    }

    async fn bring(&self, event: &Event) -> Result<(), StoreError> {
        let Some(meeting) = MeetingId::parse(&event.subject) else { return Ok(()) };
        // Before it is done: who is sent out by it hears why.
        if self.rooms.is_open(meeting.as_str()) {
            announce::announce(&self.store, &self.rooms, &meeting, event).await?;
        }
        self.enforcer.apply(&meeting, event).await
    }
}
