//! Endpoints that are told what happens. Their secrets are sealed: the key is not in the database ([`crate::vault`]).

use super::{Result, Store, StoreError, Write};
use crate::ids::WebhookId;
use crate::moment::Moment;
use crate::webhooks::endpoint::Endpoint;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

macro_rules! columns {
    () => {
        "SELECT id, url, kinds, sealed_secret, is_enabled, after_sequence, version, created_at_ms, updated_at_ms FROM webhooks"
    };
}

impl Write {
    pub async fn insert_webhook(&mut self, endpoint: &Endpoint) -> Result<()> {
        let statement = "INSERT INTO webhooks (url, kinds, sealed_secret, is_enabled, version, updated_at_ms, id, \
             after_sequence, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        bind(statement, endpoint)
            .bind(endpoint.after_sequence)
            .bind(endpoint.created_at.ms())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The caller has read the endpoint in this transaction, so its version is the stored one.
    pub async fn update_webhook(&mut self, endpoint: &Endpoint) -> Result<()> {
        let statement = "UPDATE webhooks SET url = $1, kinds = $2, sealed_secret = $3, is_enabled = $4, version = $5, \
             updated_at_ms = $6 WHERE id = $7";
        match bind(statement, endpoint).execute(self.connection()).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::NotFound),
        }
    }

    /// With everything that it was told or was to be.
    pub async fn delete_webhook(&mut self, id: &WebhookId) -> Result<()> {
        sqlx::query("DELETE FROM outbox WHERE target = $1").bind(id.as_str()).execute(self.connection()).await?;
        sqlx::query("DELETE FROM webhooks WHERE id = $1").bind(id.as_str()).execute(self.connection()).await?;
        Ok(())
    }

    pub async fn webhook(&mut self, id: &WebhookId) -> Result<Endpoint> {
        find(self.connection(), id).await
    }

    pub async fn webhooks(&mut self) -> Result<Vec<Endpoint>> {
        all(self.connection()).await
    }
}

impl Store {
    pub async fn webhook(&self, id: &WebhookId) -> Result<Endpoint> {
        find(&mut *self.reader().await?, id).await
    }

    /// All of them, in the order in which they were made; there are few ([`crate::webhooks::endpoint::ENDPOINTS_MAX`]).
    pub async fn webhooks(&self) -> Result<Vec<Endpoint>> {
        all(&mut *self.reader().await?).await
    }
}

fn bind<'q>(
    statement: &'static str,
    endpoint: &Endpoint,
) -> sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments> {
    sqlx::query(statement)
        .bind(endpoint.url.clone())
        .bind(serde_json::json!(endpoint.kinds).to_string())
        .bind(endpoint.sealed_secret.clone())
        .bind(i64::from(endpoint.is_enabled))
        .bind(endpoint.version)
        .bind(endpoint.updated_at.ms())
        .bind(endpoint.id.as_str().to_owned())
}

async fn find(connection: &mut AnyConnection, id: &WebhookId) -> Result<Endpoint> {
    let row = sqlx::query(concat!(columns!(), " WHERE id = $1")).bind(id.as_str()).fetch_one(connection).await?;
    endpoint(&row)
}

async fn all(connection: &mut AnyConnection) -> Result<Vec<Endpoint>> {
    let rows = sqlx::query(concat!(columns!(), " ORDER BY id")).fetch_all(connection).await?;
    rows.iter().map(endpoint).collect()
}

fn endpoint(row: &AnyRow) -> Result<Endpoint> {
    let damaged = |what: &str| StoreError::corrupt(format!("{what} of a webhook"));
    let (id, kinds): (String, String) = (row.try_get(0)?, row.try_get(2)?);
    Ok(Endpoint {
        id: WebhookId::parse(&id).ok_or_else(|| damaged("the identifier"))?,
        url: row.try_get(1)?,
        kinds: serde_json::from_str(&kinds).map_err(|_| damaged("the kinds"))?,
        sealed_secret: row.try_get(3)?,
        is_enabled: row.try_get::<i64, _>(4)? != 0,
        after_sequence: row.try_get(5)?,
        version: row.try_get(6)?,
        created_at: Moment::from_ms(row.try_get(7)?),
        updated_at: Moment::from_ms(row.try_get(8)?),
    })
}
