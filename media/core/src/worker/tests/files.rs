//! A large file in a meeting one of whose members has a bad path: it comes to everybody at the pace of the slowest, ends
//! nobody, and what others write does not wait for it. Whole peers, DTLS and SCTP included, under virtual time.

use crate::batch::SendBatch;
use crate::control::{CloseReason, Command, DataChannelId, Event, Reliability};
use crate::ids::{PeerId, RoomId};
use crate::limits::CONSENT_TIMEOUT;
use crate::params::{DtlsRole, IceCredentials, Path, RemoteParameters};
use crate::transport::identity::Identity;
use crate::transport::tests::peer::{Peer, path};
use crate::worker::{Worker, WorkerConfig};
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Into what the client SDKs cut a file.
const CHUNK_LEN: usize = 15_000;
/// Of a file of 10 MB.
const CHUNKS: usize = 667;
/// What a room's task takes to pass a message on, on a busy machine.
const ROOM_DELAY: Duration = Duration::from_millis(20);
/// What a narrow path queues before it drops.
const QUEUE_MAX: Duration = Duration::from_millis(100);
/// How often those who write do.
const CHAT_EVERY: Duration = Duration::from_millis(250);
const CHAT: &[u8] = b"c";

const ANNA: usize = 0;
const BEN: usize = 1;
const FRITZ: usize = 2;

/// The way to a member and back.
#[derive(Clone, Copy)]
struct Link {
    delay: Duration,
    loss: f64,
    /// Towards the member.
    bps: Option<f64>,
    /// From when to when nothing passes, after the file began.
    outage: (Duration, Duration),
}

impl Link {
    const GOOD: Self =
        Self { delay: Duration::from_millis(5), loss: 0.0, bps: None, outage: (Duration::ZERO, Duration::ZERO) };
}

struct Member {
    id: PeerId,
    peer: Peer,
    channel: Option<DataChannelId>,
    link: Link,
    free_at: Instant,
    chunks: usize,
    /// The longest that something written was under way to it.
    chat_took: Duration,
}

enum Arrival {
    /// From a member.
    Worker(usize, Bytes),
    Member(usize, Path, Bytes),
    /// What a member sent, at the room.
    Room(usize, Bytes),
}

struct Meeting {
    worker: Worker,
    out: SendBatch,
    now: Instant,
    members: Vec<Member>,
    under_way: BTreeMap<(Instant, u64), Arrival>,
    number: u64,
    rng: SmallRng,
    file_began: Option<Instant>,
    closed: Vec<(PeerId, CloseReason)>,
}

impl Meeting {
    /// Anna, Ben and Fritz; all but Fritz have good paths.
    fn new(fritz: Link) -> Self {
        let now = crate::virtual_time::start();
        let identity = Identity::generate().unwrap();
        let config = WorkerConfig { identity, seed: 1, start: now, unix_start: Duration::from_secs(1_700_000_000) };
        let mut meeting = Self {
            worker: Worker::new(config),
            out: SendBatch::new(),
            now,
            members: vec![],
            under_way: BTreeMap::new(),
            number: 0,
            rng: SmallRng::seed_from_u64(1),
            file_began: None,
            closed: vec![],
        };
        [Link::GOOD, Link::GOOD, fritz].into_iter().for_each(|link| meeting.join(link));
        let is_there = |member: &Member| member.channel.is_some() && !member.peer.opened.is_empty();
        meeting.run_until(|meeting| meeting.members.iter().all(is_there));
        meeting
    }

    fn join(&mut self, link: Link) {
        let index = self.members.len();
        let id = PeerId::new(index as u64);
        let theirs = Identity::generate().unwrap();
        let mut peer = Peer::new(&theirs, DtlsRole::Client, index as u64, self.now);
        peer.port = index as u16 + 1;
        peer.username = format!("ours{index}:theirs");
        peer.open("_reliable", Reliability::Reliable);
        let remote = RemoteParameters {
            ice: IceCredentials { ufrag: "theirs".to_owned(), pwd: "unused".to_owned() },
            fingerprints: vec![theirs.fingerprint().clone()],
            dtls_role: DtlsRole::Server,
            max_message_size: 262_144,
        };
        let local = IceCredentials { ufrag: format!("ours{index}"), pwd: peer.pwd.clone() };
        self.command(Command::AddPeer { peer: id, room: RoomId::new(1), local });
        self.command(Command::SetRemote { peer: id, remote: Box::new(remote) });
        let (chunks, chat_took) = (0, Duration::ZERO);
        self.members.push(Member { id, peer, channel: None, link, free_at: self.now, chunks, chat_took });
    }

