//! Workers, clients and the network between them, under virtual time: what happens next is done next, and nothing else makes
//! time pass.

use crate::client::Client;
use crate::client::publish::{self, OPUS, RED, VP8, VP8_RTX, audio_track, payload_type, video_track};
use crate::client::receive::Announced;
use crate::oracle::numbers::Numbers;
use crate::scenario::{Scenario, Step};
use consilium_benches::link::{Link, LinkParameters};
use consilium_benches::random::Random;
use consilium_media_core::batch::SendBatch;
use consilium_media_core::control::{Command, RoomEvent};
use consilium_media_core::ids::{Mid, RoomId, Ssrc, SubscriptionId};
use consilium_media_core::params::{IceCredentials, MediaKind, PayloadMapping, SendParameters};
use consilium_media_core::transport::identity::Identity;
use consilium_media_core::worker::{Worker, WorkerConfig};
use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Making one costs as much as a small scenario; all servers may share it.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate().unwrap());

/// IPv4 and UDP.
const HEADERS_LEN: usize = 28;
/// Of datagrams of the handshake, which do not pass the link: their lengths and contents come from a generator that no seed
/// reaches, and would make each run another one.
const HANDSHAKE_DELAY: Duration = Duration::from_millis(10);

struct Place {
    worker: Worker,
    out: SendBatch,
}

/// One direction between a client and the server.
struct Path {
    link: Link<Vec<u8>>,
    handshake: VecDeque<(Instant, Vec<u8>)>,
}

impl Path {
    fn new(parameters: LinkParameters, seed: u64, start: Instant) -> Self {
        Self { link: Link::new(parameters, seed, start), handshake: VecDeque::new() }
    }

    fn push(&mut self, now: Instant, datagram: Vec<u8>) {
        if matches!(datagram.first(), Some(20..=63)) {
            self.handshake.push_back((now + HANDSHAKE_DELAY, datagram));
        } else {
            self.link.push(now, datagram.len() + HEADERS_LEN, datagram);
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        let arrived = self.handshake.pop_front_if(|(due, _)| *due <= now);
        arrived.map(|(_, datagram)| datagram).or_else(|| self.link.pop(now))
    }

    fn next_due(&self) -> Option<Instant> {
        let handshake = self.handshake.front().map(|(due, _)| *due);
        [handshake, self.link.next_due()].into_iter().flatten().min()
    }
}

/// What happened, for a person who looks into a failing seed, and for comparison.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "what is in it is shown")]
pub(crate) enum Entry {
    Step(Step),
    Joined(usize),
    Left(usize),
    Event(RoomEvent),
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    places: Vec<Place>,
    /// By person, once joined.
    pub(crate) clients: Vec<Option<Client>>,
    up: Vec<Path>,
    down: Vec<Path>,
    /// What was sent to each.
    pub(crate) numbers: Vec<Numbers>,
    agenda: VecDeque<(Instant, Item)>,
    pub(crate) log: Vec<(Duration, Entry)>,
    random: Random,
}

#[derive(Clone)]
enum Item {
    Join(usize),
    Leave(usize),
    Step(Step),
}

impl World {
    /// Rooms are spread over so many workers.
    pub(crate) fn new(scenario: Scenario, workers: usize) -> Self {
        let start = Instant::now();
        let mut random = Random::new(scenario.seed);
        let place = |index| {
            let config = WorkerConfig {
                identity: IDENTITY.clone(),
                seed: scenario.seed.wrapping_add(index as u64),
                start,
                unix_start: Duration::from_secs(1_700_000_000),
            };
            Place { worker: Worker::new(config), out: SendBatch::new() }
        };
        let places = (0..workers).map(place).collect();
        let mut path = |parameters: &LinkParameters| Path::new(parameters.clone(), random.next_u64(), start);
        let up = scenario.people.iter().map(|person| path(&person.up)).collect();
        let down = scenario.people.iter().map(|person| path(&person.down)).collect();
        let people = scenario.people.iter().enumerate();
        let mut agenda: Vec<(Duration, Item)> =
            people.clone().map(|(index, person)| (person.joins, Item::Join(index))).collect();
        agenda.extend(people.filter_map(|(index, person)| Some((person.leaves?, Item::Leave(index)))));
        agenda.extend(scenario.steps.iter().map(|(at, step)| (*at, Item::Step(step.clone()))));
        agenda.sort_by_key(|(at, _)| *at);
        Self {
            start,
            now: start,
            places,
            clients: scenario.people.iter().map(|_| None).collect(),
            up,
            down,
            numbers: scenario.people.iter().map(|_| Numbers::default()).collect(),
            agenda: agenda.into_iter().map(|(at, item)| (start + at, item)).collect(),
            log: Vec::new(),
            random,
            scenario,
        }
    }

