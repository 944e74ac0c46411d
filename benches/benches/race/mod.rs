//! Something that is measured beside its floor: first a table, in which both run in turns so that a noisy machine disturbs them
//! alike, then criterion's own report, which compares with the last run.

use criterion::{Criterion, Throughput};
use std::time::Duration;

/// Samples of each of the two; the median counts.
const SAMPLES: usize = 21;
/// A sample lasts at least this long.
const SAMPLE_MIN: Duration = Duration::from_millis(2);

/// Runs a number of times and tells how long it took, preparations apart.
pub(crate) type Timed = Box<dyn FnMut(u64) -> Duration>;

pub(crate) struct Race {
    pub(crate) name: String,
    /// What one run handles: packets, joins.
    pub(crate) units: u64,
    pub(crate) subject: Timed,
    pub(crate) floor: Timed,
}

/// `unit` names what is counted.
pub(crate) fn run(unit: &str, mut races: Vec<Race>) {
    println!("{:<36}{:>16}{:>16}{:>8}", "", format!("ns/{unit}"), "floor", "ratio");
    races.iter_mut().for_each(tabulate);
    let mut criterion = quick_criterion();
    for race in races {
        let Race { name, units, mut subject, mut floor } = race;
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(units));
        group.bench_function("subject", |bencher| bencher.iter_custom(&mut subject));
        group.bench_function("floor", |bencher| bencher.iter_custom(&mut floor));
        group.finish();
    }
    criterion.final_summary();
}

/// All benches together are to end within minutes.
pub(crate) fn quick_criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args()
}

fn tabulate(race: &mut Race) {
    let times = times_for_sample(&mut race.subject);
    let floor_times = times_for_sample(&mut race.floor);
    let (mut subjects, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let per_unit = |elapsed: Duration, times: u64| elapsed.as_nanos() as f64 / (times * race.units) as f64;
        let subject = per_unit((race.subject)(times), times);
        let floor = per_unit((race.floor)(floor_times), floor_times);
        ratios.push(subject / floor);
        subjects.push(subject);
        floors.push(floor);
    }
    println!("{:<36}{:>16.1}{:>16.1}{:>8.2}", race.name, median(subjects), median(floors), median(ratios));
}

fn times_for_sample(timed: &mut Timed) -> u64 {
    let mut times = 1;
    while timed(times) < SAMPLE_MIN {
        times *= 2;
    }
    times
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
