//! When a subscription that fell to smaller layers may rise again. Knows no rates: what there is room for is decided elsewhere.

use std::time::{Duration, Instant};

/// The first wait; the estimate needs about a second to settle after a fall.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest. A path that became wide again is used at the latest then.
const WAIT_MAX: Duration = Duration::from_secs(16);
/// So long a rise is given the benefit of the doubt.
const SETTLES_WITHIN: Duration = Duration::from_millis(2_000);
/// Who fell so soon after it rose rose in vain.
const IN_VAIN_WITHIN: Duration = Duration::from_secs(10);

/// How long a subscription waits before it rises again after it fell: longer each time that it rose in vain, so that nobody
/// watches a picture that changes its size every few seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    wait: Duration,
    rise_from: Option<Instant>,
    rose: Option<Instant>,
}

impl Patience {
    pub fn is_settling(&self, now: Instant) -> bool {
        self.rose.is_some_and(|at| now.saturating_duration_since(at) < SETTLES_WITHIN)
    }

    pub fn may_rise(&self, now: Instant) -> bool {
        self.rise_from.is_none_or(|at| at <= now)
    }

    /// `fell` says which way it went.
    pub fn note(&mut self, now: Instant, fell: bool) {
        if !fell {
            self.rose = Some(now);
            return;
        }
        let in_vain = self.rose.is_some_and(|at| now.saturating_duration_since(at) < IN_VAIN_WITHIN);
        self.wait = if in_vain { (self.wait * 2).clamp(WAIT_MIN, WAIT_MAX) } else { WAIT_MIN };
        self.rise_from = Some(now + self.wait);
        // A fall in two steps is one.
        self.rose = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_rises_in_vain_waits_longer_each_time() {
        let (mut patience, t0) = (Patience::default(), crate::virtual_time::start());
        assert!(patience.may_rise(t0));
        let mut now = t0;
        let mut waits = Vec::new();
        for _ in 0..5 {
            patience.note(now, true);
            let fell = now;
            while !patience.may_rise(now) {
                now += Duration::from_millis(500);
            }
            waits.push((now - fell).as_secs());
            patience.note(now, false);
            now += Duration::from_secs(1);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16]);
        patience.note(now + IN_VAIN_WITHIN * 2, true);
        assert!(patience.may_rise(now + IN_VAIN_WITHIN * 2 + WAIT_MIN));
    }
}
