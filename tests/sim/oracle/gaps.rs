//! How long a receiver hears nothing of who speaks, and sees nothing new of who is filmed, beside what its own links and its
//! own wishes took from it.

use super::Violation;
use crate::client::Client;
use crate::client::receive::InStream;
use crate::scenario::Step;
use crate::world::{Entry, World};
use consilium_benches::link::{LinkParameters, Loss};
use consilium_media_core::params::MediaKind;
use std::time::{Duration, Instant};

/// From when both ends are connected until media is judged: a keyframe was asked for and came, and if it was lost another.
const START: Duration = Duration::from_millis(1_200);
/// A voice packet that comes later than this after it was sent is as good as lost: no jitter buffer waits longer.
const VOICE_LATE: Duration = Duration::from_millis(400);
/// Longest run of voice that may be lost to chance. On a path that loses a tenth each way, five in a row are lost once in 4,000
/// packets and ten once in 16 million; bursts last three packets on average, and twenty once in 5,000 bursts.
const VOICE_GAP_RANDOM: Duration = Duration::from_millis(200);
const VOICE_GAP_BURSTS: Duration = Duration::from_millis(600);
/// Without new pictures where nothing is lost to chance: what an outage or a full queue took is given up after 400 ms, the
/// request waits up to 500 ms for the throttle and takes two ways of up to 110 ms, as does the keyframe, which begins at the
/// next frame: 125 ms.
const VIDEO_GAP_CLEAN: Duration = Duration::from_millis(1_500);
/// The same where requests and keyframes are lost, too: in 10,000 seeds it took 2.1 s at most.
const VIDEO_GAP_LOSSY: Duration = Duration::from_millis(2_500);

/// A stretch of time, from its beginning to before its end.
pub(crate) type Span = (Instant, Instant);

/// How much of `span` none of `excuses` covers.
pub(crate) fn unexcused(span: Span, excuses: &[Span]) -> Duration {
    let mut covered: Vec<Span> = excuses
        .iter()
        .map(|excuse| (excuse.0.max(span.0), excuse.1.min(span.1)))
        .filter(|(from, to)| from < to)
        .collect();
    covered.sort();
    let mut left = Duration::ZERO;
    let mut from = span.0;
    for excuse in covered {
        left += excuse.0.saturating_duration_since(from);
        from = from.max(excuse.1);
    }
    left + span.1.saturating_duration_since(from)
}

/// The longest of the stretches between `marks`, the ends included, by what is not excused of it.
pub(crate) fn longest_gap(within: Span, marks: impl Iterator<Item = Instant>, excuses: &[Span]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut from = within.0;
    for mark in marks.chain([within.1]) {
        let mark = mark.clamp(within.0, within.1);
        longest = longest.max(unexcused((from, mark), excuses));
        from = from.max(mark);
    }
    longest
}

/// The longest run of `sent` of which nothing was `heard` in time. Packets further apart than `together` are of different
/// runs of speech.
pub(crate) fn longest_silence(sent: &[(Instant, bool)], together: Duration, excuses: &[Span]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut from: Option<Instant> = None;
    let mut last: Option<Instant> = None;
    for &(at, heard) in sent {
        if last.is_some_and(|last| at.saturating_duration_since(last) > together) {
            from = None;
        }
        last = Some(at);
        if heard {
            from = None;
            continue;
        }
        let from = *from.get_or_insert(at);
        longest = longest.max(unexcused((from, at + Duration::from_millis(20)), excuses));
    }
    longest
}

/// Whether chance takes something from a path, in single packets or in bursts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Chance {
    None,
    Random,
    Bursts,
}

fn chance(parameters: &LinkParameters) -> Chance {
    match parameters.loss {
        Loss::None => Chance::None,
        Loss::Random(_) => Chance::Random,
        Loss::Bursts { .. } => Chance::Bursts,
    }
}

