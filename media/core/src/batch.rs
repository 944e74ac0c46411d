//! The send batch: what the core wants sent, laid out so that the kernel can take it in trains.
//!
//! Datagrams for one destination that have equal lengths stand next to one another in one buffer, a *train*, which leaves in
//! one system call with UDP segmentation offload. Order is kept within a destination and a priority; audio leaves before
//! everything else. Nothing here allocates once the batch has reached its working size.

use crate::params::Path;

/// Datagrams in one train: Linux's UDP_MAX_SEGMENTS before 6.10.
pub const TRAIN_PACKETS_MAX: usize = 64;
/// Bytes in one train: the largest UDP payload over IPv4 (RFC 768) less room for the kernel's own headers.
pub const TRAIN_BYTES_MAX: usize = 65_000;
/// Trains in one batch. One datagram in makes at most one per subscriber and priority.
pub const TRAINS_MAX: usize = 4_096;

/// Audio is sent first; control (ICE, DTLS, RTCP, data) shares its rank because it is small and time matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priority {
    High,
    Normal,
}

/// Where a datagram goes. `slot` is the peer's dense index, so that its open train is found without hashing.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    pub slot: u32,
    pub path: Path,
}

/// A run of datagrams to one destination: all are `segment_len` long, the last may be shorter.
pub struct Train {
    path: Path,
    segment_len: usize,
    len: usize,
    packets: usize,
    /// No more may be appended: a shorter one ended the run.
    closed: bool,
    buffer: Box<[u8]>,
}

impl Train {
    fn new() -> Self {
        // Zeroed pages are mapped when first touched, so a short train costs what it uses.
        let buffer = vec![0; TRAIN_BYTES_MAX].into_boxed_slice();
        let path = Path { remote: ([0, 0, 0, 0], 0).into(), local: None };
        Self { path, segment_len: 0, len: 0, packets: 0, closed: false, buffer }
    }

    pub fn path(&self) -> Path {
        self.path
    }

    /// Length of every datagram but perhaps the last, in bytes.
    pub fn segment_len(&self) -> usize {
        self.segment_len
    }

    pub fn packets(&self) -> usize {
        self.packets
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes().chunks(self.segment_len.max(1))
    }

    fn takes(&self, path: Path, len: usize) -> bool {
        !self.closed
            && self.path == path
            && len <= self.segment_len
            && self.packets < TRAIN_PACKETS_MAX
            && self.len + len <= TRAIN_BYTES_MAX
    }
}

/// See the module's description.
#[derive(Default)]
pub struct SendBatch {
    /// Reused; only the first `used` are part of the batch.
    trains: Vec<Train>,
    used: usize,
    /// Indices of `trains` in sending order, one list per priority.
    order: [Vec<u32>; 2],
    /// By destination slot: the open train plus one, 0 for none. One table per priority.
    open: [Vec<u32>; 2],
    /// Slots with an entry in `open`, for clearing.
    touched: [Vec<u32>; 2],
    packets: usize,
    bytes: usize,
}

