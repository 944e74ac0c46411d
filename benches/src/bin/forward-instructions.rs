//! Instructions per forwarded packet, which unlike times do not depend on who else uses the machine.
//!
//! Without arguments it runs itself under `valgrind --tool=callgrind` for each scenario and prints a table. Valgrind's
//! processor has no AVX-512, so the cipher takes a longer path there than on most servers; compare with the bare seal of the
//! same table.

use consilium_benches::meeting::{Arrival, BURST, Meeting};
use consilium_benches::peer::MEDIA_HEADER_LEN;
use consilium_benches::seal::BareSeal;
use consilium_media_core::transport::identity::Identity;
use std::process::{Command, ExitCode};

const PAYLOAD_LEN: usize = 1_160;
const WARM_UP_BURSTS: usize = 100;
const MEASURED_BURSTS: usize = 100;
/// Name, publishers, members that only receive.
const SCENARIOS: [(&str, usize, usize); 2] = [("1 to 50", 1, 50), ("10 x 10", 10, 0)];

type Failure = Box<dyn std::error::Error>;

/// Callgrind counts inside this function only; its name is given on the command line.
#[inline(never)]
fn measured_forward(meeting: &mut Meeting, arrivals: &mut [Arrival]) {
    for burst in arrivals.chunks_mut(BURST) {
        meeting.forward_burst(burst);
        meeting.run_timers();
    }
}

/// As [`measured_forward`].
#[inline(never)]
fn measured_seal(bare: &mut BareSeal, bursts: usize) -> Result<u64, Failure> {
    let mut packets = 0;
    for _ in 0..bursts {
        packets += bare.run().map_err(|_| "the seal failed")?;
    }
    Ok(std::hint::black_box(packets))
}

fn forward(publishers: usize, receivers: usize) -> Result<u64, Failure> {
    let mut meeting = Meeting::of(Identity::generate()?, publishers, receivers, PAYLOAD_LEN)?;
    let mut warm_up = meeting.prepare(WARM_UP_BURSTS);
    for burst in warm_up.chunks_mut(BURST) {
        meeting.forward_burst(burst);
        meeting.run_timers();
    }
    meeting.renew_consent()?;
    let mut arrivals = meeting.prepare(MEASURED_BURSTS);
    let before = meeting.stats().rtp_forwarded;
    measured_forward(&mut meeting, &mut arrivals);
    Ok(meeting.stats().rtp_forwarded - before)
}

fn seal(publishers: usize, receivers: usize) -> Result<u64, Failure> {
    let subscribers = publishers + receivers - 1;
    let bare = BareSeal::new(subscribers, BURST, MEDIA_HEADER_LEN, PAYLOAD_LEN);
    measured_seal(&mut bare.map_err(|_| "no key")?, MEASURED_BURSTS * publishers)
}

/// Instructions per packet of one measurement, in a process of its own.
fn under_callgrind(what: &str, scenario: &str) -> Result<f64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=*measured_{what}*"))
        .arg(std::env::current_exe()?)
        .args([what, scenario])
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("the measurement failed:\n{log}").into());
    }
    let collected = log.lines().find_map(|line| line.split_once("Collected :")).ok_or("no figure from callgrind")?;
    let instructions: f64 = collected.1.trim().parse()?;
    let packets: f64 = printed.trim().parse()?;
    Ok(instructions / packets)
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let Some(what) = arguments.next() else {
        println!("{:<10}{:>20}{:>18}{:>10}", "meeting", "forward instr/pkt", "seal instr/pkt", "ratio");
        for (name, ..) in SCENARIOS {
            let (forward, seal) = (under_callgrind("forward", name)?, under_callgrind("seal", name)?);
            println!("{name:<10}{forward:>20.0}{seal:>18.0}{:>10.2}", forward / seal);
        }
        return Ok(());
    };
    let name = arguments.next().unwrap_or_default();
    let scenario = SCENARIOS.into_iter().find(|scenario| scenario.0 == name).ok_or("unknown scenario")?;
    let packets = match what.as_str() {
        "forward" => forward(scenario.1, scenario.2)?,
        "seal" => seal(scenario.1, scenario.2)?,
        _ => return Err("measure `forward` or `seal`, or call without arguments".into()),
    };
    println!("{packets}");
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
