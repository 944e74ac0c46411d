//! Sound over bad paths: what redundancy and retransmission leave missing.

use super::*;
use crate::control::{PathState, SilentCause};
use crate::params::ReceiveSection;
use crate::wire::rtcp::FirEntry;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = 960;
/// One way, each side.
const DELAY: Duration = Duration::from_millis(20);
/// From a frame's being sent to its being played: the way, and what a jitter buffer holds on such a path.
const PLAYOUT: Duration = Duration::from_millis(40 + 100);
/// As long as the scene's peers live without consent checks.
const FRAMES: u64 = 1_400;

/// Recognisable audio of about the size of Opus at 24 kbit/s.
pub(super) fn sound(n: u64) -> Vec<u8> {
    let mut data = vec![n as u8; 60];
    data[..8].copy_from_slice(&n.to_be_bytes());
    data
}

/// The sound of `n` with that of the one before it.
pub(super) fn red(n: u64) -> Vec<u8> {
    let earlier = sound(n.wrapping_sub(1));
    let word = u32::from(0x80 | OPUS) << 24 | FRAME_TICKS << 10 | earlier.len() as u32;
    let mut payload = word.to_be_bytes().to_vec();
    payload.push(OPUS);
    payload.extend(earlier);
    payload.extend(sound(n));
    payload
}

fn number(sound: &[u8]) -> u64 {
    u64::from_be_bytes(sound[..8].try_into().unwrap())
}

fn repaired_audio(track: u64) -> ReceiveSection {
    let mut section = audio(track);
    section.codecs.iter_mut().for_each(|codec| codec.nack = codec.codec == crate::params::Codec::Opus);
    section
}

/// A publisher (0) of redundant audio and two subscribers: with RED (1), and without (2).
fn scene() -> Scene {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.join();
    }
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![repaired_audio(1)] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(RED, false)]));
    subscribe(&mut scene, 2, 1, 2, send_parameters(OUT_RTX, None, &[(RED, true)]));
    scene
}

fn send_red(scene: &mut Scene, n: u64) {
    let level: &[u8] = &[20];
    let time = n as u32 * FRAME_TICKS;
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a"), (LEVEL_ID, level)];
    scene.send(0, &Rtp { payload_type: RED, ssrc: MEDIA, seq: 1_000 + n, time, extensions, payload: &red(n) });
}

/// What a subscriber has: packets and frames, and what it has asked for.
#[derive(Default)]
struct Ear {
    played_by: HashMap<u64, Instant>,
    highest: Option<u16>,
    got: HashSet<u16>,
    asked: HashMap<u16, Instant>,
}

impl Ear {
    fn hear(&mut self, at: Instant, packet: &crate::wire::rtp::RtpPacket<'_>, red: bool) {
        self.got.insert(packet.seq().get());
        self.highest = Some(self.highest.map_or(packet.seq().get(), |highest| highest.max(packet.seq().get())));
        let frames: Vec<u64> = match red {
            true => crate::codec::red::blocks(packet.payload()).unwrap().map(|block| number(block.data)).collect(),
            false => vec![number(packet.payload())],
        };
        for frame in frames {
            self.played_by.entry(frame).or_insert(at);
        }
    }

    /// What is missing of the last second, each number once per 60 ms.
    fn missing(&mut self, now: Instant) -> Vec<SeqNo> {
        let Some(highest) = self.highest else { return Vec::new() };
        let recent = highest.saturating_sub(20)..highest;
        let lost = recent.filter(|seq| !self.got.contains(seq) && *seq > self.got.iter().copied().min().unwrap());
        let due = |seq: &u16| self.asked.get(seq).is_none_or(|at| now.duration_since(*at) >= DELAY * 3);
        let lost: Vec<u16> = lost.filter(due).collect();
        self.asked.extend(lost.iter().map(|seq| (*seq, now)));
        lost.into_iter().map(SeqNo::new).collect()
    }
}

