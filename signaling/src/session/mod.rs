//! The door for clients: WebSocket endpoints, and what a refused client is told.
//!
//! ```text
//! mod       routes, tokens, HTTP statuses
//! request   what a join request says, in both forms
//! socket    one client's WebSocket, from greeting to goodbye
//! bucket    the limit on a client's messages
//! ```
//!
//! It knows HTTP and frames; what messages mean is the room's business. A URL of 64 KiB must pass the HTTP server in front
//! of this router, since a join request travels in it.

mod bucket;
mod request;
mod socket;
#[cfg(test)]
mod tests;

use crate::access::TokenError;
use crate::room::ConnectionMode;
use crate::rooms::{Entry, JoinError, Newcomer, Rooms};
use crate::stats::JoinResult;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use request::RequestError;
use std::collections::HashMap;
use std::time::SystemTime;

type Parameters = Result<Query<HashMap<String, String>>, QueryRejection>;

/// The endpoints of the client protocol.
pub fn router(rooms: Rooms) -> Router {
    Router::new()
        .route("/rtc", get(join_dual))
        .route("/rtc/v1", get(join_single))
        .route("/rtc/validate", get(validate))
        .route("/rtc/v1/validate", get(validate))
        .layer(axum::middleware::map_response(allow_every_origin))
        .with_state(rooms)
}

/// Why a client is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("{0}")]
    Join(#[from] JoinError),
    #[error("this endpoint speaks WebSocket")]
    NotWebSocket,
}

impl Refused {
    /// The SDKs show the body of 401 and 403 to the application; other statuses only as numbers.
    fn status(self) -> StatusCode {
        match self {
            Self::Token(TokenError::NoIdentity | TokenError::NoJoinGrant | TokenError::NoRoom) => StatusCode::FORBIDDEN,
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Join(JoinError::RoomFull | JoinError::Denied(_)) => StatusCode::FORBIDDEN,
            Self::Join(JoinError::TooManyRooms | JoinError::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Join(JoinError::Invalid(_)) | Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::NotWebSocket => StatusCode::UPGRADE_REQUIRED,
        }
    }

    fn result(self) -> JoinResult {
        match self {
            Self::Token(TokenError::Missing) => JoinResult::TokenMissing,
            Self::Token(TokenError::Expired) => JoinResult::TokenExpired,
            Self::Token(TokenError::NotYetValid) => JoinResult::TokenNotYetValid,
            Self::Token(TokenError::NoIdentity | TokenError::NoJoinGrant | TokenError::NoRoom) => {
                JoinResult::NotAllowed
            }
            Self::Token(_) => JoinResult::TokenInvalid,
            Self::Join(JoinError::RoomFull) => JoinResult::RoomFull,
            Self::Join(JoinError::Denied(_)) => JoinResult::Denied,
            Self::Join(JoinError::TooManyRooms) => JoinResult::TooManyRooms,
            Self::Join(JoinError::Unavailable) => JoinResult::Unavailable,
            Self::Join(JoinError::Invalid(_)) | Self::Request(_) | Self::NotWebSocket => JoinResult::Malformed,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status(), self.to_string()).into_response()
    }
}

async fn join_dual(
    State(rooms): State<Rooms>,
    headers: HeaderMap,
    parameters: Parameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    join(rooms, &headers, parameters, upgrade, ConnectionMode::Dual).await
}

async fn join_single(
    State(rooms): State<Rooms>,
    headers: HeaderMap,
    parameters: Parameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    join(rooms, &headers, parameters, upgrade, ConnectionMode::Single).await
}

async fn join(
    rooms: Rooms,
    headers: &HeaderMap,
    parameters: Parameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    mode: ConnectionMode,
) -> Response {
    match admit(&rooms, headers, parameters, upgrade, mode).await {
        Ok(response) => response,
        Err(refused) => {
            rooms.stats().count_join(refused.result());
            tracing::debug!(reason = refused.result().name(), "a client was refused");
            refused.into_response()
        }
    }
}

async fn admit(
    rooms: &Rooms,
    headers: &HeaderMap,
    parameters: Parameters,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    mode: ConnectionMode,
) -> Result<Response, Refused> {
    let Query(parameters) = parameters.map_err(|_| RequestError::Query)?;
    let claims = rooms.keys().verify(token(headers, &parameters), SystemTime::now())?;
    let room = claims.join_room()?.to_owned();
    let upgrade = upgrade.map_err(|_| Refused::NotWebSocket)?;
    let entry = match mode {
        ConnectionMode::Single => request::from_join_request(&parameters)?,
        ConnectionMode::Dual => request::from_query(&parameters)?,
    };
    let result = match &entry {
        Entry::Join(_) => JoinResult::Ok,
        Entry::Resume { .. } => JoinResult::Resumed,
    };
    let session = rooms.enter(&room, Newcomer { claims, entry }).await?;
    rooms.stats().count_join(result);
    // The session ends by itself when the upgrade fails, since the closure is dropped with it.
    Ok(upgrade
        .read_buffer_size(socket::READ_BUFFER_LEN)
        .max_message_size(socket::FRAME_LEN_MAX)
        .max_frame_size(socket::FRAME_LEN_MAX)
        .on_upgrade(move |socket| socket::run(socket, session)))
}

/// Tells a client whose WebSocket was refused why; browsers do not show it the answer to an upgrade.
async fn validate(State(rooms): State<Rooms>, headers: HeaderMap, parameters: Parameters) -> Response {
    let check = async || -> Result<(), Refused> {
        let Query(parameters) = parameters.map_err(|_| RequestError::Query)?;
        let claims = rooms.keys().verify(token(&headers, &parameters), SystemTime::now())?;
        let room = claims.join_room()?.to_owned();
        if rooms.is_full(&room) {
            return Err(JoinError::RoomFull.into());
        }
        rooms.check_door(&room, claims).await?;
        Ok(())
    };
    match check().await {
        Ok(()) => "success".into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Empty where there is none.
fn token<'a>(headers: &'a HeaderMap, parameters: &'a HashMap<String, String>) -> &'a str {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    bearer.or_else(|| parameters.get("access_token").map(String::as_str)).unwrap_or_default()
}

/// The token is in the request, so no origin's cookies are at stake.
async fn allow_every_origin(mut response: Response) -> Response {
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
