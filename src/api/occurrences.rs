//! Occurrences: when a meeting is, one by one, and single ones of a series that are moved or cancelled.

use super::Api;
use super::caller::Known;
use super::extract::{Json, Path, Query};
use super::meetings::{record, scheduled};
use super::ownership::allow;
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::{Action, Caller};
use crate::ids::MeetingId;
use crate::meetings::Flaw;
use crate::meetings::meeting::Meeting;
use crate::meetings::schedule::{DURATION_MINUTES, OCCURRENCES_MAX, format_local, instant, parse_local};
use crate::moment::Moment;
use crate::store::meetings::{Exception, Moved};
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest window of a list.
const WINDOW_MAX: Duration = Duration::from_secs(400 * 86_400);
/// Exceptions of one series: every week of ten years.
const EXCEPTIONS_MAX: usize = 520;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(change, cancel))
}

/// One meeting of a series, or the only one.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Occurrence)]
struct Shown {
    /// Local time by the rule; names the occurrence even if it was moved.
    original: String,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Moment,
    is_cancelled: bool,
    is_moved: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Occurrences)]
struct Window {
    items: Vec<Shown>,
    /// Whether the window holds more than can be listed at once.
    is_cut_off: bool,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WindowQuery {
    /// Occurrences that are not over at this time.
    #[param(value_type = String, format = DateTime)]
    from: Moment,
    /// And begin before this time, at most 400 days later.
    #[param(value_type = String, format = DateTime)]
    to: Moment,
}

/// List the occurrences of a meeting in a window of time.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/occurrences", operation_id = "list_occurrences", tag = "Meetings",
    params(("id" = MeetingId, Path), WindowQuery),
    responses((status = 200, body = Window), (status = 404, body = ProblemBody)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(window): Query<WindowQuery>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    if window.to <= window.from || window.to.since(window.from) > WINDOW_MAX {
        return Err(
            Problem::new(Code::InvalidQuery).with_detail("The window ends after it begins, and within 400 days.")
        );
    }
    let meeting = api.store.meeting(&id).await?;
    let exceptions = api.store.exceptions(&id).await?;
    let mut items = expand(&meeting, &exceptions, window.from, window.to);
    let is_cut_off = items.len() > usize::from(OCCURRENCES_MAX) - 1;
    items.truncate(usize::from(OCCURRENCES_MAX) - 1);
    Ok(axum::Json(Window { items, is_cut_off }))
}

/// What the rule says, with what was decided about single occurrences. One that was moved into the window from outside is
/// in it, and one that was moved out is not.
fn expand(meeting: &Meeting, exceptions: &[Exception], from: Moment, to: Moment) -> Vec<Shown> {
    let by_original: HashMap<NaiveDateTime, &Exception> =
        exceptions.iter().map(|exception| (exception.original, exception)).collect();
    let regular = meeting.schedule.occurrences(from, to).into_iter();
    let mut items: Vec<Shown> = regular
        .filter(|one| by_original.get(&one.original).is_none_or(|exception| exception.moved.is_none()))
        .map(|one| Shown {
            original: format_local(one.original),
            starts_at: one.start,
            ends_at: one.end,
            is_cancelled: by_original.contains_key(&one.original),
            is_moved: false,
        })
        .collect();
    items.extend(exceptions.iter().filter_map(|exception| {
        let shown = moved(meeting, exception.original, exception.moved?);
        (shown.ends_at > from && shown.starts_at < to).then_some(shown)
    }));
    items.sort_by_key(|shown| shown.starts_at);
    items
}

fn moved(meeting: &Meeting, original: NaiveDateTime, moved: Moved) -> Shown {
    let starts_at = instant(meeting.schedule.zone(), moved.start);
    Shown {
        original: format_local(original),
        starts_at,
        ends_at: starts_at.plus(Duration::from_secs(u64::from(moved.duration_minutes) * 60)),
        is_cancelled: false,
        is_moved: true,
    }
}

/// Where one occurrence goes.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = OccurrenceChange)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Local time: `2026-12-02T08:30:00`.
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")]
    start: String,
    /// Absent: as long as the others.
    #[serde(default)]
    #[schema(minimum = 5, maximum = 1440)]
    duration_minutes: Option<u32>,
}

/// Move one occurrence of a series. A cancelled one takes place again.
#[utoipa::path(put, path = "/api/v1/meetings/{id}/occurrences/{original}", operation_id = "move_occurrence", tag = "Meetings", request_body = Change,
    params(("id" = MeetingId, Path), ("original" = String, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn change(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, original)): Path<(MeetingId, String)>,
    seen: IfMatch,
    Json { value: change, .. }: Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ChangeMeeting(&id)).await?;
    let Some(start) = parse_local(&change.start) else {
        return Err(vec![Flaw::new("start", "A local time like 2026-12-01T08:30:00, without an offset.")].into());
    };
    if change.duration_minutes.is_some_and(|minutes| !DURATION_MINUTES.contains(&minutes)) {
        return Err(vec![Flaw::new("duration_minutes", "A meeting takes between 5 minutes and a day.")].into());
    }
    let decide = |meeting: &Meeting, original| Exception {
        original,
        moved: Some(Moved {
            start,
            duration_minutes: change.duration_minutes.unwrap_or(meeting.schedule.duration_minutes()),
        }),
    };
    let (meeting, exception) = except(&api, &caller, &id, &original, &seen, "meeting.occurrence_moved", decide).await?;
    let shown = exception.moved.map(|to| moved(&meeting, exception.original, to));
    Ok((etag(meeting.version), axum::Json(shown)))
}

/// Cancel one occurrence of a series.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}/occurrences/{original}", operation_id = "cancel_occurrence", tag = "Meetings",
    params(("id" = MeetingId, Path), ("original" = String, Path), ("If-Match" = String, Header)),
    responses((status = 204, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn cancel(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, original)): Path<(MeetingId, String)>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ChangeMeeting(&id)).await?;
    let decide = |_: &Meeting, original| Exception { original, moved: None };
    let (meeting, _) = except(&api, &caller, &id, &original, &seen, "meeting.occurrence_cancelled", decide).await?;
    Ok((axum::http::StatusCode::NO_CONTENT, etag(meeting.version)))
}

/// Decides something about one occurrence. It is a new version of the meeting, and news for calendars.
async fn except(
    api: &Api,
    caller: &Caller,
    id: &MeetingId,
    original: &str,
    seen: &IfMatch,
    kind: &'static str,
    decide: impl FnOnce(&Meeting, NaiveDateTime) -> Exception,
) -> Result<(Meeting, Exception), Problem> {
    let original = parse_local(original).ok_or_else(|| Problem::new(Code::NotFound))?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let meeting = scheduled(write.meeting(id).await?, seen)?;
    if meeting.schedule.recurrence().is_none() || !meeting.schedule.has_occurrence(original) {
        return Err(Code::NotFound.into());
    }
    let exceptions = write.exceptions(id).await?;
    if exceptions.len() >= EXCEPTIONS_MAX && !exceptions.iter().any(|exception| exception.original == original) {
        return Err(Code::TooMany.into());
    }
    let exception = decide(&meeting, original);
    write.put_exception(id, &exception).await?;
    let meeting = Meeting { version: meeting.version + 1, sequence: meeting.sequence + 1, updated_at: now, ..meeting };
    write.update_meeting(&meeting).await?;
    record(&mut write, caller, kind, &meeting, now).await?;
    write.commit().await?;
    Ok((meeting, exception))
}
