//! People with an account: who they are, what they may do on this site, and what proves that they are it.

use super::Scope;
use super::password::PasswordHash;
use crate::ids::UserId;
use crate::meetings::invitation::Email;
use crate::moment::Moment;
use crate::text::Name;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Characters of a login: an address of work fits.
const LOGIN_LEN_MAX: usize = 64;
const PROVIDER_ID_LEN_MAX: usize = 32;
/// OpenID Connect Core section 2: "It MUST NOT exceed 255 ASCII characters in length."
const PROVIDER_SUBJECT_LEN_MAX: usize = 255;

/// What somebody may do on this site, outside of single meetings.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum SiteRole {
    /// Everything, accounts and keys included.
    Administrator,
    /// Schedules meetings, and sees and changes their own.
    Coordinator,
    /// Is known by name in the meetings of others.
    Member,
}

impl SiteRole {
    pub const ALL: [Self; 3] = [Self::Administrator, Self::Coordinator, Self::Member];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Coordinator => "coordinator",
            Self::Member => "member",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    pub const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Administrator => &Scope::ALL,
            Self::Coordinator => &[Scope::MeetingsRead, Scope::MeetingsWrite],
            Self::Member => &[],
        }
    }

    /// Whether what others own is theirs to see and change.
    pub const fn sees_all(self) -> bool {
        matches!(self, Self::Administrator)
    }
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct User {
    pub id: UserId,
    pub name: Name,
    /// Known to be theirs: an administrator or their provider says so.
    pub email: Option<Email>,
    /// The hospital or trust.
    pub organisation: Option<Name>,
    pub role: SiteRole,
    pub proof: Proof,
    pub disabled_at: Option<Moment>,
    pub version: i64,
    pub created_at: Moment,
    pub updated_at: Moment,
}

/// What proves who somebody is.
#[derive(Clone, Debug)]
pub enum Proof {
    Password { login: Login, hash: PasswordHash },
    Provider { provider: ProviderId, subject: ProviderSubject },
}

impl User {
    pub fn new(name: Name, role: SiteRole, proof: Proof, now: Moment) -> Self {
        Self {
            id: UserId::new(now),
            name,
            email: None,
            organisation: None,
            role,
            proof,
            disabled_at: None,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    pub fn login(&self) -> Option<&Login> {
        match &self.proof {
            Proof::Password { login, .. } => Some(login),
            Proof::Provider { .. } => None,
        }
    }

    /// The same with another password; `None` where a provider keeps it.
    pub fn with_password(&self, hash: PasswordHash, now: Moment) -> Option<Self> {
        let login = self.login()?.clone();
        let proof = Proof::Password { login, hash };
        Some(Self { proof, version: self.version + 1, updated_at: now, ..self.clone() })
    }

    pub fn provider(&self) -> Option<&ProviderId> {
        match &self.proof {
            Proof::Password { .. } => None,
            Proof::Provider { provider, .. } => Some(provider),
        }
    }
}

/// The name that somebody types to sign in: lower-case ASCII, so that no letter passes for another. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login(String);

impl Login {
    /// Case is forgiven; anything else that is unusual is not.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_sign = |c: char| matches!(c, '.' | '_' | '-' | '@' | '+');
        let fits = (1..=LOGIN_LEN_MAX).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || is_sign(c))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_ascii_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl std::str::FromStr for Login {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or("1 to 64 ASCII letters, digits, and . _ - @ +, beginning with a letter or digit")
    }
}

impl Serialize for Login {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Login {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Login {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$"))
            .into()
    }
}

impl utoipa::ToSchema for Login {}

/// How the configuration names an identity provider; part of its addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct ProviderId(String);

impl ProviderId {
    /// 1 to 32 lower-case letters, digits and hyphens.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=PROVIDER_ID_LEN_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProviderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| serde::de::Error::custom("not the id of a provider"))
    }
}

impl utoipa::PartialSchema for ProviderId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[a-z0-9-]{1,32}$"))
            .into()
    }
}

impl utoipa::ToSchema for ProviderId {}

/// How a provider names somebody (`sub`). It is compared byte by byte and shown to nobody.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProviderSubject(String);

impl ProviderSubject {
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=PROVIDER_SUBJECT_LEN_MAX).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProviderSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_plain_and_one_in_every_case() {
        assert_eq!(Login::new(" Ann.Other@NHS.net "), Login::new("ann.other@nhs.net"));
        // The second has a Cyrillic a, the third a letter of full width.
        for wrong in ["", "\u{430}nn", "\u{ff41}nn", "ann other", ".ann", "a\0", "a\u{200b}nn", &"a".repeat(65)] {
            assert_eq!(Login::new(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_role_has_one_name_everywhere_and_scopes_of_its_own() {
        for role in SiteRole::ALL {
            assert_eq!(serde_json::to_value(role).ok(), Some(serde_json::json!(role.name())));
            assert_eq!(SiteRole::from_name(role.name()), Some(role));
        }
        assert_eq!(SiteRole::Administrator.scopes(), Scope::ALL);
        assert!(!SiteRole::Coordinator.scopes().contains(&Scope::UsersAdmin) && SiteRole::Member.scopes().is_empty());
    }

    #[test]
    fn what_a_provider_may_call_itself_and_others_is_bounded() {
        assert!(ProviderId::new("nhs-cis2").is_some());
        for wrong in ["", "NHS", "a/b", "a b", "ä", &"a".repeat(33)] {
            assert_eq!(ProviderId::new(wrong), None, "{wrong}");
        }
        assert!(ProviderSubject::new("248289761001|x").is_some());
        for wrong in ["", " ", "a\n", "\u{430}", &"a".repeat(256)] {
            assert_eq!(ProviderSubject::new(wrong), None, "{wrong}");
        }
    }
}
