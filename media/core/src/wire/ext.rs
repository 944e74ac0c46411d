//! Values of the RTP header extensions that the core reads or writes. Refuses to know their ids, which are negotiated.

use super::ntp::NtpTime;
use super::u16_at;
use crate::ids::{Mid, Rid, SeqNo};

/// What the client's voice detection says of a packet (RFC 6464 section 3, flag V).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voice {
    Active,
    Inactive,
}

/// Client-to-mixer audio level (RFC 6464).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AudioLevel {
    pub voice: Voice,
    /// Minus dBov: 0 the loudest, 127 silence.
    pub level: u8,
}

impl AudioLevel {
    /// The first byte counts; RFC 6464 pads to more in the two-byte form.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let byte = *value.first()?;
        let voice = if byte & 0x80 != 0 { Voice::Active } else { Voice::Inactive };
        Some(Self { voice, level: byte & 0x7f })
    }

    pub fn to_bytes(self) -> [u8; 1] {
        let voice = match self.voice {
            Voice::Active => 0x80,
            Voice::Inactive => 0,
        };
        [voice | self.level.min(127)]
    }
}

/// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2). Version 2 of the
/// extension appends a feedback request, which is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransportCc(pub SeqNo);

impl TransportCc {
    pub fn parse(value: &[u8]) -> Option<Self> {
        u16_at(value, 0).map(|seq| Self(SeqNo::new(seq)))
    }

    pub fn to_bytes(self) -> [u8; 2] {
        self.0.get().to_be_bytes()
    }
}

/// Absolute send time: 24 bits, 6.18 seconds fixed point, of the time that the packet left
/// (<http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time>). It wraps every 64 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    pub fn from_ntp(time: NtpTime) -> Self {
        Self((time.get() >> 14) as u32 & 0xff_ffff)
    }

    pub fn parse(value: &[u8]) -> Option<Self> {
        let [a, b, c] = *value.first_chunk()?;
        Some(Self(u32::from_be_bytes([0, a, b, c])))
    }

    pub fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// In units of 2^-18 s.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Microseconds since an earlier one, or negative before a later one: whichever is nearer across the wrap.
    pub fn since_us(self, earlier: Self) -> i64 {
        let units = i64::from((self.0.wrapping_sub(earlier.0) << 8) as i32 >> 8);
        (units * 1_000_000) >> 18
    }
}

/// The m-section that a packet belongs to (RFC 8843 section 15).
pub fn mid(value: &[u8]) -> Option<Mid> {
    Mid::new(value)
}

/// The simulcast encoding that a packet belongs to or repairs (RFC 8852 sections 3.1 and 3.2).
pub fn rid(value: &[u8]) -> Option<Rid> {
    Rid::new(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn audio_levels_round_trip_for_every_byte() {
        for byte in 0..=255 {
            assert_eq!(AudioLevel::parse(&[byte, 0]).unwrap().to_bytes(), [byte]);
        }
        assert_eq!(AudioLevel::parse(&[0x85]), Some(AudioLevel { voice: Voice::Active, level: 5 }));
        assert_eq!(AudioLevel::parse(&[]), None);
    }

    #[test]
    fn transport_sequence_numbers_round_trip_and_ignore_the_feedback_request() {
        let value = TransportCc(SeqNo::new(0xabcd));
        assert_eq!(TransportCc::parse(&value.to_bytes()), Some(value));
        assert_eq!(TransportCc::parse(&[0xab, 0xcd, 1, 2]), Some(value));
        assert_eq!(TransportCc::parse(&[1]), None);
    }

    #[test]
    fn absolute_send_time_counts_in_two_to_the_minus_eighteen_seconds() {
        let at = |duration| AbsSendTime::from_ntp(NtpTime::new(0) + duration);
        assert_eq!(at(Duration::from_secs(1)).get(), 1 << 18);
        assert_eq!(at(Duration::from_millis(64_500)).get(), 1 << 17);
        assert_eq!(
            AbsSendTime::parse(&at(Duration::from_millis(1_250)).to_bytes()),
            Some(at(Duration::from_millis(1_250)))
        );
        assert_eq!(AbsSendTime::parse(&[1, 2]), None);
        let (before, after) = (at(Duration::from_millis(63_500)), at(Duration::from_millis(64_500)));
        assert_eq!((after.since_us(before), before.since_us(after)), (1_000_000, -1_000_000));
    }

    #[test]
    fn tokens_are_checked() {
        assert_eq!(mid(b"0").unwrap().as_bytes(), b"0");
        assert_eq!(rid(b"h").unwrap().as_bytes(), b"h");
        assert!(mid(b"\0").is_none() && rid(b"").is_none());
    }
}
