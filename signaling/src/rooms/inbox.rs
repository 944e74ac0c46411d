//! Media events on their way to one room.
//!
//! Whoever brings them brings those of all rooms, and never waits: a room that is behind must not hold up the others. So
//! what may be lost is dropped early, and a sender whose messages a room cannot take is ended.

use crate::room::limits;
use consilium_media_core::control::{DataChannelId, Event, Reliability};
use consilium_media_core::ids::PeerId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Events and bytes of messages from which on lossy messages are dropped: what a room of busy people sends in a second.
const LOSSY_EVENTS_MAX: usize = 1_024;
const LOSSY_BYTES_MAX: usize = 2 << 20;
/// Events and bytes from which on whoever sends more is ended. With the media core's limits on each sender, a room that does
/// nothing for several seconds.
const EVENTS_MAX: usize = 8_192;
const BYTES_MAX: usize = 16 << 20;
/// Peers whose lossy channels are remembered; both connections of everybody in the largest room. Of others, all counts as
/// reliable.
const LOSSY_PEERS_MAX: usize = 2 * limits::PARTICIPANTS_MAX;

pub(super) enum Incoming {
    Event(Event),
    /// The room is too far behind to take what this peer sends, and some of it is lost.
    Overrun(PeerId),
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Brought {
    Kept,
    Dropped,
}

/// Whether the room was told that a peer's messages were lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overrun {
    Untold,
    Told,
}

/// One per room. One task takes from it.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// The last loudness report. It stands for those before.
    levels: Option<Event>,
    /// The last report on how connections fare, likewise.
    figures: Option<Event>,
    message_bytes: usize,
    /// Channels whose messages may be lost: the event of a message does not say so.
    lossy: HashMap<PeerId, Vec<DataChannelId>>,
    overruns: BTreeMap<PeerId, Overrun>,
}

impl Inbox {
    pub(super) fn bring(&self, event: Event) -> Brought {
        let brought = self.lock().bring(event);
        self.arrived.notify_one();
        brought
    }

    pub(super) async fn take(&self) -> Incoming {
        loop {
            let next = self.lock().take();
            match next {
                Some(incoming) => return incoming,
                // Remembers a notification that came since: with one taker, none is missed.
                None => self.arrived.notified().await,
            }
        }
    }

