//! Which packets of an incoming stream are missing, and when to ask for them again (RFC 4585 generic NACK).
//!
//! A missing packet is asked for once reordering no longer explains its absence, and in rounds from then on: the next one when
//! the answer should have come. Where a round trip is long, a round is two requests, because one that is lost costs a further
//! round trip. What is missing for long makes the picture stand: a keyframe is asked for then, too, and whichever comes first
//! ends it. What could not arrive in time to be of use is given up.

use crate::ids::{ExtSeqNo, SeqNo};
use crate::ingress::round_trip::RoundTrip;
use crate::params::MediaKind;
use std::time::{Duration, Instant};

/// Missing packets remembered per stream: a longer gap is not repaired but restarted by a keyframe.
pub const MISSING_MAX: usize = 256;
/// What one feedback message asks for at most.
pub const REQUEST_BATCH_MAX: usize = 128;
/// Reordering on the way is common and short; asking at once would ask for packets that are about to arrive.
const TOLERANCE_MIN: Duration = Duration::from_millis(10);
/// However late packets come by themselves: waiting longer costs more than asking in vain.
const TOLERANCE_MAX: Duration = Duration::from_millis(40);
/// Until a round-trip time is known.
const RTT_DEFAULT: Duration = Duration::from_millis(70);
const RETRY_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// Between the two requests of a round: more than [`SLACK`] and what lies between two datagrams of repairs to one peer, so that
/// they are two, and what takes one of them seldom takes both. Browsers ignore the second where the first came (they send a
/// packet again once per round trip), and answer it where the answer to the last round left later than thought.
const REPEAT_AFTER: Duration = Duration::from_millis(25);
/// What is due within this is asked for together: fewer messages, and fewer looks at what is missing.
const SLACK: Duration = Duration::from_millis(2);

/// What is worth repairing of one kind of media.
#[derive(Clone, Copy, Debug)]
pub struct RepairLimits {
    /// From being noticed missing to being of no more use.
    pub age_max: Duration,
    /// From being noticed missing until a keyframe is to come, too.
    overdue_after: Duration,
    pub rounds_max: u8,
    /// Retransmissions come as the packet itself, not as a stream of their own (RFC 4588).
    in_place: bool,
}

impl RepairLimits {
    /// Publishers keep a packet for a second at least, and browsers for three round trips. With half a second a keyframe is not
    /// asked for where a second round repairs it, up to round trips of 400 ms; a third comes no sooner than the keyframe.
    pub const VIDEO: Self = Self {
        age_max: Duration::from_millis(1_500),
        overdue_after: Duration::from_millis(500),
        rounds_max: 10,
        in_place: false,
    };
    /// About what a jitter buffer holds on a lossy path, which is not measured with browsers yet: sound that comes later was
    /// already made up. So audio is asked for where the round trip is below 110 ms, and again only where it is short.
    pub const AUDIO: Self = Self {
        age_max: Duration::from_millis(120),
        overdue_after: Duration::from_millis(120),
        rounds_max: 3,
        in_place: true,
    };

    pub const fn of(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::AUDIO,
            MediaKind::Video => Self::VIDEO,
        }
    }
}

/// How a packet came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Under its own number.
    Stream,
    /// In a retransmission stream.
    Retransmission,
    /// Inside a later packet.
    Redundancy,
}

struct Missing {
    ext_seq: ExtSeqNo,
    noticed: Instant,
    /// When the last round began.
    asked: Instant,
    due: Instant,
    rounds: u8,
    /// What is due is the second request of the last round.
    repeats: bool,
    is_overdue: bool,
}

/// What a gap led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    None,
    /// The packets in between are now tracked.
    Opened,
    /// Too many are missing: tracking starts anew, the picture needs a keyframe.
    TooLarge,
}

/// Whether everything that is missing may still come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repair {
    UnderWay,
    /// Something is missing for long, or was given up: the picture needs a keyframe.
    Overdue,
}

pub struct LossTracker {
    limits: RepairLimits,
    highest: Option<ExtSeqNo>,
    /// In ascending order.
    missing: Vec<Missing>,
    /// Not later than the first of them is due.
    next_due: Option<Instant>,
    /// How long a gap is taken for reordering: as late as packets came by themselves.
    tolerance: Duration,
    /// From a request to its answer, for publishers that echo no reports of ours.
    rtt: Option<RoundTrip>,
}

impl LossTracker {
    pub fn new(limits: RepairLimits) -> Self {
        Self { limits, highest: None, missing: Vec::new(), next_due: None, tolerance: TOLERANCE_MIN, rtt: None }
    }

