//! Meetings, and occurrences of series that are not as the rule says.

use super::{Result, Store, StoreError, Write};
use crate::ids::{MeetingId, UserId};
use crate::meetings::admission::Lobby;
use crate::meetings::meeting::{Meeting, Status};
pub use crate::meetings::schedule::{Exception, Moved};
use crate::meetings::schedule::{Schedule, Wanted, format_local, parse_local};
use crate::moment::Moment;
use crate::text::{Name, fold};
use chrono::NaiveDateTime;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// Of a series without end.
const NO_END_MS: i64 = i64::MAX;

macro_rules! columns {
    () => {
        "SELECT id, owner, title, start_local, time_zone, duration_minutes, recurrence, capacity, lobby, \
         required_specialties, settings, status, sequence, version, created_at_ms, updated_at_ms, starts_at_ms FROM meetings"
    };
}

/// Which meetings a list holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of the title, in any case.
    pub title: Option<String>,
    /// Not over at this time.
    pub from: Option<Moment>,
    /// Begun before this time.
    pub to: Option<Moment>,
    pub status: Option<Status>,
    /// Only those of one owner.
    pub owner: Option<UserId>,
}

/// Where a page of the list begins: behind this meeting.
#[derive(Clone, Debug)]
pub struct After {
    pub starts_at: Moment,
    pub id: MeetingId,
}

