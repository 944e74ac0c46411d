//! What was sent under which number, so that a NACK can be answered from the ingress cache.
//!
//! Consecutive numbers share one shift for as long as nothing is left out and no other source takes over, so runs are
//! remembered, not packets: noting a packet costs a comparison, and an idle subscription nothing.

use crate::egress::rewrite::Shift;
use crate::ids::{ExtSeqNo, SeqNo};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Runs remembered. With temporal layers left out there is a run per picture: two seconds of 30 pictures.
const RUNS_MAX: usize = 64;
/// Packets that are remembered as sent again. What falls out may be sent [`RESENDS_MAX`] times more; the peer's budget
/// bounds that.
const RESENT_MAX: usize = 128;
/// A packet is not sent again within this time: the request was probably on its way when the last one left.
const RESEND_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// Times that one packet is sent again.
const RESENDS_MAX: u8 = 10;

#[derive(Clone, Copy)]
struct Run {
    first: ExtSeqNo,
    shift: Shift,
    /// `None` when the stream's numbers mean something else now.
    stream: Option<u8>,
}

#[derive(Clone, Copy)]
struct Resent {
    out: ExtSeqNo,
    times: u8,
    at: Instant,
}

/// A packet that may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    pub out: ExtSeqNo,
    /// Its number in the ingress stream.
    pub ext_seq: ExtSeqNo,
    pub shift: Shift,
    pub stream: usize,
}

#[derive(Default)]
pub struct History {
    /// Ascending; each holds up to the next one's first.
    runs: VecDeque<Run>,
    highest: Option<ExtSeqNo>,
    /// A ring, made when something is asked for.
    resent: Vec<Resent>,
    resent_next: usize,
}

impl History {
    /// From number `first` on, packets of `stream` leave under `shift`. Nothing was sent from there on.
    pub fn begin_run(&mut self, first: ExtSeqNo, shift: Shift, stream: usize) {
        while self.runs.back().is_some_and(|run| run.first >= first) {
            self.runs.pop_back();
        }
        if self.runs.len() == RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(Run { first, shift, stream: Some(stream as u8) });
    }

    /// What was sent so far cannot be sent again: the numbers of its sources mean something else now.
    pub fn forget(&mut self) {
        self.runs.clear();
    }

    /// As [`Self::forget`], while the same source goes on.
    pub fn restart(&mut self) {
        let (Some(highest), Some(run)) = (self.highest, self.runs.back().copied()) else { return };
        self.runs.clear();
        self.runs.push_back(Run { first: run.first.max(ExtSeqNo::new(highest.get() + 1)), ..run });
    }

    /// As [`Self::forget`], for what was sent of one stream.
    pub fn forget_stream(&mut self, stream: usize) {
        for run in self.runs.iter_mut().filter(|run| run.stream == Some(stream as u8)) {
            run.stream = None;
        }
    }

    /// Notes that a number was used.
    pub fn record(&mut self, out: ExtSeqNo) {
        self.highest = self.highest.max(Some(out));
    }

    /// The packet that went out as `seq`, if it may be sent again now. When it is, that is to be [noted](Self::note_resent).
    pub fn find(&self, now: Instant, seq: SeqNo) -> Option<Sent> {
        let highest = self.highest?;
        // What was never sent may still become another packet's number.
        let out = Some(highest.nearest(seq)).filter(|out| *out <= highest)?;
        let run = *self.runs.iter().rev().find(|run| run.first <= out)?;
        let stream = usize::from(run.stream?);
        let known = self.resent.iter().find(|resent| resent.out == out);
        // Not when it was sent again too recently, or too often.
        let is_refused = |known: &Resent| {
            now.saturating_duration_since(known.at) < RESEND_INTERVAL_MIN || known.times >= RESENDS_MAX
        };
        if known.is_some_and(is_refused) {
            return None;
        }
        let ext_seq = ExtSeqNo::new(out.get().wrapping_sub(run.shift.seq));
        Some(Sent { out, ext_seq, shift: run.shift, stream })
    }

    /// The place that was kept for a packet while it was missing: the number that it would have had when it was due, also when
    /// another source has taken over since. `None` for what was to have none.
    pub fn place_of(&self, stream: usize, ext_seq: ExtSeqNo) -> Option<Sent> {
        let mut end = self.highest?.get() + 1;
        self.runs.iter().rev().find_map(|run| {
            let out = ext_seq.get().wrapping_add(run.shift.seq);
            let is_own = run.stream == Some(stream as u8) && (run.first.get()..end).contains(&out);
            end = end.min(run.first.get());
            is_own.then_some(Sent { out: ExtSeqNo::new(out), ext_seq, shift: run.shift, stream })
        })
    }

    /// How often a number was sent again of late.
    pub fn times_resent(&self, out: ExtSeqNo) -> u8 {
        self.resent.iter().find(|resent| resent.out == out).map_or(0, |resent| resent.times)
    }

    /// A packet is sent again. What was only asked for does not count: a request that a narrow path has no room for now is
    /// repeated, and the packet is needed all the same.
    pub fn note_resent(&mut self, now: Instant, out: ExtSeqNo) {
        if let Some(known) = self.resent.iter_mut().find(|resent| resent.out == out) {
            known.times = known.times.saturating_add(1);
            known.at = now;
            return;
        }
        let resent = Resent { out, times: 1, at: now };
        match self.resent.get_mut(self.resent_next) {
            Some(oldest) => *oldest = resent,
            None => self.resent.push(resent),
        }
        self.resent_next = (self.resent_next + 1) % RESENT_MAX;
    }
}

