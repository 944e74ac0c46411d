//! Endpoints that are told what happens: made, changed, taken away, given a new secret.

use super::Api;
use super::caller::Known;
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path, Query, present};
use super::page::{Page, PageQuery, read_cursor};
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::{Action, Caller, may};
use crate::ids::WebhookId;
use crate::moment::Moment;
use crate::outbox::Channel;
use crate::store::Write;
use crate::store::audit::NewEntry;
use crate::vault::Purpose;
use crate::webhooks::endpoint::{ENDPOINTS_MAX, Endpoint, new_secret};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const PATH: &str = "/api/v1/webhooks";
/// How cursors name this list.
const LIST: &str = "webhooks";

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(new_secret_of))
}

/// An endpoint, without its secret.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Webhook)]
struct Shown {
    /// Also the key that signatures name (`iss`).
    id: WebhookId,
    url: String,
    kinds: Vec<String>,
    is_enabled: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Moment,
}

impl From<Endpoint> for Shown {
    fn from(Endpoint { id, url, kinds, is_enabled, created_at, updated_at, .. }: Endpoint) -> Self {
        Self { id, url, kinds, is_enabled, created_at, updated_at }
    }
}

/// An endpoint with its secret, which is shown once.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NewWebhook)]
struct WithSecret {
    #[serde(flatten)]
    webhook: Shown,
    /// Verifies what is sent: the `Authorization` of each request is a JSON Web Token signed with it (HS256), whose claim
    /// `sha256` is the base64 of the SHA-256 of the body.
    secret: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = WebhookRequest)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Over https, at a public address unless the server permits others.
    #[schema(max_length = 2048)]
    url: String,
    /// Kinds of events, like `meeting.created`, or `meeting.*` for all of them. None: every kind.
    #[serde(default)]
    #[schema(max_items = 64)]
    kinds: Vec<String>,
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[schema(as = WebhookChange)]
#[serde(deny_unknown_fields, default)]
struct Change {
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false, max_length = 2048)]
    url: Option<String>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false, max_items = 64)]
    kinds: Option<Vec<String>>,
    /// While it is not enabled, it is told nothing of what happens, and what was on its way waits.
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    is_enabled: Option<bool>,
}

/// List endpoints, in the order in which they were made.
#[utoipa::path(get, path = PATH, operation_id = "list_webhooks", tag = "Webhooks", params(PageQuery),
    responses((status = 200, body = Page<Shown>)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    let after: Option<WebhookId> = query.cursor.as_deref().map(|cursor| read_cursor(LIST, cursor)).transpose()?;
    let mut rows = api.store.webhooks().await?;
    rows.retain(|row| after.as_ref().is_none_or(|after| row.id > *after));
    Ok(axum::Json(Page::new(rows, query.limit, LIST, |row| row.id.clone(), Shown::from)))
}

/// Make an endpoint. It is told what happens from now on.
#[utoipa::path(post, path = PATH, operation_id = "create_webhook", tag = "Webhooks", request_body = Asked,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = WithSecret, headers(("ETag" = String), ("Location" = String))),
        (status = 409, body = ProblemBody)))]
async fn create(
    State(api): State<Api>,
    Known(caller): Known,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: asked, bytes }: Json<Asked>,
) -> Result<Created, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    Endpoint::check(&asked.url, &asked.kinds, api.outward.reach)?;
    let now = Moment::now();
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, PATH, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    if write.webhooks().await?.len() >= ENDPOINTS_MAX {
        return Err(Code::TooMany.into());
    }
    let (id, secret) = (WebhookId::new(now), new_secret());
    let endpoint = Endpoint {
        sealed_secret: seal(&api, &id, &secret)?,
        id,
        url: asked.url,
        kinds: asked.kinds,
        is_enabled: true,
        // Nobody writes an event while this transaction has the lock.
        after_sequence: api.store.last_event().await?,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    write.insert_webhook(&endpoint).await?;
    record(&mut write, &caller, "webhook.created", &endpoint.id, now).await?;
    let (location, version) = (format!("{PATH}/{}", endpoint.id), endpoint.version);
    let shown = WithSecret { webhook: endpoint.into(), secret };
    creation.commit(write, Created::new(location, version, &shown)?, now).await
}

