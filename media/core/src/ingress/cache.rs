//! The packet cache of one incoming stream: each packet is kept once, in plaintext, for retransmission to whoever lost it.
//!
//! Two rings. The index ring finds a packet by its extended sequence number; the byte ring holds the packets one after the
//! other and forgets the oldest by overwriting them. A packet is present as long as neither ring has come round to it. The
//! byte ring is as long as the stream's bit rate asks for: it doubles when it comes round within [`REACH`].

use crate::ids::ExtSeqNo;
use std::time::{Duration, Instant};

/// How far back packets are kept, where the bounds allow: who has not asked after some round trips needs a keyframe.
pub const REACH: Duration = Duration::from_secs(1);
/// The byte ring begins with this share of its bound.
const START_SHARE: usize = 8;

#[derive(Clone, Copy)]
struct Entry {
    ext_seq: u64,
    /// Position in the endless byte sequence of which the ring holds the tail.
    position: u64,
    len: u16,
}

const EMPTY: Entry = Entry { ext_seq: u64::MAX, position: 0, len: 0 };

/// How much a cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// A power of two.
    pub packets_max: usize,
    /// A power of two.
    pub bytes_max: usize,
    /// How far back packets are kept, as far as the bounds allow.
    pub reach: Duration,
}

impl CacheLimits {
    /// 1,024 packets are a second of 1080p video; 512 KiB are a second at 4 Mbit/s.
    pub const VIDEO: Self = Self { packets_max: 1_024, bytes_max: 512 << 10, reach: REACH };
    /// Opus at 50 packets per second: over two seconds.
    pub const AUDIO: Self = Self { packets_max: 128, bytes_max: 32 << 10, reach: REACH };
    /// A shared screen, whose keyframe of 1 MB may wait before a narrow path for seconds.
    pub const SCREEN: Self = Self { packets_max: 2_048, bytes_max: 2 << 20, reach: Duration::from_secs(4) };
}

pub struct PacketCache {
    limits: CacheLimits,
    entries: Box<[Entry]>,
    bytes: Vec<u8>,
    /// End of the endless byte sequence.
    end: u64,
    /// What lies before this was overwritten before the ring grew.
    kept_from: u64,
    /// When the byte ring began its present round.
    round_began: Option<Instant>,
}

impl PacketCache {
    pub fn new(limits: CacheLimits) -> Self {
        debug_assert!(limits.packets_max.is_power_of_two() && limits.bytes_max.is_power_of_two());
        let entries = vec![EMPTY; limits.packets_max].into_boxed_slice();
        Self {
            limits,
            entries,
            bytes: vec![0; limits.bytes_max / START_SHARE],
            end: 0,
            kept_from: 0,
            round_began: None,
        }
    }

    /// Forgets everything, for a stream that begins anew.
    pub fn clear(&mut self) {
        self.entries.fill(EMPTY);
    }

    pub fn get(&self, ext_seq: ExtSeqNo) -> Option<&[u8]> {
        let entry = &self.entries[self.index(ext_seq)];
        let oldest = self.kept_from.max(self.end.saturating_sub(self.bytes.len() as u64));
        if entry.ext_seq != ext_seq.get() || entry.position < oldest {
            return None;
        }
        let start = self.offset(entry.position);
        self.bytes.get(start..start + usize::from(entry.len))
    }

    /// Keeps a copy. Packets longer than a datagram are refused by the caller before; here they are not kept.
    pub fn insert(&mut self, now: Instant, ext_seq: ExtSeqNo, packet: &[u8]) {
        let index = self.index(ext_seq);
        let old = self.entries[index];
        // A packet older than what stands in its place would push out a newer one.
        if old.ext_seq != u64::MAX && old.ext_seq > ext_seq.get() {
            return;
        }
        let Ok(len) = u16::try_from(packet.len()) else { return };
        let mut start = self.offset(self.end);
        if start == 0 || start + packet.len() > self.bytes.len() {
            start = self.begin_round(now, start);
        }
        let Some(place) = self.bytes.get_mut(start..start + packet.len()) else { return };
        place.copy_from_slice(packet);
        self.entries[index] = Entry { ext_seq: ext_seq.get(), position: self.end, len };
        self.end += packet.len() as u64;
    }

    /// The ring has no room for the next packet before its end. Returns where that packet goes.
    fn begin_round(&mut self, now: Instant, start: usize) -> usize {
        let Some(began) = self.round_began.replace(now) else { return start };
        // What is left at the end stays unused: a packet is kept in one piece.
        let unused = self.bytes.len() - start;
        if start != 0 {
            self.end += unused as u64;
        }
        let short_lived = now.saturating_duration_since(began) < self.limits.reach;
        if short_lived && self.bytes.len() < self.limits.bytes_max {
            self.grow();
        }
        self.offset(self.end)
    }

