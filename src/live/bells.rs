//! A bell for each person who waits at a door and listens: it rings when something about them may have changed. What changed,
//! they ask the store.

use crate::ids::{InvitationId, MeetingId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// People who listen at a time: ten full lobbies. Who finds no place asks now and then instead.
pub const LISTENERS_MAX: usize = 10_000;

#[derive(Clone, Default)]
pub struct Bells {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    bells: HashMap<InvitationId, Bell>,
    next: u64,
    is_closed: bool,
}

struct Bell {
    /// Tells the bell of one listener from that of the next at the same door.
    number: u64,
    meeting: MeetingId,
    ring: watch::Sender<()>,
}

impl Bells {
    /// Who listened for the same person before hears no more. `None` where too many listen, or the server stops.
    pub fn listen(&self, invitation: &InvitationId, meeting: &MeetingId) -> Option<Listening> {
        let mut inner = self.lock();
        let is_full = inner.bells.len() >= LISTENERS_MAX && !inner.bells.contains_key(invitation);
        if is_full || inner.is_closed {
            return None;
        }
        inner.next += 1;
        let number = inner.next;
        let (ring, rung) = watch::channel(());
        inner.bells.insert(invitation.clone(), Bell { number, meeting: meeting.clone(), ring });
        Some(Listening { bells: self.clone(), invitation: invitation.clone(), number, rung })
    }

    pub(super) fn ring(&self, invitation: &InvitationId) {
        if let Some(bell) = self.lock().bells.get(invitation) {
            bell.ring.send_replace(());
        }
    }

    /// Of everybody at the door of a meeting.
    pub(super) fn ring_all(&self, meeting: &MeetingId) {
        let inner = self.lock();
        for bell in inner.bells.values().filter(|bell| bell.meeting == *meeting) {
            bell.ring.send_replace(());
        }
    }

    /// Everybody hears that there is nothing more to hear.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        inner.bells.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change is whole before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who listens.
pub struct Listening {
    bells: Bells,
    invitation: InvitationId,
    number: u64,
    rung: watch::Receiver<()>,
}

impl Listening {
    /// Waits for the next ring since the last call; `false` where there will be none.
    pub async fn rung(&mut self) -> bool {
        self.rung.changed().await.is_ok()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut inner = self.bells.lock();
        if inner.bells.get(&self.invitation).is_some_and(|bell| bell.number == self.number) {
            inner.bells.remove(&self.invitation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    fn ids() -> (InvitationId, MeetingId) {
        (InvitationId::new(Moment::from_ms(1)), MeetingId::new(Moment::from_ms(1)))
    }

    #[tokio::test]
    async fn a_bell_rings_for_one_person_or_for_everybody_at_a_door() {
        let bells = Bells::default();
        let ((one, door), (other, elsewhere)) = (ids(), ids());
        let mut first = bells.listen(&one, &door).unwrap();
        let mut second = bells.listen(&other, &elsewhere).unwrap();
        bells.ring(&one);
        assert!(first.rung().await);
        bells.ring_all(&elsewhere);
        assert!(second.rung().await);
        assert!(!first.rung.has_changed().unwrap());
    }

    #[tokio::test]
    async fn the_next_listener_takes_the_place_of_the_last_and_leaves_nothing_behind() {
        let bells = Bells::default();
        let (person, door) = ids();
        let mut first = bells.listen(&person, &door).unwrap();
        let second = bells.listen(&person, &door).unwrap();
        assert!(!first.rung().await);
        drop(first);
        assert_eq!(bells.lock().bells.len(), 1, "the older one did not take the newer one's bell along");
        drop(second);
        assert_eq!(bells.lock().bells.len(), 0);
        bells.close();
        assert!(bells.listen(&person, &door).is_none());
    }

    #[test]
    fn a_crowd_of_listeners_is_bounded() {
        let bells = Bells::default();
        let (_, door) = ids();
        let mut all: Vec<_> = (0..LISTENERS_MAX).map(|_| bells.listen(&ids().0, &door)).collect::<Option<_>>().unwrap();
        assert!(bells.listen(&ids().0, &door).is_none());
        all.pop();
        assert!(bells.listen(&ids().0, &door).is_some());
    }
}
