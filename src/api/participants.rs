//! People in a meeting as it is held: in its room, at its door, or sent out; and what hosts do about one of them.

use super::Api;
use super::caller::Known;
use super::extract::{Json, Path, present};
use super::hosting::Act;
use super::ownership::allow;
use super::problem::{Code, Problem, ProblemBody};
use crate::identity::Action;
use crate::ids::{InvitationId, MeetingId};
use crate::meetings::admission::VERIFIED;
use crate::meetings::invitation::{INVITATIONS_MAX, Invitation, Role};
use crate::meetings::lobby::{Place, Standing};
use crate::moment::Moment;
use crate::store::audit::Detail;
use crate::text::Name;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use consilium_signaling::rooms::Person;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

mod role;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(admit_all))
        .routes(routes!(admit))
        .routes(routes!(deny))
        .routes(routes!(to_lobby))
        .routes(routes!(mute))
        .routes(routes!(remove))
        .routes(routes!(role::change))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Participants)]
struct All {
    items: Vec<Shown>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Participant)]
struct Shown {
    invitation: InvitationId,
    name: Name,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    specialty: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    site: Option<Name>,
    /// Whether they are in the room.
    is_present: bool,
    /// Whether they stand at the door.
    is_at_the_door: bool,
    /// Whether the server knows them by more than the link; others are guests to it, whatever their role.
    is_verified: bool,
    /// What was decided about them; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    standing: Option<Standing>,
    /// Since when they are in the room, or stand as they do.
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
    tracks: Vec<Track>,
}

/// Something that a participant sends.
#[derive(Serialize, utoipa::ToSchema)]
struct Track {
    /// `camera`, `microphone`, `screen_share`, `screen_share_audio` or `unknown`.
    source: &'static str,
    is_muted: bool,
}

impl Shown {
    /// `None` for who is neither here nor was decided about.
    fn new(invitation: Invitation, person: Option<&Person>, place: Option<&Place>) -> Option<Self> {
        let joined = person.map(|person| Moment::from_ms(person.joined_at_ms));
        let since = joined.or_else(|| place.map(|place| place.changed_at))?;
        let Invitation { id, name, role, specialty, site, .. } = invitation;
        let track =
            |track: &consilium_signaling::rooms::PersonTrack| Track { source: track.source, is_muted: track.is_muted };
        let verified = |person: &Person| person.attributes.get(VERIFIED).is_some_and(|value| value == "true");
        Some(Self {
            invitation: id,
            name,
            role,
            specialty,
            site,
            is_present: person.is_some(),
            is_at_the_door: place.is_some_and(Place::is_at_the_door),
            is_verified: person.is_some_and(verified),
            standing: place.map(|place| place.standing),
            since,
            tracks: person.iter().flat_map(|person| &person.tracks).map(track).collect(),
        })
    }
}

/// List who is in a meeting, who waits at its door, and whom a host decided about.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/participants", operation_id = "list_participants", tag = "Rooms", params(("id" = MeetingId, Path)),
    responses((status = 200, body = All), (status = 404, body = ProblemBody)))]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
) -> Result<impl IntoResponse, Problem> {
    allow(&api, &caller, Action::ReadPeople(&id)).await?;
    let meeting = api.store.meeting(&id).await?;
    let places = api.store.places(&id).await?;
    let places: HashMap<&InvitationId, &Place> = places.iter().map(|place| (&place.invitation, place)).collect();
    let people = api.rooms.state(meeting.room()).await.map(|state| state.people).unwrap_or_default();
    let people: HashMap<&str, &Person> = people.iter().map(|person| (person.identity.as_str(), person)).collect();
    let invitations = api.store.invitations(&id, None, INVITATIONS_MAX).await?;
    let items = invitations.into_iter().filter_map(|invitation| {
        let (person, place) = (people.get(invitation.id.as_str()).copied(), places.get(&invitation.id).copied());
        Shown::new(invitation, person, place)
    });
    Ok(axum::Json(All { items: items.collect() }))
}

/// How many were admitted.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = AdmittedAll)]
struct Admitted {
    admitted: usize,
}

