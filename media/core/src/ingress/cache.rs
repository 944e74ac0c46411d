//! The packet cache of one incoming stream: each packet is kept once, in plaintext, for retransmission to whoever lost it.
//!
//! Two rings. The index ring finds a packet by its extended sequence number; the byte ring holds the packets one after the
//! other and forgets the oldest by overwriting them. A packet is present as long as neither ring has come round to it.

use crate::ids::ExtSeqNo;

#[derive(Clone, Copy)]
struct Entry {
    ext_seq: u64,
    /// Position in the endless byte sequence of which the ring holds the tail.
    position: u64,
    len: u16,
}

const EMPTY: Entry = Entry { ext_seq: u64::MAX, position: 0, len: 0 };

/// How much a cache may hold. It starts at an eighth of `bytes_max` and doubles as the stream's bit rate asks for it.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// A power of two.
    pub packets_max: usize,
    /// A power of two.
    pub bytes_max: usize,
}

impl CacheLimits {
    /// 1,024 packets are a second of 1080p video; 512 KiB are a second at 4 Mbit/s.
    pub const VIDEO: Self = Self { packets_max: 1_024, bytes_max: 512 << 10 };
    /// Opus at 50 packets per second: over two seconds.
    pub const AUDIO: Self = Self { packets_max: 128, bytes_max: 32 << 10 };
}

pub struct PacketCache {
    limits: CacheLimits,
    entries: Box<[Entry]>,
    bytes: Vec<u8>,
    /// End of the endless byte sequence.
    end: u64,
}

impl PacketCache {
    pub fn new(limits: CacheLimits) -> Self {
        debug_assert!(limits.packets_max.is_power_of_two() && limits.bytes_max.is_power_of_two());
        let entries = vec![EMPTY; limits.packets_max].into_boxed_slice();
        Self { limits, entries, bytes: vec![0; limits.bytes_max / 8], end: 0 }
    }

    /// Forgets everything, for a stream that begins anew.
    pub fn clear(&mut self) {
        self.entries.fill(EMPTY);
    }

    pub fn contains(&self, ext_seq: ExtSeqNo) -> bool {
        self.get(ext_seq).is_some()
    }

    pub fn get(&self, ext_seq: ExtSeqNo) -> Option<&[u8]> {
        let entry = &self.entries[self.index(ext_seq)];
        if entry.ext_seq != ext_seq.get() || entry.position + (self.bytes.len() as u64) < self.end {
            return None;
        }
        let start = self.offset(entry.position);
        self.bytes.get(start..start + usize::from(entry.len))
    }

    /// Keeps a copy. Packets longer than a datagram are refused by the caller before; here they are not kept.
    pub fn insert(&mut self, ext_seq: ExtSeqNo, packet: &[u8]) {
        let index = self.index(ext_seq);
        let old = self.entries[index];
        // A packet older than what stands in its place would push out a newer one.
        if old.ext_seq != u64::MAX && old.ext_seq > ext_seq.get() {
            return;
        }
        let Ok(len) = u16::try_from(packet.len()) else { return };
        self.grow_if_short_lived(old);
        let capacity = self.bytes.len();
        if packet.len() > capacity {
            return;
        }
        let mut start = self.offset(self.end);
        if start + packet.len() > capacity {
            self.end += (capacity - start) as u64;
            start = 0;
        }
        self.bytes[start..start + packet.len()].copy_from_slice(packet);
        self.entries[index] = Entry { ext_seq: ext_seq.get(), position: self.end, len };
        self.end += packet.len() as u64;
    }

    /// When the byte ring has already lost what the index ring still names, it is too small for this stream's bit rate.
    fn grow_if_short_lived(&mut self, displaced: Entry) {
        let early = displaced.ext_seq == u64::MAX && self.end > self.bytes.len() as u64;
        let lost = displaced.ext_seq != u64::MAX && displaced.position + (self.bytes.len() as u64) < self.end;
        if (early || lost) && self.bytes.len() < self.limits.bytes_max {
            let doubled = self.bytes.len() * 2;
            self.bytes.clear();
            self.bytes.resize(doubled, 0);
            self.entries.fill(EMPTY);
            self.end = 0;
        }
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

    const SMALL: CacheLimits = CacheLimits { packets_max: 64, bytes_max: 8_192 };

    fn packet(seq: u64, len: usize) -> Vec<u8> {
        (0..len).map(|i| (seq as usize * 7 + i) as u8).collect()
    }

    #[test]
    fn what_is_found_is_what_was_put_in() {
        let mut cache = PacketCache::new(SMALL);
        for seq in 0..5_000_u64 {
            let len = 100 + (seq as usize * 37) % 900;
            cache.insert(ExtSeqNo::new(seq), &packet(seq, len));
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
            cache.insert(ExtSeqNo::new(seq), &packet(seq, 1_000));
        }
        assert_eq!(cache.bytes.len(), SMALL.bytes_max);
        assert!(cache.contains(ExtSeqNo::new(993)));
        assert!(!cache.contains(ExtSeqNo::new(900)));
    }

    #[test]
    fn a_late_packet_does_not_displace_a_newer_one() {
        let mut cache = PacketCache::new(SMALL);
        cache.insert(ExtSeqNo::new(100), &packet(100, 50));
        cache.insert(ExtSeqNo::new(36), &packet(36, 50));
        assert!(cache.contains(ExtSeqNo::new(100)));
        assert!(!cache.contains(ExtSeqNo::new(36)));
    }

    #[test]
    fn a_cleared_cache_is_empty() {
        let mut cache = PacketCache::new(SMALL);
        cache.insert(ExtSeqNo::new(5), &packet(5, 50));
        cache.clear();
        assert!(!cache.contains(ExtSeqNo::new(5)));
    }
}
