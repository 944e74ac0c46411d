//! What endpoints were told, are still to be told, or never will be unless somebody asks for it.

use super::Api;
use super::caller::Known;
use super::extract::{Path, Query};
use super::page::{Limit, Page, limit, read_cursor};
use super::problem::{Code, Problem, ProblemBody};
use crate::identity::{Action, Caller, may};
use crate::ids::{DeliveryId, WebhookId};
use crate::moment::Moment;
use crate::outbox::{Channel, Delivery, State};
use crate::store::Write;
use crate::store::audit::NewEntry;
use crate::store::outbox::Filter;
use axum::extract::State as Shared;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(redeliver))
}

/// One event on its way to one endpoint.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Delivery)]
struct Shown {
    id: DeliveryId,
    /// The `id` of what is told: the same at each attempt, and to each endpoint.
    event_id: String,
    event: String,
    state: State,
    attempts: u32,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    failure: Option<String>,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    due_at: Option<Moment>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    ended_at: Option<Moment>,
}

impl From<Delivery> for Shown {
    fn from(delivery: Delivery) -> Self {
        let Delivery { id, notice, kind, state, attempts, failure, due_at, created_at, ended_at, .. } = delivery;
        let due_at = (state == State::Pending).then_some(due_at);
        Self { id, event_id: notice, event: kind, state, attempts, failure, due_at, created_at, ended_at }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Rows wanted at most.
    #[serde(default, deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 200, default = 50, required = false, value_type = u32)]
    pub(super) limit: Limit,
    /// `next` of the page before.
    #[param(max_length = 1024)]
    pub(super) cursor: Option<String>,
    /// Only those in this state.
    pub(super) state: Option<State>,
}

/// List what an endpoint was told or is to be told, newest first. Dead letters are those in the state `dead`.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", operation_id = "list_deliveries", tag = "Webhooks",
    params(("id" = WebhookId, Path), ListQuery),
    responses((status = 200, body = Page<Shown>), (status = 404, body = ProblemBody)))]
async fn list(
    Shared(api): Shared<Api>,
    Known(caller): Known,
    Path(id): Path<WebhookId>,
    Query(query): Query<ListQuery>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    let list = format!("{id} {}", query.state.map_or("", State::name));
    let before: Option<DeliveryId> = query.cursor.as_deref().map(|cursor| read_cursor(&list, cursor)).transpose()?;
    api.store.webhook(&id).await?;
    let filter = Filter { channel: Channel::Webhook, target: Some(id.as_str()), state: query.state };
    let rows = api.store.deliveries(filter, before.as_ref(), query.limit.rows()).await?;
    Ok(axum::Json(Page::new(rows, query.limit, &list, |row| row.id.clone(), Shown::from)))
}

/// Send again what was given up, or what has arrived. It waits while its endpoint is not enabled, and while something else
/// about the same thing is on its way.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/deliveries/{delivery}/redeliver", operation_id = "redeliver", tag = "Webhooks",
    params(("id" = WebhookId, Path), ("delivery" = DeliveryId, Path)),
    responses((status = 200, body = Shown), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn redeliver(
    Shared(api): Shared<Api>,
    Known(caller): Known,
    Path((id, delivery)): Path<(WebhookId, DeliveryId)>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ManageWebhooks)?;
    let is_ours = |found: &Delivery| found.channel == Channel::Webhook && found.target == id.as_str();
    let again = requeue(&api, &caller, &delivery, "webhook.redelivered", is_ours).await?;
    Ok(axum::Json(Shown::from(again)))
}

/// As if it had never been tried. What is still on its way is left alone, and an endpoint that is not enabled too.
pub(super) async fn requeue(
    api: &Api,
    caller: &Caller,
    id: &DeliveryId,
    action: &'static str,
    is_ours: impl FnOnce(&Delivery) -> bool,
) -> Result<Delivery, Problem> {
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let found = write.delivery(id).await?;
    if !is_ours(&found) {
        return Err(Code::NotFound.into());
    }
    if !matches!(found.state, State::Dead | State::Delivered) {
        return Err(Problem::new(Code::Conflict).with_detail("It is still on its way, or something newer is."));
    }
    let is_held = is_held(&mut write, &found).await?;
    write.requeue(&found, is_held, now).await?;
    let (actor, subject) = (caller.subject.as_str(), id.as_str());
    write.append_audit(now, &NewEntry { actor, action, subject, details: &[] }).await?;
    let again = write.delivery(id).await?;
    write.commit().await?;
    api.outward.bell.ring(again.channel);
    Ok(again)
}

/// Whether its target wants nothing at present.
async fn is_held(write: &mut Write, delivery: &Delivery) -> Result<bool, Problem> {
    match delivery.channel {
        Channel::Mail => Ok(false),
        Channel::Webhook => {
            let id = WebhookId::parse(&delivery.target).ok_or(Code::Internal)?;
            Ok(!write.webhook(&id).await?.is_enabled)
        }
    }
}
