//! Which transport-wide number a packet carried, where it may have to leave again byte for byte.
//!
//! Without a retransmission format a packet is repeated under its own number, and so under the same SRTP index: not one byte
//! of it may differ, the transport-wide number included (RFC 3711 section 9.1).

use crate::ids::{ExtSeqNo, SeqNo};

/// Packets that are remembered: five seconds of audio. What is older is not sent again.
const STAMPS_MAX: usize = 256;

#[derive(Default)]
pub struct Stamps {
    /// A ring by number, made when it is first needed.
    ring: Vec<Option<(ExtSeqNo, SeqNo)>>,
}

impl Stamps {
    pub fn note(&mut self, out: ExtSeqNo, number: SeqNo) {
        if self.ring.is_empty() {
            self.ring.resize(STAMPS_MAX, None);
        }
        self.ring[out.get() as usize % STAMPS_MAX] = Some((out, number));
    }

    pub fn get(&self, out: ExtSeqNo) -> Option<SeqNo> {
        let entry = (*self.ring.get(out.get() as usize % STAMPS_MAX)?)?;
        (entry.0 == out).then_some(entry.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_numbers_are_known_and_older_ones_are_not() {
        let mut stamps = Stamps::default();
        assert_eq!(stamps.get(ExtSeqNo::new(0)), None);
        for n in 0..1_000 {
            stamps.note(ExtSeqNo::new(65_000 + n), SeqNo::new(n as u16));
        }
        assert_eq!(stamps.get(ExtSeqNo::new(65_999)), Some(SeqNo::new(999)));
        assert_eq!(stamps.get(ExtSeqNo::new(66_000 - STAMPS_MAX as u64)), Some(SeqNo::new(744)));
        assert_eq!(stamps.get(ExtSeqNo::new(65_999 - STAMPS_MAX as u64)), None);
        assert_eq!(stamps.get(ExtSeqNo::new(66_000)), None);
    }
}
