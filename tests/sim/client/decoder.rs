//! What a video receiver makes of one stream: frames in order, each checked against what its content says, and requests for
//! keyframes where it cannot go on.

use crate::media::{Picture, VideoPart};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// While a keyframe's packets come, no other is asked for: libwebrtc waits so long after the last of them.
const RECEIVING_KEYFRAME: Duration = Duration::from_millis(200);
/// Between two requests for a keyframe.
const REQUEST_INTERVAL: Duration = Duration::from_millis(300);
/// Frames that others may be predicted from.
const REFERENCES_MAX: usize = 32;

/// One packet as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Got {
    pub(crate) time: u32,
    pub(crate) marker: bool,
    /// `None` for a packet that carries padding alone.
    pub(crate) part: Option<VideoPart>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decoded {
    pub(crate) at: Instant,
    pub(crate) layer: u8,
    pub(crate) frame: u32,
    pub(crate) tid: u8,
}

pub(crate) struct Decoder {
    /// What is missing for so long is given up: a keyframe must come.
    patience: Duration,
    /// Packets without a payload since the last frame.
    empty: u16,
    packets: BTreeMap<u64, Got>,
    /// The number at which the next frame starts.
    expected: Option<u64>,
    needs_keyframe: bool,
    blocked_since: Option<Instant>,
    asked_at: Option<Instant>,
    /// The newest keyframe's time, and when a packet of it last came.
    keyframe: Option<(u32, Instant)>,
    last: Option<Picture>,
    references: VecDeque<(u8, u32)>,
    pub(crate) decoded: Vec<Decoded>,
    /// What the numbers promised and the content did not keep.
    pub(crate) broken: Vec<String>,
}

impl Decoder {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            empty: 0,
            packets: BTreeMap::new(),
            expected: None,
            needs_keyframe: false,
            blocked_since: None,
            asked_at: None,
            keyframe: None,
            last: None,
            references: VecDeque::new(),
            decoded: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// A packet under its extended sequence number.
    pub(crate) fn receive(&mut self, now: Instant, seq: u64, got: Got) {
        if self.expected.is_some_and(|expected| seq < expected) {
            return;
        }
        let begins = got.part.is_some_and(|part| part.start && part.picture.key);
        if begins || self.keyframe.is_some_and(|(time, _)| time == got.time) {
            self.keyframe = Some((got.time, now));
        }
        self.packets.insert(seq, got);
        self.advance(now);
    }

    /// Whether to ask for a keyframe now.
    pub(crate) fn poll_keyframe_request(&mut self, now: Instant) -> bool {
        let blocked = self.blocked_since.is_some_and(|since| now.saturating_duration_since(since) >= self.patience);
        if blocked && !self.needs_keyframe {
            self.needs_keyframe = true;
            self.advance(now);
        }
        let asked = self.asked_at.is_some_and(|at| now.saturating_duration_since(at) < REQUEST_INTERVAL);
        let receives = self.keyframe.is_some_and(|(_, at)| now.saturating_duration_since(at) < RECEIVING_KEYFRAME);
        let ask = self.needs_keyframe && self.blocked_since.is_some() && !asked && !receives;
        if ask {
            self.asked_at = Some(now);
        }
        ask
    }

    fn advance(&mut self, now: Instant) {
        loop {
            let next = match self.expected {
                Some(expected) if !self.needs_keyframe => self.frame_at(expected),
                _ => self.keyframe(),
            };
            let Some((first, last)) = next else { break };
            self.take(now, first, last);
        }
        let waiting = match (self.expected, self.packets.keys().next_back()) {
            (_, None) => false,
            (Some(expected), Some(&highest)) if !self.needs_keyframe => {
                // One whose packets come one after the other is on its way.
                let there = self.packets.range(expected..).count() as u64;
                there < highest + 1 - expected
            }
            _ => true,
        };
        match (waiting, self.blocked_since) {
            (true, None) => self.blocked_since = Some(now),
            (false, _) => self.blocked_since = None,
            (true, Some(_)) => {}
        }
    }