/// Something on its way, and when it arrives.
enum OnTheWay {
    Publish(u64),
    AskPublisher(Vec<SeqNo>),
    Deliver(usize, Vec<u8>),
    AskUs(usize, Vec<u8>),
}

/// The share of frames that were not there in time, per subscriber.
fn missing_after(loss: f64, seed: u64, with_nack: bool) -> [f64; 2] {
    let (mut scene, mut random) = (scene(), StdRng::seed_from_u64(seed));
    let t0 = scene.now;
    let mut way: Vec<(Instant, OnTheWay)> = Vec::new();
    let mut ears = [Ear::default(), Ear::default()];
    let (mut next, end) = (0, t0 + FRAME * FRAMES as u32 + Duration::from_secs(1));
    let mut lost = move || random.random_bool(loss);
    while scene.now < end {
        if next < FRAMES && scene.now >= t0 + FRAME * next as u32 {
            way.push((scene.now + DELAY, OnTheWay::Publish(next)));
            next += 1;
        }
        let now = scene.now;
        let (arriving, waiting) = way.into_iter().partition(|(at, _)| *at <= now);
        way = waiting;
        for (_, what) in arriving {
            // What we send is lost when it leaves, as the far side opens it then.
            if !matches!(what, OnTheWay::Deliver(..)) && lost() {
                continue;
            }
            match what {
                OnTheWay::Publish(n) => send_red(&mut scene, n),
                OnTheWay::AskPublisher(numbers) => {
                    let again = numbers.iter().map(|seq| OnTheWay::Publish(u64::from(seq.get()) - 1_000));
                    way.extend(again.map(|packet| (now + DELAY, packet)));
                }
                OnTheWay::Deliver(ear, packet) => {
                    let packet = crate::wire::rtp::RtpPacket::parse(&packet).unwrap();
                    ears[ear].hear(now, &packet, ear == 0);
                }
                OnTheWay::AskUs(ear, nack) => scene.send_rtcp(ear + 1, &nack),
            }
        }
        for (ear, media) in [(0, OUT), (1, OUT_RTX)] {
            let numbers = ears[ear].missing(now);
            if with_nack && !numbers.is_empty() {
                let nack = rtcp_packet(|rtcp| {
                    rtcp.nack(Ssrc::new(1), Ssrc::new(media), &numbers);
                });
                way.push((now + DELAY, OnTheWay::AskUs(ear, nack)));
            }
        }
        for (member, got) in scene.take_each(&mut lost).into_iter().enumerate() {
            for got in got {
                match got {
                    Got::Rtp(packet) => way.push((now + DELAY, OnTheWay::Deliver(member - 1, packet))),
                    Got::Rtcp(packet) if member == 0 && with_nack => {
                        for nack in compound(&packet).filter_map(|packet| match packet {
                            Ok(RtcpPacket::Nack(nack)) => Some(nack.lost().collect()),
                            _ => None,
                        }) {
                            way.push((now + DELAY, OnTheWay::AskPublisher(nack)));
                        }
                    }
                    Got::Rtcp(_) => {}
                }
            }
        }
        scene.pass(Duration::from_millis(5));
    }
    ears.map(|ear| {
        let in_time = (0..FRAMES).filter(|n| {
            let deadline = t0 + FRAME * *n as u32 + PLAYOUT;
            ear.played_by.get(n).is_some_and(|at| *at <= deadline)
        });
        1.0 - in_time.count() as f64 / FRAMES as f64
    })
}

#[test]
fn ten_percent_loss_both_ways_leaves_less_than_three_percent_of_the_sound_missing() {
    for seed in [1, 2] {
        let [with_red, without] = missing_after(0.1, seed, true);
        assert!(with_red < 0.02, "with RED, {with_red}");
        assert!(without < 0.04, "without RED, {without}");
        // Neither side asks for anything: redundancy alone.
        let [with_red, without] = missing_after(0.1, seed, false);
        assert!(with_red < 0.03, "with RED and no requests, {with_red}");
        assert!((0.05..0.15).contains(&without), "of 19% what was lost on the way down remains, {without}");
    }
}

