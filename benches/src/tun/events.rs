//! The one wait of the one thread: for packets, for the next time, for signals, for control.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// The kernel may wake an ordinary thread 50 us late, to save power (prctl(2), PR_SET_TIMERSLACK). Zero would mean that.
const TIMER_SLACK_NS: u64 = 1;

/// What is not a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Interrupt {
    /// The standard input has something, or has ended.
    Control,
    /// A child has ended.
    Child,
    Stop,
}

/// Signals arrive as bytes. Blocked ones in a `signalfd` would do as well, were they not blocked in each child, too.
pub(super) struct Events {
    stop: UnixStream,
    child: UnixStream,
}

impl Events {
    /// From here on signals are read, and do nothing else.
    pub(super) fn new() -> anyhow::Result<Self> {
        set_timerslack(TIMER_SLACK_NS)?;
        Ok(Self { stop: bytes_of(&[SIGINT, SIGTERM, SIGHUP])?, child: bytes_of(&[SIGCHLD])? })
    }

    /// Returns at `until`, with a packet, or with an interrupt.
    pub(super) fn wait(
        &mut self,
        devices: [BorrowedFd<'_>; 2],
        until: Option<Instant>,
        is_controlled: bool,
    ) -> anyhow::Result<Option<Interrupt>> {
        let timeout = until.map(|until| TimeSpec::from(until.saturating_duration_since(Instant::now())));
        let input = std::io::stdin();
        let [host, guest] = devices;
        let sources = [self.stop.as_fd(), self.child.as_fd(), host, guest, input.as_fd()];
        let mut ready = sources.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // An input that has ended would always be ready.
        let asked = if is_controlled { &mut ready[..] } else { &mut ready[..4] };
        match ppoll(asked, timeout, None) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let [stop, child, _, _, control] = ready.map(|source| source.any().unwrap_or(false));
        Ok(if stop {
            drain(&mut self.stop)?;
            Some(Interrupt::Stop)
        } else if child {
            drain(&mut self.child)?;
            Some(Interrupt::Child)
        } else if control {
            Some(Interrupt::Control)
        } else {
            None
        })
    }
}

fn bytes_of(signals: &[i32]) -> std::io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read)
}

fn drain(stream: &mut UnixStream) -> std::io::Result<()> {
    loop {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
