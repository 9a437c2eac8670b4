//! Seeds are run, a seed is one story, and mistakes are found.

use std::sync::Mutex;
use std::time::Instant;

use super::mutations::Mutation;
use super::run;

/// Seeds that a test run tries, unless `TOLLGATE_SEEDS` says how many.
const SEEDS: u64 = 200;
/// Seeds within which each mistake must be found.
const SEEDS_FOR_A_MISTAKE: u64 = 150;

pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What happened in a seed; it happens again in the same way.
fn story(seed: u64) -> String {
    let run = run(seed, None, true);
    format!("{}\nseed {seed}: {}", run.story.join("\n"), run.failure.as_deref().unwrap_or("all is well"))
}

#[test]
fn the_invariants_hold_over_every_seed() {
    let (first, count) = match number("TOLLGATE_SEED") {
        Some(seed) => (seed, 1),
        None => (number("TOLLGATE_FIRST_SEED").unwrap_or(1), number("TOLLGATE_SEEDS").unwrap_or(SEEDS)),
    };
    let began = Instant::now();
    let mut failed = side_by_side(first..first + count, |seed| {
        if count == 1 {
            println!("{}", story(seed));
        }
        let failure = run(seed, None, false).failure?;
        println!("seed {seed}: {failure}");
        Some(seed)
    });
    failed.sort_unstable();
    let tenths = u128::from(count) * 10_000 / began.elapsed().as_millis().max(1);
    println!("{count} seeds from {first}, {}.{} a second", tenths / 10, tenths % 10);
    assert!(
        failed.is_empty(),
        "{}\n{} of {count} seeds failed; this is the first",
        failed.first().map_or_else(String::new, |seed| story(*seed)),
        failed.len()
    );
}

/// Does each piece of work on one of as many threads as there are processors, and gives what came of those that had
/// something to tell.
fn side_by_side<T: Send, R: Send>(
    work: impl Iterator<Item = T> + Send,
    each: impl Fn(T) -> Option<R> + Sync,
) -> Vec<R> {
    let (work, told) = (Mutex::new(work), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(next) = { work.lock().unwrap().next() } {
                    let result = each(next);
                    told.lock().unwrap().extend(result);
                }
            });
        }
    });
    told.into_inner().unwrap()
}

#[test]
fn a_seed_is_one_story() {
    for seed in [3, 11, 42] {
        let (once, again) = (run(seed, None, true), run(seed, None, true));
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
    let missed = side_by_side(Mutation::ALL.iter().copied(), |mutation| found(mutation).is_none().then_some(mutation));
    assert!(missed.is_empty(), "not found within {SEEDS_FOR_A_MISTAKE} seeds: {missed:?}");
}

/// By which seed, and by what.
fn found(mutation: Mutation) -> Option<u64> {
    (1..=SEEDS_FOR_A_MISTAKE).find(|seed| {
        let failure = run(*seed, Some(mutation), false).failure;
        if let Some(failure) = &failure {
            println!("{mutation:?}: seed {seed}: {failure}");
        }
        failure.is_some()
    })
}
