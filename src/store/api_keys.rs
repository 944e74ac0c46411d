//! The keys of the REST API.

use super::audit::{Detail, NewEntry};
use super::{Result, Store, StoreError, Write};
use crate::identity::Scope;
use crate::identity::api_key::ApiKeySecret;
use crate::identity::secret::SecretHash;
use crate::ids::ApiKeyId;
use crate::moment::Moment;
use crate::text::Name;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: ApiKeyId,
    /// What its maker calls it.
    pub name: String,
    pub secret_hash: SecretHash,
    pub scopes: Vec<Scope>,
    pub created_at: Moment,
    pub expires_at: Option<Moment>,
    pub revoked_at: Option<Moment>,
    pub version: i64,
}

impl ApiKey {
    pub fn is_valid(&self, now: Moment) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

macro_rules! columns {
    () => {
        "SELECT id, name, secret_hash, scopes, created_at_ms, expires_at_ms, revoked_at_ms, version FROM api_keys"
    };
}

impl Write {
    /// Makes a key. Its secret is in the result and nowhere else.
    pub async fn create_api_key(
        &mut self,
        actor: &str,
        name: Name,
        mut scopes: Vec<Scope>,
        expires_at: Option<Moment>,
        now: Moment,
    ) -> Result<(ApiKey, ApiKeySecret)> {
        scopes.sort();
        scopes.dedup();
        let secret = ApiKeySecret::new(ApiKeyId::new(now));
        let key = ApiKey {
            id: secret.id().clone(),
            name: name.into(),
            secret_hash: secret.hash(),
            scopes,
            created_at: now,
            expires_at,
            revoked_at: None,
            version: 1,
        };
        self.insert_api_key(&key).await?;
        let names = key.scopes.iter().map(|scope| scope.name()).collect();
        let details = [("scopes", Detail::Words(names))];
        let entry = NewEntry { actor, action: "api_key.created", subject: key.id.as_str(), details: &details };
        self.append_audit(now, &entry).await?;
        Ok((key, secret))
    }

    async fn insert_api_key(&mut self, key: &ApiKey) -> Result<()> {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
        sqlx::query(
            "INSERT INTO api_keys (id, name, secret_hash, scopes, created_at_ms, expires_at_ms, revoked_at_ms, version) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(key.id.as_str())
        .bind(&key.name)
        .bind(key.secret_hash.as_str())
        .bind(scopes.join(" "))
        .bind(key.created_at.ms())
        .bind(key.expires_at.map(Moment::ms))
        .bind(key.revoked_at.map(Moment::ms))
        .bind(key.version)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn api_key(&mut self, id: &ApiKeyId) -> Result<ApiKey> {
        find(self.connection(), id).await
    }

    /// Revoking a revoked key changes nothing and is no error.
    pub async fn revoke_api_key(&mut self, id: &ApiKeyId, now: Moment) -> Result<()> {
        sqlx::query(
            "UPDATE api_keys SET revoked_at_ms = $1, version = version + 1 WHERE id = $2 AND revoked_at_ms IS NULL",
        )
        .bind(now.ms())
        .bind(id.as_str())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

impl Store {
    pub async fn api_key(&self, id: &ApiKeyId) -> Result<ApiKey> {
        find(&mut *self.reader().await?, id).await
    }

    /// Newest first, older than `before` where it is given.
    pub async fn api_keys(&self, before: Option<&ApiKeyId>, limit: i64) -> Result<Vec<ApiKey>> {
        let mut connection = self.reader().await?;
        let rows = match before {
            Some(before) => {
                sqlx::query(concat!(columns!(), " WHERE id < $1 ORDER BY id DESC LIMIT $2"))
                    .bind(before.as_str())
                    .bind(limit)
                    .fetch_all(&mut *connection)
                    .await?
            }
            None => {
                sqlx::query(concat!(columns!(), " ORDER BY id DESC LIMIT $1"))
                    .bind(limit)
                    .fetch_all(&mut *connection)
                    .await?
            }
        };
        rows.iter().map(key).collect()
    }
}

async fn find(connection: &mut AnyConnection, id: &ApiKeyId) -> Result<ApiKey> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1")).bind(id.as_str()).fetch_one(connection).await?;
    key(&row)
}

fn key(row: &AnyRow) -> Result<ApiKey> {
    let id: String = row.try_get(0)?;
    let scopes: String = row.try_get(3)?;
    Ok(ApiKey {
        id: ApiKeyId::parse(&id).ok_or_else(|| StoreError::corrupt("the identifier of an API key"))?,
        name: row.try_get(1)?,
        secret_hash: SecretHash::from_stored(row.try_get(2)?),
        // A scope that this version does not know grants nothing.
        scopes: scopes.split(' ').filter_map(Scope::from_name).collect(),
        created_at: Moment::from_ms(row.try_get(4)?),
        expires_at: row.try_get::<Option<i64>, _>(5)?.map(Moment::from_ms),
        revoked_at: row.try_get::<Option<i64>, _>(6)?.map(Moment::from_ms),
        version: row.try_get(7)?,
    })
}
