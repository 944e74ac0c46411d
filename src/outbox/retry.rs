//! How long to wait after a failure: exponentially longer, so that one who is down is left alone, and never exactly as long,
//! so that those who were refused together do not come back together. Pure.

use std::time::Duration;

/// Most failures are a restart on the other side.
const FIRST: Duration = Duration::from_secs(1);
/// Somebody who repairs the other side should not wait for longer.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Share by which a pause is longer or shorter.
const JITTER: f64 = 0.2;

/// After so many attempts, of which all failed. `chance` is between 0 and 1.
pub fn pause(attempts: u32, chance: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let pause = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let seconds = |attempts| pause(attempts, 0.5).as_secs_f64().round() as u64;
        assert_eq!([1, 2, 3, 4, 12, 13, 24, u32::MAX].map(seconds), [1, 2, 4, 8, 2_048, 3_600, 3_600, 3_600]);
        assert_eq!(seconds(0), 1);
    }

    #[test]
    fn two_pauses_are_seldom_the_same_and_never_far_apart() {
        assert_eq!(pause(3, 0.0), Duration::from_millis(3_200));
        assert_eq!(pause(3, 1.0), Duration::from_millis(4_800));
        assert_eq!(pause(3, f64::MAX), Duration::from_millis(4_800));
    }
}
