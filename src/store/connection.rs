//! Opens the database, sets it up, and hands out connections: one that writes and some that read.
//!
//! SQLite has one writer at a time whatever we do, so there is one connection for it, and waiting for it is fair. In
//! PostgreSQL, writers take one lock first (see [`super::Write`]), for the same order.

use super::migrations;
use super::write::Write;
use super::{Result, StoreError};
use crate::config::Secret;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, ConnectOptions};
use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::watch;

/// In the data directory.
const FILE_NAME: &str = "consilium.db";
/// Held shared by whoever has the file open, and alone by who replaces it.
const LOCK_NAME: &str = "consilium.lock";
/// Readers of SQLite. Each is a thread; queries take well below a millisecond.
const READERS: u32 = 4;
/// How long a request waits for a connection. Longer than a client waits is of no use.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A statement that takes longer is worth a line in the log, without its values.
const SLOW_STATEMENT: Duration = Duration::from_millis(250);
/// "Cons", so that a file of ours is known as such (sqlite.org/pragma.html#pragma_application_id).
pub(super) const APPLICATION_ID: u32 = 0x436f_6e73;

/// FULL: a commit that was answered survives a loss of power. The page cache of the system is no place for an outcome.
const SQLITE_WRITER: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
     PRAGMA busy_timeout = 5000; PRAGMA trusted_schema = OFF; PRAGMA application_id = 1131376243;";
const SQLITE_READER: &str = "PRAGMA query_only = ON; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; \
     PRAGMA trusted_schema = OFF;";
/// A writer that waits longer than this answers "busy" instead of holding its client.
const POSTGRES: &str = "SET lock_timeout = '5s'; SET statement_timeout = '30s'; \
     SET idle_in_transaction_session_timeout = '30s'; SET timezone = 'UTC';";

/// Where the data is.
#[derive(Clone, Debug)]
pub enum Place {
    Sqlite { data_dir: PathBuf },
    Postgres { url: Secret, connections_max: u32 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

/// A handle that is cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    kind: Kind,
    writer: AnyPool,
    readers: AnyPool,
    committed: watch::Sender<i64>,
    /// Of SQLite.
    data_dir: Option<PathBuf>,
    /// Shared, until the store is closed.
    _lock: Option<File>,
}

impl Store {
    /// Opens the database, makes it if need be, and brings its schema up to date.
    pub async fn open(place: &Place) -> Result<Self> {
        install_drivers();
        let (committed, _) = watch::channel(0);
        let inner = match place {
            Place::Sqlite { data_dir } => {
                let lock = lock(data_dir)?;
                lock.try_lock_shared().map_err(|error| locked(&error))?;
                let file = sqlite_file(data_dir);
                create_private(&file)?;
                let url = sqlite_url(&file)?;
                let writer = sqlite_pool(1, SQLITE_WRITER).connect_with(options(&format!("{url}?mode=rw"))?).await?;
                migrations::run(&writer, Kind::Sqlite).await?;
                let readers =
                    sqlite_pool(READERS, SQLITE_READER).connect_with(options(&format!("{url}?mode=rw"))?).await?;
                Inner {
                    kind: Kind::Sqlite,
                    writer,
                    readers,
                    committed,
                    data_dir: Some(data_dir.clone()),
                    _lock: Some(lock),
                }
            }
            Place::Postgres { url, connections_max } => {
                // As in SQLite: writers that wait for the lock must not hold the connections on which its holder reads.
                let writer = postgres_pool(1).connect_with(options(url.expose())?).await?;
                migrations::run(&writer, Kind::Postgres).await?;
                let readers = connections_max.saturating_sub(1).max(1);
                let readers = postgres_pool(readers).connect_with(options(url.expose())?).await?;
                Inner { kind: Kind::Postgres, writer, readers, committed, data_dir: None, _lock: None }
            }
        };
        let store = Self { inner: Arc::new(inner) };
        let last = store.last_event().await?;
        store.announce(last);
        Ok(store)
    }

    /// Takes the write lock of the whole database. While it is held nobody else changes anything, so what the
    /// transaction reads stays true until its commit.
    pub async fn write(&self) -> Result<Write> {
        Write::begin(self.clone(), &self.inner.writer, self.inner.kind).await
    }

    /// Ends every connection. Requests under way get an error.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }

    /// Whether a query is answered.
    pub async fn health(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&mut *self.reader().await?).await?;
        Ok(())
    }

    /// The sequence number of the last event that this server committed or saw. With several servers, the others' events
    /// are seen by asking [`Store::events_after`] now and then.
    pub fn committed(&self) -> watch::Receiver<i64> {
        self.inner.committed.subscribe()
    }

    /// Whether other servers may work with the same database.
    pub fn is_shared(&self) -> bool {
        self.inner.kind == Kind::Postgres
    }

    pub(super) fn announce(&self, sequence: i64) {
        self.inner.committed.send_if_modified(|last| {
            let is_later = sequence > *last;
            *last = sequence.max(*last);
            is_later
        });
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<Any>> {
        Ok(self.inner.readers.acquire().await?)
    }

    pub(super) fn kind(&self) -> Kind {
        self.inner.kind
    }

    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.inner.data_dir.as_deref()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("kind", &self.inner.kind).finish_non_exhaustive()
    }
}

pub(super) fn install_drivers() {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
}

pub(super) fn sqlite_file(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// The lock file, not locked yet.
pub(super) fn lock(data_dir: &Path) -> Result<File> {
    let error = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", data_dir.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(error)?;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(data_dir.join(LOCK_NAME))
        .map_err(error)
}

pub(super) fn locked(error: &TryLockError) -> StoreError {
    match error {
        TryLockError::WouldBlock => StoreError::Busy("another process has the database open".into()),
        TryLockError::Error(error) => StoreError::Unavailable(error.to_string()),
    }
}

/// SQLite gives its journal the mode of the database, so only this file needs the care.
fn create_private(file: &Path) -> Result<()> {
    let opened = std::fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file);
    opened.map(drop).map_err(|error| StoreError::Unavailable(format!("{}: {error}", file.display())))
}

pub(super) fn sqlite_url(file: &Path) -> Result<String> {
    let unusable = || StoreError::Unavailable(format!("{} is not a path of Unicode characters", file.display()));
    let absolute = std::path::absolute(file).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let path = absolute.to_str().ok_or_else(unusable)?;
    let mut url = String::from("sqlite://");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'~' => url.push(byte.into()),
            // A dot too: a parser of URLs would take "/../" out.
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(url)
}

pub(super) fn options(url: &str) -> Result<AnyConnectOptions> {
    // The parser's message may repeat the URL, and with it the password.
    let mut options =
        AnyConnectOptions::from_str(url).map_err(|_| StoreError::Unavailable("the URL is not valid".into()))?;
    // Parsed, because the levels' type is of a crate that is not among our dependencies.
    if let (Ok(usual), Ok(slow)) = ("trace".parse(), "warn".parse()) {
        options = options.log_statements(usual).log_slow_statements(slow, SLOW_STATEMENT);
    }
    Ok(options)
}

fn sqlite_pool(connections: u32, pragmas: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(set_up(connection, pragmas)))
}

fn postgres_pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| Box::pin(set_up(connection, POSTGRES)))
}

async fn set_up(connection: &mut sqlx::AnyConnection, statements: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(statements).execute(connection).await.map(drop)
}
