//! Reads the events, in order and each once, and puts into the outbox what they lead to. What that is, a [`Planner`] knows.
//!
//! The position of a reader moves in the transaction of what was put into the outbox. So whatever happens to the server, or
//! how many servers share the database, an event leads to its deliveries exactly once.

use super::{Bell, Channel};
use crate::moment::Moment;
use crate::store::events::Event;
use crate::store::readers::{ABSENT, Reader};
use crate::store::{Result, Store, Write};
use std::time::Duration;
use tokio::sync::watch;

/// Events in one transaction at most: others wait for the write lock meanwhile.
const PAGE: i64 = 50;
/// Events of other servers that share the database are not announced here.
const POLL: Duration = Duration::from_secs(2);
/// After a failure of the store.
const BACKOFF: Duration = Duration::from_secs(1);

/// Knows what events lead to.
pub trait Planner: Send + Sync {
    const READER: Reader;
    const CHANNEL: Channel;

    /// Whether there is nobody to tell. Events then wait to be read; who comes later is older than they are or is not.
    fn is_idle(&self) -> impl Future<Output = Result<bool>> + Send;

    /// How many of these events, from the first, may be planned in one transaction: at least one.
    fn fit(&self, events: &[Event]) -> usize {
        events.len()
    }

    fn plan(&self, write: &mut Write, events: &[Event], now: Moment) -> impl Future<Output = Result<()>> + Send;
}

/// Until `stop` changes or its sender goes.
pub async fn follow<P: Planner>(store: Store, planner: P, bell: Bell, mut stop: watch::Receiver<()>) {
    let mut committed = store.committed();
    loop {
        let pause = match read_on(&store, &planner).await {
            Ok(0) => POLL,
            Ok(_) => {
                bell.ring(P::CHANNEL);
                // What is left is read after the next start.
                if stop.has_changed().unwrap_or(true) {
                    return;
                }
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, reader = P::READER.name(), "events were not read; they will be");
                BACKOFF
            }
        };
        tokio::select! {
            _ = stop.changed() => return,
            // Its sender lives as long as the store.
            _ = committed.changed(), if pause == POLL => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Returns how many events were dealt with.
async fn read_on<P: Planner>(store: &Store, planner: &P) -> Result<usize> {
    let position = store.position(P::READER).await?;
    if position == ABSENT || position >= store.last_event().await? || planner.is_idle().await? {
        return Ok(0);
    }
    let mut write = store.write().await?;
    // Another server may have been here since.
    let position = write.position(P::READER).await?;
    if position == ABSENT {
        return Ok(0);
    }
    let mut events = store.events_after(position, PAGE).await?;
    events.truncate(planner.fit(&events));
    let Some(last) = events.last() else { return Ok(0) };
    planner.plan(&mut write, &events, Moment::now()).await?;
    write.set_position(P::READER, last.sequence).await?;
    write.commit().await?;
    Ok(events.len())
}
