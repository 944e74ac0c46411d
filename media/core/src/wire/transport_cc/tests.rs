//! Feedback is read back with the protocol library's parser and compared with what was recorded.

use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc};
use rtc::shared::marshal::Unmarshal;
use std::collections::BTreeMap;

const SENDER: Ssrc = Ssrc::new(0x1111_2222);
const MEDIA: Ssrc = Ssrc::new(0x3333_4444);

/// One packet as the far side understands it: arrival in ticks by sequence number, `None` for lost.
struct Read {
    base: u16,
    count: u8,
    statuses: Vec<(u16, Option<i64>)>,
}

fn read(packet: &[u8]) -> Read {
    assert_eq!(packet.len() % 4, 0);
    assert!(packet.len() <= FEEDBACK_LEN_MAX);
    assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])) * 4 + 4, packet.len());
    let parsed = TransportLayerCc::unmarshal(&mut &packet[..]).unwrap();
    assert_eq!((parsed.sender_ssrc, parsed.media_ssrc), (SENDER.get(), MEDIA.get()));
    let mut symbols = Vec::new();
    for chunk in &parsed.packet_chunks {
        match chunk {
            PacketStatusChunk::RunLengthChunk(run) => {
                assert!(run.run_length > 0);
                symbols.extend((0..run.run_length).map(|_| run.packet_status_symbol));
            }
            PacketStatusChunk::StatusVectorChunk(vector) => symbols.extend(&vector.symbol_list),
        }
    }
    let count = usize::from(parsed.packet_status_count);
    assert!(symbols.len() >= count && symbols.len() < count + ONE_BIT_SYMBOLS);
    assert!(symbols[count..].iter().all(|symbol| *symbol == SymbolTypeTcc::PacketNotReceived));
    assert_ne!(symbols[count - 1], SymbolTypeTcc::PacketNotReceived);
    let mut deltas = parsed.recv_deltas.iter();
    let mut ticks = i64::from(parsed.reference_time) * 256;
    let statuses = symbols[..count].iter().enumerate().map(|(index, symbol)| {
        let arrival = (*symbol != SymbolTypeTcc::PacketNotReceived).then(|| {
            ticks += deltas.next().unwrap().delta / 250;
            ticks
        });
        (parsed.base_sequence_number.wrapping_add(index as u16), arrival)
    });
    let statuses = statuses.collect();
    assert!(deltas.next().is_none());
    Read { base: parsed.base_sequence_number, count: parsed.fb_pkt_count, statuses }
}

