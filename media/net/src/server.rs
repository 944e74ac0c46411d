//! Starts the workers' threads and owns them.

use crate::candidates::candidates;
use crate::coalesce::Coalescing;
use crate::config::{MediaConfig, StartError};
use crate::events::EVENTS_MAX;
use crate::handle::{COMMANDS_MAX, MediaHandle, Port};
use crate::place::Place;
use crate::socket::MediaSocket;
use crate::thread::{Channels, Core, WAKE, WorkerLoop};
use consilium_media_core::control::RoomEvent;
use consilium_media_core::params::Fingerprint;
use consilium_media_core::transport::identity::Identity;
use consilium_media_core::worker::{Worker, WorkerConfig};
use mio::Interest;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Binds every port, then starts every thread. Nothing runs when an error is returned.
pub fn start(
    config: &MediaConfig,
    identity: Identity,
) -> Result<(MediaServer, MediaHandle, mpsc::Receiver<RoomEvent>), StartError> {
    let fingerprint = identity.fingerprint().clone();
    start_with(config, fingerprint, move |_worker| {
        let identity = identity.clone();
        move |now| {
            let unix_start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Worker::new(WorkerConfig { identity, seed: rand::random(), start: now, unix_start })
        }
    })
}

/// The threads of the media plane. Dropping it stops and joins them.
pub struct MediaServer {
    workers: Vec<Running>,
    stop: Arc<AtomicBool>,
}

struct Running {
    thread: Option<JoinHandle<()>>,
    waker: Arc<mio::Waker>,
}

impl MediaServer {
    /// Waits until all threads have done what was queued for them and ended.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for MediaServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for running in &self.workers {
            if let Err(error) = running.waker.wake() {
                tracing::error!(%error, "cannot wake a media worker");
            }
        }
        for (worker, running) in self.workers.iter_mut().enumerate() {
            if running.thread.take().is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(worker, "the media worker had panicked");
            }
        }
    }
}

/// A worker whose ports are bound, before its thread exists.
struct Bound {
    sockets: Vec<MediaSocket>,
    poll: mio::Poll,
    waker: Arc<mio::Waker>,
    port: Port,
    channels: Channels,
}

/// `core_of` makes, for a worker's index, what makes its core on the thread that will own it.
pub(crate) fn start_with<C, F>(
    config: &MediaConfig,
    fingerprint: Fingerprint,
    core_of: impl Fn(usize) -> F,
) -> Result<(MediaServer, MediaHandle, mpsc::Receiver<RoomEvent>), StartError>
where
    C: Core,
    F: FnOnce(Instant) -> C + Send + 'static,
{
    let interfaces = interface_addresses()?;
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let workers = (0..config.worker_count()).map(|worker| bind_worker(config, worker, &interfaces, &events, &stop));
    let bound: Vec<Bound> = workers.collect::<Result<_, _>>()?;

    let mut server = MediaServer { workers: Vec::new(), stop };
    let mut ports = Vec::new();
    for (worker, Bound { sockets, poll, waker, port, channels }) in bound.into_iter().enumerate() {
        let core = core_of(worker);
        let (place, coalesce) = (Place { worker, pin: config.pin_workers, nice: config.nice }, config.coalesce);
        let body = move || run(place, core, poll, sockets, channels, coalesce);
        let thread = std::thread::Builder::new()
            .name(format!("media-{worker}"))
            .spawn(body)
            .map_err(|source| StartError::Thread { worker, source })?;
        server.workers.push(Running { thread: Some(thread), waker });
        ports.push(port);
    }
    Ok((server, MediaHandle::new(fingerprint, ports), receiver))
}

fn bind_worker(
    config: &MediaConfig,
    worker: usize,
    interfaces: &[IpAddr],
    events: &mpsc::Sender<RoomEvent>,
    stop: &Arc<AtomicBool>,
) -> Result<Bound, StartError> {
    let mut sockets = bind_sockets(config, config.port(worker)?)?;
    let addresses: Vec<SocketAddr> = sockets.iter().map(MediaSocket::address).collect();
    let candidates = candidates(&addresses, &config.advertise, interfaces)?;
    let (poll, waker) =
        register(&mut sockets).map_err(|source| StartError::Socket { address: addresses[0], source })?;
    let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let stats = Arc::new(Mutex::default());
    let channels = Channels {
        commands: command_receiver,
        events: events.clone(),
        stats: Arc::clone(&stats),
        stop: Arc::clone(stop),
    };
    let port = Port { commands, waker: Some(Arc::clone(&waker)), candidates, stats, rooms: AtomicUsize::new(0) };
    Ok(Bound { sockets, poll, waker, port, channels })
}

/// Never empty.
fn bind_sockets(config: &MediaConfig, port: u16) -> Result<Vec<MediaSocket>, StartError> {
    let mut sockets = Vec::new();
    if let Some(ip) = config.bind_v4 {
        sockets.push(MediaSocket::bind(SocketAddr::new(ip.into(), port), config)?);
    }
    if let Some(ip) = config.bind_v6 {
        // Hosts without IPv6 are common, and the defaults must work there. An address that somebody chose must exist.
        let optional = !sockets.is_empty() && (ip.is_unspecified() || ip.is_loopback());
        match MediaSocket::bind(SocketAddr::new(ip.into(), port), config) {
            Ok(socket) => sockets.push(socket),
            Err(StartError::Bind { source, .. }) if optional && is_absent(&source) => {
                tracing::warn!(port, "this host has no IPv6: media uses IPv4 only");
            }
            Err(error) => return Err(error),
        }
    }
    if sockets.is_empty() { Err(StartError::NoAddress) } else { Ok(sockets) }
}

/// The IP version or the address does not exist on this host.
fn is_absent(error: &io::Error) -> bool {
    /// Linux's number; std has no kind for it.
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn register(sockets: &mut [MediaSocket]) -> io::Result<(mio::Poll, Arc<mio::Waker>)> {
    let poll = mio::Poll::new()?;
    for (index, socket) in sockets.iter_mut().enumerate() {
        poll.registry().register(&mut socket.io, mio::Token(index), Interest::READABLE)?;
    }
    let waker = mio::Waker::new(poll.registry(), WAKE)?;
    Ok((poll, Arc::new(waker)))
}

fn interface_addresses() -> Result<Vec<IpAddr>, StartError> {
    let interfaces = if_addrs::get_if_addrs().map_err(StartError::Interfaces)?;
    Ok(interfaces.iter().map(if_addrs::Interface::ip).collect())
}

fn run<C: Core>(
    place: Place,
    core: impl FnOnce(Instant) -> C,
    poll: mio::Poll,
    sockets: Vec<MediaSocket>,
    channels: Channels,
    coalesce: Duration,
) {
    place.take();
    let now = Instant::now();
    let coalescing = Coalescing::new(coalesce, now);
    if let Err(error) = WorkerLoop::new(core(now), poll, sockets, channels, coalescing, now).run() {
        tracing::error!(worker = place.worker, %error, "the media worker cannot wait for its sockets");
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
