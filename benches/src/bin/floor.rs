//! What sealing and sending alone cost on this machine, for the traffic of a scenario: the floor under a whole server.

use anyhow::Context;
use clap::Parser;
use consilium_benches::floor::{Floor, Measured, Shape};
use consilium_benches::load::process::pin_this_thread;
use std::time::Duration;

/// Before anything is measured: keys, buffers and sockets have been used once.
const WARM_UP: Duration = Duration::from_millis(200);
/// Sockets of a thousand rooms.
const SUBSCRIBERS_MAX: usize = 10_000;

/// Seals and sends the trains of a scenario to sockets on this machine, and prints processor time per packet.
#[derive(Debug, Parser)]
#[command(name = "floor", version)]
struct Options {
    #[arg(long, default_value_t = 200)]
    subscribers: usize,
    /// Subscribers that get the same frame; all of them unless told.
    #[arg(long)]
    fan_out: Option<usize>,
    /// Packets of each video frame; varies as the load generator's unless told.
    #[arg(long)]
    video_packets_per_train: Option<usize>,
    /// Payload of each video packet, in bytes; varies as the load generator's unless told.
    #[arg(long)]
    video_len: Option<usize>,
    /// Share of Opus packets among all; the load generator's unless told.
    #[arg(long)]
    audio_share: Option<f64>,
    /// One system call for each packet.
    #[arg(long)]
    no_offload: bool,
    /// The core that seals and sends.
    #[arg(long)]
    cpu: Option<usize>,
    /// The core on which the subscribers receive.
    #[arg(long)]
    drain_cpu: Option<usize>,
    /// Seconds.
    #[arg(long, default_value_t = 2.0)]
    duration: f64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    fn shape(&self) -> Shape {
        let shape = Shape::default();
        let subscribers = self.subscribers.clamp(1, SUBSCRIBERS_MAX);
        Shape {
            subscribers,
            fan_out: self.fan_out.unwrap_or(subscribers).clamp(1, subscribers),
            video_packets_per_train: self.video_packets_per_train,
            video_len: self.video_len,
            audio_share: self.audio_share.unwrap_or(shape.audio_share),
            offload: !self.no_offload,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    rlimit::increase_nofile_limit(u64::MAX).context("the limit of open files cannot be raised")?;
    let mut floor = Floor::open(options.shape(), options.drain_cpu)?;
    pin_this_thread(options.cpu);
    floor.measure(WARM_UP)?;
    let measured = floor.measure(Duration::try_from_secs_f64(options.duration)?)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        print(&measured);
    }
    Ok(())
}

fn print(measured: &Measured) {
    let per_send = measured.packets as f64 / measured.sends.max(1) as f64;
    println!("packets            {} in {:.1} s, {:.2} per system call", measured.packets, measured.seconds, per_send);
    println!("processor time     {:.0} ns per packet", measured.cpu_ns_per_packet);
    println!("                   {:.0} packets per CPU-second", measured.packets_per_cpu_second);
}
