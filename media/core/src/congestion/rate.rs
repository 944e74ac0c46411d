//! The rate control of draft-ietf-rmcat-gcc-02 section 5.5: falls below what arrives when a queue stands, rises when none
//! does, and carefully where it stood when one last did.

use super::delay::Queue;

/// A queue is tolerated up to this, plus a share of the mean jitter. RFC 8698 section 5.2 works towards queues of 10 to 50 ms; with the
/// filter's lag and what a frame adds, the packets' own delays then stay below 100 ms.
const QUEUE_US_MAX: f64 = 20_000.0;
/// What the minimum filter leaves of the jitter.
const JITTER_SHARE: f64 = 0.5;
/// Jitter beyond this is a queue that comes and goes.
const JITTER_US_MAX: f64 = 50_000.0;
/// Above this share of the tolerated queue the rate does not rise.
const HOLD_SHARE: f64 = 0.6;
/// Section 5.5: beta.
pub(super) const DECREASE: f64 = 0.85;
/// A path that carries much less than the estimate while little is sent may merely have paused: one step halves at most.
const APPLICATION_LIMITED_DECREASE: f64 = 0.5;
/// And with few packets jitter may look like a queue for once: it must stand for this long. Over 30 ms of jitter to either
/// side, with packets that keep their order, one in a minute seemed to stand for 200 ms.
const APPLICATION_LIMITED_US: u64 = 500_000;
/// A queue of so many times what is tolerated that stood for as long is none of these: jitter is less, and after a pause it drains.
const DEEP_QUEUES: f64 = 5.0;
/// Less than this share of the estimate is sent: whoever sends is limited by something else.
const APPLICATION_LIMITED_SHARE: f64 = 0.7;
/// Between two decreases beside the response time: until the filter has seen what the last one did.
const DECREASE_INTERVAL_US: f64 = 200_000.0;
/// Section 5.5: eta, per second.
const INCREASE_PER_S: f64 = 1.08;
/// Section 5.5: half a packet of this size per response time.
const PACKET_BITS: f64 = 1_200.0 * 8.0;
/// Section 5.5: the estimate rises to this multiple of what arrives, and a little for what is silent.
const ACKED_FACTOR: f64 = 1.5;
const ACKED_MARGIN_BPS: f64 = 10_000.0;
/// So far around the rate at which a queue last stood, the rise is additive.
const NEAR: std::ops::Range<f64> = 0.6..1.2;
/// Of what a probe found beyond the estimate, so much is believed where a queue stood within [`LIMITED_US`]: for its short time
/// a probe takes from whoever else is on the path, or falls between two of their pictures, and finds more than there is to
/// have. Measured in 40 runs of two on one bottleneck: with all of it believed, the queue's 95th percentile was 100 ms in the
/// median and 184 ms at most; so it is 52 and 79 ms.
const PROBE_SHARE: f64 = 0.5;
/// For so long a path that was full counts as limited: probes come more often.
const LIMITED_US: u64 = 30_000_000;
/// After that for so long the estimate is what is left while a queue drains, and rises again.
const NEWLY_LIMITED_US: u64 = 4_000_000;
/// No longer pause is made up for by rising.
const STEP_US_MAX: u64 = 500_000;
/// Section 5.5 assumes a response time of the round trip and 100 ms.
const RESPONSE_MARGIN_US: f64 = 100_000.0;

/// What is known when a feedback message has been read.
pub(super) struct Seen {
    pub(super) now_us: u64,
    pub(super) queue: Option<Queue>,
    pub(super) jitter_us: f64,
    pub(super) acked_bps: Option<f64>,
    pub(super) offered_bps: Option<f64>,
    /// From a packet's departure to the feedback about it.
    pub(super) response_us: f64,
    /// Losses forbid to rise.
    pub(super) is_lossy: bool,
}

impl Seen {
    fn queue_us_max(&self) -> f64 {
        QUEUE_US_MAX + JITTER_SHARE * self.jitter_us.min(JITTER_US_MAX)
    }

    /// A queue stands, whatever becomes of it.
    pub(super) fn is_queued(&self) -> bool {
        self.queue.is_some_and(|queue| queue.delay_us as f64 > self.queue_us_max())
    }

    /// A queue stands, and grows or stays.
    pub(super) fn is_congested(&self) -> bool {
        self.is_queued() && self.queue.is_some_and(|queue| !queue.is_draining)
    }

    /// How much of the queue is beyond what is tolerated.
    pub(super) fn excess_us(&self) -> f64 {
        self.queue.map_or(0.0, |queue| (queue.delay_us as f64 - self.queue_us_max()).max(0.0))
    }

    /// As [`Self::is_queued`], by far.
    fn is_deeply_queued(&self) -> bool {
        self.queue.is_some_and(|queue| queue.delay_us as f64 > self.queue_us_max() * DEEP_QUEUES)
    }

    /// No time to send more.
    pub(super) fn is_busy(&self) -> bool {
        self.queue.is_some_and(|queue| queue.delay_us as f64 > self.queue_us_max() * HOLD_SHARE)
    }

