//! The task that makes a round every hour while the server runs.

use super::{Rules, apply};
use crate::moment::Moment;
use crate::store::Store;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

const EVERY: Duration = Duration::from_secs(3_600);
/// After a start there is enough else to do.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// In the audit log.
const ACTOR: &str = "system";

/// Owns the task.
pub struct RetentionTask {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl RetentionTask {
    pub fn start(store: Store, rules: Rules) -> Self {
        let (stop, stopped) = watch::channel(());
        Self { stop, task: tokio::spawn(run(store, rules, stopped)) }
    }

    /// In the middle of a round, what is left of it waits for the next start.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that removes what is over failed");
        }
    }
}

async fn run(store: Store, rules: Rules, mut stopped: watch::Receiver<()>) {
    let mut ticks = tokio::time::interval_at(Instant::now() + FIRST_AFTER, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = async {
            ticks.tick().await;
            apply(&store, &rules, ACTOR, Moment::now()).await
        };
        let result = tokio::select! {
            result = round => result,
            // Fails when the sender is dropped, which is the signal. A batch that is cut off was not committed.
            _ = stopped.changed() => return,
        };
        match result {
            Ok(removed) => removed.iter().for_each(|removed| {
                tracing::info!(kind = removed.kind.name(), rows = removed.rows, "what was over was removed");
            }),
            Err(error) => tracing::warn!(%error, "what is over was not removed; the next round tries again"),
        }
    }
}
