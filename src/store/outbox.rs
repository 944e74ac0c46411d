//! What is on its way to others. Rows are put here in the transaction of what they tell of, and taken by whoever carries
//! them, for a time: should they not come back, somebody else goes.
//!
//! Only the first row of a lane is `pending`; those behind it are `waiting`, and the next has its turn in the transaction
//! that ends the one before it. So whoever looks for what is due sees no more rows than could go, however many wait for one
//! that is down.

use super::{Result, Store, StoreError, Write};
use crate::ids::DeliveryId;
use crate::moment::Moment;
use crate::outbox::{Channel, Delivery, NewDelivery, State};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// Targets looked at in one round; the others have their turn in the next.
const TARGETS_MAX: i64 = 256;
/// What has ended and is deleted at a time.
const SWEPT_MAX: u64 = 1_000;

macro_rules! columns {
    () => {
        "SELECT id, channel, target, lane, notice, kind, content, state, attempts, due_at_ms, failure, created_at_ms, ended_at_ms \
         FROM outbox"
    };
}

/// Which deliveries a list holds.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    pub channel: Channel,
    pub target: Option<&'a str>,
    pub state: Option<State>,
}

impl Write {
    pub async fn enqueue(&mut self, new: &NewDelivery<'_>, now: Moment) -> Result<DeliveryId> {
        let row = sqlx::query("UPDATE log_heads SET sequence = sequence + 1 WHERE name = 'outbox' RETURNING sequence")
            .fetch_one(self.connection())
            .await?;
        let number: i64 = row.try_get(0)?;
        let id = DeliveryId::new(now);
        let state = match new.dead_because {
            Some(_) => State::Dead,
            None if self.is_lane_busy(new.target, new.lane).await? => State::Waiting,
            None => State::Pending,
        };
        sqlx::query(
            "INSERT INTO outbox (id, number, channel, target, lane, notice, kind, content, state, attempts, due_at_ms, \
             failure, created_at_ms, ended_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, $13)",
        )
        .bind(id.as_str())
        .bind(number)
        .bind(new.channel.name())
        .bind(new.target)
        .bind(new.lane)
        .bind(new.notice)
        .bind(new.kind)
        .bind(&new.content)
        .bind(state.name())
        .bind(now.ms())
        .bind(new.dead_because)
        .bind(now.ms())
        .bind((state == State::Dead).then_some(now.ms()))
        .execute(self.connection())
        .await?;
        Ok(id)
    }

