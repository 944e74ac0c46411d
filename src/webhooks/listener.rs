//! Listens to the rooms for the endpoints. What happens in rooms stands in no log: until it is in the outbox, a few
//! milliseconds later, it is only here. So a server that is killed may lose what happened in its last moment, which ended for
//! everybody in its rooms anyway.

use super::fanout::{Told, fan_out};
use crate::ids::NoticeId;
use crate::moment::Moment;
use crate::outbox::{Bell, Channel};
use crate::store::{Result, Store};
use consilium_signaling::rooms::{Notice, Notices};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Notices in one transaction.
const BATCH: usize = 128;
/// After a failure of the store; notices wait in their channel meanwhile, which is bounded.
const BACKOFF: Duration = Duration::from_secs(1);
/// So often is a batch tried. It fails for longer where the store does, and then there is nothing to lose but notices.
const ATTEMPTS: u32 = 5;

/// Until the rooms are gone, or `stop` changes or its sender goes; what was told before is put away first.
pub async fn listen(store: Store, mut notices: Notices, bell: Bell, mut stop: watch::Receiver<()>) {
    let mut batch = Vec::new();
    let mut is_stopped = false;
    loop {
        tokio::select! {
            biased;
            count = notices.recv_many(&mut batch, BATCH) => if count == 0 { return },
            _ = stop.changed(), if !is_stopped => {
                is_stopped = true;
                // What is in the channel is still taken, and nothing more.
                notices.close();
                continue;
            }
        }
        keep(&store, &batch, &bell, || is_stopped || stop.has_changed().unwrap_or(true)).await;
        batch.clear();
    }
}

/// A server that stops does not wait for a store that fails.
async fn keep(store: &Store, batch: &[Arc<Notice>], bell: &Bell, is_stopped: impl Fn() -> bool) {
    for attempt in 1..=ATTEMPTS {
        match put_away(store, batch).await {
            Ok(true) => return bell.ring(Channel::Webhook),
            Ok(false) => return,
            Err(error) if attempt == ATTEMPTS || is_stopped() => {
                tracing::error!(%error, notices = batch.len(), "what happened in rooms is not told");
                return;
            }
            Err(_) => tokio::time::sleep(BACKOFF).await,
        }
    }
}

/// Whether there is anybody to tell.
async fn put_away(store: &Store, batch: &[Arc<Notice>]) -> Result<bool> {
    let endpoints = store.webhooks().await?;
    let wanted: Vec<_> =
        batch.iter().filter(|notice| endpoints.iter().any(|one| one.wants(notice.kind().name()))).collect();
    if wanted.is_empty() {
        return Ok(false);
    }
    let now = Moment::now();
    let told: Vec<_> = wanted.into_iter().filter_map(|notice| told(notice, now)).collect();
    let mut write = store.write().await?;
    fan_out(&mut write, &told, now).await?;
    write.commit().await?;
    Ok(true)
}

fn told(notice: &Notice, now: Moment) -> Option<Told<'_>> {
    let id = NoticeId::new(now);
    match notice.webhook(id.as_str()) {
        Ok(body) => Some(Told { id, kind: notice.kind().name(), lane: notice.room_name(), sequence: None, body }),
        Err(error) => {
            tracing::error!(%error, kind = notice.kind().name(), "a notice cannot be written");
            None
        }
    }
}
