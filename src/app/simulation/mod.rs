//! The whole core, step by step in an order drawn from a seed, on a virtual clock, against simulated upstreams: see
//! docs/simulation.md.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `driver` | one seed: whose turn it is, what is asked, what goes wrong, when time passes |
//! | `ending` | its end: nothing goes wrong any more, and whatever can end has to end |
//! | `clients`, `panel`, `faults` | who asks, who is asked, and how those answer |
//! | `wire`, `store` | the seams: what arrives, what is written, what is lost |
//! | `jobs`, `moves`, `operator` | what the gateway does without being asked, and the panels, and the operator |
//! | `oracle`, `truth`, `pace` | what is true on both sides, and what must hold |
//! | `mutations` | deliberate mistakes that the oracle has to find |
//! | `scale` | 100,000 active orders followed at one provider |

mod clients;
mod driver;
mod ending;
mod faults;
mod jobs;
mod log;
mod moves;
mod mutations;
mod operator;
mod oracle;
mod pace;
mod panel;
mod rng;
mod scale;
mod store;
mod terms;
mod tests;
mod truth;
mod wire;
mod world;

use driver::Driver;
use mutations::Mutation;
use rng::Rng;
use terms::Plan;
use world::World;

/// How a seed went.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// What does not hold; nothing where all is well.
    failure: Option<String>,
    /// Every event in order, with the virtual time, where it was told.
    story: Vec<String>,
}

/// Runs one seed, with a mistake or without; with its story, which takes longer, or without.
fn run(seed: u64, mutation: Option<Mutation>, telling: bool) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let panels = terms::panels(&mut rng);
        let steps = 150 + rng.below(350);
        let world = World::new(rng, panels, mutation, telling);
        let _log = log::told_to(&world);
        let mut driver = Driver::new(std::sync::Arc::clone(&world), plan).await;
        for _ in 0..steps {
            if world.failure().is_some() {
                break;
            }
            driver.step().await;
        }
        if world.failure().is_none() {
            driver.end().await;
        }
        Run { failure: world.failure(), story: world.story() }
    })
}
