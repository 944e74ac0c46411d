//! Packets that were taken in and not yet sent on.
//!
//! What a batch of datagrams brought leaves subscriber by subscriber: the keys and numbers of one are then read once for many
//! packets, its packets stand next to one another and form trains, and what was composed is still in the processor's cache
//! when it is sent. Audio of all comes before video of anyone.

use crate::egress::packet::PacketInfo;
use crate::ingress::track::Track;
use crate::limits::ENCODINGS_MAX;
use crate::params::MediaKind;
use crate::worker::keys::{PeerKey, TrackKey};
use slotmap::SlotMap;

/// Packets that differ by more are left as they are: padding costs bandwidth, a train saves a system call.
pub(crate) const PADDING_LEN_MAX: usize = 16;

/// Packets that may wait, or one more: a few frames. Their bytes must still be in the ingress cache when their turn comes.
pub(super) const PACKETS_MAX: usize = 256;

struct Waiting {
    info: PacketInfo,
    /// Bytes of padding that make it as long as its neighbours.
    padding_len: usize,
    /// The next one of the same stream.
    next: Option<u32>,
}

/// The first and the last packet of a stream that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Queue {
    first: u32,
    last: u32,
}

/// What waits of a track, by encoding: a subscriber looks at those of its own encoding and at no others.
pub(crate) type Queues = [Option<Queue>; ENCODINGS_MAX];

/// Packets of one stream, one after the other, that are about equally long.
struct Run {
    first: u32,
    shortest: usize,
    longest: usize,
}

impl Run {
    fn takes(&self, len: usize) -> bool {
        self.longest.max(len) - self.shortest.min(len) <= PADDING_LEN_MAX
    }

    fn extend(&mut self, len: usize) {
        self.shortest = self.shortest.min(len);
        self.longest = self.longest.max(len);
    }
}

/// How far a round of sending is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// Packets are taken in.
    #[default]
    Gathering,
    /// Those of one kind are sent; `next` is the next of [`Pending::peers`].
    Sending { kind: MediaKind, next: usize },
}

#[derive(Default)]
pub(super) struct Pending {
    packets: Vec<Waiting>,
    /// In the order of their first packets.
    audio: Vec<TrackKey>,
    video: Vec<TrackKey>,
    /// Tracks that have just started: whoever could not start with what waits needs a keyframe.
    started: Vec<TrackKey>,
    /// Who gets something of the present stage.
    peers: Vec<PeerKey>,
    stage: Stage,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether a further packet can be taken in before what is there is sent.
    pub(super) fn takes_more(&self) -> bool {
        self.stage == Stage::Gathering && self.packets.len() < PACKETS_MAX
    }

    /// Only when it [takes more](Self::takes_more).
    pub(super) fn push(&mut self, key: TrackKey, track: &mut Track, info: PacketInfo) {
        if track.waiting.iter().all(Option::is_none) {
            self.tracks(track.kind).push(key);
        }
        let is_late = !info.is_newest && track.streams.len() > 1;
        let Some(queue) = track.waiting.get_mut(info.stream) else { return };
        self.append(queue, info);
        if is_late {
            self.append(&mut track.late, info);
        }
    }

    fn append(&mut self, queue: &mut Option<Queue>, info: PacketInfo) {
        let index = self.packets.len() as u32;
        self.packets.push(Waiting { info, padding_len: 0, next: None });
        match queue {
            Some(queue) => {
                if let Some(last) = self.packets.get_mut(queue.last as usize) {
                    last.next = Some(index);
                }
                queue.last = index;
            }
            None => *queue = Some(Queue { first: index, last: index }),
        }
    }

    pub(super) fn note_started(&mut self, key: TrackKey) {
        self.started.push(key);
    }

    /// The packets of one stream of a track, oldest first, each with the padding that makes trains of them.
    pub(super) fn packets_of(&self, queue: Option<Queue>) -> impl Iterator<Item = (&PacketInfo, usize)> {
        let mut next = queue.map(|queue| queue.first);
        std::iter::from_fn(move || {
            let waiting = self.packets.get(next? as usize)?;
            next = waiting.next;
            Some((&waiting.info, waiting.padding_len))
        })
    }

