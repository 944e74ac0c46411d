//! The packet path of the core, beside the bare AES-GCM seal in the same run.
//!
//! First a table: nanoseconds, ratio to the seal and allocations per forwarded packet, measured in turns so that a noisy
//! machine disturbs both alike. The time of timers (reports, feedback) counts; their allocations stand in a column of their
//! own. The process fails when the project's bounds are broken. Then criterion's own report, which
//! compares with the last run.

use consilium_benches::meeting::{BURST, Meeting};
use consilium_benches::peer::MEDIA_HEADER_LEN;
use consilium_benches::seal::BareSeal;
use consilium_media_core::transport::identity::Identity;
use criterion::{Criterion, Throughput};
use race::{median, quick_criterion};
use std::time::{Duration, Instant};

#[path = "forward/allocations.rs"]
mod allocations;
#[allow(dead_code, reason = "the table here has columns of its own")]
mod race;

/// Payload of each packet, in bytes: what browsers send with room for extensions and the tag below 1,200.
const PAYLOAD_LEN: usize = 1_160;
/// Forwarding may cost at most this many times the bare seal.
const RATIO_MAX: f64 = 2.0;
/// Bursts of every publisher before anything is measured: all caches and buffers have their size then.
const WARM_UP_BURSTS: usize = 1_000;
/// Samples of each of the two; the median counts.
const SAMPLES: usize = 31;
/// Forwarded packets in one sample, about.
const SAMPLE_PACKETS: usize = 20_000;
/// Packets sealed ahead at once: few enough to lie in the processor's cache, as they do when the kernel has just handed
/// them over.
const CHUNK_PACKETS: usize = 200;

struct Scenario {
    name: &'static str,
    publishers: usize,
    receivers: usize,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "1 to 50", publishers: 1, receivers: 50 },
    Scenario { name: "1 to 500", publishers: 1, receivers: 500 },
    Scenario { name: "10 x 10", publishers: 10, receivers: 0 },
    Scenario { name: "50 x 50", publishers: 50, receivers: 0 },
];

impl Scenario {
    /// Subscribers of each track.
    fn fan_out(&self) -> usize {
        self.publishers + self.receivers - 1
    }

    fn meeting(&self) -> Meeting {
        let identity = Identity::generate().expect("a certificate can be made");
        let mut meeting = Meeting::of(identity, self.publishers, self.receivers, PAYLOAD_LEN).expect("peers connect");
        let forwarded = run(&mut meeting, WARM_UP_BURSTS).packets;
        let wanted = WARM_UP_BURSTS * BURST * self.publishers * self.fan_out();
        assert_eq!(forwarded, wanted as u64, "every packet goes to every subscriber");
        meeting
    }

    fn seal(&self) -> BareSeal {
        BareSeal::new(self.fan_out(), BURST, MEDIA_HEADER_LEN, PAYLOAD_LEN).expect("the key lengths are right")
    }
}

#[derive(Default)]
struct Run {
    packets: u64,
    elapsed: Duration,
    /// While packets were forwarded.
    allocations: u64,
    /// While timers ran: a few reports per second and peer.
    timer_allocations: u64,
}

impl Run {
    fn ns_per_packet(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.packets as f64
    }
}

/// Forwards `bursts` bursts of every publisher. Sealing them, and keeping consent alive, is not measured.
fn run(meeting: &mut Meeting, bursts: usize) -> Run {
    let mut total = Run::default();
    let chunk_bursts = (CHUNK_PACKETS / (BURST * meeting.publishers())).max(1);
    let mut left = bursts;
    while left > 0 {
        let chunk = left.min(chunk_bursts);
        left -= chunk;
        meeting.renew_consent().expect("peers stay connected");
        let mut arrivals = meeting.prepare(chunk);
        let before = meeting.stats().rtp_forwarded;
        let start = Instant::now();
        for burst in arrivals.chunks_mut(BURST) {
            let untouched = allocations::count();
            meeting.forward_burst(burst);
            let forwarded = allocations::count();
            meeting.run_timers();
            total.allocations += forwarded - untouched;
            total.timer_allocations += allocations::count() - forwarded;
        }
        total.elapsed += start.elapsed();
        total.packets += meeting.stats().rtp_forwarded - before;
    }
    total
}

fn seal(bare: &mut BareSeal, bursts: usize) -> Run {
    let start = Instant::now();
    let packets = (0..bursts).map(|_| bare.run().expect("the buffer has room")).sum();
    Run { packets, elapsed: start.elapsed(), ..Run::default() }
}

/// Whether the scenario keeps the bounds.
fn tabulate(scenario: &Scenario) -> bool {
    let mut meeting = scenario.meeting();
    let mut bare = scenario.seal();
    let bursts = (SAMPLE_PACKETS / (BURST * scenario.publishers * scenario.fan_out())).max(1);
    let (mut forward_ns, mut seal_ns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut packets, mut allocations, mut timer_allocations) = (0, 0, 0);
    for _ in 0..SAMPLES {
        let forwarded = run(&mut meeting, bursts);
        let sealed = seal(&mut bare, bursts * scenario.publishers);
        assert_eq!(forwarded.packets, sealed.packets, "both do the same number of packets");
        ratios.push(forwarded.ns_per_packet() / sealed.ns_per_packet());
        forward_ns.push(forwarded.ns_per_packet());
        seal_ns.push(sealed.ns_per_packet());
        packets += forwarded.packets;
        allocations += forwarded.allocations;
        timer_allocations += forwarded.timer_allocations;
    }
    let ratio = median(ratios);
    println!(
        "{:<10}{:>16.1}{:>14.1}{:>8.2}{:>18.6}{:>18.6}",
        scenario.name,
        median(forward_ns),
        median(seal_ns),
        ratio,
        allocations as f64 / packets as f64,
        timer_allocations as f64 / packets as f64,
    );
    ratio <= RATIO_MAX && allocations == 0
}

fn report(criterion: &mut Criterion) {
    for scenario in &SCENARIOS {
        let mut group = criterion.benchmark_group(scenario.name);
        group.throughput(Throughput::Elements((BURST * scenario.publishers * scenario.fan_out()) as u64));
        group.bench_function("forward", |bencher| {
            let mut meeting = scenario.meeting();
            bencher.iter_custom(|bursts| run(&mut meeting, bursts as usize).elapsed);
        });
        group.bench_function("bare seal", |bencher| {
            let mut bare = scenario.seal();
            bencher.iter_custom(|bursts| seal(&mut bare, bursts as usize * scenario.publishers).elapsed);
        });
        group.finish();
    }
}

fn main() {
    println!(
        "{:<10}{:>16}{:>14}{:>8}{:>18}{:>18}",
        "meeting", "forward ns/pkt", "seal ns/pkt", "ratio", "allocations/pkt", "by timers/pkt"
    );
    let kept: Vec<bool> = SCENARIOS.iter().map(tabulate).collect();
    let mut criterion = quick_criterion();
    report(&mut criterion);
    criterion.final_summary();
    if kept.contains(&false) {
        eprintln!("the bounds are broken: no allocation while forwarding, and at most {RATIO_MAX} times the bare seal");
        std::process::exit(1);
    }
}
