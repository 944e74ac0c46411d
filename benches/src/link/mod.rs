//! One direction of a network path under a given clock: a bottleneck with its queue, then delay, loss and disorder. It knows
//! the length of what passes, nothing else of it, and the same seed does the same to the same packets.
//!
//! ```text
//! push -> outage? -> queue (drop-tail) -> wire at the rate -> loss? -> delay, jitter, reordering, a copy -> pop
//! ```

mod parameters;
mod stats;
#[cfg(test)]
mod tests;

pub use parameters::{LinkParameters, Loss, Outage, ParameterError, Reorder};
pub use stats::{LinkStats, QueueDelay};

use crate::random::Random;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// Packets inside the link, whatever its queue: a second of 1 Gbit/s in packets of 1,500 bytes. Beyond, packets are dropped as
/// from a full queue.
const PACKETS_MAX: usize = 83_000;

pub struct Link<T> {
    parameters: LinkParameters,
    start: Instant,
    random: Random,
    /// Gilbert and Elliott's state.
    bad: bool,
    /// Packets whose last bit has not left yet, in order.
    wire: VecDeque<Slot>,
    /// When the last of them leaves.
    wire_free: Instant,
    /// On their way, on the wire or beyond it.
    travelling: BinaryHeap<Travelling<T>>,
    /// When the last packet that was not held back arrives: the next one does not overtake it.
    last_due: Instant,
    next_number: u64,
    stats: LinkStats,
}

/// A packet's place on the wire.
struct Slot {
    number: u64,
    arrived: Instant,
    begins: Instant,
    ends: Instant,
    len: usize,
}

struct Travelling<T> {
    due: Instant,
    /// As pushed; what is due at the same time leaves in this order.
    number: u64,
    /// From the end of its time on the wire.
    delay: Duration,
    held_back: Duration,
    len: usize,
    item: T,
}

/// What chance has in store for one packet. As many draws for each, so that another parameter does not change them.
struct Fate {
    transition: f64,
    loss: f64,
    jitter: f64,
    reorder: f64,
    duplicate: f64,
}

impl Fate {
    fn draw(random: &mut Random) -> Self {
        // 53 bits: as many as a double has.
        let mut draw = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        Self { transition: draw(), loss: draw(), jitter: draw(), reorder: draw(), duplicate: draw() }
    }
}

impl<T> Link<T> {
    /// Outages count from `start`.
    pub fn new(parameters: LinkParameters, seed: u64, start: Instant) -> Self {
        Self {
            parameters,
            start,
            random: Random::new(seed),
            bad: false,
            wire: VecDeque::new(),
            wire_free: start,
            travelling: BinaryHeap::new(),
            last_due: start,
            next_number: 0,
            stats: LinkStats::default(),
        }
    }

    pub fn parameters(&self) -> &LinkParameters {
        &self.parameters
    }

    pub fn stats(&self) -> &LinkStats {
        &self.stats
    }

    pub fn is_out(&self, now: Instant) -> bool {
        let since_start = now.saturating_duration_since(self.start);
        self.parameters.outages.iter().any(|outage| outage.covers(since_start))
    }

    /// Bytes that wait behind the packet on the wire.
    pub fn queued_bytes(&self, now: Instant) -> usize {
        self.wire.iter().rev().take_while(|slot| slot.begins > now).map(|slot| slot.len).sum()
    }

    /// When the next packet arrives.
    pub fn next_due(&self) -> Option<Instant> {
        self.travelling.peek().map(|packet| packet.due)
    }

