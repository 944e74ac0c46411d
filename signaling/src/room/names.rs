//! The names that a room gives: media-core ids, SIDs, SSRCs and ICE credentials.
//!
//! All randomness of a room comes from here, from one seed.

use consilium_media_core::ids::{PeerId, RoomId, Ssrc, SubscriptionId, TrackId};
use consilium_media_core::params::IceCredentials;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Characters after a SID's prefix.
const SID_LEN: usize = 12;
/// RFC 8445 section 5.3 wants 24 bits of randomness at least; eight characters carry 47.
const UFRAG_LEN: usize = 8;
/// RFC 8445 section 5.3 wants 128 bits at least; 24 characters carry 142.
const PWD_LEN: usize = 24;

pub(super) struct Names {
    room: RoomId,
    /// Below 2^32: ids are `room << 32 | next`, unique while the process lives.
    next: u32,
    rng: StdRng,
}

impl Names {
    pub(super) fn new(room: RoomId, seed: [u8; 32]) -> Self {
        Self { room, next: 0, rng: StdRng::from_seed(seed) }
    }

    pub(super) fn room(&self) -> RoomId {
        self.room
    }

    pub(super) fn peer(&mut self) -> PeerId {
        PeerId::new(self.id())
    }

    pub(super) fn track(&mut self) -> TrackId {
        TrackId::new(self.id())
    }

    pub(super) fn subscription(&mut self) -> SubscriptionId {
        SubscriptionId::new(self.id())
    }

    /// `PA_…`, `TR_…` or `RM_…`.
    pub(super) fn sid(&mut self, prefix: &str) -> String {
        format!("{prefix}_{}", self.text(SID_LEN))
    }

    /// Never zero: some stacks take zero for "none".
    pub(super) fn ssrc(&mut self) -> Ssrc {
        Ssrc::new(self.rng.random_range(1..=u32::MAX))
    }

    pub(super) fn ice(&mut self) -> IceCredentials {
        IceCredentials { ufrag: self.text(UFRAG_LEN), pwd: self.text(PWD_LEN) }
    }

    fn id(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        (self.room.get() << 32) | u64::from(self.next)
    }

    fn text(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from(self.rng.sample(rand::distr::Alphanumeric))).collect()
    }
}