    /// Less is sent than `bps` allows.
    pub(super) fn is_application_limited(&self, bps: f64) -> bool {
        self.offered_bps.is_some_and(|offered| offered < bps * APPLICATION_LIMITED_SHARE)
    }
}

pub(super) struct RateControl {
    pub(super) bps: f64,
    bounds: std::ops::RangeInclusive<f64>,
    updated_us: Option<u64>,
    decreased_us: Option<u64>,
    congested_us: Option<u64>,
    /// What arrived when a queue last stood.
    ceiling_bps: Option<f64>,
    /// When the path was last seen to be full.
    full_us: Option<u64>,
    /// Since when it counts as limited without a break.
    limited_since_us: Option<u64>,
}

impl RateControl {
    pub(super) fn new(bps: f64, bounds: std::ops::RangeInclusive<f64>) -> Self {
        Self {
            bps,
            bounds,
            updated_us: None,
            decreased_us: None,
            congested_us: None,
            ceiling_bps: None,
            full_us: None,
            limited_since_us: None,
        }
    }

    /// `true` when the estimate fell because of a queue.
    pub(super) fn update(&mut self, seen: &Seen) -> bool {
        let since = seen.now_us.saturating_sub(self.updated_us.unwrap_or(seen.now_us)).min(STEP_US_MAX);
        self.updated_us = Some(seen.now_us);
        if seen.is_congested() {
            let since = *self.congested_us.get_or_insert(seen.now_us);
            return self.decrease(seen, seen.now_us - since);
        }
        self.congested_us = None;
        if !seen.is_busy() && !seen.is_lossy {
            self.increase(seen, since as f64 / 1e6);
        }
        false
    }

    fn decrease(&mut self, seen: &Seen, for_us: u64) -> bool {
        let is_limited = seen.is_application_limited(self.bps);
        if for_us < APPLICATION_LIMITED_US && is_limited {
            return false;
        }
        let wait = (seen.response_us + DECREASE_INTERVAL_US) as u64;
        if self.decreased_us.is_some_and(|at| seen.now_us < at + wait) {
            return false;
        }
        let arrived = seen.acked_bps.unwrap_or(self.bps);
        let mut bps = arrived * DECREASE;
        if is_limited && !seen.is_deeply_queued() {
            bps = bps.max(self.bps * APPLICATION_LIMITED_DECREASE);
        }
        self.decreased_us = Some(seen.now_us);
        self.ceiling_bps = Some(arrived);
        self.note_full(seen.now_us);
        let falls = bps < self.bps;
        if falls {
            self.set(bps);
        }
        falls
    }

    fn increase(&mut self, seen: &Seen, seconds: f64) {
        let limit = seen.acked_bps.unwrap_or(0.0) * ACKED_FACTOR + ACKED_MARGIN_BPS;
        if self.bps >= limit {
            return;
        }
        let near = self.ceiling_bps.filter(|ceiling| NEAR.contains(&(self.bps / ceiling)));
        let bps = match near {
            Some(_) => {
                let response_s = (seen.response_us + RESPONSE_MARGIN_US) / 1e6;
                self.bps + 0.5 * PACKET_BITS * seconds / response_s
            }
            None => {
                self.ceiling_bps = None;
                self.bps * INCREASE_PER_S.powf(seconds)
            }
        };
        self.set(bps.min(limit));
    }

    /// What the estimate fell for was no queue: `bps` holds again.
    pub(super) fn absolve(&mut self, bps: f64) {
        self.congested_us = None;
        self.ceiling_bps = None;
        self.set(bps.max(self.bps));
    }

    /// A probe arrived at `bps`; `is_full` when the path did not carry more.
    pub(super) fn probed(&mut self, now_us: u64, bps: f64, is_full: bool) {
        let has_stood = self.decreased_us.is_some_and(|at| now_us < at + LIMITED_US);
        let share = if has_stood { PROBE_SHARE } else { 1.0 };
        if is_full {
            self.note_full(now_us);
        }
        if bps > self.bps {
            self.ceiling_bps = is_full.then_some(bps);
            self.set(self.bps + (bps - self.bps) * share);
        }
    }

    fn note_full(&mut self, now_us: u64) {
        if !self.is_limited(now_us) {
            self.limited_since_us = Some(now_us);
        }
        self.full_us = Some(now_us);
    }

    /// It counts as limited, and did not so long ago: what it carries is not known well.
    pub(super) fn is_newly_limited(&self, now_us: u64) -> bool {
        let since = self.limited_since_us.filter(|_| self.is_limited(now_us));
        since.is_some_and(|at| now_us < at + NEWLY_LIMITED_US)
    }

    /// The path was seen to be full of late.
    pub(super) fn is_limited(&self, now_us: u64) -> bool {
        self.full_us.is_some_and(|at| now_us < at + LIMITED_US)
    }

    pub(super) fn set(&mut self, bps: f64) {
        self.bps = bps.clamp(*self.bounds.start(), *self.bounds.end());
    }
}
