//! Entering an open room: a room and a name become a token for a guest. Where rooms are not open, the answer is no.

use super::extract::Json;
use super::problem::{Code, Problem, ProblemBody};
use super::{Api, Entry};
use crate::ids::MeetingId;
use crate::meetings::admission::identity_attributes;
use axum::extract::State;
use axum::http::HeaderMap;
use consilium_signaling::access::{Claims, VideoGrants};
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// As long as the longest list of cases, with the reconnects in it.
const TOKEN_TTL: Duration = Duration::from_secs(8 * 3600);
/// In characters. A link that can be read out.
const ROOM_LEN_MAX: usize = 64;
/// In characters. The page shows names on tiles.
const NAME_LEN_MAX: usize = 64;
/// 59 bits: two guests with one identity would throw each other out.
const IDENTITY_LEN: usize = 10;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct JoinRequest {
    /// Code of the room: 1 to 64 letters, digits, dots, hyphens and underscores.
    #[schema(min_length = 1, max_length = 64)]
    room: String,
    /// Name that others see.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct JoinResponse {
    /// Opens the WebSocket.
    token: String,
}

/// Enter an open room: as a guest, or under the name of one's account.
#[utoipa::path(post, path = "/api/v1/join", operation_id = "enter_open_room", tag = "Joining", request_body = JoinRequest, security(()),
    responses((status = 200, body = JoinResponse), (status = 403, body = ProblemBody)))]
pub(super) async fn join(
    State(api): State<Api>,
    headers: HeaderMap,
    request: Result<Json<JoinRequest>, Problem>,
) -> Result<axum::Json<JoinResponse>, Problem> {
    // Before the body is looked at: a closed server has nothing to say about it.
    if api.entry == Entry::ByToken {
        return Err(Code::RoomsClosed.into());
    }
    let request = request?.value;
    // A scheduled meeting is entered by invitation, whatever else is open.
    if MeetingId::parse(&request.room).is_some() {
        return Err(Code::RoomsClosed.into());
    }
    if !is_room(&request.room) {
        return Err(Code::InvalidRoom.into());
    }
    let visitor = api.sign_in.visitor(&api, &headers).await?;
    let name = visitor.as_ref().map_or(request.name.trim(), |user| user.name.as_str());
    if visitor.is_none() && !is_name(name) {
        return Err(Code::InvalidName.into());
    }
    let claims = Claims {
        identity: format!("guest-{}", Alphanumeric.sample_string(&mut rand::rng(), IDENTITY_LEN)),
        name: name.to_owned(),
        attributes: identity_attributes(visitor.as_ref()),
        video: VideoGrants { room: request.room, room_join: true, ..VideoGrants::default() },
        ..Claims::default()
    };
    match api.keys.sign(&claims, SystemTime::now(), TOKEN_TTL) {
        Ok(token) => Ok(axum::Json(JoinResponse { token })),
        Err(error) => {
            tracing::error!(%error, "a guest's token was not signed");
            Err(Code::Internal.into())
        }
    }
}

/// Letters and digits of any script, hyphen, underscore, full stop; the first is a letter or a digit. The page has the same
/// rule (`web/src/routes.ts`).
fn is_room(room: &str) -> bool {
    room.chars().count() <= ROOM_LEN_MAX
        && room.starts_with(char::is_alphanumeric)
        && room.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= NAME_LEN_MAX && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_short_words_that_survive_in_a_link() {
        #[derive(Deserialize)]
        struct Codes {
            good: Vec<String>,
            bad: Vec<String>,
        }
        // The page is tested with the same.
        let codes: Codes = serde_json::from_str(include_str!("../../web/src/room-codes.json")).unwrap();
        for good in &codes.good {
            assert!(is_room(good), "{good}");
        }
        for bad in &codes.bad {
            assert!(!is_room(bad), "{bad}");
        }
        assert!(codes.good.len() > 5 && codes.bad.len() > 10);
    }

    #[test]
    fn names_are_of_any_script_but_not_empty_long_or_with_control_characters() {
        for good in ["Dr Siân Ó Briain", "王医生", &"é".repeat(NAME_LEN_MAX)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a\nb", "\u{0}", &"x".repeat(NAME_LEN_MAX + 1)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
