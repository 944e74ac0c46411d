//! What the members do: who joins which room, who speaks, and when what is measured.

mod arrivals;
mod meeting;

use super::engine::{Engine, EngineHandle, Measured, Window};
use super::options::{Options, Scenario, seconds};
use super::plan::Plan;
use super::process::ProcessTime;
use super::report::{GeneratorReport, MediaReport, Report, ServerReport};
use super::signal::{Endpoint, Member};
use crate::trace::{Trace, TraceError};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// After the window, until everything under way has arrived.
const GRACE: Duration = Duration::from_millis(500);
/// The window opens so long after it is announced to the engine.
const LEAD: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the generator cannot start")]
    Engine(#[source] io::Error),
    #[error("a process cannot be read")]
    Process(#[source] io::Error),
    #[error("the trace cannot be read")]
    TraceFile(#[source] io::Error),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("nobody could join: {0}")]
    NobodyJoined(String),
    #[error("the media thread has ended")]
    EngineEnded,
}

/// What a scenario works with.
struct Stage {
    options: Options,
    endpoint: Endpoint,
    engine: Engine,
    /// The server before the first join.
    idle: Option<ProcessTime>,
    /// Of its rooms: those of two runs do not meet, unless they are meant to.
    name: String,
}

/// Runs the scenario to its end.
pub async fn run(options: Options) -> Result<Report, RunError> {
    let plan = Plan { trace: options.media.trace.as_deref().map(read_trace).transpose()?, ..options.plan() };
    let engine = Engine::start(plan, options.run.cpu).map_err(RunError::Engine)?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut stage = Stage {
        endpoint: options.endpoint(),
        engine,
        idle: None,
        name: options.run.room.clone().unwrap_or_else(|| format!("load-{}", started.as_millis())),
        options,
    };
    stage.idle = stage.server()?;
    match stage.options.scenario.clone() {
        Scenario::Joins { rate, people, hold } => arrivals::run(&stage, rate, people, seconds(hold)).await,
        _ => meeting::run(&stage).await,
    }
}

fn read_trace(path: &Path) -> Result<Arc<Trace>, RunError> {
    let text = std::fs::read_to_string(path).map_err(RunError::TraceFile)?;
    Ok(Arc::new(Trace::read(&text)?))
}

impl Stage {
    fn media(&self) -> &EngineHandle {
        self.engine.handle()
    }

    fn server(&self) -> Result<Option<ProcessTime>, RunError> {
        self.options.server.pid.map(ProcessTime::read).transpose().map_err(RunError::Process)
    }

    /// Shown on a terminal only.
    fn progress(&self, what: &'static str, steps: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg:<12} [{bar:40}] {pos}/{len}");
        let bar = ProgressBar::new(steps).with_message(what);
        match style {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        }
    }

    /// Measures for as long as was asked, or until the user has enough.
    async fn measure(&self, members: u64) -> Result<(Measured, Option<ServerReport>, GeneratorReport), RunError> {
        let duration = seconds(self.options.run.duration);
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + LEAD;
        let window = Window { start_ns: start.as_nanos() as u64, end_ns: (start + duration).as_nanos() as u64 };
        self.media().measure(window);
        tokio::time::sleep(LEAD).await;
        let before = self.server()?;
        let watch = self.watch_generator()?;
        let bar = self.progress("measuring", duration.as_secs());
        while let Some(left) = duration.checked_sub(watch.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
            bar.set_position(watch.elapsed().as_secs());
        }
        bar.finish_and_clear();
        let (after, wall, core_share) = (self.server()?, watch.elapsed(), watch.core_share()?);
        tokio::time::sleep(GRACE).await;
        let measured = self.media().collect().await.ok_or(RunError::EngineEnded)?;
        let packets = measured.counts.received;
        let server = self
            .idle
            .zip(before)
            .zip(after)
            .map(|((idle, before), after)| ServerReport::of(&idle, &before, &after, wall, members, (packets, 0)));
        let generator = GeneratorReport::of(&measured, core_share);
        Ok((measured, server, generator))
    }

    fn within_limits(&self, media: &MediaReport) -> bool {
        let run = &self.options.run;
        // Where people come and go, somebody is always about to be seen.
        let all_paths =
            media.paths_seen >= media.paths_expected || matches!(self.options.scenario, Scenario::Churn { .. });
        (media.packets_received > 0 || media.paths_expected == 0)
            && all_paths
            && media.loss_percent < run.loss_max + self.options.media.loss * 100.0
            && media.delay_ms.p99 < run.p99_max
    }

    fn watch_generator(&self) -> Result<GeneratorWatch, RunError> {
        let began = Instant::now();
        let pid = self.options.run.cpu.map(|_| std::process::id());
        let before = pid.map(ProcessTime::read).transpose().map_err(RunError::Process)?;
        Ok(GeneratorWatch { began, pid, before })
    }
}

/// What the generator itself uses. Free to use several cores, it has no share of one.
struct GeneratorWatch {
    began: Instant,
    pid: Option<u32>,
    before: Option<ProcessTime>,
}

impl GeneratorWatch {
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn core_share(&self) -> Result<Option<f64>, RunError> {
        let after = self.pid.map(ProcessTime::read).transpose().map_err(RunError::Process)?;
        let used = self.before.zip(after).map(|(before, after)| after.cpu_seconds - before.cpu_seconds);
        Ok(used.map(|seconds| seconds / self.elapsed().as_secs_f64().max(1e-9)))
    }
}

/// Causes of failed joins, each with its number.
#[derive(Default)]
struct Failures(BTreeMap<String, u64>);

impl Failures {
    fn add(&mut self, cause: &impl ToString) {
        *self.0.entry(cause.to_string()).or_default() += 1;
    }

    fn into_list(self) -> Vec<(String, u64)> {
        self.0.into_iter().collect()
    }
}

/// Everybody says goodbye.
async fn leave_all(members: Vec<Member>) {
    let leaving = members.into_iter().map(Member::leave);
    futures_util::future::join_all(leaving).await;
}
