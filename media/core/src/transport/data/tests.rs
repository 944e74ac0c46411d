//! Two ends of the data channels over an emulated network in virtual time.

use super::*;
use crate::limits::{DATA_BEHIND_BYTES, DATA_CAUGHT_UP_BYTES};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const DELAY: Duration = Duration::from_millis(20);

struct End {
    data: DataChannels,
    opened: Vec<(DataChannelId, String, Reliability)>,
    closed: Vec<DataChannelId>,
    received: Vec<(DataChannelId, bool, Bytes)>,
    lost: bool,
    flooded: bool,
    dropped: Vec<DropReason>,
}

impl End {
    fn new() -> Self {
        Self {
            data: DataChannels::new(),
            opened: vec![],
            closed: vec![],
            received: vec![],
            lost: false,
            flooded: false,
            dropped: vec![],
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.data.poll_event() {
            match event {
                DataEvent::Opened { channel, label, reliability } => self.opened.push((channel, label, reliability)),
                DataEvent::Closed { channel } => self.closed.push(channel),
                DataEvent::Message { channel, binary, payload } => self.received.push((channel, binary, payload)),
                DataEvent::Lost => self.lost = true,
                DataEvent::Flood => self.flooded = true,
            }
        }
    }
}

/// `ends[0]` is the DTLS client.
struct Pair {
    ends: [End; 2],
    now: Instant,
    under_way: Vec<(Instant, usize, Bytes)>,
    rng: SmallRng,
    loss: f64,
    longest: usize,
}

impl Pair {
    fn new(loss: f64) -> Self {
        Self {
            ends: [End::new(), End::new()],
            now: crate::virtual_time::start(),
            under_way: vec![],
            rng: SmallRng::seed_from_u64(1),
            loss,
            longest: 0,
        }
    }

    fn started(loss: f64) -> Self {
        let mut pair = Self::new(loss);
        let now = pair.now;
        pair.ends[0].data.start(now, DtlsRole::Client);
        pair.ends[1].data.start(now, DtlsRole::Server);
        pair
    }

    fn step(&mut self) -> bool {
        for from in 0..2 {
            while let Some(packets) = self.ends[from].data.poll_transmit(self.now) {
                for packet in packets {
                    self.longest = self.longest.max(packet.len());
                    if !self.rng.random_bool(self.loss) {
                        self.under_way.push((self.now + DELAY, 1 - from, packet));
                    }
                }
            }
            self.ends[from].take_events();
        }
        let timers = self.ends.iter().filter_map(|end| end.data.poll_timeout());
        let Some(next) = self.under_way.iter().map(|(at, ..)| *at).chain(timers).min() else { return false };
        self.now = self.now.max(next);
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.under_way).into_iter().partition(|(at, ..)| *at <= now);
        self.under_way = later;
        let due: Vec<_> = due;
        for (_, to, packet) in due {
            let result = self.ends[to].data.handle(now, packet);
            self.ends[to].dropped.extend(result.err());
        }
        self.ends.iter_mut().for_each(|end| end.data.handle_timeout(now));
        true
    }

    fn run(&mut self, until: impl Fn(&Self) -> bool) {
        let deadline = self.now + Duration::from_secs(120);
        while !until(self) {
            assert!(self.step() && self.now < deadline, "nothing more happens");
        }
    }

    fn run_for(&mut self, time: Duration) {
        let deadline = self.now + time;
        while self.now < deadline && self.step() {}
    }

    fn open(&mut self, end: usize, label: &str, reliability: Reliability) -> DataChannelId {
        let now = self.now;
        let before = self.ends[end].opened.len();
        self.ends[end].data.open(now, label.to_owned(), reliability);
        self.run(|pair| pair.ends[end].opened.len() > before);
        self.ends[end].opened[before].0
    }

    fn send(&mut self, end: usize, channel: DataChannelId, payload: &Bytes) -> Result<(), SendError> {
        let now = self.now;
        self.ends[end].data.send(now, channel, true, payload.clone())
    }
}

