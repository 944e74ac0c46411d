//! Secrets of full entropy that somebody carries in a link, and their hashes, which are all that is stored. A slow password
//! hash would add nothing: nobody guesses 256 random bits, however fast they can try.

use crate::ids::Identifier;
use crate::store::audit;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use std::fmt;

const SECRET_BYTES: usize = 32;

/// A secret together with the identifier of what it opens. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedSecret<I> {
    id: I,
    secret: [u8; SECRET_BYTES],
}

impl<I: Identifier> NamedSecret<I> {
    pub fn new(id: I) -> Self {
        let mut secret = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        Self { id, secret }
    }

    /// The identifier, a full stop, and the secret.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once('.')?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
        Some(Self { id: I::parse(id)?, secret: secret.try_into().ok()? })
    }

    /// Named so that a reader of the call sees what is given away.
    pub fn expose(&self) -> String {
        format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(self.secret))
    }

    pub fn id(&self) -> &I {
        &self.id
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }
}

impl<I: fmt::Debug> fmt::Debug for NamedSecret<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// SHA-256 of a secret of full entropy, in hexadecimal digits.
#[derive(Clone, Debug)]
pub struct SecretHash(String);

impl SecretHash {
    pub fn of(secret: &[u8]) -> Self {
        Self(audit::hex(digest(&SHA256, secret).as_ref()))
    }

    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In constant time. What it compares are hashes, so time would tell little anyway.
    pub fn matches(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{FeedId, InvitationId};
    use crate::moment::Moment;

    #[test]
    fn a_secret_survives_its_text_and_another_one_does_not_match() {
        let link = NamedSecret::new(InvitationId::new(Moment::from_ms(1)));
        let text = link.expose();
        assert_eq!(NamedSecret::parse(&text), Some(link.clone()));
        assert!(!format!("{link:?}").contains(&text[31..]));
        assert!(!NamedSecret::new(link.id().clone()).hash().matches(&link.hash()));
        assert_eq!(NamedSecret::<FeedId>::parse(&text), None, "of something else");
        for wrong in ["", ".", &text[1..], &text[..text.len() - 1], &text.replace('.', ""), &format!("{text}.x")] {
            assert_eq!(NamedSecret::<InvitationId>::parse(wrong), None, "{wrong}");
        }
    }
}
