//! Entering an open room: a room and a name become a token for a guest. Where rooms are not open, the answer is no.

use super::Entry;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use consilium_signaling::access::{ApiKeys, Claims, VideoGrants};
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// As long as the longest list of cases, with the reconnects in it.
const TOKEN_TTL: Duration = Duration::from_secs(8 * 3600);
/// In characters. A link that can be read out.
const ROOM_LEN_MAX: usize = 64;
/// In characters. The page shows names on tiles.
const NAME_LEN_MAX: usize = 64;
/// 59 bits: two guests with one identity would throw each other out.
const IDENTITY_LEN: usize = 10;

#[derive(Clone)]
pub(super) struct Door {
    pub(super) keys: Arc<ApiKeys>,
    pub(super) entry: Entry,
}

#[derive(Deserialize)]
pub(super) struct JoinRequest {
    room: String,
    name: String,
}

#[derive(Serialize)]
pub(super) struct JoinResponse {
    token: String,
}

pub(super) async fn join(
    State(door): State<Door>,
    request: Result<Json<JoinRequest>, JsonRejection>,
) -> Result<Json<JoinResponse>, Problem> {
    if door.entry == Entry::ByToken {
        return Err(Problem::RoomsClosed);
    }
    let Json(request) = request.map_err(|rejection| match rejection {
        JsonRejection::MissingJsonContentType(_) => Problem::NotJson,
        JsonRejection::BytesRejection(_) => Problem::BodyTooLarge,
        _ => Problem::InvalidBody,
    })?;
    if !is_room(&request.room) {
        return Err(Problem::InvalidRoom);
    }
    let name = request.name.trim();
    if !is_name(name) {
        return Err(Problem::InvalidName);
    }
    let claims = Claims {
        identity: format!("guest-{}", Alphanumeric.sample_string(&mut rand::rng(), IDENTITY_LEN)),
        name: name.to_owned(),
        video: VideoGrants { room: request.room, room_join: true, ..VideoGrants::default() },
        ..Claims::default()
    };
    match door.keys.sign(&claims, SystemTime::now(), TOKEN_TTL) {
        Ok(token) => Ok(Json(JoinResponse { token })),
        Err(error) => {
            tracing::error!(%error, "a guest's token was not signed");
            Err(Problem::Internal)
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
