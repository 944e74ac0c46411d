//! Sender-side estimators beside one another, on the same bottlenecks: how soon they find a path's rate, how much of it they
//! use, how long their queue is.
//!
//! `cargo test --test sim estimator -- --nocapture` prints the table.

mod gcc;
mod ours;
mod path;

use crate::estimator::path::{Outcome, Path};
use consilium_benches::link::{LinkParameters, Loss};
use gcc::Gcc;
use ours::Ours;
use std::time::{Duration, Instant};

/// What is believed of a path before anything is known of it: a camera's middle layer.
const START_BPS: f64 = 500_000.0;
/// Required of a path once it stays as it is: of the median run, and of each.
const UTILISATION_MIN: f64 = 0.85;
const QUEUE_P95_MAX: Duration = Duration::from_millis(100);
/// Chance in the lossy rows makes one run in fifty use less.
const UTILISATION_WORST: f64 = 0.75;
/// Of senders that are alike, as Jain's index: 0.8 is one with three quarters.
const FAIRNESS_MIN: f64 = 0.8;

/// Who decides how much is sent, from feedback about what was sent.
pub(crate) trait SenderEstimator {
    fn name(&self) -> &'static str;

    /// A datagram of `len` bytes leaves; under which transport-wide number.
    fn sent(&mut self, now: Instant, len: usize) -> u16;

    /// A feedback message came, header included.
    fn handle_feedback(&mut self, now: Instant, message: &[u8]);

    fn target_bps(&self, now: Instant) -> f64;

    /// Called each millisecond; bytes of padding that are to leave now.
    fn poll_probe(&mut self, _now: Instant) -> usize {
        0
    }

    /// How fast packets of a frame may leave, in bit/s; at once without.
    fn pace_bps(&self, _now: Instant) -> Option<f64> {
        None
    }
}

/// Sends what it is told to send.
struct Constant {
    bps: f64,
    next: u16,
}

impl SenderEstimator for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn sent(&mut self, _now: Instant, _len: usize) -> u16 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn handle_feedback(&mut self, _now: Instant, _message: &[u8]) {}

    fn target_bps(&self, _now: Instant) -> f64 {
        self.bps
    }
}

/// A bottleneck and what becomes of it.
struct Case {
    name: &'static str,
    parameters: LinkParameters,
    /// From when on the bottleneck has another rate.
    change: Option<(Duration, u64)>,
    /// Senders that share it.
    senders: usize,
    /// So soon the path's rate must be found.
    convergence_max: Duration,
}

const LENGTH: Duration = Duration::from_secs(40);
const CHANGE: Duration = Duration::from_secs(15);
/// Pictures that differ in size, losses and jitter are others with each.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

fn steady(name: &'static str, rate_bps: u64) -> Case {
    // As deep as home routers are: 300 ms.
    let queue_bytes = (rate_bps * 3 / 80) as usize;
    let delay = Duration::from_millis(25);
    let parameters = LinkParameters { rate_bps: Some(rate_bps), queue_bytes, delay, ..LinkParameters::default() };
    Case { name, parameters, change: None, senders: 1, convergence_max: Duration::from_secs(3) }
}

fn cases() -> Vec<Case> {
    let with = |case: Case, change: fn(&mut LinkParameters)| {
        let mut case = case;
        change(&mut case.parameters);
        case
    };
    let changes = |case: Case, rate_bps, seconds| Case {
        change: Some((CHANGE, rate_bps)),
        convergence_max: Duration::from_secs(seconds),
        ..case
    };
    vec![
        steady("steady 300 kbit/s", 300_000),
        steady("steady 1 Mbit/s", 1_000_000),
        steady("steady 3 Mbit/s", 3_000_000),
        // The queue that was made for 2 Mbit/s holds 1.2 s of what is left.
        changes(steady("falls from 2 to 0.5 Mbit/s", 2_000_000), 500_000, 4),
        changes(steady("rises from 0.5 to 2 Mbit/s", 500_000), 2_000_000, 6),
        with(steady("1 Mbit/s, 2% loss", 1_000_000), |link| link.loss = Loss::Random(0.02)),
        with(steady("1 Mbit/s, jitter 20 ms", 1_000_000), |link| link.jitter = Duration::from_millis(20)),
        Case { senders: 2, ..steady("two share 2 Mbit/s", 2_000_000) },
    ]
}

fn run(case: &Case, seed: u64, make: &dyn Fn() -> Box<dyn SenderEstimator>) -> Outcome {
    let senders = (0..case.senders).map(|_| make()).collect();
    let mut path = Path::new(&case.parameters, senders, seed);
    match case.change {
        None => path.run(LENGTH),
        Some((at, rate_bps)) => {
            path.run(at);
            path.change(LinkParameters { rate_bps: Some(rate_bps), ..case.parameters.clone() });
            path.run(LENGTH - at);
        }
    }
    path.outcome()
}

