//! Two of our own associations over an emulated network in virtual time; and ours against a stock one of rtc-dtls.

use super::super::identity::PREFERRED_PROFILES;
use super::super::srtp::SrtpProfile;
use super::*;
use crate::limits::CONNECT_TIMEOUT;

/// One way of the emulated network.
const DELAY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Client,
    Server,
}

/// A client and a server, and the datagrams under way between them.
struct Pair {
    client: Dtls,
    server: Dtls,
    now: Instant,
    start: Instant,
    under_way: Vec<(Instant, Side, Bytes)>,
    rng: SmallRng,
    loss: f64,
    connected: Vec<Side>,
    received: Vec<(Side, Bytes)>,
    ended: Vec<Side>,
    /// Cuts the ClientHello in two, as browsers do; holds the next plaintext record number.
    fragments: Option<u64>,
}

impl Pair {
    fn new(client: &Identity, server: &Identity, seed: u64, loss: f64) -> Self {
        let start = crate::virtual_time::start();
        let mut pair = Self {
            client: Dtls::new(client, seed),
            server: Dtls::new(server, seed + 1),
            now: start,
            start,
            under_way: Vec::new(),
            rng: SmallRng::seed_from_u64(seed),
            loss,
            connected: Vec::new(),
            received: Vec::new(),
            ended: Vec::new(),
            fragments: None,
        };
        pair.server.start(start, DtlsRole::Server);
        pair.client.start(start, DtlsRole::Client);
        pair
    }

    fn side(&mut self, side: Side) -> &mut Dtls {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Collects what the two want, then moves the clock to whatever is due next.
    fn step(&mut self) -> bool {
        for (from, to) in [(Side::Client, Side::Server), (Side::Server, Side::Client)] {
            while let Some(datagram) = self.side(from).poll_transmit() {
                for datagram in self.fragment(from, datagram) {
                    if !self.rng.random_bool(self.loss) {
                        self.under_way.push((self.now + DELAY, to, datagram));
                    }
                }
            }
            while let Some(event) = self.side(from).poll_event() {
                match event {
                    DtlsEvent::Connected => self.connected.push(from),
                    DtlsEvent::Data(data) => self.received.push((from, data)),
                    DtlsEvent::ClosedByPeer | DtlsEvent::Failed => self.ended.push(from),
                }
            }
        }
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten();
        let Some(next) = self.under_way.iter().map(|(at, ..)| *at).chain(timers).min() else { return false };
        self.now = self.now.max(next);
        if let Some(index) = self.under_way.iter().position(|(at, ..)| *at <= self.now) {
            let (_, to, datagram) = self.under_way.remove(index);
            let now = self.now;
            let _ = self.side(to).handle(now, &datagram);
        }
        let now = self.now;
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
        true
    }

    fn fragment(&mut self, from: Side, datagram: Bytes) -> Vec<Bytes> {
        let Some(number) = &mut self.fragments else { return vec![datagram] };
        if from == Side::Server {
            return vec![datagram];
        }
        let mut records = Vec::new();
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let (record, later) = rest.split_at(13 + usize::from(u16::from_be_bytes([rest[11], rest[12]])));
            records.push(record.to_vec());
            rest = later;
        }
        let is_hello = records[0][0] == 22 && records[0][13] == 1;
        if is_hello {
            let (header, body) = (records[0][13..25].to_vec(), records[0][25..].to_vec());
            let middle = body.len() / 2;
            records = [(0, &body[..middle]), (middle, &body[middle..])]
                .map(|(offset, part)| {
                    let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0];
                    record.extend(((12 + part.len()) as u16).to_be_bytes());
                    record.extend(&header[..6]);
                    record.extend(&(offset as u32).to_be_bytes()[1..]);
                    record.extend(&(part.len() as u32).to_be_bytes()[1..]);
                    record.extend(part);
                    record
                })
                .to_vec();
        }
        for record in records.iter_mut().filter(|record| record[3..5] == [0, 0]) {
            record[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
            *number += 1;
        }
        if is_hello { records.into_iter().map(Bytes::from).collect() } else { vec![records.concat().into()] }
    }