    /// Of the first packet of each stream, with padding: the longest.
    pub(super) fn first_len(&self, track: &Track) -> usize {
        let firsts = track.waiting.iter().filter_map(|queue| self.packets_of(*queue).next());
        firsts.map(|(info, padding_len)| info.payload_len() + padding_len).max().unwrap_or(0)
    }

    /// Encoders split a frame into packets that differ by a byte or two. With padding (RFC 3550 section 5.1) up to the longest
    /// of its neighbours, the frame leaves as one train. None becomes longer than one that came over the publisher's path.
    pub(super) fn equalise(&mut self, track: &Track) {
        for queue in track.waiting.iter().flatten() {
            self.equalise_stream(*queue);
        }
    }

    fn equalise_stream(&mut self, queue: Queue) {
        let mut next = Some(queue.first);
        let mut run: Option<Run> = None;
        while let Some((index, waiting)) = next.and_then(|index| Some((index, self.packets.get(index as usize)?))) {
            let len = waiting.info.payload_len();
            next = waiting.next;
            match run.as_mut().filter(|run| run.takes(len)) {
                Some(run) => run.extend(len),
                None => {
                    let ended = run.replace(Run { first: index, shortest: len, longest: len });
                    self.pad(ended, Some(index));
                }
            }
        }
        self.pad(run, None);
    }

    /// Makes the packets of a run, which goes up to `end`, equally long. The last of a train may be shorter.
    fn pad(&mut self, run: Option<Run>, end: Option<u32>) {
        let Some(run) = run else { return };
        let mut next = Some(run.first);
        while let Some(waiting) = next.and_then(|index| self.packets.get_mut(index as usize)) {
            next = waiting.next;
            if next == end {
                return;
            }
            waiting.padding_len = run.longest - waiting.info.payload_len();
        }
    }

    /// Goes on to the next kind. Returns its tracks, to be given back by [`Self::begin`]; `None` when all was sent.
    pub(super) fn next_kind(&mut self) -> Option<(MediaKind, Vec<TrackKey>)> {
        let kind = match self.stage {
            Stage::Gathering if self.packets.is_empty() => return None,
            Stage::Gathering => MediaKind::Audio,
            Stage::Sending { kind: MediaKind::Audio, .. } => MediaKind::Video,
            Stage::Sending { kind: MediaKind::Video, .. } => return None,
        };
        self.peers.clear();
        Some((kind, std::mem::take(self.tracks(kind))))
    }

    /// Sending to the peers that were [added](Self::add_peer) begins.
    pub(super) fn begin(&mut self, kind: MediaKind, tracks: Vec<TrackKey>) {
        *self.tracks(kind) = tracks;
        self.stage = Stage::Sending { kind, next: 0 };
    }

    pub(super) fn add_peer(&mut self, key: PeerKey) {
        self.peers.push(key);
    }

    /// The next peer of this stage.
    pub(super) fn next_peer(&mut self) -> Option<PeerKey> {
        let Stage::Sending { next, .. } = &mut self.stage else { return None };
        let key = *self.peers.get(*next)?;
        *next += 1;
        Some(key)
    }

    /// Everything was sent: packets are taken in again. Returns the tracks that had just started.
    pub(super) fn finish(&mut self, tracks: &mut SlotMap<TrackKey, Track>) -> Vec<TrackKey> {
        for key in self.audio.drain(..).chain(self.video.drain(..)) {
            if let Some(track) = tracks.get_mut(key) {
                (track.waiting, track.late) = (Queues::default(), None);
            }
        }
        self.packets.clear();
        self.peers.clear();
        self.stage = Stage::Gathering;
        std::mem::take(&mut self.started)
    }

    fn tracks(&mut self, kind: MediaKind) -> &mut Vec<TrackKey> {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }
}
