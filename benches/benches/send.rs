//! The cost of sending: sealed trains of one to forty packets over real sockets, in processor time per packet, beside the bare
//! seal of the same packets. This is the model that the server's design follows: the longer the train, the cheaper the packet.

use consilium_benches::floor::{Floor, Shape};
use consilium_benches::load::process::ThreadTime;
use consilium_benches::peer::MEDIA_HEADER_LEN;
use consilium_benches::seal::BareSeal;
use std::io;
use std::time::{Duration, Instant};

#[allow(dead_code, reason = "processor time is not what criterion measures")]
mod race;

const TRAINS: [usize; 5] = [1, 2, 5, 10, 40];
const SUBSCRIBERS: usize = 50;
const PAYLOAD_LEN: usize = 1_160;
const SAMPLES: usize = 5;
/// The processor time of a thread is exact to a tick of the scheduler, of a few milliseconds.
const SAMPLE: Duration = Duration::from_millis(400);

fn sealing(bare: &mut BareSeal) -> io::Result<f64> {
    let (before, began, mut packets) = (ThreadTime::read()?, Instant::now(), 0);
    while began.elapsed() < SAMPLE / 2 {
        packets += bare.run().map_err(|_| io::Error::other("the seal failed"))?;
    }
    Ok(ThreadTime::read()?.used_since(&before).as_nanos() as f64 / packets as f64)
}

fn row(name: &str, packets: usize, offload: bool) -> io::Result<()> {
    let shape = Shape {
        subscribers: SUBSCRIBERS,
        fan_out: SUBSCRIBERS,
        video_packets_per_train: Some(packets),
        video_len: Some(PAYLOAD_LEN),
        audio_share: 0.0,
        offload,
    };
    let mut floor = Floor::open(shape, None)?;
    let bare = BareSeal::new(SUBSCRIBERS, packets, MEDIA_HEADER_LEN, PAYLOAD_LEN);
    let mut bare = bare.map_err(|_| io::Error::other("no key"))?;
    let (mut sends, mut seals, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let (send, seal) = (floor.measure(SAMPLE)?.cpu_ns_per_packet, sealing(&mut bare)?);
        sends.push(send);
        seals.push(seal);
        ratios.push(send / seal);
    }
    let [send, seal, ratio] = [sends, seals, ratios].map(race::median);
    println!("{name:<36}{send:>16.1}{seal:>16.1}{ratio:>8.2}");
    Ok(())
}

fn main() -> io::Result<()> {
    println!("{:<36}{:>16}{:>16}{:>8}", "", "CPU ns/packet", "seal", "ratio");
    row("one by one, without offload", 1, false)?;
    TRAINS.iter().try_for_each(|&packets| row(&format!("trains of {packets}"), packets, true))
}
