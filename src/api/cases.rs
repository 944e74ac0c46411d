//! The list of cases of a meeting's occurrence: what is on it, in which order.

use super::Api;
use super::caller::Known;
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path, Query, present};
use super::meant::{OccurrenceQuery, meant, meant_in};
use super::meetings::nullable;
use super::outcomes;
use super::ownership::allow;
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::Action;
use crate::ids::{CaseId, MeetingId};
use crate::mdt::attendance::seconds;
use crate::mdt::case::{CASES_MAX, Case, Stage};
use crate::mdt::outcome::Outcome;
use crate::mdt::prose::Prose;
use crate::mdt::reference::Reference;
use crate::meetings::meeting::Status;
use crate::meetings::schedule::format_local;
use crate::moment::Moment;
use crate::proceedings::steps;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, update, remove)).routes(routes!(reorder))
}

/// A case of a meeting's list.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Case)]
pub(super) struct Shown {
    id: CaseId,
    meeting: MeetingId,
    /// Local start of the occurrence by the rule.
    occurrence: String,
    /// From 1, without gaps.
    position: i64,
    reference: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    notes: Option<Prose>,
    stage: Stage,
    timer: Timer,
    outcome: outcomes::Shown,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Timer {
    /// Begun seconds for which the case was discussed, pauses apart.
    seconds: i64,
    /// While it runs: since when, to count on from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    runs_since: Option<Moment>,
    /// When the case was taken up first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    began_at: Option<Moment>,
}

impl Shown {
    pub(super) fn new(case: Case, now: Moment) -> Self {
        let running = case.times.last().filter(|span| span.to.is_none());
        let timer = Timer {
            seconds: seconds(case.spent_ms(now)),
            runs_since: running.map(|span| span.from),
            began_at: case.began_at(),
        };
        Self {
            id: case.id,
            meeting: case.meeting,
            occurrence: format_local(case.occurrence),
            position: case.position,
            reference: case.reference,
            notes: case.notes,
            stage: case.stage,
            timer,
            outcome: case.outcome.into(),
            created_at: case.created_at,
        }
    }
}

/// The list of one occurrence, in order.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CaseList)]
pub(super) struct List {
    /// Local start by the rule.
    occurrence: String,
    /// The case that the meeting is about now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    current: Option<CaseId>,
    items: Vec<Shown>,
}

impl List {
    pub(super) fn new(occurrence: NaiveDateTime, cases: Vec<Case>, now: Moment) -> Self {
        let current = cases.iter().find(|case| case.stage == Stage::Current).map(|case| case.id.clone());
        let items = cases.into_iter().map(|case| Shown::new(case, now)).collect();
        Self { occurrence: format_local(occurrence), current, items }
    }
}

/// A case to be put at the end of the list.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = CaseRequest)]
#[serde(deny_unknown_fields)]
struct Asked {
    reference: Reference,
    /// What is asked of the meeting. No name of a patient.
    #[serde(default)]
    notes: Option<Prose>,
    /// Local start of the occurrence by the rule. Absent: the occurrence that is on, else the next, else the last.
    #[serde(default)]
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")]
    occurrence: Option<String>,
}

/// What is to be different; what is absent stays.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[schema(as = CaseChange)]
#[serde(deny_unknown_fields, default)]
struct Change {
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    reference: Option<Reference>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Prose>)]
    notes: Option<Option<Prose>>,
}

/// List the cases of an occurrence.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/cases", operation_id = "list_cases", tag = "Cases",
    params(("id" = MeetingId, Path), OccurrenceQuery),
    responses((status = 200, body = List), (status = 404, body = ProblemBody)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<OccurrenceQuery>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    let now = Moment::now();
    let (_, occurrence) = meant(&api, &id, query.occurrence.as_deref(), now).await?;
    let cases = api.store.cases(&id, occurrence.original).await?;
    Ok(axum::Json(List::new(occurrence.original, cases, now)))
}

