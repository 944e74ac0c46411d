//! Occurrences as they take place: from the first who came until nobody has been there for a while.

use super::{Result, Store, StoreError, Write};
use crate::ids::MeetingId;
use crate::meetings::schedule::{format_local, parse_local};
use crate::moment::Moment;
use crate::text::Name;
use chrono::NaiveDateTime;
use sqlx::Row;
use sqlx::any::AnyRow;

/// Open sittings that are looked after at a time: more than rooms of ten hospitals.
const SITTINGS_MAX: i64 = 2_000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sitting {
    pub meeting: MeetingId,
    /// Local time by the rule, as occurrences are named.
    pub occurrence: NaiveDateTime,
    pub began_at: Moment,
    /// Specialties that were told to be missing; `None` before anything was told.
    pub missing: Option<Vec<Name>>,
}

impl Write {
    pub async fn open_sitting(&mut self, meeting: &MeetingId) -> Result<Option<Sitting>> {
        let row = sqlx::query(
            "SELECT meeting_id, occurrence, began_at_ms, missing FROM sittings WHERE meeting_id = $1 AND ended_at_ms IS NULL",
        )
        .bind(meeting.as_str())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(sitting).transpose()
    }

    pub async fn insert_sitting(&mut self, sitting: &Sitting) -> Result<()> {
        sqlx::query("INSERT INTO sittings (meeting_id, occurrence, began_at_ms) VALUES ($1, $2, $3)")
            .bind(sitting.meeting.as_str())
            .bind(format_local(sitting.occurrence))
            .bind(sitting.began_at.ms())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn put_missing(&mut self, sitting: &Sitting, missing: &[Name]) -> Result<()> {
        let json = serde_json::to_string(missing).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        sqlx::query("UPDATE sittings SET missing = $1 WHERE meeting_id = $2 AND began_at_ms = $3")
            .bind(json)
            .bind(sitting.meeting.as_str())
            .bind(sitting.began_at.ms())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn end_sitting(&mut self, sitting: &Sitting, at: Moment) -> Result<()> {
        sqlx::query("UPDATE sittings SET ended_at_ms = $1 WHERE meeting_id = $2 AND began_at_ms = $3")
            .bind(at.ms())
            .bind(sitting.meeting.as_str())
            .bind(sitting.began_at.ms())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// When the last who was there left; `None` while somebody is.
    pub async fn deserted_since(&mut self, sitting: &Sitting) -> Result<Option<Moment>> {
        let row = sqlx::query(
            "SELECT COUNT(*), COUNT(left_at_ms), MAX(left_at_ms) FROM presence WHERE meeting_id = $1 \
             AND (left_at_ms IS NULL OR left_at_ms >= $2)",
        )
        .bind(sitting.meeting.as_str())
        .bind(sitting.began_at.ms())
        .fetch_one(self.connection())
        .await?;
        let (stays, ended): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let left: Option<i64> = row.try_get(2)?;
        // Where no stay is known any more, it ended when it began.
        Ok((stays == ended).then(|| left.map_or(sitting.began_at, Moment::from_ms)))
    }
}

impl Store {
    /// Those that have not ended.
    pub async fn open_sittings(&self) -> Result<Vec<Sitting>> {
        let rows = sqlx::query(
            "SELECT meeting_id, occurrence, began_at_ms, missing FROM sittings WHERE ended_at_ms IS NULL \
             ORDER BY began_at_ms LIMIT $1",
        )
        .bind(SITTINGS_MAX)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(sitting).collect()
    }
}

fn sitting(row: &AnyRow) -> Result<Sitting> {
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of a sitting"));
    let missing: Option<String> = row.try_get(3)?;
    let missing = missing.map(|text| serde_json::from_str(&text).map_err(|_| damaged("what is missing")));
    Ok(Sitting {
        meeting: MeetingId::parse(row.try_get(0)?).ok_or_else(|| damaged("the meeting"))?,
        occurrence: parse_local(row.try_get(1)?).ok_or_else(|| damaged("the occurrence"))?,
        began_at: Moment::from_ms(row.try_get(2)?),
        missing: missing.transpose()?,
    })
}
