//! Throws datagrams at a media port that nobody should send: `abuse ADDRESS:PORT [COUNT] [SEED]`.

use consilium_benches::abuse::Abuse;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

const COUNT_DEFAULT: u64 = 100_000;

type Failure = Box<dyn std::error::Error>;

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let target: SocketAddr = arguments.next().ok_or("usage: abuse ADDRESS:PORT [COUNT] [SEED]")?.parse()?;
    let count: u64 = arguments.next().map_or(Ok(COUNT_DEFAULT), |count| count.parse())?;
    let seed: u64 = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let local: SocketAddr = if target.is_ipv4() { "0.0.0.0:0".parse()? } else { "[::]:0".parse()? };
    let socket = UdpSocket::bind(local)?;
    let mut abuse = Abuse::new(seed);
    let (mut sent, mut refused) = (0u64, 0u64);
    for _ in 0..count {
        let (_, datagram) = abuse.next_datagram();
        match socket.send_to(&datagram, target) {
            Ok(_) => sent += 1,
            Err(_) => refused += 1,
        }
    }
    println!("sent {sent} datagrams to {target} with seed {seed}; this host's kernel refused {refused}");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
