//! A session: somebody who signed in, in one browser, until they sign out, go away or the day ends. The cookie holds 256
//! random bits; the server keeps their SHA-256, so that a copy of the database opens no session.

use super::account::{ProviderId, ProviderSubject};
use super::secret::SecretHash;
use crate::ids::{SessionId, UserId};
use crate::moment::Moment;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use std::fmt;
use std::time::Duration;

/// Unused for longer, a session ends: the longest list of cases, which somebody may follow without a request.
pub const IDLE: Duration = Duration::from_secs(8 * 3600);
/// However much it is used: a long shift (NIST SP 800-63B section 4.2.3 asks for 12 hours at AAL2).
pub const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);
/// A session that is used is written down this often, not at each request.
pub const NOTED_EVERY: Duration = Duration::from_secs(300);
/// Sessions of one user; the oldest makes room. More browsers than anybody has.
pub const SESSIONS_MAX: i64 = 20;
/// Characters of a provider's name for a session: that of every provider that we know is a UUID or a hash.
const PROVIDER_SESSION_LEN_MAX: usize = 255;
const SECRET_BYTES: usize = 32;

#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub user: UserId,
    pub secret_hash: SecretHash,
    /// At the provider that it came from.
    pub origin: Option<Origin>,
    pub created_at: Moment,
    pub seen_at: Moment,
    pub expires_at: Moment,
}

/// The sign-in at a provider that a session came from: signing out there ends it here.
#[derive(Clone, Debug)]
pub struct Origin {
    pub provider: ProviderId,
    /// The provider's name for its session (`sid`), where it has one.
    pub session: Option<ProviderSession>,
}

/// Whose sessions a provider ends: one session, everything of one person, or the sessions of both names.
#[derive(Clone, Debug)]
pub struct SignedOut {
    pub provider: ProviderId,
    pub subject: Option<ProviderSubject>,
    pub session: Option<ProviderSession>,
}

impl Session {
    /// A new one, and the secret for its cookie.
    pub fn begin(user: UserId, origin: Option<Origin>, now: Moment) -> (Self, SessionSecret) {
        let secret = SessionSecret::new();
        let session = Self {
            id: SessionId::new(now),
            user,
            secret_hash: secret.hash(),
            origin,
            created_at: now,
            seen_at: now,
            expires_at: now.plus(ABSOLUTE),
        };
        (session, secret)
    }

    pub fn is_alive(&self, now: Moment) -> bool {
        now < self.expires_at && now < self.seen_at.plus(IDLE)
    }

    pub fn is_to_be_noted(&self, now: Moment) -> bool {
        now.since(self.seen_at) >= NOTED_EVERY
    }
}

/// What the cookie holds.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionSecret([u8; SECRET_BYTES]);

impl SessionSecret {
    fn new() -> Self {
        let mut secret = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        Self(secret)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }

    /// Named so that a reader of the call sees what is given away.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A provider's name for its session.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderSession(String);

impl ProviderSession {
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=PROVIDER_SESSION_LEN_MAX).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProviderSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_when_the_day_is_over() {
        let start = Moment::from_ms(0);
        let (mut session, _) = Session::begin(UserId::new(start), None, start);
        assert!(session.is_alive(start.plus(IDLE - Duration::from_millis(1))));
        assert!(!session.is_alive(start.plus(IDLE)));
        session.seen_at = start.plus(IDLE - Duration::from_secs(1));
        assert!(session.is_alive(start.plus(IDLE)));
        assert!(session.is_alive(start.plus(ABSOLUTE - Duration::from_millis(1))));
        assert!(!session.is_alive(start.plus(ABSOLUTE)));
        assert!(!session.is_to_be_noted(session.seen_at) && session.is_to_be_noted(session.seen_at.plus(NOTED_EVERY)));
    }

    #[test]
    fn a_secret_survives_its_text_and_nothing_else_is_one() {
        let secret = SessionSecret::new();
        let text = secret.expose();
        assert_eq!(SessionSecret::parse(&text), Some(secret.clone()));
        assert_eq!(text.len(), 43);
        assert!(!format!("{secret:?}").contains(&text[..8]));
        assert_ne!(SessionSecret::new(), secret);
        for wrong in ["", "a", &text[1..], &format!("{text}A"), &"ü".repeat(20)] {
            assert_eq!(SessionSecret::parse(wrong), None, "{wrong}");
        }
    }
}
