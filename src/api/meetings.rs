//! Meetings: scheduled, found, changed, cancelled.

use super::Api;
use super::caller::Known;
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path, Query, object, present, present_object};
use super::ownership::allow;
use super::page::{Limit, Page, limit, read_cursor};
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::{Action, Caller, Subject, may};
use crate::ids::MeetingId;
use crate::meetings::admission::Lobby;
use crate::meetings::meeting::{CAPACITY_DEFAULT, Checked, Meeting, MeetingPlan, Settings, Status};
use crate::meetings::schedule::Wanted;
use crate::moment::Moment;
use crate::store::Write;
use crate::store::audit::{Detail, NewEntry};
use crate::store::events::NewEvent;
use crate::store::meetings::{After, Filter};
use crate::text::{NAME_LEN_MAX, Name};
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const PATH: &str = "/api/v1/meetings";

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, update, cancel))
}

/// A meeting, single or a series.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Meeting)]
pub(super) struct Shown {
    id: MeetingId,
    title: Name,
    /// Local time in the time zone.
    start: String,
    /// Of the IANA database.
    time_zone: String,
    duration_minutes: u32,
    /// A rule of RFC 5545.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    recurrence: Option<String>,
    /// The first instant.
    #[schema(value_type = String, format = DateTime)]
    starts_at: Moment,
    capacity: u32,
    lobby: Lobby,
    required_specialties: Vec<Name>,
    settings: Settings,
    status: Status,
    /// Of the invitation in calendars (RFC 5545 SEQUENCE).
    sequence: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Moment,
}

impl From<Meeting> for Shown {
    fn from(meeting: Meeting) -> Self {
        let schedule = &meeting.schedule;
        Self {
            start: schedule.start_text(),
            time_zone: schedule.zone().name().to_owned(),
            duration_minutes: schedule.duration_minutes(),
            recurrence: schedule.recurrence().map(str::to_owned),
            starts_at: schedule.starts_at(),
            id: meeting.id,
            title: meeting.title,
            capacity: meeting.capacity,
            lobby: meeting.lobby,
            required_specialties: meeting.required_specialties,
            settings: meeting.settings,
            status: meeting.status,
            sequence: meeting.sequence,
            created_at: meeting.created_at,
            updated_at: meeting.updated_at,
        }
    }
}

/// A meeting to be.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = MeetingRequest)]
#[serde(deny_unknown_fields)]
struct Asked {
    title: Name,
    /// Local time: `2026-12-01T08:30:00`, without an offset.
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")]
    start: String,
    /// Of the IANA database: `Europe/London`.
    #[schema(max_length = 64)]
    time_zone: String,
    #[schema(minimum = 5, maximum = 1440)]
    duration_minutes: u32,
    /// A rule of RFC 5545: `FREQ=WEEKLY;BYDAY=TU`. The start is its first occurrence.
    #[serde(default)]
    #[schema(max_length = 256)]
    recurrence: Option<String>,
    #[serde(default = "default_capacity")]
    #[schema(minimum = 2, maximum = 500, default = 50)]
    capacity: u32,
    #[serde(default = "default_lobby")]
    #[schema(default = "guests")]
    lobby: Lobby,
    /// Specialties without which there is no quorum.
    #[serde(default)]
    #[schema(max_items = 32)]
    required_specialties: Vec<Name>,
    #[serde(default, deserialize_with = "object")]
    settings: Settings,
}

fn default_capacity() -> u32 {
    CAPACITY_DEFAULT
}

/// Safe unless told otherwise: a stranger with a forwarded link waits.
fn default_lobby() -> Lobby {
    Lobby::Guests
}