fn pattern(len: usize) -> Bytes {
    (0..len).map(|index| (index % 251) as u8).collect()
}

#[test]
fn either_end_opens_channels_with_ids_of_its_parity_and_the_other_learns_label_and_reliability() {
    for end in 0..2 {
        let mut pair = Pair::started(0.0);
        let reliable = pair.open(end, "_reliable", Reliability::Reliable);
        let lossy = pair.open(end, "_lossy", Reliability::Lossy);
        assert_eq!([reliable.get(), lossy.get()], [end as u16, end as u16 + 2]);
        let want = vec![
            (reliable, "_reliable".to_owned(), Reliability::Reliable),
            (lossy, "_lossy".to_owned(), Reliability::Lossy),
        ];
        assert_eq!(pair.ends[1 - end].opened, want);
        assert_eq!(pair.ends[end].opened, want);
    }
}

#[test]
fn channels_asked_for_before_sctp_is_up_open_later() {
    let mut pair = Pair::new(0.0);
    let now = pair.now;
    pair.ends[1].data.open(now, "early".to_owned(), Reliability::Reliable);
    pair.ends[0].data.start(now, DtlsRole::Client);
    pair.ends[1].data.start(now, DtlsRole::Server);
    pair.run(|pair| pair.ends.iter().all(|end| end.opened.len() == 1));
}

#[test]
fn both_ends_beginning_at_once_end_with_one_association() {
    let mut pair = Pair::started(0.0);
    let now = pair.now;
    pair.ends.iter_mut().for_each(|end| end.data.open(now, "x".to_owned(), Reliability::Reliable));
    pair.ends[1].data.connect_at = Some(now);
    pair.ends[0].data.connect_at = Some(now + Duration::from_millis(1));
    pair.run(|pair| pair.ends.iter().all(|end| end.opened.len() == 2));
}

#[test]
fn messages_of_every_kind_and_up_to_the_largest_arrive_intact_in_both_directions() {
    let mut pair = Pair::started(0.0);
    let channel = pair.open(0, "_reliable", Reliability::Reliable);
    for end in 0..2 {
        let now = pair.now;
        let sent = [
            (true, pattern(20_000)),
            (true, pattern(DATA_RECEIVED_LEN_MAX)),
            (false, pattern(1)),
            (true, Bytes::new()),
        ];
        for (binary, payload) in &sent {
            pair.ends[end].data.send(now, channel, *binary, payload.clone()).unwrap();
        }
        pair.ends[end].data.send(now, channel, false, Bytes::new()).unwrap();
        pair.run(|pair| pair.ends[1 - end].received.len() == 5);
        let received = &pair.ends[1 - end].received;
        for (got, (binary, payload)) in received.iter().zip(&sent) {
            assert!(got.0 == channel && got.1 == *binary && got.2 == payload);
        }
        assert_eq!(received[4], (channel, false, Bytes::new()));
    }
    assert!(pair.longest <= 1_200, "an SCTP packet of {} bytes", pair.longest);
}

#[test]
fn a_reliable_channel_loses_nothing_and_keeps_order_over_a_bad_network() {
    let mut pair = Pair::started(0.1);
    let channel = pair.open(0, "_reliable", Reliability::Reliable);
    for number in 0..300_u16 {
        pair.send(0, channel, &Bytes::copy_from_slice(&number.to_be_bytes())).unwrap();
    }
    pair.run(|pair| pair.ends[1].received.len() == 300);
    let numbers = pair.ends[1].received.iter().map(|(.., payload)| u16::from_be_bytes([payload[0], payload[1]]));
    assert!(numbers.eq(0..300));
}

