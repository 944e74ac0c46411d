//! Entering a meeting with the link of an invitation: a token with the grants of its role, or the answer that a host has to
//! admit first.

use super::Api;
use super::caller::slow_down;
use super::extract::Json;
use super::problem::{Code, Problem, ProblemBody};
use crate::identity::account::User;
use crate::ids::MeetingId;
use crate::meetings::admission::{Admission, admission, claims, token_ttl, verified};
use crate::meetings::invitation::{Invitation, LinkRefusal, LinkSecret, Role};
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::store::StoreError;
use crate::store::audit::{Detail, NewEntry};
use crate::text::Name;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::SystemTime;

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = EntryRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryRequest {
    /// The secret of an invitation's link.
    #[schema(max_length = 128)]
    link_secret: String,
}

/// The way in.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Entry)]
pub(super) struct Entered {
    /// Opens the WebSocket.
    token: String,
    meeting: MeetingId,
    title: Name,
    /// As others see it: of the account, where somebody is signed in.
    name: Name,
    role: Role,
    /// Whether others are told that this is who they say.
    is_verified: bool,
}

/// The way in is not open yet: a host has to admit.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Waiting)]
pub(super) struct Waiting {
    /// Always `waiting`.
    status: &'static str,
    meeting: MeetingId,
    title: Name,
    role: Role,
}

/// Enter a meeting with the secret of an invitation's link.
#[utoipa::path(post, path = "/api/v1/join/invitation", operation_id = "enter_by_invitation", tag = "Joining", request_body = EntryRequest, security(()),
    responses((status = 200, body = Entered), (status = 202, body = Waiting), (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn enter(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json { value: request, .. }: Json<EntryRequest>,
) -> Response {
    match admit(&api, &headers, &request.link_secret).await {
        Ok(response) => response,
        // A link that is no link may be a guess.
        Err(problem) if problem.code() == Code::LinkInvalid => slow_down(&api, peer, problem),
        Err(problem) => problem.into_response(),
    }
}

async fn admit(api: &Api, headers: &HeaderMap, secret: &str) -> Result<Response, Problem> {
    let now = Moment::now();
    let link = LinkSecret::parse(secret).ok_or(Code::LinkInvalid)?;
    let invitation = match api.store.invitation(link.id()).await {
        Err(StoreError::NotFound) => return Err(Code::LinkInvalid.into()),
        found => found?,
    };
    if !invitation.link_hash.matches(&link.hash()) {
        return Err(Code::LinkInvalid.into());
    }
    invitation.check_link(now).map_err(|refusal| match refusal {
        LinkRefusal::Expired => Code::LinkExpired,
        LinkRefusal::Revoked => Code::LinkInvalid,
    })?;
    let meeting = api.store.meeting(&invitation.meeting).await?;
    match admission(&meeting, invitation.role) {
        Admission::Cancelled => Err(Code::MeetingCancelled.into()),
        Admission::Wait => {
            let Meeting { id: meeting, title, .. } = meeting;
            let waiting = Waiting { status: "waiting", meeting, title, role: invitation.role };
            Ok((StatusCode::ACCEPTED, axum::Json(waiting)).into_response())
        }
        Admission::Enter => {
            let visitor = api.sign_in.visitor(api, headers).await?;
            let user = verified(&invitation, visitor.as_ref());
            let claims = claims(&meeting, &invitation, user);
            let token = api.keys.sign(&claims, SystemTime::now(), token_ttl(&invitation, now)).map_err(|error| {
                tracing::error!(%error, "the token of an invitation was not signed");
                Code::Internal
            })?;
            audit_entry(api, &invitation, user, now).await?;
            let Meeting { id: meeting, title, .. } = meeting;
            let name = user.map_or(invitation.name, |user| user.name.clone());
            let entered = Entered { token, meeting, title, name, role: invitation.role, is_verified: user.is_some() };
            Ok(axum::Json(entered).into_response())
        }
    }
}

/// A link that opened a meeting is what an investigation asks for first.
async fn audit_entry(api: &Api, invitation: &Invitation, user: Option<&User>, now: Moment) -> Result<(), Problem> {
    let mut write = api.store.write().await?;
    let subject = invitation.id.as_str();
    let mut details =
        vec![("meeting", Detail::Id((&invitation.meeting).into())), ("role", Detail::Word(invitation.role.name()))];
    details.extend(user.map(|user| ("user", Detail::Id((&user.id).into()))));
    let entry = NewEntry { actor: subject, action: "invitation.used", subject, details: &details };
    write.append_audit(now, &entry).await?;
    Ok(write.commit().await?)
}
