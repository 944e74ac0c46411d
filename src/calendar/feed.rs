//! The secret of somebody's own calendar address. It is in a path, because programs that fetch calendars can say nothing
//! else; so it opens a calendar and nothing more, is stored as a hash, is never logged, and can be revoked.

use crate::identity::api_key::SecretHash;
use crate::ids::FeedId;
use crate::meetings::invitation::Email;
use crate::moment::Moment;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use std::time::Duration;

/// Calendars that are not revoked, of one address: one for each of somebody's devices.
pub const FEEDS_MAX: i64 = 16;
/// Meetings in one calendar, single or series: one for every working day of a year, and some.
pub const MEETINGS_MAX: i64 = 300;
/// How long a meeting that is over stays in it.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);
const SECRET_BYTES: usize = 32;

/// Somebody's own calendar: the meetings that an address is invited to.
#[derive(Clone, Debug)]
pub struct Feed {
    pub id: FeedId,
    pub email: Email,
    pub secret_hash: SecretHash,
    pub created_at: Moment,
    pub revoked_at: Option<Moment>,
    pub version: i64,
}

#[derive(Clone, PartialEq, Eq)]
pub struct FeedSecret {
    id: FeedId,
    secret: [u8; SECRET_BYTES],
}

impl FeedSecret {
    pub fn new(id: FeedId) -> Self {
        let mut secret = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        Self { id, secret }
    }

    /// The feed's identifier, a full stop, and the secret.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once('.')?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
        Some(Self { id: FeedId::parse(id)?, secret: secret.try_into().ok()? })
    }

    /// Named so that a reader of the call sees what is given away.
    pub fn expose(&self) -> String {
        format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(self.secret))
    }

    pub fn id(&self) -> &FeedId {
        &self.id
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }
}

impl std::fmt::Debug for FeedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_its_text_and_shows_nothing_in_debug() {
        let secret = FeedSecret::new(FeedId::new(Moment::from_ms(1)));
        let text = secret.expose();
        assert_eq!(FeedSecret::parse(&text), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains(&text[32..]));
        for wrong in ["", ".", &text[1..], &text[..text.len() - 1], &format!("{text}.x")] {
            assert_eq!(FeedSecret::parse(wrong), None, "{wrong}");
        }
    }
}
