//! One continuous outgoing stream out of incoming ones that start, switch, pause and lose packets.
//!
//! Sequence numbers, timestamps and picture ids of a packet are shifted. A shift is valid from an incoming sequence number
//! on; packets that are left out on purpose move it by one, so that the subscriber sees no gap. A few old shifts are kept
//! for packets that arrive late.

use crate::ids::{ExtSeqNo, RtpTime};
use crate::ingress::reception::ticks;
use std::collections::VecDeque;
use std::time::Instant;

/// Old shifts kept. At most one more per frame left out, so these cover the reordering of half a second of video.
const SHIFTS_MAX: usize = 16;
/// A switch whose timestamps, by sender reports, lie further off its arrival than this is timed by its arrival: 1 s.
const TIME_DEVIATION_MAX_S: i32 = 1;

/// What is added to a packet's numbers, all modulo their width.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shift {
    pub seq: u64,
    pub time: u32,
    pub picture: u16,
    pub tl0: u8,
}

/// The numbers in a payload descriptor, where the codec has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Picture {
    pub id: Option<u16>,
    pub tl0: Option<u8>,
}

/// The first packet of a source that takes over.
pub struct Takeover {
    pub ext_seq: ExtSeqNo,
    pub timestamp: RtpTime,
    /// `timestamp` in the timeline of the source before, where sender reports tell.
    pub translated: Option<RtpTime>,
    pub picture: Picture,
    pub clock_rate: u32,
}

pub struct Rewriter {
    /// The shift of packets that arrive in order: the only one that most packets need.
    newest: Option<(ExtSeqNo, Shift)>,
    /// Those before it, ascending by the incoming number from which they hold.
    older: VecDeque<(ExtSeqNo, Shift)>,
    /// The number that follows the last one sent in order.
    next_out: ExtSeqNo,
    last: Option<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    time: RtpTime,
    at: Instant,
    picture: Picture,
}

impl Rewriter {
    /// `first` is the number of the first packet to go out.
    pub fn new(first: ExtSeqNo) -> Self {
        Self { newest: None, older: VecDeque::new(), next_out: first, last: None }
    }

    /// Makes the outgoing stream continue with `source`.
    pub fn take_over(&mut self, now: Instant, source: &Takeover) {
        let before = self.newest().unwrap_or_default();
        let shift = Shift {
            seq: self.next_out.get().wrapping_sub(source.ext_seq.get()),
            time: self.time_shift(now, before.time, source),
            ..self.picture_shift(before, source.picture)
        };
        self.older.clear();
        self.newest = Some((source.ext_seq, shift));
    }

    fn time_shift(&self, now: Instant, before: u32, source: &Takeover) -> u32 {
        let Some(last) = self.last else { return 0 };
        let elapsed = ticks(now.saturating_duration_since(last.at), source.clock_rate).max(1) as u32;
        let by_arrival = last.time.wrapping_add(elapsed);
        let deviation_max = TIME_DEVIATION_MAX_S.saturating_mul(source.clock_rate as i32);
        let by_report = source.translated.map(|t| t.wrapping_add(before)).filter(|candidate| {
            candidate.since(last.time) > 0 && candidate.since(by_arrival).saturating_abs() < deviation_max
        });
        by_report.unwrap_or(by_arrival).get().wrapping_sub(source.timestamp.get())
    }

    fn picture_shift(&self, before: Shift, picture: Picture) -> Shift {
        let last = self.last.map(|last| last.picture).unwrap_or_default();
        let id = |from: u16| last.id.map_or(before.picture, |id| id.wrapping_add(1).wrapping_sub(from));
        let tl0 = |from: u8| last.tl0.map_or(before.tl0, |tl0| tl0.wrapping_add(1).wrapping_sub(from));
        Shift {
            picture: picture.id.map_or(before.picture, id),
            tl0: picture.tl0.map_or(before.tl0, tl0),
            ..Shift::default()
        }
    }

