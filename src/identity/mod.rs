//! Who is calling, and what they may do. It knows neither HTTP nor SQL.
//!
//! ```text
//! api_key       the keys of the REST API: their text, and what they seal
//! secret        secrets that links carry, and the hashes of all such secrets
//! permission    scopes, actions, and the one function that decides
//! account       people with an account, and what proves who they are
//! password      rules for passwords, and their hashes
//! session       what a cookie stands for, and how long
//! ```

pub mod account;
pub mod api_key;
pub mod password;
mod permission;
pub mod secret;
pub mod session;

pub use account::SiteRole;
pub use permission::{Action, Refusal, Scope, may, may_as_owner};

use crate::ids::{ApiKeyId, InvitationId, MeetingId, SessionId, UserId};
use crate::meetings::invitation::Role;
use api_key::SealKey;

/// Somebody who proved who they are.
#[derive(Clone, Debug)]
pub struct Caller {
    pub subject: Subject,
    pub scopes: Vec<Scope>,
    /// Seals what only this caller may read again.
    pub seal_key: SealKey,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    ApiKey(ApiKeyId),
    User(SignedIn),
    Invitee(Invitee),
}

/// Somebody who came into a meeting by invitation, as the invitation is now: a role that was taken away is gone at once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Invitee {
    pub invitation: InvitationId,
    pub meeting: MeetingId,
    pub role: Role,
    /// In seconds since the Unix epoch: a link that was renewed since ends what the token opens.
    pub token_begins: Option<u64>,
}

/// Somebody with an account, in one of their sessions.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SignedIn {
    pub id: UserId,
    pub role: SiteRole,
    pub session: SessionId,
}

impl Subject {
    /// The name of the subject in the audit log and in what they own.
    pub fn as_str(&self) -> &str {
        match self {
            Self::ApiKey(id) => id.as_str(),
            Self::User(user) => user.id.as_str(),
            Self::Invitee(invitee) => invitee.invitation.as_str(),
        }
    }
}
