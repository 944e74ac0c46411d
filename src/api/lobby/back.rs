//! The way from the room back to its door: whoever a host sent to the lobby takes their place there, to be admitted again.
//! Who was removed has none, and has to knock by themselves.

use crate::api::Api;
use crate::api::caller::slow_down;
use crate::api::entry::{EntryRequest, Waiting, code, invited, knock};
use crate::api::extract::Json;
use crate::api::problem::{Code, Problem, ProblemBody};
use crate::gate::Surroundings;
use crate::meetings::admission::verified;
use crate::meetings::lobby::Decision;
use crate::moment::Moment;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;

/// Take your place at the door where a host has sent you from inside the room. Whoever was removed, stands there already or need
/// not wait is refused with `not_waiting`; using the link anew is for them to decide.
#[utoipa::path(post, path = "/api/v1/lobby", operation_id = "return_to_lobby", tag = "Lobby", request_body = EntryRequest, security(()),
    responses((status = 202, body = Waiting), (status = 403, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn come_back(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json { value: request, .. }: Json<EntryRequest>,
) -> Response {
    match wait_again(&api, &headers, &request).await {
        Ok(waiting) => (StatusCode::ACCEPTED, axum::Json(waiting)).into_response(),
        // A link that is no link may be a guess.
        Err(problem) if problem.code() == Code::LinkInvalid => slow_down(&api, peer, problem),
        Err(problem) => problem.into_response(),
    }
}

async fn wait_again(api: &Api, headers: &HeaderMap, request: &EntryRequest) -> Result<Waiting, Problem> {
    let now = Moment::now();
    let invitation = invited(api, request, now).await?;
    let meeting = api.store.meeting(&invitation.meeting).await?;
    let surroundings = Surroundings::look(&api.store, &api.rooms, &meeting, &invitation.id, now).await?;
    let visitor = api.sign_in.visitor(api, headers).await?;
    let user = verified(&invitation, visitor.as_ref());
    let mut write = api.store.write().await?;
    let place = write.place(&invitation.id).await?;
    let gathering = write.gathering(&meeting.id).await?;
    let decision = surroundings.decide(&meeting, invitation.role, place.as_ref(), gathering.as_ref(), now);
    // Nobody's place is taken from them, as it is where a link is used anew.
    let is_sent = place.as_ref().is_some_and(|place| place.standing.is_waiting() && !place.is_at_the_door());
    match decision {
        Decision::Refuse(refusal) => Err(code(refusal).into()),
        Decision::Wait if is_sent => {
            let ticket = knock(&mut write, &meeting, &invitation, user, place, now).await?;
            write.commit().await?;
            Ok(Waiting::new(&ticket, meeting, invitation.role))
        }
        Decision::Wait | Decision::Enter => Err(Code::NotWaiting.into()),
    }
}
