//! Probes: short clusters of padding that find out whether the path carries more than is sent.
//!
//! A cluster lasts some 25 ms, so that at most 3% of the time is spent on it, and what arrives of it says at which rate the
//! path let it through. Only started while something is wanted that the estimate does not allow.

use super::sent::{Sent, SentPackets};

/// How long a cluster is at least: steps enough for a rate.
const CLUSTER_US: u64 = 25_000;
/// Bytes in a cluster at least: six packets of padding.
const CLUSTER_BYTES_MIN: f64 = 1_800.0;
/// Where packets jitter, clusters are longer by so many times the mean jitter, up to a limit.
const CLUSTER_JITTERS: f64 = 3.0;
const CLUSTER_US_MAX: u64 = 120_000;
/// Between two portions of a cluster.
const STEP_US: u64 = 5_000;
/// A probe asks for twice what is known, the first for three times (a start value is a guess), and one after a probe that
/// found the path full for half as much again, so that the queue that it makes is short.
const GROWTH: f64 = 2.0;
const GROWTH_FIRST: f64 = 3.0;
const GROWTH_CAREFUL: f64 = 1.5;
/// What is wanted is reached with some room.
const WANTED_ROOM: f64 = 1.2;
/// The most that a probe asks for; with the length above, 40 kB in a cluster.
const PROBE_BPS_MAX: f64 = 12e6;
/// Something is wanted when it exceeds the estimate by this.
const WANTED_MARGIN: f64 = 1.05;
/// A cluster that arrived this much below its rate filled the path, and a little less than its rate is free.
const FULL_SHARE: f64 = 0.9;
const FULL_ROOM: f64 = 0.95;
/// Of a cluster so much must arrive for it to mean something.
const ARRIVED_SHARE: f64 = 0.7;
/// After a cluster that brought nothing the next waits, and longer each time.
const BACKOFF_US: u64 = 1_500_000;
const BACKOFF_US_MAX: u64 = 5_000_000;
/// A cluster that brought this much more is worth another one: at once where it got through, else when its queue is gone.
const PROGRESS: f64 = 1.1;
const AFTER_FULL_US: u64 = 500_000;
/// After the estimate fell, until the queue is gone.
const AFTER_FALL_US: u64 = 2_000_000;
/// While no stream can carry padding.
const RETRY_US: u64 = 200_000;
/// Feedback about a cluster comes within this or never.
const FEEDBACK_US_MAX: u64 = 1_500_000;

#[derive(Clone, Copy)]
struct Cluster {
    target_bps: f64,
    started_us: u64,
    len_us: u64,
    bytes_before: u64,
    next_us: u64,
}

/// What is known of the cluster's packets.
#[derive(Clone, Copy, Default)]
struct Arrivals {
    packets: u64,
    bytes: u64,
    /// Length of the first packet to arrive: it begins the interval.
    first_len: u64,
    first_us: i64,
    last_us: i64,
    first_sent_us: u64,
    last_sent_us: u64,
}

struct Watch {
    target_bps: f64,
    /// Its first number, and the one after its last, known when it has been sent.
    first: u64,
    end: Option<u64>,
    deadline_us: u64,
    arrivals: Arrivals,
}

/// What a cluster found out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Outcome {
    pub(super) bps: f64,
    /// The path did not carry more.
    pub(super) is_full: bool,
}

#[derive(Default)]
pub(super) struct Prober {
    wanted_bps: f64,
    cluster: Option<Cluster>,
    watch: Option<Watch>,
    last_id: u8,
    not_before_us: u64,
    backoff_us: u64,
    has_succeeded: bool,
}

impl Prober {
    pub(super) fn set_wanted(&mut self, bps: f64) {
        self.wanted_bps = bps;
    }

    /// When [`Self::poll`] wants to be called next.
    pub(super) fn due_us(&self, bps: f64) -> Option<u64> {
        match (self.cluster, &self.watch) {
            (Some(cluster), _) => Some(cluster.next_us),
            (None, Some(watch)) => Some(watch.deadline_us),
            (None, None) => self.wants_more(bps).then_some(self.not_before_us),
        }
    }

    fn wants_more(&self, bps: f64) -> bool {
        self.wanted_bps > bps * WANTED_MARGIN && bps < PROBE_BPS_MAX
    }

    /// Bytes of padding to be sent now. `may_start`: nothing speaks against sending more.
    pub(super) fn poll(
        &mut self,
        now_us: u64,
        bps: f64,
        jitter_us: f64,
        may_start: bool,
        sent: &mut SentPackets,
    ) -> Option<u64> {
        if let Some(watch) = &self.watch
            && now_us >= watch.deadline_us
        {
            self.cluster = None;
            sent.cluster = 0;
            self.failed(now_us);
        }
        if self.cluster.is_none() {
            if self.watch.is_some() || !self.wants_more(bps) || now_us < self.not_before_us {
                return None;
            }
            if !may_start {
                self.not_before_us = now_us + RETRY_US;
                return None;
            }
            self.start(now_us, bps, jitter_us, sent);
        }
        let cluster = self.cluster.as_mut()?;
        let elapsed = now_us.saturating_sub(cluster.started_us);
        if elapsed >= cluster.len_us {
            self.finish(now_us, sent);
            return None;
        }
        cluster.next_us = now_us + STEP_US;
        let due = cluster.target_bps / 8e6 * (elapsed + STEP_US).min(cluster.len_us) as f64;
        let done = sent.bytes() - cluster.bytes_before;
        (due as u64).checked_sub(done).filter(|bytes| *bytes > 0)
    }

