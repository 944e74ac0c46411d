//! Stretches of time and what they have in common. Whole milliseconds; the end is not part of a span.

use crate::moment::Moment;
use serde::{Deserialize, Serialize};

/// From a moment to a later one, or until now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Span {
    pub from: Moment,
    /// `None` while it lasts.
    pub to: Option<Moment>,
}

impl Span {
    pub const fn new(from: Moment, to: Option<Moment>) -> Self {
        Self { from, to }
    }

    /// One that lasts is seen until `now`; one whose end lies before its beginning, after a clock was set back, is empty.
    fn bounds(self, now: Moment) -> (i64, i64) {
        let to = self.to.unwrap_or(now).max(self.from);
        (self.from.ms(), to.ms())
    }
}

/// Spans in order that neither touch nor overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// What these cover together, up to `now`.
    pub fn covered(spans: impl IntoIterator<Item = Span>, now: Moment) -> Self {
        let mut sorted: Vec<_> =
            spans.into_iter().map(|span| span.bounds(now)).filter(|(from, to)| from < to).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(sorted.len());
        for (from, to) in sorted {
            match merged.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    pub fn total_ms(&self) -> i64 {
        self.0.iter().map(|(from, to)| to - from).sum()
    }

    /// How long both last. One walk over each.
    pub fn overlap_ms(&self, other: &Self) -> i64 {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut total = 0;
        while let (Some((from, to)), Some((other_from, other_to))) = (ours.peek(), theirs.peek()) {
            total += (to.min(other_to) - from.max(other_from)).max(0);
            if to <= other_to {
                ours.next()
            } else {
                theirs.next()
            };
        }
        total
    }
}

#[cfg(test)]
mod tests;