#[test]
fn a_lost_packet_comes_out_of_the_next_for_those_with_and_without_red() {
    let mut scene = scene();
    [0, 1, 3].into_iter().for_each(|n| send_red(&mut scene, n));
    let got = scene.take_each(|| false);
    let (with_red, without) = (rtp(&got[1]), rtp(&got[2]));
    assert_eq!(with_red.iter().map(|packet| packet.payload().to_vec()).collect::<Vec<_>>(), [0, 1, 2, 3].map(red));
    assert_eq!(without.iter().map(|packet| number(packet.payload())).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for (n, packet) in without.iter().enumerate() {
        assert_eq!(packet.seq().get(), without[0].seq().get().wrapping_add(n as u16));
        assert_eq!(packet.timestamp().since(without[0].timestamp()), (n as u32 * FRAME_TICKS) as i32);
    }
    assert_eq!(scene.worker.stats().rtp_recovered, 1);
    // It is neither asked for, nor taken when it comes after all.
    scene.pass(Duration::from_millis(100));
    assert_eq!(count_rtcp(&scene.take(0), |packet| matches!(packet, RtcpPacket::Nack(_))), 0);
    send_red(&mut scene, 2);
    assert!(rtp(&scene.take(2)).is_empty());
    assert_eq!(scene.worker.stats().drops.get(DropReason::Duplicate), 1);
}

#[test]
fn of_a_longer_gap_the_end_is_repaired_and_the_rest_asked_for() {
    let mut scene = scene();
    [0, 3].into_iter().for_each(|n| send_red(&mut scene, n));
    let got = scene.take_each(|| false);
    assert_eq!(rtp(&got[2]).iter().map(|packet| number(packet.payload())).collect::<Vec<_>>(), [0, 2, 3]);
    scene.pass(Duration::from_millis(30));
    let asked = |packet: &RtcpPacket<'_>| matches!(packet, RtcpPacket::Nack(nack) if nack.lost().collect::<Vec<_>>() == [SeqNo::new(1_001)]);
    assert_eq!(count_rtcp(&scene.take(0), asked), 1);
}

#[test]
fn what_only_looks_like_redundancy_is_left_alone() {
    let mut scene = scene();
    send_red(&mut scene, 0);
    // Two lost, or one of twice the length: the block stands where no packet stood.
    let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a")];
    let time = 2 * FRAME_TICKS + 7;
    scene.send(0, &Rtp { payload_type: RED, ssrc: MEDIA, seq: 1_002, time, extensions, payload: &red(2) });
    assert_eq!(rtp(&scene.take(2)).len(), 2);
    assert_eq!(scene.worker.stats().rtp_recovered, 0);
}

#[test]
fn a_publisher_without_pli_is_asked_for_a_keyframe_with_fir_and_each_request_has_its_number() {
    let mut scene = Scene::new();
    let (_publisher, _subscriber) = (scene.join(), scene.join());
    let mut section = video(1, &[]);
    section.codecs.iter_mut().for_each(|codec| codec.fir_only = true);
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![section] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(VP8, false)]));
    send_video(&mut scene, 0, true);
    let pli = rtcp_packet(|rtcp| {
        rtcp.pli(Ssrc::new(1), Ssrc::new(OUT));
    });
    let firs = |got: &[Got], number: u8| {
        let entry = FirEntry { ssrc: Ssrc::new(MEDIA), seq_nr: number };
        count_rtcp(got, |packet| matches!(packet, RtcpPacket::Fir(fir) if fir.entries().eq([entry])))
    };
    scene.send_rtcp(1, &pli);
    scene.pass(KEYFRAME_REQUEST_INTERVAL);
    let got = scene.take(0);
    assert_eq!((firs(&got, 1), count_rtcp(&got, is_pli)), (2, 0));
    send_video(&mut scene, 1, true);
    scene.pass(KEYFRAME_REQUEST_INTERVAL * 3);
    scene.send_rtcp(1, &pli);
    assert_eq!(firs(&scene.take(0), 2), 1);
}