/// What one receiver may say of one publisher in its favour.
struct Pair<'a> {
    world: &'a World,
    publisher: &'a Client,
    receiver: &'a Client,
    within: Span,
}

pub(crate) fn judge(world: &World, violations: &mut Vec<Violation>) {
    for receiver in world.clients.iter().flatten() {
        for stream in &receiver.receiver.streams {
            let Some(publisher) = &world.clients[stream.announced.publisher] else { continue };
            let Some(pair) = Pair::new(world, publisher, receiver, stream) else { continue };
            let (oracle, gap, most) = match stream.announced.kind {
                MediaKind::Audio => ("gap of audio", pair.audio(stream), pair.audio_allowed()),
                MediaKind::Video => ("gap of video", pair.video(stream), pair.video_allowed()),
            };
            if gap > most {
                let what = format!("{gap:?} of {} are missing, allowed are {most:?}", publisher.index);
                violations.push(Violation { oracle, at: None, receiver: receiver.index, what });
            }
        }
    }
}

impl<'a> Pair<'a> {
    /// `None` when they never met for long enough, or a link between them is too slow for what it has to carry.
    fn new(world: &'a World, publisher: &'a Client, receiver: &'a Client, stream: &InStream) -> Option<Self> {
        let began = publisher.connected_at?.max(receiver.connected_at?).max(stream.since) + START;
        let left = |client: &Client| world.scenario.people[client.index].leaves.map(|at| world.start + at);
        let ends = [stream.until, left(receiver), left(publisher), Some(world.now)];
        // What was sent last is still on its way.
        let ended = ends.into_iter().flatten().min()? - VOICE_LATE;
        let pair = Self { world, publisher, receiver, within: (began, ended) };
        (began < ended && pair.has_room(stream.announced.kind)).then_some(pair)
    }

    fn has_room(&self, kind: MediaKind) -> bool {
        let ample = |person: usize, up: bool| {
            let first = self.link(person, up).rate_bps;
            let later = self.world.scenario.steps.iter().filter_map(|(_, step)| match step {
                Step::Link { person: changed, up: direction, parameters } if (*changed, *direction) == (person, up) => {
                    Some(parameters.rate_bps)
                }
                _ => None,
            });
            std::iter::once(first).chain(later).all(|rate_bps| rate_bps.is_none())
        };
        let (publisher, receiver) = (self.publisher.index, self.receiver.index);
        let media = ample(publisher, true) && ample(receiver, false);
        // Requests for keyframes may wait in a queue, too.
        media && (kind == MediaKind::Audio || (ample(receiver, true) && ample(publisher, false)))
    }

    fn link(&self, person: usize, up: bool) -> &LinkParameters {
        let person = &self.world.scenario.people[person];
        if up { &person.up } else { &person.down }
    }

    /// The way of media, then the way of what is said about it.
    fn ways(&self) -> [&LinkParameters; 4] {
        let (publisher, receiver) = (self.publisher.index, self.receiver.index);
        let way = |person, up| self.link(person, up);
        [way(publisher, true), way(receiver, false), way(receiver, true), way(publisher, false)]
    }

    fn outages(&self, ways: usize) -> Vec<Span> {
        let start = self.world.start;
        let used = self.ways().into_iter().take(ways);
        used.flat_map(|way| &way.outages).map(|o| (start + o.start, start + o.start + o.length)).collect()
    }

    fn audio(&self, stream: &InStream) -> Duration {
        let mut heard = vec![None; self.publisher.publisher.audio_sent().len()];
        for (at, number) in &stream.heard {
            if let Some(heard) = heard.get_mut(*number as usize) {
                *heard = Some(*at);
            }
        }
        let sent = self.publisher.publisher.audio_sent().iter().zip(heard);
        let within = sent.filter(|(at, _)| (self.within.0..self.within.1).contains(*at));
        let sent: Vec<_> = within
            .map(|(at, heard)| (*at, heard.is_some_and(|heard| heard.saturating_duration_since(*at) < VOICE_LATE)))
            .collect();
        longest_silence(&sent, Duration::from_millis(50), &self.outages(2))
    }

