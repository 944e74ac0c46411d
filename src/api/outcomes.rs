//! The outcome of a case: drafted by the hosts, confirmed by the chair in person, amended with a reason.

use super::Api;
use super::caller::Known;
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path};
use super::ownership::allow;
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::{Action, Caller, Invitee, Subject};
use crate::ids::{CaseId, InvitationId, MeetingId};
use crate::mdt::case::Case;
use crate::mdt::outcome::{Amendment, Outcome, State as OutcomeState};
use crate::mdt::prose::Prose;
use crate::moment::Moment;
use crate::proceedings::steps;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get, draft)).routes(routes!(confirm)).routes(routes!(amend))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Outcome)]
pub(super) struct Shown {
    state: OutcomeState,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    text: Option<Prose>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    confirmed_at: Option<Moment>,
    /// The chair's invitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    confirmed_by: Option<InvitationId>,
    /// What was said after the confirmation, oldest first.
    amendments: Vec<Amendment>,
}

impl From<Outcome> for Shown {
    fn from(outcome: Outcome) -> Self {
        let state = outcome.state();
        let (confirmed_at, confirmed_by) = outcome.confirmed.map(|confirmed| (confirmed.at, confirmed.by)).unzip();
        Self { state, text: outcome.text, confirmed_at, confirmed_by, amendments: outcome.amendments }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = OutcomeDraft)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// `null` takes the draft back.
    text: Option<Prose>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = AmendmentRequest)]
#[serde(deny_unknown_fields)]
struct Asked {
    text: Prose,
    reason: Prose,
}

/// Read the outcome of a case. Its ETag is not that of the case.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/cases/{case}/outcome", operation_id = "get_outcome", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    let outcome = api.store.case(&id, &case).await?.outcome;
    Ok((etag(outcome.version), axum::Json(Shown::from(outcome))))
}

/// Draft the outcome of a case, as often as needed until the chair confirms it.
#[utoipa::path(put, path = "/api/v1/meetings/{id}/cases/{case}/outcome", operation_id = "draft_outcome", tag = "Cases", request_body = Draft,
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn draft(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
    Json { value: draft, .. }: Json<Draft>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Host(&id)).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut case = write.case(&id, &case).await?;
    check(&case, &seen)?;
    case.outcome.draft(draft.text)?;
    write.update_case(&case).await?;
    steps::record(&mut write, caller.subject.as_str(), "outcome.drafted", &case, now).await?;
    write.commit().await?;
    Ok((etag(case.outcome.version), axum::Json(Shown::from(case.outcome))))
}

/// Confirm the outcome, as the meeting's chair: from then on it is locked. API keys cannot.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases/{case}/outcome/confirm", operation_id = "confirm_outcome", tag = "Cases",
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn confirm(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let chair = chair(&api, &caller, &id).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut case = write.case(&id, &case).await?;
    check(&case, &seen)?;
    case.outcome.confirm(chair.invitation.clone(), now)?;
    write.update_case(&case).await?;
    steps::record(&mut write, caller.subject.as_str(), "outcome.confirmed", &case, now).await?;
    write.commit().await?;
    Ok((etag(case.outcome.version), axum::Json(Shown::from(case.outcome))))
}

/// Amend a confirmed outcome, as the meeting's chair. What was confirmed stays; the amendment stands beside it.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/cases/{case}/outcome/amendments", operation_id = "amend_outcome", tag = "Cases", request_body = Asked,
    params(("id" = MeetingId, Path), ("case" = CaseId, Path), ("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = Shown, headers(("ETag" = String), ("Location" = String))),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn amend(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, case)): Path<(MeetingId, CaseId)>,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: asked, bytes }: Json<Asked>,
) -> Result<Created, Problem> {
    let chair = chair(&api, &caller, &id).await?;
    let now = Moment::now();
    let outcome = format!("/api/v1/meetings/{id}/cases/{case}/outcome");
    let path = format!("{outcome}/amendments");
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, &path, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    let mut case = write.case(&id, &case).await?;
    let by = chair.invitation.clone();
    case.outcome.amend(Amendment { text: asked.text, reason: asked.reason, by, at: now })?;
    write.insert_amendment(&case).await?;
    write.update_case(&case).await?;
    steps::record(&mut write, caller.subject.as_str(), "outcome.amended", &case, now).await?;
    let created = Created::new(outcome, case.outcome.version, &Shown::from(case.outcome))?;
    creation.commit(write, created, now).await
}

/// What is locked is refused as locked, however old the caller's version of it is.
fn check(case: &Case, seen: &IfMatch) -> Result<(), Problem> {
    match case.outcome.state() {
        OutcomeState::Confirmed => Err(Code::OutcomeConfirmed.into()),
        OutcomeState::None | OutcomeState::Draft => seen.check(case.outcome.version),
    }
}

async fn chair<'a>(api: &Api, caller: &'a Caller, meeting: &MeetingId) -> Result<&'a Invitee, Problem> {
    allow(api, caller, Action::Chair(meeting)).await?;
    let Subject::Invitee(invitee) = &caller.subject else { return Err(Code::NotChair.into()) };
    Ok(invitee)
}
