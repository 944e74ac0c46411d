//! How many bits per second each layer of an incoming stream takes, and how many pictures it has. Refuses to know what a
//! layer is worth.

use crate::ids::RtpTime;
use std::time::{Duration, Instant};

/// Spatial layers of one stream (AV1 and VP9 have two and three bits for them; nobody sends more than four).
pub const SPATIAL_MAX: usize = 4;
/// Temporal layers of one stream.
pub const TEMPORAL_MAX: usize = 4;
/// Long enough to hold several pictures of the slowest layer of a camera, short enough to follow a scene...
const WINDOW: Duration = Duration::from_millis(500);
/// ...and at least so many pictures: the pattern of three temporal layers twice. A shared screen has two pictures per second, and
/// a window with one of them would take each layer for the whole stream, or for nothing...
const WINDOW_PICTURES: u16 = 8;
/// ...while they come at all.
const WINDOW_MAX: Duration = Duration::from_secs(5);
/// A new window counts half, as a shift: with windows of half a second, a step is followed to 94% in two seconds...
const SMOOTHING_SHIFT: u32 = 1;
/// ...and one as long as that counts alone.
const SMOOTHED_BELOW: Duration = Duration::from_secs(2);
/// After a pause of so long there is no rate.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// Frame rates are measured over half a second and vary with the light; above what was asked for by this much, in percent, is
/// still what was asked for.
const FRAME_RATE_TOLERANCE_PERCENT: u64 = 20;

type PerLayer = [[u32; TEMPORAL_MAX]; SPATIAL_MAX];

/// What the rates are told of a packet.
#[derive(Clone, Copy)]
pub struct Part {
    /// Of its picture.
    pub time: RtpTime,
    pub spatial: u8,
    pub temporal: u8,
    /// Its picture is known to be a keyframe.
    pub keyframe: bool,
    /// None after it came before it.
    pub is_newest: bool,
    pub len: usize,
}

/// Bytes come in, rates come out. Keyframes are not counted as what a layer takes: they come when they are asked for, and one
/// is as large as several seconds of a screen that changes little. They count as an ordinary picture each.
#[derive(Default)]
pub struct LayerRates {
    window: Option<Instant>,
    /// Time of the newest picture, and when it began.
    time: Option<(RtpTime, Instant)>,
    is_keyframe: bool,
    bytes: PerLayer,
    /// Of keyframes, which are in the lowest temporal layer.
    keyframe_bytes: [u32; SPATIAL_MAX],
    keyframes: u16,
    rates_bps: PerLayer,
    pictures: [u16; TEMPORAL_MAX],
    /// Pictures per 1,000 seconds.
    picture_rates: [u32; TEMPORAL_MAX],
    measured: bool,
}

impl LayerRates {
    /// Notes a packet. Layers beyond those that are known count as the highest.
    pub fn note(&mut self, now: Instant, part: &Part) {
        let spatial = usize::from(part.spatial).min(SPATIAL_MAX - 1);
        let temporal = usize::from(part.temporal).min(TEMPORAL_MAX - 1);
        if part.is_newest && self.time.is_none_or(|(time, _)| time != part.time) {
            self.begin_picture(now, part.time, temporal);
        }
        if part.keyframe && !std::mem::replace(&mut self.is_keyframe, true) {
            self.keyframes = self.keyframes.saturating_add(1);
        }
        let is_keyframe = self.is_keyframe && self.time.is_some_and(|(time, _)| time == part.time);
        let bytes = if is_keyframe { &mut self.keyframe_bytes[spatial] } else { &mut self.bytes[spatial][temporal] };
        *bytes = bytes.saturating_add(part.len as u32);
    }

    fn begin_picture(&mut self, now: Instant, time: RtpTime, temporal: usize) {
        let start = *self.window.get_or_insert(now);
        if self.time.is_some_and(|(_, at)| now.saturating_duration_since(at) > STALE_AFTER) {
            *self = Self { window: Some(now), ..Self::default() };
        } else if self.is_full(now.saturating_duration_since(start)) {
            self.close(now, now.saturating_duration_since(start));
        }
        self.time = Some((time, now));
        self.is_keyframe = false;
        self.pictures[temporal] = self.pictures[temporal].saturating_add(1);
    }

    fn is_full(&self, elapsed: Duration) -> bool {
        let pictures: u16 = self.pictures.iter().fold(0, |sum, count| sum.saturating_add(*count));
        // Whoever asks first is better served by a rough measurement than by none.
        let enough = pictures >= WINDOW_PICTURES || !self.measured && self.pictures[0] > self.keyframes;
        elapsed >= WINDOW && enough || elapsed >= WINDOW_MAX
    }

