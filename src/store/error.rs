//! Why the store did not do what it was asked, named by what the caller can do about it.

use std::borrow::Cow;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no such row")]
    NotFound,
    /// A row that must be unique exists, or one that is referred to does not.
    #[error("the change contradicts what is stored")]
    Conflict,
    /// The version that the caller saw is not the stored one.
    #[error("the row was changed by another")]
    Stale,
    /// Others are writing; the same may succeed in a moment. Nothing was changed.
    #[error("the store is busy: {0}")]
    Busy(Cow<'static, str>),
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// What is stored is not what this program writes.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    #[error("{0}")]
    Migration(#[from] super::migrations::MigrationError),
}

impl StoreError {
    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }
}

/// SQLite's result codes, of which the low byte is the kind (sqlite.org/rescode.html), and PostgreSQL's SQLSTATEs
/// (appendix A of its manual). Only the server's message is kept: its detail repeats values, which may be names.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::PoolTimedOut => Self::Busy("no connection was free".into()),
            sqlx::Error::Database(error) => {
                if error.is_unique_violation() || error.is_foreign_key_violation() {
                    return Self::Conflict;
                }
                let code = error.code().unwrap_or_default().into_owned();
                let message = error.message().to_owned();
                let sqlite_kind = (code.len() < 5).then(|| code.parse::<u32>().ok().map(|code| code & 0xff)).flatten();
                match (sqlite_kind, code.as_str()) {
                    // SQLITE_BUSY, SQLITE_LOCKED; serialization failure, deadlock, lock not available.
                    (Some(5 | 6), _) | (None, "40001" | "40P01" | "55P03") => Self::Busy(message.into()),
                    // SQLITE_CORRUPT, SQLITE_NOTADB; data corrupted, index corrupted.
                    (Some(11 | 26), _) | (None, "XX001" | "XX002") => Self::Corrupt(message),
                    _ => Self::Unavailable(format!("{message} ({code})")),
                }
            }
            error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_)) => {
                Self::Corrupt(error.to_string())
            }
            error => Self::Unavailable(error.to_string()),
        }
    }
}
