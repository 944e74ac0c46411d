//! What is stored and only this server may read: secrets that it must know again to use them. They are sealed with a key
//! that is derived from the secret of the API key pair, so the database alone, or a backup of it, opens none; and servers
//! that share a database share the pair. With another pair, what was sealed before stays closed.

use crate::identity::api_key::SealKey;
use crate::ids::InvitationId;
use crate::meetings::invitation::LinkSecret;
use consilium_signaling::access::ApiKeys;

const PURPOSE: &str = "consilium keeps a secret";

/// What a secret is for: one that was sealed for one purpose and owner does not open for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Link,
    Webhook,
}

impl Purpose {
    fn context(self, owner: &str) -> String {
        let word = match self {
            Self::Link => "link",
            Self::Webhook => "webhook",
        };
        format!("{word} {owner}")
    }
}

#[derive(Clone, Debug)]
pub struct Vault(SealKey);

impl Vault {
    /// `None` without a key pair.
    pub fn new(keys: &ApiKeys) -> Option<Self> {
        keys.derive(PURPOSE).map(|key| Self(SealKey::from_bytes(key)))
    }

    pub fn seal(&self, purpose: Purpose, owner: &str, secret: &str) -> Option<String> {
        self.0.seal(&purpose.context(owner), secret.as_bytes())
    }

    pub fn open(&self, purpose: Purpose, owner: &str, sealed: &str) -> Option<String> {
        String::from_utf8(self.0.open(&purpose.context(owner), sealed)?).ok()
    }

    pub fn seal_link(&self, link: &LinkSecret) -> Option<String> {
        self.seal(Purpose::Link, link.id().as_str(), &link.expose())
    }

    pub fn open_link(&self, invitation: &InvitationId, sealed: &str) -> Option<LinkSecret> {
        LinkSecret::parse(&self.open(Purpose::Link, invitation.as_str(), sealed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_owner_and_purpose_alone() {
        let vault = Vault::new(&ApiKeys::single("key", "a secret of enough length to be a secret")).unwrap();
        let sealed = vault.seal(Purpose::Link, "inv_1", "secret").unwrap();
        assert!(!sealed.contains("secret"));
        assert_eq!(vault.open(Purpose::Link, "inv_1", &sealed).as_deref(), Some("secret"));
        assert_eq!(vault.open(Purpose::Link, "inv_2", &sealed), None);
        assert_eq!(vault.open(Purpose::Webhook, "inv_1", &sealed), None);
        let other = Vault::new(&ApiKeys::single("key", "another secret of enough length to be one")).unwrap();
        assert_eq!(other.open(Purpose::Link, "inv_1", &sealed), None);
        assert!(Vault::new(&ApiKeys::default()).is_none());
    }
}