/// What is to be different; what is absent stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = MeetingChange)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Change {
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    title: Option<Name>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    start: Option<String>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    time_zone: Option<String>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false, minimum = 5, maximum = 1440)]
    duration_minutes: Option<u32>,
    /// `null` makes a single meeting of a series.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 256)]
    recurrence: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false, minimum = 2, maximum = 500)]
    capacity: Option<u32>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    lobby: Option<Lobby>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false, max_items = 32)]
    required_specialties: Option<Vec<Name>>,
    #[serde(deserialize_with = "present_object")]
    #[schema(required = false, nullable = false)]
    settings: Option<Settings>,
}

/// Tells `null` from absent.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Rows wanted at most.
    #[serde(default, deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 200, default = 50, required = false, value_type = u32)]
    limit: Limit,
    /// `next` of the page before.
    #[param(max_length = 1024)]
    cursor: Option<String>,
    /// Part of the title, in any case.
    #[param(max_length = 120)]
    title: Option<String>,
    /// Only meetings that are not over at this time.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Moment>,
    /// Only meetings that begin before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Moment>,
    status: Option<Status>,
}

impl ListQuery {
    fn filter(&self, caller: &Caller) -> Result<Filter, Problem> {
        let title = self.title.as_deref().filter(|title| !title.is_empty());
        if title.is_some_and(|title| title.chars().count() > NAME_LEN_MAX || title.contains('\0')) {
            return Err(Problem::new(Code::InvalidQuery).with_detail("A title has at most 120 characters."));
        }
        let owner = match &caller.subject {
            Subject::User(user) if !user.role.sees_all() => Some(user.id.clone()),
            _ => None,
        };
        Ok(Filter { title: title.map(str::to_owned), from: self.from, to: self.to, status: self.status, owner })
    }

    /// A cursor leads on in the list that it came from, and in no other.
    fn list_name(&self) -> String {
        let bounds = [self.from, self.to].map(|bound| bound.map(Moment::ms));
        let what = json!([self.title, bounds, self.status]).to_string();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, what.as_bytes());
        format!("meetings-{}", &crate::store::audit::hex(digest.as_ref())[..16])
    }
}

/// List and search meetings, by their first start.
#[utoipa::path(get, path = PATH, operation_id = "list_meetings", tag = "Meetings", params(ListQuery), responses((status = 200, body = Page<Shown>)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Query(query): Query<ListQuery>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadMeetings)?;
    let list = query.list_name();
    let after: Option<(i64, MeetingId)> =
        query.cursor.as_deref().map(|cursor| read_cursor(&list, cursor)).transpose()?;
    let after = after.map(|(ms, id)| After { starts_at: Moment::from_ms(ms), id });
    let meetings = api.store.meetings(&query.filter(&caller)?, after.as_ref(), query.limit.rows()).await?;
    let key = |meeting: &Meeting| (meeting.schedule.starts_at().ms(), meeting.id.clone());
    Ok(axum::Json(Page::new(meetings, query.limit, &list, key, Shown::from)))
}

/// Schedule a meeting.
#[utoipa::path(post, path = PATH, operation_id = "create_meeting", tag = "Meetings", request_body = Asked,
    params(("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = Shown, headers(("ETag" = String), ("Location" = String)))))]
async fn create(
    State(api): State<Api>,
    Known(caller): Known,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: asked, bytes }: Json<Asked>,
) -> Result<Created, Problem> {
    may(&caller, Action::WriteMeetings)?;
    let now = Moment::now();
    let checked = asked.check()?;
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, PATH, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    let meeting = checked.into_meeting(caller.subject.as_str().to_owned(), now);
    write.insert_meeting(&meeting).await?;
    record(&mut write, &caller, "meeting.created", &meeting, now).await?;
    let created = Created::new(format!("{PATH}/{}", meeting.id), meeting.version, &Shown::from(meeting))?;
    creation.commit(write, created, now).await
}

impl Asked {
    fn check(self) -> Result<Checked, Problem> {
        let plan = MeetingPlan {
            title: self.title,
            schedule: Wanted {
                start: &self.start,
                time_zone: &self.time_zone,
                duration_minutes: self.duration_minutes,
                recurrence: self.recurrence.as_deref(),
            },
            capacity: self.capacity,
            lobby: self.lobby,
            required_specialties: self.required_specialties,
            settings: self.settings,
        };
        Ok(plan.check()?)
    }
}

/// Read a meeting.
#[utoipa::path(get, path = "/api/v1/meetings/{id}", operation_id = "get_meeting", tag = "Meetings", params(("id" = MeetingId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    let meeting = api.store.meeting(&id).await?;
    Ok((etag(meeting.version), axum::Json(Shown::from(meeting))))
}