    /// Doubles the byte ring at the end of a round and keeps what is in it, at the places where the longer ring looks for it.
    fn grow(&mut self) {
        let len = self.bytes.len();
        let mut longer = vec![0; len * 2];
        // The round that ended is the even or the odd half of a longer one.
        let half = self.end.wrapping_sub(1) as usize & (2 * len - 1) & len;
        longer[half..half + len].copy_from_slice(&self.bytes);
        self.bytes = longer;
        self.kept_from = self.end - len as u64;
    }

    fn index(&self, ext_seq: ExtSeqNo) -> usize {
        (ext_seq.get() as usize) & (self.limits.packets_max - 1)
    }

    fn offset(&self, position: u64) -> usize {
        (position as usize) & (self.bytes.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    const SMALL: CacheLimits = CacheLimits { packets_max: 64, bytes_max: 8_192, reach: REACH };

    impl PacketCache {
        fn contains(&self, ext_seq: ExtSeqNo) -> bool {
            self.get(ext_seq).is_some()
        }
    }

    fn packet(seq: u64, len: usize) -> Vec<u8> {
        (0..len).map(|i| (seq as usize * 7 + i) as u8).collect()
    }

    #[test]
    fn what_is_found_is_what_was_put_in() {
        let mut cache = PacketCache::new(SMALL);
        for seq in 0..5_000_u64 {
            let len = 100 + (seq as usize * 37) % 900;
            cache.insert(start(), ExtSeqNo::new(seq), &packet(seq, len));
            for back in 0..64 {
                let Some(earlier) = seq.checked_sub(back) else { break };
                if let Some(found) = cache.get(ExtSeqNo::new(earlier)) {
                    assert_eq!(found, packet(earlier, found.len()), "packet {earlier} after {seq}");
                }
            }
            assert!(cache.contains(ExtSeqNo::new(seq)));
        }
    }

    #[test]
    fn it_grows_to_its_bound_and_no_further() {
        let mut cache = PacketCache::new(SMALL);
        for seq in 0..1_000 {
            cache.insert(start(), ExtSeqNo::new(seq), &packet(seq, 1_000));
        }
        assert_eq!(cache.bytes.len(), SMALL.bytes_max);
        assert!(cache.contains(ExtSeqNo::new(993)));
        assert!(!cache.contains(ExtSeqNo::new(900)));
    }

    #[test]
    fn it_keeps_what_it_has_when_it_grows() {
        let mut cache = PacketCache::new(SMALL);
        for seq in 0..64 {
            cache.insert(start(), ExtSeqNo::new(seq), &packet(seq, 100));
        }
        assert_eq!(cache.bytes.len(), SMALL.bytes_max);
        for seq in 0..64 {
            assert_eq!(cache.get(ExtSeqNo::new(seq)), Some(&packet(seq, 100)[..]), "packet {seq}");
        }
    }

    #[test]
    fn what_was_overwritten_before_it_grew_stays_lost() {
        let (mut cache, mut now) = (PacketCache::new(SMALL), start());
        // Two slow rounds, then a fast one, after which the ring grows.
        for seq in 0..40 {
            now += if seq < 20 { REACH } else { Duration::ZERO };
            cache.insert(now, ExtSeqNo::new(seq), &packet(seq, 100));
            for earlier in 0..=seq {
                let found = cache.get(ExtSeqNo::new(earlier));
                assert!(found.is_none_or(|found| found == packet(earlier, 100)), "packet {earlier} after {seq}");
            }
        }
        assert!(cache.bytes.len() > SMALL.bytes_max / START_SHARE);
    }

    #[test]
    fn packets_that_fill_the_ring_exactly_make_it_grow_too() {
        let mut cache = PacketCache::new(SMALL);
        (0..16).for_each(|seq| cache.insert(start(), ExtSeqNo::new(seq), &packet(seq, 1_024)));
        assert_eq!(cache.bytes.len(), SMALL.bytes_max);
    }

    #[test]
    fn a_slow_stream_does_not_make_it_grow() {
        let (mut cache, mut now) = (PacketCache::new(SMALL), start());
        for seq in 0..1_000 {
            // Ten packets fill the ring that it begins with.
            cache.insert(now, ExtSeqNo::new(seq), &packet(seq, 100));
            now += REACH / 10;
        }
        assert_eq!(cache.bytes.len(), SMALL.bytes_max / START_SHARE);
        assert!(cache.contains(ExtSeqNo::new(995)));
    }

    #[test]
    fn a_late_packet_does_not_displace_a_newer_one() {
        let mut cache = PacketCache::new(SMALL);
        cache.insert(start(), ExtSeqNo::new(100), &packet(100, 50));
        cache.insert(start(), ExtSeqNo::new(36), &packet(36, 50));
        assert!(cache.contains(ExtSeqNo::new(100)));
        assert!(!cache.contains(ExtSeqNo::new(36)));
    }

    #[test]
    fn a_cleared_cache_is_empty() {
        let mut cache = PacketCache::new(SMALL);
        cache.insert(start(), ExtSeqNo::new(5), &packet(5, 50));
        cache.clear();
        assert!(!cache.contains(ExtSeqNo::new(5)));
    }
}
