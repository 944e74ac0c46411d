//! How many bits per second each layer of an incoming stream takes, and how many pictures it has. Refuses to know what a
//! layer is worth.

use std::time::{Duration, Instant};

/// Spatial layers of one stream (AV1 and VP9 have two and three bits for them; nobody sends more than four).
pub const SPATIAL_MAX: usize = 4;
/// Temporal layers of one stream.
pub const TEMPORAL_MAX: usize = 4;
/// Long enough to hold several pictures of the slowest layer of a camera, short enough to follow a scene.
const WINDOW: Duration = Duration::from_millis(500);
/// A new window counts this share, as a shift: with windows of half a second, a step is followed to 94% in two seconds.
const SMOOTHING_SHIFT: u32 = 1;
/// Without a packet for so long there is no rate.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// Frame rates are measured over half a second and vary with the light; above what was asked for by this much, in percent, is
/// still what was asked for.
const FRAME_RATE_TOLERANCE_PERCENT: u64 = 20;

type PerLayer = [[u32; TEMPORAL_MAX]; SPATIAL_MAX];

/// Bytes come in, rates come out.
#[derive(Default)]
pub struct LayerRates {
    window: Option<Instant>,
    bytes: PerLayer,
    rates_bps: PerLayer,
    pictures: [u16; TEMPORAL_MAX],
    /// Pictures per 1,000 seconds.
    picture_rates: [u32; TEMPORAL_MAX],
    measured: bool,
}

impl LayerRates {
    /// Notes a packet. Layers beyond those that are known count as the highest.
    pub fn note(&mut self, now: Instant, spatial: u8, temporal: u8, len: usize) {
        let start = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= WINDOW {
            self.close(now, elapsed);
        }
        let spatial = usize::from(spatial).min(SPATIAL_MAX - 1);
        let temporal = usize::from(temporal).min(TEMPORAL_MAX - 1);
        let bytes = &mut self.bytes[spatial][temporal];
        *bytes = bytes.saturating_add(len as u32);
    }

    /// Notes that a picture began.
    pub fn note_picture(&mut self, temporal: u8) {
        let pictures = &mut self.pictures[usize::from(temporal).min(TEMPORAL_MAX - 1)];
        *pictures = pictures.saturating_add(1);
    }

    fn close(&mut self, now: Instant, elapsed: Duration) {
        let elapsed_ms = elapsed.as_millis() as u64;
        if elapsed > STALE_AFTER {
            *self = Self { window: Some(now), ..Self::default() };
            return;
        }
        for (bytes, rates) in self.bytes.iter_mut().flatten().zip(self.rates_bps.iter_mut().flatten()) {
            let measured = u64::from(std::mem::take(bytes)) * 8_000 / elapsed_ms;
            *rates = smoothed(self.measured.then_some(*rates), measured);
        }
        for (pictures, rate) in self.pictures.iter_mut().zip(&mut self.picture_rates) {
            let measured = u64::from(std::mem::take(pictures)) * 1_000_000 / elapsed_ms;
            *rate = smoothed(self.measured.then_some(*rate), measured);
        }
        self.measured = true;
        self.window = Some(now);
    }

    /// The highest layers that carried something in the last windows.
    pub fn highest(&self) -> (u8, u8) {
        let spatial = self.rates_bps.iter().rposition(|rates| rates.iter().any(|rate| *rate > 0));
        let temporal = (0..TEMPORAL_MAX).rfind(|&temporal| self.rates_bps.iter().any(|rates| rates[temporal] > 0));
        (spatial.unwrap_or(0) as u8, temporal.unwrap_or(0) as u8)
    }

    /// Of everything up to these layers, in bits per second, headers excluded. `None` before the first window is full.
    pub fn up_to(&self, spatial: u8, temporal: u8) -> Option<u64> {
        let layers = self.rates_bps.iter().take(usize::from(spatial) + 1);
        let sum =
            layers.flat_map(|rates| rates.iter().take(usize::from(temporal) + 1)).map(|rate| u64::from(*rate)).sum();
        self.measured.then_some(sum)
    }

