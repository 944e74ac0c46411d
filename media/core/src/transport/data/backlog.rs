//! What waits for the peer, in messages and bytes, and whether that is so much that senders should wait. Knows no message.

use crate::limits::{DATA_BEHIND_BYTES, DATA_CAUGHT_UP_BYTES};
use std::collections::VecDeque;

/// Messages and bytes that wait on all channels of one kind.
#[derive(Default)]
pub(super) struct Waiting {
    pub messages: usize,
    pub bytes: usize,
}

/// Lengths of the messages of one channel that the peer has not acknowledged, oldest first.
#[derive(Default)]
pub(super) struct Backlog {
    pub messages: VecDeque<usize>,
    pub bytes: usize,
}

impl Backlog {
    pub(super) fn push(&mut self, len: usize) {
        self.messages.push_back(len);
        self.bytes += len;
    }

    /// The engine was acknowledged, or gave up on, so many bytes.
    pub(super) fn release(&mut self, mut bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        while let Some(oldest) = self.messages.front_mut() {
            if *oldest > bytes {
                *oldest -= bytes;
                return;
            }
            bytes -= *oldest;
            self.messages.pop_front();
        }
    }
}

/// Where a peer is in taking the reliable bytes that wait for it. The two thresholds lie apart, so that senders are not told
/// to wait and to go on by turns with each packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Pace {
    #[default]
    Abreast,
    Behind,
}

impl Pace {
    pub(super) fn after(self, waiting_bytes: usize) -> Self {
        match self {
            Self::Abreast if waiting_bytes > DATA_BEHIND_BYTES => Self::Behind,
            Self::Behind if waiting_bytes <= DATA_CAUGHT_UP_BYTES => Self::Abreast,
            unchanged => unchanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_falls_behind_at_one_threshold_and_has_caught_up_at_a_lower_one() {
        let between = DATA_BEHIND_BYTES.midpoint(DATA_CAUGHT_UP_BYTES);
        for pace in [Pace::Abreast, Pace::Behind] {
            assert_eq!(pace.after(between), pace);
            assert_eq!(pace.after(DATA_BEHIND_BYTES + 1), Pace::Behind);
            assert_eq!(pace.after(DATA_CAUGHT_UP_BYTES), Pace::Abreast);
        }
    }

    #[test]
    fn released_bytes_finish_the_oldest_messages_first() {
        let mut backlog = Backlog::default();
        [10, 20, 30].into_iter().for_each(|len| backlog.push(len));
        backlog.release(15);
        assert_eq!((backlog.messages.as_slices().0, backlog.bytes), (&[15, 30][..], 45));
        backlog.release(45);
        assert_eq!((backlog.messages.len(), backlog.bytes), (0, 0));
    }
}
