//! Turns at a provider: how many requests wait for its answer at a time, and how many of them one client may have brought
//! about. Knows neither what is asked nor how long an answer may take.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Requests to one provider at a time: a slow one must not take every connection of this server.
const TURNS_MAX: usize = 32;
/// Of these, for one client: a stranger who keeps a slow provider waiting leaves turns to others. A provider that answers in a
/// fifth of a second signs in 40 people each second behind one address all the same.
const TURNS_PER_CLIENT_MAX: usize = 8;

#[derive(Default)]
pub(super) struct Turns {
    /// By client, and never zero: so no more clients than turns.
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// Given back when dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    client: IpAddr,
}

impl Turns {
    /// `None` where too many wait already: who is refused at once can try again, who queues holds a connection.
    pub(super) fn take(&self, client: IpAddr) -> Option<Turn<'_>> {
        let mut taken = self.lock();
        let all: usize = taken.values().sum();
        let own = taken.get(&client).copied().unwrap_or_default();
        if all >= TURNS_MAX || own >= TURNS_PER_CLIENT_MAX {
            return None;
        }
        taken.insert(client, own + 1);
        Some(Turn { turns: self, client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Each change is whole before anything can panic.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.lock();
        match taken.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    fn take_all(turns: &Turns, client: IpAddr) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| turns.take(client)).take(2 * TURNS_MAX).collect()
    }

    #[test]
    fn one_client_leaves_turns_to_others_and_all_together_have_a_bound() {
        let turns = Turns::default();
        let first = take_all(&turns, client(1));
        assert_eq!(first.len(), TURNS_PER_CLIENT_MAX);
        let others: Vec<_> = (2..100).flat_map(|number| take_all(&turns, client(number))).collect();
        assert_eq!(first.len() + others.len(), TURNS_MAX);
    }

    #[test]
    fn a_turn_that_is_over_is_somebody_elses_and_nobody_is_remembered() {
        let turns = Turns::default();
        let mut taken = take_all(&turns, client(1));
        assert!(turns.take(client(1)).is_none());
        taken.pop();
        assert!(turns.take(client(1)).is_some());
        drop(taken);
        assert!(turns.lock().is_empty());
        assert_eq!(take_all(&turns, client(1)).len(), TURNS_PER_CLIENT_MAX);
    }
}