    /// The next packet that has arrived by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        let packet = self.travelling.pop()?;
        self.stats.passed += 1;
        self.stats.passed_bytes += packet.len as u64;
        Some(packet.item)
    }

    /// A new rate holds for what waits, too; delay, jitter and the rest for what comes.
    pub fn set_parameters(&mut self, now: Instant, parameters: LinkParameters) {
        let former = std::mem::replace(&mut self.parameters, parameters);
        self.leave_wire(now);
        if former.rate_bps != self.parameters.rate_bps {
            self.retime(now, former.rate_bps);
        }
    }

    /// Forgets the packets that have left the wire.
    fn leave_wire(&mut self, now: Instant) {
        while let Some(slot) = self.wire.pop_front_if(|slot| slot.ends <= now) {
            self.stats.queue_delay.record(slot.begins.saturating_duration_since(slot.arrived));
        }
    }

    /// Gives the packets on the wire their times anew, at another rate.
    fn retime(&mut self, now: Instant, former_rate_bps: Option<u64>) {
        let mut free = now;
        for slot in &mut self.wire {
            let whole = time_on_wire(slot.len, former_rate_bps).as_secs_f64();
            let left = if slot.begins < now && whole > 0.0 { (slot.ends - now).as_secs_f64() / whole } else { 1.0 };
            if slot.begins >= now {
                slot.begins = free;
            }
            slot.ends = free + time_on_wire(slot.len, self.parameters.rate_bps).mul_f64(left);
            free = slot.ends;
        }
        self.wire_free = free;
        let Some(first) = self.wire.front().map(|slot| slot.number) else { return };
        let mut packets = std::mem::take(&mut self.travelling).into_vec();
        packets.sort_by_key(|packet| packet.number);
        let split = packets.partition_point(|packet| packet.number < first);
        let (gone, moved) = packets.split_at_mut(split);
        let in_order = |packet: &&mut Travelling<T>| packet.held_back.is_zero();
        self.last_due = gone.iter_mut().filter(in_order).map(|packet| packet.due).max().unwrap_or(self.start);
        let mut slots = self.wire.iter();
        let mut slot = slots.next();
        for packet in moved {
            // Slots of lost packets have nothing that travels; a copy has the slot of its original.
            while slot.is_some_and(|slot| slot.number < packet.number) {
                slot = slots.next();
            }
            let Some(slot) = slot else { break };
            let due = (slot.ends + packet.delay).max(self.last_due);
            if packet.held_back.is_zero() {
                self.last_due = due;
            }
            packet.due = due + packet.held_back;
        }
        self.travelling = packets.into();
    }
}

impl<T: Clone> Link<T> {
    /// A packet of `len` bytes enters the link.
    pub fn push(&mut self, now: Instant, len: usize, item: T) {
        self.stats.offered += 1;
        let fate = Fate::draw(&mut self.random);
        let lost = self.is_lost(&fate);
        self.leave_wire(now);
        if self.is_out(now) {
            self.stats.lost_to_outages += 1;
            return;
        }
        if !self.has_room(now, len) {
            self.stats.lost_to_queue += 1;
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        let begins = self.wire_free.max(now);
        let ends = begins + time_on_wire(len, self.parameters.rate_bps);
        self.wire_free = ends;
        if ends > now {
            self.wire.push_back(Slot { number, arrived: now, begins, ends, len });
        } else {
            self.stats.queue_delay.record(Duration::ZERO);
        }
        if lost {
            self.stats.lost += 1;
        } else {
            self.travel(number, ends, len, &fate, item);
        }
    }

    fn travel(&mut self, number: u64, leaves: Instant, len: usize, fate: &Fate, item: T) {
        let LinkParameters { delay, jitter, reorder, duplicate, .. } = self.parameters;
        let delay = (delay + jitter.mul_f64(2.0 * fate.jitter)).saturating_sub(jitter);
        let due = (leaves + delay).max(self.last_due);
        let held_back = if fate.reorder < reorder.share { reorder.held_back } else { Duration::ZERO };
        if held_back.is_zero() {
            self.last_due = due;
        }
        let packet = |item| Travelling { due: due + held_back, number, delay, held_back, len, item };
        if fate.duplicate < duplicate {
            self.stats.duplicated += 1;
            self.travelling.push(packet(item.clone()));
        }
        self.travelling.push(packet(item));
    }

    /// Drop-tail. An idle wire takes anything.
    fn has_room(&self, now: Instant, len: usize) -> bool {
        self.travelling.len() < PACKETS_MAX
            && self.wire.len() < PACKETS_MAX
            && (self.wire_free <= now || self.queued_bytes(now) + len <= self.parameters.queue_bytes)
    }

    fn is_lost(&mut self, fate: &Fate) -> bool {
        match self.parameters.loss {
            Loss::None => false,
            Loss::Random(p) => fate.loss < p,
            Loss::Bursts { p_good_to_bad, p_bad_to_good, loss_bad } => {
                let leave = if self.bad { p_bad_to_good } else { p_good_to_bad };
                self.bad ^= fate.transition < leave;
                self.bad && fate.loss < loss_bad
            }
        }
    }
}

fn time_on_wire(len: usize, rate_bps: Option<u64>) -> Duration {
    let Some(rate_bps) = rate_bps else { return Duration::ZERO };
    let nanoseconds = len as u128 * 8 * 1_000_000_000 / u128::from(rate_bps.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

// The earliest is the greatest: `BinaryHeap` yields the greatest first.
impl<T> Ord for Travelling<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl<T> PartialOrd for Travelling<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Travelling<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Travelling<T> {}
