//! Who was present for which case, who is present now, and whether that is a quorum.

use super::Api;
use super::caller::Known;
use super::extract::{Path, Query};
use super::meant::OccurrenceQuery;
use super::ownership::allow;
use super::problem::{Problem, ProblemBody};
use super::reports::{csv, gather};
use crate::identity::Action;
use crate::ids::{CaseId, InvitationId, MeetingId};
use crate::mdt::attendance::Attendee;
use crate::mdt::case::Stage;
use crate::mdt::quorum::Quorum;
use crate::mdt::reference::Reference;
use crate::mdt::report::{Described, Discussed, Report, attendance_table};
use crate::meetings::invitation::Role;
use crate::meetings::schedule::format_local;
use crate::text::Name;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use std::collections::HashMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(table)).routes(routes!(quorum))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Attendance)]
struct Shown {
    /// Local start of the occurrence by the rule.
    occurrence: String,
    cases: Vec<OfCase>,
}

/// Attendance of one case.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CaseAttendance)]
pub(super) struct OfCase {
    case: CaseId,
    position: i64,
    reference: Reference,
    stage: Stage,
    /// Whether it was kept when the case was finished; until then it grows.
    is_final: bool,
    /// Whether the required specialties were present at any time of the case.
    is_quorate: bool,
    missing_specialties: Vec<Name>,
    /// Everybody who is invited or was there; nobody before the case was begun.
    people: Vec<OfPerson>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Attendee)]
struct OfPerson {
    invitation: InvitationId,
    /// Absent once the invitation was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    name: Option<Name>,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    specialty: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    site: Option<Name>,
    /// Whether they were in the room at any time while the case's timer ran.
    is_present: bool,
    /// For how long, in begun seconds.
    seconds: i64,
}

impl OfCase {
    pub(super) fn new(discussed: &Discussed, people: &HashMap<InvitationId, Described>) -> Self {
        let case = &discussed.case;
        let person = |attendee: &Attendee| {
            let described = people.get(&attendee.invitation).cloned();
            let (name, site) = described.map(|person| (person.name, person.site)).unzip();
            OfPerson {
                invitation: attendee.invitation.clone(),
                name,
                role: attendee.role,
                specialty: attendee.specialty.clone(),
                site: site.flatten(),
                is_present: attendee.is_present(),
                seconds: attendee.seconds(),
            }
        };
        Self {
            case: case.id.clone(),
            position: case.position,
            reference: case.reference.clone(),
            stage: case.stage,
            is_final: discussed.is_final(),
            is_quorate: discussed.quorum.is_reached(),
            missing_specialties: discussed.quorum.missing.clone(),
            people: discussed.attendance.iter().map(person).collect(),
        }
    }

    pub(super) fn all(report: &Report) -> Vec<Self> {
        report.cases.iter().map(|discussed| Self::new(discussed, &report.people)).collect()
    }
}

/// Who was present for which case of an occurrence. For hosts.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/attendance", operation_id = "get_attendance", tag = "Attendance",
    params(("id" = MeetingId, Path), OccurrenceQuery),
    responses((status = 200, body = Shown), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<OccurrenceQuery>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let report = gather(&api, &id, query.occurrence.as_deref()).await?;
    let occurrence = format_local(report.occurrence.original);
    Ok(axum::Json(Shown { occurrence, cases: OfCase::all(&report) }))
}

/// The same as a table (RFC 4180), with a row for each case and person.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/attendance.csv", operation_id = "get_attendance_table", tag = "Attendance",
    params(("id" = MeetingId, Path), OccurrenceQuery),
    responses((status = 200, body = String, content_type = "text/csv"), (status = 404, body = ProblemBody)))]
async fn table(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<OccurrenceQuery>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let report = gather(&api, &id, query.occurrence.as_deref()).await?;
    Ok(csv("attendance.csv", attendance_table(&report)))
}

/// Whether the required specialties are present.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = QuorumNow)]
struct Now {
    is_reached: bool,
    #[serde(flatten)]
    quorum: Quorum,
    /// People in the room.
    present: usize,
}

/// Whether the specialties that the meeting requires are in the room now. Chairs, core and extended members count.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/quorum", operation_id = "get_quorum", tag = "Attendance",
    params(("id" = MeetingId, Path)),
    responses((status = 200, body = Now), (status = 404, body = ProblemBody)))]
async fn quorum(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    let required = api.store.meeting(&id).await?.required_specialties;
    let people = api.store.people_present(&id).await?;
    let quorum = Quorum::of(&required, people.iter().map(|one| (one.role, one.specialty.as_ref())));
    Ok(axum::Json(Now { is_reached: quorum.is_reached(), quorum, present: people.len() }))
}