    pub fn reset(&mut self) {
        self.highest = None;
        self.missing.clear();
        self.next_due = None;
    }

    /// Notes an arrival.
    pub fn received(&mut self, now: Instant, ext_seq: ExtSeqNo, source: Source) -> Gap {
        let Some(highest) = self.highest else {
            self.highest = Some(ext_seq);
            return Gap::None;
        };
        if ext_seq <= highest {
            if let Ok(index) = self.missing.binary_search_by_key(&ext_seq, |m| m.ext_seq) {
                let filled = self.missing.remove(index);
                self.learn(now, &filled, source);
                if self.missing.is_empty() {
                    self.next_due = None;
                }
            }
            return Gap::None;
        }
        self.highest = Some(ext_seq);
        let gap = (ext_seq.get() - highest.get() - 1) as usize;
        if gap == 0 {
            return Gap::None;
        }
        self.tolerance -= (self.tolerance - TOLERANCE_MIN) / 16;
        if self.missing.len() + gap > MISSING_MAX {
            self.missing.clear();
            self.next_due = None;
            return Gap::TooLarge;
        }
        let due = now + self.tolerance;
        let gap = highest.get() + 1..ext_seq.get();
        let missing = |seq| Missing {
            ext_seq: ExtSeqNo::new(seq),
            noticed: now,
            asked: now,
            due,
            rounds: 0,
            repeats: false,
            is_overdue: false,
        };
        self.missing.extend(gap.map(missing));
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
        Gap::Opened
    }

    /// A packet that came by itself shows how far reordering goes; one that came on its only request, how long that takes.
    fn learn(&mut self, now: Instant, filled: &Missing, source: Source) {
        let by_itself = filled.rounds == 0 || !self.limits.in_place;
        match source {
            Source::Stream if by_itself => {
                let late = now.saturating_duration_since(filled.noticed) * 5 / 4;
                self.tolerance = self.tolerance.max(late).min(TOLERANCE_MAX);
            }
            Source::Stream | Source::Retransmission if filled.rounds == 1 => {
                let took = now.saturating_duration_since(filled.asked);
                RoundTrip::note_in(&mut self.rtt, now, took);
            }
            Source::Stream | Source::Retransmission | Source::Redundancy => {}
        }
    }

    /// The numbers to ask for now, appended to `out`, which holds [`REQUEST_BATCH_MAX`] at most.
    pub fn poll_requests(&mut self, now: Instant, rtt: Option<RoundTrip>, out: &mut Vec<SeqNo>) -> Repair {
        if self.next_due.is_none_or(|due| due > now) {
            return Repair::UnderWay;
        }
        let rtt = rtt.or(self.rtt);
        let rounds = Rounds {
            limits: self.limits,
            rtt: rtt.map_or(RTT_DEFAULT, |rtt| rtt.mean),
            interval: rtt.map_or(RTT_DEFAULT, |rtt| rtt.expected()).max(RETRY_INTERVAL_MIN),
            repeats: rtt.is_some_and(|rtt| rtt.is_long()),
        };
        let mut repair = Repair::UnderWay;
        let mut next: Option<Instant> = None;
        self.missing.retain_mut(|missing| {
            if missing.due <= now + SLACK && out.len() < REQUEST_BATCH_MAX {
                let asks = rounds.ask(now, missing);
                let age = now.saturating_duration_since(missing.noticed);
                if !missing.is_overdue && (!asks || age >= rounds.limits.overdue_after) {
                    missing.is_overdue = true;
                    repair = Repair::Overdue;
                }
                if !asks {
                    return false;
                }
                out.push(missing.ext_seq.seq());
            }
            next = Some(next.map_or(missing.due, |next| next.min(missing.due)));
            true
        });
        self.next_due = next;
        repair
    }

    /// When [`Self::poll_requests`] may have something to say next.
    pub fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    pub fn missing_len(&self) -> usize {
        self.missing.len()
    }
}

/// When packets are asked for.
struct Rounds {
    limits: RepairLimits,
    rtt: Duration,
    /// From one to the next.
    interval: Duration,
    /// Each is two requests.
    repeats: bool,
}

