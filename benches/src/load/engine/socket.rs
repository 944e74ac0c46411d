//! One connection's UDP socket: batches in, bursts out, with the kernel's offloads and its time stamps.

use mio::net::UdpSocket;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel merges received datagrams up to the largest UDP payload.
const BUFFER_LEN: usize = 1 << 16;
const BUFFERS: usize = quinn_udp::BATCH_SIZE;
/// Asked for, each way; the kernel grants what its limits allow. A keyframe to everybody at once must fit.
const SOCKET_BUFFER_BYTES: usize = 1 << 20;

pub(super) struct LoadSocket {
    pub(super) io: UdpSocket,
    state: UdpSocketState,
}

impl LoadSocket {
    /// On any port, for a server of this address family.
    pub(super) fn open(server: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        socket.bind(&any.into())?;
        let io = UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        Ok(Self { io, state })
    }

    /// Sends datagrams that are all `segment_len` long, the last perhaps shorter, as one train where the kernel can.
    pub(super) fn send(&self, destination: SocketAddr, contents: &[u8], segment_len: usize) -> io::Result<()> {
        let run_len = segment_len * self.state.max_gso_segments().max(1);
        for run in contents.chunks(run_len.max(1)) {
            let segment_size = (run.len() > segment_len).then_some(segment_len);
            let transmit = Transmit { destination, ecn: None, contents: run, segment_size, src_ip: None };
            self.state.try_send(UdpSockRef::from(&self.io), &transmit)?;
        }
        Ok(())
    }
}

/// The memory that arrivals land in, shared by all sockets of the thread.
pub(super) struct Arrivals {
    memory: Box<[u8]>,
    metas: [RecvMeta; BUFFERS],
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self { memory: vec![0; BUFFERS * BUFFER_LEN].into_boxed_slice(), metas: [RecvMeta::default(); BUFFERS] }
    }

    /// One system call. Returns how many buffers it filled, and whether more may wait.
    pub(super) fn receive(&mut self, socket: &LoadSocket) -> io::Result<(usize, bool)> {
        let mut chunks = self.memory.chunks_exact_mut(BUFFER_LEN);
        let mut slices: [IoSliceMut<'_>; BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let filled = socket.state.recv(UdpSockRef::from(&socket.io), &mut slices, &mut self.metas)?;
        Ok((filled, filled == BUFFERS))
    }

    /// The datagrams of the first `filled` buffers, each with the kernel's time of arrival, in nanoseconds since the Unix epoch.
    pub(super) fn datagrams(&mut self, filled: usize) -> impl Iterator<Item = (Option<u64>, &mut [u8])> {
        let buffers = self.memory.chunks_exact_mut(BUFFER_LEN).zip(&self.metas).take(filled);
        buffers.flat_map(|(buffer, meta)| {
            let at_ns = meta.timestamp.map(|time| time.as_nanos() as u64);
            let len = meta.len.min(buffer.len());
            buffer[..len].chunks_mut(meta.stride.max(1)).map(move |datagram| (at_ns, datagram))
        })
    }
}
