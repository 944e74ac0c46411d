//! The lobby from the outside: whoever waits at a meeting's door asks with their ticket what becomes of them, or listens. They
//! have nothing but HTTP: no WebSocket, no connection of media, so waiting costs neither side any.

use super::Api;
use super::caller::{bearer, keep_pace, slow_down};
use super::entry::{append, audit_entry, token};
use super::problem::{Code, Problem, ProblemBody};
use crate::gate;
use crate::identity::account::User;
use crate::ids::{MeetingId, SessionId};
use crate::live::bells::Listening;
use crate::meetings::admission::verified;
use crate::meetings::invitation::{Invitation, Role};
use crate::meetings::lobby::{Decision, Place, Refusal, Standing, Ticket};
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::store::StoreError;
use crate::store::events::NewEvent;
use crate::text::Name;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

mod back;

/// A comment on a silent stream: proxies close what says nothing for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(look, back::come_back, leave)).routes(routes!(listen))
}

/// What became of a knock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LobbyOutcome)]
enum Outcome {
    /// For a host.
    Waiting,
    /// Out for one case; the next lets them in.
    AwaitingNextCase,
    /// The token opens the room.
    Admitted,
    Denied,
    Removed,
    /// Until the meeting ends.
    Banned,
    /// By their own choice.
    Left,
    Ended,
    Cancelled,
}

impl Outcome {
    const fn is_waiting(self) -> bool {
        matches!(self, Self::Waiting | Self::AwaitingNextCase)
    }

    const fn of(decision: Decision, standing: Standing) -> Self {
        match (decision, standing) {
            (Decision::Enter, _) => Self::Admitted,
            (Decision::Refuse(Refusal::Cancelled), _) => Self::Cancelled,
            (Decision::Refuse(Refusal::Ended), _) => Self::Ended,
            (_, Standing::AwaitingNextCase) => Self::AwaitingNextCase,
            (_, Standing::Denied) => Self::Denied,
            (_, Standing::Removed) => Self::Removed,
            (_, Standing::Banned) => Self::Banned,
            (_, Standing::Left) => Self::Left,
            (_, Standing::Waiting | Standing::Admitted) => Self::Waiting,
        }
    }
}

/// Where somebody stands.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = LobbyState)]
struct Shown {
    state: Outcome,
    /// A host's words for this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    message: Option<Name>,
    /// Opens the WebSocket; there for whom is admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    token: Option<String>,
    meeting: MeetingId,
    title: Name,
    name: Name,
    role: Role,
}

/// One of the events that a listener hears: what the description of the API says of the stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "axum writes the stream; this is its schema")]
struct LobbyEvent {
    /// Always `state`.
    event: String,
    /// The version of the state, for `Last-Event-ID`.
    #[schema(required = false, nullable = false)]
    id: Option<String>,
    /// A `LobbyState` as JSON, or `{"state": "over"}`.
    data: String,
}

/// The holder of a good ticket.
struct Holder {
    place: Place,
    invitation: Invitation,
}

/// See what became of your knock. Send the ticket as `Authorization: Bearer …`.
#[utoipa::path(get, path = "/api/v1/lobby", operation_id = "look_at_lobby", tag = "Lobby", security(()),
    responses((status = 200, body = Shown), (status = 401, body = ProblemBody)))]
async fn look(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let (ticket, _) = holder(&api, &headers, peer).await?;
    let visitor = api.sign_in.visitor(&api, &headers).await.map_err(refuse)?;
    let (shown, _) = show(&api, &ticket, visitor.as_ref()).await.map_err(IntoResponse::into_response)?;
    Ok(axum::Json(shown).into_response())
}

/// Hear what becomes of your knock, as server-sent events: `state`, with the same body as a look, at once and at each
/// change, until there is nothing more to wait for. A state `over` says that the ticket is good no longer.
#[utoipa::path(get, path = "/api/v1/lobby/events", operation_id = "listen_at_lobby", tag = "Lobby", security(()),
    responses((status = 200, body = LobbyEvent, content_type = "text/event-stream"), (status = 401, body = ProblemBody)))]
async fn listen(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let (ticket, holder) = holder(&api, &headers, peer).await?;
    let visit = api.sign_in.visit(&api, &headers).await.map_err(refuse)?;
    let session = visit.map(|(session, _)| session.id);
    let listening = api.bells.listen(ticket.invitation(), &holder.invitation.meeting);
    let listening = listening.ok_or_else(|| Problem::new(Code::Busy).into_response())?;
    let seen = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse().ok());
    let listener = Listener { api, ticket, session, listening, seen, phase: Phase::Look };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// Leave the door. Whoever comes again knocks again.
#[utoipa::path(delete, path = "/api/v1/lobby", operation_id = "leave_lobby", tag = "Lobby", security(()),
    responses((status = 204), (status = 401, body = ProblemBody)))]
