//! The order of one participant's reliable messages around the loss of its session.
//!
//! A client that is trying to resume keeps back what it is asked to send in that moment, sends what it is asked in between
//! (its data channel may well be up), and after the resume sends again all that follows the last number that we name. So
//! what comes after a gap waits until the gap is filled, and what comes twice is passed on once.

use super::data::Destinations;
use livekit_protocol::DataPacket;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Messages, and bytes of them, that wait behind a gap: what one participant says in a resume's window. Beyond it the gap is
/// given up.
const HELD_MAX: usize = 256;
const HELD_BYTES_MAX: usize = 1 << 20;
/// How long after a resume a gap may last. The client sends again as soon as its connection is proven anew, and what was
/// under way in the channel comes before that, after the last pause of SCTP's retransmissions.
const SETTLE: Duration = Duration::from_secs(5);

/// A message on its way to others.
pub(super) struct Arrival {
    pub(super) destinations: Destinations,
    pub(super) packet: DataPacket,
}

/// What the session is like that a message comes beside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Away,
    Here,
}

#[derive(Default)]
pub(super) struct Arrivals {
    /// The last number passed on; all before it were, or never came.
    last: u32,
    held: BTreeMap<u32, Arrival>,
    held_bytes: usize,
    settles_at: Option<Instant>,
}

/// It was passed on, or waits already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Duplicate;

impl Arrivals {
    /// For a client that resumes: what follows is to be sent again.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    /// The session is gone.
    pub(super) fn parted(&mut self) {
        self.settles_at = None;
    }

    /// The session is back.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.settles_at = now.checked_add(SETTLE);
    }

    /// When to call [`Self::settle`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.settles_at.filter(|_| !self.held.is_empty())
    }

    /// A numbered message. Returns what can be passed on now, in order.
    pub(super) fn arrived(
        &mut self,
        now: Instant,
        presence: Presence,
        arrival: Arrival,
    ) -> Result<Vec<Arrival>, Duplicate> {
        let sequence = arrival.packet.sequence;
        if sequence <= self.last {
            return Err(Duplicate);
        }
        let known = self.held.contains_key(&sequence);
        let settles = presence == Presence::Away || self.settles_at.is_some_and(|at| now < at);
        if !known {
            self.held_bytes += len(&arrival);
            self.held.insert(sequence, arrival);
        }
        // Sent again although what is before it did not come: the client does not have that any more.
        let given_up = known || !settles || self.held.len() > HELD_MAX || self.held_bytes > HELD_BYTES_MAX;
        let passed = if given_up { self.settle() } else { self.take_next() };
        if known && passed.is_empty() { Err(Duplicate) } else { Ok(passed) }
    }

    /// Gives up what is missing: all that waits can be passed on.
    pub(super) fn settle(&mut self) -> Vec<Arrival> {
        self.held_bytes = 0;
        self.last = self.held.keys().next_back().copied().unwrap_or(self.last);
        std::mem::take(&mut self.held).into_values().collect()
    }

    fn take_next(&mut self) -> Vec<Arrival> {
        let mut next = Vec::new();
        while let Some(arrival) = self.last.checked_add(1).and_then(|sequence| self.held.remove(&sequence)) {
            self.last += 1;
            self.held_bytes -= len(&arrival);
            next.push(arrival);
        }
        next
    }
}

fn len(arrival: &Arrival) -> usize {
    prost::Message::encoded_len(&arrival.packet)
}

#[cfg(test)]
mod tests {
    use super::Presence::{Away, Here};
    use super::*;

    fn arrival(sequence: u32) -> Arrival {
        Arrival { destinations: Destinations::new([], []), packet: DataPacket { sequence, ..Default::default() } }
    }

    /// Numbers passed on after each number that comes; `None` for a duplicate.
    fn after(arrivals: &mut Arrivals, now: Instant, presence: Presence, sequences: &[u32]) -> Vec<Option<Vec<u32>>> {
        let numbers = |passed: Vec<Arrival>| passed.iter().map(|arrival| arrival.packet.sequence).collect();
        sequences.iter().map(|&sequence| arrivals.arrived(now, presence, arrival(sequence)).ok().map(numbers)).collect()
    }

    fn some(numbers: &[u32]) -> Option<Vec<u32>> {
        Some(numbers.to_vec())
    }

    #[test]
    fn what_a_client_keeps_back_while_it_tries_to_resume_keeps_its_place() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        assert_eq!(after(&mut arrivals, now, Here, &[1, 2]), [some(&[1]), some(&[2])]);
        assert_eq!(after(&mut arrivals, now, Away, &[3, 5, 6, 8]), [some(&[3]), some(&[]), some(&[]), some(&[])]);
        assert_eq!(arrivals.last(), 3);
        arrivals.resumed(now);
        let replayed = after(&mut arrivals, now, Here, &[4, 5, 6, 7, 8, 9]);
        assert_eq!(replayed, [some(&[4, 5, 6]), None, None, some(&[7, 8]), None, some(&[9])]);
        assert_eq!(arrivals.deadline(), None);
        // And so a second time.
        arrivals.parted();
        assert_eq!(after(&mut arrivals, now + SETTLE * 2, Away, &[11]), [some(&[])]);
        assert_eq!(arrivals.deadline(), None);
    }

    #[test]
    fn what_was_under_way_when_the_session_came_back_waits_for_the_gap_too() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        after(&mut arrivals, now, Here, &[1]);
        arrivals.resumed(now);
        assert_eq!(after(&mut arrivals, now, Here, &[3, 2]), [some(&[]), some(&[2, 3])]);
    }

    #[test]
    fn a_gap_that_nothing_will_fill_is_given_up() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        // Sent again without what is missing.
        assert_eq!(after(&mut arrivals, now, Away, &[2, 3]), [some(&[]), some(&[])]);
        arrivals.resumed(now);
        assert_eq!(after(&mut arrivals, now, Here, &[2, 3]), [some(&[2, 3]), None]);
        // Nothing more comes.
        after(&mut arrivals, now, Here, &[5]);
        assert_eq!(arrivals.deadline(), Some(now + SETTLE));
        assert_eq!(arrivals.settle().len(), 1);
        // Long after the resume a gap is only a number that was never used.
        assert_eq!(after(&mut arrivals, now + SETTLE, Here, &[9]), [some(&[9])]);
    }

    #[test]
    fn what_waits_is_bounded_and_not_lost() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        let sequences: Vec<u32> = (2..=HELD_MAX as u32 + 2).collect();
        let passed = after(&mut arrivals, now, Away, &sequences);
        assert_eq!(passed.last().cloned().flatten(), Some(sequences));
    }
}
