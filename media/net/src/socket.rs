//! One UDP socket: batches in, trains out. It knows the kernel's offloads and their failures, nothing of what it carries.

use crate::config::{MediaConfig, Offload, StartError};
use crate::stats::{NetStats, SendFailure};
use consilium_media_core::batch::Train;
use consilium_media_core::params::Path;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The kernel merges received datagrams of one flow up to the largest UDP payload.
const RECEIVE_BUFFER_LEN: usize = 1 << 16;
/// Buffers that one system call can fill.
pub(crate) const BUFFERS: usize = quinn_udp::BATCH_SIZE;
/// After offload failed on datagrams that could not be sent singly either, it is left alone this long: each further
/// attempt costs a dozen system calls, and a peer's address can be the cause.
const OFFLOAD_RETRY: Duration = Duration::from_secs(1);

/// What is known of segmentation offload on one socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Segmentation {
    Working,
    /// Failed on something that could not be sent at all, which says nothing about the device.
    Suspended {
        until: Instant,
    },
    /// Not there, switched off, or a device without it.
    Off,
}

pub(crate) struct MediaSocket {
    pub(crate) io: mio::net::UdpSocket,
    address: SocketAddr,
    /// quinn-udp gives up offload in its state after certain errors, also those that have nothing to do with it. Single
    /// datagrams therefore have a state of their own.
    trains: UdpSocketState,
    singles: UdpSocketState,
    segmentation: Segmentation,
}

impl MediaSocket {
    pub(crate) fn bind(address: SocketAddr, config: &MediaConfig) -> Result<Self, StartError> {
        let socket = open(address).map_err(|source| StartError::Bind { address, source })?;
        let fail = |source| StartError::Socket { address, source };
        let bound = socket.local_addr().map_err(fail)?.as_socket().unwrap_or(address);
        size_buffers(&socket, bound, config).map_err(fail)?;
        let io = mio::net::UdpSocket::from_std(socket.into());
        let trains = UdpSocketState::new(UdpSockRef::from(&io)).map_err(fail)?;
        let singles = UdpSocketState::new(UdpSockRef::from(&io)).map_err(fail)?;
        let segmentation = match config.offload {
            Offload::Auto if trains.max_gso_segments() > 1 => Segmentation::Working,
            Offload::Auto | Offload::Off => {
                tracing::warn!(
                    port = bound.port(),
                    "UDP segmentation offload is off: sending costs several times more"
                );
                Segmentation::Off
            }
        };
        if trains.gro_segments() < 2 {
            tracing::warn!(port = bound.port(), "UDP receive offload is off: receiving costs several times more");
        }
        Ok(Self { io, address: bound, trains, singles, segmentation })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn segmentation_offload(&self) -> bool {
        self.segmentation != Segmentation::Off
    }

    pub(crate) fn receive_offload(&self) -> bool {
        self.trains.gro_segments() > 1
    }

    /// Sends one train. Failures are counted, never returned: whatever a datagram carries can be repeated by its protocol.
    pub(crate) fn send(&mut self, train: &Train, now: Instant, stats: &mut NetStats) {
        let (path, segment_len) = (train.path(), train.segment_len());
        let segments = if train.packets() > 1 { self.segments_per_send(now) } else { 1 };
        if segments < 2 {
            self.send_singly(path, train.bytes(), segment_len, stats);
            return;
        }
        let run_len = segment_len.saturating_mul(segments);
        let mut rest = train.bytes();
        while !rest.is_empty() {
            let (run, after) = rest.split_at(run_len.min(rest.len()));
            let datagrams = run.len().div_ceil(segment_len);
            match transmit(&self.trains, &self.io, path, run, Some(segment_len)) {
                Ok(()) => {
                    stats.trains_sent += 1;
                    stats.datagrams_sent += datagrams as u64;
                    stats.bytes_sent += run.len() as u64;
                }
                Err(_) if self.trains.max_gso_segments() < 2 => {
                    let first_left = self.send_singly(path, rest, segment_len, stats);
                    self.judge_offload(first_left, now);
                    return;
                }
                Err(error) => stats.send_failures.count(SendFailure::of(&error), datagrams),
            }
            rest = after;
        }
    }

    fn segments_per_send(&mut self, now: Instant) -> usize {
        match self.segmentation {
            Segmentation::Off => 1,
            Segmentation::Suspended { until } if now < until => 1,
            Segmentation::Suspended { .. } => {
                // A new state forgets the failure.
                if let Ok(fresh) = UdpSocketState::new(UdpSockRef::from(&self.io)) {
                    self.trains = fresh;
                }
                self.segmentation = Segmentation::Working;
                self.trains.max_gso_segments()
            }
            Segmentation::Working => self.trains.max_gso_segments(),
        }
    }

    /// A train failed in a way that may mean that the device has no offload. `first_left`: whether its first datagram, a
    /// full segment, then left alone.
    fn judge_offload(&mut self, first_left: bool, now: Instant) {
        if first_left {
            tracing::warn!(
                port = self.address.port(),
                "the network device refuses UDP segmentation offload: sending costs several times more"
            );
            self.segmentation = Segmentation::Off;
        } else {
            self.segmentation = Segmentation::Suspended { until: now + OFFLOAD_RETRY };
        }
    }

    /// Whether the first datagram left.
    fn send_singly(&self, path: Path, bytes: &[u8], segment_len: usize, stats: &mut NetStats) -> bool {
        let mut first_left = None;
        for datagram in bytes.chunks(segment_len.max(1)) {
            let result = transmit(&self.singles, &self.io, path, datagram, None);
            first_left.get_or_insert(result.is_ok());
            match result {
                Ok(()) => {
                    stats.datagrams_sent += 1;
                    stats.bytes_sent += datagram.len() as u64;
                }
                Err(error) => stats.send_failures.count(SendFailure::of(&error), 1),
            }
        }
        first_left.unwrap_or(false)
    }
}

fn transmit(
    state: &UdpSocketState,
    io: &mio::net::UdpSocket,
    path: Path,
    contents: &[u8],
    segment_size: Option<usize>,
) -> io::Result<()> {
    let transmit = Transmit { destination: path.remote, ecn: None, contents, segment_size, src_ip: path.local };
    state.try_send(UdpSockRef::from(io), &transmit)
}

/// No SO_REUSEADDR: with it, another process could take the port and the datagrams.
fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn size_buffers(socket: &Socket, address: SocketAddr, config: &MediaConfig) -> io::Result<()> {
    socket.set_recv_buffer_size(config.receive_buffer_bytes)?;
    socket.set_send_buffer_size(config.send_buffer_bytes)?;
    // Linux doubles what it grants, for its own bookkeeping (socket(7)).
    let granted = [
        ("net.core.rmem_max", config.receive_buffer_bytes, socket.recv_buffer_size()? / 2),
        ("net.core.wmem_max", config.send_buffer_bytes, socket.send_buffer_size()? / 2),
    ];
    for (sysctl, wanted_bytes, granted_bytes) in granted {
        if granted_bytes < wanted_bytes {
            tracing::warn!(
                port = address.port(),
                sysctl,
                wanted_bytes,
                granted_bytes,
                "a media socket's buffer is smaller than configured: raise the sysctl or packets are lost in bursts"
            );
        }
    }
    Ok(())
}

/// The memory that received batches land in.
pub(crate) struct ReceiveBatch {
    memory: Box<[u8]>,
    metas: [RecvMeta; BUFFERS],
}

impl ReceiveBatch {
    pub(crate) fn new() -> Self {
        Self { memory: vec![0; BUFFERS * RECEIVE_BUFFER_LEN].into_boxed_slice(), metas: [RecvMeta::default(); BUFFERS] }
    }

