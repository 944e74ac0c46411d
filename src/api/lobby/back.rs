//! The way from the room back to its door: whoever a host sent to the lobby takes their place there, to be admitted again.
//! Who was removed has none, and has to knock by themselves.

use crate::api::Api;
use crate::api::entry::{EntryRequest, Visit, Waiting, answer, code};
use crate::api::extract::Json;
use crate::api::problem::{Code, Problem, ProblemBody};
use crate::meetings::lobby::Decision;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::Response;
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
    answer(&api, peer, wait_again(&api, &headers, &request).await)
}

async fn wait_again(api: &Api, headers: &HeaderMap, request: &EntryRequest) -> Result<Response, Problem> {
    let visit = Visit::begin(api, headers, request).await?;
    // Nobody's place is taken from them, as it is where a link is used anew.
    let is_sent = visit.place.as_ref().is_some_and(|place| place.standing.is_waiting() && !place.is_at_the_door());
    match visit.decision {
        Decision::Refuse(refusal) => Err(code(refusal).into()),
        Decision::Wait if is_sent => visit.wait().await,
        Decision::Wait | Decision::Enter => Err(Code::NotWaiting.into()),
    }
}