impl Rounds {
    /// Notes that a packet that is due is asked for now; `false` when it is given up instead.
    fn ask(&self, now: Instant, missing: &mut Missing) -> bool {
        if std::mem::take(&mut missing.repeats) {
            missing.due = missing.asked + self.interval;
            return true;
        }
        let age = now.saturating_duration_since(missing.noticed);
        if missing.rounds >= self.limits.rounds_max || age + self.rtt > self.limits.age_max {
            return false;
        }
        missing.rounds += 1;
        missing.asked = now;
        missing.repeats = self.repeats;
        missing.due = now + if missing.repeats { REPEAT_AFTER } else { self.interval };
        missing.due = missing.due.min(missing.noticed + self.limits.age_max);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const RTT: Duration = Duration::from_millis(40);

    fn video() -> LossTracker {
        LossTracker::new(RepairLimits::VIDEO)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn received(tracker: &mut LossTracker, now: Instant, seqs: &[u64]) {
        for &seq in seqs {
            tracker.received(now, ExtSeqNo::new(seq), Source::Stream);
        }
    }

    fn requests(tracker: &mut LossTracker, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        tracker.poll_requests(now, Some(RoundTrip::steady(RTT)), &mut out);
        out.iter().map(|s| s.get()).collect()
    }

    /// Asks whenever something is due until nothing is. Returns when what was asked for, and when a keyframe was to come, in
    /// milliseconds.
    fn run(tracker: &mut LossTracker, t0: Instant, rtt: Option<Duration>) -> (Vec<u128>, Vec<u128>) {
        let (mut asked, mut overdue) = (Vec::new(), Vec::new());
        while let Some(due) = tracker.next_due() {
            let mut out = Vec::new();
            let repair = tracker.poll_requests(due, rtt.map(RoundTrip::steady), &mut out);
            let at = due.duration_since(t0).as_millis();
            asked.extend(out.iter().map(|_| at));
            overdue.extend((repair == Repair::Overdue).then_some(at));
        }
        (asked, overdue)
    }

    #[test]
    fn a_gap_is_asked_for_after_the_reordering_delay_and_again_until_filled() {
        let (mut tracker, t0) = (video(), start());
        received(&mut tracker, t0, &[65_534, 65_535, 65_538]);
        assert!(requests(&mut tracker, t0 + ms(9)).is_empty());
        assert_eq!(requests(&mut tracker, t0 + ms(10)), [0, 1]);
        received(&mut tracker, t0 + ms(50), &[65_536]);
        assert!(requests(&mut tracker, t0 + ms(49)).is_empty());
        assert_eq!(requests(&mut tracker, t0 + ms(50)), [1]);
        received(&mut tracker, t0 + ms(90), &[65_537]);
        assert_eq!(tracker.next_due(), None);
    }

    #[test]
    fn where_a_round_trip_is_long_each_round_is_two_requests_and_the_next_begins_when_the_answer_should_be_there() {
        let (mut tracker, t0) = (video(), start());
        received(&mut tracker, t0, &[1, 3]);
        let (asked, _) = run(&mut tracker, t0, Some(ms(300)));
        assert_eq!(asked, [10, 35, 310, 335, 610, 635, 910, 935]);
        let (mut tracker, t0) = (video(), start());
        received(&mut tracker, t0, &[1, 3]);
        let (asked, _) = run(&mut tracker, t0, Some(ms(60)));
        assert_eq!(asked, [10, 70, 130, 190, 250, 310, 370, 430, 490, 550]);
    }

    #[test]
    fn a_keyframe_is_asked_for_once_what_is_missing_was_missing_for_long_or_is_given_up() {
        for (rtt, rounds, keyframe_at) in [(10, 10, 210), (60, 10, 550), (300, 4, 610), (900, 1, 910), (1_600, 0, 10)] {
            let (mut tracker, t0) = (video(), start());
            received(&mut tracker, t0, &[1, 3]);
            let (asked, overdue) = run(&mut tracker, t0, Some(ms(rtt)));
            let requests = if RoundTrip::steady(ms(rtt)).is_long() { 2 * rounds } else { rounds };
            assert_eq!(asked.len(), requests, "{rtt} ms: {asked:?}");
            assert_eq!(overdue, [keyframe_at], "{rtt} ms: once");
        }
    }

    #[test]
    fn sound_is_asked_for_only_where_it_arrives_in_time() {
        for (rtt, times) in [(Some(5), vec![10, 30, 50]), (Some(60), vec![10]), (Some(120), vec![]), (None, vec![10])] {
            let (mut tracker, t0) = (LossTracker::new(RepairLimits::AUDIO), start());
            received(&mut tracker, t0, &[1, 3]);
            assert_eq!(run(&mut tracker, t0, rtt.map(ms)).0, times, "{rtt:?} ms");
        }
    }

    #[test]
    fn packets_that_come_late_by_themselves_make_it_wait_longer_and_not_for_ever() {
        let (mut tracker, t0) = (video(), start());
        received(&mut tracker, t0, &[1, 3]);
        assert_eq!(requests(&mut tracker, t0 + ms(10)), [2]);
        received(&mut tracker, t0 + ms(24), &[2, 5]);
        assert!(requests(&mut tracker, t0 + ms(24 + 24)).is_empty());
        assert_eq!(requests(&mut tracker, t0 + ms(24 + 30)), [4]);
        for n in 0..100 {
            received(&mut tracker, t0 + ms(100 + n), &[7 + 2 * n]);
        }
        assert!(tracker.tolerance < ms(11), "{:?}", tracker.tolerance);
    }

    #[test]
    fn the_round_trip_is_learnt_from_answers_to_single_requests() {
        let (mut tracker, t0) = (video(), start());
        received(&mut tracker, t0, &[1, 3]);
        assert_eq!(requests(&mut tracker, t0 + ms(10)), [2]);
        tracker.received(t0 + ms(60), ExtSeqNo::new(2), Source::Retransmission);
        assert_eq!(tracker.rtt.unwrap().mean, ms(50));
        received(&mut tracker, t0 + ms(100), &[5]);
        tracker.received(t0 + ms(105), ExtSeqNo::new(4), Source::Redundancy);
        assert_eq!(tracker.rtt.unwrap().mean, ms(50));
    }

    #[test]
    fn a_gap_beyond_the_bound_is_not_tracked() {
        let (mut tracker, t0) = (video(), start());
        received(&mut tracker, t0, &[1]);
        assert_eq!(tracker.received(t0, ExtSeqNo::new(10_000), Source::Stream), Gap::TooLarge);
        assert_eq!((tracker.missing_len(), tracker.next_due()), (0, None));
    }

    proptest! {
        /// Whatever is lost, late or doubled, and whenever it is polled: no number is asked for more often than the limit, nor
        /// when it is there, nor too late to be of use; no message asks for more than a batch; and nothing due is left out.
        #[test]
        fn requests_keep_their_bounds(
            steps in prop::collection::vec((0_u64..40, 1_u64..300, 0_u64..8, any::<bool>()), 1..120),
            rtt_ms in 1_u64..400,
            audio in any::<bool>(),
        ) {
            let limits = if audio { RepairLimits::AUDIO } else { RepairLimits::VIDEO };
            let (mut tracker, t0) = (LossTracker::new(limits), start());
            let (mut now, mut head) = (t0, 1_000_u64);
            let mut arrived = std::collections::HashSet::from([head]);
            let mut noticed: HashMap<u64, Instant> = HashMap::new();
            let mut asked: HashMap<u64, u8> = HashMap::new();
            tracker.received(now, ExtSeqNo::new(head), Source::Stream);
            for (pass, jump, back, late) in steps {
                now += ms(pass);
                let seq = if late { head.saturating_sub(back) } else { head + if jump > 20 { 1 } else { jump } };
                for missing in head + 1..seq {
                    noticed.insert(missing, now);
                }
                if arrived.insert(seq) {
                    tracker.received(now, ExtSeqNo::new(seq), Source::Stream);
                }
                head = head.max(seq);
                let mut out = Vec::new();
                tracker.poll_requests(now, Some(RoundTrip::steady(ms(rtt_ms))), &mut out);
                prop_assert!(out.len() <= REQUEST_BATCH_MAX);
                // The second request of a round may be late by as much as the poll.
                let repeat = if RoundTrip::steady(ms(rtt_ms)).is_long() { REPEAT_AFTER + ms(40) } else { Duration::ZERO };
                for seq in &out {
                    let number = ExtSeqNo::new(head).nearest(*seq).get();
                    prop_assert!(!arrived.contains(&number), "{number} is there");
                    let times = asked.entry(number).or_default();
                    *times += 1;
                    let requests_max = if RoundTrip::steady(ms(rtt_ms)).is_long() { 2 * limits.rounds_max } else { limits.rounds_max };
                    prop_assert!(*times <= requests_max);
                    let age = now.duration_since(noticed[&number]);
                    prop_assert!(age + ms(rtt_ms) <= limits.age_max + repeat, "{number} after {age:?}");
                }
                let due = |m: &&Missing| m.due <= now;
                prop_assert!(out.len() == REQUEST_BATCH_MAX || tracker.missing.iter().find(due).is_none());
                let first = tracker.missing.iter().map(|m| m.due).min();
                prop_assert!(tracker.next_due <= first.or(tracker.next_due) && tracker.next_due.is_some() == first.is_some());
            }
        }
    }
}
