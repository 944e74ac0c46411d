//! Who is calling, and what they may do. It knows neither HTTP nor SQL.
//!
//! ```text
//! api_key       the keys of the REST API: their text, their hash
//! permission    scopes, actions, and the one function that decides
//! ```

pub mod api_key;
mod permission;

pub use permission::{Action, Refusal, Scope, may};

use crate::ids::ApiKeyId;
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
}

impl Subject {
    /// The name of the subject in the audit log and in what they own.
    pub fn as_str(&self) -> &str {
        match self {
            Self::ApiKey(id) => id.as_str(),
        }
    }
}
