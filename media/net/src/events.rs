//! The way of events from a worker's thread to the control side: bounded, and nothing that matters is lost.

use consilium_media_core::control::{DataChannelId, Event, Reliability, RoomEvent};
use consilium_media_core::drops::{DropCounters, DropReason};
use consilium_media_core::ids::PeerId;
use std::collections::{HashMap, VecDeque};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Events that all workers together may have on their way to the control side: a second of joins, leaves, loudness and
/// messages at the planned peak of one node.
pub(crate) const EVENTS_MAX: usize = 8_192;
/// Events that one thread keeps while the control side is behind. Beyond it they stay in the core, which goes on
/// forwarding.
const PENDING_MAX: usize = 4_096;

pub(crate) struct EventQueue {
    sender: mpsc::Sender<RoomEvent>,
    pending: VecDeque<RoomEvent>,
    /// Channels whose messages may be lost: the event of a message does not say so.
    lossy: HashMap<PeerId, Vec<DataChannelId>>,
}

impl EventQueue {
    pub(crate) fn new(sender: mpsc::Sender<RoomEvent>) -> Self {
        Self { sender, pending: VecDeque::new(), lossy: HashMap::new() }
    }

    /// Moves what `poll` yields to the control side. Order is kept.
    pub(crate) fn pump(&mut self, mut poll: impl FnMut() -> Option<RoomEvent>, drops: &mut DropCounters) {
        self.retry();
        while self.pending.len() < PENDING_MAX {
            let Some(event) = poll() else { return };
            self.watch_channels(&event.event);
            let event = if self.pending.is_empty() {
                match self.sender.try_send(event) {
                    Ok(()) => continue,
                    // Nobody listens any more: the process is shutting down.
                    Err(TrySendError::Closed(_)) => continue,
                    Err(TrySendError::Full(event)) => event,
                }
            } else {
                event
            };
            if self.may_be_lost(&event.event) {
                drops.count(DropReason::QueueFull);
            } else {
                self.pending.push_back(event);
            }
        }
    }

