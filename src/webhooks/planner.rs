//! Follows the events of the product for the endpoints.

use super::fanout::{Told, fan_out};
use super::notice;
use crate::ids::NoticeId;
use crate::moment::Moment;
use crate::outbox::Channel;
use crate::outbox::follower::Planner;
use crate::store::events::Event;
use crate::store::readers::Reader;
use crate::store::{Result, Store, Write};

pub struct WebhookPlanner {
    store: Store,
}

impl WebhookPlanner {
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Planner for WebhookPlanner {
    const READER: Reader = Reader::Webhooks;
    const CHANNEL: Channel = Channel::Webhook;

    async fn is_idle(&self) -> Result<bool> {
        Ok(self.store.webhooks().await?.is_empty())
    }

    async fn plan(&self, write: &mut Write, events: &[Event], now: Moment) -> Result<()> {
        let told: Vec<Told<'_>> = events
            .iter()
            .map(|event| {
                let id = NoticeId::new(now);
                let body = notice::body(&id, event);
                Told { id, kind: &event.kind, lane: &event.subject, sequence: Some(event.sequence), body }
            })
            .collect();
        fan_out(write, &told, now).await
    }
}
