//! A meeting goes through its cases: one is taken up, paused, taken up again, finished, and the next one comes.

use super::Api;
use super::caller::Known;
use super::cases::{List, Shown};
use super::extract::{Json, Path};
use super::meant::meant_in;
use super::ownership::allow;
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::{Action, Caller};
use crate::ids::{CaseId, MeetingId};
use crate::mdt::Refusal;
use crate::mdt::case::Case;
use crate::moment::Moment;
use crate::proceedings::steps;
use crate::store::Write;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(finish))
        .routes(routes!(next))
}

/// Make this the case that the meeting is about. The one before it is finished.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases/{case}/start", operation_id = "start_case", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn start(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let mut write = api.store.write().await?;
    // Whoever was sent out until the next case before this moment comes back with it.
    let now = Moment::now();
    let mut case = write.case(&id, &case).await?;
    seen.check(case.version)?;
    case.start(now)?;
    if let Some(mut before) = write.current_case(&id).await? {
        steps::finish(&mut write, caller.subject.as_str(), &mut before, now, now).await??;
    }
    save(&mut write, &caller, "case.started", &case, now).await?;
    write.commit().await?;
    Ok((etag(case.version), axum::Json(Shown::new(case, now))))
}

/// Stop the timer; the meeting stays with the case.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases/{case}/pause", operation_id = "pause_case", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn pause(
    State(api): State<Api>,
    Known(caller): Known,
    Path(path): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    step(&api, &caller, path, &seen, "case.paused", Case::pause).await
}

/// Let the timer run on.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases/{case}/resume", operation_id = "resume_case", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn resume(
    State(api): State<Api>,
    Known(caller): Known,
    Path(path): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    step(&api, &caller, path, &seen, "case.resumed", Case::resume).await
}

/// End the case; who was present for it is kept as of now.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases/{case}/finish", operation_id = "finish_case", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn finish(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut case = write.case(&id, &case).await?;
    seen.check(case.version)?;
    steps::finish(&mut write, caller.subject.as_str(), &mut case, now, now).await??;
    write.commit().await?;
    Ok((etag(case.version), axum::Json(Shown::new(case, now))))
}

/// Where the caller believes the meeting to be, so that two hosts who press at once go one case further and not two.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = NextCase)]
#[serde(deny_unknown_fields)]
struct After {
    /// The current case; `null` or absent before the first.
    #[serde(default)]
    after: Option<CaseId>,
    /// Local start of the occurrence by the rule. Absent: the occurrence that is on, else the next, else the last.
    #[serde(default)]
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$")]
    occurrence: Option<String>,
}

/// Finish the current case and take up the one that follows it in the list and was neither discussed nor decided yet. After
/// the last there is no current case.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases/next", operation_id = "next_case", tag = "Cases", request_body = After,
    params(("id" = MeetingId, Path)),
    responses((status = 200, body = List), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody)))]
async fn next(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Json { value: asked, .. }: Json<After>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let mut write = api.store.write().await?;
    let now = Moment::now();
    let (_, occurrence) = meant_in(&mut write, &id, asked.occurrence.as_deref(), now).await?;
    let current = write.current_case(&id).await?;
    if current.as_ref().map(|case| &case.id) != asked.after.as_ref() {
        return Err(Problem::new(Code::Stale).with_detail("The meeting is about another case. Read the list again."));
    }
    let position = match current {
        Some(mut case) => {
            steps::finish(&mut write, caller.subject.as_str(), &mut case, now, now).await??;
            // One of another occurrence has no place in this list.
            if case.occurrence == occurrence.original { case.position } else { 0 }
        }
        None => 0,
    };
    let mut cases = write.cases(&id, occurrence.original).await?;
    let follows = |case: &Case| case.position > position && case.is_due();
    if let Some(case) = cases.iter_mut().find(|case| follows(case)) {
        case.start(now)?;
        save(&mut write, &caller, "case.started", case, now).await?;
    } else if position == 0 {
        return Err(Problem::new(Code::CaseStage).with_detail("No case of this list waits to be discussed."));
    }
    write.commit().await?;
    Ok(axum::Json(List::new(occurrence.original, cases, now)))
}

async fn step(
    api: &Api,
    caller: &Caller,
    (id, case): (MeetingId, CaseId),
    seen: &IfMatch,
    kind: &'static str,
    change: impl FnOnce(&mut Case, Moment) -> Result<(), Refusal>,
) -> Result<Response, Problem> {
    allow(api, caller, Action::Host(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut case = write.case(&id, &case).await?;
    seen.check(case.version)?;
    change(&mut case, now)?;
    save(&mut write, caller, kind, &case, now).await?;
    write.commit().await?;
    Ok((etag(case.version), axum::Json(Shown::new(case, now))).into_response())
}

async fn save(write: &mut Write, caller: &Caller, kind: &'static str, case: &Case, now: Moment) -> Result<(), Problem> {
    write.update_case(case).await?;
    Ok(steps::record(write, caller.subject.as_str(), kind, case, now).await?)
}
