//! Spans against what counting every millisecond gives.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A day of the test has as many milliseconds.
const LAST: i64 = 60;

fn moment(ms: i64) -> Moment {
    Moment::from_ms(ms)
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (0..LAST, prop::option::weighted(0.8, 0..LAST));
    prop::collection::vec(span.prop_map(|(from, to)| Span::new(moment(from), to.map(moment))), 0..8)
}

/// Each millisecond that one of them covers.
fn counted(spans: &[Span], now: i64) -> BTreeSet<i64> {
    spans.iter().flat_map(|span| span.from.ms()..span.to.map_or(now, Moment::ms)).collect()
}

proptest! {
    #[test]
    fn what_is_covered_is_what_counting_gives(spans in spans(), now in 0..LAST) {
        let covered = Spans::covered(spans.clone(), moment(now));
        prop_assert_eq!(covered.total_ms(), counted(&spans, now).len() as i64);
        prop_assert!(covered.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", covered);
    }

    #[test]
    fn what_two_have_in_common_is_what_counting_gives(ours in spans(), theirs in spans(), now in 0..LAST) {
        let (one, other) = (Spans::covered(ours.clone(), moment(now)), Spans::covered(theirs.clone(), moment(now)));
        let expected = counted(&ours, now).intersection(&counted(&theirs, now)).count() as i64;
        prop_assert_eq!(one.overlap_ms(&other), expected);
        prop_assert_eq!(other.overlap_ms(&one), expected);
        prop_assert_eq!(one.overlap_ms(&one), one.total_ms());
    }

    #[test]
    fn the_order_in_which_spans_are_told_changes_nothing(spans in spans(), now in 0..LAST) {
        let reversed = spans.iter().rev().copied();
        prop_assert_eq!(Spans::covered(reversed, moment(now)), Spans::covered(spans, moment(now)));
    }
}