    fn audio_allowed(&self) -> Duration {
        match self.ways()[..2].iter().map(|way| chance(way)).max() {
            Some(Chance::Bursts) => VOICE_GAP_BURSTS,
            _ => VOICE_GAP_RANDOM,
        }
    }

    fn video(&self, stream: &InStream) -> Duration {
        let marks = stream.decoder.decoded.iter().map(|decoded| decoded.at);
        let mut excuses = self.outages(4);
        excuses.extend(self.unwanted());
        longest_gap(self.within, marks, &excuses)
    }

    fn video_allowed(&self) -> Duration {
        match self.ways().map(chance).into_iter().max() {
            Some(Chance::None) => VIDEO_GAP_CLEAN,
            _ => VIDEO_GAP_LOSSY,
        }
    }

    /// When the receiver did not want the video, or the server was told not to forward it.
    fn unwanted(&self) -> Vec<Span> {
        let (mut spans, mut paused, mut muted) = (Vec::new(), None, None);
        let mut change = |since: &mut Option<Instant>, now: Instant, off: bool| {
            if off {
                since.get_or_insert(now);
            } else if let Some(since) = since.take() {
                spans.push((since, now));
            }
        };
        for (at, entry) in &self.world.log {
            let at = self.world.start + *at;
            match entry {
                Entry::Step(Step::Limit { publisher, receiver, paused: off, .. })
                    if (*publisher, *receiver) == (self.publisher.index, self.receiver.index) =>
                {
                    change(&mut paused, at, *off);
                }
                Entry::Step(Step::Mute { publisher, muted: off }) if *publisher == self.publisher.index => {
                    change(&mut muted, at, *off);
                }
                _ => {}
            }
        }
        change(&mut paused, self.world.now, false);
        change(&mut muted, self.world.now, false);
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_stretch_is_excused_once_however_many_excuse_it() {
        let t = Instant::now();
        let span = |from, to| (t + ms(from), t + ms(to));
        assert_eq!(unexcused(span(100, 1_100), &[]), ms(1_000));
        assert_eq!(unexcused(span(100, 1_100), &[span(0, 200), span(300, 500), span(400, 600)]), ms(600));
        assert_eq!(unexcused(span(100, 1_100), &[span(0, 5_000)]), Duration::ZERO);
    }

    #[test]
    fn pictures_that_stop_are_found_and_an_outage_excuses_them() {
        let t = Instant::now();
        let within = (t, t + ms(3_000));
        let marks = |until: u64| (0..until / 50).map(move |frame| t + ms(frame * 50));
        assert_eq!(longest_gap(within, marks(3_000), &[]), ms(50));
        assert_eq!(longest_gap(within, marks(1_000), &[]), ms(2_050));
        assert_eq!(longest_gap(within, marks(1_000), &[(t + ms(1_000), t + ms(2_900))]), ms(150));
        assert_eq!(longest_gap(within, std::iter::empty(), &[]), ms(3_000));
    }

    #[test]
    fn a_voice_that_stops_is_found_and_a_pause_is_not() {
        let t = Instant::now();
        let sent = |lost: std::ops::Range<u64>| -> Vec<_> {
            (0..100).map(|number| (t + ms(number * 20), !lost.contains(&number))).collect()
        };
        assert_eq!(longest_silence(&sent(0..0), ms(50), &[]), Duration::ZERO);
        assert_eq!(longest_silence(&sent(10..40), ms(50), &[]), ms(600));
        assert_eq!(longest_silence(&sent(10..40), ms(50), &[(t + ms(200), t + ms(700))]), ms(100));
        let spread: Vec<_> = (0..10).map(|number| (t + ms(number * 400), false)).collect();
        assert_eq!(longest_silence(&spread, ms(50), &[]), ms(20), "with DTX there is little to hear");
    }
}