    /// The frame whose numbers begin at `first`, up to its marker, when all of them are there. What stands there and carries
    /// nothing is a frame of its own.
    fn frame_at(&self, first: u64) -> Option<(u64, u64)> {
        let time = self.packets.get(&first)?.time;
        for (expected, (&seq, got)) in (first..).zip(self.packets.range(first..)) {
            if seq != expected {
                return None;
            }
            if got.time != time {
                // It ends without a marker: another source took over in the middle of it.
                return Some((first, seq - 1));
            }
            if got.marker || (got.part.is_none() && seq == first) {
                return Some((first, seq));
            }
        }
        None
    }

    /// The first keyframe that is whole by its numbers.
    fn keyframe(&self) -> Option<(u64, u64)> {
        let is_start = |got: &Got| got.part.is_some_and(|part| part.start && part.picture.key);
        self.packets.iter().filter(|(_, got)| is_start(got)).find_map(|(&seq, _)| self.frame_at(seq))
    }

    fn take(&mut self, now: Instant, first: u64, last: u64) {
        let continues = self.expected == Some(first);
        let rest = self.packets.split_off(&(last + 1));
        let frame = std::mem::replace(&mut self.packets, rest);
        let parts: Vec<Got> = frame.range(first..).map(|(_, got)| *got).collect();
        self.expected = Some(last + 1);
        self.needs_keyframe = false;
        self.blocked_since = None;
        if parts.iter().all(|got| got.part.is_none()) {
            self.empty += parts.len() as u16;
            return;
        }
        let empty = std::mem::take(&mut self.empty);
        if parts.last().is_none_or(|got| !got.marker) {
            // What has no end is not shown. Its picture id is used up all the same.
            self.last = parts[0].part.filter(|part| part.start).map(|part| part.picture).or(self.last);
            return;
        }
        if let Err(what) = self.check(&parts, continues.then_some(empty)) {
            self.broken.push(format!("{first} to {last}: {what}: {}", shown(&parts)));
            self.needs_keyframe = true;
            return;
        }
        let Some(part) = parts[0].part else { return };
        self.last = Some(part.picture);
        self.references.push_back((part.mark.layer, part.mark.frame));
        if self.references.len() > REFERENCES_MAX {
            self.references.pop_front();
        }
        let decoded = Decoded { at: now, layer: part.mark.layer, frame: part.mark.frame, tid: part.picture.tid };
        self.decoded.push(decoded);
    }

    /// The numbers say that this is one whole frame.
    fn check(&self, parts: &[Got], continues: Option<u16>) -> Result<(), &'static str> {
        let first = parts[0].part.filter(|part| part.start).ok_or("it does not begin with the start of a frame")?;
        for (index, got) in parts.iter().enumerate() {
            let part = got.part.ok_or("it has an empty packet in it")?;
            let (mark, begun) = (part.mark, first.mark);
            let same = (mark.track, mark.layer, mark.frame) == (begun.track, begun.layer, begun.frame);
            if !same || mark.count != begun.count {
                return Err("it is made of several frames");
            }
            if usize::from(mark.index) != index {
                return Err("a part of it is missing or twice there");
            }
            if got.time != parts[0].time || part.picture.id != first.picture.id || part.picture.tl0 != first.picture.tl0
            {
                return Err("its packets have different times or picture ids");
            }
        }
        if usize::from(first.mark.count) != parts.len() {
            return Err("its end is missing");
        }
        self.check_place(&first, continues)
    }

    /// Its place among the frames before, when no number is missing in between. So many empty packets stand there for pictures
    /// that came too late to be left out without a trace.
    fn check_place(&self, first: &VideoPart, continues: Option<u16>) -> Result<(), &'static str> {
        let (Some(last), Some(empty)) = (self.last, continues) else { return Ok(()) };
        let picture = first.picture;
        if !(1..=1 + empty).contains(&(picture.id.wrapping_sub(last.id) & 0x7fff)) {
            return Err("its picture id does not follow the last one");
        }
        let tl0 = if picture.tid == 0 { last.tl0.wrapping_add(1) } else { last.tl0 };
        if picture.tl0 != tl0 {
            return Err("its TL0PICIDX does not follow the last one");
        }
        let reference = (first.mark.layer, first.mark.reference);
        if !picture.key && !self.references.contains(&reference) {
            return Err("the frame that it is predicted from was left out");
        }
        Ok(())
    }
}