/// The median of what was measured, and the worst.
fn spread<T: PartialOrd + Copy>(outcomes: &[Outcome], of: impl Fn(&Outcome) -> T, is_best_low: bool) -> (T, T) {
    let mut values: Vec<T> = outcomes.iter().map(of).collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("all are numbers"));
    let worst = if is_best_low { values[values.len() - 1] } else { values[0] };
    (values[values.len() / 2], worst)
}

/// A path that was never found took longer than any run.
fn convergence(outcome: &Outcome) -> Duration {
    outcome.convergence.unwrap_or(Duration::MAX)
}

fn seconds(duration: Duration) -> String {
    if duration == Duration::MAX { "never".to_owned() } else { format!("{:.1} s", duration.as_secs_f64()) }
}

fn row(name: &str, estimator: &str, outcomes: &[Outcome]) -> String {
    let (median, worst) = spread(outcomes, convergence, true);
    let converges = format!("{} ({})", seconds(median), seconds(worst));
    let (median, worst) = spread(outcomes, |outcome| outcome.utilisation * 100.0, false);
    let used = format!("{median:.0}% ({worst:.0})");
    let (median, worst) = spread(outcomes, |outcome| outcome.queue_p95.as_millis(), true);
    let queue = format!("{median} ms ({worst})");
    let (median, worst) = spread(outcomes, |outcome| outcome.lost * 100.0, true);
    let lost = format!("{median:.1}% ({worst:.1})");
    let (median, worst) = spread(outcomes, |outcome| outcome.fairness, false);
    format!("| {name} | {estimator} | {converges} | {used} | {queue} | {lost} | {median:.2} ({worst:.2}) |")
}

type Make = fn() -> Box<dyn SenderEstimator>;

/// Those that are compared; the first is the baseline.
const ESTIMATORS: &[Make] = &[|| Box::new(Gcc::new(START_BPS)), || Box::new(Ours::new())];
/// Those that must do what is required.
const REQUIRED_OF: &[&str] = &["consilium"];

#[test]
fn the_table_of_estimators() {
    println!("Medians of {} runs, and the worst of them.", SEEDS.count());
    println!("| path | estimator | converges | used | queue p95 | lost | fairness |\n|---|---|---|---|---|---|---|");
    for case in cases() {
        for make in ESTIMATORS {
            let name = make().name();
            let outcomes: Vec<Outcome> = SEEDS.map(|seed| run(&case, seed, &|| make())).collect();
            let row = row(case.name, name, &outcomes);
            println!("{row}");
            assert!(!REQUIRED_OF.contains(&name) || meets(&outcomes, case.convergence_max), "{row}");
        }
    }
}

fn meets(outcomes: &[Outcome], convergence_max: Duration) -> bool {
    let used = spread(outcomes, |outcome| outcome.utilisation, false);
    let worst = |outcome: &Outcome| {
        convergence(outcome) <= convergence_max && outcome.queue_p95 < QUEUE_P95_MAX && outcome.fairness >= FAIRNESS_MIN
    };
    used.0 > UTILISATION_MIN && used.1 > UTILISATION_WORST && outcomes.iter().all(worst)
}

#[test]
fn what_is_measured_tells_good_from_bad() {
    let case = steady("", 1_000_000);
    let constant = |bps| run(&case, 1, &|| Box::new(Constant { bps, next: 0 }));
    let meets = |outcome: &Outcome| meets(std::slice::from_ref(outcome), case.convergence_max);
    let good = constant(900_000.0);
    assert!(meets(&good), "{good:?}");
    assert!(good.convergence.unwrap() < Duration::from_secs(2) && (0.88..0.92).contains(&good.utilisation), "{good:?}");
    let timid = constant(500_000.0);
    assert!(!meets(&timid) && (0.48..0.52).contains(&timid.utilisation) && timid.convergence.is_none(), "{timid:?}");
    let reckless = constant(1_500_000.0);
    assert!(!meets(&reckless) && reckless.queue_p95 > Duration::from_millis(250), "{reckless:?}");
    assert!(reckless.utilisation > 0.97 && reckless.lost > 0.2, "{reckless:?}");
}

#[test]
fn an_unfair_share_is_seen() {
    let parameters = steady("", 2_000_000).parameters;
    let senders = |rates: [f64; 2]| {
        let made = rates.map(|bps| Box::new(Constant { bps, next: 0 }) as Box<dyn SenderEstimator>);
        let mut path = Path::new(&parameters, made.into(), 1);
        path.run(Duration::from_secs(10));
        path.outcome().fairness
    };
    assert!(senders([800_000.0, 800_000.0]) > 0.99);
    assert!(senders([1_500_000.0, 100_000.0]) < 0.6);
}
