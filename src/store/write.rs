//! A transaction that changes something, together with the event and the audit row that tell of it.
//!
//! Every writer takes the one write lock first: `BEGIN IMMEDIATE` in SQLite, an advisory lock in PostgreSQL. That costs
//! concurrency that a meeting server does not need, and buys three things: nothing after the start of a transaction can
//! fail for want of a lock, so a retry is needed there alone; what is read inside stays true until the commit; and the
//! numbers of events become visible in order, so that a reader who has seen one has seen all before it.

use super::connection::Kind;
use super::{Result, Store, StoreError};
use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use std::time::Duration;

/// Each attempt waits for the lock as long as the connection's own time-out says, which is most of the patience of a
/// client; a second one helps where the lock's holder went away at the wrong moment.
const ATTEMPTS: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(50);
/// An arbitrary number of our own among PostgreSQL's advisory locks: "Consiliu" in ASCII.
const POSTGRES_LOCK: i64 = 0x436f_6e73_696c_6975;

/// Dropped without [`Write::commit`], it changes nothing.
pub struct Write {
    store: Store,
    transaction: Transaction<'static, Any>,
    last_event: Option<i64>,
}

impl Write {
    pub(super) async fn begin(store: Store, pool: &AnyPool, kind: Kind) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match locked(pool, kind).await {
                Ok(transaction) => return Ok(Self { store, transaction, last_event: None }),
                Err(StoreError::Busy(_)) if attempt < ATTEMPTS => tokio::time::sleep(BACKOFF).await,
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// When this returns, the change has reached the disk, and whoever waits for events is told.
    pub async fn commit(self) -> Result<()> {
        self.transaction.commit().await?;
        if let Some(sequence) = self.last_event {
            self.store.announce(sequence);
        }
        Ok(())
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    pub(super) fn note_event(&mut self, sequence: i64) {
        self.last_event = Some(sequence);
    }
}

async fn locked(pool: &AnyPool, kind: Kind) -> Result<Transaction<'static, Any>> {
    let mut transaction = pool.begin_with(begin_statement(kind)).await?;
    take_lock(&mut transaction, kind).await?;
    Ok(transaction)
}

pub(super) fn begin_statement(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        // Each statement sees what is committed, and the lock lets nobody else commit.
        Kind::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
    }
}

/// Given back by PostgreSQL itself at the end of the transaction, however that comes.
pub(super) async fn take_lock(connection: &mut AnyConnection, kind: Kind) -> Result<()> {
    if kind == Kind::Postgres {
        sqlx::query("SELECT 1 FROM pg_advisory_xact_lock($1)").bind(POSTGRES_LOCK).execute(connection).await?;
    }
    Ok(())
}
