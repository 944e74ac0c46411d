//! Meetings that are being held, and where people stand at their doors. Rows go when a gathering ends: nothing here is a record
//! of who was there.

use super::{Result, Store, StoreError, Write};
use crate::identity::secret::SecretHash;
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::lobby::{Gathering, Place, Standing};
use crate::moment::Moment;
use crate::text::Name;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// Gatherings looked through at a time.
const IDLE_MAX: i64 = 100;

macro_rules! places {
    () => {
        "SELECT invitation_id, meeting_id, standing, message, ticket_hash, changed_at_ms, version, is_used FROM places"
    };
}

macro_rules! gatherings {
    () => {
        "SELECT meeting_id, is_locked, ended_at_ms, occupied_at_ms FROM gatherings"
    };
}

impl Write {
    pub async fn place(&mut self, invitation: &InvitationId) -> Result<Option<Place>> {
        find_place(self.connection(), invitation).await
    }

    pub async fn places(&mut self, meeting: &MeetingId) -> Result<Vec<Place>> {
        all_places(self.connection(), meeting).await
    }

    pub async fn put_place(&mut self, place: &Place) -> Result<()> {
        sqlx::query(
            "INSERT INTO places (invitation_id, meeting_id, standing, message, ticket_hash, changed_at_ms, version, \
             is_used) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (invitation_id) DO UPDATE SET standing = excluded.standing, \
             message = excluded.message, ticket_hash = excluded.ticket_hash, changed_at_ms = excluded.changed_at_ms, \
             version = excluded.version, is_used = excluded.is_used",
        )
        .bind(place.invitation.as_str())
        .bind(place.meeting.as_str())
        .bind(place.standing.name())
        .bind(place.message.as_ref().map(|message| message.as_str().to_owned()))
        .bind(place.ticket_hash.as_ref().map(|hash| hash.as_str().to_owned()))
        .bind(place.changed_at.ms())
        .bind(place.version)
        .bind(i64::from(place.is_used))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn gathering(&mut self, meeting: &MeetingId) -> Result<Option<Gathering>> {
        find_gathering(self.connection(), meeting).await
    }

    pub async fn put_gathering(&mut self, gathering: &Gathering) -> Result<()> {
        sqlx::query(
            "INSERT INTO gatherings (meeting_id, is_locked, ended_at_ms, occupied_at_ms) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (meeting_id) DO UPDATE SET is_locked = excluded.is_locked, ended_at_ms = excluded.ended_at_ms, \
             occupied_at_ms = excluded.occupied_at_ms",
        )
        .bind(gathering.meeting.as_str())
        .bind(i64::from(gathering.is_locked))
        .bind(gathering.ended_at.map(Moment::ms))
        .bind(gathering.occupied_at.ms())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Nobody stands at the door any more.
    pub async fn delete_places(&mut self, meeting: &MeetingId) -> Result<()> {
        sqlx::query("DELETE FROM places WHERE meeting_id = $1")
            .bind(meeting.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn delete_gathering(&mut self, meeting: &MeetingId) -> Result<()> {
        sqlx::query("DELETE FROM gatherings WHERE meeting_id = $1")
            .bind(meeting.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Somebody is in the room of this meeting, or at its door.
    pub async fn touch_gathering(&mut self, meeting: &MeetingId, now: Moment) -> Result<Gathering> {
        let known = self.gathering(meeting).await?.unwrap_or_else(|| Gathering::new(meeting.clone(), now));
        let gathering = Gathering { occupied_at: now.max(known.occupied_at), ..known };
        self.put_gathering(&gathering).await?;
        Ok(gathering)
    }
}

impl Store {
    pub async fn place(&self, invitation: &InvitationId) -> Result<Option<Place>> {
        find_place(&mut *self.reader().await?, invitation).await
    }

    pub async fn places(&self, meeting: &MeetingId) -> Result<Vec<Place>> {
        all_places(&mut *self.reader().await?, meeting).await
    }

    pub async fn gathering(&self, meeting: &MeetingId) -> Result<Option<Gathering>> {
        find_gathering(&mut *self.reader().await?, meeting).await
    }

    /// Gatherings that go on, and in which nobody was seen since `before`; the oldest first.
    pub async fn unused_gatherings(&self, before: Moment) -> Result<Vec<Gathering>> {
        let rows = sqlx::query(concat!(
            gatherings!(),
            " WHERE occupied_at_ms <= $1 AND ended_at_ms IS NULL ORDER BY occupied_at_ms LIMIT $2"
        ))
        .bind(before.ms())
        .bind(IDLE_MAX)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(gathering).collect()
    }
}

async fn find_place(connection: &mut AnyConnection, invitation: &InvitationId) -> Result<Option<Place>> {
    let row = sqlx::query(concat!(places!(), " WHERE invitation_id = $1"))
        .bind(invitation.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(place).transpose()
}

/// As many as the meeting has invitations at most.
async fn all_places(connection: &mut AnyConnection, meeting: &MeetingId) -> Result<Vec<Place>> {
    let rows = sqlx::query(concat!(places!(), " WHERE meeting_id = $1 ORDER BY invitation_id"))
        .bind(meeting.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(place).collect()
}

async fn find_gathering(connection: &mut AnyConnection, meeting: &MeetingId) -> Result<Option<Gathering>> {
    let row = sqlx::query(concat!(gatherings!(), " WHERE meeting_id = $1"))
        .bind(meeting.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(gathering).transpose()
}

fn place(row: &AnyRow) -> Result<Place> {
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of a place"));
    let text = |column: usize| row.try_get::<String, _>(column);
    let message: Option<String> = row.try_get(3)?;
    Ok(Place {
        invitation: InvitationId::parse(&text(0)?).ok_or_else(|| damaged("the invitation"))?,
        meeting: MeetingId::parse(&text(1)?).ok_or_else(|| damaged("the meeting"))?,
        standing: Standing::from_name(&text(2)?).ok_or_else(|| damaged("the standing"))?,
        message: message.map(|text| Name::new(&text).map_err(|_| damaged("the message"))).transpose()?,
        ticket_hash: row.try_get::<Option<String>, _>(4)?.map(SecretHash::from_stored),
        changed_at: Moment::from_ms(row.try_get(5)?),
        version: row.try_get(6)?,
        is_used: row.try_get::<i64, _>(7)? != 0,
    })
}

fn gathering(row: &AnyRow) -> Result<Gathering> {
    let meeting: String = row.try_get(0)?;
    Ok(Gathering {
        meeting: MeetingId::parse(&meeting).ok_or_else(|| StoreError::corrupt("the meeting of a gathering"))?,
        is_locked: row.try_get::<i64, _>(1)? != 0,
        ended_at: row.try_get::<Option<i64>, _>(2)?.map(Moment::from_ms),
        occupied_at: Moment::from_ms(row.try_get(3)?),
    })
}