/// A publisher (0) speaks for so long, as Opus.
fn speak(scene: &mut Scene, first: u64, seconds: u64) {
    for n in first..first + seconds * 50 {
        let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a"), (LEVEL_ID, &[25])];
        let (seq, time) = (1_000 + n, n as u32 * FRAME_TICKS);
        scene.send(0, &Rtp { payload_type: OPUS, ssrc: MEDIA, seq, time, extensions, payload: &sound(n) });
        scene.out.clear();
        scene.pass(FRAME);
        scene.out.clear();
    }
}

fn paths(scene: &mut Scene) -> Vec<(Option<SubscriptionId>, PathState)> {
    let events = scene.events().into_iter();
    let paths = events.filter_map(|event| match event {
        Event::AudioPath { subscription, state, .. } => Some((subscription, state)),
        _ => None,
    });
    paths.collect()
}

#[test]
fn speech_of_which_one_subscriber_gets_nothing_is_told_and_counted() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.join();
    }
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![audio(1)] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(OPUS, false)]));
    // It knows no payload type of the publisher's that is sent.
    subscribe(&mut scene, 2, 1, 2, send_parameters(OUT_RTX, None, &[(RED, false)]));
    speak(&mut scene, 0, 6);
    let deaf = Some(SubscriptionId::new(2));
    assert_eq!(paths(&mut scene), [(deaf, PathState::Silent(SilentCause::NotForwarded))]);
    let stats = scene.worker.stats();
    assert_eq!((stats.audio_paths_silent, stats.audio_paths_fell_silent), (1, [0, 1, 0]));
    scene.command(Command::SetTrackMuted { track: TrackId::new(1), muted: true });
    scene.pass(Duration::from_secs(2));
    assert_eq!(paths(&mut scene), [(deaf, PathState::Over)]);
    assert_eq!(scene.worker.stats().audio_paths_silent, 0);
}

#[test]
fn a_publisher_who_is_there_and_sends_nothing_is_told_and_who_left_is_not() {
    let mut scene = Scene::new();
    for _ in 0..2 {
        scene.join();
    }
    scene.command(Command::SetReceive { peer: scene.peer(0), sections: vec![audio(1)] });
    subscribe(&mut scene, 1, 1, 1, send_parameters(OUT, None, &[(OPUS, false)]));
    speak(&mut scene, 0, 3);
    let report = rtcp_packet(|rtcp| {
        rtcp.receiver_report(Ssrc::new(1), &[]);
    });
    for _ in 0..10 {
        scene.pass(Duration::from_secs(1));
        scene.out.clear();
        scene.send_rtcp(0, &report);
    }
    assert_eq!(paths(&mut scene), [(None, PathState::Silent(SilentCause::Uplink))]);
    assert_eq!(scene.worker.stats().audio_paths_silent, 1);
    for member in [0, 1] {
        scene.command(Command::RemovePeer { peer: scene.peer(member) });
    }
    assert_eq!(scene.worker.stats().audio_paths_silent, 0);
    assert_eq!(paths(&mut scene), []);
}

/// Publishers (0, 1, 2) of a room that forwards its two loudest, and a subscriber (3) of all.
fn loudest_scene() -> Scene {
    let mut scene = Scene::new();
    for _ in 0..4 {
        scene.join();
    }
    scene.command(Command::SetLoudest { room: ROOM, loudest: 2 });
    for publisher in 0..3_u64 {
        let peer = scene.peer(publisher as usize);
        scene.command(Command::SetReceive { peer, sections: vec![audio(publisher + 1)] });
        let send = send_parameters(OUT + publisher as u32, None, &[(OPUS, false)]);
        subscribe(&mut scene, publisher + 1, publisher + 1, 3, send);
    }
    scene
}

