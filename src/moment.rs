//! A point in time as the product stores and shows it: milliseconds since the Unix epoch. It reads no clock of its own
//! except through [`Moment::now`], which the edges call; what is below them is told the time.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole milliseconds, so that what is stored and what is shown are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Moment(i64);

/// 0000-01-01 and 10000-01-01, in milliseconds: RFC 3339 has four digits for a year.
const RANGE_MS: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;

impl Moment {
    pub fn now() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    /// Clamped to the years 0 to 9999.
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(RANGE_MS.start, RANGE_MS.end - 1))
    }

    pub const fn ms(self) -> i64 {
        self.0
    }

    pub fn plus(self, duration: Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_ms(self.0.saturating_add(ms))
    }

    /// Zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC: `2026-12-01T08:30:00Z`, with a fraction only where there is one.
    pub fn to_rfc3339(self) -> String {
        self.to_chrono().to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let moment = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        RANGE_MS.contains(&moment).then_some(Self(moment))
    }

    pub fn to_chrono(self) -> DateTime<Utc> {
        // In range by construction, so the epoch is never shown in its place.
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl<Tz: chrono::TimeZone> From<DateTime<Tz>> for Moment {
    fn from(time: DateTime<Tz>) -> Self {
        Self::from_ms(time.timestamp_millis())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not a time as in RFC 3339, with an offset"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_its_text_and_takes_any_offset() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-03-29T01:30:00.250Z", 1_774_747_800_250),
            ("2026-12-01T08:30:00Z", 1_796_113_800_000),
        ] {
            assert_eq!(Moment::from_rfc3339(text), Some(Moment::from_ms(ms)), "{text}");
            assert_eq!(Moment::from_ms(ms).to_rfc3339(), text);
        }
        assert_eq!(Moment::from_rfc3339("2026-12-01T09:30:00+01:00"), Moment::from_rfc3339("2026-12-01T08:30:00Z"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for wrong in
            ["", "tomorrow", "2026-02-30T00:00:00Z", "2026-12-01T08:30:00", "2026-12-01", "12026-12-01T00:00:00Z"]
        {
            assert_eq!(Moment::from_rfc3339(wrong), None, "{wrong}");
        }
        assert!(Moment::from_ms(i64::MAX).to_rfc3339().starts_with("9999-12-31"));
        assert!(Moment::from_ms(i64::MIN).to_rfc3339().starts_with("0000-01-01"));
    }
}
