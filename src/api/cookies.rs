//! The cookies of this site: their names, their attributes, and how they are read. What is in them, others know.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// What a browser keeps for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cookie {
    /// The secret of a session.
    Session,
    /// A sign-in at a provider that has not come back yet.
    Attempt,
}

impl Cookie {
    /// Browsers take a name with `__Host-` only over TLS, for this host and the whole of it, so that neither a neighbour
    /// under the same domain nor somebody on the way can set it (RFC 6265bis section 4.1.3.2).
    const fn name(self, is_secure: bool) -> &'static str {
        match (self, is_secure) {
            (Self::Session, true) => "__Host-consilium-session",
            (Self::Session, false) => "consilium-session",
            (Self::Attempt, true) => "__Host-consilium-attempt",
            (Self::Attempt, false) => "consilium-attempt",
        }
    }

    /// `None` where there is none, or more than one: then somebody else may have set the other.
    pub(super) fn read(self, headers: &HeaderMap, is_secure: bool) -> Option<&str> {
        let pairs = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = pairs.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == self.name(is_secure)).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() { None } else { value }
    }

    /// `Lax`, because somebody who comes back from a provider's page must still have it.
    pub(super) fn set(self, value: &str, lifetime: Duration, is_secure: bool) -> Option<HeaderValue> {
        let secure = if is_secure { "; Secure" } else { "" };
        let name = self.name(is_secure);
        let seconds = lifetime.as_secs();
        HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"))
            .ok()
    }

    pub(super) fn clear(self, is_secure: bool) -> Option<HeaderValue> {
        self.set("", Duration::ZERO, is_secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (COOKIE, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_and_by_its_whole_name() {
        let read = |values: &[&'static str]| Cookie::Session.read(&headers(values), false).map(str::to_owned);
        assert_eq!(read(&["a=b; consilium-session=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(read(&["a=b", "consilium-session=x"]).as_deref(), Some("x"));
        for none in ["", "xconsilium-session=x", "consilium-session", "__Host-consilium-session=x"] {
            assert_eq!(read(&[none]), None, "{none}");
        }
        assert_eq!(Cookie::Session.read(&headers(&["consilium-session=x"]), true), None);
    }

    #[test]
    fn of_two_with_the_same_name_neither_is_believed() {
        assert_eq!(Cookie::Session.read(&headers(&["consilium-session=x; consilium-session=y"]), false), None);
        assert_eq!(Cookie::Session.read(&headers(&["consilium-session=x", "consilium-session=y"]), false), None);
    }

    #[test]
    fn a_cookie_is_for_this_host_and_no_script() {
        let text = |value: Option<HeaderValue>| value.unwrap().to_str().unwrap().to_owned();
        let set = text(Cookie::Session.set("x", Duration::from_secs(60), true));
        assert_eq!(set, "__Host-consilium-session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        let cleared = text(Cookie::Attempt.clear(false));
        assert_eq!(cleared, "consilium-attempt=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
}
