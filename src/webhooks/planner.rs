//! Puts what happens into the outbox, once for each endpoint that wants it.

use super::endpoint::Endpoint;
use super::notice;
use crate::ids::NoticeId;
use crate::moment::Moment;
use crate::outbox::follower::Planner;
use crate::outbox::{Channel, NewDelivery, State};
use crate::store::events::Event;
use crate::store::readers::Reader;
use crate::store::{Result, Store, Write};

/// What one endpoint may have to hear still. One that is away for a day while a trust works has less to catch up with.
const WAITING_MAX: i64 = 50_000;
/// Why an event is not even tried.
const TOO_MANY: &str = "too_many_waiting";

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
        for endpoint in write.webhooks().await? {
            put(write, &endpoint, &told, now).await?;
        }
        Ok(())
    }
}

/// Something that happened, as it is told.
struct Told<'a> {
    id: NoticeId,
    kind: &'a str,
    /// What it is about: of one thing, endpoints hear in order.
    lane: &'a str,
    /// Absent where it stands in no log.
    sequence: Option<i64>,
    body: String,
}

async fn put(write: &mut Write, endpoint: &Endpoint, told: &[Told<'_>], now: Moment) -> Result<()> {
    let is_older = |told: &Told<'_>| told.sequence.is_some_and(|sequence| sequence <= endpoint.after_sequence);
    let wanted: Vec<_> = told.iter().filter(|told| endpoint.wants(told.kind) && !is_older(told)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let is_full = write.waiting(endpoint.id.as_str(), WAITING_MAX).await? >= WAITING_MAX;
    for told in wanted {
        let delivery = NewDelivery {
            channel: Channel::Webhook,
            target: endpoint.id.as_str(),
            lane: told.lane,
            notice: told.id.as_str(),
            kind: told.kind,
            content: told.body.clone(),
            state: if is_full { State::Dead } else { State::Pending },
            failure: is_full.then_some(TOO_MANY),
        };
        write.enqueue(&delivery, now).await?;
    }
    Ok(())
}