/// Admit everybody who waits for a host.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/admit-all", operation_id = "admit_all", tag = "Rooms", params(("id" = MeetingId, Path)),
    responses((status = 200, body = Admitted), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn admit_all(
    State(api): State<Api>,
    Known(caller): Known,
    Path(id): Path<MeetingId>,
) -> Result<impl IntoResponse, Problem> {
    let mut act = Act::begin(&api, &caller, &id).await?;
    let places = act.write.places(&id).await?.into_iter();
    let waiting: Vec<_> =
        places.filter(|place| place.is_at_the_door() && place.standing == Standing::Waiting).collect();
    for place in &waiting {
        act.stand(&place.invitation, Standing::Admitted).await?;
        act.record("lobby.admitted", &place.invitation, json!({"by": "host"}), &[]).await?;
    }
    if !waiting.is_empty() {
        act.commit().await?;
    }
    Ok(axum::Json(Admitted { admitted: waiting.len() }))
}

/// Admit somebody who waits, or who was denied or sent out.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{invitation}/admit", operation_id = "admit", tag = "Rooms",
    params(("id" = MeetingId, Path), ("invitation" = InvitationId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn admit(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, invitation)): Path<(MeetingId, InvitationId)>,
) -> Result<StatusCode, Problem> {
    let mut act = Act::begin(&api, &caller, &id).await?;
    act.invitation(&invitation).await?;
    let place = act.write.place(&invitation).await?.ok_or(Code::NotWaiting)?;
    if place.standing != Standing::Admitted {
        act.stand(&invitation, Standing::Admitted).await?;
        act.record("lobby.admitted", &invitation, json!({"by": "host"}), &[]).await?;
        act.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Words for who is not let in.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = DenialRequest)]
#[serde(deny_unknown_fields)]
struct Denial {
    /// Shown to the person, and kept until the meeting ends.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    message: Option<Name>,
}

/// Deny somebody who waits. They can knock again after a minute.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{invitation}/deny", operation_id = "deny", tag = "Rooms", request_body = Denial,
    params(("id" = MeetingId, Path), ("invitation" = InvitationId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn deny(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, invitation)): Path<(MeetingId, InvitationId)>,
    Json { value: denial, .. }: Json<Denial>,
) -> Result<StatusCode, Problem> {
    let mut act = Act::begin(&api, &caller, &id).await?;
    act.guest(&invitation).await?;
    let place = act.write.place(&invitation).await?.filter(|place| place.standing.is_waiting());
    place.ok_or(Code::NotWaiting)?;
    let place = act.stand(&invitation, Standing::Denied).await?;
    act.write.put_place(&Place { message: denial.message, ..place }).await?;
    act.record("lobby.denied", &invitation, json!({}), &[]).await?;
    act.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Until when somebody waits outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Until {
    /// A host admits them.
    #[default]
    Admitted,
    /// The next case begins.
    NextCase,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = LobbyRequest)]
#[serde(deny_unknown_fields)]
struct ToLobby {
    #[serde(default)]
    #[schema(required = false)]
    until: Until,
}

/// Send somebody back to the lobby. Their page takes its place there; other clients do so at `/api/v1/lobby`, or with the link.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{invitation}/to-lobby", operation_id = "send_to_lobby", tag = "Rooms", request_body = ToLobby,
    params(("id" = MeetingId, Path), ("invitation" = InvitationId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn to_lobby(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, invitation)): Path<(MeetingId, InvitationId)>,
    Json { value: ToLobby { until }, .. }: Json<ToLobby>,
) -> Result<StatusCode, Problem> {
    let mut act = Act::begin(&api, &caller, &id).await?;
    act.guest(&invitation).await?;
    let (standing, word) = match until {
        Until::Admitted => (Standing::Waiting, "admitted"),
        Until::NextCase => (Standing::AwaitingNextCase, "next_case"),
    };
    act.stand(&invitation, standing).await?;
    let details = [("until", Detail::Word(word))];
    act.record("participant.sent_to_lobby", &invitation, json!({"until": until}), &details).await?;
    act.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mute every sound of somebody in the room. Only they can unmute it.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{invitation}/mute", operation_id = "mute", tag = "Rooms",
    params(("id" = MeetingId, Path), ("invitation" = InvitationId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn mute(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, invitation)): Path<(MeetingId, InvitationId)>,
) -> Result<StatusCode, Problem> {
    let mut act = Act::begin(&api, &caller, &id).await?;
    act.invitation(&invitation).await?;
    act.record("participant.muted", &invitation, json!({}), &[]).await?;
    act.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = RemovalRequest)]
#[serde(deny_unknown_fields)]
struct Removal {
    /// Whether the door stays shut for them until the meeting ends. Otherwise they can knock.
    #[serde(default)]
    #[schema(required = false)]
    ban: bool,
}

/// Send somebody out. Their token opens the room no longer.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{invitation}/remove", operation_id = "remove_participant", tag = "Rooms", request_body = Removal,
    params(("id" = MeetingId, Path), ("invitation" = InvitationId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn remove(
    State(api): State<Api>,
    Known(caller): Known,
    Path((id, invitation)): Path<(MeetingId, InvitationId)>,
    Json { value: Removal { ban }, .. }: Json<Removal>,
) -> Result<StatusCode, Problem> {
    let mut act = Act::begin(&api, &caller, &id).await?;
    act.guest(&invitation).await?;
    act.stand(&invitation, if ban { Standing::Banned } else { Standing::Removed }).await?;
    let details = [("ban", Detail::Number(ban.into()))];
    act.record("participant.removed", &invitation, json!({"ban": ban}), &details).await?;
    act.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