#[test]
fn a_lossy_channel_forgets_what_was_lost_and_goes_on() {
    let mut pair = Pair::started(0.0);
    let channel = pair.open(0, "_lossy", Reliability::Lossy);
    pair.loss = 0.2;
    for _ in 0..200 {
        let _ = pair.send(0, channel, &pattern(500));
        pair.run_for(Duration::from_millis(20));
    }
    pair.run_for(Duration::from_secs(30));
    assert_eq!(pair.ends[0].data.channels[0].backlog.bytes, 0);
    let lossy = pair.ends[1].received.len();
    assert!((100..200).contains(&lossy), "{lossy} of 200 arrived");
    pair.loss = 0.0;
    pair.run_for(Duration::from_secs(5));
    pair.send(0, channel, &pattern(3)).unwrap();
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.ends[1].received.last().map(|last| last.2.len()), Some(3));
}

#[test]
fn over_the_backlog_lossy_drops_and_reliable_says_so_and_neither_fills_the_others() {
    let mut pair = Pair::started(0.0);
    let lossy = pair.open(0, "_lossy", Reliability::Lossy);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    pair.run_for(Duration::from_secs(1));
    let payload = pattern(60_000);
    let queued = (0..100).take_while(|_| pair.send(0, lossy, &payload).is_ok()).count();
    assert_eq!(queued, LOSSY_BUFFERED_BYTES_MAX / payload.len());
    assert_eq!(pair.send(0, lossy, &payload), Err(SendError::Dropped));
    let queued = (0..100).take_while(|_| pair.send(0, reliable, &payload).is_ok()).count();
    assert_eq!(queued, DATA_BUFFERED_BYTES_MAX / payload.len());
    assert_eq!(pair.send(0, reliable, &payload), Err(SendError::Backlog));
    pair.run_for(Duration::from_secs(30));
    assert_eq!((pair.send(0, lossy, &payload), pair.send(0, reliable, &payload)), (Ok(()), Ok(())));
}

#[test]
fn the_smallest_messages_meet_a_limit_as_well_and_the_backlog_empties() {
    let kinds = [(Reliability::Lossy, LOSSY_BUFFERED_MESSAGES_MAX), (Reliability::Reliable, BUFFERED_MESSAGES_MAX)];
    for (reliability, limit) in kinds {
        let mut pair = Pair::started(0.0);
        let channel = pair.open(0, "x", reliability);
        pair.run_for(Duration::from_secs(1));
        let queued = (0..1_000_000).take_while(|_| pair.send(0, channel, &pattern(1)).is_ok()).count();
        assert_eq!(queued, limit);
        pair.run_for(Duration::from_secs(60));
        let backlog = &pair.ends[0].data.channels[0].backlog;
        assert_eq!((backlog.bytes, backlog.messages.len()), (0, 0));
    }
}

/// SCTP sends unordered messages first: without a limit that gives way, the reliable message would never leave.
#[test]
fn a_stream_of_lossy_messages_does_not_keep_reliable_ones_waiting() {
    let mut pair = Pair::started(0.0);
    let lossy = pair.open(0, "_lossy", Reliability::Lossy);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    pair.loss = 0.05;
    let mut sent = 0;
    // More than this network carries, for a minute.
    for _ in 0..3_000 {
        for _ in 0..50 {
            let _ = pair.send(0, lossy, &pattern(1_000));
        }
        sent += usize::from(sent < 200 && pair.send(0, reliable, &pattern(10_000)).is_ok());
        pair.run_for(Duration::from_millis(20));
    }
    assert_eq!(sent, 200);
    pair.run_for(Duration::from_secs(30));
    let arrived = pair.ends[1].received.iter().filter(|(channel, ..)| *channel == reliable).count();
    assert_eq!(arrived, 200);
}

#[test]
fn a_lossy_flood_is_cut_to_the_rate_and_ends_nobody() {
    let mut pair = Pair::started(0.0);
    let lossy = pair.open(0, "_lossy", Reliability::Lossy);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    for _ in 0..500 {
        for _ in 0..100 {
            let _ = pair.send(0, lossy, &pattern(10));
        }
        pair.run_for(Duration::from_millis(20));
    }
    let received = pair.ends[1].received.len();
    assert!((5_000..8_000).contains(&received), "{received} messages in ten seconds");
    assert!(pair.ends[1].dropped.contains(&DropReason::DataRate));
    assert!(!pair.ends[1].flooded && !pair.ends[1].lost);
    pair.send(0, reliable, &pattern(3)).unwrap();
    pair.run(|pair| pair.ends[1].received.last().is_some_and(|last| last.0 == reliable));
}

