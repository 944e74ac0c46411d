//! Copies of the SQLite file. A backup is taken while the server runs; a restore needs the file for itself. PostgreSQL has
//! its own tools for both.

use super::connection::{self, APPLICATION_ID, Kind, lock, locked, options, sqlite_file, sqlite_url};
use super::{Result, Store, StoreError, migrations};
use crate::moment::Moment;
use sqlx::{AnyConnection, Connection, Row};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("PostgreSQL is backed up and restored by its own tools: pg_dump and pg_restore")]
    NotSqlite,
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} is not a database of this server", .0.display())]
    Foreign(PathBuf),
    #[error("{} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("there is a database already; say --replace to put it aside")]
    WouldReplace,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes a whole, consistent copy to `file`, which must not exist. Writers go on meanwhile.
    pub async fn backup(&self, file: &Path) -> Result<(), BackupError> {
        if self.kind() != Kind::Sqlite {
            return Err(BackupError::NotSqlite);
        }
        let failed = |source| BackupError::File { path: file.to_owned(), source };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists(file.to_owned()));
            }
            opened => drop(opened.map_err(failed)?),
        }
        let absolute = std::path::absolute(file).map_err(failed)?;
        let text = absolute.to_str().ok_or_else(|| failed(std::io::ErrorKind::InvalidFilename.into()))?;
        let copied = async {
            // SQLite takes an empty file for none (sqlite.org/lang_vacuum.html). The readers' connections refuse to write,
            // so this is one of its own.
            let url = sqlite_url(&self.sqlite_file()?)?;
            let mut connection = AnyConnection::connect_with(&options(&format!("{url}?mode=rw"))?).await?;
            sqlx::query("VACUUM INTO $1").bind(text).execute(&mut connection).await?;
            connection.close().await?;
            Ok::<_, StoreError>(())
        };
        if let Err(error) = copied.await {
            // What stands there now is ours, and no backup.
            std::fs::remove_file(file).map_err(failed)?;
            return Err(error.into());
        }
        File::open(file).and_then(|file| file.sync_all()).map_err(failed)?;
        sync_folder(file).map_err(failed)
    }

    fn sqlite_file(&self) -> Result<PathBuf> {
        self.data_dir().map(sqlite_file).ok_or_else(|| StoreError::Unavailable("no data directory".into()))
    }
}

/// Puts the backup `file` in the place of the data directory's database. The one that is replaced is kept beside it; its
/// path is the result.
pub async fn restore(data_dir: &Path, file: &Path, replace: bool) -> Result<Option<PathBuf>, BackupError> {
    // Before the lock, so that a mistaken name makes no data directory.
    check(file).await?;
    let lock = lock(data_dir)?;
    lock.try_lock().map_err(|error| locked(&error))?;
    let target = sqlite_file(data_dir);
    let failed = |source| BackupError::File { path: target.clone(), source };
    let exists = target.try_exists().map_err(failed)?;
    if exists && !replace {
        return Err(BackupError::WouldReplace);
    }
    let fresh = target.with_extension("restoring");
    copy_private(file, &fresh).map_err(failed)?;
    let kept = if exists { Some(put_aside(&target).await?) } else { None };
    std::fs::rename(&fresh, &target).and_then(|()| sync_folder(&target)).map_err(failed)?;
    Ok(kept)
}

/// Gives the old database a second name. Its journal is folded into it first, which closing the last connection does; a
/// journal left over would be taken for the new database's.
async fn put_aside(target: &Path) -> Result<PathBuf, BackupError> {
    let failed = |source| BackupError::File { path: target.to_owned(), source };
    let folded = async {
        let url = sqlite_url(target)?;
        let mut connection = AnyConnection::connect_with(&options(&format!("{url}?mode=rw"))?).await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
        connection.close().await?;
        Ok::<_, StoreError>(())
    };
    if let Err(error) = folded.await {
        // Whoever restores may do so because the old one cannot be opened.
        tracing::warn!(%error, "the database that is replaced cannot be opened");
    }
    let kept = target.with_extension(format!("replaced-{}", Moment::now().ms()));
    for suffix in ["-wal", "-shm"] {
        let journal = with_suffix(target, suffix);
        if journal.try_exists().map_err(failed)? {
            std::fs::rename(&journal, with_suffix(&kept, suffix)).map_err(failed)?;
        }
    }
    std::fs::hard_link(target, &kept).map_err(failed)?;
    Ok(kept)
}

/// Ours, whole, and of a schema that we know.
async fn check(file: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::File { path: file.to_owned(), source };
    // sqlite.org/fileformat2.html: the file starts with this text, and holds the application's id at byte 68.
    let mut head = [0; 72];
    let read = File::open(file).map_err(failed)?.read_exact(&mut head);
    if read.is_err() || !head.starts_with(b"SQLite format 3\0") || head[68..72] != APPLICATION_ID.to_be_bytes() {
        return Err(BackupError::Foreign(file.to_owned()));
    }
    connection::install_drivers();
    let damaged = |reason: String| BackupError::Damaged { path: file.to_owned(), reason };
    let url = format!("{}?mode=ro&immutable=1", sqlite_url(file)?);
    let mut connection = AnyConnection::connect_with(&options(&url)?).await.map_err(StoreError::from)?;
    let result: String = sqlx::query("PRAGMA integrity_check")
        .fetch_one(&mut connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| damaged(error.to_string()))?;
    if result != "ok" {
        return Err(damaged(result));
    }
    migrations::check_applied(&mut connection).await?;
    connection.close().await.map_err(StoreError::from)?;
    Ok(())
}

fn copy_private(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    std::io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A new name is only on the disk once its folder is.
fn sync_folder(file: &Path) -> std::io::Result<()> {
    let absolute = std::path::absolute(file)?;
    absolute.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