/// Layer and frame, part of how many, and `|` for a marker.
fn shown(parts: &[Got]) -> String {
    let one = |got: &Got| match got.part {
        None => "empty".to_owned(),
        Some(VideoPart { mark, picture, .. }) => {
            let (end, tid) = (if got.marker { "|" } else { "" }, picture.tid);
            format!("{}:{}.{tid} {}/{}{end}", mark.layer, mark.frame, mark.index + 1, mark.count)
        }
    };
    parts.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Mark;
    use crate::scenario::PATIENCE;

    fn part(frame: u32, index: u16, count: u16, key: bool) -> Got {
        let mark = Mark { track: 1, layer: 0, frame, reference: if key { frame } else { frame - 1 }, index, count };
        let picture = Picture { id: frame as u16, tl0: frame as u8, tid: 0, sync: false, key };
        let part = VideoPart { start: index == 0, picture, mark };
        Got { time: frame * 3_000, marker: index + 1 == count, part: Some(part) }
    }

    fn of(packets: &[(u64, Got)]) -> Decoder {
        let mut decoder = Decoder::new(PATIENCE);
        packets.iter().for_each(|(seq, got)| decoder.receive(Instant::now(), *seq, *got));
        decoder
    }

    #[test]
    fn whole_frames_are_decoded_whatever_their_order() {
        let decoder = of(&[
            (11, part(5, 1, 2, true)),
            (10, part(5, 0, 2, true)),
            (13, part(7, 0, 1, false)),
            (12, part(6, 0, 1, false)),
        ]);
        assert_eq!(decoder.decoded.iter().map(|decoded| decoded.frame).collect::<Vec<_>>(), [5, 6, 7]);
        assert!(decoder.broken.is_empty());
    }

    #[test]
    fn a_frame_that_only_looks_whole_is_found() {
        let broken = |packets: &[(u64, Got)]| of(packets).broken.len();
        assert_eq!(broken(&[(10, part(5, 0, 3, true)), (11, part(5, 2, 3, true))]), 1, "a part is missing");
        let other = Got { time: 5 * 3_000, ..part(6, 1, 2, true) };
        assert_eq!(broken(&[(10, part(5, 0, 2, true)), (11, other)]), 1, "parts of two frames");
        let unfinished = [(10, part(5, 0, 2, true)), (11, part(6, 0, 1, true))];
        assert_eq!(broken(&unfinished), 0, "it does not look whole");
        let early = Got { marker: true, ..part(5, 0, 2, true) };
        assert_eq!(broken(&[(10, early)]), 1, "the end is missing");
        let key = (10, part(5, 0, 1, true));
        assert_eq!(broken(&[key, (11, part(6, 1, 2, false))]), 1, "the beginning is missing");
        assert_eq!(broken(&[key, (11, part(7, 0, 1, false))]), 1, "the picture before is missing");
        let mut skipped = part(6, 0, 1, false);
        skipped.part.as_mut().unwrap().mark.reference = 4;
        assert_eq!(broken(&[key, (11, skipped)]), 1, "the reference is missing");
        assert_eq!(broken(&[key, (12, part(7, 0, 1, false))]), 0, "a missing number says that something is missing");
    }

    #[test]
    fn what_does_not_come_is_given_up_and_a_keyframe_asked_for() {
        let now = Instant::now();
        let mut decoder = Decoder::new(PATIENCE);
        decoder.receive(now, 10, part(5, 0, 1, true));
        decoder.receive(now, 12, part(7, 0, 1, false));
        assert!(!decoder.poll_keyframe_request(now));
        assert!(decoder.poll_keyframe_request(now + PATIENCE));
        assert!(!decoder.poll_keyframe_request(now + PATIENCE));
        assert!(decoder.poll_keyframe_request(now + PATIENCE + REQUEST_INTERVAL));
        decoder.receive(now + PATIENCE, 13, part(8, 0, 1, true));
        assert_eq!(decoder.decoded.last().unwrap().frame, 8);
        assert!(!decoder.poll_keyframe_request(now + PATIENCE * 9));
    }
}
