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
/// Required of a path that stays as it is.
const UTILISATION_MIN: f64 = 0.85;
const QUEUE_P95_MAX: Duration = Duration::from_millis(100);

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
}

const LENGTH: Duration = Duration::from_secs(40);
const CHANGE: Duration = Duration::from_secs(15);

fn steady(name: &'static str, rate_bps: u64) -> Case {
    // As deep as home routers are: 300 ms.
    let queue_bytes = (rate_bps * 3 / 80) as usize;
    let delay = Duration::from_millis(25);
    let parameters = LinkParameters { rate_bps: Some(rate_bps), queue_bytes, delay, ..LinkParameters::default() };
    Case { name, parameters, change: None, senders: 1 }
}

fn cases() -> Vec<Case> {
    let with = |case: Case, change: fn(&mut LinkParameters)| {
        let mut case = case;
        change(&mut case.parameters);
        case
    };
    vec![
        steady("steady 300 kbit/s", 300_000),
        steady("steady 1 Mbit/s", 1_000_000),
        steady("steady 3 Mbit/s", 3_000_000),
        Case { change: Some((CHANGE, 500_000)), ..steady("falls from 2 to 0.5 Mbit/s", 2_000_000) },
        Case { change: Some((CHANGE, 2_000_000)), ..steady("rises from 0.5 to 2 Mbit/s", 500_000) },
        with(steady("1 Mbit/s, 2% loss", 1_000_000), |link| link.loss = Loss::Random(0.02)),
        with(steady("1 Mbit/s, jitter 20 ms", 1_000_000), |link| link.jitter = Duration::from_millis(20)),
        Case { senders: 2, ..steady("two share 2 Mbit/s", 2_000_000) },
    ]
}

fn run(case: &Case, make: &dyn Fn() -> Box<dyn SenderEstimator>) -> Outcome {
    let senders = (0..case.senders).map(|_| make()).collect();
    let mut path = Path::new(&case.parameters, senders, 1);
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

fn seconds(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "never".to_owned(), |duration| format!("{:.1} s", duration.as_secs_f64()))
}

fn row(name: &str, estimator: &str, outcome: &Outcome) -> String {
    format!(
        "| {name} | {estimator} | {} | {:.0}% | {} ms | {:.1}% | {:.2} |",
        seconds(outcome.convergence),
        outcome.utilisation * 100.0,
        outcome.queue_p95.as_millis(),
        outcome.lost * 100.0,
        outcome.fairness,
    )
}

type Make = fn() -> Box<dyn SenderEstimator>;

/// Those that are compared; the first is the baseline.
const ESTIMATORS: &[Make] = &[|| Box::new(Gcc::new(START_BPS)), || Box::new(Ours::new())];
/// Those that must do what is required.
const REQUIRED_OF: &[&str] = &["consilium"];

#[test]
fn the_table_of_estimators() {
    println!("| path | estimator | converges | used | queue p95 | lost | fairness |\n|---|---|---|---|---|---|---|");
    for case in cases() {
        for make in ESTIMATORS {
            let name = make().name();
            let outcome = run(&case, &|| make());
            println!("{}", row(case.name, name, &outcome));
            if REQUIRED_OF.contains(&name) && case.name.starts_with("steady") {
                assert!(meets(&outcome), "{}", row(case.name, name, &outcome));
            }
        }
    }
}

fn meets(outcome: &Outcome) -> bool {
    outcome.convergence.is_some() && outcome.utilisation > UTILISATION_MIN && outcome.queue_p95 < QUEUE_P95_MAX
}

#[test]
fn what_is_measured_tells_good_from_bad() {
    let constant = |bps| run(&steady("", 1_000_000), &|| Box::new(Constant { bps, next: 0 }));
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
