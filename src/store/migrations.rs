//! The schema, as numbered files that are applied in order and never changed afterwards. The database remembers what was
//! applied, with a checksum; a database that is newer than this program, or of another history, is left alone.

use super::connection::Kind;
use super::write::{begin_statement, take_lock};
use super::{Result, StoreError};
use crate::moment::Moment;
use sqlx::{AnyConnection, AnyPool, Row};
use std::time::Duration;

/// At the start, other servers may be migrating too.
const ATTEMPTS: u32 = 5;
const BACKOFF: Duration = Duration::from_millis(200);

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "foundation", sql: include_str!("migrations/0001_foundation.sql") },
    Migration { version: 2, name: "meetings", sql: include_str!("migrations/0002_meetings.sql") },
    Migration { version: 3, name: "identity", sql: include_str!("migrations/0003_identity.sql") },
    Migration { version: 4, name: "delivery", sql: include_str!("migrations/0004_delivery.sql") },
    Migration { version: 5, name: "cases", sql: include_str!("migrations/0005_cases.sql") },
    Migration { version: 6, name: "retention", sql: include_str!("migrations/0006_retention.sql") },
    Migration { version: 7, name: "lobby", sql: include_str!("migrations/0007_lobby.sql") },
];

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("the database has schema {found}, and this program knows {known}: it was written by a newer version")]
    Newer { found: i64, known: i64 },
    #[error("migration {version} ({name}) of the database is not the one of this program")]
    Changed { version: i64, name: String },
}

/// Applies what is missing, in one transaction: a failure leaves the old schema.
pub(super) async fn run(pool: &AnyPool, kind: Kind) -> Result<()> {
    let mut attempt = 1;
    loop {
        match apply(pool, kind, MIGRATIONS).await {
            Err(StoreError::Busy(_)) if attempt < ATTEMPTS => tokio::time::sleep(BACKOFF * attempt).await,
            result => return result,
        }
        attempt += 1;
    }
}

async fn apply(pool: &AnyPool, kind: Kind, migrations: &[Migration]) -> Result<()> {
    let mut transaction = pool.begin_with(begin_statement(kind)).await?;
    take_lock(&mut transaction, kind).await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, \
         checksum TEXT NOT NULL, applied_at_ms BIGINT NOT NULL)",
    )
    .execute(&mut *transaction)
    .await?;
    let applied = applied(&mut transaction).await?;
    check(&applied, migrations)?;
    for migration in &migrations[applied.len()..] {
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO schema_migrations (version, name, checksum, applied_at_ms) VALUES ($1, $2, $3, $4)")
            .bind(migration.version)
            .bind(migration.name)
            .bind(checksum(migration.sql))
            .bind(Moment::now().ms())
            .execute(&mut *transaction)
            .await?;
        tracing::info!(version = migration.version, name = migration.name, "the schema was brought up to date");
    }
    transaction.commit().await?;
    Ok(())
}

/// Whether the database's schema is one that [`run`] could go on from.
pub(super) async fn check_applied(connection: &mut AnyConnection) -> Result<()> {
    Ok(check(&applied(connection).await?, MIGRATIONS)?)
}

#[derive(Clone, Debug)]
struct Applied {
    version: i64,
    name: String,
    checksum: String,
}

async fn applied(connection: &mut AnyConnection) -> Result<Vec<Applied>> {
    let rows = sqlx::query("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok(Applied { version: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? }))
        .collect()
}

/// The schema as it is written, for tests that look for what is missing elsewhere.
#[cfg(test)]
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().map(|migration| migration.sql)
}

/// The applied ones must be the first of ours.
fn check(applied: &[Applied], migrations: &[Migration]) -> Result<(), MigrationError> {
    let known = migrations.last().map_or(0, |migration| migration.version);
    if let Some(newer) = applied.iter().find(|applied| applied.version > known) {
        return Err(MigrationError::Newer { found: newer.version, known });
    }
    for (index, applied) in applied.iter().enumerate() {
        let is_ours = migrations.get(index).is_some_and(|migration| {
            migration.version == applied.version && checksum(migration.sql) == applied.checksum
        });
        if !is_ours {
            return Err(MigrationError::Changed { version: applied.version, name: applied.name.clone() });
        }
    }
    Ok(())
}

fn checksum(sql: &str) -> String {
    super::audit::hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sql.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(migration: &Migration) -> Applied {
        Applied { version: migration.version, name: migration.name.into(), checksum: checksum(migration.sql) }
    }

    #[test]
    fn migrations_are_numbered_from_one_without_gaps() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, index as i64 + 1, "{}", migration.name);
        }
    }

    #[test]
    fn a_database_of_a_newer_version_or_of_another_history_is_refused() {
        let two = [
            Migration { version: 1, name: "one", sql: "SELECT 1" },
            Migration { version: 2, name: "two", sql: "SELECT 2" },
        ];
        assert_eq!(check(&[], &two), Ok(()));
        assert_eq!(check(&[applied(&two[0])], &two), Ok(()));
        let both = [applied(&two[0]), applied(&two[1])];
        assert_eq!(check(&both, &two), Ok(()));
        assert_eq!(check(&both, &two[..1]), Err(MigrationError::Newer { found: 2, known: 1 }));
        let changed = [Applied { checksum: checksum("SELECT 3"), ..applied(&two[0]) }];
        assert_eq!(check(&changed, &two), Err(MigrationError::Changed { version: 1, name: "one".into() }));
        assert!(matches!(check(&[applied(&two[1])], &two), Err(MigrationError::Changed { version: 2, .. })));
    }
}