    fn run(&mut self) {
        while self.now - self.start < CONNECT_TIMEOUT && self.connected.len() < 2 && self.step() {}
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            if !self.step() {
                return;
            }
        }
    }
}

fn connected(seed: u64) -> Pair {
    let identity = Identity::generate().unwrap();
    let mut pair = Pair::new(&identity, &identity, seed, 0.0);
    pair.run();
    assert_eq!(pair.connected.len(), 2);
    pair.settle();
    pair
}

#[test]
fn both_ends_agree_on_keys_and_certificates() {
    let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut pair = Pair::new(&client, &server, 1, 0.0);
    pair.run();
    let (ours, theirs) = (pair.client.srtp_keys().unwrap(), pair.server.srtp_keys().unwrap());
    assert_eq!(ours.local.key(), theirs.remote.key());
    assert_eq!(ours.remote.salt(), theirs.local.salt());
    assert_ne!(ours.local.key(), ours.remote.key());
    let hash = |dtls: &Dtls| {
        super::super::identity::certificate_hash(
            crate::params::FingerprintHash::Sha256,
            dtls.peer_certificate().unwrap(),
        )
    };
    assert_eq!(hash(&pair.client), server.fingerprint().bytes);
    assert_eq!(hash(&pair.server), client.fingerprint().bytes);
    assert!(pair.now - pair.start < Duration::from_millis(200));
}

