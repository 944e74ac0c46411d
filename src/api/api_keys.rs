//! API keys by API: made, listed and revoked by whoever holds one with the scope `keys:admin`.

use super::Api;
use super::caller::Known;
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path, Query};
use super::page::{Page, PageQuery, read_cursor};
use super::problem::{Code, FieldError, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::{Action, Scope, may};
use crate::ids::ApiKeyId;
use crate::moment::Moment;
use crate::store::api_keys::ApiKey;
use crate::store::audit::NewEntry;
use crate::text::Name;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const PATH: &str = "/api/v1/api-keys";
/// How cursors name this list.
const LIST: &str = "api-keys";

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, revoke))
}

/// A key, without its secret.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ApiKey)]
struct Shown {
    id: ApiKeyId,
    name: String,
    scopes: Vec<Scope>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Moment>,
}

impl From<ApiKey> for Shown {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, scopes, created_at, expires_at, revoked_at, .. } = key;
        Self { id, name, scopes, created_at, expires_at, revoked_at }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NewApiKey)]
struct New {
    #[serde(flatten)]
    key: Shown,
    /// The whole key. It is shown here and never again.
    secret: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = ApiKeyRequest)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: Name,
    /// At least one; none that the caller does not have.
    #[schema(min_items = 1, max_items = 16)]
    scopes: Vec<Scope>,
    /// Absent: it does not expire.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
}

/// List API keys, newest first.
#[utoipa::path(get, path = PATH, operation_id = "list_api_keys", tag = "API keys", params(PageQuery),
    responses((status = 200, body = Page<Shown>)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadKeys)?;
    let before: Option<ApiKeyId> = query.cursor.as_deref().map(|cursor| read_cursor(LIST, cursor)).transpose()?;
    let keys = api.store.api_keys(before.as_ref(), query.limit.rows()).await?;
    Ok(axum::Json(Page::new(keys, query.limit, LIST, |key| key.id.clone(), Shown::from)))
}

/// Make an API key.
#[utoipa::path(post, path = PATH, operation_id = "create_api_key", tag = "API keys", request_body = Wanted,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = New, headers(("ETag" = String), ("Location" = String)))))]
async fn create(
    State(api): State<Api>,
    Known(caller): Known,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: wanted, bytes }: Json<Wanted>,
) -> Result<Created, Problem> {
    may(&caller, Action::CreateKey(&wanted.scopes))?;
    let now = Moment::now();
    check(&wanted, now)?;
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, PATH, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    let actor = caller.subject.as_str();
    let (key, secret) = write.create_api_key(actor, wanted.name, wanted.scopes, wanted.expires_at, now).await?;
    let location = format!("{PATH}/{}", key.id);
    let version = key.version;
    let created = Created::new(location, version, &New { key: key.into(), secret: secret.expose() })?;
    creation.commit(write, created, now).await
}

fn check(wanted: &Wanted, now: Moment) -> Result<(), Problem> {
    let mut errors = Vec::new();
    let mut error = |pointer: &str, detail: &str| {
        errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
    };
    if wanted.scopes.is_empty() || wanted.scopes.len() > 16 {
        error("/scopes", "A key has 1 to 16 scopes.");
    }
    if wanted.expires_at.is_some_and(|expiry| expiry <= now) {
        error("/expires_at", "This is over.");
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::fields(errors)) }
}

/// Read one API key.
#[utoipa::path(get, path = "/api/v1/api-keys/{id}", operation_id = "get_api_key", tag = "API keys", params(("id" = ApiKeyId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<ApiKeyId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadKeys)?;
    let key = api.store.api_key(&id).await?;
    Ok((etag(key.version), axum::Json(Shown::from(key))))
}

/// Revoke an API key. Requests with it are refused from then on.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", operation_id = "revoke_api_key", tag = "API keys",
    params(("id" = ApiKeyId, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn revoke(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<ApiKeyId>,
    seen: IfMatch,
) -> Result<StatusCode, Problem> {
    may(&caller, Action::RevokeKey)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let key = write.api_key(&id).await?;
    seen.check(key.version)?;
    if key.revoked_at.is_some() {
        return Err(Problem::new(Code::Conflict).with_detail("This key is revoked already."));
    }
    write.revoke_api_key(&id, now).await?;
    let actor = caller.subject.as_str();
    let entry = NewEntry { actor, action: "api_key.revoked", subject: id.as_str(), details: &[] };
    write.append_audit(now, &entry).await?;
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
