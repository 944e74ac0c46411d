//! The report of an occurrence, for hosts: as JSON, as a table and as a page to print.

use super::Api;
use super::attendance::OfCase;
use super::caller::Known;
use super::cases::Shown as ShownCase;
use super::extract::{Path, Query};
use super::meant::{OccurrenceQuery, meant};
use super::ownership::allow;
use super::problem::{Problem, ProblemBody};
use crate::identity::Action;
use crate::ids::MeetingId;
use crate::mdt::report::{Described, Discussed, Report, outcome_table, page, style_hash};
use crate::meetings::invitation::INVITATIONS_MAX;
use crate::meetings::schedule::format_local;
use crate::moment::Moment;
use crate::text::Name;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(table)).routes(routes!(printable))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Report)]
struct Shown {
    meeting: MeetingId,
    title: Name,
    /// Local start of the occurrence by the rule.
    occurrence: String,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    made_at: Moment,
    required_specialties: Vec<Name>,
    cases: Vec<ShownCase>,
    /// Of each case, in the same order.
    attendance: Vec<OfCase>,
}

/// The report of an occurrence: cases, outcomes and who was present.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/report", operation_id = "get_report", tag = "Reports",
    params(("id" = MeetingId, Path), OccurrenceQuery),
    responses((status = 200, body = Shown), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<OccurrenceQuery>,
) -> Result<Response, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let report = gather(&api, &id, query.occurrence.as_deref()).await?;
    let attendance = OfCase::all(&report);
    let shown = Shown {
        meeting: id,
        title: report.meeting.title,
        occurrence: format_local(report.occurrence.original),
        starts_at: report.occurrence.start,
        ends_at: report.occurrence.end,
        made_at: report.made_at,
        required_specialties: report.meeting.required_specialties,
        cases: report.cases.into_iter().map(|one| ShownCase::new(one.case, report.made_at)).collect(),
        attendance,
    };
    Ok(unkept(axum::Json(shown).into_response()))
}

/// The report as a table (RFC 4180), with a row for each case.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/report.csv", operation_id = "get_report_table", tag = "Reports",
    params(("id" = MeetingId, Path), OccurrenceQuery),
    responses((status = 200, body = String, content_type = "text/csv"), (status = 404, body = ProblemBody)))]
async fn table(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<OccurrenceQuery>,
) -> Result<Response, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let report = gather(&api, &id, query.occurrence.as_deref()).await?;
    Ok(csv("report.csv", outcome_table(&report)))
}

/// The report as a page to print.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/report.html", operation_id = "get_report_page", tag = "Reports",
    params(("id" = MeetingId, Path), OccurrenceQuery),
    responses((status = 200, body = String, content_type = "text/html"), (status = 404, body = ProblemBody)))]
async fn printable(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<OccurrenceQuery>,
) -> Result<Response, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let report = gather(&api, &id, query.occurrence.as_deref()).await?;
    let mut response = ([(CONTENT_TYPE, "text/html; charset=utf-8")], page(&report)).into_response();
    let policy = format!(
        "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-modals",
        style_hash()
    );
    // Base 64 and words of ours are always a valid value; without one, the server's usual policy is set.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    Ok(unkept(response))
}

/// A file to save. Its name tells nothing.
pub(super) fn csv(name: &'static str, table: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, disposition)];
    unkept((headers, table).into_response())
}

/// Names and outcomes stay in no cache.
fn unkept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Everything that an occurrence came to, as of now.
pub(super) async fn gather(api: &Api, id: &MeetingId, original: Option<&str>) -> Result<Report, Problem> {
    let made_at = Moment::now();
    let (meeting, occurrence) = meant(api, id, original, made_at).await?;
    let cases = api.store.cases(id, occurrence.original).await?;
    let open = cases.iter().filter(|case| case.attendance.is_none());
    let facts = match open.filter_map(|case| case.began_at()).min() {
        Some(from) => api.store.attendance_facts(id, from).await?,
        None => Default::default(),
    };
    let invitations = api.store.invitations(id, None, INVITATIONS_MAX).await?;
    let people = invitations.into_iter().map(|one| (one.id, Described { name: one.name, site: one.site })).collect();
    let required = &meeting.required_specialties;
    let discuss = |case| Discussed::new(case, |case| facts.attendance(&case.times, made_at), required);
    let cases = cases.into_iter().map(discuss).collect();
    Ok(Report { meeting, occurrence, made_at, people, cases })
}