#[test]
fn a_flood_of_reliable_messages_or_of_channels_ends_their_sender() {
    let mut pair = Pair::started(0.0);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    let mut rounds = 0;
    while !pair.ends[1].flooded {
        for _ in 0..100 {
            let _ = pair.send(0, reliable, &pattern(10));
        }
        pair.run_for(Duration::from_millis(20));
        rounds += 1;
        assert!(rounds < 1_000, "nothing ends the flood");
    }
    assert!(pair.ends[1].received.len() < 5_000, "{} messages were taken", pair.ends[1].received.len());
    let taken = pair.ends[1].received.len();
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.ends[1].received.len(), taken, "nothing is taken after the end");

    let mut pair = Pair::started(0.0);
    let channel = pair.open(0, "x", Reliability::Lossy).get();
    let open = Message::Open { channel_type: ChannelType::from(Reliability::Lossy), label: "x".to_owned() }.to_bytes();
    for _ in 0..1_000 {
        for _ in 0..100 {
            let now = pair.now;
            let mut stream = pair.ends[0].data.stream(channel).unwrap();
            let _ = stream.write_chunk_with_ppi(now, &open, PayloadProtocolIdentifier::Dcep);
        }
        pair.run_for(Duration::from_millis(20));
    }
    assert!(pair.ends[1].flooded);
}

#[test]
fn a_large_file_sent_as_fast_as_the_network_allows_arrives_at_the_rate_of_the_limit() {
    let mut pair = Pair::started(0.0);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    let start = pair.now;
    let chunk = pattern(15_000);
    const CHUNKS: usize = 2_000;
    let mut sent = 0;
    let mut most_held = 0;
    while pair.ends[1].received.len() < CHUNKS {
        while sent < CHUNKS && pair.ends[0].data.waiting(Reliability::Reliable).bytes < 1 << 20 {
            pair.send(0, reliable, &chunk).unwrap();
            sent += 1;
        }
        assert!(pair.step());
        let acknowledged = sent * chunk.len() - pair.ends[0].data.waiting(Reliability::Reliable).bytes;
        most_held = most_held.max(acknowledged.saturating_sub(pair.ends[1].received.len() * chunk.len()));
        assert!(pair.now < start + Duration::from_secs(120), "{} arrived", pair.ends[1].received.len());
    }
    let rate = (CHUNKS * chunk.len()) as f64 / (pair.now - start).as_secs_f64();
    assert!((1_000_000.0..2_300_000.0).contains(&rate), "{rate} bytes per second");
    assert!(most_held <= 4 * DATA_MESSAGE_LEN_MAX + 2_000, "{most_held} bytes wait unread");
    assert!(pair.ends[1].received.iter().all(|(.., payload)| *payload == chunk));
    assert!(!pair.ends[1].flooded && !pair.ends[0].lost);
}

/// Puts in the path of `ends[1]` somebody who is behind, and sends large messages until they are held.
fn slowed_down(pair: &mut Pair) -> DataChannelId {
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    let now = pair.now;
    pair.ends[1].data.set_slowed(now, true);
    for _ in 0..60 {
        pair.send(0, reliable, &pattern(15_000)).unwrap();
    }
    pair.run(|pair| pair.ends[1].data.read_at.is_some());
    pair.run_for(Duration::from_secs(1));
    assert!(pair.ends[1].received.len() < 10, "{} are taken", pair.ends[1].received.len());
    reliable
}

#[test]
fn what_was_held_for_somebody_who_was_behind_is_taken_once_they_have_caught_up() {
    let mut pair = Pair::started(0.0);
    slowed_down(&mut pair);
    let now = pair.now;
    pair.ends[1].data.set_slowed(now, false);
    pair.run_for(Duration::from_millis(800));
    assert_eq!(pair.ends[1].received.len(), 60);
    assert!(!pair.ends[1].flooded && pair.ends[1].dropped.is_empty());
}

