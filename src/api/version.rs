//! Versions of what is stored, as ETags, and the precondition that a change needs: nobody overwrites what they did not see
//! (RFC 9110 section 13.1.1, RFC 6585 section 3).

use super::problem::{Code, Problem};
use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};

/// The header that tells a version.
pub(crate) fn etag(version: i64) -> [(HeaderName, HeaderValue); 1] {
    // Digits and quotes are always a valid value.
    [(ETAG, HeaderValue::from_str(&tag(version)).unwrap_or_else(|_| HeaderValue::from_static("\"\"")))]
}

fn tag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// What the caller saw last. Taking it makes the header mandatory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct IfMatch(Expected);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Expected {
    Any,
    OneOf(Vec<String>),
}

impl IfMatch {
    pub(crate) fn check(&self, version: i64) -> Result<(), Problem> {
        let tag = tag(version);
        match &self.0 {
            Expected::Any => Ok(()),
            Expected::OneOf(tags) if tags.contains(&tag) => Ok(()),
            Expected::OneOf(_) => Err(Code::Stale.into()),
        }
    }

    fn parse(text: &str) -> Self {
        match text.trim() {
            "*" => Self(Expected::Any),
            // Our tags hold no comma. A weak one, `W/"v1"`, equals none of ours, as the strong comparison wants.
            list => Self(Expected::OneOf(list.split(',').map(|tag| tag.trim().to_owned()).collect())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.headers.get(IF_MATCH).map(HeaderValue::to_str) {
            None => Err(Code::PreconditionRequired.into()),
            Some(Err(_)) => Err(Problem::new(Code::InvalidHeader).with_detail("If-Match holds ETags.")),
            Some(Ok(text)) => Ok(Self::parse(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_was_seen_may_be_changed() {
        for good in ["\"v3\"", "*", "\"v1\", \"v3\"", " \"v3\" "] {
            assert_eq!(IfMatch::parse(good).check(3), Ok(()), "{good}");
        }
        for bad in ["\"v2\"", "v3", "W/\"v3\"", "", "\"v33\"", "\"*\""] {
            assert_eq!(IfMatch::parse(bad).check(3).map_err(|problem| problem.code()), Err(Code::Stale), "{bad}");
        }
        assert_eq!(etag(3)[0].1, "\"v3\"");
    }
}
