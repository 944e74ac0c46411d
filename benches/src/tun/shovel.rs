//! Carries packets from one device to the other, through a link for each direction, and takes down how late it was.

use super::namespace::Devices;
use super::options::Paths;
use crate::link::{Link, LinkParameters};
use anyhow::Context;
use hdrhistogram::Histogram;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use tun_rs::SyncDevice;

/// The largest packet of the Internet Protocol; a device's MTU is less.
const PACKET_LEN_MAX: usize = 65_535;
/// Packets read from one device before the other has its turn, and before what is due leaves.
const BATCH: usize = 64;
/// Longer than any wait of a process that runs at all.
const LATE_US_MAX: u64 = 10_000_000;
/// Tells the directions' chances apart.
const SEED_UP: u64 = 0x5555_5555_5555_5555;

pub(super) struct Shovel {
    devices: Devices,
    links: Paths<Link<Vec<u8>>>,
    buffer: Vec<u8>,
    /// From when a packet was due until it was handed to the kernel, in microseconds.
    late: Histogram<u64>,
    /// Which the kernel did not take.
    refused: u64,
    start: Instant,
}

impl Shovel {
    pub(super) fn new(devices: Devices, paths: Paths<LinkParameters>, seed: u64, now: Instant) -> Self {
        let links = Paths { down: Link::new(paths.down, seed, now), up: Link::new(paths.up, seed ^ SEED_UP, now) };
        let late = Histogram::new_with_max(LATE_US_MAX, 3).expect("the bounds are those of a histogram");
        Self { devices, links, buffer: vec![0; PACKET_LEN_MAX], late, refused: 0, start: now }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn devices(&self) -> [BorrowedFd<'_>; 2] {
        [self.devices.host.as_fd(), self.devices.guest.as_fd()]
    }

    pub(super) fn links(&self) -> &Paths<Link<Vec<u8>>> {
        &self.links
    }

    pub(super) fn links_mut(&mut self) -> &mut Paths<Link<Vec<u8>>> {
        &mut self.links
    }

    pub(super) fn late(&self) -> &Histogram<u64> {
        &self.late
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        [self.links.down.next_due(), self.links.up.next_due()].into_iter().flatten().min()
    }

    /// Takes in what has come, sends on what is due.
    pub(super) fn carry(&mut self, now: Instant) -> anyhow::Result<()> {
        let Self { devices: Devices { host, guest }, links, buffer, late, refused, .. } = self;
        take(host, &mut links.down, buffer, now)?;
        take(guest, &mut links.up, buffer, now)?;
        *refused += send(guest, &mut links.down, late) + send(host, &mut links.up, late);
        Ok(())
    }
}

fn take(device: &SyncDevice, link: &mut Link<Vec<u8>>, buffer: &mut [u8], now: Instant) -> anyhow::Result<()> {
    for _ in 0..BATCH {
        match device.recv(buffer) {
            Ok(len) => link.push(now, len, buffer.get(..len).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("a TUN device is gone"),
        }
    }
    Ok(())
}

/// Returns how many packets the kernel refused: its business, as on any network.
fn send(device: &SyncDevice, link: &mut Link<Vec<u8>>, late: &mut Histogram<u64>) -> u64 {
    let mut refused = 0;
    // Each with a time of its own: the first of a batch is not later than the last.
    while let Some(due) = link.next_due() {
        let now = Instant::now();
        let Some(packet) = link.pop(now) else { break };
        refused += u64::from(device.send(&packet).is_err());
        let late_us = u64::try_from(now.saturating_duration_since(due).as_micros()).unwrap_or(LATE_US_MAX);
        late.saturating_record(late_us);
    }
    refused
}
