//! What an operator chooses about the media plane, and what can be wrong with it at start-up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The first media port; worker `i` listens on this plus `i`.
pub const UDP_PORT_BASE_DEFAULT: u16 = 7882;
/// Wanted size of a socket's kernel buffer, in bytes. At 1 Gbit/s it holds some 30 ms: the longest that a worker may be
/// held up before the kernel drops.
pub const SOCKET_BUFFER_BYTES_DEFAULT: usize = 4 << 20;

/// Longest time that a busy worker lets datagrams gather, so that more of them leave in one train. An order below what a
/// listener or a jitter buffer notices.
pub const COALESCE_DEFAULT: Duration = Duration::from_millis(1);

/// Niceness of the media threads, so that others of their core do not hold them up. Measured with `perf sched` at 345 thousand
/// packets/s: those that negotiate did, for 3 to 5 ms at a time, while people joined.
pub const NICE_DEFAULT: i32 = -10;

/// Whether trains may leave in one system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Offload {
    /// Used where the kernel has it, given up when a device turns out not to.
    #[default]
    Auto,
    /// Never: for hosts whose driver breaks segmented datagrams silently.
    Off,
}

#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Threads; 0 means one per core.
    pub workers: usize,
    /// See [`UDP_PORT_BASE_DEFAULT`]. 0 lets the kernel choose every port.
    pub udp_port_base: u16,
    /// `None` leaves IPv4 out.
    pub bind_v4: Option<Ipv4Addr>,
    /// `None` leaves IPv6 out.
    pub bind_v6: Option<Ipv6Addr>,
    /// When not empty, exactly these are advertised, whether or not the host owns them.
    pub advertise: Vec<IpAddr>,
    pub receive_buffer_bytes: usize,
    pub send_buffer_bytes: usize,
    /// Ties worker `i` to the `i`-th core that the process may use.
    pub pin_workers: bool,
    /// See [`NICE_DEFAULT`]; -20 to 19, 0 as other threads. What the host does not permit is logged and left.
    pub nice: i32,
    /// See [`COALESCE_DEFAULT`]. Zero: nobody ever waits.
    pub coalesce: Duration,
    pub offload: Offload,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            udp_port_base: UDP_PORT_BASE_DEFAULT,
            bind_v4: Some(Ipv4Addr::UNSPECIFIED),
            bind_v6: Some(Ipv6Addr::UNSPECIFIED),
            advertise: Vec::new(),
            receive_buffer_bytes: SOCKET_BUFFER_BYTES_DEFAULT,
            send_buffer_bytes: SOCKET_BUFFER_BYTES_DEFAULT,
            pin_workers: true,
            nice: NICE_DEFAULT,
            coalesce: COALESCE_DEFAULT,
            offload: Offload::Auto,
        }
    }
}

impl MediaConfig {
    /// The number of threads that this configuration makes on this host.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    /// The port of worker `index`.
    pub(crate) fn port(&self, index: usize) -> Result<u16, StartError> {
        if self.udp_port_base == 0 {
            return Ok(0);
        }
        let port = usize::from(self.udp_port_base).saturating_add(index);
        u16::try_from(port)
            .map_err(|_| StartError::PortRange { base: self.udp_port_base, workers: self.worker_count() })
    }
}

/// Why the media plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("media needs an IPv4 or an IPv6 address to bind")]
    NoAddress,
    #[error("{workers} media workers from UDP port {base} on would go beyond port 65535")]
    PortRange { base: u16, workers: usize },
    #[error("cannot bind the media socket UDP {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("cannot set up the media socket UDP {address}: {source}")]
    Socket { address: SocketAddr, source: io::Error },
    #[error("the advertised media address {address} has no socket of its IP version")]
    AdvertisedFamily { address: IpAddr },
    #[error("no address of this host can be advertised for media; set one explicitly")]
    NoCandidate,
    #[error("cannot list the network interfaces: {0}")]
    Interfaces(io::Error),
    #[error("cannot start the thread of media worker {worker}: {source}")]
    Thread { worker: usize, source: io::Error },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_consecutive_ports_and_never_wrap() {
        let config = MediaConfig { workers: 3, udp_port_base: 65534, ..MediaConfig::default() };
        assert_eq!(config.port(1).ok(), Some(65535));
        let error = config.port(2).map_err(|error| error.to_string());
        assert_eq!(error, Err("3 media workers from UDP port 65534 on would go beyond port 65535".to_owned()));
        let ephemeral = MediaConfig { udp_port_base: 0, ..MediaConfig::default() };
        assert_eq!(ephemeral.port(2).ok(), Some(0));
    }
}
