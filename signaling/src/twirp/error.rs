//! Errors of the server API: Twirp's codes, their HTTP statuses, and what becomes of our refusals.

use crate::access::TokenError;
use crate::rooms::Refusal;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// The codes of the Twirp protocol that we use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    InvalidArgument,
    Malformed,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    BadRoute,
    AlreadyExists,
    FailedPrecondition,
    ResourceExhausted,
    Internal,
    Unimplemented,
    Unavailable,
}

impl Code {
    /// Twirp protocol version 7, "Error Codes".
    pub const fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Self::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::BadRoute => ("bad_route", StatusCode::NOT_FOUND),
            Self::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
            Self::FailedPrecondition => ("failed_precondition", StatusCode::PRECONDITION_FAILED),
            Self::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

/// An error answer. Always JSON, whatever the request's encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TwirpError {
    pub code: Code,
    pub message: String,
}

impl TwirpError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<TokenError> for TwirpError {
    fn from(error: TokenError) -> Self {
        Self::new(Code::Unauthenticated, error.to_string())
    }
}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        let (code, status) = self.code.parts();
        let body = serde_json::json!({ "code": code, "msg": self.message });
        (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

impl From<Refusal> for TwirpError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::NotFound => Code::NotFound,
            Refusal::AlreadyExists => Code::AlreadyExists,
            Refusal::InvalidArgument(_) => Code::InvalidArgument,
            Refusal::ResourceExhausted => Code::ResourceExhausted,
            Refusal::Unavailable => Code::Unavailable,
            Refusal::PermissionDenied => Code::PermissionDenied,
            Refusal::FailedPrecondition => Code::FailedPrecondition,
        };
        Self::new(code, refusal.to_string())
    }
}
