//! A meeting as it is held: who is there at this moment, and what hosts do with the whole of it.

use super::Api;
use super::caller::Known;
use super::extract::Path;
use super::hosting::Act;
use super::ownership::allow;
use super::problem::{Problem, ProblemBody};
use crate::gate;
use crate::identity::Action;
use crate::ids::MeetingId;
use crate::meetings::lobby::{Gathering, Place, has_ended};
use crate::meetings::window::window;
use crate::moment::Moment;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(lock)).routes(routes!(unlock)).routes(routes!(end))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Room)]
struct Shown {
    meeting: MeetingId,
    /// Whether links let in also those who are no hosts.
    is_open: bool,
    is_locked: bool,
    /// When its room opened; absent while nobody is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    opened_at: Option<Moment>,
    /// When a host ended it; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    ended_at: Option<Moment>,
    has_host: bool,
    participants: usize,
    capacity: u32,
    /// People at the door; for hosts and API keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    waiting: Option<usize>,
}

/// See a meeting as it is held at this moment.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/room", operation_id = "get_room", tag = "Rooms", params(("id" = MeetingId, Path)),
    responses((status = 200, body = Shown), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::Attend(&id)).await?;
    let now = Moment::now();
    let meeting = api.store.meeting(&id).await?;
    let exceptions = api.store.exceptions(&id).await?;
    let gathering = api.store.gathering(&id).await?.unwrap_or_else(|| Gathering::new(id.clone(), now));
    let state = api.rooms.state(meeting.room()).await;
    let people = state.as_ref().map(|state| state.people.as_slice()).unwrap_or_default();
    let waiting = match allow(&api, &caller, Action::ReadPeople(&id)).await {
        Ok(_) => Some(api.store.places(&id).await?.iter().filter(|place| Place::is_at_the_door(place)).count()),
        Err(_) => None,
    };
    let has_host = people.iter().any(|person| gate::is_host(&person.attributes));
    let window = window(&meeting, &exceptions, now);
    let is_over = has_ended(Some(&gathering), window.as_ref());
    Ok(axum::Json(Shown {
        is_open: has_host || (!is_over && window.is_some()),
        meeting: id,
        is_locked: gathering.is_locked,
        opened_at: state
            .as_ref()
            .filter(|state| !state.people.is_empty())
            .map(|state| Moment::from_ms(state.opened_at_ms)),
        ended_at: gathering.ended_at.filter(|_| is_over),
        has_host,
        participants: people.len(),
        capacity: meeting.capacity,
        waiting,
    }))
}

/// Lock the door: nobody comes in but hosts and whom they admit.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/room/lock", operation_id = "lock_room", tag = "Rooms", params(("id" = MeetingId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn lock(State(api): State<Api>, Known(caller): Known, Path(id): Path<MeetingId>) -> Result<StatusCode, Problem> {
    set_lock(Act::begin(&api, &caller, &id).await?, true).await
}

/// Unlock the door.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/room/unlock", operation_id = "unlock_room", tag = "Rooms", params(("id" = MeetingId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn unlock(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
) -> Result<StatusCode, Problem> {
    set_lock(Act::begin(&api, &caller, &id).await?, false).await
}

async fn set_lock(mut act: Act, is_locked: bool) -> Result<StatusCode, Problem> {
    let gathering = act.touch().await?;
    if gathering.is_locked != is_locked {
        act.write.put_gathering(&Gathering { is_locked, ..gathering }).await?;
        act.record_meeting(if is_locked { "meeting.locked" } else { "meeting.unlocked" }).await?;
        act.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// End the meeting for everybody. Only hosts can begin it anew; others come again when the next occurrence opens.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/room/end", operation_id = "end_room", tag = "Rooms", params(("id" = MeetingId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn end(State(api): State<Api>, Known(caller): Known, Path(id): Path<MeetingId>) -> Result<StatusCode, Problem> {
    let mut act = Act::begin(&api, &caller, &id).await?;
    let gathering = Gathering { ended_at: Some(act.now), ..Gathering::new(id.clone(), act.now) };
    act.write.put_gathering(&gathering).await?;
    act.write.delete_places(&id).await?;
    act.record_meeting("meeting.ended").await?;
    act.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
