//! Addresses of people's own calendars: made and revoked with a key, fetched by whoever has the address.

use super::Api;
use super::calendars::{answer, personal_link};
use super::caller::{Known, check_feed_rate, slow_down};
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path, Query};
use super::page::{Page, PageQuery, read_cursor};
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::calendar::feed::{FEEDS_MAX, Feed, FeedSecret, KEPT, MEETINGS_MAX};
use crate::calendar::{self, Entry, Method};
use crate::identity::{Action, may};
use crate::ids::FeedId;
use crate::meetings::invitation::Email;
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::store::StoreError;
use crate::store::audit::NewEntry;
use crate::store::meetings::Exception;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const PATH: &str = "/api/v1/calendar-feeds";
/// How cursors name this list.
const LIST: &str = "calendar-feeds";

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, revoke))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CalendarFeed)]
struct Shown {
    id: FeedId,
    /// In lower case.
    email: Email,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Moment>,
}

impl From<Feed> for Shown {
    fn from(Feed { id, email, created_at, revoked_at, .. }: Feed) -> Self {
        Self { id, email, created_at, revoked_at }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NewCalendarFeed)]
struct New {
    #[serde(flatten)]
    feed: Shown,
    /// To be subscribed to in a calendar. Whoever has it sees this person's meetings and enters as them: it is shown here and
    /// never again.
    url: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = CalendarFeedRequest)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The calendar holds the meetings that this address is invited to.
    email: Email,
}

/// List calendar addresses, newest first.
#[utoipa::path(get, path = PATH, operation_id = "list_calendar_feeds", tag = "Calendars", params(PageQuery),
    responses((status = 200, body = Page<Shown>)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadAcross)?;
    let before: Option<FeedId> = query.cursor.as_deref().map(|cursor| read_cursor(LIST, cursor)).transpose()?;
    let rows = api.store.feeds(before.as_ref(), query.limit.rows()).await?;
    Ok(axum::Json(Page::new(rows, query.limit, LIST, |row| row.id.clone(), Shown::from)))
}

/// Make the address of somebody's own calendar: all meetings that their e-mail address is invited to.
#[utoipa::path(post, path = PATH, operation_id = "create_calendar_feed", tag = "Calendars", request_body = Asked,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = New, headers(("ETag" = String), ("Location" = String))),
        (status = 409, body = ProblemBody)))]
async fn create(
    State(api): State<Api>,
    Known(caller): Known,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: Asked { email }, bytes }: Json<Asked>,
) -> Result<Created, Problem> {
    may(&caller, Action::WriteAcross)?;
    let now = Moment::now();
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, PATH, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    if write.feed_count(&email).await? >= FEEDS_MAX {
        return Err(Code::TooMany.into());
    }
    let secret = FeedSecret::new(FeedId::new(now));
    let email = Email::new(&email.as_str().to_ascii_lowercase()).ok_or(Code::Internal)?;
    let feed = Feed {
        id: secret.id().clone(),
        email,
        secret_hash: secret.hash(),
        created_at: now,
        revoked_at: None,
        version: 1,
    };
    write.insert_feed(&feed).await?;
    let (actor, subject) = (caller.subject.as_str(), feed.id.as_str());
    write.append_audit(now, &NewEntry { actor, action: "calendar_feed.created", subject, details: &[] }).await?;
    let location = format!("{PATH}/{}", feed.id);
    let version = feed.version;
    let shown = New { feed: feed.into(), url: api.outward.links.feed(&secret) };
    creation.commit(write, Created::new(location, version, &shown)?, now).await
}

/// Read what is known of a calendar address.
#[utoipa::path(get, path = "/api/v1/calendar-feeds/{id}", operation_id = "get_calendar_feed", tag = "Calendars",
    params(("id" = FeedId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<FeedId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadAcross)?;
    let feed = api.store.feed(&id).await?;
    Ok((etag(feed.version), axum::Json(Shown::from(feed))))
}

/// Revoke a calendar address: whoever fetches it gets nothing any more.
#[utoipa::path(delete, path = "/api/v1/calendar-feeds/{id}", operation_id = "revoke_calendar_feed", tag = "Calendars",
    params(("id" = FeedId, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn revoke(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<FeedId>,
    seen: IfMatch,
) -> Result<StatusCode, Problem> {
    may(&caller, Action::WriteAcross)?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let feed = write.feed(&id).await?;
    seen.check(feed.version)?;
    if feed.revoked_at.is_some() {
        return Err(Problem::new(Code::Conflict).with_detail("This calendar address is revoked already."));
    }
    write.revoke_feed(&id, now).await?;
    let (actor, subject) = (caller.subject.as_str(), id.as_str());
    write.append_audit(now, &NewEntry { actor, action: "calendar_feed.revoked", subject, details: &[] }).await?;
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fetch somebody's own calendar. The secret stands in the path because programs that fetch calendars can send nothing else;
/// it is never logged.
#[utoipa::path(get, path = "/api/v1/calendar/{secret}/feed.ics", operation_id = "fetch_calendar_feed", tag = "Calendars", security(()),
    params(("secret" = String, Path, description = "From the address that was shown when it was made.", max_length = 128)),
    responses((status = 200, body = String, content_type = "text/calendar"), (status = 404, body = ProblemBody)))]
pub(super) async fn fetch(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(secret): Path<String>,
) -> Response {
    match find(&api, &secret).await {
        Ok(Some(feed)) => calendar(&api, &feed).await.unwrap_or_else(Problem::into_response),
        // It may be a guess.
        Ok(None) => slow_down(&api, peer, Code::NotFound.into()),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// One answer for wrong and revoked: a stranger learns nothing.
async fn find(api: &Api, secret: &str) -> Result<Option<Feed>, StoreError> {
    let Some(secret) = FeedSecret::parse(secret) else { return Ok(None) };
    let feed = match api.store.feed(secret.id()).await {
        Err(StoreError::NotFound) => return Ok(None),
        found => found?,
    };
    let is_good = feed.secret_hash.matches(&secret.hash()) && feed.revoked_at.is_none();
    Ok(is_good.then_some(feed))
}

struct Dated {
    meeting: Meeting,
    exceptions: Vec<Exception>,
    link: String,
}

async fn calendar(api: &Api, feed: &Feed) -> Result<Response, Problem> {
    check_feed_rate(api, &feed.id)?;
    let now = Moment::now();
    let from = Moment::from_ms(now.ms().saturating_sub(KEPT.as_millis() as i64));
    let mut dated: Vec<Dated> = Vec::new();
    for invitation in api.store.invitations_of(&feed.email, from, MEETINGS_MAX).await? {
        // Whoever is invited twice has one entry: the newer one.
        if dated.iter().any(|known| known.meeting.id == invitation.meeting) {
            continue;
        }
        dated.push(Dated {
            meeting: api.store.meeting(&invitation.meeting).await?,
            exceptions: api.store.exceptions(&invitation.meeting).await?,
            link: personal_link(api, &invitation).await?,
        });
    }
    let entries: Vec<_> = dated
        .iter()
        .map(|Dated { meeting, exceptions, link }| Entry {
            meeting,
            exceptions,
            attendees: &[],
            link,
            is_cancelled: false,
        })
        .collect();
    Ok(answer(calendar::write(Method::Publish, &api.outward.organizer, &entries, now), Method::Publish))
}