#[cfg(test)]
impl History {
    fn resend(&mut self, now: Instant, seq: SeqNo) -> Option<Sent> {
        let sent = self.find(now, seq)?;
        self.note_resent(now, sent.out);
        Some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    fn shift(seq: u64) -> Shift {
        Shift { seq, ..Shift::default() }
    }

    fn number(out: u64) -> ExtSeqNo {
        ExtSeqNo::new(out)
    }

    fn history(runs: &[(u64, u64, usize)], highest: u64) -> History {
        let mut history = History::default();
        for &(first, back, stream) in runs {
            history.begin_run(number(first), shift(back), stream);
        }
        history.record(number(highest));
        history
    }

    fn resend(history: &mut History, seq: u16) -> Option<(u64, u64, usize)> {
        history.resend(start(), SeqNo::new(seq)).map(|sent| (sent.out.get(), sent.ext_seq.get(), sent.stream))
    }

    #[test]
    fn a_number_finds_the_packet_that_it_stood_for_across_the_wrap_and_across_runs() {
        // In the same stream one packet was left out; then another stream took over.
        let mut history = history(&[(65_000, 65_000 - 7, 2), (65_540, 65_000 - 8, 2), (65_550, 60_000, 0)], 65_560);
        assert_eq!(resend(&mut history, 65_520), Some((65_520, 527, 2)));
        assert_eq!(resend(&mut history, 5), Some((65_541, 549, 2)));
        assert_eq!(resend(&mut history, 20), Some((65_556, 5_556, 0)));
    }

    #[test]
    fn what_comes_late_has_the_place_that_was_kept_for_it_and_no_number_is_anothers() {
        // 7 to 16 of stream 1, of which 12 was left out; then 500 to 509 of stream 0, then 30 on of stream 1.
        let history = history(&[(100, 93, 1), (105, 92, 1), (109, 109_u64.wrapping_sub(500), 0), (119, 89, 1)], 125);
        let places = |stream, numbers: std::ops::Range<u64>| -> Vec<(u64, u64)> {
            let place = |seq| Some((seq, history.place_of(stream, number(seq))?.out.get()));
            numbers.filter_map(place).collect()
        };
        let before = (7..12).zip(100..105).chain((13..17).zip(105..109));
        assert_eq!(places(1, 0..50), before.chain((30..37).zip(119..126)).collect::<Vec<_>>());
        assert_eq!(places(0, 450..600), (500..510).zip(109..119).collect::<Vec<_>>());
        assert_eq!(places(2, 0..600), []);
    }

    #[test]
    fn what_was_not_sent_is_not_sent_again() {
        let mut history = history(&[(100, 0, 0)], 120);
        assert_eq!(resend(&mut history, 121), None);
        assert_eq!(resend(&mut history, 99), None);
        assert_eq!(History::default().resend(start(), SeqNo::new(0)), None);
    }

    #[test]
    fn a_run_that_nothing_was_sent_of_gives_way() {
        let mut history = history(&[(100, 50, 0), (110, 51, 0)], 105);
        history.begin_run(number(106), shift(6), 1);
        history.record(number(112));
        assert_eq!(resend(&mut history, 111), Some((111, 105, 1)));
        assert_eq!(resend(&mut history, 105), Some((105, 55, 0)));
    }

    #[test]
    fn a_stream_that_began_anew_is_not_asked_for_what_went_before() {
        let mut history = history(&[(0, 0, 0), (10, 0, 1), (20, 0, 0)], 30);
        history.forget_stream(1);
        assert_eq!(resend(&mut history, 15), None);
        assert_eq!(resend(&mut history, 5), Some((5, 5, 0)));
        history.forget();
        assert_eq!(resend(&mut history, 25), None);
    }

    #[test]
    fn what_was_sent_before_a_restart_is_not_sent_again_and_what_follows_is() {
        let mut history = history(&[(0, 0, 0), (10, 1, 0)], 30);
        history.restart();
        assert_eq!(resend(&mut history, 30), None);
        history.record(number(31));
        assert_eq!(resend(&mut history, 31), Some((31, 30, 0)));
        history.begin_run(number(40), shift(2), 0);
        history.record(number(45));
        assert_eq!((resend(&mut history, 35), resend(&mut history, 41)), (Some((35, 34, 0)), Some((41, 39, 0))));
    }

    #[test]
    fn old_runs_are_forgotten() {
        let mut history = History::default();
        (0..RUNS_MAX as u64 + 1).for_each(|run| history.begin_run(number(run * 10), shift(run), 0));
        history.record(number(RUNS_MAX as u64 * 10 + 5));
        assert_eq!(resend(&mut history, 5), None);
        assert_eq!(resend(&mut history, 15), Some((15, 14, 0)));
    }

    #[test]
    fn one_packet_is_not_sent_again_at_once_nor_for_ever() {
        let (mut now, mut history) = (start(), history(&[(0, 0, 0)], 9));
        assert!(history.resend(now, SeqNo::new(5)).is_some());
        assert!(history.resend(now, SeqNo::new(5)).is_none());
        let mut resends = 1;
        for _ in 0..100 {
            now += RESEND_INTERVAL_MIN;
            resends += u8::from(history.resend(now, SeqNo::new(5)).is_some());
        }
        assert_eq!(resends, RESENDS_MAX);
    }

    #[test]
    fn requests_for_many_packets_cost_bounded_memory() {
        let mut history = history(&[(0, 0, 0)], 5_000);
        for seq in 0..5_000 {
            assert!(history.resend(start(), SeqNo::new(seq)).is_some());
        }
        assert_eq!(history.resent.len(), RESENT_MAX);
    }
}
