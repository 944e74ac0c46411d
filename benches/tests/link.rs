//! The link emulator measured from outside: what arrives through the namespace, and what stays when it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const EMULATOR: &str = env!("CARGO_BIN_EXE_consilium-link");
/// For what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what must not.
const QUIET: Duration = Duration::from_millis(300);
const IP_AND_UDP_LEN: usize = 28;

/// A running emulator, with a socket at each end of it.
struct Emulated {
    process: Child,
    control: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    netns: String,
    host: UdpSocket,
    guest: UdpSocket,
}

impl Emulated {
    fn start(options: &str) -> Self {
        let mut process = Command::new(EMULATOR)
            .args(options.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let control = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let ready = answer(&mut answers)["ready"].clone();
        let address = |side: &str| ready[side].as_str().unwrap().parse::<Ipv4Addr>().unwrap();
        let netns = ready["netns"].as_str().unwrap().to_owned();
        let host = UdpSocket::bind((address("host"), 0)).unwrap();
        let guest = within(&netns, move || UdpSocket::bind(("0.0.0.0", 0)).unwrap());
        let guest_address = SocketAddr::from((address("guest"), guest.local_addr().unwrap().port()));
        guest.connect(host.local_addr().unwrap()).unwrap();
        host.connect(guest_address).unwrap();
        Self { process, control, answers, netns, host, guest }
    }

    fn tell(&mut self, line: &Value) -> Value {
        writeln!(self.control.as_mut().unwrap(), "{line}").unwrap();
        answer(&mut self.answers)
    }

    /// As the parent does by ending.
    fn close(mut self) -> ExitStatus {
        self.control = None;
        self.process.wait().unwrap()
    }

    fn exists(netns: &str) -> bool {
        Path::new("/run/netns").join(netns).exists()
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("the emulator said {line:?}"))
}

/// A socket stays in the namespace where it was made; the thread that made it ends there.
fn within<T: Send + 'static>(netns: &str, make: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = File::open(Path::new("/run/netns").join(netns)).unwrap();
    let thread = std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        make()
    });
    thread.join().unwrap()
}

fn receive(socket: &UdpSocket, timeout: Duration) -> Option<usize> {
    socket.set_read_timeout(Some(timeout)).unwrap();
    socket.recv(&mut [0; 2_000]).ok()
}

/// Says why nothing can be shown here; where everything must be shown, that is a failure.
fn is_possible() -> bool {
    let why = match (geteuid().is_root(), Path::new("/dev/net/tun").exists()) {
        (false, _) => "needs root",
        (_, false) => "needs /dev/net/tun",
        _ => return true,
    };
    assert!(std::env::var("CI").is_err(), "the link emulator {why}");
    eprintln!("skipped: the link emulator {why}");
    false
}

#[test]
fn packets_arrive_at_the_rate() {
    if !is_possible() {
        return;
    }
    let emulated = Emulated::start("--down-rate 1M --queue 1M");
    let (packets, len) = (60, 1_200);
    for _ in 0..packets {
        emulated.host.send(&vec![0; len]).unwrap();
    }
    assert_eq!(receive(&emulated.guest, PATIENCE), Some(len));
    let first = Instant::now();
    for _ in 1..packets {
        assert_eq!(receive(&emulated.guest, PATIENCE), Some(len));
    }
    let bits = (packets - 1) * (len + IP_AND_UDP_LEN) * 8;
    let rate = bits as f64 / first.elapsed().as_secs_f64();
    assert!((0.95e6..1.05e6).contains(&rate), "{rate:.0} bit/s");
    assert!(emulated.close().success());
}

