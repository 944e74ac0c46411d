//! NTP timestamps (RFC 5905 section 6): seconds since 1900 as 32.32 fixed point. Reads no clock.

use std::ops::Add;
use std::time::Duration;

/// From 1900 to 1970 (RFC 868).
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

/// A moment as sender reports carry it. The seconds wrap in 2036.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NtpTime(u64);

impl NtpTime {
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// `unix` is the time since 1970.
    pub fn from_unix(unix: Duration) -> Self {
        Self(UNIX_EPOCH_SECONDS << 32) + unix
    }

    /// The middle 32 bits: 16.16 seconds, the unit of LSR and DLSR (RFC 3550 section 6.4.1).
    pub const fn middle32(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Microseconds from `earlier` to `self`, negative when `self` is the earlier one; right for 68 years either way.
    pub const fn since(self, earlier: Self) -> i64 {
        let delta = self.0.wrapping_sub(earlier.0) as i64;
        ((delta as i128 * 1_000_000) >> 32) as i64
    }
}

impl Add<Duration> for NtpTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(duration.as_secs() << 32).wrapping_add(fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unix_epoch_is_seventy_years_after_1900() {
        assert_eq!(NtpTime::from_unix(Duration::ZERO).get(), 0x83aa_7e80 << 32);
        assert_eq!(NtpTime::from_unix(Duration::from_millis(500)).get() as u32, 1 << 31);
    }

    #[test]
    fn the_middle_bits_are_those_of_rfc_3550() {
        // The example of RFC 3550 section 6.4.1.
        assert_eq!(NtpTime::new(0xb44d_b705_2000_0000).middle32(), 0xb705_2000);
    }

    #[test]
    fn differences_are_signed_and_survive_the_wrap() {
        let late = NtpTime::new(u64::MAX - 5) + Duration::from_millis(250);
        let early = NtpTime::new(u64::MAX - 5);
        assert!((late.since(early) - 250_000).abs() <= 1);
        assert!((early.since(late) + 250_000).abs() <= 1);
    }
}
