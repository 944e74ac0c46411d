//! Receivers that are behind with reliable data, and the senders of their room, who wait for them. Without, a file that comes
//! faster than one path carries would end the meeting for whoever is on it. Nobody is waited for without end: whoever takes a
//! trickle, or nothing and yet answers, would hold up everybody. Knows nothing of what is sent.

use super::Worker;
use crate::ids::RoomId;
use crate::worker::keys::PeerKey;
use std::time::{Duration, Instant};

/// How long the room waits for one peer at a time. On the slowest path that a meeting is possible on, 300 kbit/s, a peer has
/// caught up with what it was behind within about half of it. From then on it gets data as it comes, and its own backlog
/// decides whether it stays.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Worker {
    /// After anything that may have changed what waits for a peer.
    pub(super) fn note_backlog(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.behind_since = peer.transport.is_behind().then(|| peer.behind_since.unwrap_or(now));
        let behind = peer.behind_since.is_some_and(|since| now.saturating_duration_since(since) < WAIT_MAX);
        if peer.behind != behind {
            peer.behind = behind;
            let room = peer.room;
            self.count_behind(now, room, behind);
        }
    }

    pub(super) fn count_behind(&mut self, now: Instant, room: RoomId, behind: bool) {
        if !self.rooms.count_behind(room, behind) {
            return;
        }
        // It happens a few times per second at most, and only while somebody is behind: a list of each room's peers would be
        // kept for this alone.
        let members: Vec<PeerKey> =
            self.peers.iter().filter(|(_, peer)| peer.room == room).map(|(key, _)| key).collect();
        for key in members {
            self.peers[key].transport.set_slowed(now, behind);
            self.schedule(key);
        }
    }
}
