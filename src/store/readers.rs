//! How far those who follow the events have come. Whoever moves on does so in the transaction of what the events led to,
//! so that nothing is done twice or left out.

use super::{Result, Store, Write};
use sqlx::{AnyConnection, Row};

/// One who follows the events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    Webhooks,
    Mail,
}

/// Of a reader who does not follow at present.
pub const ABSENT: i64 = -1;

impl Reader {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Mail => "mail",
        }
    }
}

impl Write {
    /// The number of the last event that this reader has dealt with.
    pub async fn position(&mut self, reader: Reader) -> Result<i64> {
        find(self.connection(), reader).await
    }

    pub async fn set_position(&mut self, reader: Reader, sequence: i64) -> Result<()> {
        sqlx::query("UPDATE readers SET sequence = $1 WHERE name = $2")
            .bind(sequence)
            .bind(reader.name())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl Store {
    pub async fn position(&self, reader: Reader) -> Result<i64> {
        find(&mut *self.reader().await?, reader).await
    }

    /// From now on the reader follows; what happened while it did not is left out.
    pub async fn follow(&self, reader: Reader) -> Result<()> {
        if self.position(reader).await? != ABSENT {
            return Ok(());
        }
        let last = self.last_event().await?;
        let mut write = self.write().await?;
        write.set_position(reader, last).await?;
        write.commit().await
    }

    /// The reader does not follow, until [`Store::follow`].
    pub async fn unfollow(&self, reader: Reader) -> Result<()> {
        if self.position(reader).await? == ABSENT {
            return Ok(());
        }
        let mut write = self.write().await?;
        write.set_position(reader, ABSENT).await?;
        write.commit().await
    }
}

async fn find(connection: &mut AnyConnection, reader: Reader) -> Result<i64> {
    let row =
        sqlx::query("SELECT sequence FROM readers WHERE name = $1").bind(reader.name()).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}
