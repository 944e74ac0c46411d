//! The link emulator: a network namespace whose only way out is a path of chosen rate, queue, delay, loss and disorder. Real
//! browsers run inside it, on any kernel that has namespaces and TUN devices.
//!
//! ```text
//!  host                        this process                      namespace
//!  server <-> TUN device <-> Link up, Link down <-> TUN device <-> browser
//! ```
//!
//! ```text
//! options     the command line
//! control     lines of JSON: what changes while it runs, and what is answered
//! namespace   what is made in the kernel, and that it is removed
//! shovel      carries packets from one device to the other through the links
//! events      the one wait: packets, times, signals, control
//! report      what the links did, for people and for programs
//! ```

mod control;
mod events;
mod namespace;
pub mod options;
mod report;
mod shovel;

use crate::tun::control::{Answer, Control};
use crate::tun::events::{Events, Interrupt};
use crate::tun::namespace::Namespace;
use crate::tun::options::Options;
use crate::tun::report::Report;
use crate::tun::shovel::Shovel;
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// A browser that was asked to end has ended by then.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Runs until the command ends, or without one until the standard input does; both until a signal.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let paths = options.paths()?;
    raise_priority();
    // Before anything is made that a signal could leave behind.
    let mut events = Events::new()?;
    let (namespace, devices) = Namespace::create(options.netns.as_deref(), options.mtu)?;
    let mut shovel = Shovel::new(devices, paths, options.seed, Instant::now());
    let mut command = match options.command.split_first() {
        Some((program, arguments)) => Some(start(&namespace, options.user.as_deref(), program, arguments)?),
        None => None,
    };
    let mut control = Control::new(command.is_some());
    control.answer(&Answer::Ready {
        netns: namespace.name(),
        host: namespace.host_address(),
        guest: namespace.guest_address(),
    })?;
    let ended = carry(&mut events, &mut shovel, &mut control, &mut command);
    let code = match (ended, command) {
        (Ok(code), _) => code,
        (Err(error), command) => {
            command.into_iter().for_each(|mut child| drop(child.kill()));
            return Err(error);
        }
    };
    let report = Report::of(&shovel);
    // Whoever started us may have closed it.
    let _ = writeln!(std::io::stderr(), "{report}");
    Ok(ExitCode::from(code))
}

/// On a machine that is busy with the very browsers that are tested, packets left 3,700 us late at the 99th percentile; before
/// ordinary programs, 120 us. Children are ordinary again. Where it is not to be had, the report says how late it was.
fn raise_priority() {
    let own = std::process::id().to_string();
    let _ = Command::new("chrt").args(["--reset-on-fork", "--rr", "--pid", "1", &own]).output();
}

fn carry(
    events: &mut Events,
    shovel: &mut Shovel,
    control: &mut Control,
    command: &mut Option<Child>,
) -> anyhow::Result<u8> {
    let mut kill_at: Option<Instant> = None;
    loop {
        let now = Instant::now();
        shovel.carry(now)?;
        if kill_at.is_some_and(|at| at <= now)
            && let Some(child) = command
        {
            child.kill()?;
            kill_at = None;
        }
        let until = [shovel.next_due(), kill_at].into_iter().flatten().min();
        let Some(interrupt) = events.wait(shovel.devices(), until, control.is_open())? else { continue };
        match interrupt {
            Interrupt::Control => control.read(shovel)?,
            Interrupt::Child => {
                if let Some(status) = command.as_mut().map(Child::try_wait).transpose()?.flatten() {
                    let code = status.code().or(status.signal().map(|signal| 128 + signal));
                    return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
                }
            }
            Interrupt::Stop => match command {
                Some(child) => {
                    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
                    // From the first time of asking.
                    kill_at.get_or_insert(Instant::now() + END_WITHIN);
                }
                None => return Ok(0),
            },
        }
        if command.is_none() && !control.is_open() {
            return Ok(0);
        }
    }
}

/// The standard input is ours, for control.
fn start(namespace: &Namespace, user: Option<&str>, program: &str, arguments: &[String]) -> anyhow::Result<Child> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace.name()]);
    if let Some(user) = user {
        command.args(["runuser", "--user", user, "--"]);
    }
    command.arg(program).args(arguments).stdin(Stdio::null());
    command.spawn().context("`ip` cannot be started: install iproute2")
}
