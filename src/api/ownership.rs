//! What a caller may do with one meeting. To keys and to people in the meeting it does not matter whose it is; a user who is
//! no administrator sees and changes their own, and to them there are no others.

use super::Api;
use super::caller::again;
use super::problem::{Code, Problem};
use crate::identity::{Action, Caller, Subject, may_as_owner};
use crate::meetings::lobby::Standing;
use crate::meetings::meeting::Meeting;
use crate::moment::Moment;
use crate::store::Write;

/// [`may_as_owner`], with what the store knows, for the caller as they are by now: whoever sends a body slowly may have lost
/// since the headers came what they had. Not to be asked within a write, whose connection may be the last.
pub(super) async fn allow(api: &Api, caller: &Caller, action: Action<'_>) -> Result<Caller, Problem> {
    let caller = again(api, caller).await?.ok_or(Code::Unauthenticated)?;
    let is_owner = match (&caller.subject, action.meeting()) {
        (Subject::User(user), Some(id)) if !user.role.sees_all() => {
            api.store.meeting(id).await?.owner == user.id.as_str()
        }
        _ => false,
    };
    may_as_owner(&caller, action, is_owner)?;
    if let (Subject::Invitee(invitee), Action::Attend(_)) = (&caller.subject, action)
        && !invitee.role.is_host()
        && let Some(place) = api.store.place(&invitee.invitation).await?
    {
        check_standing(place.standing)?;
    }
    Ok(caller)
}

/// Whoever was sent out, for good or for one case, sees no more of the meeting than its door.
fn check_standing(standing: Standing) -> Result<(), Problem> {
    match standing {
        Standing::Admitted => Ok(()),
        Standing::Banned => Err(Code::EntryBanned.into()),
        Standing::Waiting | Standing::AwaitingNextCase | Standing::Denied | Standing::Removed | Standing::Left => {
            Err(Code::NotAdmitted.into())
        }
    }
}

/// [`allow`] once more for `caller`, whom it gave, within a write: what a host decided before it about somebody in the meeting
/// holds. Returns the caller of that moment.
pub(super) async fn allow_within(
    write: &mut Write,
    mut caller: Caller,
    meeting: &Meeting,
    action: Action<'_>,
) -> Result<Caller, Problem> {
    if let Subject::Invitee(invitee) = &mut caller.subject {
        let invitation = write.invitation(&invitee.invitation).await?;
        if invitation.check_link(Moment::now()).is_err() || invitation.has_outlived(invitee.token_begins) {
            return Err(Code::Unauthenticated.into());
        }
        invitee.role = invitation.role;
    }
    may_as_owner(&caller, action, owns(&caller, meeting))?;
    Ok(caller)
}

pub(super) fn owns(caller: &Caller, meeting: &Meeting) -> bool {
    matches!(&caller.subject, Subject::User(user) if meeting.owner == user.id.as_str())
}