#[test]
fn an_echo_takes_the_delay_of_both_ways_and_what_is_lost_does_not_return() {
    if !is_possible() {
        return;
    }
    let mut emulated = Emulated::start("--delay 25ms --down-loss 0 --up-loss 0");
    let mut times: Vec<Duration> = (0..20).map(|_| echo(&emulated)).collect();
    times.sort();
    let (least, median) = (times[0], times[times.len() / 2]);
    assert!(least >= Duration::from_millis(50) && median < Duration::from_millis(55), "{times:?}");

    let changed = emulated.tell(&json!({"down": {"delay_ms": 0, "loss": {"random": 0.1}}, "up": {"delay_ms": 0}}));
    assert_eq!(changed, "done");
    let sent = 2_000;
    let mut arrived = 0;
    for packet in 0..sent {
        emulated.host.send(&[0; 100]).unwrap();
        // As many at once as the socket holds.
        if packet % 100 == 99 {
            let until_quiet = if packet + 1 == sent { QUIET } else { QUIET / 10 };
            arrived += std::iter::from_fn(|| receive(&emulated.guest, until_quiet)).count();
        }
    }
    let stats = emulated.tell(&json!({"stats": true}))["stats"].clone();
    let loss = 1.0 - f64::from(arrived as u32) / f64::from(sent);
    // Four standard deviations to each side.
    assert!((0.073..0.127).contains(&loss), "{loss}");
    assert_eq!(stats["down"]["lost"], json!(sent as usize - arrived), "the emulator counts what is missing: {stats}");
    eprintln!("echo {least:?} to {median:?}, loss {loss}, timer {}", stats["timer"]);
}

fn echo(emulated: &Emulated) -> Duration {
    let start = Instant::now();
    emulated.guest.send(b"there").unwrap();
    assert_eq!(receive(&emulated.host, PATIENCE), Some(5));
    emulated.host.send(b"back").unwrap();
    assert_eq!(receive(&emulated.guest, PATIENCE), Some(4));
    start.elapsed()
}

#[test]
fn nothing_passes_in_an_outage_and_all_does_after_it() {
    if !is_possible() {
        return;
    }
    let mut emulated = Emulated::start("");
    echo(&emulated);
    let length_ms = 600;
    assert_eq!(emulated.tell(&json!({"outage_ms": length_ms})), "done");
    let start = Instant::now();
    emulated.guest.send(b"lost").unwrap();
    emulated.host.send(b"lost").unwrap();
    assert_eq!((receive(&emulated.guest, QUIET), receive(&emulated.host, QUIET / 10)), (None, None));
    while receive(&emulated.host, Duration::from_millis(5)).is_none() {
        emulated.guest.send(b"again").unwrap();
        assert!(start.elapsed() < PATIENCE);
    }
    let length = start.elapsed();
    assert!(length >= Duration::from_millis(length_ms - 50), "{length:?}");
    assert_eq!(emulated.tell(&json!({"down": {"rate": 1}})).as_object().unwrap().keys().next().unwrap(), "error");
}

#[test]
fn nothing_stays_when_it_ends_and_what_a_killed_run_left_is_removed() {
    if !is_possible() {
        return;
    }
    let asked_to_end = Emulated::start("");
    let netns = asked_to_end.netns.clone();
    assert!(Emulated::exists(&netns));
    kill(Pid::from_raw(asked_to_end.process.id() as i32), Signal::SIGTERM).unwrap();
    // Its input stays open meanwhile.
    let mut process = asked_to_end.process;
    assert!(process.wait().unwrap().success());
    assert!(!Emulated::exists(&netns));

    let mut killed = Emulated::start("--netns consilium-link-killed");
    assert!(Emulated::exists("consilium-link-killed"));
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    let next = Emulated::start("");
    assert!(!Emulated::exists("consilium-link-killed"));
    assert!(next.close().success());
}

#[test]
fn a_command_has_the_path_for_its_only_way_out_and_its_end_is_ours() {
    if !is_possible() {
        return;
    }
    let run = |script: &str| {
        let output = Command::new(EMULATOR).args(["--", "sh", "-c", script]).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, routes) = run("ip route show default; exit 7");
    assert_eq!(code, Some(7));
    assert!(routes.starts_with("default dev conlink") && routes.lines().count() == 1, "{routes}");
    let (_, devices) = run("ip -brief link");
    assert_eq!(devices.lines().filter(|line| !line.starts_with("lo ")).count(), 1, "{devices}");
}
