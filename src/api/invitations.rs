//! Invitations: people and guests, their roles, and their links.

use super::Api;
use super::caller::Known;
use super::creation::{Begun, Created, Creation};
use super::extract::{IdempotencyKey, Json, Path, Query, present};
use super::meetings::nullable;
use super::ownership::allow;
use super::page::{Page, PageQuery, read_cursor};
use super::problem::{Code, Problem, ProblemBody};
use super::version::{IfMatch, etag};
use crate::identity::{Action, Caller, may};
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::invitation::{
    Email, INVITATIONS_MAX, Invitation, LinkSecret, Role, check_link_expiry, default_link_expiry,
};
use crate::meetings::lobby::Place;
use crate::meetings::meeting::{Meeting, Status};
use crate::moment::Moment;
use crate::store::Write;
use crate::store::audit::{Detail, NewEntry};
use crate::store::events::NewEvent;
use crate::text::Name;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, update, revoke)).routes(routes!(new_link))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Invitation)]
struct Shown {
    id: InvitationId,
    meeting: MeetingId,
    name: Name,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    specialty: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    site: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    email: Option<Email>,
    #[schema(value_type = String, format = DateTime)]
    link_expires_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Moment>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
}

impl From<Invitation> for Shown {
    fn from(invitation: Invitation) -> Self {
        let Invitation { id, meeting, name, role, specialty, site, email, link_expires_at, .. } = invitation;
        let (revoked_at, created_at) = (invitation.revoked_at, invitation.created_at);
        Self { id, meeting, name, role, specialty, site, email, link_expires_at, revoked_at, created_at }
    }
}

/// An invitation with the secret of its link, which is shown once.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NewInvitation)]
struct WithLink {
    #[serde(flatten)]
    invitation: Shown,
    /// Whoever has it enters as this person: send it to them alone, in the fragment of a link.
    link_secret: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = InvitationRequest)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Name that others see.
    name: Name,
    role: Role,
    #[serde(default)]
    specialty: Option<Name>,
    /// The hospital or clinic.
    #[serde(default)]
    site: Option<Name>,
    #[serde(default)]
    email: Option<Email>,
    /// Absent: a day after the meeting's last end, or in 90 days where it has none.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    link_expires_at: Option<Moment>,
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[schema(as = InvitationChange)]
#[serde(deny_unknown_fields, default)]
struct Change {
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    name: Option<Name>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    role: Option<Role>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Name>)]
    specialty: Option<Option<Name>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Name>)]
    site: Option<Option<Name>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Email>)]
    email: Option<Option<Email>>,
    #[serde(deserialize_with = "present")]
    #[schema(required = false, nullable = false, value_type = Option<String>, format = DateTime)]
    link_expires_at: Option<Moment>,
}

/// List the invitations of a meeting, in the order in which they were made.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/invitations", operation_id = "list_invitations", tag = "Invitations",
    params(("id" = MeetingId, Path), PageQuery),
    responses((status = 200, body = Page<Shown>), (status = 404, body = ProblemBody)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let after: Option<InvitationId> =
        query.cursor.as_deref().map(|cursor| read_cursor(id.as_str(), cursor)).transpose()?;
    api.store.meeting(&id).await?;
    let rows = api.store.invitations(&id, after.as_ref(), query.limit.rows()).await?;
    Ok(axum::Json(Page::new(rows, query.limit, id.as_str(), |row| row.id.clone(), Shown::from)))
}

