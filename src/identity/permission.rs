//! What a caller may do: scopes on one side, actions on the other, and one pure function between them.

use super::Caller;
use serde::{Deserialize, Serialize};

/// What an API key is good for.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema, clap::ValueEnum,
)]
pub enum Scope {
    /// Read meetings, their occurrences and invitations.
    #[serde(rename = "meetings:read")]
    #[value(name = "meetings:read")]
    MeetingsRead,
    /// Create, change and cancel them. Includes reading.
    #[serde(rename = "meetings:write")]
    #[value(name = "meetings:write")]
    MeetingsWrite,
    /// Make and revoke API keys.
    #[serde(rename = "keys:admin")]
    #[value(name = "keys:admin")]
    KeysAdmin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::MeetingsRead, Self::MeetingsWrite, Self::KeysAdmin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MeetingsRead => "meetings:read",
            Self::MeetingsWrite => "meetings:write",
            Self::KeysAdmin => "keys:admin",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// What is about to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<'a> {
    ReadMeetings,
    WriteMeetings,
    ReadKeys,
    /// Revoke one.
    RevokeKey,
    /// Make one with these scopes: nobody gives away what they do not have.
    CreateKey(&'a [Scope]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The caller lacks this scope.
    MissingScope(Scope),
}

/// The only place that decides.
pub fn may(caller: &Caller, action: Action<'_>) -> Result<(), Refusal> {
    let needs = |scope: Scope| match caller.scopes.contains(&scope) {
        true => Ok(()),
        false => Err(Refusal::MissingScope(scope)),
    };
    match action {
        Action::ReadMeetings => needs(Scope::MeetingsWrite).or_else(|_| needs(Scope::MeetingsRead)),
        Action::WriteMeetings => needs(Scope::MeetingsWrite),
        Action::ReadKeys | Action::RevokeKey => needs(Scope::KeysAdmin),
        Action::CreateKey(scopes) => {
            needs(Scope::KeysAdmin)?;
            scopes.iter().try_for_each(|scope| needs(*scope))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Subject, api_key::ApiKeySecret};
    use crate::ids::ApiKeyId;
    use crate::moment::Moment;

    fn caller(scopes: &[Scope]) -> Caller {
        let secret = ApiKeySecret::new(ApiKeyId::new(Moment::from_ms(0)));
        Caller { subject: Subject::ApiKey(secret.id().clone()), scopes: scopes.to_vec(), seal_key: secret.seal_key() }
    }

    #[test]
    fn each_action_needs_its_scope_and_no_other_does() {
        use Scope::{KeysAdmin, MeetingsRead, MeetingsWrite};
        let table: [(Action<'_>, &[&[Scope]]); 6] = [
            (Action::ReadMeetings, &[&[MeetingsRead], &[MeetingsWrite]]),
            (Action::WriteMeetings, &[&[MeetingsWrite]]),
            (Action::ReadKeys, &[&[KeysAdmin]]),
            (Action::RevokeKey, &[&[KeysAdmin]]),
            (Action::CreateKey(&[]), &[&[KeysAdmin]]),
            (Action::CreateKey(&[MeetingsRead]), &[&[KeysAdmin, MeetingsRead]]),
        ];
        for (action, enough) in table {
            for number in 0..1 << Scope::ALL.len() {
                let scopes: Vec<_> = Scope::ALL
                    .into_iter()
                    .enumerate()
                    .filter(|(bit, _)| number >> bit & 1 == 1)
                    .map(|(_, scope)| scope)
                    .collect();
                let expected = enough.iter().any(|set| set.iter().all(|scope| scopes.contains(scope)));
                assert_eq!(may(&caller(&scopes), action).is_ok(), expected, "{action:?} with {scopes:?}");
            }
        }
    }

    #[test]
    fn a_scope_has_one_name_everywhere() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).ok(), Some(serde_json::json!(scope.name())));
            assert_eq!(Scope::from_name(scope.name()), Some(scope));
            let value = clap::ValueEnum::to_possible_value(&scope);
            assert_eq!(value.map(|value| value.get_name().to_owned()).as_deref(), Some(scope.name()));
        }
        assert_eq!(Scope::from_name("meetings"), None);
    }
}
