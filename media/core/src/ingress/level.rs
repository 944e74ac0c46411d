//! Loudness of an audio track over a window, from the audio level extension (RFC 6464).

/// -127 dBov stands for digital silence (RFC 6464 section 3).
const SILENCE: usize = 127;
/// At least this loud, in -dBov, a packet may be speech: some 5 dB below what counts as speaking, so that the quiet parts of a
/// word are not taken for pauses.
const LOUD: u8 = 40;
/// Fewer loud packets than this are a click of the mouse, not a syllable. Packets last 20 ms, and 60 ms at most.
const LOUD_PACKETS_MIN: u32 = 2;
/// So is a smaller share of a window's packets; a cough, a cup and a keystroke last some 50 ms.
const LOUD_SHARE_MIN: (u32, u32) = (2, 5);

/// Power of each level, 1 for 0 dBov.
const POWER: [f32; 128] = {
    // 10^(-1/10).
    const STEP: f32 = 0.794_328_2;
    let mut power = [1.0; 128];
    let mut level = 1;
    while level < SILENCE {
        power[level] = power[level - 1] * STEP;
        level += 1;
    }
    power[SILENCE] = 0.0;
    power
};

/// Packets and the sum of their power.
#[derive(Clone, Copy, Default)]
struct Heard {
    packets: u32,
    power: f32,
}

/// Of a level in -dBov; 1 is 0 dBov.
pub fn power(level: u8) -> f32 {
    POWER[usize::from(level).min(SILENCE)]
}

/// May be speech.
pub fn is_loud(level: u8) -> bool {
    level <= LOUD
}

#[derive(Default)]
pub struct LevelMeter {
    loud: Heard,
    quiet: Heard,
}

/// One window of a track.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Loudness {
    /// Amplitude (0 to 1) by mean power, short bursts left out; `None` when nothing came, or silence alone.
    pub amplitude: Option<f32>,
    /// Packets that carried a level.
    pub packets: u32,
    /// It was loud for longer than a burst.
    pub spoke: bool,
}

impl LevelMeter {
    /// Notes one packet's level, in -dBov, 0 loudest.
    pub fn note(&mut self, level: u8) {
        let heard = if is_loud(level) { &mut self.loud } else { &mut self.quiet };
        heard.packets += 1;
        heard.power += power(level);
    }

    /// The packets since the last call.
    pub fn take(&mut self) -> Loudness {
        let Self { loud, quiet } = std::mem::take(self);
        let packets = loud.packets + quiet.packets;
        let (share, of) = LOUD_SHARE_MIN;
        let spoke = loud.packets >= LOUD_PACKETS_MIN && loud.packets * of >= packets * share;
        let heard = match spoke {
            true => Heard { packets, power: loud.power + quiet.power },
            false => quiet,
        };
        let amplitude = (heard.power > 0.0).then(|| (heard.power / heard.packets as f32).sqrt());
        Loudness { amplitude, packets, spoke }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(levels: &[u8]) -> Loudness {
        let mut meter = LevelMeter::default();
        levels.iter().for_each(|level| meter.note(*level));
        meter.take()
    }

    #[test]
    fn the_mean_is_of_power() {
        let loudness = window(&[20, 20]);
        assert!((loudness.amplitude.unwrap() - 0.1).abs() < 1e-4 && loudness.spoke);
        let half = window(&[20, 127, 20, 127]).amplitude.unwrap();
        assert!((half - 0.1 / 2_f32.sqrt()).abs() < 1e-4);
        assert_eq!(window(&[]), Loudness::default());
    }

    #[test]
    fn silence_is_no_level() {
        assert_eq!(window(&[127, 127]), Loudness { amplitude: None, packets: 2, spoke: false });
    }

    #[test]
    fn a_burst_is_no_louder_than_what_is_around_it() {
        let noise = window(&[60; 10]).amplitude.unwrap();
        let mut levels = [60; 10];
        levels[4] = 5;
        for burst in [&levels[..], &[5, 60, 60, 60][..]] {
            let burst = window(burst);
            assert!((burst.amplitude.unwrap() - noise).abs() < 1e-6 && !burst.spoke);
        }
        assert!(window(&[127, 127, 30, 20, 25, 30, 127, 127, 127, 127]).spoke);
    }

    #[test]
    fn every_byte_is_a_level() {
        let amplitudes = (0..=u8::MAX).map(|level| window(&[level; 3]).amplitude.unwrap_or(0.0));
        let amplitudes: Vec<f32> = amplitudes.collect();
        assert!(
            amplitudes.windows(2).all(|pair| pair[0] >= pair[1]) && amplitudes[126] > 0.0 && amplitudes[127] == 0.0
        );
        assert!((amplitudes[100] - 1e-5).abs() < 1e-7, "{}", amplitudes[100]);
    }
}