/// Invite somebody.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/invitations", operation_id = "create_invitation", tag = "Invitations", request_body = Asked,
    params(("id" = MeetingId, Path), ("Idempotency-Key" = Option<String>, Header, max_length = 144)),
    responses((status = 201, body = WithLink, headers(("ETag" = String), ("Location" = String))),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn create(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
    IdempotencyKey(key): IdempotencyKey,
    Json { value: asked, bytes }: Json<Asked>,
) -> Result<Created, Problem> {
    allow(&api, &caller, Action::ChangeMeeting(&id)).await?;
    let now = Moment::now();
    let path = format!("/api/v1/meetings/{id}/invitations");
    let (creation, mut write) = match Creation::begin(&api.store, &caller, key, &path, &bytes, now).await? {
        Begun::New(creation, write) => (creation, write),
        Begun::Replay(created) => return Ok(created),
    };
    let meeting = write.meeting(&id).await?;
    if meeting.status == Status::Cancelled {
        return Err(Code::MeetingCancelled.into());
    }
    if write.invitation_count(&id).await? >= INVITATIONS_MAX {
        return Err(Code::TooMany.into());
    }
    let (invitation, link) = asked.into_invitation(&meeting, now)?;
    write.insert_invitation(&invitation).await?;
    keep_link(&api, &mut write, &link).await?;
    record(&mut write, &caller, "invitation.created", &invitation, now).await?;
    let location = format!("/api/v1/invitations/{}", invitation.id);
    let version = invitation.version;
    let shown = WithLink { invitation: invitation.into(), link_secret: link.expose() };
    creation.commit(write, Created::new(location, version, &shown)?, now).await
}

impl Asked {
    fn into_invitation(self, meeting: &Meeting, now: Moment) -> Result<(Invitation, LinkSecret), Problem> {
        let expiry = self.link_expires_at.unwrap_or_else(|| default_link_expiry(meeting.schedule.ends_at(), now));
        check_link_expiry(expiry, now).map_err(|flaw| vec![flaw])?;
        let link = LinkSecret::new(InvitationId::new(now));
        let invitation = Invitation {
            id: link.id().clone(),
            meeting: meeting.id.clone(),
            name: self.name,
            role: self.role,
            specialty: self.specialty,
            site: self.site,
            email: self.email,
            link_hash: link.hash(),
            link_expires_at: expiry,
            revoked_at: None,
            link_renewed_at: None,
            version: 1,
            created_at: now,
        };
        Ok((invitation, link))
    }
}

/// Read an invitation.
#[utoipa::path(get, path = "/api/v1/invitations/{id}", operation_id = "get_invitation", tag = "Invitations", params(("id" = InvitationId, Path)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody)))]
async fn get(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<InvitationId>,
) -> Result<impl IntoResponse, Problem> {
    may(&caller, Action::ReadMeetings)?;
    let invitation = api.store.invitation(&id).await?;
    allow(&api, &caller, Action::ReadPeople(&invitation.meeting)).await?;
    Ok((etag(invitation.version), axum::Json(Shown::from(invitation))))
}

/// Change an invitation. Its link stays the same.
#[utoipa::path(patch, path = "/api/v1/invitations/{id}", operation_id = "update_invitation", tag = "Invitations", request_body = Change,
    params(("id" = InvitationId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Shown, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn update(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<InvitationId>,
    seen: IfMatch,
    Json { value: change, .. }: Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    allow_change(&api, &caller, &id).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut invitation = valid(write.invitation(&id).await?, &seen)?;
    if let Some(expiry) = change.link_expires_at {
        check_link_expiry(expiry, now).map_err(|flaw| vec![flaw])?;
        invitation.link_expires_at = expiry;
    }
    invitation.name = change.name.unwrap_or(invitation.name);
    invitation.role = change.role.unwrap_or(invitation.role);
    invitation.specialty = change.specialty.unwrap_or(invitation.specialty);
    invitation.site = change.site.unwrap_or(invitation.site);
    invitation.email = change.email.unwrap_or(invitation.email);
    invitation.version += 1;
    write.update_invitation(&invitation).await?;
    record(&mut write, &caller, "invitation.updated", &invitation, now).await?;
    write.commit().await?;
    Ok((etag(invitation.version), axum::Json(Shown::from(invitation))))
}

/// Revoke an invitation: its link lets nobody in any more.
#[utoipa::path(delete, path = "/api/v1/invitations/{id}", operation_id = "revoke_invitation", tag = "Invitations",
    params(("id" = InvitationId, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn revoke(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<InvitationId>,
    seen: IfMatch,
) -> Result<StatusCode, Problem> {
    allow_change(&api, &caller, &id).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut invitation = valid(write.invitation(&id).await?, &seen)?;
    invitation.revoked_at = Some(now);
    invitation.version += 1;
    write.update_invitation(&invitation).await?;
    write.delete_link(&id).await?;
    record(&mut write, &caller, "invitation.revoked", &invitation, now).await?;
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a new link for an invitation; the old one stops working, and so does what it opened: whoever is inside goes.
#[utoipa::path(post, path = "/api/v1/invitations/{id}/link", operation_id = "renew_invitation_link", tag = "Invitations",
    params(("id" = InvitationId, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = WithLink, headers(("ETag" = String))), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
async fn new_link(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<InvitationId>,
    seen: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    allow_change(&api, &caller, &id).await?;
    let now = Moment::now();
    let mut write = api.store.write().await?;
    let mut invitation = valid(write.invitation(&id).await?, &seen)?;
    let meeting = write.meeting(&invitation.meeting).await?;
    let link = LinkSecret::new(id);
    invitation.link_hash = link.hash();
    invitation.link_renewed_at = Some(now);
    // Whoever waits with the old link knocks again with the new one.
    if let Some(place) = write.place(&invitation.id).await? {
        write.put_place(&Place { ticket_hash: None, version: place.version + 1, ..place }).await?;
    }
    if invitation.link_expires_at <= now {
        invitation.link_expires_at = default_link_expiry(meeting.schedule.ends_at(), now);
    }
    invitation.version += 1;
    write.update_invitation(&invitation).await?;
    keep_link(&api, &mut write, &link).await?;
    record(&mut write, &caller, "invitation.link_renewed", &invitation, now).await?;
    write.commit().await?;
    let version = invitation.version;
    Ok((etag(version), axum::Json(WithLink { invitation: invitation.into(), link_secret: link.expose() })))
}

/// Scopes first: who may change nothing at all does not learn which invitations there are.
async fn allow_change(api: &Api, caller: &Caller, id: &InvitationId) -> Result<(), Problem> {
    may(caller, Action::WriteMeetings)?;
    let invitation = api.store.invitation(id).await?;
    allow(api, caller, Action::ChangeMeeting(&invitation.meeting)).await?;
    Ok(())
}

/// Sealed, for calendars and mails that must have the link again after the meeting has moved.
async fn keep_link(api: &Api, write: &mut Write, link: &LinkSecret) -> Result<(), Problem> {
    let sealed = api.outward.vault.seal_link(link).ok_or(Code::Internal)?;
    Ok(write.put_link(link.id(), &sealed).await?)
}

/// The invitation as the caller saw it, if it can still be changed.
fn valid(invitation: Invitation, seen: &IfMatch) -> Result<Invitation, Problem> {
    seen.check(invitation.version)?;
    match invitation.revoked_at {
        None => Ok(invitation),
        Some(_) => Err(Problem::new(Code::Conflict).with_detail("This invitation is revoked.")),
    }
}

async fn record(
    write: &mut Write,
    caller: &Caller,
    kind: &'static str,
    invitation: &Invitation,
    now: Moment,
) -> Result<(), Problem> {
    let (id, meeting) = (invitation.id.as_str(), invitation.meeting.as_str());
    let body = json!({"invitation": id, "meeting": meeting, "role": invitation.role, "version": invitation.version});
    write.append_event(now, &NewEvent { kind, subject: meeting, body }).await?;
    let details =
        [("meeting", Detail::Id((&invitation.meeting).into())), ("role", Detail::Word(invitation.role.name()))];
    let entry = NewEntry { actor: caller.subject.as_str(), action: kind, subject: id, details: &details };
    Ok(write.append_audit(now, &entry).await?)
}
