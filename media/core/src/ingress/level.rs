//! Loudness of an audio track over a window, from the audio level extension (RFC 6464).

/// -127 dBov stands for digital silence (RFC 6464 section 3).
const SILENCE: u8 = 127;

#[derive(Default)]
pub struct LevelMeter {
    power: f32,
    packets: u32,
}

impl LevelMeter {
    /// Notes one packet's level, in -dBov, 0 loudest.
    pub fn note(&mut self, level: u8) {
        self.packets += 1;
        if level < SILENCE {
            self.power += 10_f32.powf(-f32::from(level) / 10.0);
        }
    }

    /// Amplitude (0 to 1) over the packets since the last call; `None` when there were none, or all were silent.
    pub fn take(&mut self) -> Option<f32> {
        let Self { power, packets } = std::mem::take(self);
        (power > 0.0).then(|| (power / packets as f32).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_of_power() {
        let mut meter = LevelMeter::default();
        meter.note(20);
        meter.note(20);
        assert!((meter.take().unwrap() - 0.1).abs() < 1e-4);
        assert_eq!(meter.take(), None);
    }

    #[test]
    fn silence_is_no_level() {
        let mut meter = LevelMeter::default();
        meter.note(127);
        assert_eq!(meter.take(), None);
    }
}
