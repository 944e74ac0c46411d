//! The subscribers of the floor: sockets with receive offload, emptied by a thread that does nothing else.

use crate::load::process;
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Asked for; holds everything that may be under way to one subscriber, with the kernel's own bookkeeping.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// The kernel merges received datagrams up to the largest UDP payload.
const BUFFER_LEN: usize = 1 << 16;
const BUFFERS: usize = quinn_udp::BATCH_SIZE;
const WAKE: mio::Token = mio::Token(usize::MAX);

/// Dropping it ends the thread.
pub(super) struct Drain {
    addresses: Vec<SocketAddr>,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    waker: mio::Waker,
    thread: Option<JoinHandle<()>>,
}

impl Drain {
    pub(super) fn start(subscribers: usize, cpu: Option<usize>) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKE)?;
        let mut sockets = Vec::with_capacity(subscribers);
        for index in 0..subscribers {
            let mut socket = open()?;
            poll.registry().register(&mut socket, mio::Token(index), mio::Interest::READABLE)?;
            let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
            sockets.push((socket, state));
        }
        let addresses = sockets.iter().map(|(socket, _)| socket.local_addr()).collect::<io::Result<_>>()?;
        let (received, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ends) = (Arc::clone(&received), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("drain".to_owned()).spawn(move || {
            process::pin_this_thread(cpu);
            if let Err(error) = run(poll, &sockets, &count, &ends) {
                eprintln!("the subscribers cannot go on: {error}");
            }
        })?;
        Ok(Self { addresses, received, stop, waker, thread: Some(thread) })
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Packets of all subscribers.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A thread that cannot be woken has ended.
        let _ = self.waker.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the subscribers' thread had panicked");
        }
    }
}

fn open() -> io::Result<mio::net::UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(mio::net::UdpSocket::from_std(socket.into()))
}

fn run(
    mut poll: mio::Poll,
    sockets: &[(mio::net::UdpSocket, UdpSocketState)],
    received: &AtomicU64,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut ready = mio::Events::with_capacity(1_024);
    let mut memory = vec![0; BUFFERS * BUFFER_LEN];
    while !stop.load(Ordering::Acquire) {
        match poll.poll(&mut ready, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &ready {
            let Some((socket, state)) = sockets.get(event.token().0) else { continue };
            // Readiness is told at its edge: what is not taken now is not announced again.
            while let Some(packets) = receive(socket, state, &mut memory)? {
                received.fetch_add(packets, Ordering::AcqRel);
            }
        }
    }
    Ok(())
}

/// One system call; `None` when nothing waits.
fn receive(socket: &mio::net::UdpSocket, state: &UdpSocketState, memory: &mut [u8]) -> io::Result<Option<u64>> {
    let mut metas = [RecvMeta::default(); BUFFERS];
    let mut chunks = memory.chunks_exact_mut(BUFFER_LEN);
    let mut slices: [IoSliceMut<'_>; BUFFERS] =
        std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
    match state.recv(UdpSockRef::from(socket), &mut slices, &mut metas) {
        Ok(filled) => {
            let packets = metas.iter().take(filled).map(|meta| meta.len.div_ceil(meta.stride.max(1)) as u64);
            Ok(Some(packets.sum()))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
