//! The log of events: what happened to meetings and people in them. It is written in the transaction of the change, so an
//! event exists if and only if its change does; pages, webhooks and mail read it later, each at its own pace.

use super::{Result, Store, StoreError, Write};
use crate::moment::Moment;
use serde_json::Value;
use sqlx::Row;

/// Events handed out at a time.
pub const EVENTS_MAX: i64 = 500;

/// An event to be written. Bodies name people by identifier only: they leave the server through webhooks.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// `meeting.created`: a noun, a dot, what happened to it.
    pub kind: &'static str,
    /// What it is about, for who listens to one meeting only.
    pub subject: &'a str,
    pub body: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// One more than that of the event before it; none is left out.
    pub sequence: i64,
    pub at: Moment,
    pub kind: String,
    pub subject: String,
    pub body: Value,
}

impl Write {
    /// Returns the event's number.
    pub async fn append_event(&mut self, now: Moment, event: &NewEvent<'_>) -> Result<i64> {
        let row = sqlx::query("UPDATE log_heads SET sequence = sequence + 1 WHERE name = 'events' RETURNING sequence")
            .fetch_one(self.connection())
            .await?;
        let sequence: i64 = row.try_get(0)?;
        sqlx::query("INSERT INTO events (sequence, at_ms, kind, subject, body) VALUES ($1, $2, $3, $4, $5)")
            .bind(sequence)
            .bind(now.ms())
            .bind(event.kind)
            .bind(event.subject)
            .bind(event.body.to_string())
            .execute(self.connection())
            .await?;
        self.note_event(sequence);
        Ok(sequence)
    }
}

impl Store {
    /// Events with a higher number, oldest first, at most `limit` and [`EVENTS_MAX`].
    pub async fn events_after(&self, sequence: i64, limit: i64) -> Result<Vec<Event>> {
        let rows = sqlx::query(
            "SELECT sequence, at_ms, kind, subject, body FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2",
        )
        .bind(sequence)
        .bind(limit.clamp(0, EVENTS_MAX))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(event).collect()
    }

    /// The same, of one subject.
    pub async fn events_of(&self, subject: &str, sequence: i64, limit: i64) -> Result<Vec<Event>> {
        let rows = sqlx::query(
            "SELECT sequence, at_ms, kind, subject, body FROM events WHERE subject = $1 AND sequence > $2 \
             ORDER BY sequence LIMIT $3",
        )
        .bind(subject)
        .bind(sequence)
        .bind(limit.clamp(0, EVENTS_MAX))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(event).collect()
    }

    /// The number of the last event; 0 before the first.
    pub async fn last_event(&self) -> Result<i64> {
        let row = sqlx::query("SELECT sequence FROM log_heads WHERE name = 'events'")
            .fetch_one(&mut *self.reader().await?)
            .await?;
        Ok(row.try_get(0)?)
    }
}

fn event(row: &sqlx::any::AnyRow) -> Result<Event> {
    let sequence = row.try_get(0)?;
    let body: String = row.try_get(4)?;
    let body = serde_json::from_str(&body).map_err(|_| StoreError::corrupt(format!("the body of event {sequence}")))?;
    Ok(Event { sequence, at: Moment::from_ms(row.try_get(1)?), kind: row.try_get(2)?, subject: row.try_get(3)?, body })
}
