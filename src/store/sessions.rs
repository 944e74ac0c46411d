//! Sessions of users. One that has ended is no row any more: what is not there opens nothing.

use super::{Result, Store, StoreError, Write};
use crate::identity::account::{ProviderId, User};
use crate::identity::secret::SecretHash;
use crate::identity::session::{IDLE, Origin, ProviderSession, SESSIONS_MAX, Session, SessionSecret, SignedOut};
use crate::ids::{SessionId, UserId};
use crate::moment::Moment;
use sqlx::Row;
use sqlx::any::AnyRow;

/// Sessions that are over, deleted with each new one, so that their number falls and no sign-in pays for all of them.
const SWEPT_MAX: i64 = 8;

macro_rules! columns {
    () => {
        "SELECT id, user_id, secret_hash, provider, provider_session, created_at_ms, seen_at_ms, expires_at_ms FROM sessions"
    };
}

impl Write {
    /// Makes room for it, among the user's own and among those that are over.
    pub async fn insert_session(&mut self, session: &Session) -> Result<()> {
        sqlx::query(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at_ms <= $1 ORDER BY expires_at_ms \
             LIMIT $2) OR id IN (SELECT id FROM sessions WHERE user_id = $3 ORDER BY created_at_ms DESC, id DESC \
             LIMIT 1000 OFFSET $4)",
        )
        .bind(session.created_at.ms())
        .bind(SWEPT_MAX)
        .bind(session.user.as_str())
        .bind(SESSIONS_MAX - 1)
        .execute(self.connection())
        .await?;
        sqlx::query(
            "INSERT INTO sessions (id, user_id, secret_hash, provider, provider_session, created_at_ms, seen_at_ms, \
             expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(session.id.as_str())
        .bind(session.user.as_str())
        .bind(session.secret_hash.as_str())
        .bind(session.origin.as_ref().map(|origin| origin.provider.as_str().to_owned()))
        .bind(session.origin.as_ref().and_then(|origin| Some(origin.session.as_ref()?.as_str().to_owned())))
        .bind(session.created_at.ms())
        .bind(session.seen_at.ms())
        .bind(session.expires_at.ms())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn note_session(&mut self, id: &SessionId, now: Moment) -> Result<()> {
        sqlx::query("UPDATE sessions SET seen_at_ms = $1 WHERE id = $2 AND seen_at_ms < $1")
            .bind(now.ms())
            .bind(id.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Whether it was there.
    pub async fn end_session(&mut self, id: &SessionId) -> Result<bool> {
        let result =
            sqlx::query("DELETE FROM sessions WHERE id = $1").bind(id.as_str()).execute(self.connection()).await?;
        Ok(result.rows_affected() > 0)
    }

    /// The session that a browser had before it gets another one, whoever it was of.
    pub async fn end_session_with(&mut self, secret: &SessionSecret) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE secret_hash = $1")
            .bind(secret.hash().as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Ends every session of a user. Tells how many there were.
    pub async fn end_sessions(&mut self, user: &UserId) -> Result<u64> {
        let result = sqlx::query("DELETE FROM sessions WHERE user_id = $1")
            .bind(user.as_str())
            .execute(self.connection())
            .await?;
        Ok(result.rows_affected())
    }

    /// Ends what a provider says is signed out, if it began before `before`. Tells whose sessions those were.
    pub async fn end_sessions_of_provider(
        &mut self,
        out: &SignedOut,
        before: Moment,
    ) -> Result<Vec<(SessionId, UserId)>> {
        // What is not named is a condition that always holds; one of both is named.
        let rows = sqlx::query(
            "DELETE FROM sessions WHERE provider = $1 AND ($2 = '' OR provider_session = $2) AND created_at_ms <= $4 \
             AND ($3 = '' OR user_id IN (SELECT id FROM users WHERE provider = $1 AND provider_subject = $3)) \
             RETURNING id, user_id",
        )
        .bind(out.provider.as_str())
        .bind(out.session.as_ref().map_or("", ProviderSession::as_str))
        .bind(out.subject.as_ref().map_or("", |subject| subject.as_str()))
        .bind(before.ms())
        .fetch_all(self.connection())
        .await?;
        rows.iter()
            .map(|row| {
                let (id, user): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                let damaged = || StoreError::corrupt("an identifier of a session");
                Ok((SessionId::parse(&id).ok_or_else(damaged)?, UserId::parse(&user).ok_or_else(damaged)?))
            })
            .collect()
    }
}

impl Store {
    /// A session that is alive, and whose it is, unless they are disabled.
    pub async fn session(&self, secret: &SessionSecret, now: Moment) -> Result<Option<(Session, User)>> {
        let row =
            sqlx::query(concat!(columns!(), " WHERE secret_hash = $1 AND expires_at_ms > $2 AND seen_at_ms > $3"))
                .bind(secret.hash().as_str())
                .bind(now.ms())
                .bind(now.ms() - i64::try_from(IDLE.as_millis()).unwrap_or(i64::MAX))
                .fetch_optional(&mut *self.reader().await?)
                .await?;
        self.alive(row.as_ref(), now).await
    }

    /// The same, of a session that was found before.
    pub async fn session_again(&self, id: &SessionId, now: Moment) -> Result<Option<(Session, User)>> {
        let row = sqlx::query(concat!(columns!(), " WHERE id = $1"))
            .bind(id.as_str())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        self.alive(row.as_ref(), now).await
    }

    async fn alive(&self, row: Option<&AnyRow>, now: Moment) -> Result<Option<(Session, User)>> {
        let Some(session) = row.map(session).transpose()? else { return Ok(None) };
        let user = self.user(&session.user).await?;
        Ok((session.is_alive(now) && user.disabled_at.is_none()).then_some((session, user)))
    }
}

fn session(row: &AnyRow) -> Result<Session> {
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of a session"));
    let text = |column: usize| row.try_get::<String, _>(column);
    let provider: Option<String> = row.try_get(3)?;
    let provider_session: Option<String> = row.try_get(4)?;
    let origin = |provider: String| {
        Some(Origin {
            provider: ProviderId::new(&provider)?,
            session: provider_session.as_deref().and_then(ProviderSession::new),
        })
    };
    Ok(Session {
        id: SessionId::parse(&text(0)?).ok_or_else(|| damaged("the identifier"))?,
        user: UserId::parse(&text(1)?).ok_or_else(|| damaged("the user"))?,
        secret_hash: SecretHash::from_stored(text(2)?),
        origin: provider.map(|provider| origin(provider).ok_or_else(|| damaged("the provider"))).transpose()?,
        created_at: Moment::from_ms(row.try_get(5)?),
        seen_at: Moment::from_ms(row.try_get(6)?),
        expires_at: Moment::from_ms(row.try_get(7)?),
    })
}