    fn close(&mut self, now: Instant, elapsed: Duration) {
        let elapsed_ms = elapsed.as_millis() as u64;
        let before = |rate: u32| (self.measured && elapsed < SMOOTHED_BELOW).then_some(rate);
        let (lowest, keyframes) = (u64::from(self.pictures[0]), u64::from(self.keyframes));
        let all: u64 = self.pictures.iter().map(|count| u64::from(*count)).sum();
        for ((bytes, rates), keyframe) in self.bytes.iter().zip(&mut self.rates_bps).zip(self.keyframe_bytes) {
            for (temporal, (bytes, rate)) in bytes.iter().zip(rates).enumerate() {
                let bytes = match (temporal, lowest.saturating_sub(keyframes)) {
                    (0, 0) if self.measured && all > keyframes => continue,
                    (0, 0) => u64::from(*bytes) + u64::from(keyframe),
                    (0, counted) => u64::from(*bytes) * lowest / counted,
                    _ => u64::from(*bytes),
                };
                *rate = smoothed(before(*rate), bytes * 8_000 / elapsed_ms);
            }
        }
        for (pictures, rate) in self.pictures.iter().zip(&mut self.picture_rates) {
            *rate = smoothed(before(*rate), u64::from(*pictures) * 1_000_000 / elapsed_ms);
        }
        (self.bytes, self.keyframe_bytes) = (PerLayer::default(), Default::default());
        (self.pictures, self.keyframes) = (Default::default(), 0);
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

    /// Pictures per 1,000 seconds up to a temporal layer.
    pub fn picture_rate(&self, temporal: u8) -> u64 {
        self.picture_rates.iter().take(usize::from(temporal) + 1).map(|rate| u64::from(*rate)).sum()
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

    fn part(n: u64, spatial: u8, temporal: u8, len: usize) -> Part {
        Part { time: RtpTime::new(n as u32), spatial, temporal, keyframe: false, is_newest: true, len }
    }

    /// Ten packets of 125 bytes per second and layer: 10 kbit/s each.
    fn fed(seconds: u64) -> (LayerRates, Instant) {
        let (mut rates, t0) = (LayerRates::default(), start());
        for tick in 0..=10 * seconds {
            for (spatial, temporal) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                rates.note(t0 + Duration::from_millis(100 * tick), &part(tick, spatial, temporal, 125));
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
            rates.note(t0 + Duration::from_secs(1) * n / 30, &part(u64::from(n), 0, temporal, 100));
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
        rates.note(end + STALE_AFTER * 2, &part(0, 0, 0, 100));
        assert_eq!(rates.up_to(3, 3), None);
    }

    #[test]
    fn layers_beyond_the_known_ones_count_as_the_highest() {
        let (mut rates, t0) = (LayerRates::default(), start());
        for (n, len) in [(0, 1_000), (1, u32::MAX as usize), (2, u32::MAX as usize)] {
            rates.note(t0 + WINDOW_MAX / 2 * n, &part(u64::from(n), 200, 9, len));
        }
        assert_eq!(rates.highest(), (SPATIAL_MAX as u8 - 1, TEMPORAL_MAX as u8 - 1));
    }

    /// A screen with a picture each half second, of 30 kB, in three temporal layers; `keyframe` says which are five times as
    /// large.
    fn shared(pictures: u64, is_keyframe: impl Fn(u64) -> bool, mut look: impl FnMut(&LayerRates)) {
        let (mut rates, t0) = (LayerRates::default(), start());
        for n in 0..pictures {
            let (temporal, keyframe) = ([0, 2, 1, 2][n as usize % 4], is_keyframe(n));
            for packet in 0..if keyframe { 150 } else { 30 } {
                let part = Part { keyframe: keyframe && packet == 0, ..part(n, 0, temporal, 1_000) };
                rates.note(t0 + Duration::from_millis(500) * n as u32, &part);
            }
            look(&rates);
        }
    }

    #[test]
    fn a_screen_that_rarely_changes_has_a_steady_rate() {
        let mut seen = Vec::new();
        shared(60, |n| n == 0, |rates| seen.extend(rates.up_to(0, 3)));
        assert!(seen.len() > 50, "it is measured soon");
        assert!(seen[5..].iter().all(|bps| (470_000..490_000).contains(bps)), "{seen:?}");
    }

    #[test]
    fn a_keyframe_is_no_part_of_a_layers_rate_unless_there_is_nothing_else() {
        let mut seen = Vec::new();
        shared(60, |n| n == 0 || n == 32, |rates| seen.extend(rates.up_to(0, 3).zip(rates.up_to(0, 0))));
        let near = |bps: u64, kbps: u64| bps.abs_diff(kbps * 1_000) < kbps * 50;
        assert!(seen[16..].iter().all(|(all, lowest)| near(*all, 480) && near(*lowest, 120)), "{seen:?}");
        let mut all = Vec::new();
        shared(60, |_| true, |rates| all.extend(rates.up_to(0, 0)));
        assert!(all.iter().all(|bps| *bps > 500_000), "{all:?}");
    }
}
