//! Puts what happened into the outbox, once for each endpoint that wants it.

use super::endpoint::Endpoint;
use crate::ids::NoticeId;
use crate::moment::Moment;
use crate::outbox::{Channel, NewDelivery, State};
use crate::store::{Result, Write};

/// What one endpoint may have to hear still. One that is away for a day while a trust works has less to catch up with.
const WAITING_MAX: i64 = 50_000;
/// Why an event is not even tried.
const TOO_MANY: &str = "too_many_waiting";

/// Something that happened, as it is told.
pub(super) struct Told<'a> {
    pub(super) id: NoticeId,
    pub(super) kind: &'a str,
    /// What it is about: of one thing, endpoints hear in order.
    pub(super) lane: &'a str,
    /// Absent where it stands in no log.
    pub(super) sequence: Option<i64>,
    pub(super) body: String,
}

pub(super) async fn fan_out(write: &mut Write, told: &[Told<'_>], now: Moment) -> Result<()> {
    for endpoint in write.webhooks().await? {
        put(write, &endpoint, told, now).await?;
    }
    Ok(())
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