    /// To the end of the scenario.
    pub(crate) fn run(&mut self) {
        let end = self.start + self.scenario.length;
        while let Some(next) = self.next_due().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.turn();
        }
        self.now = end;
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn next_due(&self) -> Option<Instant> {
        let agenda = self.agenda.front().map(|(at, _)| *at);
        let workers = self.places.iter().filter_map(|place| place.worker.poll_timeout());
        let paths = self.up.iter().chain(&self.down).filter_map(Path::next_due);
        let clients = self.clients.iter().flatten().filter_map(Client::next_due);
        workers.chain(paths).chain(clients).chain(agenda).min()
    }

    fn turn(&mut self) {
        let now = self.now;
        while let Some((_, item)) = self.agenda.pop_front_if(|(at, _)| *at <= now) {
            self.serve(item);
        }
        for (index, path) in self.up.iter_mut().enumerate() {
            while let Some(mut datagram) = path.pop(now) {
                let Some(client) = self.clients[index].as_ref().filter(|client| !client.gone) else { continue };
                let index = client.room.get() as usize % self.places.len();
                let place = &mut self.places[index];
                place.worker.handle_datagram(now, client.path, &mut datagram, &mut place.out);
            }
        }
        self.run_workers();
        for (index, path) in self.down.iter_mut().enumerate() {
            while let Some(datagram) = path.pop(now) {
                if let Some(client) = self.clients[index].as_mut().filter(|client| !client.gone) {
                    client.handle_datagram(now, datagram);
                }
            }
        }
        for (index, client) in self.clients.iter_mut().enumerate() {
            let Some(client) = client.as_mut().filter(|client| !client.gone) else { continue };
            for datagram in client.run(now) {
                self.up[index].push(now, datagram);
            }
        }
    }

    fn run_workers(&mut self) {
        let now = self.now;
        for place in &mut self.places {
            if place.worker.poll_timeout().is_some_and(|at| at <= now) {
                place.worker.handle_timeout(now, &mut place.out);
            }
            while place.worker.poll_transmit(now, &mut place.out) {}
            for train in place.out.trains() {
                let remote = train.path().remote;
                let receiver = self.clients.iter().flatten().find(|client| client.path.remote == remote);
                let Some(index) = receiver.map(|client| client.index) else { continue };
                for datagram in train.datagrams() {
                    self.numbers[index].sent(now - self.start, datagram);
                    self.down[index].push(now, datagram.to_vec());
                }
            }
            place.out.clear();
            while let Some(event) = place.worker.poll_event() {
                self.log.push((now - self.start, Entry::Event(event)));
            }
        }
    }

    fn command(&mut self, room: RoomId, command: Command) {
        let index = room.get() as usize % self.places.len();
        let place = &mut self.places[index];
        place.worker.handle_command(self.now, command, &mut place.out);
    }

    fn serve(&mut self, item: Item) {
        let at = self.elapsed();
        match item {
            Item::Join(index) => {
                self.log.push((at, Entry::Joined(index)));
                self.join(index);
            }
            Item::Leave(index) => {
                self.log.push((at, Entry::Left(index)));
                self.leave(index);
            }
            Item::Step(step) => {
                self.log.push((at, Entry::Step(step.clone())));
                self.step(step);
            }
        }
    }

