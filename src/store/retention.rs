//! What is over goes, a bounded batch at a time, each within the transaction of its caller.
//!
//! Logs are cut from the front alone. Up to where is remembered: whoever asks for events that are gone is told so, and the
//! audit log goes on from the hash of the last entry that was removed. An entry of the log itself says that it was cut there,
//! so that nobody cuts it unseen.

use super::audit::{Anchor, Digest};
use super::{Result, Store, Write};
use crate::meetings::schedule::format_local;
use crate::moment::Moment;
use chrono::TimeDelta;
use sqlx::Row;

/// A local time that lies so far back is past in every zone.
const ZONES: TimeDelta = TimeDelta::days(1);
/// Everything that belongs to a case, and the case. What refers to something goes before it.
const OF_CASE: &[&str] = &["DELETE FROM outcome_amendments WHERE case_id = $1", "DELETE FROM cases WHERE id = $1"];
/// The same of a meeting that has no cases.
const OF_MEETING: &[&str] = &[
    "DELETE FROM presence WHERE meeting_id = $1",
    "DELETE FROM sittings WHERE meeting_id = $1",
    "DELETE FROM occurrences WHERE meeting_id = $1",
    "DELETE FROM places WHERE meeting_id = $1",
    "DELETE FROM gatherings WHERE meeting_id = $1",
    "DELETE FROM invitation_links WHERE invitation_id IN (SELECT id FROM invitations WHERE meeting_id = $1)",
    "DELETE FROM mailed WHERE invitation_id IN (SELECT id FROM invitations WHERE meeting_id = $1)",
    "DELETE FROM invitations WHERE meeting_id = $1",
    "DELETE FROM meetings WHERE id = $1",
];

impl Write {
    /// Events from before `before`, at most `limit`, oldest first, and none that somebody who follows has not dealt with: mails
    /// where they are sent, webhooks where there is one.
    pub async fn prune_events(&mut self, before: Moment, limit: i64) -> Result<i64> {
        let rows = sqlx::query(
            "SELECT sequence, at_ms FROM events \
             WHERE sequence <= (SELECT COALESCE(MIN(sequence), $2) FROM readers WHERE sequence >= 0 AND \
             (name <> 'webhooks' OR EXISTS (SELECT 1 FROM webhooks))) \
             ORDER BY sequence LIMIT $1",
        )
        .bind(limit)
        .bind(i64::MAX)
        .fetch_all(self.connection())
        .await?;
        let mut last = None;
        for row in &rows {
            if row.try_get::<i64, _>(1)? >= before.ms() {
                break;
            }
            last = Some(row.try_get::<i64, _>(0)?);
        }
        let Some(last) = last else { return Ok(0) };
        let deleted =
            sqlx::query("DELETE FROM events WHERE sequence <= $1").bind(last).execute(self.connection()).await?;
        sqlx::query("UPDATE log_heads SET sequence = $1 WHERE name = 'events_pruned'")
            .bind(last)
            .execute(self.connection())
            .await?;
        Ok(count(deleted.rows_affected()))
    }

    /// The same of the audit log. It leaves the anchor of what is left; the caller writes the entry that says so.
    pub async fn prune_audit(&mut self, before: Moment, limit: i64) -> Result<Option<(i64, Anchor)>> {
        let rows = sqlx::query("SELECT sequence, at_ms, hash FROM audit ORDER BY sequence LIMIT $1")
            .bind(limit)
            .fetch_all(self.connection())
            .await?;
        let mut last = None;
        for row in &rows {
            if row.try_get::<i64, _>(1)? >= before.ms() {
                break;
            }
            last = Some(Anchor { sequence: row.try_get(0)?, hash: Digest::from_stored(row.try_get(2)?) });
        }
        let Some(anchor) = last else { return Ok(None) };
        let deleted = sqlx::query("DELETE FROM audit WHERE sequence <= $1")
            .bind(anchor.sequence)
            .execute(self.connection())
            .await?;
        sqlx::query("UPDATE log_heads SET sequence = $1, hash = $2 WHERE name = 'audit_pruned'")
            .bind(anchor.sequence)
            .bind(anchor.hash.as_str())
            .execute(self.connection())
            .await?;
        Ok(Some((count(deleted.rows_affected()), anchor)))
    }

