//! Starts those who carry what leaves the server, and ends them before the store.

use crate::api::Outward;
use crate::config::Config;
use crate::mail::{MailError, MailPlanner, Smtp};
use crate::outbox::courier::Courier;
use crate::outbox::figures::Figures;
use crate::outbox::follower::follow;
use crate::store::readers::Reader;
use crate::store::{Store, StoreError};
use crate::webhooks::{Sender, SenderError, WebhookPlanner, listen};
use consilium_signaling::rooms::Notices;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error(transparent)]
    Webhooks(#[from] SenderError),
}

/// Longer than couriers take to drain; well below what service managers wait for the whole server.
const SHUTDOWN_MAX: Duration = Duration::from_secs(6);

/// Owns the tasks.
pub struct Deliveries {
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
    figures: Arc<Figures>,
}

impl Deliveries {
    pub async fn start(
        config: &Config,
        store: &Store,
        outward: &Outward,
        notices: Notices,
    ) -> Result<Self, DeliveryError> {
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        let figures = Arc::new(Figures::default());
        let Outward { vault, links, bell, reach, .. } = outward.clone();
        let sender = Sender::new(store.clone(), vault.clone(), reach)?;
        let attempts = config.webhooks.attempts_max;
        tasks.spawn(listen(store.clone(), notices, bell.clone(), stopped.clone()));
        tasks.spawn(follow(store.clone(), WebhookPlanner::new(store.clone()), bell.clone(), stopped.clone()));
        tasks.spawn(Courier::new(store.clone(), sender, bell.clone(), figures.clone(), attempts).run(stopped.clone()));
        if config.mail.host.is_some() {
            let smtp = Smtp::new(&config.mail, store.clone(), vault, links)?;
            // Who was invited while no mails were sent knows of it already.
            store.follow(Reader::Mail).await?;
            tasks.spawn(follow(store.clone(), MailPlanner::new(store.clone()), bell.clone(), stopped.clone()));
            tasks
                .spawn(Courier::new(store.clone(), smtp, bell, figures.clone(), config.mail.attempts_max).run(stopped));
        } else if !store.is_shared() {
            // With others on the same database, it may be one of them who sends mails and follows for that.
            store.unfollow(Reader::Mail).await?;
        }
        Ok(Self { stop, tasks, figures })
    }

    pub fn figures(&self) -> Arc<Figures> {
        self.figures.clone()
    }

    /// What is under way may finish, for a short while.
    pub async fn shutdown(mut self) {
        drop(self.stop);
        let joined = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a task of deliveries failed");
                }
            }
        };
        if tokio::time::timeout(SHUTDOWN_MAX, joined).await.is_err() {
            // Nothing is lost but time and notices: what was not committed is done again.
            tracing::warn!("deliveries did not end in time and are cut off");
            self.tasks.abort_all();
        }
    }
}
