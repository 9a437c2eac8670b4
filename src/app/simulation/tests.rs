//! Seeds are run, a seed is one story, and mistakes are found.

use std::time::Instant;

use super::mutations::Mutation;
use super::{Run, run};

/// Seeds that a test run tries, unless `TOLLGATE_SEEDS` says how many.
const SEEDS: u64 = 200;
/// Seeds within which each mistake must be found.
const SEEDS_FOR_A_MISTAKE: u64 = 150;

pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn tell(seed: u64, run: &Run) -> String {
    format!("{}\nseed {seed}: {}", run.story.join("\n"), run.failure.as_deref().unwrap_or("all is well"))
}

#[test]
fn the_invariants_hold_over_every_seed() {
    let (first, count) = match number("TOLLGATE_SEED") {
        Some(seed) => (seed, 1),
        None => (number("TOLLGATE_FIRST_SEED").unwrap_or(1), number("TOLLGATE_SEEDS").unwrap_or(SEEDS)),
    };
    let began = Instant::now();
    let mut failed = Vec::new();
    for seed in first..first + count {
        let run = run(seed, None);
        if let Some(failure) = &run.failure {
            println!("seed {seed}: {failure}");
            failed.push(tell(seed, &run));
        } else if count == 1 {
            println!("{}", tell(seed, &run));
        }
    }
    let tenths = u128::from(count) * 10_000 / began.elapsed().as_millis().max(1);
    println!("{count} seeds from {first}, {}.{} a second", tenths / 10, tenths % 10);
    assert!(failed.is_empty(), "{}\n{} of {count} seeds failed; this is the first", failed[0], failed.len());
}

#[test]
fn a_seed_is_one_story() {
    for seed in [3, 11, 42] {
        let (once, again) = (run(seed, None), run(seed, None));
        let differs = once.story.iter().zip(&again.story).position(|(one, other)| one != other);
        assert!(
            differs.is_none(),
            "seed {seed}, line {differs:?}: {:?}",
            differs.map(|at| (&once.story[at], &again.story[at]))
        );
        assert_eq!(once, again, "seed {seed}");
    }
}

#[test]
fn every_mistake_is_found() {
    let missed: Vec<&Mutation> = Mutation::ALL.iter().filter(|mutation| found(**mutation).is_none()).collect();
    assert!(missed.is_empty(), "not found within {SEEDS_FOR_A_MISTAKE} seeds: {missed:?}");
}

/// By which seed, and by what.
fn found(mutation: Mutation) -> Option<u64> {
    (1..=SEEDS_FOR_A_MISTAKE).find(|seed| {
        let failure = run(*seed, Some(mutation)).failure;
        if let Some(failure) = &failure {
            println!("{mutation:?}: seed {seed}: {failure}");
        }
        failure.is_some()
    })
}