#[test]
fn a_handshake_survives_loss_of_four_datagrams_in_ten_each_way() {
    let identity = Identity::generate().unwrap();
    for seed in 0..50 {
        let mut pair = Pair::new(&identity, &identity, seed, 0.4);
        pair.run();
        assert_eq!(pair.connected.len(), 2, "seed {seed}: {:?} after {:?}", pair.connected, pair.now - pair.start);
        assert!(pair.ended.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_client_hello_in_two_datagrams_works_on_every_rung_and_under_loss() {
    let server = Identity::generate().unwrap();
    for profile in PREFERRED_PROFILES {
        let client = Identity::with_profiles(&[profile]).unwrap();
        for (seed, loss) in (0..50).map(|seed| (seed, if seed == 0 { 0.0 } else { 0.4 })) {
            let mut pair = Pair::new(&client, &server, seed, loss);
            pair.fragments = Some(0);
            pair.run();
            assert_eq!(pair.connected.len(), 2, "{profile:?}, seed {seed}");
            assert_eq!(pair.server.srtp_keys().unwrap().profile, profile);
        }
    }
}

#[test]
fn gcm_is_preferred_whatever_the_order_of_the_offer() {
    use SrtpProfile::{AeadAes128Gcm as Gcm128, AeadAes256Gcm as Gcm256, Aes128CmHmacSha1_80 as Cm};
    let server = Identity::generate().unwrap();
    let check = |offer: &[SrtpProfile], want: SrtpProfile| {
        let client = Identity::with_profiles(offer).unwrap();
        let mut pair = Pair::new(&client, &server, 3, 0.0);
        pair.run();
        assert_eq!(pair.server.srtp_keys().unwrap().profile, want, "{offer:?}");
        assert_eq!(pair.client.srtp_keys().unwrap().profile, want, "{offer:?}");
    };
    check(&[Cm, Gcm256, Gcm128], Gcm128);
    check(&PREFERRED_PROFILES, Gcm128);
    check(&[Cm, Gcm256], Gcm256);
    check(&[Gcm256], Gcm256);
    check(&[Cm], Cm);
}

#[test]
fn without_a_common_profile_the_handshake_fails_on_both_ends() {
    let server = Identity::with_profiles(&[SrtpProfile::AeadAes128Gcm]).unwrap();
    let client = Identity::with_profiles(&[SrtpProfile::Aes128CmHmacSha1_80]).unwrap();
    let mut pair = Pair::new(&client, &server, 3, 0.0);
    pair.settle();
    assert_eq!(pair.ended.len(), 2);
    assert!(pair.connected.is_empty());
}

#[test]
fn a_client_hello_that_comes_before_the_role_is_kept_and_bounded() {
    let identity = Identity::generate().unwrap();
    let mut pair = Pair::new(&identity, &identity, 9, 0.0);
    pair.server = Dtls::new(&identity, 10);
    let now = pair.now;
    let hello = pair.client.poll_transmit().unwrap();
    for number in 0..100 {
        // A repetition has another record number, and is not kept twice.
        let mut repeated = hello.to_vec();
        repeated[10] = number;
        assert!(pair.server.handle(now, &repeated).is_ok());
        assert_eq!(pair.server.hello.len(), 1);
    }
    for random in 0..100 {
        let mut other = hello.to_vec();
        other[40] ^= random;
        let _ = pair.server.handle(now, &other);
    }
    assert_eq!(pair.server.hello.len(), HELLO_DATAGRAMS_MAX);
    pair.server.hello.truncate(1);
    assert!(pair.server.poll_transmit().is_none());
    pair.server.start(now, DtlsRole::Server);
    pair.run();
    assert_eq!(pair.connected.len(), 2);
}

#[test]
fn data_goes_both_ways_once_connected_and_not_before() {
    let identity = Identity::generate().unwrap();
    let mut early = Pair::new(&identity, &identity, 4, 0.0);
    let now = early.now;
    early.server.write(now, b"too early");
    assert!(early.server.poll_transmit().is_none());
    let mut pair = connected(4);
    let now = pair.now;
    pair.client.write(now, b"to the server");
    pair.server.write(now, b"to the client");
    pair.settle();
    assert_eq!(
        pair.received,
        [(Side::Server, Bytes::from_static(b"to the server")), (Side::Client, Bytes::from_static(b"to the client"))]
    );
}

#[test]
fn close_notify_ends_the_other_side() {
    let mut pair = connected(5);
    let now = pair.now;
    pair.client.close(now);
    pair.settle();
    assert_eq!(pair.ended, [Side::Server]);
    assert_eq!(pair.server.handle(now, &[22, 254, 253]), Err(DropReason::DtlsUnexpected));
}

#[test]
fn garbage_and_forgeries_do_not_end_a_session() {
    let mut pair = connected(6);
    let mut rng = SmallRng::seed_from_u64(7);
    let now = pair.now;
    pair.client.write(now, b"captured");
    let sealed = pair.client.poll_transmit().unwrap();
    for round in 0..20_000 {
        let mut forged = if round % 2 == 0 { sealed.to_vec() } else { vec![0; rng.random_range(0..200)] };
        if round % 2 == 0 {
            let at = rng.random_range(0..forged.len());
            forged[at] ^= rng.random_range(1..=u8::MAX);
        } else {
            rng.fill(&mut forged[..]);
            if let Some(first) = forged.first_mut() {
                *first = rng.random_range(20..=63);
            }
        }
        let _ = pair.server.handle(now, &forged);
    }
    while pair.server.poll_transmit().is_some() {}
    pair.client.write(now, b"still here");
    pair.settle();
    assert!(pair.ended.is_empty());
    assert_eq!(pair.received.last(), Some(&(Side::Server, Bytes::from_static(b"still here"))));
}

#[test]
fn garbage_during_the_handshake_never_panics_and_cannot_fill_memory() {
    let identity = Identity::generate().unwrap();
    let mut rng = SmallRng::seed_from_u64(8);
    for seed in 0..20 {
        let mut pair = Pair::new(&identity, &identity, seed, 0.0);
        let mut captured = Vec::new();
        for _ in 0..seed {
            captured.extend(pair.under_way.iter().map(|(.., datagram)| datagram.clone()));
            pair.step();
        }
        let now = pair.now;
        for _ in 0..2_000 {
            let mut bytes = match captured.is_empty() {
                false if rng.random_bool(0.5) => captured[rng.random_range(0..captured.len())].to_vec(),
                _ => (0..rng.random_range(0..120)).map(|_| rng.random()).collect(),
            };
            if !bytes.is_empty() {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            let _ = pair.server.handle(now, &bytes);
            let _ = pair.client.handle(now, &bytes);
        }
    }
}

/// Runs ours against an unmodified endpoint of rtc-dtls over a perfect network.
fn meets_a_stock_peer(ours: DtlsRole) {
    let (us, them) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let now = connected(0).now;
    let mut dtls = Dtls::new(&us, 1);
    dtls.start(now, ours);
    let mut stock = match ours {
        DtlsRole::Client => Endpoint::new(PEER, TransportProtocol::UDP, them.server_config(0)),
        DtlsRole::Server => {
            let mut stock = Endpoint::new(PEER, TransportProtocol::UDP, None);
            stock.connect(now, PEER, them.client_config(), None).unwrap();
            stock
        }
    };
    let mut data = Vec::new();
    for _ in 0..20 {
        while let Some(datagram) = dtls.poll_transmit() {
            for event in stock.read(now, PEER, None, BytesMut::from(&datagram[..])).unwrap() {
                if matches!(event, EndpointEvent::HandshakeComplete) {
                    stock.write(now, PEER, b"hello").unwrap();
                }
            }
        }
        while let Some(transmit) = stock.poll_transmit() {
            dtls.handle(now, &transmit.message).unwrap();
        }
        while let Some(event) = dtls.poll_event() {
            if let DtlsEvent::Data(bytes) = event {
                data.push(bytes);
            }
        }
    }
    assert!(dtls.srtp_keys().is_some());
    assert_eq!(data, [Bytes::from_static(b"hello")]);
}

#[test]
fn a_stock_peer_connects_in_both_roles() {
    meets_a_stock_peer(DtlsRole::Server);
    meets_a_stock_peer(DtlsRole::Client);
}

/// Moves datagrams between ours and a stock server until both are quiet; what the server sends passes `arrives`.
fn exchange(dtls: &mut Dtls, stock: &mut Endpoint, now: Instant, mut arrives: impl FnMut(&[u8]) -> bool) {
    loop {
        let mut moved = false;
        while let Some(datagram) = dtls.poll_transmit() {
            stock.read(now, PEER, None, BytesMut::from(&datagram[..])).unwrap();
            moved = true;
        }
        while let Some(transmit) = stock.poll_transmit() {
            if arrives(&transmit.message) {
                let _ = dtls.handle(now, &transmit.message);
            }
            moved = true;
        }
        if !moved {
            return;
        }
    }
}

#[test]
fn a_client_gets_the_lost_last_flight_of_a_server_that_is_done() {
    let (us, them) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut now = connected(0).now;
    let mut dtls = Dtls::new(&us, 1);
    let mut stock = Endpoint::new(PEER, TransportProtocol::UDP, them.server_config(0));
    dtls.start(now, DtlsRole::Client);
    // The server repeats its first flight for no need, and then its last one (a change of cipher) is lost.
    let mut repeated = Vec::new();
    while repeated.is_empty() {
        let hello = dtls.poll_transmit().unwrap();
        stock.read(now, PEER, None, BytesMut::from(&hello[..])).unwrap();
        let _ = stock.handle_timeout(PEER, now);
        let flight: Vec<_> = std::iter::from_fn(|| stock.poll_transmit()).map(|transmit| transmit.message).collect();
        flight.iter().for_each(|datagram| dtls.handle(now, datagram).unwrap());
        if stock.poll_timeout(&PEER).is_some() && flight.iter().map(|datagram| datagram.len()).sum::<usize>() > 300 {
            now += Duration::from_millis(60);
            stock.handle_timeout(PEER, now).unwrap();
            repeated = std::iter::from_fn(|| stock.poll_transmit()).map(|transmit| transmit.message).collect();
        }
    }
    exchange(&mut dtls, &mut stock, now, |datagram| datagram[0] != 20);
    assert_eq!(dtls.phase, Phase::Handshaking);
    repeated.iter().for_each(|datagram| dtls.handle(now, datagram).unwrap());
    let start = now;
    while dtls.phase == Phase::Handshaking && now < start + CONNECT_TIMEOUT {
        now = dtls.poll_timeout().unwrap();
        dtls.handle_timeout(now);
        exchange(&mut dtls, &mut stock, now, |_| true);
    }
    assert_eq!(dtls.phase, Phase::Connected);
}