/// Read an endpoint.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}", operation_id = "get_webhook", tag = "Webhooks", params(("id" = WebhookId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<WebhookId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    let endpoint = api.store.webhook(&id).await?;
    Ok((etag(endpoint.version), axum::Json(Shown::from(endpoint))))
}

/// Change an endpoint. What is on its way goes to the new address.
#[utoipa::path(patch, path = "/api/v1/webhooks/{id}", operation_id = "update_webhook", tag = "Webhooks", request_body = Change,
    params(("id" = WebhookId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn update(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<WebhookId>,
    seen: IfMatch,
    Json { value: change, .. }: Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut endpoint = write.webhook(&id).await?;
    seen.check(endpoint.version)?;
    endpoint.url = change.url.unwrap_or(endpoint.url);
    endpoint.kinds = change.kinds.unwrap_or(endpoint.kinds);
    endpoint.is_enabled = change.is_enabled.unwrap_or(endpoint.is_enabled);
    Endpoint::check(&endpoint.url, &endpoint.kinds, api.outward.reach)?;
    store_change(&mut write, &caller, "webhook.updated", &mut endpoint, now).await?;
    write.hold(id.as_str(), !endpoint.is_enabled).await?;
    write.commit().await?;
    api.outward.bell.ring(Channel::Webhook);
    Ok((etag(endpoint.version), axum::Json(Shown::from(endpoint))))
}

/// Take an endpoint away, with everything that was still on its way to it.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", operation_id = "delete_webhook", tag = "Webhooks",
    params(("id" = WebhookId, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody)))]
async fn delete(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<WebhookId>,
    seen: IfMatch,
) -> Result<StatusCode, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    seen.check(write.webhook(&id).await?.version)?;
    write.delete_webhook(&id).await?;
    record(&mut write, &caller, "webhook.deleted", &id, now).await?;
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give an endpoint a new secret. What is sent from now on is signed with it.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/secret", operation_id = "renew_webhook_secret", tag = "Webhooks",
    params(("id" = WebhookId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = WithSecret, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn new_secret_of(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<WebhookId>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut endpoint = write.webhook(&id).await?;
    seen.check(endpoint.version)?;
    let secret = new_secret();
    endpoint.sealed_secret = seal(&api, &id, &secret)?;
    store_change(&mut write, &caller, "webhook.secret_renewed", &mut endpoint, now).await?;
    write.commit().await?;
    Ok((etag(endpoint.version), axum::Json(WithSecret { webhook: endpoint.into(), secret })))
}

fn seal(api: &Api, id: &WebhookId, secret: &str) -> Result<String, Problem> {
    api.outward.vault.seal(Purpose::Webhook, id.as_str(), secret).ok_or_else(|| Code::Internal.into())
}

async fn store_change(
    write: &mut Write,
    caller: &Caller,
    action: &'static str,
    endpoint: &mut Endpoint,
    now: Moment,
) -> Result<(), Problem> {
    endpoint.version += 1;
    endpoint.updated_at = now;
    write.update_webhook(endpoint).await?;
    record(write, caller, action, &endpoint.id, now).await
}

/// Endpoints are the operator's own: what is done to them is for the audit log, and no news for those who listen.
async fn record(
    write: &mut Write,
    caller: &Caller,
    action: &'static str,
    id: &WebhookId,
    now: Moment,
) -> Result<(), Problem> {
    let (actor, subject) = (caller.subject.as_str(), id.as_str());
    Ok(write.append_audit(now, &NewEntry { actor, action, subject, details: &[] }).await?)
}
