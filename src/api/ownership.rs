//! What a caller may do with one meeting. To keys and to people in the meeting it does not matter whose it is; a user who is
//! no administrator sees and changes their own, and to them there are no others.

use super::Api;
use super::problem::Problem;
use crate::identity::{Action, Caller, Subject, may_as_owner};

/// [`may_as_owner`], with what the store knows. Not to be asked within a write, whose connection may be the last.
pub(super) async fn allow(api: &Api, caller: &Caller, action: Action<'_>) -> Result<(), Problem> {
    let is_owner = match (&caller.subject, action.meeting()) {
        (Subject::User(user), Some(id)) if !user.role.sees_all() => {
            api.store.meeting(id).await?.owner == user.id.as_str()
        }
        _ => false,
    };
    Ok(may_as_owner(caller, action, is_owner)?)
}