impl SendBatch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Of all datagrams together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Whether a further train could be refused: time to send what there is.
    pub fn is_full(&self) -> bool {
        self.used >= TRAINS_MAX
    }

    /// The trains in the order in which they are to be sent.
    pub fn trains(&self) -> impl Iterator<Item = &Train> {
        self.order.iter().flatten().map(|&index| &self.trains[index as usize]).filter(|train| train.packets > 0)
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        for (touched, open) in self.touched.iter_mut().zip(&mut self.open) {
            for slot in touched.drain(..) {
                open[slot as usize] = 0;
            }
        }
        self.order.iter_mut().for_each(Vec::clear);
        self.used = 0;
        self.packets = 0;
        self.bytes = 0;
    }

    /// Appends one datagram of exactly `len` bytes, which `write` fills in place. `false`, and nothing appended, when the
    /// batch is full, `len` is zero or longer than a train, or `write` says that it failed.
    pub fn push_with(
        &mut self,
        to: Destination,
        priority: Priority,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        if len == 0 || len > TRAIN_BYTES_MAX {
            return false;
        }
        let Some(index) = self.train_for(to, priority, len) else { return false };
        let train = &mut self.trains[index];
        if !write(&mut train.buffer[train.len..train.len + len]) {
            return false;
        }
        train.len += len;
        train.packets += 1;
        train.closed |= len < train.segment_len;
        self.packets += 1;
        self.bytes += len;
        true
    }

    /// Appends a datagram that exists already.
    pub fn push(&mut self, to: Destination, priority: Priority, datagram: &[u8]) -> bool {
        self.push_with(to, priority, datagram.len(), |out| {
            out.copy_from_slice(datagram);
            true
        })
    }

    fn train_for(&mut self, to: Destination, priority: Priority, len: usize) -> Option<usize> {
        let rank = priority as usize;
        let slot = to.slot as usize;
        if self.open[rank].len() <= slot {
            self.open[rank].resize(slot + 1, 0);
        }
        let open = self.open[rank][slot];
        if open != 0 && self.trains[open as usize - 1].takes(to.path, len) {
            return Some(open as usize - 1);
        }
        if self.used >= TRAINS_MAX {
            return None;
        }
        if self.used == self.trains.len() {
            self.trains.push(Train::new());
        }
        let index = self.used;
        self.used += 1;
        let train = &mut self.trains[index];
        train.path = to.path;
        train.segment_len = len;
        train.len = 0;
        train.packets = 0;
        train.closed = false;
        self.order[rank].push(index as u32);
        if open == 0 {
            self.touched[rank].push(to.slot);
        }
        self.open[rank][slot] = index as u32 + 1;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(slot: u32) -> Destination {
        Destination { slot, path: Path { remote: ([127, 0, 0, 1], 1000 + slot as u16).into(), local: None } }
    }

    fn shape(batch: &SendBatch) -> Vec<(u16, usize, usize)> {
        batch.trains().map(|t| (t.path().remote.port(), t.segment_len(), t.packets())).collect()
    }

    #[test]
    fn equal_lengths_to_one_destination_form_one_train() {
        let mut batch = SendBatch::new();
        for _ in 0..3 {
            assert!(batch.push(to(1), Priority::Normal, &[1; 100]));
            assert!(batch.push(to(2), Priority::Normal, &[2; 100]));
        }
        assert_eq!(shape(&batch), [(1001, 100, 3), (1002, 100, 3)]);
        assert_eq!(batch.packets(), 6);
    }

    #[test]
    fn a_shorter_datagram_ends_its_train_and_a_longer_one_starts_another() {
        let mut batch = SendBatch::new();
        for len in [100, 90, 90, 120] {
            assert!(batch.push(to(1), Priority::Normal, &vec![0; len]));
        }
        assert_eq!(shape(&batch), [(1001, 100, 2), (1001, 90, 1), (1001, 120, 1)]);
    }

    #[test]
    fn a_datagram_that_could_not_be_written_is_not_sent() {
        let mut batch = SendBatch::new();
        assert!(!batch.push_with(to(1), Priority::Normal, 10, |_| false));
        assert!(batch.is_empty());
        assert_eq!(batch.trains().count(), 0);
        assert!(batch.push(to(1), Priority::Normal, &[1; 10]));
        assert_eq!(shape(&batch), [(1001, 10, 1)]);
    }

    #[test]
    fn high_priority_leaves_first() {
        let mut batch = SendBatch::new();
        assert!(batch.push(to(1), Priority::Normal, &[0; 100]));
        assert!(batch.push(to(2), Priority::High, &[0; 50]));
        assert_eq!(shape(&batch), [(1002, 50, 1), (1001, 100, 1)]);
    }

    #[test]
    fn a_cleared_batch_forgets_its_open_trains() {
        let mut batch = SendBatch::new();
        assert!(batch.push(to(1), Priority::Normal, &[7; 100]));
        batch.clear();
        assert!(batch.is_empty());
        assert!(batch.push(to(1), Priority::Normal, &[8; 60]));
        assert_eq!(shape(&batch), [(1001, 60, 1)]);
        assert_eq!(batch.trains().next().map(Train::bytes), Some(&[8; 60][..]));
    }

    #[test]
    fn a_train_never_exceeds_what_the_kernel_takes() {
        let mut batch = SendBatch::new();
        for _ in 0..200 {
            assert!(batch.push(to(1), Priority::Normal, &[0; 1200]));
        }
        assert!(batch.trains().all(|t| t.packets() <= TRAIN_PACKETS_MAX && t.bytes().len() <= TRAIN_BYTES_MAX));
        assert_eq!(batch.trains().map(Train::packets).sum::<usize>(), 200);
    }
}