    async fn is_lane_busy(&mut self, target: &str, lane: &str) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM outbox WHERE target = $1 AND lane = $2 AND state IN ('waiting', 'pending', 'held') LIMIT 1",
        )
        .bind(target)
        .bind(lane)
        .fetch_optional(self.connection())
        .await?;
        Ok(row.is_some())
    }

    /// How many of a target are still to go, counted up to `limit`.
    pub async fn unsent(&mut self, target: &str, limit: i64) -> Result<i64> {
        let row = sqlx::query(
            "SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE target = $1 AND state IN ('waiting', 'pending') LIMIT $2) \
             AS unsent",
        )
        .bind(target)
        .bind(limit)
        .fetch_one(self.connection())
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Takes what is due, oldest first. Each counts as tried once more, and as lost at `lost_at`.
    pub async fn claim(
        &mut self,
        channel: Channel,
        target: &str,
        limit: i64,
        now: Moment,
        lost_at: Moment,
    ) -> Result<Vec<Delivery>> {
        let rows = sqlx::query(concat!(
            columns!(),
            " WHERE channel = $1 AND target = $2 AND state = 'pending' AND due_at_ms <= $3 ORDER BY number LIMIT $4"
        ))
        .bind(channel.name())
        .bind(target)
        .bind(now.ms())
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut delivery = delivery(row)?;
            delivery.attempts += 1;
            delivery.due_at = lost_at;
            sqlx::query("UPDATE outbox SET attempts = attempts + 1, due_at_ms = $1 WHERE id = $2")
                .bind(lost_at.ms())
                .bind(delivery.id.as_str())
                .execute(self.connection())
                .await?;
            claimed.push(delivery);
        }
        Ok(claimed)
    }

    /// It will be tried again.
    pub async fn postpone(&mut self, id: &DeliveryId, due_at: Moment, failure: &str) -> Result<()> {
        sqlx::query("UPDATE outbox SET due_at_ms = $1, failure = $2 WHERE id = $3")
            .bind(due_at.ms())
            .bind(failure)
            .bind(id.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// It will not be tried again, and the next in its lane has its turn, or is held in its place. What somebody else has
    /// ended stays as it is.
    pub async fn end(&mut self, ended: &Delivery, state: State, failure: Option<&str>, now: Moment) -> Result<()> {
        // It may have been held since it was taken, and nobody changes that before this transaction ends.
        let row = sqlx::query("SELECT state FROM outbox WHERE id = $1 AND state IN ('pending', 'held')")
            .bind(ended.id.as_str())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(()) };
        let turn: String = row.try_get(0)?;
        sqlx::query("UPDATE outbox SET state = $1, failure = $2, ended_at_ms = $3 WHERE id = $4")
            .bind(state.name())
            .bind(failure)
            .bind(now.ms())
            .bind(ended.id.as_str())
            .execute(self.connection())
            .await?;
        sqlx::query(
            "UPDATE outbox SET state = $1, due_at_ms = $2 WHERE id = (SELECT id FROM outbox WHERE target = $3 \
             AND lane = $4 AND state = 'waiting' ORDER BY number LIMIT 1)",
        )
        .bind(turn)
        .bind(now.ms())
        .bind(&ended.target)
        .bind(&ended.lane)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Whether anything in a lane has ever been on its way; what has ended long ago is forgotten.
    pub async fn was_tried(&mut self, target: &str, lane: &str) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM outbox WHERE target = $1 AND lane = $2 AND attempts > 0 LIMIT 1")
            .bind(target)
            .bind(lane)
            .fetch_optional(self.connection())
            .await?;
        Ok(row.is_some())
    }

    /// Ends what is still to go in a lane: something newer takes its place.
    pub async fn supersede(&mut self, target: &str, lane: &str, now: Moment) -> Result<()> {
        sqlx::query(
            "UPDATE outbox SET state = 'superseded', ended_at_ms = $1 WHERE target = $2 AND lane = $3 \
             AND state IN ('waiting', 'pending')",
        )
        .bind(now.ms())
        .bind(target)
        .bind(lane)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Keeps the first of each of a target's lanes back, and with them the others, or lets them go on.
    pub async fn hold(&mut self, target: &str, is_held: bool) -> Result<()> {
        let (from, to) = if is_held { (State::Pending, State::Held) } else { (State::Held, State::Pending) };
        sqlx::query("UPDATE outbox SET state = $1 WHERE target = $2 AND state = $3")
            .bind(to.name())
            .bind(target)
            .bind(from.name())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// As if it had never been tried: behind what is on its way in its lane, and kept back where its target `is_held`.
    pub async fn requeue(&mut self, ended: &Delivery, is_held: bool, now: Moment) -> Result<()> {
        let state = match self.is_lane_busy(&ended.target, &ended.lane).await? {
            true => State::Waiting,
            false if is_held => State::Held,
            false => State::Pending,
        };
        sqlx::query("UPDATE outbox SET state = $1, attempts = 0, due_at_ms = $2, ended_at_ms = NULL WHERE id = $3")
            .bind(state.name())
            .bind(now.ms())
            .bind(ended.id.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn delivery(&mut self, id: &DeliveryId) -> Result<Delivery> {
        find(self.connection(), id).await
    }

    /// Deletes what ended before: what arrived sooner than what did not. Whether there may be more of it.
    pub async fn sweep_outbox(&mut self, arrived_before: Moment, dead_before: Moment) -> Result<bool> {
        let swept = sqlx::query(
            "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE ended_at_ms < $1 AND (state <> 'dead' \
             OR ended_at_ms < $2) ORDER BY ended_at_ms LIMIT $3)",
        )
        .bind(arrived_before.ms())
        .bind(dead_before.ms())
        .bind(SWEPT_MAX as i64)
        .execute(self.connection())
        .await?;
        Ok(swept.rows_affected() >= SWEPT_MAX)
    }
}

impl Store {
    /// Targets for which something is due.
    pub async fn due_targets(&self, channel: Channel, now: Moment) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT DISTINCT target FROM outbox WHERE channel = $1 AND state = 'pending' AND due_at_ms <= $2 LIMIT $3",
        )
        .bind(channel.name())
        .bind(now.ms())
        .bind(TARGETS_MAX)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// When the next is due; `None` where nothing waits.
    pub async fn next_due(&self, channel: Channel) -> Result<Option<Moment>> {
        let row = sqlx::query(
            "SELECT due_at_ms FROM outbox WHERE channel = $1 AND state = 'pending' ORDER BY due_at_ms LIMIT 1",
        )
        .bind(channel.name())
        .fetch_optional(&mut *self.reader().await?)
        .await?;
        row.map(|row| Ok(Moment::from_ms(row.try_get(0)?))).transpose()
    }

    pub async fn delivery(&self, id: &DeliveryId) -> Result<Delivery> {
        find(&mut *self.reader().await?, id).await
    }

    /// Newest first, older than `before` where it is given.
    pub async fn deliveries(
        &self,
        filter: Filter<'_>,
        before: Option<&DeliveryId>,
        limit: i64,
    ) -> Result<Vec<Delivery>> {
        // One statement for every filter: what is not asked for is a condition that always holds.
        let rows = sqlx::query(concat!(
            columns!(),
            " WHERE channel = $1 AND ($2 = '' OR target = $2) AND ($3 = '' OR state = $3) AND id < $4 \
             ORDER BY id DESC LIMIT $5"
        ))
        .bind(filter.channel.name())
        .bind(filter.target.unwrap_or_default())
        .bind(filter.state.map_or("", State::name))
        // Greater than every identifier: those begin with a letter before "e".
        .bind(before.map_or("e", DeliveryId::as_str))
        .bind(limit)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(delivery).collect()
    }
}

async fn find(connection: &mut AnyConnection, id: &DeliveryId) -> Result<Delivery> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1")).bind(id.as_str()).fetch_one(connection).await?;
    delivery(&row)
}

fn delivery(row: &AnyRow) -> Result<Delivery> {
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of a delivery"));
    let text = |column: usize| row.try_get::<String, _>(column);
    Ok(Delivery {
        id: DeliveryId::parse(&text(0)?).ok_or_else(|| damaged("the identifier"))?,
        channel: Channel::from_name(&text(1)?).ok_or_else(|| damaged("the channel"))?,
        target: text(2)?,
        lane: text(3)?,
        notice: text(4)?,
        kind: text(5)?,
        content: text(6)?,
        state: State::from_name(&text(7)?).ok_or_else(|| damaged("the state"))?,
        attempts: row.try_get::<i64, _>(8)?.try_into().map_err(|_| damaged("a number"))?,
        due_at: Moment::from_ms(row.try_get(9)?),
        failure: row.try_get(10)?,
        created_at: Moment::from_ms(row.try_get(11)?),
        ended_at: row.try_get::<Option<i64>, _>(12)?.map(Moment::from_ms),
    })
}
