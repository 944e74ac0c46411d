//! The answer to a request that creates something, and the memory that lets the same request be sent twice
//! (draft-ietf-httpapi-idempotency-key-header): the answer is stored in the transaction of what it answers, so that there
//! is never one without the other.

use super::problem::{Code, Problem};
use super::version;
use crate::identity::Caller;
use crate::moment::Moment;
use crate::store::idempotency::Remembered;
use crate::store::{Store, Write, audit};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Told with an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// 201 with the new thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Created {
    location: String,
    version: i64,
    /// JSON.
    body: String,
    #[serde(skip)]
    is_replay: bool,
}

impl Created {
    pub(crate) fn new(location: String, version: i64, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_string(body).map_err(|error| {
            tracing::error!(%error, "an answer was not written");
            Code::Internal
        })?;
        Ok(Self { location, version, body, is_replay: false })
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let content = [(CONTENT_TYPE, "application/json")];
        let mut response = (StatusCode::CREATED, content, version::etag(self.version), self.body).into_response();
        // A path of ours: ASCII.
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            response.headers_mut().insert(LOCATION, location);
        }
        if self.is_replay {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// A request that creates, and which may have been seen before.
pub(crate) struct Creation<'a> {
    caller: &'a Caller,
    key: Option<String>,
    request_hash: String,
}

/// Where to go on.
pub(crate) enum Begun<'a> {
    New(Creation<'a>, Write),
    Replay(Created),
}

impl<'a> Creation<'a> {
    /// `path` and `body` are what makes two requests the same.
    pub(crate) async fn begin(
        store: &Store,
        caller: &'a Caller,
        key: Option<String>,
        path: &str,
        body: &[u8],
        now: Moment,
    ) -> Result<Begun<'a>, Problem> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[path.as_bytes(), b"\0", body].concat());
        let creation = Self { caller, key, request_hash: audit::hex(digest.as_ref()) };
        let mut write = store.write().await?;
        let Some(key) = &creation.key else { return Ok(Begun::New(creation, write)) };
        let Some(earlier) = write.remembered(caller.subject.as_str(), key, now).await? else {
            return Ok(Begun::New(creation, write));
        };
        if earlier.request_hash != creation.request_hash {
            return Err(Code::KeyReused.into());
        }
        let opened = caller.seal_key.open(&earlier.request_hash, &earlier.sealed_answer);
        let created: Option<Created> = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match created {
            Some(created) => Ok(Begun::Replay(Created { is_replay: true, ..created })),
            None => {
                tracing::error!("a remembered answer cannot be opened");
                Err(Code::Internal.into())
            }
        }
    }

    /// Remembers the answer and commits.
    pub(crate) async fn commit(self, mut write: Write, created: Created, now: Moment) -> Result<Created, Problem> {
        if let Some(key) = &self.key {
            let plain = serde_json::to_vec(&created).unwrap_or_default();
            let sealed = self.caller.seal_key.seal(&self.request_hash, &plain);
            let answer = Remembered {
                request_hash: self.request_hash,
                sealed_answer: sealed.ok_or_else(|| Problem::new(Code::Internal))?,
            };
            write.remember(self.caller.subject.as_str(), key, &answer, now).await?;
        }
        write.commit().await?;
        Ok(created)
    }
}