/// Change a meeting. A new time or rule forgets what was decided about single occurrences.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}", operation_id = "update_meeting", tag = "Meetings", request_body = Change,
    params(("id" = MeetingId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn update(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    seen: IfMatch,
    Json { value: change, .. }: Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ChangeMeeting(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let old = scheduled(write.meeting(&id).await?, &seen)?;
    let new = change.check(&old)?.replaces(&old, now);
    if new.version != old.version {
        write.update_meeting(&new).await?;
        if new.sequence != old.sequence {
            write.delete_exceptions(&id).await?;
        }
        record(&mut write, &caller, "meeting.updated", &new, now).await?;
        write.commit().await?;
    }
    Ok((etag(new.version), axum::Json(Shown::from(new))))
}

impl Change {
    fn check(self, old: &Meeting) -> Result<Checked, Problem> {
        let schedule = &old.schedule;
        let start = self.start.unwrap_or_else(|| schedule.start_text());
        let recurrence = self.recurrence.unwrap_or_else(|| schedule.recurrence().map(str::to_owned));
        let plan = MeetingPlan {
            title: self.title.unwrap_or_else(|| old.title.clone()),
            schedule: Wanted {
                start: &start,
                time_zone: self.time_zone.as_deref().unwrap_or(schedule.zone().name()),
                duration_minutes: self.duration_minutes.unwrap_or(schedule.duration_minutes()),
                recurrence: recurrence.as_deref(),
            },
            capacity: self.capacity.unwrap_or(old.capacity),
            lobby: self.lobby.unwrap_or(old.lobby),
            required_specialties: self.required_specialties.unwrap_or_else(|| old.required_specialties.clone()),
            settings: self.settings.unwrap_or_else(|| old.settings.clone()),
        };
        Ok(plan.check()?)
    }
}

/// Cancel a meeting. It stays readable, and nobody enters it any more.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}", operation_id = "cancel_meeting", tag = "Meetings",
    params(("id" = MeetingId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn cancel(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ChangeMeeting(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let old = write.meeting(&id).await?;
    seen.check(old.version)?;
    let meeting = old.cancelled(now).ok_or_else(|| Problem::new(Code::MeetingCancelled))?;
    write.update_meeting(&meeting).await?;
    record(&mut write, &caller, "meeting.cancelled", &meeting, now).await?;
    write.commit().await?;
    Ok((etag(meeting.version), axum::Json(Shown::from(meeting))))
}

/// The meeting as the caller saw it, if it can still be changed.
pub(super) fn scheduled(meeting: Meeting, seen: &IfMatch) -> Result<Meeting, Problem> {
    seen.check(meeting.version)?;
    match meeting.status {
        Status::Scheduled => Ok(meeting),
        Status::Cancelled => Err(Code::MeetingCancelled.into()),
    }
}

/// The event and the audit row of a change.
pub(super) async fn record(
    write: &mut Write,
    caller: &Caller,
    kind: &'static str,
    meeting: &Meeting,
    now: Moment,
) -> Result<(), Problem> {
    let subject = meeting.id.as_str();
    let body = json!({"meeting": subject, "version": meeting.version, "sequence": meeting.sequence});
    write.append_event(now, &NewEvent { kind, subject, body }).await?;
    let details = [("version", Detail::Number(meeting.version))];
    let entry = NewEntry { actor: caller.subject.as_str(), action: kind, subject, details: &details };
    Ok(write.append_audit(now, &entry).await?)
}
