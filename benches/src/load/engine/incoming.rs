//! One incoming SSRC at a receiver: the numbers for its reports, what is missing, and its tally.

use super::tally::Tally;
use consilium_media_core::ids::{ExtSeqNo, SeqNo, Ssrc};
use consilium_media_core::wire::rtcp::ReportBlock;

/// Missing packets that are remembered; a receiver that lost more would ask for a keyframe.
const MISSING_MAX: usize = 128;
/// Times that one packet is asked for.
const REQUESTS_MAX: u8 = 5;

pub(super) struct Incoming {
    pub(super) ssrc: Ssrc,
    pub(super) tally: Tally,
    /// Middle bits of the last sender report's time, and when it came, in nanoseconds.
    pub(super) sender_report: Option<(u32, u64)>,
    first: ExtSeqNo,
    highest: ExtSeqNo,
    packets: u64,
    /// Expected and received at the last report.
    reported: (u64, u64),
    missing: Vec<(ExtSeqNo, u8)>,
}

impl Incoming {
    pub(super) fn new(ssrc: Ssrc, first: ExtSeqNo) -> Self {
        Self {
            ssrc,
            tally: Tally::default(),
            sender_report: None,
            first,
            highest: first,
            packets: 0,
            reported: (0, 0),
            missing: Vec::new(),
        }
    }

    /// `true` when packets are missing that were not before.
    pub(super) fn arrived(&mut self, ext_seq: ExtSeqNo) -> bool {
        self.packets += 1;
        let gap = ext_seq.get().saturating_sub(self.highest.get() + 1);
        if ext_seq <= self.highest {
            self.missing.retain(|(missing, _)| *missing != ext_seq);
            return false;
        }
        let from = self.highest.get() + 1;
        self.highest = ext_seq;
        let before = self.missing.len();
        let room = MISSING_MAX.saturating_sub(before);
        self.missing.extend((from..from + gap).take(room).map(|seq| (ExtSeqNo::new(seq), 0)));
        self.missing.len() > before
    }

    /// Whether the packet was still missing.
    pub(super) fn came_again(&mut self, seq: SeqNo) -> bool {
        let ext_seq = self.highest.nearest(seq);
        let before = self.missing.len();
        self.missing.retain(|(missing, _)| *missing != ext_seq);
        let was_missing = self.missing.len() < before;
        self.packets += u64::from(was_missing);
        was_missing
    }

    /// What to ask for now.
    pub(super) fn requests(&mut self) -> Vec<SeqNo> {
        self.missing.retain(|(_, requests)| *requests < REQUESTS_MAX);
        self.missing.iter_mut().for_each(|(_, requests)| *requests += 1);
        self.missing.iter().map(|(ext_seq, _)| ext_seq.seq()).collect()
    }

    pub(super) fn forget_missing(&mut self) {
        self.missing.clear();
    }

    /// RFC 3550 section 6.4.1. Jitter is not measured.
    pub(super) fn report(&mut self, now_ns: u64) -> ReportBlock {
        let expected = self.highest.get() + 1 - self.first.get();
        let (expected_since, received_since) = (expected - self.reported.0, self.packets - self.reported.1);
        self.reported = (expected, self.packets);
        let lost_since = expected_since.saturating_sub(received_since);
        let (lsr, dlsr) = self.sender_report.map_or((0, 0), |(lsr, at_ns)| {
            (lsr, (u128::from(now_ns.saturating_sub(at_ns)) * 65_536 / 1_000_000_000) as u32)
        });
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: (lost_since * 256).checked_div(expected_since).unwrap_or(0).min(255) as u8,
            cumulative_lost: expected.saturating_sub(self.packets).min(0x7f_ffff) as i32,
            highest_seq: self.highest.get() as u32,
            jitter: 0,
            lsr,
            dlsr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_asked_for_until_it_is_filled() {
        let mut incoming = Incoming::new(Ssrc::new(1), ExtSeqNo::new(100));
        assert!(!incoming.arrived(ExtSeqNo::new(100)));
        assert!(incoming.arrived(ExtSeqNo::new(103)));
        assert_eq!(incoming.requests(), [SeqNo::new(101), SeqNo::new(102)]);
        incoming.arrived(ExtSeqNo::new(101));
        assert_eq!(incoming.requests(), [SeqNo::new(102)]);
        let asked = (0..20).filter(|_| !incoming.requests().is_empty()).count();
        assert_eq!(asked, usize::from(REQUESTS_MAX) - 2);
    }

    #[test]
    fn a_report_tells_the_share_lost_since_the_last() {
        let mut incoming = Incoming::new(Ssrc::new(1), ExtSeqNo::new(0));
        for seq in [0, 1, 3] {
            incoming.arrived(ExtSeqNo::new(seq));
        }
        let report = incoming.report(0);
        assert_eq!((report.fraction_lost, report.cumulative_lost, report.highest_seq), (64, 1, 3));
        incoming.arrived(ExtSeqNo::new(4));
        assert_eq!(incoming.report(0).fraction_lost, 0);
    }
}
