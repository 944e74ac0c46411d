//! Who is invited to a meeting, in which role, and the secret of the link that lets them in.

use super::Flaw;
use crate::identity::secret::{NamedSecret, SecretHash};
use crate::ids::{InvitationId, MeetingId};
use crate::moment::Moment;
use crate::text::Name;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Invitations of one meeting: more than anybody's list, fewer than a mailing list.
pub const INVITATIONS_MAX: i64 = 1_000;
/// How long a link is good for where the meeting has no end, and after the end where it has one.
pub const LINK_WITHOUT_END: Duration = Duration::from_secs(90 * 86_400);
pub const LINK_AFTER_END: Duration = Duration::from_secs(86_400);
/// Longest life of a link.
pub const LINK_MAX: Duration = Duration::from_secs(400 * 86_400);
/// RFC 5321 section 4.5.3.1: a path has 256 octets, of which two are brackets.
const EMAIL_LEN_MAX: usize = 254;

/// What somebody is in a meeting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Leads, and confirms outcomes.
    Chair,
    /// Prepares, admits, and drafts outcomes.
    Coordinator,
    /// A member whose presence the quorum counts.
    Core,
    /// A member for some of the cases.
    Extended,
    /// Listens and watches.
    Observer,
    /// Somebody from outside, for as long as they are needed.
    Guest,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Chair, Self::Coordinator, Self::Core, Self::Extended, Self::Observer, Self::Guest];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Chair => "chair",
            Self::Coordinator => "coordinator",
            Self::Core => "core",
            Self::Extended => "extended",
            Self::Observer => "observer",
            Self::Guest => "guest",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether this role runs the meeting.
    pub const fn is_host(self) -> bool {
        matches!(self, Self::Chair | Self::Coordinator)
    }
}

#[derive(Clone, Debug)]
pub struct Invitation {
    pub id: InvitationId,
    pub meeting: MeetingId,
    pub name: Name,
    pub role: Role,
    pub specialty: Option<Name>,
    /// The hospital or clinic.
    pub site: Option<Name>,
    pub email: Option<Email>,
    pub link_hash: SecretHash,
    pub link_expires_at: Moment,
    pub revoked_at: Option<Moment>,
    /// When the link last took the place of another. What was given for the one before is good no longer.
    pub link_renewed_at: Option<Moment>,
    pub version: i64,
    pub created_at: Moment,
}

/// Why a link does not let anybody in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkRefusal {
    Expired,
    Revoked,
}

impl Invitation {
    pub fn check_link(&self, now: Moment) -> Result<(), LinkRefusal> {
        if self.revoked_at.is_some() {
            return Err(LinkRefusal::Revoked);
        }
        if now >= self.link_expires_at {
            return Err(LinkRefusal::Expired);
        }
        Ok(())
    }

    /// From when on tokens of the link are good: tokens know whole seconds, so those of the next link begin with the second
    /// after the renewal, and no second has tokens of both.
    pub fn tokens_begin(&self) -> Option<u64> {
        self.link_renewed_at.map(|renewed_at| u64::try_from(renewed_at.ms()).unwrap_or(0) / 1_000 + 1)
    }

    /// Whether a token that begins then was given for a link before this one.
    pub fn has_outlived(&self, token_begins: Option<u64>) -> bool {
        self.tokens_begin().is_some_and(|first| token_begins.is_none_or(|begins| begins < first))
    }
}

/// When a link ends where nobody says.
pub fn default_link_expiry(meeting_end: Option<Moment>, now: Moment) -> Moment {
    let wanted = meeting_end.map_or(now.plus(LINK_WITHOUT_END), |end| end.plus(LINK_AFTER_END));
    wanted.clamp(now.plus(LINK_AFTER_END), now.plus(LINK_MAX))
}

pub fn check_link_expiry(expiry: Moment, now: Moment) -> Result<(), Flaw> {
    match expiry > now && expiry <= now.plus(LINK_MAX) {
        true => Ok(()),
        false => Err(Flaw::new("link_expires_at", "A link expires in the future, and within 400 days.")),
    }
}

/// What a link carries in its fragment, which browsers do not send and servers do not log.
pub type LinkSecret = NamedSecret<InvitationId>;

/// An address that mail can be sent to, as far as its form tells. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// A local part and a domain, of visible ASCII characters without quoting: what hospitals have. An address must not be
    /// able to end a header of a mail and start another.
    pub fn new(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        let is_domain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let fits = text.len() <= EMAIL_LEN_MAX
            && !local.is_empty()
            && local.len() <= 64
            && local.chars().all(is_local)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && domain.contains('.')
            && domain.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.chars().all(is_domain));
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| serde::de::Error::custom("not an e-mail address"))
    }
}

impl utoipa::PartialSchema for Email {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::schema::SchemaFormat::Custom("email".into())))
            .max_length(Some(EMAIL_LEN_MAX))
            .into()
    }
}

impl utoipa::ToSchema for Email {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_lives_as_long_as_the_meeting_and_a_day() {
        let day = |days: u64| Moment::from_ms(0).plus(Duration::from_secs(days * 86_400));
        assert_eq!(default_link_expiry(Some(day(7)), day(1)), day(8));
        assert_eq!(default_link_expiry(None, day(1)), day(91));
        assert_eq!(default_link_expiry(Some(day(3_000)), day(1)), day(401));
        assert_eq!(default_link_expiry(Some(day(0)), day(5)), day(6), "a meeting that is over");
        assert!(check_link_expiry(day(2), day(1)).is_ok());
        for wrong in [day(1), day(0), day(402)] {
            assert!(check_link_expiry(wrong, day(1)).is_err());
        }
    }

    #[test]
    fn an_address_is_one_word_with_a_domain() {
        for good in ["sian.o-briain@nhs.net", "a+b@x.example.org"] {
            assert!(Email::new(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@b",
            "@b.c",
            "a@",
            "a b@c.d",
            "a@b..c",
            "a@b.c\r\nBcc: x@y.z",
            "<a@b.c>",
            "a,b@c.d",
            ".a@b.c",
            "a@b@c.d e",
        ] {
            assert!(Email::new(bad).is_none(), "{bad}");
        }
        assert!(Email::new(&format!("{}@b.c", "x".repeat(300))).is_none());
    }
}