    /// The room ended the peer, or knows of none. No event tells of it.
    pub(super) fn forget(&self, peer: PeerId) {
        let mut waiting = self.lock();
        waiting.lossy.remove(&peer);
        waiting.overruns.remove(&peer);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Each change is whole before anything can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn bring(&mut self, event: Event) -> Brought {
        match &event {
            Event::AudioLevels { .. } => return replace(&mut self.levels, event),
            Event::Figures { .. } => return replace(&mut self.figures, event),
            Event::Data { peer, channel, payload, .. } => {
                let lossy = self.lossy.get(peer).is_some_and(|channels| channels.contains(channel));
                if self.overruns.contains_key(peer) || (lossy && !self.has_room(LOSSY_EVENTS_MAX, LOSSY_BYTES_MAX)) {
                    return Brought::Dropped;
                }
                if !self.has_room(EVENTS_MAX, BYTES_MAX) {
                    return self.overrun(*peer);
                }
                self.message_bytes += payload.len();
            }
            Event::DataChannelOpened { peer, channel, reliability, .. } => {
                if !self.has_room(EVENTS_MAX, BYTES_MAX) {
                    return self.overrun(*peer);
                }
                self.note(*peer, *channel, *reliability);
            }
            Event::DataChannelClosed { peer, channel } => {
                if !self.has_room(EVENTS_MAX, BYTES_MAX) {
                    return self.overrun(*peer);
                }
                self.note(*peer, *channel, Reliability::Reliable);
            }
            // The counters know; this is for those who read.
            Event::AudioPath { .. } if !self.has_room(LOSSY_EVENTS_MAX, LOSSY_BYTES_MAX) => return Brought::Dropped,
            Event::AudioPath { .. } => {}
            Event::PeerClosed { peer, .. } => drop(self.lossy.remove(peer)),
            // As many as the room asked for: a peer connects once, a track starts once. A subscription stalls as often as its
            // path changes, ten times a second at most.
            Event::PeerConnected { .. } | Event::TrackStarted { .. } | Event::SubscriptionStalled { .. } => {}
        }
        self.events.push_back(event);
        Brought::Kept
    }

    fn take(&mut self) -> Option<Incoming> {
        let untold = self.overruns.iter_mut().find(|(_, overrun)| **overrun == Overrun::Untold);
        if let Some((&peer, overrun)) = untold {
            *overrun = Overrun::Told;
            return Some(Incoming::Overrun(peer));
        }
        let event = self.events.pop_front().or_else(|| self.levels.take()).or_else(|| self.figures.take())?;
        if let Event::Data { payload, .. } = &event {
            self.message_bytes = self.message_bytes.saturating_sub(payload.len());
        }
        Some(Incoming::Event(event))
    }

    fn has_room(&self, events: usize, bytes: usize) -> bool {
        self.events.len() < events && self.message_bytes < bytes
    }

    fn overrun(&mut self, peer: PeerId) -> Brought {
        self.overruns.entry(peer).or_insert(Overrun::Untold);
        Brought::Dropped
    }

    /// At most [`consilium_media_core::limits::DATA_CHANNELS_MAX`] per peer are open at once.
    fn note(&mut self, peer: PeerId, channel: DataChannelId, reliability: Reliability) {
        if let Some(channels) = self.lossy.get_mut(&peer) {
            channels.retain(|known| *known != channel);
        }
        if reliability == Reliability::Lossy && (self.lossy.len() < LOSSY_PEERS_MAX || self.lossy.contains_key(&peer)) {
            self.lossy.entry(peer).or_default().push(channel);
        }
    }
}

fn replace(kept: &mut Option<Event>, event: Event) -> Brought {
    match kept.replace(event) {
        Some(_) => Brought::Dropped,
        None => Brought::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use consilium_media_core::control::TrackLevel;
    use consilium_media_core::ids::TrackId;

    const ALICE: PeerId = PeerId::new(1);
    const BOB: PeerId = PeerId::new(2);
    const LOSSY: u16 = 1;
    const RELIABLE: u16 = 3;

    fn inbox() -> Waiting {
        let mut inbox = Waiting::default();
        for peer in [ALICE, BOB] {
            for (channel, reliability) in [(LOSSY, Reliability::Lossy), (RELIABLE, Reliability::Reliable)] {
                let channel = DataChannelId::new(channel);
                inbox.bring(Event::DataChannelOpened { peer, channel, label: String::new(), reliability });
            }
        }
        inbox
    }

    fn data(peer: PeerId, channel: u16, len: usize) -> Event {
        let payload = Bytes::from(vec![0; len]);
        Event::Data { peer, channel: DataChannelId::new(channel), binary: true, payload }
    }

    /// How many messages were kept of so many.
    fn kept(inbox: &mut Waiting, peer: PeerId, channel: u16, len: usize, count: usize) -> usize {
        (0..count).filter(|_| inbox.bring(data(peer, channel, len)) == Brought::Kept).count()
    }

    fn overruns(inbox: &mut Waiting) -> Vec<PeerId> {
        let all = std::iter::from_fn(|| inbox.take());
        all.filter_map(|incoming| if let Incoming::Overrun(peer) = incoming { Some(peer) } else { None }).collect()
    }

    #[test]
    fn lossy_messages_are_dropped_early_and_nobody_is_ended_for_them() {
        for len in [1, 60_000] {
            let mut inbox = inbox();
            assert!(kept(&mut inbox, ALICE, LOSSY, len, 100_000) <= LOSSY_EVENTS_MAX);
            assert!(inbox.message_bytes <= LOSSY_BYTES_MAX + len);
            // There is room for what must not be lost.
            assert_eq!(kept(&mut inbox, BOB, RELIABLE, len, 100), 100);
            assert_eq!(overruns(&mut inbox), []);
            assert_eq!(inbox.message_bytes, 0);
        }
    }

    #[test]
    fn whoever_overruns_a_room_that_is_behind_is_named_once_and_bounded() {
        for len in [1, 60_000] {
            let mut inbox = inbox();
            assert!(kept(&mut inbox, ALICE, RELIABLE, len, 100_000) <= EVENTS_MAX);
            assert!(inbox.message_bytes <= BYTES_MAX + len);
            assert_eq!(overruns(&mut inbox), [ALICE]);
            // Until the room has ended it, nothing more of it is taken.
            assert_eq!(kept(&mut inbox, ALICE, RELIABLE, len, 1), 0);
            assert_eq!(kept(&mut inbox, BOB, RELIABLE, len, 1), 1);
            assert_eq!(overruns(&mut inbox), []);
        }
    }

    #[test]
    fn a_full_inbox_still_hears_of_connections() {
        let mut inbox = inbox();
        kept(&mut inbox, ALICE, RELIABLE, 1, 100_000);
        assert_eq!(inbox.bring(Event::PeerConnected { peer: BOB }), Brought::Kept);
    }

    #[test]
    fn of_loudness_only_the_last_report_waits() {
        let mut inbox = Waiting::default();
        let levels = |level| Event::AudioLevels { levels: vec![TrackLevel { track: TrackId::new(1), level }] };
        assert_eq!(inbox.bring(levels(0.5)), Brought::Kept);
        assert_eq!(inbox.bring(levels(0.7)), Brought::Dropped);
        let Some(Incoming::Event(Event::AudioLevels { levels })) = inbox.take() else { panic!("no report") };
        assert_eq!(levels[0].level, 0.7);
        assert!(inbox.take().is_none());
    }

    #[test]
    fn a_channel_id_that_is_used_again_counts_as_what_it_is_now() {
        let mut inbox = inbox();
        inbox.bring(Event::DataChannelClosed { peer: ALICE, channel: DataChannelId::new(LOSSY) });
        assert!(kept(&mut inbox, ALICE, LOSSY, 1, 100_000) > LOSSY_EVENTS_MAX);
    }
}