async fn leave(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let (_, holder) = holder(&api, &headers, peer).await?;
    go(&api, &holder.invitation).await.map_err(IntoResponse::into_response)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn go(api: &Api, invitation: &Invitation) -> Result<(), Problem> {
    let now = Moment::now();
    let mut write = api.store.write().await?;
    // What a host decided meanwhile stays decided.
    let place = write.place(&invitation.id).await?.filter(|place| place.standing.is_waiting());
    let Some(place) = place else { return Ok(()) };
    write.put_place(&Place { ticket_hash: None, ..place.decided(Standing::Left, now) }).await?;
    let meeting = invitation.meeting.as_str();
    let body = json!({"meeting": meeting, "invitation": invitation.id});
    write.append_event(now, &NewEvent { kind: "lobby.left", subject: meeting, body }).await?;
    append(&mut write, "lobby.left", invitation, None, now).await?;
    Ok(write.commit().await?)
}

fn refuse(error: StoreError) -> Response {
    Problem::from(error).into_response()
}

/// What is no ticket may be a guess, and is counted as one.
async fn holder(api: &Api, headers: &HeaderMap, peer: SocketAddr) -> Result<(Ticket, Holder), Response> {
    let Some(ticket) = bearer(headers).and_then(Ticket::parse) else {
        return Err(slow_down(api, peer, Code::TicketInvalid.into()));
    };
    match find(api, &ticket).await {
        Ok(Some(holder)) => {
            keep_pace(api, ticket.invitation().as_str()).map_err(IntoResponse::into_response)?;
            Ok((ticket, holder))
        }
        Ok(None) => Err(slow_down(api, peer, Code::TicketInvalid.into())),
        Err(problem) => Err(problem.into_response()),
    }
}

async fn find(api: &Api, ticket: &Ticket) -> Result<Option<Holder>, Problem> {
    let Some(place) = api.store.place(ticket.invitation()).await? else { return Ok(None) };
    if !place.is_of(ticket) {
        return Ok(None);
    }
    let invitation = match api.store.invitation(ticket.invitation()).await {
        Err(StoreError::NotFound) => return Ok(None),
        found => found?,
    };
    let is_good = invitation.check_link(Moment::now()).is_ok();
    Ok(is_good.then_some(Holder { place, invitation }))
}

/// With the version of what is shown.
async fn show(api: &Api, ticket: &Ticket, visitor: Option<&User>) -> Result<(Shown, i64), Problem> {
    let Some(Holder { place, invitation }) = find(api, ticket).await? else { return Err(Code::TicketInvalid.into()) };
    let now = Moment::now();
    let meeting = api.store.meeting(&invitation.meeting).await?;
    let decision = gate::decision(&api.store, &api.rooms, &meeting, &invitation, now).await?;
    let state = Outcome::of(decision, place.standing);
    let user = verified(&invitation, visitor);
    let token = match state {
        Outcome::Admitted => {
            if !place.is_used {
                note_use(api, ticket, &invitation, user, now).await?;
            }
            Some(token(api, &meeting, &invitation, user, now)?)
        }
        _ => None,
    };
    let Meeting { id: meeting, title, .. } = meeting;
    let name = user.map_or(invitation.name, |user| user.name.clone());
    let role = invitation.role;
    Ok((Shown { state, message: place.message, token, meeting, title, name, role }, place.version))
}

/// The first token of a ticket is an entry like that of a link, and recorded before it is given.
async fn note_use(
    api: &Api,
    ticket: &Ticket,
    invitation: &Invitation,
    user: Option<&User>,
    now: Moment,
) -> Result<(), Problem> {
    let mut write = api.store.write().await?;
    let place = write.place(&invitation.id).await?.filter(|place| place.is_of(ticket));
    let place = place.ok_or(Code::TicketInvalid)?;
    if !place.is_used {
        // Hosts come in wherever they stood, and are not to be found at the door when they are hosts no more.
        let is_late = invitation.role.is_host() && place.standing != Standing::Admitted;
        let place = if is_late { place.decided(Standing::Admitted, now) } else { place };
        write.put_place(&Place { is_used: true, ..place }).await?;
        audit_entry(&mut write, invitation, user, now).await?;
        write.commit().await?;
    }
    Ok(())
}

/// Somebody at the other end of a stream.
struct Listener {
    api: Api,
    ticket: Ticket,
    /// In which they are signed in besides. Whether they still are, each look asks.
    session: Option<SessionId>,
    listening: Listening,
    /// The version that they know.
    seen: Option<i64>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Look,
    Wait,
    Over,
}

impl Listener {
    /// `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.phase {
                Phase::Over => return None,
                Phase::Wait if !self.listening.rung().await => return None,
                Phase::Wait => self.phase = Phase::Look,
                Phase::Look => {
                    if let Some(event) = self.look().await {
                        return Some(event);
                    }
                }
            }
        }
    }

    async fn show(&self) -> Result<(Shown, i64), Problem> {
        let visit = match &self.session {
            Some(session) => self.api.store.session_again(session, Moment::now()).await?,
            None => None,
        };
        show(&self.api, &self.ticket, visit.as_ref().map(|(_, user)| user)).await
    }

    async fn look(&mut self) -> Option<Event> {
        match self.show().await {
            Ok((shown, version)) => {
                self.phase = if shown.state.is_waiting() { Phase::Wait } else { Phase::Over };
                if self.phase == Phase::Wait && self.seen == Some(version) {
                    return None;
                }
                self.seen = Some(version);
                let data = serde_json::to_string(&shown).unwrap_or_default();
                Some(Event::default().event("state").id(version.to_string()).data(data))
            }
            Err(problem) if problem.code() == Code::TicketInvalid => {
                self.phase = Phase::Over;
                Some(Event::default().event("state").data(json!({"state": "over"}).to_string()))
            }
            Err(_) => {
                tokio::time::sleep(LOOK_AGAIN).await;
                None
            }
        }
    }
}