    fn start(&mut self, now_us: u64, bps: f64, jitter_us: f64, sent: &mut SentPackets) {
        let growth = match (self.backoff_us, self.has_succeeded) {
            (1.., _) => GROWTH_CAREFUL,
            (0, true) => GROWTH,
            (0, false) => GROWTH_FIRST,
        };
        let target_bps = (bps * growth).min(self.wanted_bps * WANTED_ROOM).min(PROBE_BPS_MAX);
        let for_bytes = CLUSTER_BYTES_MIN * 8e6 / target_bps;
        let len_us = for_bytes.max(jitter_us * CLUSTER_JITTERS) as u64;
        let len_us = len_us.clamp(CLUSTER_US, CLUSTER_US_MAX);
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        sent.cluster = self.last_id;
        let bytes_before = sent.bytes();
        self.cluster = Some(Cluster { target_bps, started_us: now_us, len_us, bytes_before, next_us: now_us });
        let deadline_us = now_us + len_us + FEEDBACK_US_MAX;
        let arrivals = Arrivals::default();
        self.watch = Some(Watch { target_bps, first: sent.end(), end: None, deadline_us, arrivals });
    }

    fn finish(&mut self, now_us: u64, sent: &mut SentPackets) {
        self.cluster = None;
        sent.cluster = 0;
        match &mut self.watch {
            Some(watch) if watch.first < sent.end() => watch.end = Some(sent.end()),
            _ => self.failed(now_us),
        }
    }

    /// No stream could carry the padding.
    pub(super) fn cannot_send(&mut self, now_us: u64, sent: &mut SentPackets) {
        (self.cluster, self.watch) = (None, None);
        sent.cluster = 0;
        self.not_before_us = now_us + RETRY_US;
    }

    fn failed(&mut self, now_us: u64) {
        self.watch = None;
        self.backoff_us = (self.backoff_us * 2).clamp(BACKOFF_US, BACKOFF_US_MAX);
        self.not_before_us = now_us + self.backoff_us;
    }

    /// The estimate fell.
    pub(super) fn fell(&mut self, now_us: u64) {
        self.not_before_us = self.not_before_us.max(now_us + AFTER_FALL_US);
    }

    /// Feedback about a packet that arrived.
    pub(super) fn arrived(&mut self, packet: &Sent, arrival_us: i64) {
        let Some(watch) = &mut self.watch else { return };
        if packet.cluster != self.last_id || packet.number < watch.first {
            return;
        }
        let (seen, len) = (&mut watch.arrivals, u64::from(packet.len));
        if seen.packets == 0 {
            (seen.first_sent_us, seen.last_sent_us) = (packet.at_us, packet.at_us);
            (seen.first_us, seen.last_us, seen.first_len) = (arrival_us, arrival_us, len);
        }
        seen.packets += 1;
        seen.bytes += len;
        if arrival_us < seen.first_us {
            (seen.first_us, seen.first_len) = (arrival_us, len);
        }
        seen.last_us = seen.last_us.max(arrival_us);
        seen.first_sent_us = seen.first_sent_us.min(packet.at_us);
        seen.last_sent_us = seen.last_sent_us.max(packet.at_us);
    }

    /// Judges the cluster once feedback has come as far as `end`. The next may follow at once where this one got through.
    pub(super) fn evaluate(&mut self, now_us: u64, bps: f64, resolved_end: u64) -> Option<Outcome> {
        let watch = self.watch.as_ref()?;
        let end = watch.end.filter(|end| resolved_end >= *end)?;
        let outcome = outcome(&watch.arrivals, end - watch.first, watch.target_bps);
        let progress = outcome.filter(|outcome| outcome.bps > bps * PROGRESS);
        match progress {
            Some(Outcome { is_full, .. }) => {
                let wait_us = if is_full { AFTER_FULL_US } else { 0 };
                self.watch = None;
                self.not_before_us = now_us + wait_us;
                self.backoff_us = if is_full { BACKOFF_US / 2 } else { 0 };
                self.has_succeeded = true;
            }
            // Timers were late, and the cluster was not what it was meant to be.
            None if outcome.is_some_and(|outcome| !outcome.is_full) => {
                self.watch = None;
                self.not_before_us = now_us + AFTER_FULL_US;
            }
            None => self.failed(now_us),
        }
        outcome
    }
}

/// All but the first packet came between the first arrival and the last: the path carries that much, however late timers made
/// the portions. A clump of late packets may show more, so what was sent in that time bounds it, and what was asked for.
fn outcome(seen: &Arrivals, packets: u64, target_bps: f64) -> Option<Outcome> {
    if seen.packets < 2 || (seen.packets as f64) < packets as f64 * ARRIVED_SHARE {
        return None;
    }
    let rate = |us: u64| if us > 0 { (seen.bytes - seen.first_len) as f64 * 8e6 / us as f64 } else { target_bps };
    let sent = rate(seen.last_sent_us - seen.first_sent_us).min(target_bps);
    let arrived = rate(seen.last_us.abs_diff(seen.first_us));
    let is_full = arrived < sent * FULL_SHARE;
    Some(Outcome { bps: if arrived < sent { arrived * FULL_ROOM } else { sent }, is_full })
}
