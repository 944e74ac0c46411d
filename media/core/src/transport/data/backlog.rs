//! What waits for the peer, in messages and bytes. Knows no message.

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

#[cfg(test)]
mod tests {
    use super::*;

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