    fn command(&mut self, command: Command) {
        self.worker.handle_command(self.now, command, &mut self.out);
    }

    fn launch(&mut self, at: Instant, arrival: Arrival) {
        self.number += 1;
        self.under_way.insert((at, self.number), arrival);
    }

    /// When a datagram arrives that is sent now, if it does.
    fn passes(&mut self, member: usize, down_len: Option<usize>) -> Option<Instant> {
        let now = self.now;
        let Member { link, free_at, .. } = &mut self.members[member];
        let out = self.file_began.is_some_and(|began| (link.outage.0..link.outage.1).contains(&(now - began)));
        if out || self.rng.random_bool(link.loss) {
            return None;
        }
        let mut sent = now;
        if let (Some(bps), Some(len)) = (link.bps, down_len) {
            if *free_at > now + QUEUE_MAX {
                return None;
            }
            *free_at = now.max(*free_at) + Duration::from_secs_f64(len as f64 * 8.0 / bps);
            sent = *free_at;
        }
        Some(sent + link.delay)
    }

    /// Puts what everybody wants sent on its way, and takes the worker's events.
    fn collect(&mut self) {
        for member in 0..self.members.len() {
            for datagram in self.members[member].peer.poll_transmit(self.now) {
                if let Some(at) = self.passes(member, None) {
                    self.launch(at, Arrival::Worker(member, datagram));
                }
            }
            self.count_received(member);
        }
        let sent: Vec<(Path, Bytes)> = self
            .out
            .trains()
            .flat_map(|train| train.datagrams().map(|datagram| (train.path(), Bytes::copy_from_slice(datagram))))
            .collect();
        self.out.clear();
        for (to, datagram) in sent {
            let member = usize::from(to.remote.port()) - 1;
            if let Some(at) = self.passes(member, Some(datagram.len())) {
                self.launch(at, Arrival::Member(member, to, datagram));
            }
        }
        while let Some(event) = self.worker.poll_event() {
            match event.event {
                Event::DataChannelOpened { peer, channel, .. } => {
                    self.members[peer.get() as usize].channel = Some(channel);
                }
                Event::Data { peer, payload, .. } => {
                    self.launch(self.now + ROOM_DELAY, Arrival::Room(peer.get() as usize, payload));
                }
                Event::PeerClosed { peer, reason } => self.closed.push((peer, reason)),
                _ => {}
            }
        }
    }

    fn count_received(&mut self, member: usize) {
        let now = self.now;
        let start = crate::virtual_time::start();
        let member = &mut self.members[member];
        for payload in member.peer.received.drain(..) {
            match payload.strip_prefix(CHAT) {
                Some(sent_at) => {
                    let sent_at = u64::from_be_bytes(sent_at.try_into().unwrap());
                    let took = (now - start).saturating_sub(Duration::from_micros(sent_at));
                    member.chat_took = member.chat_took.max(took);
                }
                None => member.chunks += 1,
            }
        }
    }