#[test]
fn a_peer_that_fills_the_window_with_the_smallest_messages_while_it_is_held_is_ended() {
    let mut pair = Pair::started(0.0);
    let reliable = slowed_down(&mut pair);
    let held_at = pair.ends[1].received.len();
    for _ in 0..12_000 {
        pair.send(0, reliable, &pattern(1)).unwrap();
    }
    pair.run_for(Duration::from_secs(1));
    assert!(pair.ends[1].flooded);
    assert!(pair.ends[1].received.len() <= held_at + 2, "it was ended before they were read");
}

#[test]
fn lossy_messages_are_read_while_reliable_ones_are_held_and_do_not_count_as_held() {
    let mut pair = Pair::started(0.0);
    let lossy = pair.open(0, "_lossy", Reliability::Lossy);
    slowed_down(&mut pair);
    let (held, received) = (pair.ends[1].data.fragments_unread(), pair.ends[1].received.len());
    for _ in 0..30 {
        for _ in 0..10 {
            pair.send(0, lossy, &pattern(10)).unwrap();
        }
        pair.run_for(Duration::from_millis(20));
    }
    pair.run_for(Duration::from_millis(200));
    assert!(pair.ends[1].received.len() >= received + 300);
    assert!((100..=held).contains(&pair.ends[1].data.fragments_unread()), "{held} were held");
}

#[test]
fn a_peer_is_behind_while_much_waits_for_it() {
    let mut pair = Pair::started(0.0);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    assert!(!pair.ends[0].data.is_behind());
    while !pair.ends[0].data.is_behind() {
        pair.send(0, reliable, &pattern(15_000)).unwrap();
    }
    let waiting = pair.ends[0].data.waiting(Reliability::Reliable).bytes;
    assert!((DATA_BEHIND_BYTES..DATA_BEHIND_BYTES + 16_000).contains(&waiting), "{waiting} bytes");
    pair.run(|pair| pair.ends[0].data.waiting(Reliability::Reliable).bytes < DATA_CAUGHT_UP_BYTES);
    assert!(!pair.ends[0].data.is_behind());
}

#[test]
fn ordinary_use_is_not_held_back() {
    let mut pair = Pair::started(0.0);
    let lossy = pair.open(0, "_lossy", Reliability::Lossy);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    // Ten seconds of 300 small messages of each kind per second, and 10 Mbit/s of a file.
    for _ in 0..100 {
        for _ in 0..30 {
            pair.send(0, lossy, &pattern(500)).unwrap();
            pair.send(0, reliable, &pattern(500)).unwrap();
        }
        for _ in 0..8 {
            pair.send(0, reliable, &pattern(15_000)).unwrap();
        }
        pair.run_for(Duration::from_millis(100));
    }
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.ends[1].received.len(), 100 * (30 + 30 + 8));
    assert!(pair.ends[1].dropped.is_empty());
}

#[test]
fn a_message_over_the_protocols_cap_is_dropped_and_counted_and_the_channel_goes_on() {
    let mut pair = Pair::started(0.0);
    let reliable = pair.open(0, "_reliable", Reliability::Reliable);
    pair.send(0, reliable, &pattern(DATA_RECEIVED_LEN_MAX + 1)).unwrap();
    pair.send(0, reliable, &pattern(DATA_RECEIVED_LEN_MAX)).unwrap();
    pair.run(|pair| !pair.ends[1].received.is_empty());
    assert_eq!(pair.ends[1].received[0].2.len(), DATA_RECEIVED_LEN_MAX);
    assert_eq!(pair.ends[1].dropped, [DropReason::DataTooLong]);
}

