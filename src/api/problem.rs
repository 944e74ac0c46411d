//! Refusals as clients see them: RFC 9457 problem details with a stable code and a kind sentence.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    RoomsClosed,
    InvalidBody,
    BodyTooLarge,
    NotJson,
    InvalidRoom,
    InvalidName,
    Internal,
}

impl Problem {
    /// The only place that chooses statuses.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::RoomsClosed => {
                (StatusCode::FORBIDDEN, "rooms_closed", "This meeting needs an invitation link. Ask the host for one.")
            }
            Self::InvalidBody => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_body",
                "The request must be a JSON object with the texts \"room\" and \"name\".",
            ),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request is too large."),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "The request must be application/json."),
            Self::InvalidRoom => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_room",
                "A meeting's code has 1 to 64 letters, digits, dots, hyphens and underscores, and starts with a letter \
                 or digit.",
            ),
            Self::InvalidName => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid_name", "Enter your name, with at most 64 characters.")
            }
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on the server. Please try again.")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, detail) = self.parts();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