    fn join(&mut self, index: usize) {
        let person = self.scenario.people[index].clone();
        let room = RoomId::new(person.room);
        let mut client = Client::new(index, room, self.random.next_u64(), self.now, self.scenario.patience);
        let local = IceCredentials { ufrag: self.random.letters(8), pwd: self.random.letters(24) };
        let remote = Box::new(client.peer.remote_parameters());
        let id = client.id;
        let sections = client.publisher.publish(index, person.audio, person.video, person.by_ssrc, self.now);
        self.command(room, Command::AddPeer { peer: id, room, local: local.clone() });
        self.command(room, Command::SetRemote { peer: id, remote });
        self.command(room, Command::SetReceive { peer: id, sections });
        client.peer.connect(self.now, local, IDENTITY.fingerprint().clone());
        self.clients[index] = Some(client);
        for other in self.present(room) {
            if other != index {
                self.subscribe(other, index);
                self.subscribe(index, other);
            }
        }
    }

    fn present(&self, room: RoomId) -> Vec<usize> {
        let here = self.clients.iter().flatten().filter(|client| client.room == room && !client.gone);
        here.map(|client| client.index).collect()
    }

    fn leave(&mut self, index: usize) {
        let Some(client) = self.clients[index].as_mut() else { return };
        client.gone = true;
        let (room, id, now) = (client.room, client.id, self.now);
        self.command(room, Command::RemovePeer { peer: id });
        for other in self.clients.iter_mut().flatten() {
            other.receiver.withdraw(now, index);
        }
    }

    fn subscribe(&mut self, publisher: usize, receiver: usize) {
        let person = self.scenario.people[publisher].clone();
        let video = person.video.map(|plan| (MediaKind::Video, plan.rtx));
        let kinds = [person.audio.map(|_| (MediaKind::Audio, false)), video];
        for (kind, rtx) in kinds.into_iter().flatten() {
            let subscription = subscription(publisher, receiver, kind);
            let number = subscription.get() as u32;
            let (ssrc, rtx_ssrc) = (Ssrc::new(0x8000_0000 + number), Ssrc::new(0xc000_0000 + number));
            let rtx_ssrc = rtx.then_some(rtx_ssrc);
            let (payload, track) = match kind {
                MediaKind::Audio => (OPUS, audio_track(publisher)),
                MediaKind::Video => (VP8, video_track(publisher)),
            };
            let rtx = rtx_ssrc.map(|_| payload_type(VP8_RTX));
            let mapping = |number: u8| PayloadMapping {
                from: payload_type(number),
                to: payload_type(number),
                rtx,
                strip_red: false,
            };
            let is_redundant = kind == MediaKind::Audio && person.audio.is_some_and(|plan| plan.redundant);
            let payloads = is_redundant.then_some(RED).into_iter().chain([payload]).map(mapping).collect();
            let send = SendParameters {
                mid: Mid::new(number.to_string().as_bytes()).unwrap(),
                ssrc,
                rtx_ssrc,
                cname: format!("person{publisher}"),
                payloads,
                extensions: publish::extensions(),
            };
            let Some(client) = self.clients[receiver].as_mut() else { return };
            client.receiver.announce(self.now, Announced { kind, publisher, ssrc, rtx: rtx_ssrc });
            self.numbers[receiver].announce(ssrc, kind);
            let (room, peer) = (client.room, client.id);
            self.command(room, Command::Subscribe { subscription, track, peer, send: Box::new(send) });
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Limit { publisher, receiver, limit, paused } => {
                let room = RoomId::new(self.scenario.people[receiver].room);
                let subscription = subscription(publisher, receiver, MediaKind::Video);
                self.command(room, Command::SetSubscription { subscription, paused, limit, priority: 0 });
            }
            Step::Mute { publisher, muted } => {
                let room = RoomId::new(self.scenario.people[publisher].room);
                self.command(room, Command::SetTrackMuted { track: video_track(publisher), muted });
            }
            Step::Link { person, up, parameters } => {
                let path = if up { &mut self.up[person] } else { &mut self.down[person] };
                path.link.set_parameters(self.now, parameters);
            }
        }
    }
}

fn subscription(publisher: usize, receiver: usize, kind: MediaKind) -> SubscriptionId {
    let kind = match kind {
        MediaKind::Audio => 0,
        MediaKind::Video => 1,
    };
    SubscriptionId::new((publisher * 200 + receiver * 2 + kind + 1) as u64)
}