/// Put a case on the list.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases", operation_id = "create_case", tag = "Cases", request_body = Asked,
    params(("id" = MeetingId, Path), ("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = Shown, headers(("ETag" = String), ("Location" = String))),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn create(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: asked, bytes }: Json<Asked>,
) -> Result<Created, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let now = Moment::now();
    let path = format!("/api/v1/meetings/{id}/cases");
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, &path, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    let (meeting, occurrence) = meant_in(&mut write, &id, asked.occurrence.as_deref(), now).await?;
    if meeting.status == Status::Cancelled {
        return Err(Code::MeetingCancelled.into());
    }
    let listed = write.cases(&id, occurrence.original).await?.len();
    if listed >= CASES_MAX {
        return Err(Code::TooMany.into());
    }
    let case = Case {
        id: CaseId::new(now),
        meeting: id,
        occurrence: occurrence.original,
        position: listed as i64 + 1,
        reference: asked.reference,
        notes: asked.notes,
        stage: Stage::Waiting,
        times: Vec::new(),
        outcome: Outcome::default(),
        attendance: None,
        required: None,
        version: 1,
        created_at: now,
    };
    write.insert_case(&case).await?;
    steps::record(&mut write, caller.subject.as_str(), "case.created", &case, now).await?;
    let created = Created::new(format!("{path}/{}", case.id), case.version, &Shown::new(case, now))?;
    creation.commit(write, created, now).await
}

/// Read a case.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/cases/{case}", operation_id = "get_case", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    let case = api.store.case(&id, &case).await?;
    Ok((etag(case.version), axum::Json(Shown::new(case, Moment::now()))))
}

/// Change the reference or the notes of a case.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}/cases/{case}", operation_id = "update_case", tag = "Cases", request_body = Change,
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn update(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
    Json { value: change, .. }: Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut case = write.case(&id, &case).await?;
    seen.check(case.version)?;
    // The outcome that was confirmed is that of this case and of this question.
    if case.outcome.confirmed.is_some() {
        return Err(Code::OutcomeConfirmed.into());
    }
    case.reference = change.reference.unwrap_or(case.reference);
    case.notes = change.notes.unwrap_or(case.notes);
    case.version += 1;
    write.update_case(&case).await?;
    steps::record(&mut write, caller.subject.as_str(), "case.updated", &case, now).await?;
    write.commit().await?;
    Ok((etag(case.version), axum::Json(Shown::new(case, now))))
}

/// Take a case off the list, before it was discussed.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}/cases/{case}", operation_id = "remove_case", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn remove(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
) -> Result<StatusCode, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let case = write.case(&id, &case).await?;
    seen.check(case.version)?;
    case.check_removable()?;
    write.delete_case(&case.id).await?;
    let left = write.cases(&id, case.occurrence).await?;
    for (one, position) in left.iter().zip(1..) {
        if one.position != position {
            write.put_case_position(&one.id, position).await?;
        }
    }
    steps::record(&mut write, caller.subject.as_str(), "case.removed", &case, now).await?;
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another order of the same cases.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = CaseOrder)]
#[serde(deny_unknown_fields)]
struct Order {
    /// Every case of the list, once.
    #[schema(max_items = 150)]
    cases: Vec<CaseId>,
    /// Local start of the occurrence by the rule. Absent: the occurrence that is on, else the next, else the last.
    #[serde(default)]
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")]
    occurrence: Option<String>,
}

/// Put the list in another order. It is refused with `stale` where a case was added or removed meanwhile.
#[utoipa::path(put, path = "/api/v1/meetings/{id}/cases/order", operation_id = "reorder_cases", tag = "Cases", request_body = Order,
    params(("id" = MeetingId, Path)),
    responses((status = 200, body = List), (status = 404, body = ProblemBody), (status = 412, body = ProblemBody)))]
async fn reorder(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Json { value: order, .. }: Json<Order>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let (_, occurrence) = meant_in(&mut write, &id, order.occurrence.as_deref(), now).await?;
    let mut cases = write.cases(&id, occurrence.original).await?;
    let places: HashMap<&CaseId, i64> = order.cases.iter().zip(1..).collect();
    let is_same = places.len() == cases.len() && order.cases.len() == cases.len();
    if !is_same || cases.iter().any(|case| !places.contains_key(&case.id)) {
        return Err(Code::Stale.into());
    }
    for case in &mut cases {
        let position = places.get(&case.id).copied().unwrap_or(case.position);
        if position != case.position {
            write.put_case_position(&case.id, position).await?;
            case.position = position;
        }
    }
    cases.sort_by_key(|case| case.position);
    steps::record_order(&mut write, caller.subject.as_str(), &id, occurrence.original, now).await?;
    write.commit().await?;
    Ok(axum::Json(List::new(occurrence.original, cases, now)))
}