fn drain(recorder: &mut TransportCcRecorder) -> Vec<Read> {
    let mut reads = Vec::new();
    loop {
        let mut out = vec![0xaa; 3];
        let pending = recorder.has_pending();
        if !recorder.build(SENDER, MEDIA, &mut out) {
            assert!(!pending);
            assert_eq!(out, [0xaa; 3]);
            return reads;
        }
        assert!(pending);
        reads.push(read(&out[3..]));
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn recorded(arrivals: &[(u64, u16)]) -> TransportCcRecorder {
    let mut recorder = TransportCcRecorder::new();
    for &(at, seq) in arrivals {
        recorder.record(ms(at), SeqNo::new(seq));
    }
    recorder
}

#[test]
fn nothing_received_makes_no_feedback() {
    let mut recorder = TransportCcRecorder::new();
    assert!(!recorder.build(SENDER, MEDIA, &mut Vec::new()));
    recorder.record(ms(5), SeqNo::new(9));
    assert_eq!(drain(&mut recorder).len(), 1);
    assert!(!recorder.build(SENDER, MEDIA, &mut Vec::new()));
}

#[test]
fn the_bytes_are_those_of_the_draft() {
    // 1,000 ms is reference 15 (960 ms) and 160 ticks; then 10 ms, a loss, 70 ms: 280 ticks, a large delta.
    let mut recorder = recorded(&[(1_000, 7), (1_010, 8), (1_080, 10)]);
    let mut out = Vec::new();
    assert!(recorder.build(SENDER, MEDIA, &mut out));
    let want = [
        [0x8f, 205, 0, 6],
        [0x11, 0x11, 0x22, 0x22],
        [0x33, 0x33, 0x44, 0x44],
        [0, 7, 0, 4],
        [0, 0, 15, 0],
        // Two-bit vector: 01 01 00 10 00 00 00.
        [0xd4, 0x80, 160, 40],
        [0x01, 0x18, 0, 0],
    ];
    assert_eq!(out, want.concat());
}

#[test]
fn losses_between_two_feedbacks_are_reported_by_the_second() {
    let mut recorder = recorded(&[(0, 65_534), (1, 65_535)]);
    drain(&mut recorder);
    recorder.record(ms(9), SeqNo::new(2));
    let reads = drain(&mut recorder);
    assert_eq!((reads[0].base, reads[0].count), (0, 1));
    assert_eq!(reads[0].statuses, [(0, None), (1, None), (2, Some(36))]);
}

#[test]
fn a_late_packet_is_reported_by_the_next_feedback_with_what_followed_it() {
    let mut recorder = recorded(&[(0, 10), (1, 12)]);
    drain(&mut recorder);
    recorder.record(ms(4), SeqNo::new(11));
    assert_eq!(drain(&mut recorder)[0].statuses, [(11, Some(16)), (12, Some(4))]);
}

#[test]
fn a_packet_from_before_the_first_is_reported() {
    let mut recorder = recorded(&[(0, 0), (1, 65_535)]);
    assert_eq!(drain(&mut recorder)[0].statuses, [(65_535, Some(4)), (0, Some(0))]);
}

#[test]
fn a_packet_that_is_too_late_changes_nothing() {
    let mut recorder = recorded(&[(0, 1_000)]);
    drain(&mut recorder);
    recorder.record(ms(1), SeqNo::new(1_000 - LATE_PACKETS_MAX as u16));
    assert!(!recorder.has_pending());
    recorder.record(ms(1), SeqNo::new(1_001 - LATE_PACKETS_MAX as u16));
    assert!(recorder.has_pending());
}

#[test]
fn a_duplicate_keeps_its_first_time_and_is_not_reported_again() {
    let mut recorder = recorded(&[(0, 5), (100, 5)]);
    assert_eq!(drain(&mut recorder)[0].statuses, [(5, Some(0))]);
    recorder.record(ms(200), SeqNo::new(5));
    assert!(!recorder.has_pending());
}

#[test]
fn a_gap_beyond_the_window_gives_up_the_oldest() {
    let mut recorder = recorded(&[(0, 0), (1, 30_000)]);
    let reads = drain(&mut recorder);
    let statuses: Vec<_> = reads.iter().flat_map(|read| &read.statuses).collect();
    assert_eq!(statuses.len(), WINDOW_PACKETS);
    assert_eq!(statuses.iter().filter(|(_, arrival)| arrival.is_some()).count(), 1);
    assert_eq!(*statuses[WINDOW_PACKETS - 1], (30_000, Some(4)));
}

#[test]
fn a_sender_that_counts_anew_is_heard_again() {
    let mut recorder = recorded(&[(0, 30_000), (1, 30_001)]);
    drain(&mut recorder);
    let restart = RESTART_PACKETS as u16;
    (0..restart).for_each(|seq| recorder.record(ms(2), SeqNo::new(seq)));
    assert!(!recorder.has_pending());
    recorder.record(ms(3), SeqNo::new(restart));
    recorder.record(ms(4), SeqNo::new(restart + 1));
    let reads = drain(&mut recorder);
    assert_eq!(reads[0].statuses, [(restart, Some(12)), (restart + 1, Some(16))]);
    assert_eq!(reads[0].count, 1);
}

#[test]
fn a_stray_old_number_does_not_restart_the_count() {
    let mut recorder = recorded(&[(0, 30_000)]);
    for step in 1..100 {
        recorder.record(ms(step), SeqNo::new(7));
        recorder.record(ms(step), SeqNo::new(30_000 + step as u16));
    }
    assert_eq!(drain(&mut recorder)[0].statuses.len(), 100);
}

#[test]
fn a_delta_beyond_sixteen_bits_starts_another_packet() {
    let reads = drain(&mut recorded(&[(0, 1), (9_000, 2), (9_001, 3)]));
    let shape: Vec<_> = reads.iter().map(|read| (read.base, read.count, read.statuses.len())).collect();
    assert_eq!(shape, [(1, 0, 1), (2, 1, 2)]);
    assert_eq!(reads[1].statuses, [(2, Some(36_000)), (3, Some(36_004))]);
}

#[test]
fn a_full_window_is_split_by_size() {
    let mut recorder = TransportCcRecorder::new();
    for seq in 0..WINDOW_PACKETS as u16 {
        recorder.record(ms(u64::from(seq) * 100), SeqNo::new(seq));
    }
    let reads = drain(&mut recorder);
    assert!(reads.len() > 3);
    assert_eq!(reads.iter().map(|read| read.statuses.len()).sum::<usize>(), WINDOW_PACKETS);
}

#[test]
fn steady_arrivals_cost_one_chunk() {
    let mut recorder = TransportCcRecorder::new();
    (0..500).for_each(|seq| recorder.record(ms(seq), SeqNo::new(seq as u16)));
    let mut out = Vec::new();
    assert!(recorder.build(SENDER, MEDIA, &mut out));
    assert_eq!(out.len(), (20 + 2 + 500_usize).next_multiple_of(4));
}

/// Arrivals with loss, reordering, bursts, duplicates and long gaps; every feedback says what was recorded, and every
/// packet that was recorded within the window is said at least once.
fn check_random_arrivals(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut recorder = TransportCcRecorder::new();
    let mut next: u64 = random.random_range(0..70_000) + (1 << 16);
    let mut now = Duration::from_micros(random.random_range(0..10_000_000_000));
    let loss = random.random_range(0.0..0.6);
    let jitter = random.random_range(1..40_000);
    let mut truth: BTreeMap<u64, i64> = BTreeMap::new();
    let mut said: BTreeMap<u64, i64> = BTreeMap::new();
    let mut feedback_count = 0u8;
    for _ in 0..random.random_range(1..30) {
        for _ in 0..random.random_range(1..200) {
            now += Duration::from_micros(random.random_range(0..jitter));
            next += if random.random_bool(0.005) { random.random_range(1..150) } else { 1 };
            if random.random_bool(loss) {
                continue;
            }
            let back = if random.random_bool(0.05) { random.random_range(0..30) } else { 0 };
            let number = next - back;
            recorder.record(now, SeqNo::new(number as u16));
            truth.entry(number).or_insert((now.as_micros() / TICK_US) as i64);
        }
        for read in drain(&mut recorder) {
            assert_eq!(read.count, feedback_count);
            feedback_count = feedback_count.wrapping_add(1);
            for (seq, arrival) in read.statuses {
                let number = ExtSeqNo::new(next).nearest(SeqNo::new(seq)).get();
                assert_eq!(arrival, truth.get(&number).copied(), "packet {number}");
                said.extend(arrival.map(|arrival| (number, arrival)));
            }
        }
    }
    assert_eq!(said, truth);
}

#[test]
fn random_arrivals_are_reported_as_they_were() {
    (0..200).for_each(check_random_arrivals);
}

proptest! {
    #[test]
    fn no_sequence_of_numbers_makes_the_recorder_panic(
        arrivals in prop::collection::vec((any::<u16>(), 0..20_000u64, prop::bool::weighted(0.1)), 0..300),
    ) {
        let mut recorder = TransportCcRecorder::new();
        for (seq, at, build) in arrivals {
            recorder.record(ms(at), SeqNo::new(seq));
            if build {
                drain(&mut recorder);
            }
        }
        drain(&mut recorder);
    }

    #[test]
    fn a_smaller_limit_is_kept(seqs in prop::collection::vec(0..400u16, 1..200), len_max in 0..200usize) {
        let mut recorder = TransportCcRecorder::new();
        for (at, seq) in seqs.into_iter().enumerate() {
            recorder.record(ms(at as u64 * 30), SeqNo::new(seq));
        }
        let mut out = Vec::new();
        let built = recorder.build_within(SENDER, MEDIA, &mut out, len_max);
        prop_assert_eq!(built, !out.is_empty());
        prop_assert!(out.len() <= len_max);
        prop_assert!(!built || !read(&out).statuses.is_empty());
    }
}
