//! Who is in the rooms of meetings and since when, as it must survive a crash: stays that a server did not live to end are
//! ended at the moment when it was last known to run.

use super::{Result, Store, StoreError, Write};
use crate::ids::{InvitationId, MeetingId};
use crate::mdt::attendance::{Facts, Person, Stay};
use crate::mdt::spans::Span;
use crate::meetings::invitation::Role;
use crate::moment::Moment;
use crate::text::Name;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::HashSet;

/// Stays that one question takes into account. A thousand people who each came back twenty times.
const STAYS_MAX: i64 = 20_000;

/// A stay that begins.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// The media side's name for this stay.
    pub participant: &'a str,
    /// Of the server, since its start.
    pub run: &'a str,
    pub meeting: &'a MeetingId,
    pub invitation: &'a InvitationId,
    pub at: Moment,
    /// When it is written down, which may be later.
    pub now: Moment,
}

impl Write {
    /// `false` where the stay is known already.
    pub async fn insert_stay(&mut self, arrival: &Arrival<'_>) -> Result<bool> {
        self.beat(arrival.run, arrival.now).await?;
        let inserted = sqlx::query(
            "INSERT INTO presence (participant, run_id, meeting_id, invitation_id, joined_at_ms) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (participant) DO NOTHING",
        )
        .bind(arrival.participant)
        .bind(arrival.run)
        .bind(arrival.meeting.as_str())
        .bind(arrival.invitation.as_str())
        .bind(arrival.at.ms())
        .execute(self.connection())
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// `false` where there is no such stay, or it has ended.
    pub async fn end_stay(&mut self, participant: &str, at: Moment) -> Result<bool> {
        let ended = sqlx::query("UPDATE presence SET left_at_ms = $1 WHERE participant = $2 AND left_at_ms IS NULL")
            .bind(at.ms())
            .bind(participant)
            .execute(self.connection())
            .await?;
        Ok(ended.rows_affected() == 1)
    }

    /// Every stay in this meeting's room of this server: the room is gone.
    pub async fn end_stays(&mut self, run: &str, meeting: &MeetingId, at: Moment) -> Result<bool> {
        let ended = sqlx::query(
            "UPDATE presence SET left_at_ms = $1 WHERE run_id = $2 AND meeting_id = $3 AND left_at_ms IS NULL",
        )
        .bind(at.ms())
        .bind(run)
        .bind(meeting.as_str())
        .execute(self.connection())
        .await?;
        Ok(ended.rows_affected() > 0)
    }

    /// `None` where there is no such stay, or it goes on.
    pub async fn stay_ended_at(&mut self, participant: &str) -> Result<Option<Moment>> {
        let row = sqlx::query("SELECT left_at_ms FROM presence WHERE participant = $1 AND left_at_ms IS NOT NULL")
            .bind(participant)
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| Ok(Moment::from_ms(row.try_get(0)?))).transpose()
    }

    /// This server runs. A clock that was set back makes nothing of what was said before.
    pub async fn beat(&mut self, run: &str, now: Moment) -> Result<()> {
        sqlx::query(
            "INSERT INTO server_runs (id, beat_at_ms) VALUES ($1, $2) \
             ON CONFLICT (id) DO UPDATE SET beat_at_ms = CASE WHEN excluded.beat_at_ms > server_runs.beat_at_ms \
             THEN excluded.beat_at_ms ELSE server_runs.beat_at_ms END",
        )
        .bind(run)
        .bind(now.ms())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Ends the stays of every run, but `own`, that was not heard of since `since`, each at its last moment. Returns the
    /// meetings whose people are gone with it.
    pub async fn end_stays_of_the_dead(&mut self, own: &str, since: Moment) -> Result<Vec<MeetingId>> {
        let rows = sqlx::query(
            "SELECT DISTINCT meeting_id FROM presence WHERE left_at_ms IS NULL AND run_id IN \
             (SELECT id FROM server_runs WHERE id <> $1 AND beat_at_ms < $2)",
        )
        .bind(own)
        .bind(since.ms())
        .fetch_all(self.connection())
        .await?;
        // Nobody left before they came, whatever the clocks say.
        sqlx::query(
            "UPDATE presence SET left_at_ms = (SELECT CASE WHEN beat_at_ms < joined_at_ms THEN joined_at_ms ELSE beat_at_ms END \
             FROM server_runs WHERE server_runs.id = presence.run_id) WHERE left_at_ms IS NULL AND run_id IN \
             (SELECT id FROM server_runs WHERE id <> $1 AND beat_at_ms < $2)",
        )
        .bind(own)
        .bind(since.ms())
        .execute(self.connection())
        .await?;
        sqlx::query("DELETE FROM server_runs WHERE id <> $1 AND beat_at_ms < $2")
            .bind(own)
            .bind(since.ms())
            .execute(self.connection())
            .await?;
        rows.iter().map(meeting).collect()
    }

    pub async fn attendance_facts(&mut self, meeting: &MeetingId, from: Moment) -> Result<Facts> {
        facts(self.connection(), meeting, from).await
    }

    pub async fn people_present(&mut self, meeting: &MeetingId) -> Result<Vec<Person>> {
        present(self.connection(), meeting).await
    }
}

impl Store {
    /// Whom this server has in meetings, as far as is written down.
    pub async fn open_stays(&self, run: &str) -> Result<HashSet<String>> {
        let rows = sqlx::query("SELECT participant FROM presence WHERE run_id = $1 AND left_at_ms IS NULL")
            .bind(run)
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Whether [`Write::end_stays_of_the_dead`] would find a run.
    pub async fn has_dead_runs(&self, own: &str, since: Moment) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM server_runs WHERE id <> $1 AND beat_at_ms < $2 LIMIT 1")
            .bind(own)
            .bind(since.ms())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        Ok(row.is_some())
    }