    /// One system call. Returns how many buffers it filled, to be given to [`Self::datagrams`].
    pub(crate) fn receive(&mut self, socket: &MediaSocket) -> io::Result<usize> {
        let mut chunks = self.memory.chunks_exact_mut(RECEIVE_BUFFER_LEN);
        let mut slices: [IoSliceMut<'_>; BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        socket.trains.recv(UdpSockRef::from(&socket.io), &mut slices, &mut self.metas)
    }

    /// The datagrams in the first `filled` buffers, in order, with their paths.
    pub(crate) fn datagrams(&mut self, filled: usize) -> impl Iterator<Item = (Path, &mut [u8])> {
        let buffers = self.memory.chunks_exact_mut(RECEIVE_BUFFER_LEN).zip(&self.metas).take(filled);
        buffers.flat_map(|(buffer, meta)| {
            let path = Path { remote: meta.addr, local: meta.dst_ip };
            let len = meta.len.min(buffer.len());
            // An empty datagram has a stride of zero, and no chunk.
            buffer[..len].chunks_mut(meta.stride.max(1)).map(move |datagram| (path, datagram))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consilium_media_core::batch::{Destination, Priority, SendBatch};
    use std::net::UdpSocket;

    fn config(offload: Offload) -> MediaConfig {
        MediaConfig { offload, ..MediaConfig::default() }
    }

    fn socket(offload: Offload) -> MediaSocket {
        MediaSocket::bind("127.0.0.1:0".parse().unwrap(), &config(offload)).unwrap()
    }

    fn listener() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn batch_to(remote: SocketAddr, datagrams: &[Vec<u8>]) -> SendBatch {
        let mut batch = SendBatch::new();
        let to = Destination { slot: 0, path: Path { remote, local: None } };
        assert!(datagrams.iter().all(|datagram| batch.push(to, Priority::Normal, datagram)));
        batch
    }

    fn send_all(socket: &mut MediaSocket, batch: &SendBatch, now: Instant) -> NetStats {
        let mut stats = NetStats::default();
        batch.trains().for_each(|train| socket.send(train, now, &mut stats));
        stats
    }

    fn numbered(count: u8, len: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| vec![number; len]).collect()
    }

    fn check_arrives(offload: Offload, datagrams: &[Vec<u8>], trains_sent: u64) {
        let listener = listener();
        let mut socket = socket(offload);
        let batch = batch_to(listener.local_addr().unwrap(), datagrams);
        let stats = send_all(&mut socket, &batch, Instant::now());
        let mut buffer = [0; 2048];
        for sent in datagrams {
            let len = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], &sent[..]);
        }
        assert_eq!(stats.trains_sent, trains_sent);
        assert_eq!(stats.datagrams_sent, datagrams.len() as u64);
        assert_eq!(stats.bytes_sent, datagrams.iter().map(Vec::len).sum::<usize>() as u64);
        assert_eq!(stats.send_failures.total(), 0);
    }

    #[test]
    fn a_train_arrives_in_order_and_intact() {
        let mut datagrams = numbered(40, 1200);
        datagrams.push(vec![99; 700]);
        check_arrives(Offload::Auto, &datagrams, 1);
    }

    #[test]
    fn without_offload_a_train_leaves_as_single_datagrams() {
        let mut datagrams = numbered(10, 1200);
        datagrams.push(vec![99; 700]);
        check_arrives(Offload::Off, &datagrams, 0);
    }

    #[test]
    fn a_received_train_is_split_where_it_was_joined() {
        let receiver = socket(Offload::Auto);
        let mut sender = socket(Offload::Auto);
        let mut datagrams = numbered(20, 500);
        datagrams.push(vec![77; 33]);
        let batch = batch_to(receiver.address(), &datagrams);
        send_all(&mut sender, &batch, Instant::now());
        let mut received = Vec::new();
        let mut buffers = ReceiveBatch::new();
        // Loopback delivers within the sending system call.
        while let Ok(filled) = buffers.receive(&receiver) {
            for (path, datagram) in buffers.datagrams(filled) {
                assert_eq!(path.remote, sender.address());
                assert_eq!(path.local, Some("127.0.0.1".parse().unwrap()));
                received.push(datagram.to_vec());
            }
        }
        assert_eq!(received, datagrams);
    }

    #[test]
    fn an_empty_datagram_is_no_datagram() {
        let receiver = socket(Offload::Auto);
        let sender = listener();
        sender.send_to(&[], receiver.address()).unwrap();
        let mut buffers = ReceiveBatch::new();
        let filled = buffers.receive(&receiver).unwrap();
        assert_eq!((filled, buffers.datagrams(filled).count()), (1, 0));
    }

    #[test]
    fn datagrams_that_can_never_leave_suspend_offload_but_do_not_end_it() {
        let listener = listener();
        let mut socket = socket(Offload::Auto);
        let start = Instant::now();
        // Port 0 is not a destination: the kernel answers EINVAL, as it would for missing offload.
        let bad = batch_to("127.0.0.1:0".parse().unwrap(), &numbered(4, 100));
        let good = batch_to(listener.local_addr().unwrap(), &numbered(4, 100));
        assert_eq!(send_all(&mut socket, &bad, start).send_failures.total(), 4);
        assert!(socket.segmentation_offload());
        let suspended = send_all(&mut socket, &good, start);
        assert_eq!((suspended.trains_sent, suspended.datagrams_sent), (0, 4));
        let resumed = send_all(&mut socket, &good, start + OFFLOAD_RETRY);
        assert_eq!((resumed.trains_sent, resumed.datagrams_sent), (1, 4));
    }

    #[test]
    fn failures_are_counted_by_cause() {
        let mut socket = socket(Offload::Auto);
        // Broadcasting needs a permission that the socket never asks for: EACCES.
        let batch = batch_to("255.255.255.255:9".parse().unwrap(), &numbered(3, 100));
        let stats = send_all(&mut socket, &batch, Instant::now());
        assert_eq!(stats.datagrams_sent, 0);
        assert_eq!(stats.send_failures.get(SendFailure::Forbidden), 3);
        assert_eq!(stats.send_failures.total(), 3);
    }

    #[test]
    fn a_port_in_use_is_named_in_the_error() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = MediaSocket::bind(address, &config(Offload::Auto)).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
