//! Refusals as clients see them: RFC 9457 problem details with a stable code and a kind sentence. The cause of a failure
//! goes to the log, never to the client.

use crate::identity::{self, Scope};
use crate::mdt;
use crate::meetings::Flaw;
use crate::store::StoreError;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;

pub(super) const MEDIA_TYPE: &str = "application/problem+json";
/// A busy store is worth another try after this many seconds.
const BUSY_SECONDS: u64 = 1;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $status:ident, $word:literal, $detail:literal;)*) => {
        /// Why a request is refused. Statuses are chosen here and nowhere else; the words are a promise to clients.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub(crate) enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            pub(crate) const ALL: &[Self] = &[$(Self::$code,)*];

            pub(crate) const fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)*
                }
            }

            pub(crate) const fn word(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)*
                }
            }

            /// Where nothing more exact is said.
            pub(crate) const fn detail(self) -> &'static str {
                match self {
                    $(Self::$code => $detail,)*
                }
            }
        }
    };
}

codes! {
    InvalidCursor = BAD_REQUEST, "invalid_cursor", "This cursor is not from a list like this one. Start from the first page.";
    InvalidQuery = BAD_REQUEST, "invalid_query", "The query of the request holds a parameter that is unknown or of the wrong form.";
    InvalidHeader = BAD_REQUEST, "invalid_header", "A header of the request is not of the right form.";
    InvalidJson = BAD_REQUEST, "invalid_json", "The body of the request is not JSON.";
    Unauthenticated = UNAUTHORIZED, "unauthenticated", "Sign in, or send a valid API key or your token of the meeting as \"Authorization: Bearer …\".";
    SignInFailed = UNAUTHORIZED, "sign_in_failed", "The name or the password is wrong, or the account is closed.";
    CrossSite = FORBIDDEN, "cross_site", "A change within a session comes from this site's own pages, with the header Consilium-Request.";
    NoSession = FORBIDDEN, "no_session", "Only somebody who signed in has a session.";
    NoPassword = CONFLICT, "no_password", "This account has no password here: its identity provider keeps it.";
    LastAdministrator = CONFLICT, "last_administrator", "Nobody could administer this site any more. Name another administrator first.";
    LoginTaken = CONFLICT, "login_taken", "Somebody signs in with this name already.";
    ProviderUnavailable = SERVICE_UNAVAILABLE, "provider_unavailable", "The identity provider does not answer as it should. Please try again later.";
    LogoutRefused = BAD_REQUEST, "logout_refused", "The logout token is not a valid one of this provider.";
    MissingScope = FORBIDDEN, "missing_scope", "This caller may not do that.";
    NotHost = FORBIDDEN, "not_host", "Only the meeting's chair and coordinators may do that.";
    NotChair = FORBIDDEN, "not_chair", "Only the meeting's chair may do that, from within the meeting.";
    RoomsClosed = FORBIDDEN, "rooms_closed", "This meeting needs an invitation link. Ask the host for one.";
    NotFound = NOT_FOUND, "not_found", "There is nothing here.";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "This resource does not know that method.";
    Conflict = CONFLICT, "conflict", "The change contradicts what is stored.";
    Stale = PRECONDITION_FAILED, "stale", "Somebody changed this since you read it. Read it again, then send your change with the new ETag.";
    MeetingCancelled = CONFLICT, "meeting_cancelled", "This meeting was cancelled.";
    CaseStage = CONFLICT, "case_stage", "The case is not at the stage for that.";
    OutcomeConfirmed = CONFLICT, "outcome_confirmed", "The chair has confirmed this outcome, which locks it. It can be amended.";
    OutcomeNotConfirmed = CONFLICT, "outcome_not_confirmed", "This outcome is a draft, which is edited and not amended.";
    OutcomeEmpty = CONFLICT, "outcome_empty", "There is no outcome to confirm.";
    EventsGone = GONE, "events_gone",
        "Events that followed the one that you named are no longer kept. Read the resources anew, then listen without naming one.";
    TooManyListeners = TOO_MANY_REQUESTS, "too_many_listeners", "Too many listen to events. Close those that are no longer needed.";
    MeetingEnded = CONFLICT, "meeting_ended", "This meeting has ended.";
    MeetingLocked = CONFLICT, "meeting_locked", "This meeting is locked. Ask the host to let you in.";
    MeetingFull = CONFLICT, "meeting_full", "This meeting is full.";
    MeetingNotOpen = CONFLICT, "meeting_not_open", "This meeting is not open yet. Come back from 30 minutes before it starts.";
    EntryDenied = FORBIDDEN, "entry_denied", "The host did not let you in. You can ask again in a minute.";
    EntryBanned = FORBIDDEN, "entry_banned", "The host has removed you from this meeting.";
    NotAdmitted = FORBIDDEN, "not_admitted", "A host has to let you in first.";
    NotWaiting = CONFLICT, "not_waiting", "This person does not wait at the door.";
    IsHost = CONFLICT, "is_host", "This person runs the meeting. Change their role first.";
    LastChair = CONFLICT, "last_chair", "This is the meeting's only chair. Make somebody else the chair first.";
    TicketInvalid = UNAUTHORIZED, "ticket_invalid", "This ticket is good no longer. Use your link again.";
    TooMany = CONFLICT, "too_many", "There is no room for more of these.";
    LinkInvalid = FORBIDDEN, "link_invalid", "This invitation link does not work. Ask the host for a new one.";
    LinkExpired = FORBIDDEN, "link_expired", "This invitation link has expired. Ask the host for a new one.";
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The request is too large.";
    NotJson = UNSUPPORTED_MEDIA_TYPE, "not_json", "The request must be application/json.";
    InvalidBody = UNPROCESSABLE_ENTITY, "invalid_body", "The request's JSON does not have the expected fields.";
    InvalidValue = UNPROCESSABLE_ENTITY, "invalid_value", "A field has a value that cannot be.";
    InvalidRoom = UNPROCESSABLE_ENTITY, "invalid_room",
        "A meeting's code has 1 to 64 letters, digits, dots, hyphens and underscores, and starts with a letter or digit.";
    InvalidName = UNPROCESSABLE_ENTITY, "invalid_name", "Enter your name, with at most 64 characters.";
    KeyReused = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "This Idempotency-Key came with another request before. Use a new one.";
    PreconditionRequired = PRECONDITION_REQUIRED, "precondition_required", "Say with If-Match which version you saw: the ETag of your last read.";
    TooManyRequests = TOO_MANY_REQUESTS, "too_many_requests", "Too many requests. Wait as Retry-After says.";
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong on the server. Please try again.";
    Busy = SERVICE_UNAVAILABLE, "busy", "The server is busy. Please try again in a moment.";
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "The server's database cannot be reached. Please try again later.";
}

