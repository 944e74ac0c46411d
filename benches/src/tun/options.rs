//! What the user chooses, in the units that people say: `300k`, `75ms`, `2%`.

use crate::link::{LinkParameters, Loss, Outage, ParameterError, Reorder};
use clap::Parser;
use std::time::Duration;

/// Without a queue of the user's: what a home router holds, and room for a short burst at the lowest rates.
const QUEUE: Duration = Duration::from_millis(200);
const QUEUE_BYTES_MIN: usize = 15_000;

/// Runs a program behind a bad network.
///
/// Makes a network namespace whose only way out is a path to this host, as slow, late and lossy as you say. Servers on this host
/// are reached under any of its addresses. Needs root. While it runs, lines of JSON on the standard input change the path:
/// {"down":{"rate_bps":300000,"loss":{"random":0.02}}}, {"up":{"rate_bps":null}}, {"outage_ms":8000}, {"stats":true}.
#[derive(Clone, Debug, Parser)]
#[command(name = "consilium-link", version)]
pub struct Options {
    /// Bits per second, both ways: 300k, 2.5M.
    #[arg(long, value_parser = rate)]
    pub rate: Option<u64>,
    /// Towards the program.
    #[arg(long, value_parser = rate)]
    pub down_rate: Option<u64>,
    /// From the program.
    #[arg(long, value_parser = rate)]
    pub up_rate: Option<u64>,
    /// Bytes that wait where the rate is limited: 64k [default: 200 ms of the rate].
    #[arg(long, value_parser = bytes)]
    pub queue: Option<usize>,
    /// Added to each packet, each way: 75ms.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub delay: Duration,
    /// The delay varies by as much to either side.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub jitter: Duration,
    /// Share of packets that are lost, each way: 2%.
    #[arg(long, default_value = "0%", value_parser = share)]
    pub loss: f64,
    #[arg(long, value_parser = share)]
    pub down_loss: Option<f64>,
    #[arg(long, value_parser = share)]
    pub up_loss: Option<f64>,
    /// Packets are lost so many in a row, on average.
    #[arg(long, default_value_t = 1.0)]
    pub burst: f64,
    /// Share of packets that are held back, and how long: 1%:20ms.
    #[arg(long, value_parser = reorder)]
    pub reorder: Option<Reorder>,
    /// Share of packets that arrive twice.
    #[arg(long, default_value = "0%", value_parser = share)]
    pub duplicate: f64,
    /// When nothing arrives: 10s+8s is from the tenth second on, for eight; 10s+8s/60s is every minute.
    #[arg(long, value_parser = outage)]
    pub outage: Vec<Outage>,
    /// The same seed does the same to the same packets.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The name of the namespace, for `ip netns exec` [default: one that is free].
    #[arg(long)]
    pub netns: Option<String>,
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u16).range(576..=9_000))]
    pub mtu: u16,
    /// Whom the program runs as.
    #[arg(long)]
    pub user: Option<String>,
    /// The program; without one the namespace stays until the standard input ends.
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// One link for each direction.
#[derive(Clone, Debug)]
pub struct Paths<T> {
    pub down: T,
    pub up: T,
}

impl Options {
    pub fn paths(&self) -> Result<Paths<LinkParameters>, ParameterError> {
        let down = self.path(self.down_rate.or(self.rate), self.down_loss.unwrap_or(self.loss));
        let up = self.path(self.up_rate.or(self.rate), self.up_loss.unwrap_or(self.loss));
        down.validate()?;
        up.validate()?;
        Ok(Paths { down, up })
    }

    fn path(&self, rate_bps: Option<u64>, loss: f64) -> LinkParameters {
        LinkParameters {
            rate_bps,
            queue_bytes: self.queue.unwrap_or_else(|| rate_bps.map_or(LinkParameters::default().queue_bytes, queue_of)),
            delay: self.delay,
            jitter: self.jitter,
            loss: loss_of(loss, self.burst),
            reorder: self.reorder.unwrap_or_default(),
            duplicate: self.duplicate,
            outages: self.outage.clone(),
        }
    }
}

fn queue_of(rate_bps: u64) -> usize {
    let bytes = rate_bps as f64 / 8.0 * QUEUE.as_secs_f64();
    (bytes as usize).max(QUEUE_BYTES_MIN)
}

/// Runs of losses whose lengths are distributed geometrically, `burst` packets on average, and the wanted share over all.
fn loss_of(loss: f64, burst: f64) -> Loss {
    if loss <= 0.0 {
        Loss::None
    } else if burst <= 1.0 || loss >= 1.0 {
        Loss::Random(loss)
    } else {
        let p_bad_to_good = 1.0 / burst;
        Loss::Bursts { p_good_to_bad: (p_bad_to_good * loss / (1.0 - loss)).min(1.0), p_bad_to_good, loss_bad: 1.0 }
    }
}

