//! What a run says at its end: a table for people, JSON for programs.

use super::engine::Measured;
use super::plan::Plan;
use super::process::ProcessTime;
use super::signal::Mode;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Above this share of its time the generator may be what limits.
const BUSY_MAX: f64 = 0.9;
/// Share of frames that may leave late before the generator counts as what limits.
const LATE_MAX: f64 = 0.01;

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub scenario: super::options::Scenario,
    pub mode: Mode,
    pub plan: Plan,
    /// Takes the place of the plan's rates.
    pub trace: Option<PathBuf>,
    pub scale: f64,
    pub members: u64,
    pub joins: JoinReport,
    /// Absent where no media is measured.
    pub media: Option<MediaReport>,
    pub server: Option<ServerReport>,
    pub generator: GeneratorReport,
    /// Whether the limits on loss and delay held.
    pub within_limits: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct JoinReport {
    pub attempted: u64,
    pub succeeded: u64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Each cause once, with its number.
    pub failures: Vec<(String, u64)>,
}

impl JoinReport {
    pub fn of(times: &mut [Duration], failures: Vec<(String, u64)>, elapsed: Duration) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        let failed: u64 = failures.iter().map(|(_, count)| count).sum();
        Self {
            attempted: times.len() as u64 + failed,
            succeeded: times.len() as u64,
            per_second: times.len() as f64 / elapsed.as_secs_f64().max(1e-9),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            failures,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct MediaReport {
    pub seconds: f64,
    pub packets_sent: u64,
    pub packets_expected: u64,
    pub packets_received: u64,
    pub packets_per_second: f64,
    pub bits_per_second: f64,
    pub loss_percent: f64,
    pub duplicates: u64,
    pub reordered: u64,
    pub refused: u64,
    pub thrown_away: u64,
    pub upstream_nacks: u64,
    pub delay_ms: Delays,
    /// Pairs of sender's track and receiver that there should be, and that there are.
    pub paths_expected: u64,
    pub paths_seen: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Delays {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Delays {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / 1e6 }
    }
}

impl MediaReport {
    pub fn of(measured: &Measured, paths: (u64, u64)) -> Self {
        let seconds = measured.window.map_or(0.0, |window| (window.end_ns - window.start_ns) as f64 / 1e9);
        let counts = measured.counts;
        let lost = counts.expected.saturating_sub(counts.received) as f64;
        Self {
            seconds,
            packets_sent: measured.packets_sent,
            packets_expected: counts.expected,
            packets_received: counts.received,
            packets_per_second: counts.received as f64 / seconds.max(1e-9),
            bits_per_second: measured.bytes as f64 * 8.0 / seconds.max(1e-9),
            loss_percent: if counts.expected > 0 { lost * 100.0 / counts.expected as f64 } else { 0.0 },
            duplicates: measured.duplicates,
            reordered: counts.reordered,
            refused: measured.refused,
            thrown_away: measured.thrown_away,
            upstream_nacks: measured.upstream_nacks,
            delay_ms: Delays::of(&measured.delays_ns),
            paths_expected: paths.0,
            paths_seen: paths.1,
        }
    }
}

/// The server's process, from outside.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerReport {
    pub cpu_seconds: f64,
    /// Of one core.
    pub cpu_share: f64,
    pub cpu_us_per_packet: f64,
    pub packets_per_cpu_second: f64,
    pub cpu_ms_per_join: f64,
    pub switches_voluntary: u64,
    pub switches_involuntary: u64,
    pub resident_bytes_before: u64,
    pub resident_bytes: u64,
    pub bytes_per_member: f64,
}

impl ServerReport {
    /// `idle` is from before the first join; `packets` and `joins` happened between `before` and `after`.
    pub fn of(
        idle: &ProcessTime,
        before: &ProcessTime,
        after: &ProcessTime,
        wall: Duration,
        members: u64,
        (packets, joins): (u64, u64),
    ) -> Self {
        let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
        let per = |count: u64, unit: f64| if count > 0 { cpu_seconds * unit / count as f64 } else { 0.0 };
        Self {
            cpu_seconds,
            cpu_share: cpu_seconds / wall.as_secs_f64().max(1e-9),
            cpu_us_per_packet: per(packets, 1e6),
            packets_per_cpu_second: if cpu_seconds > 0.0 { packets as f64 / cpu_seconds } else { 0.0 },
            cpu_ms_per_join: per(joins, 1e3),
            switches_voluntary: after.switches_voluntary.saturating_sub(before.switches_voluntary),
            switches_involuntary: after.switches_involuntary.saturating_sub(before.switches_involuntary),
            resident_bytes_before: idle.resident_bytes,
            resident_bytes: after.resident_bytes,
            bytes_per_member: after.resident_bytes.saturating_sub(idle.resident_bytes) as f64 / members.max(1) as f64,
        }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct GeneratorReport {
    /// Of the core that it stays on, or else of its media thread's time.
    pub busy_ratio: f64,
    pub sends: u64,
    pub late_sends: u64,
    pub socket_drops: u64,
    /// The figures say more about the generator than about the server.
    pub is_the_limit: bool,
}

impl GeneratorReport {
    /// `core_share` is the share of its core that the whole process used, where it stays on one.
    pub fn of(measured: &Measured, core_share: Option<f64>) -> Self {
        let late = measured.late_sends as f64 > measured.sends as f64 * LATE_MAX;
        let busy_ratio = core_share.unwrap_or(0.0).max(measured.busy_ratio);
        Self {
            busy_ratio,
            sends: measured.sends,
            late_sends: measured.late_sends,
            socket_drops: measured.socket_drops,
            is_the_limit: busy_ratio > BUSY_MAX || late || measured.socket_drops > 0,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joins = &self.joins;
        writeln!(f, "members            {}", self.members)?;
        writeln!(
            f,
            "joins              {} of {}, {:.1} per second",
            joins.succeeded, joins.attempted, joins.per_second
        )?;
        writeln!(
            f,
            "join time          p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            joins.p50_ms, joins.p95_ms, joins.p99_ms, joins.max_ms
        )?;
        for (cause, count) in &joins.failures {
            writeln!(f, "  failed           {count}: {cause}")?;
        }
        if let Some(media) = self.media.as_ref().filter(|media| media.paths_expected > 0) {
            media.fmt(f)?;
        }
        if let Some(server) = &self.server {
            server.fmt(f)?;
        }
        let generator = &self.generator;
        writeln!(
            f,
            "generator          {:.0}% busy, {} of {} sends late, {} drops at its own sockets",
            generator.busy_ratio * 100.0,
            generator.late_sends,
            generator.sends,
            generator.socket_drops
        )?;
        if generator.is_the_limit {
            writeln!(f, "The generator, not the server, may be the limit of these figures.")?;
        }
        write!(f, "limits             {}", if self.within_limits { "kept" } else { "broken" })
    }
}

impl fmt::Display for MediaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delay = &self.delay_ms;
        writeln!(f, "paths              {} of {}", self.paths_seen, self.paths_expected)?;
        writeln!(f, "packets sent       {}", self.packets_sent)?;
        writeln!(
            f,
            "packets received   {} of {}, {:.0} per second, {:.0} Mbit/s",
            self.packets_received,
            self.packets_expected,
            self.packets_per_second,
            self.bits_per_second / 1e6
        )?;
        writeln!(
            f,
            "lost               {:.4}%, {} duplicates, {} reordered, {} refused, {} asked of senders again",
            self.loss_percent, self.duplicates, self.reordered, self.refused, self.upstream_nacks
        )?;
        writeln!(
            f,
            "delay              p50 {:.3} ms, p95 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, longest {:.3} ms",
            delay.p50, delay.p95, delay.p99, delay.p999, delay.max
        )
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server             {:.0}% of a core", self.cpu_share * 100.0)?;
        if self.cpu_us_per_packet > 0.0 {
            let per_second = self.packets_per_cpu_second;
            write!(f, ", {:.2} us per packet, {per_second:.0} packets per CPU-second", self.cpu_us_per_packet)?;
        }
        if self.cpu_ms_per_join > 0.0 {
            write!(f, ", {:.2} ms per join", self.cpu_ms_per_join)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "server             {} switches ({} involuntary), {:.1} MiB, {:.0} KiB per member",
            self.switches_voluntary + self.switches_involuntary,
            self.switches_involuntary,
            self.resident_bytes as f64 / 1_048_576.0,
            self.bytes_per_member / 1_024.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_joins_are_times_that_occurred() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let report = JoinReport::of(&mut times, vec![("full".to_owned(), 2)], Duration::from_secs(10));
        assert_eq!((report.p50_ms, report.p95_ms, report.max_ms), (50.0, 95.0, 100.0));
        assert_eq!((report.attempted, report.succeeded, report.per_second), (102, 100, 10.0));
        assert_eq!(JoinReport::of(&mut [], Vec::new(), Duration::ZERO).p99_ms, 0.0);
    }

    #[test]
    fn processor_time_is_shared_among_packets() {
        let before = ProcessTime { cpu_seconds: 1.0, ..ProcessTime::default() };
        let after = ProcessTime { cpu_seconds: 3.0, resident_bytes: 10_000, ..ProcessTime::default() };
        let report =
            ServerReport::of(&ProcessTime::default(), &before, &after, Duration::from_secs(4), 10, (1_000_000, 0));
        assert_eq!((report.cpu_us_per_packet, report.packets_per_cpu_second, report.cpu_share), (2.0, 500_000.0, 0.5));
        assert_eq!((report.bytes_per_member, report.cpu_ms_per_join), (1_000.0, 0.0));
    }
}
