//! One reader of the log of events for everybody who listens on this server: it reads what was committed once, and hands it
//! to all. Whoever does not keep up reads the log from where they were; nobody waits for them.

use crate::store::events::{EVENTS_MAX, Event};
use crate::store::{Result, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Events that wait for one listener before it has to read the log itself.
const BACKLOG_MAX: usize = 1_024;
/// Other servers that share the database announce nothing here, so the log is looked at this often.
const POLL: Duration = Duration::from_secs(1);

/// A handle for listeners.
#[derive(Clone)]
pub struct Hub {
    sender: broadcast::WeakSender<Arc<Event>>,
}

/// Owns the task that reads. When it stops, every listener's stream ends.
pub struct HubTask {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

pub fn start(store: Store) -> (Hub, HubTask) {
    let (sender, _) = broadcast::channel(BACKLOG_MAX);
    let (stop, stopped) = watch::channel(());
    let hub = Hub { sender: sender.downgrade() };
    (hub, HubTask { stop, task: tokio::spawn(read(store, sender, stopped)) })
}

impl Hub {
    /// What is committed from now on, in order. `None` when the server stops.
    pub fn listen(&self) -> Option<broadcast::Receiver<Arc<Event>>> {
        self.sender.upgrade().map(|sender| sender.subscribe())
    }
}

impl HubTask {
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that reads events failed");
        }
    }
}

async fn read(store: Store, sender: broadcast::Sender<Arc<Event>>, mut stopped: watch::Receiver<()>) {
    let mut committed = store.committed();
    let mut last = *committed.borrow_and_update();
    loop {
        tokio::select! {
            // The store outlives this task, and with it the sender of that.
            _ = committed.changed() => {}
            () = tokio::time::sleep(POLL) => {}
            // Fails when the sender is dropped, which is the signal.
            _ = stopped.changed() => return,
        }
        match hand_out(&store, &sender, last).await {
            Ok(read) => last = read,
            // Whoever listens gets them with the next look.
            Err(error) => tracing::warn!(%error, "events were not read"),
        }
    }
}

/// Returns the number of the last event.
async fn hand_out(store: &Store, sender: &broadcast::Sender<Arc<Event>>, mut last: i64) -> Result<i64> {
    loop {
        let events = store.events_after(last, EVENTS_MAX).await?;
        let Some(newest) = events.last() else { return Ok(last) };
        last = newest.sequence;
        for event in events {
            // Fails where nobody listens.
            let _ = sender.send(Arc::new(event));
        }
    }
}