    /// The highest temporal layer with which no more than so many pictures come per second; the lowest layer if even that
    /// is faster, and all when nothing was measured or nothing is left out.
    pub fn temporal_within(&self, frames_per_second: u32) -> u8 {
        let wanted = u64::from(frames_per_second) * 10 * (100 + FRAME_RATE_TOLERANCE_PERCENT);
        let mut sum = 0;
        let too_fast = self.picture_rates.iter().position(|rate| {
            sum += u64::from(*rate);
            *rate > 0 && sum > wanted
        });
        match too_fast {
            Some(temporal) => temporal.saturating_sub(1) as u8,
            None => u8::MAX,
        }
    }
}

fn smoothed(before: Option<u32>, measured: u64) -> u32 {
    let measured = measured.min(u64::from(u32::MAX)) as u32;
    match before {
        Some(before) => before - (before >> SMOOTHING_SHIFT) + (measured >> SMOOTHING_SHIFT),
        None => measured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time::start;

    /// Ten packets of 125 bytes per second and layer: 10 kbit/s each.
    fn fed(seconds: u64) -> (LayerRates, Instant) {
        let (mut rates, t0) = (LayerRates::default(), start());
        for tick in 0..=10 * seconds {
            for (spatial, temporal) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                rates.note(t0 + Duration::from_millis(100 * tick), spatial, temporal, 125);
            }
        }
        (rates, t0 + Duration::from_secs(seconds))
    }

    #[test]
    fn a_layer_costs_itself_and_those_below() {
        let (rates, _) = fed(4);
        let near = |spatial, temporal, kbps: u64| {
            let bps = rates.up_to(spatial, temporal).unwrap();
            assert!(bps.abs_diff(kbps * 1_000) <= kbps * 200, "{bps} for {kbps}");
        };
        near(0, 0, 10);
        near(0, 3, 20);
        near(1, 0, 20);
        near(3, 3, 40);
        assert_eq!(rates.highest(), (1, 1));
    }

    #[test]
    fn a_frame_rate_asks_for_the_temporal_layers_that_stay_below_it() {
        // 30 pictures per second: 7.5 in the lowest layer, as many in the next, 15 in the highest.
        let (mut rates, t0) = (LayerRates::default(), start());
        assert_eq!(rates.temporal_within(15), u8::MAX, "nothing was measured");
        for n in 0..90u32 {
            let temporal = [0, 2, 1, 2][n as usize % 4];
            rates.note(t0 + Duration::from_secs(1) * n / 30, 0, temporal, 100);
            rates.note_picture(temporal);
        }
        for (wanted, expected) in [(60, u8::MAX), (30, u8::MAX), (20, 1), (15, 1), (10, 0), (7, 0), (1, 0)] {
            assert_eq!(rates.temporal_within(wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn nothing_is_said_before_there_is_a_measurement_and_after_a_long_silence() {
        assert_eq!(LayerRates::default().up_to(3, 3), None);
        let (mut rates, end) = fed(2);
        assert!(rates.up_to(3, 3).is_some());
        rates.note(end + STALE_AFTER * 2, 0, 0, 100);
        assert_eq!(rates.up_to(3, 3), None);
    }

    #[test]
    fn layers_beyond_the_known_ones_count_as_the_highest() {
        let (mut rates, t0) = (LayerRates::default(), start());
        rates.note(t0, 200, 9, 1_000);
        rates.note(t0 + WINDOW, 200, 9, u32::MAX as usize);
        rates.note(t0 + 2 * WINDOW, 200, 9, u32::MAX as usize);
        assert_eq!(rates.highest(), (SPATIAL_MAX as u8 - 1, TEMPORAL_MAX as u8 - 1));
    }
}