    /// Whether the control side is behind: [`Self::pump`] is to be called again soon.
    pub(crate) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The control side removed the peer; no event tells of it.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.lossy.remove(&peer);
    }

    fn retry(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            if let Err(TrySendError::Full(event)) = self.sender.try_send(event) {
                self.pending.push_front(event);
                return;
            }
        }
    }

    /// At most [`consilium_media_core::limits::DATA_CHANNELS_MAX`] per peer are open at once.
    fn watch_channels(&mut self, event: &Event) {
        match event {
            Event::DataChannelOpened { peer, channel, reliability: Reliability::Lossy, .. } => {
                let channels = self.lossy.entry(*peer).or_default();
                if !channels.contains(channel) {
                    channels.push(*channel);
                }
            }
            Event::DataChannelClosed { peer, channel } => {
                if let Some(channels) = self.lossy.get_mut(peer) {
                    channels.retain(|open| open != channel);
                }
            }
            Event::PeerClosed { peer, .. } => self.forget(*peer),
            _ => {}
        }
    }

    fn may_be_lost(&self, event: &Event) -> bool {
        match event {
            // A newer one follows within its window.
            Event::AudioLevels { levels } => !levels.is_empty(),
            Event::Figures { .. } => true,
            // The counters know of it, too.
            Event::AudioPath { .. } => true,
            Event::Data { peer, channel, .. } => {
                self.lossy.get(peer).is_some_and(|channels| channels.contains(channel))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use consilium_media_core::control::{CloseReason, TrackLevel};
    use consilium_media_core::ids::{RoomId, TrackId};

    const PEER: PeerId = PeerId::new(1);

    fn started(track: u64) -> Event {
        Event::TrackStarted { track: TrackId::new(track) }
    }

    fn levels() -> Event {
        Event::AudioLevels { levels: vec![TrackLevel { track: TrackId::new(1), level: 0.5 }] }
    }

    fn data(channel: u16, byte: u8) -> Event {
        let channel = DataChannelId::new(channel);
        Event::Data { peer: PEER, channel, binary: true, payload: Bytes::copy_from_slice(&[byte]) }
    }

    fn opened(channel: u16, reliability: Reliability) -> Event {
        let channel = DataChannelId::new(channel);
        Event::DataChannelOpened { peer: PEER, channel, label: String::new(), reliability }
    }

    struct Fixture {
        queue: EventQueue,
        receiver: mpsc::Receiver<RoomEvent>,
        drops: DropCounters,
    }

    impl Fixture {
        fn new(capacity: usize) -> Self {
            let (sender, receiver) = mpsc::channel(capacity);
            Self { queue: EventQueue::new(sender), receiver, drops: DropCounters::default() }
        }

        /// Returns how many of the events the queue left where they were.
        fn pump(&mut self, events: impl IntoIterator<Item = Event>) -> usize {
            let mut events = events.into_iter().map(|event| RoomEvent { room: RoomId::new(1), event });
            self.queue.pump(|| events.next(), &mut self.drops);
            events.count()
        }

        fn received(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.receiver.try_recv().ok()).map(|event| format!("{:?}", event.event)).collect()
        }
    }

    fn names(events: &[Event]) -> Vec<String> {
        events.iter().map(|event| format!("{event:?}")).collect()
    }

    #[test]
    fn events_are_never_lost_and_keep_their_order_when_the_receiver_is_slow() {
        let mut fixture = Fixture::new(2);
        assert_eq!(fixture.pump((0..100).map(started)), 0);
        let mut received = Vec::new();
        for _ in 0..60 {
            received.extend(fixture.received());
            fixture.pump([]);
        }
        assert_eq!(received, names(&(0..100).map(started).collect::<Vec<_>>()));
        assert_eq!(fixture.drops.total(), 0);
        assert!(!fixture.queue.is_behind());
    }

    #[test]
    fn a_stalled_receiver_leaves_events_in_the_core_instead_of_in_memory() {
        let mut fixture = Fixture::new(1);
        assert_eq!(fixture.pump((0..2 * PENDING_MAX as u64).map(started)), PENDING_MAX - 1);
        assert_eq!(fixture.queue.pending.len(), PENDING_MAX);
    }

    #[test]
    fn loudness_and_lossy_data_give_way_when_the_queue_is_full() {
        let mut fixture = Fixture::new(3);
        fixture.pump([opened(1, Reliability::Lossy), opened(2, Reliability::Reliable), started(1)]);
        let silent = || Event::AudioLevels { levels: vec![] };
        fixture.pump([levels(), data(1, 1), data(2, 2), silent()]);
        assert_eq!(fixture.drops.get(DropReason::QueueFull), 2);
        let before = fixture.received();
        fixture.pump([]);
        assert_eq!(before.len(), 3);
        assert_eq!(fixture.received(), names(&[data(2, 2), silent()]));
    }

    #[test]
    fn loudness_and_lossy_data_pass_while_there_is_room() {
        let mut fixture = Fixture::new(8);
        fixture.pump([opened(1, Reliability::Lossy), levels(), data(1, 1)]);
        assert_eq!(fixture.received().len(), 3);
        assert_eq!(fixture.drops.total(), 0);
    }

    #[test]
    fn nothing_is_remembered_of_a_peer_that_ended() {
        let mut fixture = Fixture::new(8);
        fixture.pump([opened(1, Reliability::Lossy)]);
        fixture.pump([Event::PeerClosed { peer: PEER, reason: CloseReason::ClosedByPeer }]);
        assert!(fixture.queue.lossy.is_empty());
        fixture.pump([opened(1, Reliability::Lossy)]);
        fixture.queue.forget(PEER);
        assert!(fixture.queue.lossy.is_empty());
    }

    #[test]
    fn a_closed_receiver_does_not_fill_the_queue() {
        let mut fixture = Fixture::new(1);
        fixture.receiver.close();
        assert_eq!(fixture.pump((0..10).map(started)), 0);
        assert!(!fixture.queue.is_behind());
    }
}
