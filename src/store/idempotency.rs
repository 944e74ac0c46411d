//! Answers to creating requests, kept so that a request that is sent again, because its answer was lost, creates nothing
//! twice. What is kept is sealed by the caller's own secret: it may hold the names and secrets that the answer held.

use super::{Result, Write};
use crate::moment::Moment;
use sqlx::Row;
use std::time::Duration;

/// As long as a client may sensibly try again.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Old answers deleted with each new one, so that their number falls and no request pays for all of them.
const SWEPT_MAX: i64 = 8;

/// An answer given before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    pub request_hash: String,
    pub sealed_answer: String,
}

impl Write {
    pub async fn remembered(&mut self, caller: &str, key: &str, now: Moment) -> Result<Option<Remembered>> {
        let row = sqlx::query(
            "SELECT request_hash, sealed_answer FROM idempotency WHERE caller = $1 AND idempotency_key = $2 AND expires_at_ms > $3",
        )
        .bind(caller)
        .bind(key)
        .bind(now.ms())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Ok(Remembered { request_hash: row.try_get(0)?, sealed_answer: row.try_get(1)? })).transpose()
    }

    pub async fn remember(&mut self, caller: &str, key: &str, answer: &Remembered, now: Moment) -> Result<()> {
        sqlx::query(
            "DELETE FROM idempotency WHERE (caller, idempotency_key) IN (SELECT caller, idempotency_key FROM idempotency \
             WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2) OR (caller = $3 AND idempotency_key = $4)",
        )
        .bind(now.ms())
        .bind(SWEPT_MAX)
        .bind(caller)
        .bind(key)
        .execute(self.connection())
        .await?;
        sqlx::query(
            "INSERT INTO idempotency (caller, idempotency_key, request_hash, sealed_answer, expires_at_ms) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(caller)
        .bind(key)
        .bind(&answer.request_hash)
        .bind(&answer.sealed_answer)
        .bind(now.plus(KEPT).ms())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
