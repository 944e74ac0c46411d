//! Entering a meeting with the link of an invitation: a token with the grants of its role, or the answer that a host has to
//! admit first.

use super::Api;
use super::caller::{check_link_rate, slow_down};
use super::extract::Json;
use super::problem::{Code, Problem, ProblemBody};
use crate::gate::Surroundings;
use crate::gathering;
use crate::identity::account::User;
use crate::ids::MeetingId;
use crate::meetings::admission::{claims, token_ttl, verified};
use crate::meetings::invitation::{Invitation, LinkRefusal, LinkSecret, Role};
use crate::meetings::lobby::{Decision, Place, Refusal, Standing, Ticket};
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::store::audit::{Detail, NewEntry};
use crate::store::events::NewEvent;
use crate::store::{StoreError, Write};
use crate::text::Name;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// Asks at `/api/v1/lobby` what becomes of it, as `Authorization: Bearer …`.
    ticket: String,
    meeting: MeetingId,
    title: Name,
    role: Role,
}

impl Waiting {
    fn new(ticket: &Ticket, meeting: Meeting, role: Role) -> Self {
        let Meeting { id: meeting, title, .. } = meeting;
        Self { status: "waiting", ticket: ticket.expose(), meeting, title, role }
    }
}

/// Enter a meeting with the secret of an invitation's link, or knock at its door.
#[utoipa::path(post, path = "/api/v1/join/invitation", operation_id = "enter_by_invitation", tag = "Joining", request_body = EntryRequest, security(()),
    responses((status = 200, body = Entered), (status = 202, body = Waiting), (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn enter(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json { value: request, .. }: Json<EntryRequest>,
) -> Response {
    answer(&api, peer, admit(&api, &headers, &request).await)
}

/// A link that is no link may be a guess, which is slowed down.
pub(super) fn answer(api: &Api, peer: SocketAddr, found: Result<Response, Problem>) -> Response {
    match found {
        Ok(response) => response,
        Err(problem) if problem.code() == Code::LinkInvalid => slow_down(api, peer, problem),
        Err(problem) => problem.into_response(),
    }
}

async fn admit(api: &Api, headers: &HeaderMap, request: &EntryRequest) -> Result<Response, Problem> {
    let visit = Visit::begin(api, headers, request).await?;
    match visit.decision {
        Decision::Refuse(refusal) => Err(code(refusal).into()),
        Decision::Wait => visit.wait().await,
        // Hosts get their token all the same: with it they can make room.
        Decision::Enter if visit.surroundings.is_full(&visit.meeting) && !visit.invitation.role.is_host() => {
            Err(Code::MeetingFull.into())
        }
        Decision::Enter => visit.enter(api).await,
    }
}

/// Somebody at the door with a link, and what was decided about them. While it lives nobody else writes, so that it still
/// holds when it is acted on.
pub(super) struct Visit {
    invitation: Invitation,
    meeting: Meeting,
    surroundings: Surroundings,
    /// Who they are, where they signed in.
    user: Option<User>,
    pub(super) place: Option<Place>,
    pub(super) decision: Decision,
    write: Write,
    now: Moment,
}

impl Visit {
    pub(super) async fn begin(api: &Api, headers: &HeaderMap, request: &EntryRequest) -> Result<Self, Problem> {
        let now = Moment::now();
        let invitation = invited(api, request, now).await?;
        let meeting = api.store.meeting(&invitation.meeting).await?;
        let surroundings = Surroundings::look(&api.store, &api.rooms, &meeting, &invitation.id, now).await?;
        let visitor = api.sign_in.visitor(api, headers).await?;
        let user = verified(&invitation, visitor.as_ref()).cloned();
        let mut write = api.store.write().await?;
        let place = write.place(&invitation.id).await?;
        let gathering = write.gathering(&meeting.id).await?;
        let decision = surroundings.decide(&meeting, invitation.role, place.as_ref(), gathering.as_ref(), now);
        Ok(Self { invitation, meeting, surroundings, user, place, decision, write, now })
    }

    pub(super) async fn wait(self) -> Result<Response, Problem> {
        let Self { invitation, meeting, user, place, mut write, now, .. } = self;
        let ticket = knock(&mut write, &meeting, &invitation, user.as_ref(), place, now).await?;
        write.commit().await?;
        let waiting = Waiting::new(&ticket, meeting, invitation.role);
        Ok((StatusCode::ACCEPTED, axum::Json(waiting)).into_response())
    }

    async fn enter(self, api: &Api) -> Result<Response, Problem> {
        let Self { invitation, meeting, user, place, mut write, now, .. } = self;
        let user = user.as_ref();
        let token = token(api, &meeting, &invitation, user, now)?;
        // Where hosts stood before they were hosts keeps them out no more, whatever they become.
        if let Some(place) = place.filter(|place| place.standing != Standing::Admitted) {
            write.put_place(&place.decided(Standing::Admitted, now)).await?;
        }
        audit_entry(&mut write, &invitation, user, now).await?;
        write.commit().await?;
        let Meeting { id: meeting, title, .. } = meeting;
        let name = user.map_or(invitation.name, |user| user.name.clone());
        let entered = Entered { token, meeting, title, name, role: invitation.role, is_verified: user.is_some() };
        Ok(axum::Json(entered).into_response())
    }
}

/// Whose link it is, if it is good now and not used too often.
async fn invited(api: &Api, request: &EntryRequest, now: Moment) -> Result<Invitation, Problem> {
    let link = LinkSecret::parse(&request.link_secret).ok_or(Code::LinkInvalid)?;
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
    check_link_rate(api, &invitation.id)?;
    Ok(invitation)
}

/// What opens the room for this person.
pub(super) fn token(
    api: &Api,
    meeting: &Meeting,
    invitation: &Invitation,
    user: Option<&User>,
    now: Moment,
) -> Result<String, Problem> {
    let claims = claims(meeting, invitation, user);
    let first = invitation.tokens_begin().map(|first| UNIX_EPOCH + Duration::from_secs(first));
    let begins = first.map_or(SystemTime::now(), |first| first.max(SystemTime::now()));
    api.keys.sign(&claims, begins, token_ttl(invitation, now)).map_err(|error| {
        tracing::error!(%error, "the token of an invitation was not signed");
        Code::Internal.into()
    })
}

pub(super) const fn code(refusal: Refusal) -> Code {
    match refusal {
        Refusal::Cancelled => Code::MeetingCancelled,
        Refusal::Ended => Code::MeetingEnded,
        Refusal::NotOpen => Code::MeetingNotOpen,
        Refusal::Locked => Code::MeetingLocked,
        Refusal::Denied => Code::EntryDenied,
        Refusal::Banned => Code::EntryBanned,
    }
}

/// Somebody stands at the door from now on, with a ticket in the place of any before. Hosts are told of them once, and not of
/// whom the next case lets in by itself.
async fn knock(
    write: &mut Write,
    meeting: &Meeting,
    invitation: &Invitation,
    user: Option<&User>,
    place: Option<Place>,
    now: Moment,
) -> Result<Ticket, Problem> {
    let was_there = place.as_ref().is_some_and(Place::is_at_the_door);
    let place = match place {
        Some(place) if place.standing.is_waiting() => Place { version: place.version + 1, ..place },
        Some(place) => place.decided(Standing::Waiting, now),
        None => Place::new(invitation.id.clone(), invitation.meeting.clone(), Standing::Waiting, now),
    };
    let ticket = Ticket::new(invitation.id.clone());
    let is_news = !was_there && place.standing == Standing::Waiting;
    write.put_place(&Place { ticket_hash: Some(ticket.hash()), is_used: false, ..place }).await?;
    gathering::touch(write, meeting, invitation.id.as_str(), now).await?;
    if is_news {
        let (id, meeting) = (invitation.id.as_str(), meeting.id.as_str());
        let body = json!({"meeting": meeting, "invitation": id, "role": invitation.role});
        write.append_event(now, &NewEvent { kind: "lobby.knocked", subject: meeting, body }).await?;
        append(write, "lobby.knocked", invitation, account(user), now).await?;
    }
    Ok(ticket)
}

/// A link that opened a meeting is what an investigation asks for first.
pub(super) async fn audit_entry(
    write: &mut Write,
    invitation: &Invitation,
    user: Option<&User>,
    now: Moment,
) -> Result<(), Problem> {
    append(write, "invitation.used", invitation, account(user), now).await
}

fn account(user: Option<&User>) -> Option<(&'static str, Detail)> {
    user.map(|user| ("user", Detail::Id((&user.id).into())))
}

/// Of an act of the invited person's own.
pub(super) async fn append(
    write: &mut Write,
    action: &'static str,
    invitation: &Invitation,
    more: impl IntoIterator<Item = (&'static str, Detail)>,
    now: Moment,
) -> Result<(), Problem> {
    let subject = invitation.id.as_str();
    let mut details =
        vec![("meeting", Detail::Id((&invitation.meeting).into())), ("role", Detail::Word(invitation.role.name()))];
    details.extend(more);
    Ok(write.append_audit(now, &NewEntry { actor: subject, action, subject, details: &details }).await?)
}
