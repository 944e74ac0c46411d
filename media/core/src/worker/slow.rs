//! Receivers that are behind with reliable data, and the senders of their room, who wait for them. Without, a file that comes
//! faster than one path carries would end the meeting for whoever is on it. Knows nothing of what is sent.

use super::Worker;
use crate::ids::RoomId;
use crate::worker::keys::PeerKey;
use std::time::Instant;

impl Worker {
    /// After anything that may have changed what waits for a peer.
    pub(super) fn note_backlog(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let behind = peer.transport.is_behind();
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