type Parsed<T> = Result<T, String>;

/// A number that is not negative, and what stands behind it.
fn number(text: &str) -> Parsed<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value = digits.parse().map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((value, unit))
}

fn scaled(text: &str) -> Parsed<f64> {
    let (value, unit) = number(text)?;
    let scale = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return Err(format!("{unit:?} is none of k, M and G")),
    };
    Ok(value * scale)
}

fn rate(text: &str) -> Parsed<u64> {
    scaled(text).map(|bits| bits as u64)
}

fn bytes(text: &str) -> Parsed<usize> {
    scaled(text).map(|bytes| bytes as usize)
}

fn duration(text: &str) -> Parsed<Duration> {
    let (value, unit) = number(text)?;
    let seconds = match unit {
        "us" => value / 1e6,
        "ms" => value / 1e3,
        "s" => value,
        _ => return Err(format!("{text:?} does not end with us, ms or s")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn share(text: &str) -> Parsed<f64> {
    let (value, unit) = number(text)?;
    let share = match unit {
        "%" => value / 100.0,
        "" => value,
        _ => return Err(format!("{text:?} is no share: 2% or 0.02")),
    };
    if share <= 1.0 { Ok(share) } else { Err(format!("{text:?} is more than all")) }
}

fn reorder(text: &str) -> Parsed<Reorder> {
    let (of, by) = text.split_once(':').ok_or("a share and a time: 1%:20ms")?;
    Ok(Reorder { share: share(of)?, held_back: duration(by)? })
}

fn outage(text: &str) -> Parsed<Outage> {
    let (start, rest) = text.split_once('+').ok_or("a start and a length: 10s+8s")?;
    let (length, every) = match rest.split_once('/') {
        Some((length, every)) => (length, Some(duration(every)?)),
        None => (rest, None),
    };
    Ok(Outage { start: duration(start)?, length: duration(length)?, every })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn paths(line: &str) -> Paths<LinkParameters> {
        Options::try_parse_from(line.split(' ')).unwrap().paths().unwrap()
    }

    #[test]
    fn the_command_line_says_what_each_direction_does() {
        Options::command().debug_assert();
        let paths = paths(
            "consilium-link --down-rate 300k --rate 2.5M --delay 75ms --jitter 0.5ms --loss 2% --up-loss 0 -- a b",
        );
        assert_eq!((paths.down.rate_bps, paths.up.rate_bps), (Some(300_000), Some(2_500_000)));
        assert_eq!((paths.down.loss, paths.up.loss), (Loss::Random(0.02), Loss::None));
        assert_eq!((paths.down.queue_bytes, paths.up.queue_bytes), (QUEUE_BYTES_MIN, 62_500));
        assert_eq!((paths.up.delay, paths.up.jitter), (Duration::from_millis(75), Duration::from_micros(500)));
    }

    #[test]
    fn disorder_and_outages_are_said_in_one_word_each() {
        let paths = paths("consilium-link --reorder 1%:20ms --outage 10s+8s --outage 1s+2ms/60s --duplicate 0.5");
        assert_eq!(paths.up.reorder, Reorder { share: 0.01, held_back: Duration::from_millis(20) });
        let (once, often) = (paths.up.outages[0], paths.up.outages[1]);
        assert_eq!(once, Outage::once(Duration::from_secs(10), Duration::from_secs(8)));
        assert_eq!((often.length, often.every), (Duration::from_millis(2), Some(Duration::from_secs(60))));
    }

    #[test]
    fn bursts_keep_the_share_of_losses() {
        let Loss::Bursts { p_good_to_bad, p_bad_to_good, loss_bad } = loss_of(0.05, 4.0) else {
            panic!("not in bursts")
        };
        // The share of time in the bad state of a chain of two.
        let share = p_good_to_bad / (p_good_to_bad + p_bad_to_good) * loss_bad;
        assert!((share - 0.05).abs() < 1e-9 && (p_bad_to_good - 0.25).abs() < 1e-9);
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "--rate x",
            "--rate 3q",
            "--rate -1",
            "--loss 101%",
            "--loss 2ms",
            "--delay 7",
            "--reorder 1%",
            "--outage 5s",
            "--mtu 100",
        ] {
            let line = format!("consilium-link {wrong}");
            assert!(Options::try_parse_from(line.split(' ')).is_err(), "{wrong}");
        }
        assert!(Options::parse_from(["consilium-link", "--rate", "0"]).paths().is_err(), "a rate of nothing");
    }
}
