//! How many listen to events: each holds a connection for as long as it likes.

use super::problem::{Code, Problem};
use crate::identity::{Caller, Subject};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// On this server. Half of the connections that it serves unless told otherwise; the design unit has 660 people.
const LISTENERS_MAX: usize = 2_048;
/// Of one person: a few pages, and those that a lost connection left behind.
const PER_PERSON_MAX: usize = 8;
/// Of one key: a hospital's own system that follows every meeting of a trust.
const PER_KEY_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Listeners {
    by_caller: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_caller: HashMap<String, usize>,
}

/// A listener's place, until it is dropped.
pub(super) struct Place {
    listeners: Arc<Listeners>,
    caller: String,
}

impl Listeners {
    pub(super) fn enter(self: &Arc<Self>, caller: &Caller) -> Result<Place, Problem> {
        let name = caller.subject.as_str().to_owned();
        let max = match caller.subject {
            Subject::ApiKey(_) => PER_KEY_MAX,
            Subject::Invitee(_) | Subject::User(_) => PER_PERSON_MAX,
        };
        let mut counts = self.by_caller.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.by_caller.get(&name).copied().unwrap_or(0);
        if counts.total >= LISTENERS_MAX || own >= max {
            return Err(Code::TooManyListeners.into());
        }
        counts.total += 1;
        counts.by_caller.insert(name.clone(), own + 1);
        Ok(Place { listeners: self.clone(), caller: name })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.listeners.by_caller.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        match counts.by_caller.get_mut(&self.caller) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                counts.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Invitee;
    use crate::identity::api_key::ApiKeySecret;
    use crate::ids::{ApiKeyId, InvitationId, MeetingId};
    use crate::meetings::invitation::Role;
    use crate::moment::Moment;

    fn key() -> Caller {
        let secret = ApiKeySecret::new(ApiKeyId::new(Moment::from_ms(0)));
        Caller { subject: Subject::ApiKey(secret.id().clone()), scopes: Vec::new(), seal_key: secret.seal_key() }
    }

    fn person() -> Caller {
        let (invitation, meeting) = (InvitationId::new(Moment::from_ms(0)), MeetingId::new(Moment::from_ms(0)));
        Caller {
            subject: Subject::Invitee(Invitee { invitation, meeting, role: Role::Core, token_begins: None }),
            ..key()
        }
    }

    #[test]
    fn each_has_their_own_bound_and_all_together_have_one() {
        let listeners = Arc::<Listeners>::default();
        let (one, other) = (person(), person());
        let mut places: Vec<_> = (0..PER_PERSON_MAX).map(|_| listeners.enter(&one).ok().unwrap()).collect();
        assert_eq!(listeners.enter(&one).err().map(|problem| problem.code()), Some(Code::TooManyListeners));
        places.push(listeners.enter(&other).ok().unwrap());
        places.remove(0);
        places.push(listeners.enter(&one).ok().unwrap());
        assert!(listeners.enter(&one).is_err());

        let keys: Vec<_> = (0..LISTENERS_MAX / PER_KEY_MAX).map(|_| key()).collect();
        let taken = keys.iter().flat_map(|key| (0..=PER_KEY_MAX).map(|_| listeners.enter(key)));
        places.extend(taken.filter_map(Result::ok));
        assert_eq!(places.len(), LISTENERS_MAX);
        assert!(listeners.enter(&person()).is_err());
        places.clear();
        assert!(listeners.enter(&person()).is_ok());
        let counts = listeners.by_caller.lock().unwrap();
        assert_eq!((counts.total, counts.by_caller.len()), (0, 0), "nothing is left behind");
    }
}
