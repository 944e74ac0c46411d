//! Meetings under virtual time, over networks as they are: every seed is a scenario, and what must hold is judged after each.
//!
//! ```text
//! scenario   what a seed means: people, rooms, links, what changes when
//! world      workers, clients and links; the one clock
//! client     a model client: handshake, media out, media in, feedback
//! media      frames that say what they are
//! oracle     what must hold, and a proof for each that it can fail
//! limits     links that become narrow: layers follow, nobody else pays
//! slow       receivers whose line carries less than what browsers send
//! switches   layers that change while packets of the publisher are lost
//! freezes    a long line with losses and jitter: pictures go on
//! estimator  sender-side estimators on one bottleneck, compared in a table
//! ```
//!
//! `SEED=7 cargo test --test sim -- --nocapture` replays one seed and shows what happened; `SEEDS=10000` sweeps so many.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, helpers included")]

mod client;
mod estimator;
mod freezes;
mod limits;
mod media;
mod oracle;
mod scenario;
mod slow;
mod switches;
mod world;

use consilium_media_core::control::Event;
use oracle::Violation;
use scenario::Scenario;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::{Entry, World};

/// Seeds that failed once, and those that show something: one a line.
const COMMITTED: &str = include_str!("seeds.txt");
/// Derived seeds of an ordinary run.
const SEEDS: u64 = 1_000;
/// Seeds whose rooms are spread over several workers, three runs each.
const MULTI_WORKER_SEEDS: usize = 20;
/// Lines of the log that a failing seed shows.
const LOG_LINES: usize = 40;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

fn committed() -> impl Iterator<Item = u64> {
    let lines = COMMITTED.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| line.parse().unwrap())
}

/// All that a seed violates.
fn violations(seed: u64) -> (World, Vec<Violation>) {
    let mut world = World::new(Scenario::from_seed(seed), 1);
    world.run();
    let violations = oracle::judge(&world);
    (world, violations)
}

fn is_level(entry: &Entry) -> bool {
    matches!(entry, Entry::Event(event) if matches!(event.event, Event::AudioLevels { .. } | Event::Figures { .. }))
}

/// What to do about a failing seed, and what led to it.
fn account(world: &World, violations: &[Violation]) -> String {
    let seed = world.scenario.seed;
    let mut account = format!("seed {seed} fails; replay: SEED={seed} cargo test --test sim -- --nocapture\n");
    for violation in violations.iter().take(5) {
        let _ = writeln!(account, "  {violation}");
    }
    let _ = writeln!(account, "  what happened:");
    let log: Vec<_> = world.log.iter().filter(|(_, entry)| !is_level(entry)).collect();
    for (at, entry) in &log[log.len().saturating_sub(LOG_LINES)..] {
        let _ = writeln!(account, "    {:>8.3} s  {entry:?}", at.as_secs_f64());
    }
    account
}

/// Runs seeds on all cores; returns the accounts of those that fail.
fn run(seeds: &[u64]) -> Vec<String> {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
    let work = || {
        let mut failed = Vec::new();
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let (world, violations) = violations(seed);
            if !violations.is_empty() {
                failed.push(account(&world, &violations));
            }
        }
        failed
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    })
}

fn assert_none(failed: &[String], of: usize) {
    assert!(failed.is_empty(), "{} of {of} seeds fail\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_seed_holds() {
    if let Some(seed) = number("SEED") {
        let (world, violations) = violations(seed);
        println!("{:#?}\n{}", world.scenario, account(&world, &violations));
        assert!(violations.is_empty(), "seed {seed} fails");
        return;
    }
    let seeds: Vec<u64> = committed().chain(0..number("SEEDS").unwrap_or(SEEDS)).collect();
    assert_none(&run(&seeds), seeds.len());
}

/// What each client received and when, and what the control side was told.
fn decisions(seed: u64, workers: usize) -> String {
    let mut world = World::new(Scenario::from_seed(seed), workers);
    world.run();
    let mut decisions = String::new();
    for client in world.clients.iter().flatten() {
        for arrived in &client.receiver.arrived {
            let at = arrived.at - world.start;
            let _ = writeln!(decisions, "{} {at:?} {} {:?}", client.index, arrived.repaired, arrived.mark);
        }
    }
    // A worker measures loudness in windows that begin with its first room, so those are not the same.
    // Several workers are asked for their events one after the other.
    let events = world.log.iter().filter(|(_, entry)| !is_level(entry));
    let mut events: Vec<String> = events.map(|(at, entry)| format!("{at:?} {entry:?}")).collect();
    events.sort();
    decisions + &events.join("\n")
}

fn with_several_rooms() -> impl Iterator<Item = u64> {
    (0..).filter(|&seed| Scenario::from_seed(seed).people.iter().any(|person| person.room > 1))
}

#[test]
fn one_worker_and_several_decide_the_same() {
    for seed in with_several_rooms().take(MULTI_WORKER_SEEDS) {
        let one = decisions(seed, 1);
        assert!(one.lines().count() > 100, "seed {seed}: nothing happens");
        for workers in [2, 3] {
            let several = decisions(seed, workers);
            let mut lines = one.lines().zip(several.lines());
            if let Some((one, several)) = lines.find(|(one, several)| one != several) {
                panic!("seed {seed}: {workers} workers decide otherwise than one:\n  {one}\n  {several}");
            }
            assert_eq!(one.len(), several.len(), "seed {seed}: {workers} workers do more or less than one");
        }
    }
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    assert!(decisions(3, 1) == decisions(3, 1));
    assert!(decisions(3, 1) != decisions(4, 1));
}
