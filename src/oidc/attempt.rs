//! A sign-in that has not come back from its provider yet. The browser keeps it, sealed, in a cookie: an answer that arrives
//! in another browser, or at another time, belongs to nobody (RFC 9700 section 4.7).

use crate::identity::account::ProviderId;
use crate::identity::api_key::SealKey;
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// As long as somebody may look for their smartcard.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Characters of the path that somebody comes back to.
const RETURN_LEN_MAX: usize = 512;
const SEAL_CONTEXT: &str = "an attempt to sign in";

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub(super) provider: ProviderId,
    pub(super) state: String,
    pub(super) nonce: String,
    /// Of PKCE (RFC 7636).
    pub(super) verifier: String,
    /// Where the person wanted to go.
    pub(super) return_to: String,
    pub(super) expires_at_ms: i64,
}

impl Attempt {
    pub fn seal(&self, key: &SealKey) -> Option<String> {
        key.seal(SEAL_CONTEXT, &serde_json::to_vec(self).ok()?)
    }

    /// The attempt that this browser keeps, if it is of this provider, is not over, and its state is the one that came back.
    pub fn open(key: &SealKey, sealed: &str, provider: &ProviderId, state: &str, now: Moment) -> Option<Self> {
        let attempt: Self = serde_json::from_slice(&key.open(SEAL_CONTEXT, sealed)?).ok()?;
        let is_same =
            aws_lc_rs::constant_time::verify_slices_are_equal(attempt.state.as_bytes(), state.as_bytes()).is_ok();
        let is_alive = now < Moment::from_ms(attempt.expires_at_ms);
        (is_same && is_alive && attempt.provider == *provider).then_some(attempt)
    }

    pub fn return_to(&self) -> &str {
        &self.return_to
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// A path on this site, which no browser takes for an address elsewhere.
pub fn return_path(text: &str) -> Option<&str> {
    let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    let is_plain = text.chars().all(|c| c.is_ascii_graphic()) && text.len() <= RETURN_LEN_MAX;
    (is_path && is_plain).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_of_one_browser_one_provider_one_state_and_ten_minutes() {
        let (key, other_key) = (SealKey::from_bytes([1; 32]), SealKey::from_bytes([2; 32]));
        let (nhs, other) = (ProviderId::new("nhs").unwrap(), ProviderId::new("other").unwrap());
        let now = Moment::from_ms(1_000);
        let attempt = Attempt {
            provider: nhs.clone(),
            state: "state".into(),
            nonce: "nonce".into(),
            verifier: "verifier".into(),
            return_to: "/m/x".into(),
            expires_at_ms: now.plus(LIFETIME).ms(),
        };
        let sealed = attempt.seal(&key).unwrap();
        assert!(!sealed.contains("nonce") && !format!("{attempt:?}").contains("verifier"));
        assert_eq!(Attempt::open(&key, &sealed, &nhs, "state", now), Some(attempt));
        assert_eq!(Attempt::open(&other_key, &sealed, &nhs, "state", now), None);
        assert_eq!(Attempt::open(&key, &sealed[1..], &nhs, "state", now), None);
        assert_eq!(Attempt::open(&key, &sealed, &other, "state", now), None);
        assert_eq!(Attempt::open(&key, &sealed, &nhs, "stat", now), None);
        assert_eq!(Attempt::open(&key, &sealed, &nhs, "state", now.plus(LIFETIME)), None);
    }

    #[test]
    fn somebody_comes_back_to_this_site_alone() {
        for good in ["/", "/m/first-meeting", "/meetings?from=2026"] {
            assert_eq!(return_path(good), Some(good));
        }
        for wrong in
            ["", "//evil.test", "/\\evil.test", "https://evil.test", "m/x", "/a\r\nb", "/\u{a0}", &"/a".repeat(300)]
        {
            assert_eq!(return_path(wrong), None, "{wrong}");
        }
    }
}
