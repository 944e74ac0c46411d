//! What a worker's thread counts, and the snapshot that it publishes for metrics.

use consilium_media_core::drops::{DropCounters, DropReason};
use consilium_media_core::worker::WorkerStats;
use std::io;
use std::time::Duration;

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $label:literal),+ $(,)?) => {
        /// Why the kernel did not take a datagram.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum SendFailure {
            $($(#[$doc])* $name),+
        }

        impl SendFailure {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The value of the metric's `cause` label.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label),+
                }
            }
        }
    };
}

failures! {
    /// The socket's send buffer was full (EAGAIN).
    BufferFull = "buffer_full",
    /// The device's queue or the kernel's memory was full (ENOBUFS, ENOMEM).
    NoBuffers = "no_buffers",
    /// Larger than the path's MTU (EMSGSIZE); fragmentation is forbidden.
    TooLarge = "too_large",
    /// No route, or an ICMP error came back.
    Unreachable = "unreachable",
    /// A firewall rule of this host (EPERM, EACCES).
    Forbidden = "forbidden",
    /// No socket of the destination's IP version.
    NoSocket = "no_socket",
    Other = "other",
}

impl SendFailure {
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        /// Linux's number on every architecture that we build for; std has no kind for it.
        const ENOBUFS: i32 = 105;
        /// As above.
        const EMSGSIZE: i32 = 90;
        match (error.kind(), error.raw_os_error()) {
            (_, Some(ENOBUFS)) => Self::NoBuffers,
            (_, Some(EMSGSIZE)) => Self::TooLarge,
            (Kind::WouldBlock, _) => Self::BufferFull,
            (Kind::OutOfMemory, _) => Self::NoBuffers,
            (Kind::PermissionDenied, _) => Self::Forbidden,
            (
                Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable,
                _,
            ) => Self::Unreachable,
            (Kind::NetworkDown, _) => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// Datagrams that were not sent, by cause.
#[derive(Clone, Debug, Default)]
pub struct SendFailures([u64; SendFailure::ALL.len()]);

impl SendFailures {
    pub(crate) fn count(&mut self, cause: SendFailure, datagrams: usize) {
        self.0[cause as usize] += datagrams as u64;
    }

    pub fn get(&self, cause: SendFailure) -> u64 {
        self.0[cause as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (SendFailure, u64)> + '_ {
        SendFailure::ALL.iter().map(|&cause| (cause, self.get(cause)))
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Upper bounds of [`DelayHistogram`]'s buckets; a last one without a bound follows. From a lone packet's way to what
/// a listener would hear.
pub const DELAY_BUCKETS: [Duration; 11] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// From the clock reading before a batch is received to the return of the system call that sent the packet on.
#[derive(Clone, Debug, Default)]
pub struct DelayHistogram {
    /// Packets per bucket of [`DELAY_BUCKETS`], not cumulative; the last entry is beyond all bounds.
    pub buckets: [u64; DELAY_BUCKETS.len() + 1],
    pub sum_seconds: f64,
    pub packets: u64,
}

impl DelayHistogram {
    pub(crate) fn observe(&mut self, delay: Duration, packets: u64) {
        let bucket = DELAY_BUCKETS.iter().position(|&bound| delay <= bound).unwrap_or(DELAY_BUCKETS.len());
        self.buckets[bucket] += packets;
        self.sum_seconds += delay.as_secs_f64() * packets as f64;
        self.packets += packets;
    }
}

/// One worker's figures. Counters only grow.
#[derive(Clone, Debug, Default)]
pub struct NetStats {
    pub core: WorkerStats,
    pub datagrams_sent: u64,
    pub bytes_sent: u64,
    /// System calls that sent more than one datagram.
    pub trains_sent: u64,
    pub send_failures: SendFailures,
    /// System calls that received something.
    pub receive_batches: u64,
    pub receive_errors: u64,
    pub commands: u64,
    /// What the thread itself dropped: events that found their queue full, datagrams that cannot be answered.
    pub drops: DropCounters,
    pub forwarding_delay: DelayHistogram,
    /// Trains leave in one system call on every socket.
    pub segmentation_offload: bool,
    /// The kernel hands over received trains as one.
    pub receive_offload: bool,
    /// Share of its time that the thread was working over the last window, 0 to 1.
    pub load: f64,
}

impl NetStats {
    /// Drops by reason, the core's and the thread's own together.
    pub fn dropped(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.core.drops.iter().map(|(reason, count)| (reason, count + self.drops.get(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_falls_into_the_first_bucket_that_holds_it() {
        let mut histogram = DelayHistogram::default();
        histogram.observe(Duration::from_micros(50), 2);
        histogram.observe(Duration::from_micros(51), 3);
        histogram.observe(Duration::from_secs(1), 1);
        assert_eq!(histogram.buckets[..2], [2, 3]);
        assert_eq!(histogram.buckets[DELAY_BUCKETS.len()], 1);
        assert_eq!(histogram.packets, 6);
        assert!((histogram.sum_seconds - 1.000_253).abs() < 1e-9);
    }

    #[test]
    fn errors_of_the_kernel_have_their_cause() {
        let cause = |number| SendFailure::of(&io::Error::from_raw_os_error(number));
        // EAGAIN, ENOBUFS, ENOMEM, EMSGSIZE, ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, EPERM, EINVAL.
        assert_eq!(cause(11), SendFailure::BufferFull);
        assert_eq!(cause(105), SendFailure::NoBuffers);
        assert_eq!(cause(12), SendFailure::NoBuffers);
        assert_eq!(cause(90), SendFailure::TooLarge);
        assert_eq!(cause(101), SendFailure::Unreachable);
        assert_eq!(cause(113), SendFailure::Unreachable);
        assert_eq!(cause(111), SendFailure::Unreachable);
        assert_eq!(cause(1), SendFailure::Forbidden);
        assert_eq!(cause(22), SendFailure::Other);
    }
}
