//! Meetings as files for calendars, for systems that send or show them themselves.

use super::Api;
use super::caller::Known;
use super::extract::Path;
use super::ownership::allow;
use super::problem::{Problem, ProblemBody};
use crate::calendar::{self, Attendee, Entry, Method};
use crate::identity::{Action, may};
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::invitation::{INVITATIONS_MAX, Invitation};
use crate::meetings::meeting::{Meeting, Status};
use crate::moment::Moment;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(meeting)).routes(routes!(invitation))
}

/// A meeting as an iCalendar file with everybody who has an address: `METHOD:REQUEST`, or `METHOD:CANCEL` once it is
/// cancelled. The link in it is the meeting's page and lets nobody in by itself.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/calendar.ics", operation_id = "get_meeting_calendar", tag = "Calendars",
    params(("id" = MeetingId, Path)),
    responses((status = 200, body = String, content_type = "text/calendar"), (status = 404, body = ProblemBody)))]
async fn meeting(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let meeting = api.store.meeting(&id).await?;
    let invitations = api.store.invitations(&id, None, INVITATIONS_MAX).await?;
    let invited = invitations.iter().filter(|invitation| invitation.revoked_at.is_none());
    let attendees: Vec<_> = invited.filter_map(Attendee::new).collect();
    let link = api.outward.links.meeting(&id);
    one(&api, &meeting, &attendees, &link, false).await
}

/// A meeting as an iCalendar file for one person: `METHOD:REQUEST`, or `METHOD:CANCEL` once the meeting is cancelled or the
/// invitation revoked. With the scope `meetings:write`, the link in it is theirs, and whoever has it enters as them.
#[utoipa::path(get, path = "/api/v1/invitations/{id}/calendar.ics", operation_id = "get_invitation_calendar", tag = "Calendars",
    params(("id" = InvitationId, Path)),
    responses((status = 200, body = String, content_type = "text/calendar"), (status = 404, body = ProblemBody)))]
async fn invitation(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<InvitationId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadMeetings)?;
    let invitation = api.store.invitation(&id).await?;
    allow(&api, &caller, Action::ReadPeople(&invitation.meeting)).await?;
    let meeting = api.store.meeting(&invitation.meeting).await?;
    let attendees: Vec<_> = Attendee::new(&invitation).into_iter().collect();
    // Who may only read must not be able to enter as somebody else.
    let link = match allow(&api, &caller, Action::ChangeMeeting(&meeting.id)).await {
        Ok(_) => personal_link(&api, &invitation).await?,
        Err(_) => api.outward.links.meeting(&meeting.id),
    };
    one(&api, &meeting, &attendees, &link, invitation.revoked_at.is_some()).await
}

/// Where this person enters; where the secret of their link is not known, the meeting's page.
pub(super) async fn personal_link(api: &Api, invitation: &Invitation) -> Result<String, Problem> {
    let sealed = api.store.link(&invitation.id).await?;
    let link = sealed.and_then(|sealed| api.outward.vault.open_link(&invitation.id, &sealed));
    Ok(api.outward.links.personal(&invitation.meeting, link.as_ref()))
}

async fn one(
    api: &Api,
    meeting: &Meeting,
    attendees: &[Attendee],
    link: &str,
    is_revoked: bool,
) -> Result<Response, Problem> {
    let is_cancelled = is_revoked || meeting.status == Status::Cancelled;
    let method = if is_cancelled { Method::Cancel } else { Method::Request };
    let exceptions = api.store.exceptions(&meeting.id).await?;
    let entry = Entry { meeting, exceptions: &exceptions, attendees, link, is_cancelled };
    Ok(answer(calendar::write(method, &api.outward.organizer, &[entry], Moment::now()), method))
}

pub(super) fn answer(text: String, method: Method) -> Response {
    let kind = format!("{}; charset=utf-8; method={}", calendar::MEDIA_TYPE, method.name());
    ([(CONTENT_TYPE, kind)], text).into_response()
}
