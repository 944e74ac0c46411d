//! What must hold of rates and layers once they follow the path: equal subscribers get equal shares, a changed limit is found
//! in time, and nothing swings to and fro.

use std::time::{Duration, Instant};

/// Jain, Chiu and Hawe's index (1984): 1 when all shares are equal, 1/n when one has everything.
pub(crate) fn fairness(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

/// A value and when it began to hold.
pub(crate) type Change<T> = (Instant, T);

/// How long after `from` the value reached one for which `settled` holds, never to leave again before `to`. `changes` are in
/// order; what holds at `from` is the last one before.
pub(crate) fn convergence<T: Copy>(
    changes: &[Change<T>],
    (from, to): (Instant, Instant),
    settled: impl Fn(T) -> bool,
) -> Option<Duration> {
    let mut since = None;
    let before = changes.iter().rfind(|(at, _)| *at <= from).map(|(_, value)| (from, *value));
    let within = changes.iter().filter(|(at, _)| *at > from && *at < to).copied();
    for (at, value) in before.into_iter().chain(within) {
        if settled(value) {
            since.get_or_insert(at);
        } else {
            since = None;
        }
    }
    Some(since?.saturating_duration_since(from))
}

/// Returns to a value that was left less than `within` ago: how often. A step down and, later, up again is no swing; up, down,
/// up in a few seconds is.
pub(crate) fn swings<T: Copy + PartialEq>(changes: &[Change<T>], within: Duration) -> usize {
    let returns = changes.windows(3).filter(|window| {
        let [(_, first), (left, second), (back, third)] = window else { return false };
        first == third && first != second && back.saturating_duration_since(*left) < within
    });
    returns.count()
}

/// The moments at which a value changed, of values that were sampled in order.
pub(crate) fn changes<T: Copy + PartialEq>(samples: impl Iterator<Item = Change<T>>) -> Vec<Change<T>> {
    let mut changes: Vec<Change<T>> = Vec::new();
    for (at, value) in samples {
        if changes.last().is_none_or(|(_, last)| *last != value) {
            changes.push((at, value));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<T: Copy>(start: Instant, changes: &[(u64, T)]) -> Vec<Change<T>> {
        changes.iter().map(|(ms, value)| (start + Duration::from_millis(*ms), *value)).collect()
    }

    #[test]
    fn equal_shares_are_fair_and_one_that_has_all_is_not() {
        assert!((fairness(&[3.0, 3.0, 3.0]) - 1.0).abs() < 1e-9);
        assert!((fairness(&[4.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-9);
        assert!((fairness(&[1.0, 2.0]) - 0.9).abs() < 1e-9);
    }

    #[test]
    fn what_settles_and_leaves_again_has_not_converged() {
        let start = Instant::now();
        let layers = at(start, &[(0, 2), (1_500, 0), (2_000, 1), (2_500, 0)]);
        let span = |from, to| (start + Duration::from_millis(from), start + Duration::from_millis(to));
        let low = |layer| layer == 0;
        assert_eq!(convergence(&layers, span(1_000, 9_000), low), Some(Duration::from_millis(1_500)));
        assert_eq!(convergence(&layers, span(1_000, 1_600), low), Some(Duration::from_millis(500)));
        assert_eq!(convergence(&layers, span(1_000, 2_200), low), None);
        assert_eq!(convergence(&layers, span(3_000, 9_000), low), Some(Duration::ZERO), "it held already");
        assert_eq!(convergence(&at(start, &[] as &[(u64, u8)]), span(0, 9_000), low), None);
    }

    #[test]
    fn a_layer_that_goes_to_and_fro_swings() {
        let start = Instant::now();
        let within = Duration::from_secs(3);
        assert_eq!(swings(&at(start, &[(0, 0), (100, 1), (200, 2)]), within), 0, "a climb");
        assert_eq!(swings(&at(start, &[(0, 2), (1_000, 1), (8_000, 2)]), within), 0, "a limit that came and went");
        assert_eq!(swings(&at(start, &[(0, 2), (1_000, 1), (2_000, 2), (3_000, 1)]), within), 2);
    }

    #[test]
    fn samples_become_changes() {
        let start = Instant::now();
        let samples = at(start, &[(0, 1), (10, 1), (20, 2), (30, 2), (40, 1)]);
        assert_eq!(changes(samples.into_iter()), at(start, &[(0, 1), (20, 2), (40, 1)]));
    }
}
