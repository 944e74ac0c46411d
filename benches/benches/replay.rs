//! What a real browser sent, replayed: camera, microphone and screen of one publisher to fifty subscribers, its packets handed over
//! in the bursts in which they left, beside the bare seal of the same packets. Also says into how many trains they went: each is
//! a system call.

use aws_lc_rs::aead::LessSafeKey;
use consilium_benches::meeting::{Arrival, Meeting};
use consilium_benches::peer::{MEDIA_HEADER_LEN, Place};
use consilium_benches::seal::{TAG_LEN, keys, seal_into};
use consilium_benches::trace::{Trace, TracePacket};
use consilium_media_core::params::MediaKind;
use consilium_media_core::transport::identity::Identity;
use race::Race;
use std::time::{Duration, Instant};

mod race;

const TRACE: &str = include_str!("../traces/one-layer.txt");
const SUBSCRIBERS: usize = 50;
/// Longest packet that is sealed.
const PACKET_LEN_MAX: usize = 1_500;

/// The trace over and over. Each stream has a publisher of its own, which to a subscriber makes no difference.
struct Replay {
    trace: Trace,
    meeting: Meeting,
    frames: Vec<u64>,
    /// Streams' frame numbers of the round before this one.
    earlier: Vec<u64>,
    newest: Vec<Option<u64>>,
}

impl Replay {
    fn new(trace: Trace) -> Self {
        let identity = Identity::generate().expect("a certificate can be made");
        let mut meeting = Meeting::new(identity, 1, Instant::now());
        let streams = trace.streams.len();
        for _ in 0..streams + SUBSCRIBERS {
            meeting.join().expect("a peer can be made");
        }
        meeting.connect_all().expect("peers connect");
        for (member, name) in trace.streams.iter().enumerate() {
            let kind = if name == "microphone" { MediaKind::Audio } else { MediaKind::Video };
            meeting.publish_kind(member, kind, 0).expect("the constants are right");
        }
        for publisher in 0..streams {
            for subscriber in streams..streams + SUBSCRIBERS {
                meeting.subscribe(publisher, subscriber).expect("the constants are right");
            }
        }
        meeting.exchange().expect("peers stay connected");
        let frames = (0..streams).map(|stream| trace.frames(stream)).collect();
        Self { trace, meeting, frames, earlier: vec![0; streams], newest: vec![None; streams] }
    }

    /// One round through the trace; `hand_over` gets each burst.
    fn round(&mut self, mut hand_over: impl FnMut(&mut Meeting, &mut [Arrival])) {
        let trace = self.trace.clone();
        let mut before = Duration::ZERO;
        let mut checked = Duration::ZERO;
        for burst in trace.bursts() {
            let at = burst[0].at;
            if at - checked > Duration::from_secs(5) {
                checked = at;
                self.meeting.renew_consent().expect("peers stay connected");
            }
            let mut arrivals: Vec<Arrival> = burst.iter().filter_map(|packet| self.prepare(packet)).collect();
            self.meeting.set_burst_interval(at - before);
            before = at;
            hand_over(&mut self.meeting, &mut arrivals);
        }
        self.earlier.iter_mut().zip(&self.frames).for_each(|(earlier, frames)| *earlier += frames);
        self.meeting.renew_consent().expect("peers stay connected");
    }

    fn prepare(&mut self, packet: &TracePacket) -> Option<Arrival> {
        let frame = self.earlier[packet.stream] + packet.frame;
        let first = self.newest[packet.stream].replace(frame) != Some(frame);
        let place = Place { frame, first, last: packet.marker, payload_len: packet.payload_len };
        self.meeting.prepare_packet(packet.stream, place)
    }
}

fn forward(mut replay: Replay) -> race::Timed {
    Box::new(move |times| {
        let mut elapsed = Duration::ZERO;
        for _ in 0..times {
            let before = replay.meeting.stats().rtp_forwarded;
            replay.round(|meeting, burst| {
                let start = Instant::now();
                meeting.forward_burst(burst);
                meeting.run_timers();
                elapsed += start.elapsed();
            });
            let forwarded = replay.meeting.stats().rtp_forwarded - before;
            assert_eq!(forwarded, (replay.trace.packets.len() * SUBSCRIBERS) as u64, "everything is forwarded");
        }
        elapsed
    })
}

fn seal(trace: Trace) -> race::Timed {
    let keys: Vec<LessSafeKey> = keys(SUBSCRIBERS).expect("the key lengths are right");
    let payload = vec![9; PACKET_LEN_MAX];
    let mut out = vec![0; PACKET_LEN_MAX];
    let mut count = 0;
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            for packet in &trace.packets {
                let len = MEDIA_HEADER_LEN + packet.payload_len + TAG_LEN;
                for key in &keys {
                    count += 1;
                    seal_into(key, count, MEDIA_HEADER_LEN, &payload[..packet.payload_len], &mut out[..len])
                        .expect("the buffer has room");
                }
            }
        }
        start.elapsed()
    })
}

fn print_trains(replay: &mut Replay) {
    let (mut trains, mut packets) = (0, 0);
    replay.round(|meeting, burst| {
        let (more_trains, more_packets) = meeting.count_burst(burst);
        trains += more_trains;
        packets += more_packets;
    });
    let bursts = replay.trace.bursts().count();
    let per_train = packets as f64 / trains as f64;
    println!("{} packets left the browser in {bursts} bursts", replay.trace.packets.len());
    println!(
        "{packets} packets are sent in {trains} trains: {per_train:.2} packets each, {:.3} trains per packet",
        1.0 / per_train
    );
}

fn main() {
    let trace = Trace::read(TRACE).expect("the trace is in order");
    let mut replay = Replay::new(trace.clone());
    // Also the round in which caches and buffers get their size.
    print_trains(&mut replay);
    let units = (trace.packets.len() * SUBSCRIBERS) as u64;
    let name = format!("one browser to {SUBSCRIBERS}");
    race::run("packet", vec![Race { name, units, subject: forward(replay), floor: seal(trace) }]);
}
