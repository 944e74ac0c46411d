//! Mails on their way, those that have left, and those that never will unless somebody asks for it. To whom they go, the
//! invitation says: no address is shown here.

use super::Api;
use super::caller::Known;
use super::deliveries::{ListQuery, requeue};
use super::extract::{Path, Query};
use super::page::{Page, read_cursor};
use super::problem::{Code, Problem, ProblemBody};
use crate::identity::{Action, may};
use crate::ids::{DeliveryId, InvitationId, MeetingId};
use crate::mail::{Envelope, REQUEST};
use crate::moment::Moment;
use crate::outbox::{Channel, Delivery, State};
use crate::store::outbox::Filter;
use axum::extract::State as Shared;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(retry))
}

/// What the mail tells a calendar.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MailKind)]
enum Kind {
    /// The meeting as it is.
    Request,
    /// It does not take place, for this person at least.
    Cancel,
}

/// A mail to somebody who is, or was, invited.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Mail)]
struct Shown {
    id: DeliveryId,
    kind: Kind,
    meeting: MeetingId,
    invitation: InvitationId,
    state: State,
    attempts: u32,
    /// Why the last attempt failed: `smtp_550` is the answer of the mail server.
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

impl Shown {
    fn new(delivery: Delivery) -> Result<Self, Problem> {
        let Ok(envelope) = serde_json::from_str::<Envelope>(&delivery.content) else {
            tracing::error!(delivery = delivery.id.as_str(), "a mail in the outbox cannot be read");
            return Err(Code::Internal.into());
        };
        let Envelope { meeting, invitation, .. } = envelope;
        let kind = if delivery.kind == REQUEST { Kind::Request } else { Kind::Cancel };
        let Delivery { id, state, attempts, failure, due_at, created_at, ended_at, .. } = delivery;
        let due_at = (state == State::Pending).then_some(due_at);
        Ok(Self { id, kind, meeting, invitation, state, attempts, failure, due_at, created_at, ended_at })
    }
}

/// List mails, newest first. Dead letters are those in the state `dead`.
#[utoipa::path(get, path = "/api/v1/mails", operation_id = "list_mails", tag = "Mails", params(ListQuery),
    responses((status = 200, body = Page<Shown>)))]
async fn list(
    Shared(api): Shared<Api>,
    Known(caller): Known,
    Query(query): Query<ListQuery>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadMeetings)?;
    let list = format!("mails {}", query.state.map_or("", State::name));
    let before: Option<DeliveryId> = query.cursor.as_deref().map(|cursor| read_cursor(&list, cursor)).transpose()?;
    let filter = Filter { channel: Channel::Mail, target: None, state: query.state };
    let rows = api.store.deliveries(filter, before.as_ref(), query.limit.rows()).await?;
    let Page { items, next } = Page::new(rows, query.limit, &list, |row| row.id.clone(), Shown::new);
    let items: Vec<_> = items.into_iter().collect::<Result<_, _>>()?;
    Ok(axum::Json(Page { items, next }))
}

/// Read what became of a mail.
#[utoipa::path(get, path = "/api/v1/mails/{id}", operation_id = "get_mail", tag = "Mails", params(("id" = DeliveryId, Path)),
    responses((status = 200, body = Shown), (status = 404, body = ProblemBody)))]
async fn get(
    Shared(api): Shared<Api>,
    Known(caller): Known,
    Path(id): Path<DeliveryId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadMeetings)?;
    let found = api.store.delivery(&id).await?;
    if found.channel != Channel::Mail {
        return Err(Code::NotFound.into());
    }
    Ok(axum::Json(Shown::new(found)?))
}

/// Send again a mail that was given up, or that was taken and got lost.
#[utoipa::path(post, path = "/api/v1/mails/{id}/retry", operation_id = "retry_mail", tag = "Mails", params(("id" = DeliveryId, Path)),
    responses((status = 200, body = Shown), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn retry(
    Shared(api): Shared<Api>,
    Known(caller): Known,
    Path(id): Path<DeliveryId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::WriteMeetings)?;
    let again = requeue(&api, &caller, &id, "mail.retried", |found| found.channel == Channel::Mail).await?;
    Ok(axum::Json(Shown::new(again)?))
}