/// All publishers send a packet at these levels, numbered `n`. Returns what the subscriber got: of whom, its number, its time.
fn round(scene: &mut Scene, n: u64, levels: [u8; 3]) -> Vec<(usize, u16, u32)> {
    for (publisher, level) in levels.into_iter().enumerate() {
        let extensions: &[(u8, &[u8])] = &[(MID_ID, b"a"), (LEVEL_ID, &[level])];
        let (ssrc, time) = (MEDIA + publisher as u32, n as u32 * FRAME_TICKS);
        scene.take_in(publisher, &Rtp { payload_type: OPUS, ssrc, seq: n, time, extensions, payload: &sound(n) });
    }
    while scene.worker.poll_transmit(scene.now, &mut scene.out) {}
    let got = scene.take(3);
    scene.pass(FRAME);
    scene.out.clear();
    let entry = |packet: &crate::wire::rtp::RtpPacket<'_>| {
        ((packet.ssrc().get() - OUT) as usize, packet.seq().get(), packet.timestamp().get())
    };
    rtp(&got).iter().map(entry).collect()
}

fn speakers(got: &[(usize, u16, u32)]) -> Vec<usize> {
    let mut all: Vec<usize> = got.iter().map(|(publisher, ..)| *publisher).collect();
    all.sort_unstable();
    all
}

#[test]
fn the_loudest_are_forwarded_from_their_first_loud_packet_on_without_gaps() {
    const QUIET: u8 = 70;
    let mut scene = loudest_scene();
    let mut by_publisher: [Vec<(u16, u32)>; 3] = Default::default();
    let mut n = 100;
    let mut rounds = |scene: &mut Scene, count: u64, levels: [u8; 3], want: &[usize]| {
        for _ in 0..count {
            let got = round(scene, n, levels);
            assert_eq!(speakers(&got), want, "packet {n} at {levels:?}");
            got.iter().for_each(|(publisher, seq, time)| by_publisher[*publisher].push((*seq, *time)));
            n += 1;
        }
    };
    rounds(&mut scene, 20, [QUIET; 3], &[]);
    rounds(&mut scene, 50, [20, QUIET, QUIET], &[0]);
    rounds(&mut scene, 50, [20, 25, QUIET], &[0, 1]);
    // As loud as those who speak: there is no place. Between their words there is none either.
    rounds(&mut scene, 50, [20, 25, 22], &[0, 1]);
    rounds(&mut scene, 25, [QUIET, QUIET, 22], &[0, 1]);
    rounds(&mut scene, 25, [20, QUIET, QUIET], &[0, 1]);
    // One has been quiet for a second: the next word of another is not clipped.
    rounds(&mut scene, 1, [20, QUIET, QUIET], &[0, 1]);
    // The packet of whoever makes room had left before.
    rounds(&mut scene, 1, [20, QUIET, 30], &[0, 1, 2]);
    rounds(&mut scene, 50, [20, QUIET, 30], &[0, 2]);
    // Much louder than somebody who speaks.
    rounds(&mut scene, 50, [20, 10, 30], &[0, 1]);
    for (publisher, packets) in by_publisher.iter().enumerate() {
        let in_order = |pair: &[(u16, u32)]| pair[1].0 == pair[0].0.wrapping_add(1) && pair[1].1 > pair[0].1;
        assert!(packets.windows(2).all(in_order), "publisher {publisher}: {packets:?}");
        let ticks = packets.windows(2).map(|pair| pair[1].1 - pair[0].1);
        assert!(ticks.into_iter().all(|ticks| ticks % FRAME_TICKS == 0), "the source's own time");
    }
    assert!(scene.worker.stats().drops.get(DropReason::NotLoudest) > 0);
    assert_eq!(paths(&mut scene), [], "left out on purpose");
}

#[test]
fn of_a_track_that_was_left_out_nothing_older_comes_after() {
    let mut scene = loudest_scene();
    assert_eq!(speakers(&round(&mut scene, 100, [20, 70, 70])), [0]);
    assert_eq!(speakers(&round(&mut scene, 103, [20, 20, 70])), [0, 1]);
    // Late, and from before the second one entered.
    assert_eq!(speakers(&round(&mut scene, 102, [20, 20, 70])), [0]);
}