/// One field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FieldError {
    /// Where in the body, as a JSON Pointer (RFC 6901): `/recurrence`.
    pub(crate) pointer: String,
    /// A sentence for a person.
    pub(crate) detail: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u64>,
}

/// The body, as the description of the API shows it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: the code says more.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// A stable word for programs.
    code: &'static str,
    /// A sentence for a person.
    detail: Cow<'static, str>,
    /// The fields that are wrong, where single fields are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
}

impl Problem {
    pub(crate) fn new(code: Code) -> Self {
        Self { code, detail: code.detail().into(), errors: Vec::new(), retry_after_seconds: None }
    }

    pub(crate) fn with_detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// Values that cannot be; at least one.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::InvalidValue) }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }
}

impl From<Vec<Flaw>> for Problem {
    fn from(flaws: Vec<Flaw>) -> Self {
        let field = |flaw: Flaw| FieldError { pointer: format!("/{}", flaw.field), detail: flaw.reason.to_owned() };
        Self::fields(flaws.into_iter().map(field).collect())
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Code::NotFound.into(),
            StoreError::Conflict => Code::Conflict.into(),
            StoreError::Stale => Code::Stale.into(),
            StoreError::Busy(_) => {
                tracing::warn!(%error, "a request found the store busy");
                Self::new(Code::Busy).retry_after(BUSY_SECONDS)
            }
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "a request did not reach the store");
                Code::Unavailable.into()
            }
            StoreError::Corrupt(_) | StoreError::Migration(_) => {
                tracing::error!(%error, "a request met damaged data");
                Code::Internal.into()
            }
        }
    }
}

impl From<identity::Refusal> for Problem {
    fn from(refusal: identity::Refusal) -> Self {
        match refusal {
            identity::Refusal::MissingScope(scope) => Self::new(Code::MissingScope)
                .with_detail(format!("This caller lacks the scope {}.", Scope::name(scope))),
            identity::Refusal::OtherMeeting => Code::NotFound.into(),
            identity::Refusal::NotHost => Code::NotHost.into(),
            identity::Refusal::NotChair => Code::NotChair.into(),
        }
    }
}

impl From<mdt::Refusal> for Problem {
    fn from(refusal: mdt::Refusal) -> Self {
        use mdt::Refusal;
        let stage = |detail| Self::new(Code::CaseStage).with_detail(detail);
        match refusal {
            Refusal::IsCurrent => stage("The meeting is about this case already."),
            Refusal::NotCurrent => stage("The meeting is not about this case."),
            Refusal::IsRunning => stage("The timer of this case runs already."),
            Refusal::NotRunning => stage("The timer of this case stands already."),
            Refusal::HasBegun => stage("This case was discussed, so it stays in the list."),
            Refusal::TooManySpans => Self::new(Code::TooMany).with_detail("This timer was started too often."),
            Refusal::OutcomeConfirmed => Code::OutcomeConfirmed.into(),
            Refusal::OutcomeNotConfirmed => Code::OutcomeNotConfirmed.into(),
            Refusal::OutcomeEmpty => Code::OutcomeEmpty.into(),
            Refusal::TooManyAmendments => Self::new(Code::TooMany).with_detail("An outcome has 10 amendments at most."),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = ProblemBody {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code: self.code.word(),
            detail: self.detail,
            errors: self.errors,
        };
        // Texts and numbers alone, so it is always written.
        let body = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2: a 401 says how to do it right.
            let challenge = HeaderValue::from_static("Bearer realm=\"consilium\"");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_a_word_of_its_own_an_error_status_and_a_sentence() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(code.detail().ends_with(['.', '"']) && code.detail().len() > 10, "{code:?}");
        }
    }

    #[test]
    fn the_cause_of_a_failure_stays_in_the_log() {
        let problem = Problem::from(StoreError::Unavailable("password of postgres".into()));
        assert_eq!(problem.code(), Code::Unavailable);
        assert!(!problem.detail.contains("password"));
    }
}
