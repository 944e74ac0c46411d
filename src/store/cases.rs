//! Cases of meetings, with their outcomes.

use super::{Result, Store, StoreError, Write};
use crate::ids::{CaseId, InvitationId, MeetingId};
use crate::mdt::attendance::Attendee;
use crate::mdt::case::{Case, Stage};
use crate::mdt::outcome::{Amendment, Confirmation, Outcome};
use crate::mdt::prose::Prose;
use crate::mdt::reference::Reference;
use crate::mdt::spans::Span;
use crate::meetings::schedule::{format_local, parse_local};
use crate::moment::Moment;
use crate::text::Name;
use chrono::NaiveDateTime;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::HashMap;

macro_rules! columns {
    () => {
        "SELECT id, meeting_id, occurrence, position, reference, notes, stage, times, outcome, outcome_version, \
         outcome_confirmed_at_ms, outcome_confirmed_by, attendance, version, created_at_ms, required FROM cases"
    };
}

impl Write {
    pub async fn insert_case(&mut self, case: &Case) -> Result<()> {
        let statement = "INSERT INTO cases (position, reference, notes, stage, times, outcome, outcome_version, \
             outcome_confirmed_at_ms, outcome_confirmed_by, attendance, required, finished_at_ms, version, id, meeting_id, \
             occurrence, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
        bind(statement, case)?
            .bind(case.meeting.as_str().to_owned())
            .bind(format_local(case.occurrence))
            .bind(case.created_at.ms())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The caller has read the case in this transaction. Amendments are added by [`Write::insert_amendment`].
    pub async fn update_case(&mut self, case: &Case) -> Result<()> {
        let statement = "UPDATE cases SET position = $1, reference = $2, notes = $3, stage = $4, times = $5, outcome = $6, \
             outcome_version = $7, outcome_confirmed_at_ms = $8, outcome_confirmed_by = $9, attendance = $10, \
             required = $11, finished_at_ms = $12, version = $13 WHERE id = $14";
        match bind(statement, case)?.execute(self.connection()).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::NotFound),
        }
    }

    /// The last of the case's amendments.
    pub async fn insert_amendment(&mut self, case: &Case) -> Result<()> {
        let Some(amendment) = case.outcome.amendments.last() else { return Ok(()) };
        sqlx::query(
            "INSERT INTO outcome_amendments (case_id, number, text, reason, made_by, made_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(case.id.as_str())
        .bind(case.outcome.amendments.len() as i64)
        .bind(amendment.text.as_str())
        .bind(amendment.reason.as_str())
        .bind(amendment.by.as_str())
        .bind(amendment.at.ms())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// One that has no amendments.
    pub async fn delete_case(&mut self, id: &CaseId) -> Result<()> {
        sqlx::query("DELETE FROM cases WHERE id = $1").bind(id.as_str()).execute(self.connection()).await?;
        Ok(())
    }

    /// Nothing else of the case.
    pub async fn put_case_position(&mut self, id: &CaseId, position: i64) -> Result<()> {
        sqlx::query("UPDATE cases SET position = $1 WHERE id = $2")
            .bind(position)
            .bind(id.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn case(&mut self, meeting: &MeetingId, id: &CaseId) -> Result<Case> {
        find(self.connection(), meeting, id).await
    }

    pub async fn cases(&mut self, meeting: &MeetingId, occurrence: NaiveDateTime) -> Result<Vec<Case>> {
        list(self.connection(), meeting, occurrence).await
    }

    /// Occurrences whose lists nobody has begun to discuss or to decide.
    pub async fn prepared_lists(&mut self, meeting: &MeetingId) -> Result<Vec<NaiveDateTime>> {
        let rows = sqlx::query(
            "SELECT occurrence FROM cases WHERE meeting_id = $1 GROUP BY occurrence \
             HAVING COUNT(*) = SUM(CASE WHEN stage = 'waiting' AND outcome_confirmed_at_ms IS NULL THEN 1 ELSE 0 END) \
             ORDER BY occurrence",
        )
        .bind(meeting.as_str())
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| parse_local(row.try_get(0)?).ok_or_else(|| damaged("the occurrence"))).collect()
    }

    /// To an occurrence that has no list.
    pub async fn move_list(&mut self, meeting: &MeetingId, from: NaiveDateTime, to: NaiveDateTime) -> Result<()> {
        sqlx::query("UPDATE cases SET occurrence = $1 WHERE meeting_id = $2 AND occurrence = $3")
            .bind(format_local(to))
            .bind(meeting.as_str())
            .bind(format_local(from))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn has_cases(&mut self, meeting: &MeetingId, occurrence: NaiveDateTime) -> Result<bool> {
        has_cases(self.connection(), meeting, occurrence).await
    }

    /// The one that the meeting is about, in whichever occurrence.
    pub async fn current_case(&mut self, meeting: &MeetingId) -> Result<Option<Case>> {
        let row = sqlx::query("SELECT id FROM cases WHERE meeting_id = $1 AND stage = 'current'")
            .bind(meeting.as_str())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let id = CaseId::parse(row.try_get(0)?).ok_or_else(|| damaged("the identifier"))?;
        self.case(meeting, &id).await.map(Some)
    }
}

impl Store {
    pub async fn case(&self, meeting: &MeetingId, id: &CaseId) -> Result<Case> {
        find(&mut *self.reader().await?, meeting, id).await
    }

    pub async fn has_cases(&self, meeting: &MeetingId, occurrence: NaiveDateTime) -> Result<bool> {
        has_cases(&mut *self.reader().await?, meeting, occurrence).await
    }

    /// In the order of the list.
    pub async fn cases(&self, meeting: &MeetingId, occurrence: NaiveDateTime) -> Result<Vec<Case>> {
        list(&mut *self.reader().await?, meeting, occurrence).await
    }
}

async fn find(connection: &mut AnyConnection, meeting: &MeetingId, id: &CaseId) -> Result<Case> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1 AND meeting_id = $2"))
        .bind(id.as_str())
        .bind(meeting.as_str())
        .fetch_one(&mut *connection)
        .await?;
    let amendments = sqlx::query(
        "SELECT case_id, text, reason, made_by, made_at_ms FROM outcome_amendments WHERE case_id = $1 ORDER BY number",
    )
    .bind(id.as_str())
    .fetch_all(connection)
    .await?;
    let mut case = case(&row)?;
    case.outcome.amendments = amendments.iter().map(amendment).collect::<Result<_>>()?;
    Ok(case)
}

async fn list(connection: &mut AnyConnection, meeting: &MeetingId, occurrence: NaiveDateTime) -> Result<Vec<Case>> {
    let occurrence = format_local(occurrence);
    let rows = sqlx::query(concat!(columns!(), " WHERE meeting_id = $1 AND occurrence = $2 ORDER BY position, id"))
        .bind(meeting.as_str())
        .bind(&occurrence)
        .fetch_all(&mut *connection)
        .await?;
    let amended = sqlx::query(
        "SELECT case_id, text, reason, made_by, made_at_ms FROM outcome_amendments WHERE case_id IN \
         (SELECT id FROM cases WHERE meeting_id = $1 AND occurrence = $2) ORDER BY case_id, number",
    )
    .bind(meeting.as_str())
    .bind(&occurrence)
    .fetch_all(connection)
    .await?;
    let mut amendments: HashMap<String, Vec<Amendment>> = HashMap::new();
    for row in &amended {
        amendments.entry(row.try_get(0)?).or_default().push(amendment(row)?);
    }
    let mut cases: Vec<Case> = rows.iter().map(case).collect::<Result<_>>()?;
    for case in &mut cases {
        case.outcome.amendments = amendments.remove(case.id.as_str()).unwrap_or_default();
    }
    Ok(cases)
}

async fn has_cases(connection: &mut AnyConnection, meeting: &MeetingId, occurrence: NaiveDateTime) -> Result<bool> {
    let row = sqlx::query("SELECT 1 FROM cases WHERE meeting_id = $1 AND occurrence = $2 LIMIT 1")
        .bind(meeting.as_str())
        .bind(format_local(occurrence))
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

fn bind<'q>(
    statement: &'static str,
    case: &Case,
) -> Result<sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>> {
    let json = |error: serde_json::Error| StoreError::Unavailable(error.to_string());
    let text = |prose: &Option<Prose>| prose.as_ref().map(|prose| prose.as_str().to_owned());
    let confirmed = case.outcome.confirmed.as_ref();
    let finished = case.attendance.is_some().then(|| case.ended_at()).flatten();
    Ok(sqlx::query(statement)
        .bind(case.position)
        .bind(case.reference.as_str().to_owned())
        .bind(text(&case.notes))
        .bind(case.stage.name())
        .bind(serde_json::to_string(&case.times).map_err(json)?)
        .bind(text(&case.outcome.text))
        .bind(case.outcome.version)
        .bind(confirmed.map(|confirmed| confirmed.at.ms()))
        .bind(confirmed.map(|confirmed| confirmed.by.as_str().to_owned()))
        .bind(case.attendance.as_ref().map(serde_json::to_string).transpose().map_err(json)?)
        .bind(case.required.as_ref().map(serde_json::to_string).transpose().map_err(json)?)
        .bind(finished.map(Moment::ms))
        .bind(case.version)
        .bind(case.id.as_str().to_owned()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::corrupt(format!("{what} of a case"))
}

/// Without its amendments.
fn case(row: &AnyRow) -> Result<Case> {
    let text = |column: usize| row.try_get::<String, _>(column);
    let prose = |column: usize, what: &str| -> Result<Option<Prose>> {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| Prose::new(&text).map_err(|_| damaged(what))).transpose()
    };
    let confirmed = match (row.try_get::<Option<i64>, _>(10)?, row.try_get::<Option<String>, _>(11)?) {
        (Some(at), Some(by)) => Some(Confirmation {
            at: Moment::from_ms(at),
            by: InvitationId::parse(&by).ok_or_else(|| damaged("the chair"))?,
        }),
        _ => None,
    };
    let times: Vec<Span> = serde_json::from_str(&text(7)?).map_err(|_| damaged("the timer"))?;
    let attendance: Option<String> = row.try_get(12)?;
    let attendance: Option<Vec<Attendee>> =
        attendance.map(|text| serde_json::from_str(&text).map_err(|_| damaged("the attendance"))).transpose()?;
    let required: Option<String> = row.try_get(15)?;
    let required: Option<Vec<Name>> = required
        .map(|text| serde_json::from_str(&text).map_err(|_| damaged("the required specialties")))
        .transpose()?;
    Ok(Case {
        id: CaseId::parse(&text(0)?).ok_or_else(|| damaged("the identifier"))?,
        meeting: MeetingId::parse(&text(1)?).ok_or_else(|| damaged("the meeting"))?,
        occurrence: parse_local(&text(2)?).ok_or_else(|| damaged("the occurrence"))?,
        position: row.try_get(3)?,
        reference: Reference::new(&text(4)?).map_err(|_| damaged("the reference"))?,
        notes: prose(5, "the notes")?,
        stage: Stage::from_name(&text(6)?).ok_or_else(|| damaged("the stage"))?,
        times,
        outcome: Outcome {
            text: prose(8, "the outcome")?,
            confirmed,
            amendments: Vec::new(),
            version: row.try_get(9)?,
        },
        attendance,
        required,
        version: row.try_get(13)?,
        created_at: Moment::from_ms(row.try_get(14)?),
    })
}

fn amendment(row: &AnyRow) -> Result<Amendment> {
    let prose =
        |column: usize| -> Result<Prose> { Prose::new(row.try_get(column)?).map_err(|_| damaged("an amendment")) };
    Ok(Amendment {
        text: prose(1)?,
        reason: prose(2)?,
        by: InvitationId::parse(row.try_get(3)?).ok_or_else(|| damaged("who amended"))?,
        at: Moment::from_ms(row.try_get(4)?),
    })
}