    /// The shift for a packet of the current source; `None` when it is from before the source took over, or too late.
    pub fn shift(&self, ext_seq: ExtSeqNo) -> Option<Shift> {
        let holds = |(from, _): &(ExtSeqNo, Shift)| *from <= ext_seq;
        let known = self.newest.filter(holds).or_else(|| self.older.iter().rev().copied().find(holds))?;
        Some(known.1)
    }

    /// The shift of the packets to come.
    pub fn newest(&self) -> Option<Shift> {
        self.newest.map(|(_, shift)| shift)
    }

    /// The timestamp that was sent last.
    pub fn last_time(&self) -> Option<RtpTime> {
        self.last.map(|last| last.time)
    }

    /// The outgoing number from which on the newest shift holds, and that shift.
    pub fn newest_run(&self) -> Option<(ExtSeqNo, Shift)> {
        self.newest.map(|(from, shift)| (ExtSeqNo::new(from.get().wrapping_add(shift.seq)), shift))
    }

    /// Notes that a packet went out under `shift`.
    pub fn sent(&mut self, now: Instant, ext_seq: ExtSeqNo, timestamp: RtpTime, picture: Picture, shift: Shift) {
        let out = ext_seq.get().wrapping_add(shift.seq);
        if out < self.next_out.get() {
            return;
        }
        self.next_out = ExtSeqNo::new(out + 1);
        let picture = Picture {
            id: picture.id.map(|id| id.wrapping_add(shift.picture)),
            tl0: picture.tl0.map(|tl0| tl0.wrapping_add(shift.tl0)),
        };
        let time = timestamp.wrapping_add(shift.time);
        self.last = Some(Last { time, at: now, picture });
    }

    /// Goes on with a packet after any number that were left out: it follows the last one sent. Nothing older may come after.
    pub fn resume(&mut self, ext_seq: ExtSeqNo) {
        let Some((from, before)) = self.newest.filter(|(from, _)| *from <= ext_seq) else { return };
        if self.older.len() == SHIFTS_MAX {
            self.older.pop_front();
        }
        self.older.push_back((from, before));
        let seq = self.next_out.get().wrapping_sub(ext_seq.get());
        self.newest = Some((ext_seq, Shift { seq, ..before }));
    }