    /// Who is invited, and the stays that were not over at `from`.
    pub async fn attendance_facts(&self, meeting: &MeetingId, from: Moment) -> Result<Facts> {
        facts(&mut *self.reader().await?, meeting, from).await
    }

    /// Those who are in the meeting's room now.
    pub async fn people_present(&self, meeting: &MeetingId) -> Result<Vec<Person>> {
        present(&mut *self.reader().await?, meeting).await
    }
}

async fn facts(connection: &mut AnyConnection, meeting: &MeetingId, from: Moment) -> Result<Facts> {
    let people =
        sqlx::query("SELECT id, role, specialty, revoked_at_ms FROM invitations WHERE meeting_id = $1 ORDER BY id")
            .bind(meeting.as_str())
            .fetch_all(&mut *connection)
            .await?;
    let stays = sqlx::query(
        "SELECT invitation_id, joined_at_ms, left_at_ms FROM presence WHERE meeting_id = $1 \
         AND (left_at_ms IS NULL OR left_at_ms > $2) ORDER BY joined_at_ms LIMIT $3",
    )
    .bind(meeting.as_str())
    .bind(from.ms())
    .bind(STAYS_MAX)
    .fetch_all(connection)
    .await?;
    Ok(Facts {
        people: people.iter().map(person).collect::<Result<_>>()?,
        stays: stays.iter().map(stay).collect::<Result<_>>()?,
    })
}

async fn present(connection: &mut AnyConnection, meeting: &MeetingId) -> Result<Vec<Person>> {
    let rows = sqlx::query(
        "SELECT id, role, specialty, revoked_at_ms FROM invitations WHERE id IN \
         (SELECT invitation_id FROM presence WHERE meeting_id = $1 AND left_at_ms IS NULL) ORDER BY id",
    )
    .bind(meeting.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(person).collect()
}

fn damaged(what: &str) -> StoreError {
    StoreError::corrupt(format!("{what} of somebody present"))
}

fn meeting(row: &AnyRow) -> Result<MeetingId> {
    MeetingId::parse(row.try_get(0)?).ok_or_else(|| damaged("the meeting"))
}

fn person(row: &AnyRow) -> Result<Person> {
    let specialty: Option<String> = row.try_get(2)?;
    Ok(Person {
        invitation: InvitationId::parse(row.try_get(0)?).ok_or_else(|| damaged("the invitation"))?,
        role: Role::from_name(row.try_get(1)?).ok_or_else(|| damaged("the role"))?,
        specialty: specialty.map(|text| Name::new(&text).map_err(|_| damaged("the specialty"))).transpose()?,
        is_revoked: row.try_get::<Option<i64>, _>(3)?.is_some(),
    })
}

fn stay(row: &AnyRow) -> Result<Stay> {
    let to: Option<i64> = row.try_get(2)?;
    Ok(Stay {
        invitation: InvitationId::parse(row.try_get(0)?).ok_or_else(|| damaged("the invitation"))?,
        span: Span::new(Moment::from_ms(row.try_get(1)?), to.map(Moment::from_ms)),
    })
}
