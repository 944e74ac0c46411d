//! Another role for somebody in a meeting, and the chair handed over. The invitation is changed, so the role counts from the
//! next request on, whatever a token says; the room follows at once.

use crate::api::Api;
use crate::api::caller::Known;
use crate::api::extract::{Json, Path};
use crate::api::hosting::Act;
use crate::api::problem::{Code, Problem, ProblemBody};
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::invitation::{Invitation, Role};
use crate::meetings::lobby::Standing;
use crate::store::audit::Detail;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = RoleRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleRequest {
    role: Role,
}

/// Give somebody another role. Making somebody the chair hands the chair over: who had it becomes a coordinator. Only a
/// chair, or whoever may change the meeting, can give or take the chair.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{invitation}/role", operation_id = "change_role", tag = "Rooms", request_body = RoleRequest,
    params(("id" = MeetingId, Path), ("invitation" = InvitationId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn change(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, invitation)): Path<(MeetingId, InvitationId)>,
    Json { value: RoleRequest { role }, .. }: Json<RoleRequest>,
) -> Result<StatusCode, Problem> {
    // Before the lock, which nobody shall hold while a room is asked.
    let is_here = api.rooms.is_here(id.as_str(), invitation.as_str()).await;
    let mut act = Act::begin(&api, &caller, &id).await?;
    let old = act.invitation(&invitation).await?;
    if old.role == role {
        return Ok(StatusCode::NO_CONTENT);
    }
    if old.role == Role::Chair || role == Role::Chair {
        act.may_chair()?;
    }
    let others: Vec<_> = act.write.chairs(&id).await?.into_iter().filter(|chair| chair.id != invitation).collect();
    if old.role == Role::Chair && others.is_empty() {
        return Err(Code::LastChair.into());
    }
    if role == Role::Chair {
        for chair in others {
            set(&mut act, chair, Role::Coordinator).await?;
        }
    }
    let place = act.write.place(&invitation).await?;
    let waits = place.as_ref().is_some_and(|place| place.standing.is_waiting());
    // Whoever is inside stays, also where the new role would have to wait or they once stood at the door; and hosts wait no
    // longer.
    if (is_here && (place.is_none() || old.role.is_host())) || (waits && role.is_host()) {
        act.stand(&invitation, Standing::Admitted).await?;
    }
    set(&mut act, old, role).await?;
    act.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set(act: &mut Act, old: Invitation, role: Role) -> Result<(), Problem> {
    let new = Invitation { role, version: old.version + 1, ..old };
    act.write.update_invitation(&new).await?;
    let body = json!({"role": role, "version": new.version});
    act.record("participant.role_changed", &new.id, body, &[("role", Detail::Word(role.name()))]).await
}
