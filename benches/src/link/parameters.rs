//! What one direction of a network path does to packets, as configuration says it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Nothing that a meeting runs over is slower than this; it also keeps sums of times far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// In JSON every field may be left out: `{"rate_bps": 300000, "queue_bytes": 32000, "delay_ms": 40, "loss": {"random": 0.02}}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkParameters {
    /// Bits per second of the bottleneck; without one, packets do not queue.
    pub rate_bps: Option<u64>,
    /// Bytes that may wait behind the packet on the wire. What does not fit is dropped, the newest first.
    pub queue_bytes: usize,
    /// Of each packet, once it has left the queue.
    #[serde(rename = "delay_ms", with = "milliseconds")]
    pub delay: Duration,
    /// The delay varies evenly by as much to either side; packets keep their order all the same.
    #[serde(rename = "jitter_ms", with = "milliseconds")]
    pub jitter: Duration,
    pub loss: Loss,
    pub reorder: Reorder,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// Times at which all that is sent is lost.
    pub outages: Vec<Outage>,
}

impl Default for LinkParameters {
    fn default() -> Self {
        Self {
            rate_bps: None,
            // 200 ms at 2.5 Mbit/s.
            queue_bytes: 62_500,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::None,
            reorder: Reorder::default(),
            duplicate: 0.0,
            outages: Vec::new(),
        }
    }
}

/// What is lost between the queue and the receiver: such a packet has taken its time on the wire.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    #[default]
    None,
    /// Each packet with this probability, whatever happened to the others.
    Random(f64),
    /// Gilbert and Elliott's chain of two states, one step per packet; in the good state nothing is lost.
    Bursts { p_good_to_bad: f64, p_bad_to_good: f64, loss_bad: f64 },
}

/// Packets that arrive later than those behind them.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reorder {
    pub share: f64,
    /// How much later than they would have.
    #[serde(rename = "held_back_ms", with = "milliseconds")]
    pub held_back: Duration,
}

/// Counted from the start of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    #[serde(rename = "start_ms", with = "milliseconds")]
    pub start: Duration,
    #[serde(rename = "length_ms", with = "milliseconds")]
    pub length: Duration,
    /// From one start to the next, of an outage that repeats.
    #[serde(default, rename = "every_ms", with = "optional_milliseconds", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

impl Outage {
    pub const fn once(start: Duration, length: Duration) -> Self {
        Self { start, length, every: None }
    }

    pub fn covers(&self, since_start: Duration) -> bool {
        let Some(since) = since_start.checked_sub(self.start) else { return false };
        let since = match self.every {
            Some(every) if !every.is_zero() => Duration::from_nanos((since.as_nanos() % every.as_nanos()) as u64),
            _ => since,
        };
        since < self.length
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParameterError {
    #[error("{0} is a probability: it lies between 0 and 1")]
    Probability(&'static str),
    #[error("{0} is longer than a day")]
    TooLong(&'static str),
    #[error("a link of no bits per second is an outage")]
    NoRate,
}

impl LinkParameters {
    pub fn validate(&self) -> Result<(), ParameterError> {
        let probability = |name, p: f64| {
            if (0.0..=1.0).contains(&p) { Ok(()) } else { Err(ParameterError::Probability(name)) }
        };
        let duration = |name, duration: Duration| {
            if duration <= DURATION_MAX { Ok(()) } else { Err(ParameterError::TooLong(name)) }
        };
        if self.rate_bps == Some(0) {
            return Err(ParameterError::NoRate);
        }
        match self.loss {
            Loss::None => {}
            Loss::Random(p) => probability("loss", p)?,
            Loss::Bursts { p_good_to_bad, p_bad_to_good, loss_bad } => {
                probability("p_good_to_bad", p_good_to_bad)?;
                probability("p_bad_to_good", p_bad_to_good)?;
                probability("loss_bad", loss_bad)?;
            }
        }
        probability("reorder", self.reorder.share)?;
        probability("duplicate", self.duplicate)?;
        duration("delay", self.delay)?;
        duration("jitter", self.jitter)?;
        duration("reorder", self.reorder.held_back)?;
        for outage in &self.outages {
            duration("start of the outage", outage.start)?;
            duration("outage", outage.length)?;
            duration("interval of the outage", outage.every.unwrap_or_default())?;
        }
        Ok(())
    }
}

/// A `Duration` as a number of milliseconds, which need not be whole.
mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64() * 1e3)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let milliseconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(milliseconds / 1e3).map_err(D::Error::custom)
    }
}

mod optional_milliseconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&(duration.as_secs_f64() * 1e3)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let milliseconds = Option::<f64>::deserialize(deserializer)?;
        let duration = milliseconds.map(|milliseconds| Duration::try_from_secs_f64(milliseconds / 1e3));
        duration.transpose().map_err(D::Error::custom)
    }
}
