//! Invitations to meetings.

use super::{Result, Store, StoreError, Write};
use crate::identity::secret::SecretHash;
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::invitation::{Email, Invitation, Role};
use crate::moment::Moment;
use crate::text::Name;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

macro_rules! columns {
    () => {
        "SELECT id, meeting_id, name, role, specialty, site, email, link_hash, link_expires_at_ms, revoked_at_ms, version, \
         created_at_ms, link_renewed_at_ms FROM invitations"
    };
}

impl Write {
    pub async fn insert_invitation(&mut self, invitation: &Invitation) -> Result<()> {
        let statement = "INSERT INTO invitations (name, role, specialty, site, email, link_hash, link_expires_at_ms, \
             revoked_at_ms, version, link_renewed_at_ms, id, meeting_id, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        bind(statement, invitation)
            .bind(invitation.meeting.as_str().to_owned())
            .bind(invitation.created_at.ms())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The caller has read the invitation in this transaction, so its version is the stored one.
    pub async fn update_invitation(&mut self, invitation: &Invitation) -> Result<()> {
        let statement = "UPDATE invitations SET name = $1, role = $2, specialty = $3, site = $4, email = $5, link_hash = $6, \
             link_expires_at_ms = $7, revoked_at_ms = $8, version = $9, link_renewed_at_ms = $10 \
             WHERE id = $11";
        match bind(statement, invitation).execute(self.connection()).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::NotFound),
        }
    }

    pub async fn invitation(&mut self, id: &InvitationId) -> Result<Invitation> {
        find(self.connection(), id).await
    }

    /// Who has the chair of a meeting.
    pub async fn chairs(&mut self, meeting: &MeetingId) -> Result<Vec<Invitation>> {
        let rows = sqlx::query(concat!(
            columns!(),
            " WHERE meeting_id = $1 AND role = $2 AND revoked_at_ms IS NULL ORDER BY id"
        ))
        .bind(meeting.as_str())
        .bind(Role::Chair.name())
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(invitation).collect()
    }

    pub async fn invitation_count(&mut self, meeting: &MeetingId) -> Result<i64> {
        let row = sqlx::query("SELECT COUNT(*) FROM invitations WHERE meeting_id = $1")
            .bind(meeting.as_str())
            .fetch_one(self.connection())
            .await?;
        Ok(row.try_get(0)?)
    }
}

impl Store {
    pub async fn invitation(&self, id: &InvitationId) -> Result<Invitation> {
        find(&mut *self.reader().await?, id).await
    }

    /// In the order in which they were made.
    pub async fn invitations(
        &self,
        meeting: &MeetingId,
        after: Option<&InvitationId>,
        limit: i64,
    ) -> Result<Vec<Invitation>> {
        let rows = sqlx::query(concat!(columns!(), " WHERE meeting_id = $1 AND id > $2 ORDER BY id LIMIT $3"))
            .bind(meeting.as_str())
            .bind(after.map_or("", InvitationId::as_str))
            .bind(limit)
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(invitation).collect()
    }

    /// Those of an address to meetings that take place and are not over at `from`, newest first.
    pub async fn invitations_of(&self, email: &Email, from: Moment, limit: i64) -> Result<Vec<Invitation>> {
        let rows = sqlx::query(concat!(
            columns!(),
            " WHERE LOWER(email) = $1 AND revoked_at_ms IS NULL AND meeting_id IN \
             (SELECT id FROM meetings WHERE status = 'scheduled' AND ends_at_ms > $2) ORDER BY id DESC LIMIT $3"
        ))
        .bind(email.as_str().to_ascii_lowercase())
        .bind(from.ms())
        .bind(limit)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(invitation).collect()
    }
}

impl Store {
    /// Who runs the meeting, as the invitations are now.
    pub async fn hosts(&self, meeting: &MeetingId) -> Result<Vec<InvitationId>> {
        let rows = sqlx::query(
            "SELECT id FROM invitations WHERE meeting_id = $1 AND revoked_at_ms IS NULL AND role IN ($2, $3) ORDER BY id",
        )
        .bind(meeting.as_str())
        .bind(Role::Chair.name())
        .bind(Role::Coordinator.name())
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get(0)?;
                InvitationId::parse(&id).ok_or_else(|| StoreError::corrupt("the identifier of an invitation"))
            })
            .collect()
    }
}

fn bind<'q>(
    statement: &'static str,
    invitation: &Invitation,
) -> sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments> {
    let text = |name: &Option<Name>| name.as_ref().map(|name| name.as_str().to_owned());
    sqlx::query(statement)
        .bind(invitation.name.as_str().to_owned())
        .bind(invitation.role.name())
        .bind(text(&invitation.specialty))
        .bind(text(&invitation.site))
        .bind(invitation.email.as_ref().map(|email| email.as_str().to_owned()))
        .bind(invitation.link_hash.as_str().to_owned())
        .bind(invitation.link_expires_at.ms())
        .bind(invitation.revoked_at.map(Moment::ms))
        .bind(invitation.version)
        .bind(invitation.link_renewed_at.map(Moment::ms))
        .bind(invitation.id.as_str().to_owned())
}

async fn find(connection: &mut AnyConnection, id: &InvitationId) -> Result<Invitation> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1")).bind(id.as_str()).fetch_one(connection).await?;
    invitation(&row)
}

fn invitation(row: &AnyRow) -> Result<Invitation> {
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of an invitation"));
    let text = |column: usize| row.try_get::<String, _>(column);
    let name = |column: usize, what: &str| -> Result<Option<Name>> {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| Name::new(&text).map_err(|_| damaged(what))).transpose()
    };
    let email: Option<String> = row.try_get(6)?;
    Ok(Invitation {
        id: InvitationId::parse(&text(0)?).ok_or_else(|| damaged("the identifier"))?,
        meeting: MeetingId::parse(&text(1)?).ok_or_else(|| damaged("the meeting"))?,
        name: name(2, "the name")?.ok_or_else(|| damaged("the name"))?,
        role: Role::from_name(&text(3)?).ok_or_else(|| damaged("the role"))?,
        specialty: name(4, "the specialty")?,
        site: name(5, "the site")?,
        email: email.map(|email| Email::new(&email).ok_or_else(|| damaged("the address"))).transpose()?,
        link_hash: SecretHash::from_stored(text(7)?),
        link_expires_at: Moment::from_ms(row.try_get(8)?),
        revoked_at: row.try_get::<Option<i64>, _>(9)?.map(Moment::from_ms),
        version: row.try_get(10)?,
        created_at: Moment::from_ms(row.try_get(11)?),
        link_renewed_at: row.try_get::<Option<i64>, _>(12)?.map(Moment::from_ms),
    })
}
