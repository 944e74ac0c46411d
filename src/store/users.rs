//! People with an account.

use super::{Result, Store, StoreError, Write};
use crate::identity::SiteRole;
use crate::identity::account::{Login, Proof, ProviderId, ProviderSubject, User};
use crate::identity::password::PasswordHash;
use crate::ids::UserId;
use crate::meetings::invitation::Email;
use crate::moment::Moment;
use crate::text::Name;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{AnyConnection, Row};

macro_rules! columns {
    () => {
        "SELECT id, name, email, organisation, role, login, password_hash, provider, provider_subject, disabled_at_ms, \
         version, created_at_ms, updated_at_ms FROM users"
    };
}

impl Write {
    /// A conflict where the login is taken.
    pub async fn insert_user(&mut self, user: &User) -> Result<()> {
        let statement = "INSERT INTO users (name, email, organisation, role, login, password_hash, provider, provider_subject, \
             disabled_at_ms, version, updated_at_ms, id, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        bind(statement, user).bind(user.created_at.ms()).execute(self.connection()).await?;
        Ok(())
    }

    /// The caller has read the user in this transaction, so its version is the stored one.
    pub async fn update_user(&mut self, user: &User) -> Result<()> {
        let statement = "UPDATE users SET name = $1, email = $2, organisation = $3, role = $4, login = $5, \
             password_hash = $6, provider = $7, provider_subject = $8, disabled_at_ms = $9, version = $10, updated_at_ms = $11 \
             WHERE id = $12";
        match bind(statement, user).execute(self.connection()).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::NotFound),
        }
    }

    pub async fn user(&mut self, id: &UserId) -> Result<User> {
        find(self.connection(), id).await
    }

    pub async fn user_by_login(&mut self, login: &Login) -> Result<User> {
        by_login(self.connection(), login).await
    }

    /// Whom the provider names so, if they have been here before.
    pub async fn user_of_provider(&mut self, provider: &ProviderId, subject: &ProviderSubject) -> Result<Option<User>> {
        let row = sqlx::query(concat!(columns!(), " WHERE provider = $1 AND provider_subject = $2"))
            .bind(provider.as_str())
            .bind(subject.as_str())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(user).transpose()
    }

    /// Administrators who can sign in.
    pub async fn administrator_count(&mut self) -> Result<i64> {
        let row = sqlx::query("SELECT COUNT(*) FROM users WHERE role = $1 AND disabled_at_ms IS NULL")
            .bind(SiteRole::Administrator.name())
            .fetch_one(self.connection())
            .await?;
        Ok(row.try_get(0)?)
    }
}

impl Store {
    pub async fn user(&self, id: &UserId) -> Result<User> {
        find(&mut *self.reader().await?, id).await
    }

    pub async fn user_by_login(&self, login: &Login) -> Result<User> {
        by_login(&mut *self.reader().await?, login).await
    }

    /// Newest first, older than `before` where it is given.
    pub async fn users(&self, before: Option<&UserId>, limit: i64) -> Result<Vec<User>> {
        let rows = sqlx::query(concat!(columns!(), " WHERE ($1 = '' OR id < $1) ORDER BY id DESC LIMIT $2"))
            .bind(before.map_or("", UserId::as_str))
            .bind(limit)
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(user).collect()
    }

    /// Whether there is an account at all.
    pub async fn has_users(&self) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(&mut *self.reader().await?).await?;
        Ok(row.is_some())
    }
}

fn bind<'q>(statement: &'static str, user: &User) -> Query<'q, sqlx::Any, AnyArguments> {
    let (login, hash, provider, subject) = match &user.proof {
        Proof::Password { login, hash } => (Some(login.as_str()), Some(hash.as_str()), None, None),
        Proof::Provider { provider, subject } => (None, None, Some(provider.as_str()), Some(subject.as_str())),
    };
    sqlx::query(statement)
        .bind(user.name.as_str().to_owned())
        .bind(user.email.as_ref().map(|email| email.as_str().to_owned()))
        .bind(user.organisation.as_ref().map(|name| name.as_str().to_owned()))
        .bind(user.role.name())
        .bind(login.map(str::to_owned))
        .bind(hash.map(str::to_owned))
        .bind(provider.map(str::to_owned))
        .bind(subject.map(str::to_owned))
        .bind(user.disabled_at.map(Moment::ms))
        .bind(user.version)
        .bind(user.updated_at.ms())
        .bind(user.id.as_str().to_owned())
}

async fn find(connection: &mut AnyConnection, id: &UserId) -> Result<User> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1")).bind(id.as_str()).fetch_one(connection).await?;
    user(&row)
}

async fn by_login(connection: &mut AnyConnection, login: &Login) -> Result<User> {
    let row = sqlx::query(concat!(columns!(), " WHERE login = $1")).bind(login.as_str()).fetch_one(connection).await?;
    user(&row)
}

fn user(row: &AnyRow) -> Result<User> {
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of a user"));
    let text = |column: usize| row.try_get::<String, _>(column);
    let optional = |column: usize| row.try_get::<Option<String>, _>(column);
    let organisation = optional(3)?.map(|name| Name::new(&name).map_err(|_| damaged("the organisation")));
    Ok(User {
        id: UserId::parse(&text(0)?).ok_or_else(|| damaged("the identifier"))?,
        name: Name::new(&text(1)?).map_err(|_| damaged("the name"))?,
        email: optional(2)?.map(|email| Email::new(&email).ok_or_else(|| damaged("the address"))).transpose()?,
        organisation: organisation.transpose()?,
        role: SiteRole::from_name(&text(4)?).ok_or_else(|| damaged("the role"))?,
        proof: proof([optional(5)?, optional(6)?, optional(7)?, optional(8)?])
            .ok_or_else(|| damaged("what proves the name"))?,
        disabled_at: row.try_get::<Option<i64>, _>(9)?.map(Moment::from_ms),
        version: row.try_get(10)?,
        created_at: Moment::from_ms(row.try_get(11)?),
        updated_at: Moment::from_ms(row.try_get(12)?),
    })
}

fn proof(columns: [Option<String>; 4]) -> Option<Proof> {
    match columns {
        [Some(login), Some(hash), None, None] => {
            Some(Proof::Password { login: Login::new(&login)?, hash: PasswordHash::from_stored(hash) })
        }
        [None, None, Some(provider), Some(subject)] => {
            Some(Proof::Provider { provider: ProviderId::new(&provider)?, subject: ProviderSubject::new(&subject)? })
        }
        _ => None,
    }
}