    /// Leaves out a packet that arrived in order: those after it close up. `new_picture` when a whole picture begins with it.
    pub fn skip(&mut self, ext_seq: ExtSeqNo, new_picture: bool) {
        let Some((from, before)) = self.newest.filter(|(from, _)| *from <= ext_seq) else { return };
        let mut shift = before;
        shift.seq = shift.seq.wrapping_sub(1);
        shift.picture = shift.picture.wrapping_sub(u16::from(new_picture));
        // Packets left out one after the other need one entry only: nothing can map between them.
        if from != ext_seq || self.older.is_empty() {
            if self.older.len() == SHIFTS_MAX {
                self.older.pop_front();
            }
            self.older.push_back((from, before));
        }
        self.newest = Some((ExtSeqNo::new(ext_seq.get() + 1), shift));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;
    use std::time::Duration;

    fn source(seq: u64, time: u32, translated: Option<u32>, id: Option<u16>) -> Takeover {
        Takeover {
            ext_seq: ExtSeqNo::new(seq),
            timestamp: RtpTime::new(time),
            translated: translated.map(RtpTime::new),
            picture: Picture { id, tl0: None },
            clock_rate: 90_000,
        }
    }

    /// Sends a packet and returns its outgoing sequence number, timestamp and picture id.
    fn send(rewriter: &mut Rewriter, now: Instant, seq: u64, time: u32, id: u16) -> (u16, u32, u16) {
        let ext_seq = ExtSeqNo::new(seq);
        let shift = rewriter.shift(ext_seq).unwrap();
        let picture = Picture { id: Some(id), tl0: None };
        rewriter.sent(now, ext_seq, RtpTime::new(time), picture, shift);
        (seq.wrapping_add(shift.seq) as u16, time.wrapping_add(shift.time), id.wrapping_add(shift.picture))
    }

    #[test]
    fn numbers_continue_across_a_switch_of_the_source() {
        let (t0, mut rewriter) = (start(), Rewriter::new(ExtSeqNo::new(500)));
        rewriter.take_over(t0, &source(1_000, 9_000, None, Some(7)));
        assert_eq!(send(&mut rewriter, t0, 1_000, 9_000, 7), (500, 9_000, 7));
        assert_eq!(send(&mut rewriter, t0, 1_001, 12_000, 8), (501, 12_000, 8));
        let t1 = t0 + Duration::from_millis(33);
        rewriter.take_over(t1, &source(60_000, 777, Some(15_000), Some(3_000)));
        assert_eq!(send(&mut rewriter, t1, 60_000, 777, 3_000), (502, 15_000, 9));
        assert!(rewriter.shift(ExtSeqNo::new(59_999)).is_none());
    }

    #[test]
    fn without_sender_reports_a_switch_is_timed_by_its_arrival() {
        let (t0, mut rewriter) = (start(), Rewriter::new(ExtSeqNo::new(1)));
        rewriter.take_over(t0, &source(10, 9_000, None, None));
        send(&mut rewriter, t0, 10, 9_000, 0);
        let t1 = t0 + Duration::from_millis(100);
        rewriter.take_over(t1, &source(99, 5, None, None));
        assert_eq!(send(&mut rewriter, t1, 99, 5, 0).1, 18_000);
        // A report that contradicts the arrival by more than a second is not believed, nor one that goes back.
        let t2 = t1 + Duration::from_millis(100);
        rewriter.take_over(t2, &source(10, 9_000, Some(4_000_000), None));
        assert_eq!(send(&mut rewriter, t2, 10, 9_000, 0).1, 27_000);
    }

    #[test]
    fn packets_left_out_leave_no_gap_and_late_ones_keep_their_place() {
        let (t0, mut rewriter) = (start(), Rewriter::new(ExtSeqNo::new(0)));
        rewriter.take_over(t0, &source(100, 0, None, Some(0)));
        assert_eq!(send(&mut rewriter, t0, 100, 0, 0).0, 0);
        // 101 is late; 102 and 103 are a picture that is left out; 104 follows.
        rewriter.skip(ExtSeqNo::new(102), true);
        rewriter.skip(ExtSeqNo::new(103), false);
        assert_eq!(send(&mut rewriter, t0, 104, 3_000, 2), (2, 3_000, 1));
        assert_eq!(send(&mut rewriter, t0, 101, 0, 0), (1, 0, 0));
        assert_eq!(send(&mut rewriter, t0, 105, 3_000, 2).0, 3);
    }

    #[test]
    fn what_comes_after_a_pause_follows_what_left_last_and_keeps_the_sources_time() {
        let (t0, mut rewriter) = (start(), Rewriter::new(ExtSeqNo::new(0)));
        rewriter.take_over(t0, &source(100, 0, None, None));
        assert_eq!(send(&mut rewriter, t0, 100, 0, 0).0, 0);
        assert_eq!(send(&mut rewriter, t0, 102, 1_920, 0).0, 2);
        rewriter.resume(ExtSeqNo::new(150));
        assert_eq!(send(&mut rewriter, t0, 150, 48_000, 0), (3, 48_000, 0));
        assert_eq!(send(&mut rewriter, t0, 151, 48_960, 0).0, 4);
    }

    #[test]
    fn what_was_skipped_before_anything_was_sent_does_not_matter() {
        let mut rewriter = Rewriter::new(ExtSeqNo::new(0));
        rewriter.skip(ExtSeqNo::new(5), true);
        assert!(rewriter.shift(ExtSeqNo::new(6)).is_none());
    }
}
