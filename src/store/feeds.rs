//! Addresses of people's own calendars.

use super::{Result, Store, StoreError, Write};
use crate::calendar::feed::Feed;
use crate::identity::secret::SecretHash;
use crate::ids::FeedId;
use crate::meetings::invitation::Email;
use crate::moment::Moment;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

macro_rules! columns {
    () => {
        "SELECT id, email, secret_hash, created_at_ms, revoked_at_ms, version FROM calendar_feeds"
    };
}

impl Write {
    pub async fn insert_feed(&mut self, feed: &Feed) -> Result<()> {
        sqlx::query(
            "INSERT INTO calendar_feeds (id, email, secret_hash, created_at_ms, revoked_at_ms, version) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(feed.id.as_str())
        .bind(feed.email.as_str().to_ascii_lowercase())
        .bind(feed.secret_hash.as_str())
        .bind(feed.created_at.ms())
        .bind(feed.revoked_at.map(Moment::ms))
        .bind(feed.version)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Those of an address that are not revoked.
    pub async fn feed_count(&mut self, email: &Email) -> Result<i64> {
        let row = sqlx::query("SELECT COUNT(*) FROM calendar_feeds WHERE email = $1 AND revoked_at_ms IS NULL")
            .bind(email.as_str().to_ascii_lowercase())
            .fetch_one(self.connection())
            .await?;
        Ok(row.try_get(0)?)
    }

    pub async fn feed(&mut self, id: &FeedId) -> Result<Feed> {
        find(self.connection(), id).await
    }

    pub async fn revoke_feed(&mut self, id: &FeedId, now: Moment) -> Result<()> {
        sqlx::query("UPDATE calendar_feeds SET revoked_at_ms = $1, version = version + 1 WHERE id = $2")
            .bind(now.ms())
            .bind(id.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl Store {
    pub async fn feed(&self, id: &FeedId) -> Result<Feed> {
        find(&mut *self.reader().await?, id).await
    }

    /// Newest first, older than `before` where it is given.
    pub async fn feeds(&self, before: Option<&FeedId>, limit: i64) -> Result<Vec<Feed>> {
        let rows = sqlx::query(concat!(columns!(), " WHERE id < $1 ORDER BY id DESC LIMIT $2"))
            // Greater than every identifier: those begin with a letter before "g".
            .bind(before.map_or("g", FeedId::as_str))
            .bind(limit)
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(feed).collect()
    }
}

async fn find(connection: &mut AnyConnection, id: &FeedId) -> Result<Feed> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1")).bind(id.as_str()).fetch_one(connection).await?;
    feed(&row)
}

fn feed(row: &AnyRow) -> Result<Feed> {
    let damaged = || StoreError::corrupt("the address of a calendar");
    let (id, email): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Feed {
        id: FeedId::parse(&id).ok_or_else(damaged)?,
        email: Email::new(&email).ok_or_else(damaged)?,
        secret_hash: SecretHash::from_stored(row.try_get(2)?),
        created_at: Moment::from_ms(row.try_get(3)?),
        revoked_at: row.try_get::<Option<i64>, _>(4)?.map(Moment::from_ms),
        version: row.try_get(5)?,
    })
}