impl Write {
    pub async fn insert_meeting(&mut self, meeting: &Meeting) -> Result<()> {
        let statement = "INSERT INTO meetings (owner, title, title_folded, start_local, time_zone, duration_minutes, \
             recurrence, starts_at_ms, ends_at_ms, capacity, lobby, required_specialties, settings, status, sequence, version, \
             updated_at_ms, id, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
             $17, $18, $19)";
        bind_meeting(statement, meeting)?.bind(meeting.created_at.ms()).execute(self.connection()).await?;
        Ok(())
    }

    /// The caller has read the meeting in this transaction, so its version is the stored one.
    pub async fn update_meeting(&mut self, meeting: &Meeting) -> Result<()> {
        let statement = "UPDATE meetings SET owner = $1, title = $2, title_folded = $3, start_local = $4, time_zone = $5, \
             duration_minutes = $6, recurrence = $7, starts_at_ms = $8, ends_at_ms = $9, capacity = $10, lobby = $11, \
             required_specialties = $12, settings = $13, status = $14, sequence = $15, version = $16, updated_at_ms = $17 \
             WHERE id = $18";
        match bind_meeting(statement, meeting)?.execute(self.connection()).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::NotFound),
        }
    }

    pub async fn meeting(&mut self, id: &MeetingId) -> Result<Meeting> {
        find(self.connection(), id).await
    }

    /// Replaces what was decided about this occurrence before.
    pub async fn put_exception(&mut self, id: &MeetingId, exception: &Exception) -> Result<()> {
        self.delete_exception(id, exception.original).await?;
        sqlx::query(
            "INSERT INTO occurrences (meeting_id, original, start_local, duration_minutes) VALUES ($1, $2, $3, $4)",
        )
        .bind(id.as_str())
        .bind(format_local(exception.original))
        .bind(exception.moved.map(|moved| format_local(moved.start)))
        .bind(exception.moved.map(|moved| i64::from(moved.duration_minutes)))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn delete_exception(&mut self, id: &MeetingId, original: NaiveDateTime) -> Result<()> {
        sqlx::query("DELETE FROM occurrences WHERE meeting_id = $1 AND original = $2")
            .bind(id.as_str())
            .bind(format_local(original))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The rule has changed, and with it what its occurrences are.
    pub async fn delete_exceptions(&mut self, id: &MeetingId) -> Result<()> {
        sqlx::query("DELETE FROM occurrences WHERE meeting_id = $1")
            .bind(id.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn exceptions(&mut self, id: &MeetingId) -> Result<Vec<Exception>> {
        exceptions(self.connection(), id).await
    }
}

impl Store {
    pub async fn meeting(&self, id: &MeetingId) -> Result<Meeting> {
        find(&mut *self.reader().await?, id).await
    }

    pub async fn exceptions(&self, id: &MeetingId) -> Result<Vec<Exception>> {
        exceptions(&mut *self.reader().await?, id).await
    }

    /// By start, then by identifier.
    pub async fn meetings(&self, filter: &Filter, after: Option<&After>, limit: i64) -> Result<Vec<Meeting>> {
        // One statement for every filter: what is not asked for is a condition that always holds. The owner apart, whose
        // list has an index of its own.
        macro_rules! list {
            ($owner:literal) => {
                concat!(
                    columns!(),
                    " WHERE starts_at_ms >= $1 AND (starts_at_ms > $1 OR id > $2) AND starts_at_ms < $3 AND ends_at_ms > $4 \
                     AND ($5 = '' OR status = $5) AND ($6 = '' OR title_folded LIKE $6 ESCAPE '\\')",
                    $owner,
                    " ORDER BY starts_at_ms, id LIMIT $7"
                )
            };
        }
        let statement = if filter.owner.is_some() { list!(" AND owner = $8") } else { list!("") };
        let mut query = sqlx::query(statement)
            .bind(after.map_or(i64::MIN, |after| after.starts_at.ms()))
            .bind(after.map_or("", |after| after.id.as_str()))
            .bind(filter.to.map_or(i64::MAX, Moment::ms))
            .bind(filter.from.map_or(i64::MIN, Moment::ms))
            .bind(filter.status.map_or("", Status::name))
            .bind(filter.title.as_deref().map(contains).unwrap_or_default())
            .bind(limit);
        if let Some(owner) = &filter.owner {
            query = query.bind(owner.as_str());
        }
        let rows = query.fetch_all(&mut *self.reader().await?).await?;
        rows.iter().map(meeting).collect()
    }
}

/// A pattern for whatever contains `text`, whose own signs mean nothing.
fn contains(text: &str) -> String {
    let plain = fold(text).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{plain}%")
}

fn bind_meeting<'q>(
    statement: &'static str,
    meeting: &Meeting,
) -> Result<sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>> {
    let json = |error: serde_json::Error| StoreError::Unavailable(error.to_string());
    let schedule = &meeting.schedule;
    Ok(sqlx::query(statement)
        .bind(meeting.owner.clone())
        .bind(meeting.title.as_str().to_owned())
        .bind(meeting.title.folded())
        .bind(schedule.start_text())
        .bind(schedule.zone().name())
        .bind(i64::from(schedule.duration_minutes()))
        .bind(schedule.recurrence().map(str::to_owned))
        .bind(schedule.starts_at().ms())
        .bind(schedule.ends_at().map_or(NO_END_MS, Moment::ms))
        .bind(i64::from(meeting.capacity))
        .bind(meeting.lobby.name())
        .bind(serde_json::to_string(&meeting.required_specialties).map_err(json)?)
        .bind(serde_json::to_string(&meeting.settings).map_err(json)?)
        .bind(meeting.status.name())
        .bind(meeting.sequence)
        .bind(meeting.version)
        .bind(meeting.updated_at.ms())
        .bind(meeting.id.as_str().to_owned()))
}

async fn find(connection: &mut AnyConnection, id: &MeetingId) -> Result<Meeting> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1")).bind(id.as_str()).fetch_one(connection).await?;
    meeting(&row)
}

fn meeting(row: &AnyRow) -> Result<Meeting> {
    let text = |column: usize| row.try_get::<String, _>(column);
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of a meeting"));
    let number =
        |column: usize| -> Result<u32> { row.try_get::<i64, _>(column)?.try_into().map_err(|_| damaged("a number")) };
    let (start, time_zone) = (text(3)?, text(4)?);
    let recurrence: Option<String> = row.try_get(6)?;
    let wanted = Wanted {
        start: &start,
        time_zone: &time_zone,
        duration_minutes: number(5)?,
        recurrence: recurrence.as_deref(),
    };
    Ok(Meeting {
        id: MeetingId::parse(&text(0)?).ok_or_else(|| damaged("the identifier"))?,
        owner: text(1)?,
        title: Name::new(&text(2)?).map_err(|_| damaged("the title"))?,
        schedule: Schedule::from_stored(&wanted).ok_or_else(|| damaged("the schedule"))?,
        capacity: number(7)?,
        lobby: Lobby::from_name(&text(8)?).ok_or_else(|| damaged("the lobby"))?,
        required_specialties: json(&text(9)?).ok_or_else(|| damaged("the specialties"))?,
        settings: json(&text(10)?).ok_or_else(|| damaged("the settings"))?,
        status: Status::from_name(&text(11)?).ok_or_else(|| damaged("the status"))?,
        sequence: row.try_get(12)?,
        version: row.try_get(13)?,
        created_at: Moment::from_ms(row.try_get(14)?),
        updated_at: Moment::from_ms(row.try_get(15)?),
    })
}

fn json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

async fn exceptions(connection: &mut AnyConnection, id: &MeetingId) -> Result<Vec<Exception>> {
    let rows = sqlx::query(
        "SELECT original, start_local, duration_minutes FROM occurrences WHERE meeting_id = $1 ORDER BY original",
    )
    .bind(id.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(exception).collect()
}

fn exception(row: &AnyRow) -> Result<Exception> {
    let damaged = || StoreError::corrupt("an occurrence");
    let original: String = row.try_get(0)?;
    let (start, minutes): (Option<String>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
    let moved = match (start, minutes) {
        (Some(start), Some(minutes)) => Some(Moved {
            start: parse_local(&start).ok_or_else(damaged)?,
            duration_minutes: minutes.try_into().map_err(|_| damaged())?,
        }),
        _ => None,
    };
    Ok(Exception { original: parse_local(&original).ok_or_else(damaged)?, moved })
}
