//! What handlers take from a request. Whatever does not fit is a [`Problem`], never the framework's own text.

use super::problem::{Code, Problem};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

/// Nesting of JSON. The deepest of our own bodies has four levels.
const DEPTH_MAX: usize = 16;
/// Characters of an Idempotency-Key: four times a UUID.
const IDEMPOTENCY_KEY_LEN_MAX: usize = 144;
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A JSON body, with its bytes for whoever compares requests. Size is bounded by the router's layer.
pub(crate) struct Json<T> {
    pub(crate) value: T,
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Code::NotJson.into());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Code::BodyTooLarge,
            _ => Code::InvalidJson,
        })?;
        if is_too_deep(&bytes) {
            return Err(Problem::new(Code::InvalidJson).with_detail("The JSON of the body is nested too deeply."));
        }
        // serde also reads the fields of a structure from an array, by their order, which is no promise of ours.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::new(Code::InvalidBody).with_detail("The body is not a JSON object."));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self { value, bytes }),
            // serde_json takes a number in the place of a word of ours for an error of syntax.
            Err(error) if error.is_data() || serde_json::from_slice::<IgnoredAny>(&bytes).is_ok() => {
                // The message names fields and repeats values, to who sent them.
                Err(Problem::new(Code::InvalidBody).with_detail(format!("The body does not fit: {error}.")))
            }
            Err(_) => Err(Code::InvalidJson.into()),
        }
    }
}

/// RFC 6839: `application/json`, and types that say they are JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Before parsing, whose depth is bounded too, but at a level where it has cost much.
fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0usize, false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// For a field that may be absent and is never `null`, which an `Option` alone would take for absent.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// For a structure within a body: an object, and not an array of what the fields would hold.
pub(super) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let fields = serde_json::Map::deserialize(deserializer)?;
    T::deserialize(serde_json::Value::Object(fields)).map_err(serde::de::Error::custom)
}

pub(super) fn present_object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}

/// Values in the path. One that is not of the form of an identifier names nothing that exists.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Code::NotFound.into()),
        }
    }
}

pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let detail = format!("The query does not fit: {}.", rejection.body_text().trim_end_matches('.'));
                Err(Problem::new(Code::InvalidQuery).with_detail(detail))
            }
        }
    }
}

/// The client's name for this request, so that sending it twice does it once. Absent where the client sent none.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        // A structured field's text has quotes, which many clients leave out.
        let key = value.to_str().ok().map(|text| text.trim().trim_matches('"'));
        match key {
            Some(key) if (1..=IDEMPOTENCY_KEY_LEN_MAX).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Problem::new(Code::InvalidHeader).with_detail("Idempotency-Key has 1 to 144 ASCII characters.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_texts_alone() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(!is_too_deep(&nested(DEPTH_MAX)));
        assert!(is_too_deep(&nested(DEPTH_MAX + 1)));
        assert!(!is_too_deep(b"[] [] [] [] [] [] [] [] [] [] [] [] [] [] [] [] [] [] []"));
        assert!(!is_too_deep(br#"{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[\"[[[[[[["}"#));
        assert!(is_too_deep(br#"["\\", [[[[[[[[[[[[[[[["#));
    }

    #[test]
    fn json_says_that_it_is() {
        let is = |value: &'static str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(is(good), "{good}");
        }
        for bad in ["text/plain", "application/jsonp", "text/json", "application/x-www-form-urlencoded"] {
            assert!(!is(bad), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
