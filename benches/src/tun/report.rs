//! What the links did so far: a table for people, JSON for programs.

use super::shovel::Shovel;
use crate::link::{Link, LinkStats};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    seconds: f64,
    down: Direction,
    up: Direction,
    timer: Timer,
    /// Packets that the kernel did not take from us.
    refused: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Direction {
    offered: u64,
    passed: u64,
    passed_bytes: u64,
    duplicated: u64,
    lost: u64,
    lost_to_queue: u64,
    lost_to_outages: u64,
    queue_mean_ms: f64,
    queue_p95_ms: f64,
    queue_max_ms: f64,
}

/// How late packets left, in microseconds.
#[derive(Clone, Debug, Serialize)]
struct Timer {
    late_p50_us: u64,
    late_p99_us: u64,
    late_max_us: u64,
}

impl Report {
    pub(super) fn of(shovel: &Shovel) -> Self {
        let late = shovel.late();
        let timer = Timer {
            late_p50_us: late.value_at_quantile(0.5),
            late_p99_us: late.value_at_quantile(0.99),
            late_max_us: late.max(),
        };
        let links = shovel.links();
        Self {
            seconds: shovel.elapsed().as_secs_f64(),
            down: Direction::of(&links.down),
            up: Direction::of(&links.up),
            timer,
            refused: shovel.refused(),
        }
    }
}

impl Direction {
    fn of<T>(link: &Link<T>) -> Self {
        let LinkStats { offered, passed, passed_bytes, duplicated, lost, lost_to_queue, lost_to_outages, queue_delay } =
            link.stats();
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self {
            offered: *offered,
            passed: *passed,
            passed_bytes: *passed_bytes,
            duplicated: *duplicated,
            lost: *lost,
            lost_to_queue: *lost_to_queue,
            lost_to_outages: *lost_to_outages,
            queue_mean_ms: ms(queue_delay.mean()),
            queue_p95_ms: ms(queue_delay.quantile(0.95)),
            queue_max_ms: ms(queue_delay.max),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, way) in [("down", &self.down), ("up", &self.up)] {
            let kbps = way.passed_bytes as f64 * 8.0 / 1e3 / self.seconds.max(1e-3);
            writeln!(f, "{name:<6} {} of {} packets passed, {kbps:.0} kbit/s", way.passed, way.offered)?;
            writeln!(
                f,
                "       lost {}, to a full queue {}, to outages {}",
                way.lost, way.lost_to_queue, way.lost_to_outages
            )?;
            writeln!(
                f,
                "       queue mean {:.1} ms, p95 {:.0} ms, max {:.1} ms",
                way.queue_mean_ms, way.queue_p95_ms, way.queue_max_ms
            )?;
        }
        let Timer { late_p50_us, late_p99_us, late_max_us } = self.timer;
        write!(f, "timer  late by {late_p50_us} us at p50, {late_p99_us} us at p99, {late_max_us} us at most")
    }
}