#[test]
fn the_peers_message_size_is_respected() {
    let mut pair = Pair::started(0.0);
    let channel = pair.open(0, "x", Reliability::Reliable);
    pair.ends[0].data.set_remote_max_message_size(1_000);
    assert_eq!(pair.send(0, channel, &pattern(1_001)), Err(SendError::Dropped));
    assert_eq!(pair.send(0, channel, &pattern(1_000)), Ok(()));
    pair.ends[0].data.set_remote_max_message_size(0);
    assert_eq!(pair.send(0, channel, &pattern(DATA_MESSAGE_LEN_MAX + 1)), Err(SendError::Dropped));
    assert_eq!(pair.send(0, DataChannelId::new(9), &pattern(1)), Err(SendError::Dropped));
}

#[test]
fn a_channel_that_the_peer_resets_closes_and_its_id_can_be_used_again() {
    let mut pair = Pair::started(0.0);
    let first = pair.open(0, "x", Reliability::Reliable);
    let now = pair.now;
    pair.send(0, first, &pattern(100)).unwrap();
    pair.ends[0].data.stream(first.get()).unwrap().close(now).unwrap();
    pair.run(|pair| pair.ends.iter().all(|end| end.closed == [first]));
    assert_eq!(pair.ends[1].received.len(), 1);
    assert_eq!(pair.send(1, first, &pattern(1)), Err(SendError::Dropped));
    let second = pair.open(0, "y", Reliability::Reliable);
    assert_eq!(second, first);
    pair.send(1, second, &pattern(7)).unwrap();
    pair.run(|pair| pair.ends[0].received.len() == 1);
}

#[test]
fn channels_are_bounded_on_both_ends() {
    let mut pair = Pair::started(0.0);
    let now = pair.now;
    for _ in 0..3 * DATA_CHANNELS_MAX {
        pair.ends[0].data.open(now, "x".to_owned(), Reliability::Reliable);
    }
    pair.ends[0].data.open(now, "x".repeat(LABEL_LEN_MAX + 1), Reliability::Reliable);
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.ends[1].opened.len(), DATA_CHANNELS_MAX);
    // The other end's table is full as well, whoever filled it.
    pair.ends[1].data.open(now, "y".to_owned(), Reliability::Reliable);
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.ends[1].opened.len(), DATA_CHANNELS_MAX);
    assert!(!pair.ends[0].lost && !pair.ends[1].lost);
}

#[test]
fn a_peer_that_opens_streams_without_end_is_cut_off() {
    let mut pair = Pair::started(0.0);
    pair.open(0, "x", Reliability::Reliable);
    let now = pair.now;
    let association = pair.ends[0].data.sctp.as_mut().and_then(Sctp::association).unwrap();
    for id in 100..100 + 2 * STREAMS_MAX as u16 {
        let mut stream = association.open_stream(id, PayloadProtocolIdentifier::Binary).unwrap();
        stream.write_with_ppi(now, b"x", PayloadProtocolIdentifier::Binary).unwrap();
    }
    pair.run_for(Duration::from_secs(3));
    assert!(pair.ends[1].lost);
    assert!(pair.ends[1].received.is_empty());
}

#[test]
fn an_abort_is_noticed() {
    let mut pair = Pair::started(0.0);
    pair.open(0, "x", Reliability::Reliable);
    pair.ends[0].data.sctp.as_mut().and_then(Sctp::association).unwrap().abort().unwrap();
    pair.run_for(Duration::from_secs(1));
    assert!(pair.ends[1].lost);
}

#[test]
fn random_and_damaged_packets_never_panic() {
    let mut rng = SmallRng::seed_from_u64(4);
    let mut pair = Pair::started(0.0);
    let channel = pair.open(0, "x", Reliability::Reliable);
    let mut captured = Vec::new();
    for _ in 0..20 {
        pair.send(0, channel, &pattern(100)).unwrap();
        let now = pair.now;
        captured.extend(pair.ends[0].data.poll_transmit(now).into_iter().flatten());
    }
    let now = pair.now;
    for _ in 0..20_000 {
        let mut bytes = captured[rng.random_range(0..captured.len())].to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes.truncate(rng.random_range(0..=bytes.len()));
        let _ = pair.ends[1].data.handle(now, bytes.into());
    }
}
