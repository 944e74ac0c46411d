//! When each peer wants to be looked at. An entry that was overtaken by an earlier one stays and is skipped when its time
//! comes; a peer has a few of them at most, because the report timer fires each second.

use crate::worker::keys::PeerKey;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

#[derive(Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, PeerKey)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, at: Instant, key: PeerKey) {
        self.heap.push(Reverse((at, key)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next peer whose time has come. `current` tells which entry of a peer counts.
    pub(super) fn pop_due(&mut self, now: Instant, current: impl Fn(PeerKey) -> Option<Instant>) -> Option<PeerKey> {
        while self.next().is_some_and(|at| at <= now) {
            let Reverse((at, key)) = self.heap.pop()?;
            if current(key) == Some(at) {
                return Some(key);
            }
        }
        None
    }
}