    /// Stays in rooms that ended before `before`, and the sittings that they belonged to. Attendance stays with its case.
    pub async fn prune_presence(&mut self, before: Moment, limit: i64) -> Result<i64> {
        let stays = sqlx::query(
            "DELETE FROM presence WHERE participant IN (SELECT participant FROM presence WHERE joined_at_ms < $1 \
             AND left_at_ms < $1 ORDER BY joined_at_ms LIMIT $2)",
        )
        .bind(before.ms())
        .bind(limit)
        .execute(self.connection())
        .await?;
        let sittings = sqlx::query(
            "DELETE FROM sittings WHERE (meeting_id, began_at_ms) IN (SELECT meeting_id, began_at_ms FROM sittings \
             WHERE ended_at_ms < $1 ORDER BY ended_at_ms LIMIT $2)",
        )
        .bind(before.ms())
        .bind(limit)
        .execute(self.connection())
        .await?;
        Ok(count(stays.rows_affected() + sittings.rows_affected()))
    }

    /// Cases with all that was said of them, if they were made, finished and decided before `before`. Lists are prepared long
    /// ahead, so those that nobody talked about go only when their day was before that too.
    pub async fn prune_cases(&mut self, before: Moment, limit: i64) -> Result<i64> {
        let rows = sqlx::query(
            "SELECT id FROM cases WHERE created_at_ms < $1 AND stage <> 'current' \
             AND (outcome_confirmed_at_ms IS NULL OR outcome_confirmed_at_ms < $1) \
             AND (finished_at_ms < $1 OR (finished_at_ms IS NULL AND occurrence < $2)) ORDER BY created_at_ms LIMIT $3",
        )
        .bind(before.ms())
        .bind(format_local(before.to_chrono().naive_utc() - ZONES))
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        for row in &rows {
            let id: String = row.try_get(0)?;
            for statement in OF_CASE {
                sqlx::query(*statement).bind(id.as_str()).execute(self.connection()).await?;
            }
        }
        Ok(count(rows.len() as u64))
    }

    /// Meetings whose last end, or cancellation, was before `before`, with everything that belongs to them. Outcomes have a
    /// rule of their own, and nobody can read them without their meeting: it stays until its last case is gone.
    pub async fn prune_meetings(&mut self, before: Moment, limit: i64) -> Result<i64> {
        let rows = sqlx::query(
            "SELECT id FROM meetings WHERE (ends_at_ms < $1 OR status = 'cancelled') AND updated_at_ms < $1 \
             AND NOT EXISTS (SELECT 1 FROM cases WHERE cases.meeting_id = meetings.id) ORDER BY ends_at_ms LIMIT $2",
        )
        .bind(before.ms())
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        for row in &rows {
            let id: String = row.try_get(0)?;
            for statement in OF_MEETING {
                sqlx::query(*statement).bind(id.as_str()).execute(self.connection()).await?;
            }
        }
        Ok(count(rows.len() as u64))
    }
}

impl Store {
    /// Events up to this number may have been removed; 0 where none was.
    pub async fn events_pruned(&self) -> Result<i64> {
        let row = sqlx::query("SELECT sequence FROM log_heads WHERE name = 'events_pruned'")
            .fetch_one(&mut *self.reader().await?)
            .await?;
        Ok(row.try_get(0)?)
    }
}

fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrations;
    use std::collections::BTreeSet;

    /// Tables that refer to one of these, and those that refer to them.
    fn referring(to: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::from([to.to_owned()]);
        loop {
            let before = found.len();
            for table in migrations::statements().flat_map(|sql| sql.split("CREATE TABLE ").skip(1)) {
                let (name, rest) = table.split_once(" (").unwrap();
                let columns = rest.split("\n);").next().unwrap();
                if found.iter().any(|one| columns.contains(&format!("REFERENCES {one} "))) {
                    found.insert(name.to_owned());
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    #[test]
    fn nothing_that_refers_to_what_goes_is_left_behind() {
        // Meetings go when their cases are gone, with what refers to those.
        let of_meeting = [OF_CASE, OF_MEETING].concat();
        for (root, statements) in [("cases", OF_CASE), ("meetings", &of_meeting)] {
            let tables = referring(root);
            assert!(tables.len() > 1, "{root}: {tables:?}");
            for table in tables {
                let deletes = format!("DELETE FROM {table} ");
                assert!(statements.iter().any(|one| one.starts_with(&deletes)), "{table} would keep {root} from going");
            }
        }
    }
}
