//! What was sent under which transport-wide number: when, and how much. Refuses to know what feedback means.

use crate::ids::{ExtSeqNo, SeqNo};

/// Numbers that are remembered, a power of two. At 20 Mbit/s of 1,000-byte packets this is 1.6 s; feedback comes back within
/// a round trip and 250 ms.
pub const SENT_MAX: usize = 4_096;

/// What feedback said of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fate {
    #[default]
    Unknown,
    /// The message about it did not come.
    Unreported,
    Received,
    Lost,
}

/// Eight bytes, so that eight packets share a cache line.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// In microseconds modulo 2^32 (71 minutes).
    at_us: u32,
    len: u16,
    fate: Fate,
    cluster: u8,
}

/// A packet that feedback speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    pub number: u64,
    /// Since the epoch of whoever recorded it.
    pub at_us: u64,
    pub len: u16,
    /// The probe that it was part of, 0 for none.
    pub cluster: u8,
    pub before: Fate,
}

/// One sequence over all streams of a transport (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2).
pub struct SentPackets {
    /// By number modulo its length; made when the first subscription with numbers begins.
    slots: Option<Box<[Slot; SENT_MAX]>>,
    next: u64,
    bytes: u64,
    last_at_us: u64,
    /// The probe under way, 0 for none: whatever leaves meanwhile is part of it.
    pub cluster: u8,
}

impl Default for SentPackets {
    fn default() -> Self {
        // A cycle up, so that an old number has somewhere to be.
        Self { slots: None, next: 1 << 16, bytes: 0, last_at_us: 0, cluster: 0 }
    }
}

impl SentPackets {
    pub fn enable(&mut self) {
        if self.slots.is_none() {
            self.slots = vec![Slot::default(); SENT_MAX].into_boxed_slice().try_into().ok();
        }
    }

    pub fn is_enabled(&self) -> bool {
        self.slots.is_some()
    }

    /// The number of the next packet.
    pub fn next(&self) -> SeqNo {
        SeqNo::new(self.next as u16)
    }

    /// A packet left under the [next](Self::next) number.
    pub fn record(&mut self, at_us: u64, len: usize) {
        let slot = Slot { at_us: at_us as u32, len: len as u16, fate: Fate::Unknown, cluster: self.cluster };
        if let Some(slots) = &mut self.slots {
            slots[self.next as usize % SENT_MAX] = slot;
        }
        self.next += 1;
        self.bytes += len as u64;
        self.last_at_us = at_us;
    }

    /// All that was recorded, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the last packet left.
    pub fn last_at_us(&self) -> u64 {
        self.last_at_us
    }

    /// The number of the next packet, in full.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// How long ago the first packet left; `None` before it did, or when it is forgotten.
    pub fn since_first_us(&self, now_us: u64) -> Option<u64> {
        let sent = self.next - (1 << 16);
        let first = self.slots.as_ref().filter(|_| (1..=SENT_MAX as u64).contains(&sent))?[(1 << 16) % SENT_MAX];
        Some(u64::from((now_us as u32).wrapping_sub(first.at_us)))
    }

    /// The full number that `seq` stands for in feedback: `None` for one that was never used.
    pub fn extend(&self, seq: SeqNo) -> Option<u64> {
        let last = self.next - 1;
        Some(ExtSeqNo::new(last).nearest(seq).get()).filter(|number| *number <= last && *number >= 1 << 16)
    }

    /// Notes what became of a packet, and returns it with what was known before; `None` when it is forgotten.
    pub fn resolve(&mut self, number: u64, fate: Fate, now_us: u64) -> Option<Sent> {
        let age = self.next.checked_sub(number)?;
        if age == 0 || age > SENT_MAX as u64 {
            return None;
        }
        let slot = &mut self.slots.as_mut()?[number as usize % SENT_MAX];
        let before = slot.fate;
        // What was received cannot be lost later, and what was reported cannot be without report.
        if before == Fate::Unknown || (before != Fate::Received && fate != Fate::Unreported) {
            slot.fate = fate;
        }
        let ago = (now_us as u32).wrapping_sub(slot.at_us);
        let at_us = now_us.saturating_sub(u64::from(ago));
        Some(Sent { number, at_us, len: slot.len, cluster: slot.cluster, before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(packets: u64) -> SentPackets {
        let mut sent = SentPackets::default();
        sent.enable();
        (0..packets).for_each(|n| sent.record(n * 1_000, 100 + n as usize % 50));
        sent
    }

    #[test]
    fn numbers_are_found_across_the_wrap() {
        let mut sent = sent(70_000);
        let first = 1 << 16;
        let number = sent.extend(SeqNo::new(69_990u32 as u16)).unwrap();
        assert_eq!(number, first + 69_990);
        let found = sent.resolve(number, Fate::Received, 70_000_000).unwrap();
        assert_eq!((found.at_us, found.len, found.before), (69_990_000, 140, Fate::Unknown));
        assert_eq!(sent.resolve(number, Fate::Lost, 70_000_000).unwrap().before, Fate::Received);
        assert_eq!(sent.resolve(number, Fate::Lost, 70_000_000).unwrap().before, Fate::Received);
    }

    #[test]
    fn what_was_never_sent_or_is_forgotten_is_not_found() {
        let mut sent = sent(10);
        assert_eq!(sent.extend(SeqNo::new(10)), None);
        assert_eq!(sent.extend(SeqNo::new(65_535)), None);
        assert!(sent.resolve(sent.end(), Fate::Lost, 0).is_none());
        assert_eq!(sent.since_first_us(7_000), Some(7_000));
        assert_eq!(SentPackets::default().since_first_us(7_000), None);
        (0..SENT_MAX).for_each(|_| sent.record(0, 1));
        assert!(sent.resolve((1 << 16) + 9, Fate::Lost, 0).is_none());
        assert!(sent.resolve((1 << 16) + 10, Fate::Lost, 0).is_some());
        assert_eq!(sent.since_first_us(7_000), None);
        assert!(SentPackets::default().resolve(1, Fate::Lost, 0).is_none());
    }

    #[test]
    fn send_times_survive_the_wrap_of_their_clock() {
        let mut sent = sent(0);
        let late = u64::from(u32::MAX) * 3 + 7;
        sent.record(late, 1);
        assert_eq!(sent.resolve(1 << 16, Fate::Received, late + 50_000).unwrap().at_us, late);
    }
}
