//! When the publisher of an encoding is asked for a keyframe. Requests of many subscribers are one; it is repeated where no
//! answer comes, and the next has to wait: a keyframe takes as long to come as several ordinary pictures, of a shared screen
//! often longer than a second, and its publisher makes up for it by leaving pictures out. Asked again while the answer is still
//! on its way, it sends another behind it, and everybody's picture stands. Refuses to know who asks.

use crate::ids::RtpTime;
use crate::limits::{KEYFRAME_REQUEST_INTERVAL, KEYFRAME_REQUEST_INTERVAL_MAX};
use std::time::{Duration, Instant};

/// A request is repeated when its answer takes so many times as long as the one before...
const REPEATED_AFTER: u32 = 2;
/// ...and the next one is made so many times as long after the last: pictures that follow one another have at least as much of
/// the publisher's path as keyframes.
const SPACED_BY: u32 = 3;

/// The requests for keyframes of one encoding.
#[derive(Default)]
pub struct KeyframeRequests {
    wanted: bool,
    number: u8,
    asked: Option<Asked>,
    /// Of the keyframe that came last: its time, and when the request that it answers was made.
    came: Option<(RtpTime, Option<Instant>)>,
    /// How long it took, from its request to its last packet.
    took: Duration,
    /// The same of those before.
    took_before: Duration,
}

/// What was asked for last, answered or not.
#[derive(Clone, Copy)]
struct Asked {
    first: Instant,
    last: Instant,
    /// Repetitions without an answer.
    repeated: u32,
    answered: bool,
}

impl KeyframeRequests {
    /// Someone needs a keyframe.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// It will come unasked.
    pub fn forget(&mut self) {
        self.wanted = false;
        self.asked = self.asked.map(|asked| Asked { answered: true, ..asked });
    }

    /// A packet came of the picture of this time; `keyframe` when a decoder can start with it.
    pub fn note(&mut self, now: Instant, time: RtpTime, keyframe: bool) {
        if keyframe && self.came.is_none_or(|(came, _)| came != time) {
            let open = self.asked.as_mut().filter(|asked| !asked.answered);
            let first = open.map(|asked| {
                asked.answered = true;
                asked.first
            });
            if first.is_some() {
                self.took_before = self.answer();
            }
            self.came = Some((time, first));
            if std::mem::take(&mut self.wanted) {
                self.number = self.number.wrapping_add(1);
            }
        }
        if let Some((came, Some(first))) = self.came
            && came == time
        {
            self.took = now.saturating_duration_since(first);
        }
    }

    /// The number of the present request: a repetition bears the same one (RFC 5104 section 4.3.1.1).
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Whether to send a request now.
    pub fn poll(&mut self, now: Instant) -> bool {
        let is_due = self.due(now).is_some_and(|due| due <= now);
        if is_due {
            self.asked = Some(match self.asked.filter(|asked| !asked.answered) {
                Some(asked) => Asked { last: now, repeated: asked.repeated + 1, ..asked },
                None => Asked { first: now, last: now, repeated: 0, answered: false },
            });
        }
        is_due
    }

    /// When a request is due, if one is wanted.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        self.wanted.then(|| self.asked.map_or(now, |asked| asked.last + self.interval(asked)))
    }

    fn interval(&self, asked: Asked) -> Duration {
        let (least, most) = (KEYFRAME_REQUEST_INTERVAL, KEYFRAME_REQUEST_INTERVAL_MAX);
        if asked.answered {
            return (self.answer() * SPACED_BY).clamp(least, most);
        }
        let first = (self.answer() * REPEATED_AFTER).clamp(least, most);
        // Where nothing is known of answers, or this one takes longer than others, patience grows.
        first.saturating_mul(1 << asked.repeated.min(u8::BITS)).min(most)
    }

    /// How long answers take: the last one, or, where those before took longer, halfway between.
    fn answer(&self) -> Duration {
        self.took.max((self.took + self.took_before) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    const MS: Duration = Duration::from_millis(1);

    /// Somebody wants a keyframe at each millisecond of `wanted`; the publisher, whose path delivers one picture a millisecond,
    /// has a keyframe wholly there `answer` after each request. Returns the times of the requests, in milliseconds.
    fn asked(wanted: std::ops::Range<u32>, until: u32, answer: u32) -> Vec<u32> {
        let (mut requests, t0) = (KeyframeRequests::default(), start());
        let mut asked: Vec<u32> = Vec::new();
        for ms in 0..until {
            let now = t0 + MS * ms;
            if wanted.contains(&ms) {
                requests.want();
            }
            // Its first packet comes halfway.
            let begun = |at: &u32| at + answer / 2 == ms;
            if let Some(at) = asked.iter().find(|at| begun(at) || **at + answer == ms) {
                requests.note(now, RtpTime::new(*at), begun(at));
            }
            if requests.poll(now) {
                asked.push(ms);
            }
        }
        asked
    }

    #[test]
    fn requests_are_one_within_the_interval() {
        assert_eq!(asked(0..1_400, 3_000, 20), [0, 500, 1_000, 1_500]);
        assert_eq!(asked(0..1, 3_000, 20), [0]);
    }

    #[test]
    fn a_request_without_an_answer_is_repeated_ever_less_often() {
        assert_eq!(asked(0..1, 8_000, 100_000), [0, 500, 1_500, 3_500, 5_500, 7_500]);
    }

    #[test]
    fn who_takes_long_to_answer_is_asked_less_often_and_not_again_meanwhile() {
        // Nothing is known of the first answer; the next are waited for.
        assert_eq!(asked(0..5_600, 8_000, 600), [0, 1_800, 3_600, 5_400]);
        let slow = asked(0..12_000, 12_000, 1_600);
        assert!(slow.windows(2).skip(2).all(|pair| pair[1] - pair[0] == 2_000), "{slow:?}");
    }

    #[test]
    fn an_answer_that_is_late_once_is_not_expected_to_be_so_for_ever() {
        let (mut requests, mut now) = (KeyframeRequests::default(), start());
        let mut intervals = Vec::new();
        for (n, answer) in [600, 20, 20, 20, 20].into_iter().enumerate() {
            requests.want();
            let before = now;
            while !requests.poll(now) {
                now += MS;
            }
            intervals.push((now - before).as_millis());
            requests.note(now + MS * answer, RtpTime::new(n as u32), true);
        }
        assert_eq!(intervals, [0, 1_800, 930, 500, 500]);
    }

    #[test]
    fn repetitions_bear_the_number_of_their_request() {
        let (mut requests, t0) = (KeyframeRequests::default(), start());
        requests.want();
        assert!(requests.poll(t0) && requests.poll(t0 + KEYFRAME_REQUEST_INTERVAL));
        assert_eq!(requests.number(), 0);
        requests.note(t0 + KEYFRAME_REQUEST_INTERVAL, RtpTime::new(1), true);
        assert_eq!(requests.number(), 1);
        requests.note(t0 + KEYFRAME_REQUEST_INTERVAL, RtpTime::new(2), true);
        assert_eq!(requests.number(), 1, "it was not asked for");
    }
}