    fn step(&mut self) {
        self.collect();
        let timers = self.members.iter().filter_map(|member| member.peer.poll_timeout());
        let next = self.under_way.keys().map(|(at, _)| *at).take(1).chain(timers).chain(self.worker.poll_timeout());
        // Whoever sends does so all the time.
        self.now = self.now.max(next.min().unwrap()).min(self.now + Duration::from_millis(10));
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Arrival::Worker(member, datagram) => {
                    let from = path(member as u16 + 1);
                    self.worker.handle_datagram(self.now, from, &mut datagram.to_vec(), &mut self.out);
                }
                Arrival::Member(member, at, datagram) => {
                    self.members[member].peer.handle(self.now, at, &datagram);
                }
                Arrival::Room(from, payload) => self.relay(from, &payload),
            }
        }
        self.members.iter_mut().for_each(|member| member.peer.handle_timeout(self.now));
        self.worker.handle_timeout(self.now, &mut self.out);
    }

    fn relay(&mut self, from: usize, payload: &Bytes) {
        for member in (0..self.members.len()).filter(|member| *member != from) {
            let Member { id, channel, .. } = self.members[member];
            let channel = channel.unwrap();
            self.command(Command::SendData { peer: id, channel, binary: true, payload: payload.clone() });
        }
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = self.now + Duration::from_secs(10);
        while !done(self) {
            self.step();
            assert!(self.now < deadline, "nothing more happens: {:?}", self.closed);
        }
    }

    fn say(&mut self, member: usize, payload: &Bytes) -> bool {
        let Member { peer, channel, .. } = &mut self.members[member];
        peer.send(self.now, channel.unwrap(), payload)
    }

    fn has_all(&self, member: usize) -> bool {
        let Member { id, chunks, .. } = self.members[member];
        chunks == CHUNKS || self.closed.iter().any(|(closed, _)| *closed == id)
    }

    /// Anna sends a file as fast as she may, and Ben writes all the while. Returns how long it took until everybody who is
    /// still there had it.
    fn send_file(&mut self, limit: Duration) -> Duration {
        let chunk = Bytes::from(vec![0; CHUNK_LEN]);
        let began = self.now;
        self.file_began = Some(began);
        let mut sent = 0;
        let mut chat_at = began;
        while !self.has_all(BEN) || !self.has_all(FRITZ) {
            while sent < CHUNKS && self.say(ANNA, &chunk) {
                sent += 1;
            }
            if self.now >= chat_at {
                chat_at = self.now + CHAT_EVERY;
                let sent_at = (self.now - crate::virtual_time::start()).as_micros() as u64;
                assert!(self.say(BEN, &[CHAT, &sent_at.to_be_bytes()].concat().into()));
            }
            self.step();
            let arrived = (self.members[BEN].chunks, self.members[FRITZ].chunks);
            assert!(self.now < began + limit, "{arrived:?} of {CHUNKS} chunks with Ben and Fritz");
        }
        self.now - began
    }
}

/// Sends a file over Fritz's link, which is to take between so many seconds, and returns who was ended.
fn send_over(fritz: Link, seconds: Range<f64>) -> Vec<(PeerId, CloseReason)> {
    let mut meeting = Meeting::new(fritz);
    let took = meeting.send_file(Duration::from_secs_f64(seconds.end));
    assert!(took.as_secs_f64() >= seconds.start, "{took:?}");
    let chat_took = meeting.members[ANNA].chat_took;
    assert!(chat_took < Duration::from_millis(200), "what Ben wrote took {chat_took:?} to Anna");
    assert_eq!((meeting.members[BEN].chunks, meeting.members[ANNA].chunks), (CHUNKS, 0));
    meeting.closed
}

#[test]
fn over_good_paths_a_file_comes_at_the_rate_of_the_sender() {
    assert_eq!(send_over(Link::GOOD, 3.6..5.0), []);
}

#[test]
fn a_file_waits_for_a_path_that_is_slower_than_its_sender() {
    let fritz = Link { delay: Duration::from_millis(20), bps: Some(8e6), ..Link::GOOD };
    assert_eq!(send_over(fritz, 10.0..20.0), []);
}

#[test]
fn a_file_waits_for_a_path_that_loses_packets() {
    // About 2 Mbit/s is all that SCTP's congestion control makes of it.
    let fritz = Link { delay: Duration::from_millis(50), loss: 0.01, ..Link::GOOD };
    assert_eq!(send_over(fritz, 20.0..90.0), []);
}

#[test]
fn a_file_waits_for_a_path_that_is_interrupted() {
    let fritz = Link { outage: (Duration::from_millis(1_500), Duration::from_millis(4_500)), ..Link::GOOD };
    assert_eq!(send_over(fritz, 4.5..15.0), []);
}

#[test]
fn a_file_goes_on_once_a_dead_path_is_given_up_for_want_of_consent() {
    let fritz = Link { outage: (Duration::from_secs(1), Duration::from_secs(3_600)), ..Link::GOOD };
    let seconds = CONSENT_TIMEOUT.as_secs_f64();
    let ended = (PeerId::new(FRITZ as u64), CloseReason::ConsentExpired);
    assert_eq!(send_over(fritz, seconds - 5.0..seconds + 10.0), [ended]);
}

/// It takes less than what comes while the others wait, so it never catches up.
#[test]
fn a_file_waits_for_nobody_without_end() {
    let fritz = Link { bps: Some(1e5), ..Link::GOOD };
    let ended = (PeerId::new(FRITZ as u64), CloseReason::DataBacklog);
    assert_eq!(send_over(fritz, 60.0..75.0), [ended]);
}
