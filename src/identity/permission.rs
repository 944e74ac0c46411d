//! What a caller may do: scopes on one side, actions on the other, and one pure function between them.

use super::{Caller, Invitee, SignedIn, SiteRole, Subject};
use crate::ids::MeetingId;
use crate::meetings::invitation::Role;
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
    /// Make accounts, disable them and end their sessions.
    #[serde(rename = "users:admin")]
    #[value(name = "users:admin")]
    UsersAdmin,
    /// Say which systems are told what happens, and look at what they were told.
    #[serde(rename = "webhooks:admin")]
    #[value(name = "webhooks:admin")]
    WebhooksAdmin,
}

impl Scope {
    pub const ALL: [Self; 5] =
        [Self::MeetingsRead, Self::MeetingsWrite, Self::KeysAdmin, Self::UsersAdmin, Self::WebhooksAdmin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MeetingsRead => "meetings:read",
            Self::MeetingsWrite => "meetings:write",
            Self::KeysAdmin => "keys:admin",
            Self::UsersAdmin => "users:admin",
            Self::WebhooksAdmin => "webhooks:admin",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// What is about to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<'a> {
    /// List meetings: all of them, or for a user who is no administrator, their own.
    ReadMeetings,
    /// Schedule one.
    WriteMeetings,
    /// Change or cancel one, and who is invited to it.
    ChangeMeeting(&'a MeetingId),
    ReadKeys,
    /// Revoke one.
    RevokeKey,
    /// Make one with these scopes: nobody gives away what they do not have.
    CreateKey(&'a [Scope]),
    ManageWebhooks,
    /// Read what is about all meetings, whoever owns them: mails, and addresses of people's calendars.
    ReadAcross,
    /// Change that. A calendar shows every meeting of a person.
    WriteAcross,
    /// See what happens in one meeting.
    Attend(&'a MeetingId),
    /// Read who is invited to one meeting, addresses included.
    ReadPeople(&'a MeetingId),
    /// Run one meeting, as its hosts do.
    Host(&'a MeetingId),
    /// Decide what a meeting's chair answers for in person. No key can.
    Chair(&'a MeetingId),
    ReadUsers,
    /// Make, change, disable or sign out a user of this role: nobody rises by resetting the password of a mightier one.
    AdministerUser(SiteRole),
}

impl Action<'_> {
    /// The one meeting that it is about.
    pub fn meeting(&self) -> Option<&MeetingId> {
        match self {
            Self::ChangeMeeting(id) | Self::Attend(id) | Self::ReadPeople(id) | Self::Host(id) | Self::Chair(id) => {
                Some(id)
            }
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The caller lacks this scope.
    MissingScope(Scope),
    /// People in a meeting may do nothing outside it, nor users with what others own, and do not learn what else there is.
    OtherMeeting,
    /// Only hosts may.
    NotHost,
    /// Only the chair may, as somebody in the meeting.
    NotChair,
}

/// Whether the caller may, where nothing is known of who owns the meeting of the action: to users who are no administrators
/// it is then another's.
pub fn may(caller: &Caller, action: Action<'_>) -> Result<(), Refusal> {
    may_as_owner(caller, action, false)
}

/// The only place that decides. `is_owner`: the caller owns the meeting of the action.
pub fn may_as_owner(caller: &Caller, action: Action<'_>, is_owner: bool) -> Result<(), Refusal> {
    match &caller.subject {
        Subject::ApiKey(_) => by_scope(&caller.scopes, action),
        Subject::User(user) => user_may(user, &caller.scopes, action, is_owner),
        Subject::Invitee(invitee) => invitee_may(invitee, action),
    }
}

/// Administrators may what keys with all scopes may. Others own what they make and see nothing else.
fn user_may(user: &SignedIn, scopes: &[Scope], action: Action<'_>, is_owner: bool) -> Result<(), Refusal> {
    match action {
        _ if user.role.sees_all() => by_scope(scopes, action),
        Action::ReadMeetings => Ok(()),
        Action::ReadAcross => Err(Refusal::MissingScope(Scope::MeetingsRead)),
        Action::WriteAcross => Err(Refusal::MissingScope(Scope::MeetingsWrite)),
        Action::Chair(_) if is_owner => Err(Refusal::NotChair),
        Action::Attend(_) | Action::ReadPeople(_) | Action::Host(_) if is_owner => Ok(()),
        Action::ChangeMeeting(_) if is_owner => by_scope(scopes, action),
        _ if action.meeting().is_some() => Err(Refusal::OtherMeeting),
        _ => by_scope(scopes, action),
    }
}

fn by_scope(scopes: &[Scope], action: Action<'_>) -> Result<(), Refusal> {
    let needs = |scope: Scope| match scopes.contains(&scope) {
        true => Ok(()),
        false => Err(Refusal::MissingScope(scope)),
    };
    match action {
        Action::ReadMeetings | Action::ReadAcross | Action::Attend(_) | Action::ReadPeople(_) => {
            needs(Scope::MeetingsWrite).or_else(|_| needs(Scope::MeetingsRead))
        }
        Action::WriteMeetings | Action::WriteAcross | Action::ChangeMeeting(_) | Action::Host(_) => {
            needs(Scope::MeetingsWrite)
        }
        Action::Chair(_) => Err(Refusal::NotChair),
        Action::ReadKeys | Action::RevokeKey => needs(Scope::KeysAdmin),
        Action::ManageWebhooks => needs(Scope::WebhooksAdmin),
        Action::CreateKey(scopes) => {
            needs(Scope::KeysAdmin)?;
            scopes.iter().try_for_each(|scope| needs(*scope))
        }
        Action::ReadUsers => needs(Scope::UsersAdmin),
        Action::AdministerUser(role) => {
            needs(Scope::UsersAdmin)?;
            role.scopes().iter().try_for_each(|scope| needs(*scope))
        }
    }
}

fn invitee_may(invitee: &Invitee, action: Action<'_>) -> Result<(), Refusal> {
    let (meeting, allowed, refusal) = match action {
        Action::Attend(meeting) => (meeting, true, Refusal::OtherMeeting),
        Action::ReadPeople(meeting) | Action::Host(meeting) => (meeting, invitee.role.is_host(), Refusal::NotHost),
        Action::Chair(meeting) => (meeting, invitee.role == Role::Chair, Refusal::NotChair),
        Action::ReadMeetings | Action::ReadAcross => return Err(Refusal::MissingScope(Scope::MeetingsRead)),
        Action::WriteMeetings | Action::WriteAcross | Action::ChangeMeeting(_) => {
            return Err(Refusal::MissingScope(Scope::MeetingsWrite));
        }
        Action::ReadKeys | Action::RevokeKey | Action::CreateKey(_) => {
            return Err(Refusal::MissingScope(Scope::KeysAdmin));
        }
        Action::ReadUsers | Action::AdministerUser(_) => return Err(Refusal::MissingScope(Scope::UsersAdmin)),
        Action::ManageWebhooks => return Err(Refusal::MissingScope(Scope::WebhooksAdmin)),
    };
    match (*meeting == invitee.meeting, allowed) {
        (false, _) => Err(Refusal::OtherMeeting),
        (true, false) => Err(refusal),
        (true, true) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Subject, api_key::ApiKeySecret};
    use crate::ids::{ApiKeyId, InvitationId, SessionId, UserId};
    use crate::moment::Moment;

    fn caller(scopes: &[Scope]) -> Caller {
        let secret = ApiKeySecret::new(ApiKeyId::new(Moment::from_ms(0)));
        Caller { subject: Subject::ApiKey(secret.id().clone()), scopes: scopes.to_vec(), seal_key: secret.seal_key() }
    }

    #[test]
    fn each_action_needs_its_scope_and_no_other_does() {
        use Scope::{KeysAdmin, MeetingsRead, MeetingsWrite, UsersAdmin, WebhooksAdmin};
        let meeting = MeetingId::new(Moment::from_ms(0));
        let table: [(Action<'_>, &[&[Scope]]); 18] = [
            (Action::Attend(&meeting), &[&[MeetingsRead], &[MeetingsWrite]]),
            (Action::ReadPeople(&meeting), &[&[MeetingsRead], &[MeetingsWrite]]),
            (Action::Host(&meeting), &[&[MeetingsWrite]]),
            (Action::Chair(&meeting), &[]),
            (Action::ReadMeetings, &[&[MeetingsRead], &[MeetingsWrite]]),
            (Action::WriteMeetings, &[&[MeetingsWrite]]),
            (Action::ReadKeys, &[&[KeysAdmin]]),
            (Action::RevokeKey, &[&[KeysAdmin]]),
            (Action::CreateKey(&[]), &[&[KeysAdmin]]),
            (Action::CreateKey(&[MeetingsRead]), &[&[KeysAdmin, MeetingsRead]]),
            (Action::ChangeMeeting(&meeting), &[&[MeetingsWrite]]),
            (Action::ReadUsers, &[&[UsersAdmin]]),
            (Action::AdministerUser(SiteRole::Member), &[&[UsersAdmin]]),
            (Action::AdministerUser(SiteRole::Coordinator), &[&[UsersAdmin, MeetingsRead, MeetingsWrite]]),
            (Action::AdministerUser(SiteRole::Administrator), &[&Scope::ALL]),
            (Action::ManageWebhooks, &[&[WebhooksAdmin]]),
            (Action::ReadAcross, &[&[MeetingsRead], &[MeetingsWrite]]),
            (Action::WriteAcross, &[&[MeetingsWrite]]),
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
    fn people_in_a_meeting_act_there_by_their_role_and_nowhere_else() {
        let (own, other) = (MeetingId::new(Moment::from_ms(0)), MeetingId::new(Moment::from_ms(0)));
        for role in Role::ALL {
            let invitation = InvitationId::new(Moment::from_ms(0));
            let subject = Subject::Invitee(Invitee { invitation, meeting: own.clone(), role, token_begins: None });
            // Scopes are for keys: with all of them it would be no different.
            let caller = Caller { subject, ..caller(&Scope::ALL) };
            assert_eq!(may(&caller, Action::Attend(&own)), Ok(()));
            assert_eq!(may(&caller, Action::ReadPeople(&own)).is_ok(), role.is_host(), "{role:?}");
            assert_eq!(may(&caller, Action::Host(&own)).is_ok(), role.is_host(), "{role:?}");
            assert_eq!(may(&caller, Action::Chair(&own)).is_ok(), role == Role::Chair, "{role:?}");
            for action in [Action::Attend(&other), Action::Host(&other), Action::Chair(&other)] {
                assert_eq!(may(&caller, action), Err(Refusal::OtherMeeting), "{role:?}");
            }
            for action in [
                Action::ReadMeetings,
                Action::WriteMeetings,
                Action::ReadKeys,
                Action::CreateKey(&[]),
                Action::ManageWebhooks,
                Action::ReadAcross,
                Action::WriteAcross,
            ] {
                assert!(matches!(may(&caller, action), Err(Refusal::MissingScope(_))), "{role:?}");
            }
        }
    }

    #[test]
    fn users_act_on_what_they_own_and_administrators_on_everything() {
        let meeting = MeetingId::new(Moment::from_ms(0));
        let about_one = [
            Action::Attend(&meeting),
            Action::ReadPeople(&meeting),
            Action::Host(&meeting),
            Action::ChangeMeeting(&meeting),
        ];
        for role in SiteRole::ALL {
            let (id, session) = (UserId::new(Moment::from_ms(0)), SessionId::new(Moment::from_ms(0)));
            let subject = Subject::User(SignedIn { id, role, session });
            let caller = Caller { subject, ..caller(role.scopes()) };
            let is_administrator = role == SiteRole::Administrator;
            for action in about_one {
                let as_stranger = if is_administrator { Ok(()) } else { Err(Refusal::OtherMeeting) };
                assert_eq!(may(&caller, action), as_stranger, "{role:?} {action:?}");
                let changes = matches!(action, Action::ChangeMeeting(_));
                let as_owner = !changes || role != SiteRole::Member;
                assert_eq!(may_as_owner(&caller, action, true).is_ok(), as_owner, "{role:?} {action:?}");
            }
            assert!(may_as_owner(&caller, Action::Chair(&meeting), true).is_err(), "{role:?}");
            assert_eq!(may(&caller, Action::ReadMeetings), Ok(()), "{role:?}");
            assert_eq!(may(&caller, Action::WriteMeetings).is_ok(), role != SiteRole::Member, "{role:?}");
            for action in [Action::ReadKeys, Action::ReadUsers, Action::AdministerUser(SiteRole::Member)] {
                assert_eq!(may(&caller, action).is_ok(), is_administrator, "{role:?} {action:?}");
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
