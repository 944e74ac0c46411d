//! What could be forwarded of a track, from the least to the most, and what each costs.
//!
//! Cameras keep their motion: the picture becomes smaller first, and slower only when it is smallest. Shared screens keep
//! their detail: the picture becomes slower first, and smaller only when it is slowest.

use crate::egress::allocation::Rung;
use crate::ingress::rate::{LayerRates, SPATIAL_MAX, TEMPORAL_MAX};
use crate::ingress::track::Track;
use crate::params::{Content, LayerLimit};
use smallvec::SmallVec;
use std::time::Instant;

/// What a layer is taken to cost before it was measured, in bits per second: what browsers send for 180, 360, 720 and 1,080
/// lines.
const NOMINAL_BPS: [u64; SPATIAL_MAX] = [120_000, 400_000, 1_500_000, 2_500_000];

/// A shared screen as slow as this, in pictures per 1,000 seconds, still shows what happens on it.
const READABLE_RATE: u64 = 5_000;

type Rungs = SmallVec<[Rung; 8]>;

/// One size of the picture.
struct Level {
    spatial: u8,
    temporal_max: u8,
    /// Of everything up to a temporal layer.
    rates_bps: [u64; TEMPORAL_MAX],
}

impl Level {
    fn new(spatial: u8, rates: &LayerRates, within: u8, limit: LayerLimit) -> Self {
        let nominal = NOMINAL_BPS[usize::from(spatial).min(SPATIAL_MAX - 1)];
        let rate = |temporal: usize| rates.up_to(within, temporal as u8).unwrap_or(nominal);
        Self { spatial, temporal_max: rates.highest().1.min(limit.temporal), rates_bps: std::array::from_fn(rate) }
    }

    fn rung(&self, temporal: u8) -> Rung {
        // All temporal layers, also those that are to come.
        let rate_bps = self.rates_bps[usize::from(temporal).min(TEMPORAL_MAX - 1)];
        let temporal = if temporal == self.temporal_max { u8::MAX } else { temporal };
        Rung { layers: LayerLimit { spatial: self.spatial, temporal }, rate_bps }
    }
}

impl Track {
    /// The rungs within `limit`; a track whose live encodings are all above it has the lowest of them.
    pub fn rungs(&self, now: Instant, limit: LayerLimit) -> Rungs {
        rungs(&self.levels(now, limit), self.content)
    }

    /// The rung, of those that [`Self::rungs`] returned, without which the picture is worth little: of a screen, the slowest of
    /// its full size that is fast enough. A camera has none.
    pub fn essential(&self, rungs: &[Rung]) -> usize {
        let (Content::Detail, Some(top)) = (self.content, rungs.last()) else { return 0 };
        let full = |rung: &Rung| rung.layers.spatial == top.layers.spatial;
        let stream = self.streams.iter().find(|stream| self.streams.len() == 1 || stream.layer == top.layers.spatial);
        let is_fast =
            |rung: &Rung| stream.is_none_or(|stream| stream.rates.picture_rate(rung.layers.temporal) >= READABLE_RATE);
        rungs.iter().position(|rung| full(rung) && is_fast(rung)).unwrap_or(rungs.len() - 1)
    }

    /// From the smallest up.
    fn levels(&self, now: Instant, limit: LayerLimit) -> SmallVec<[Level; SPATIAL_MAX]> {
        let live = || self.streams.iter().filter(|stream| stream.is_active(now));
        let Some(lowest) = live().next() else { return SmallVec::new() };
        if self.streams.len() == 1 {
            let highest = lowest.rates.highest().0.min(limit.spatial);
            return (0..=highest).map(|spatial| Level::new(spatial, &lowest.rates, spatial, limit)).collect();
        }
        live()
            .filter(|stream| stream.layer <= limit.spatial.max(lowest.layer))
            .map(|stream| Level::new(stream.layer, &stream.rates, u8::MAX, limit))
            .collect()
    }
}

fn rungs(levels: &[Level], content: Content) -> Rungs {
    let mut rungs = Rungs::new();
    let mut add = |rung: Rung| {
        // Going down must save something.
        if rungs.last().is_none_or(|above: &Rung| rung.rate_bps < above.rate_bps) {
            rungs.push(rung);
        }
    };
    for (index, level) in levels.iter().enumerate().rev() {
        let slows_down = match content {
            Content::Motion => index == 0,
            Content::Detail => index + 1 == levels.len(),
        };
        let slowest = if slows_down { 0 } else { level.temporal_max };
        (slowest..=level.temporal_max).rev().for_each(|temporal| add(level.rung(temporal)));
    }
    rungs.reverse();
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(spatial: u8, kbps: [u64; 3]) -> Level {
        let [a, b, c] = kbps.map(|kbps| kbps * 1_000);
        Level { spatial, temporal_max: 2, rates_bps: [a, b, c, c] }
    }

    fn described(levels: &[Level], content: Content) -> Vec<(u8, u8, u64)> {
        let rungs = rungs(levels, content);
        rungs.iter().map(|rung| (rung.layers.spatial, rung.layers.temporal, rung.rate_bps / 1_000)).collect()
    }

    const ALL: u8 = u8::MAX;

    #[test]
    fn a_camera_becomes_smaller_before_it_becomes_slower() {
        let levels = [level(0, [50, 70, 100]), level(1, [200, 300, 400]), level(2, [600, 900, 1_200])];
        let want = [(0, 0, 50), (0, 1, 70), (0, ALL, 100), (1, ALL, 400), (2, ALL, 1_200)];
        assert_eq!(described(&levels, Content::Motion), want);
    }

    #[test]
    fn a_screen_becomes_slower_before_it_becomes_smaller() {
        let levels = [level(0, [100, 150, 200]), level(1, [600, 900, 1_500])];
        assert_eq!(described(&levels, Content::Detail), [(0, ALL, 200), (1, 0, 600), (1, 1, 900), (1, ALL, 1_500)]);
    }

    #[test]
    fn a_rung_that_saves_nothing_is_left_out() {
        // A still screen: its large picture costs less than the small one.
        let levels = [level(0, [100, 100, 100]), level(1, [20, 20, 30])];
        assert_eq!(described(&levels, Content::Detail), [(1, 1, 20), (1, ALL, 30)]);
        assert!(described(&[], Content::Motion).is_empty());
    }
}
