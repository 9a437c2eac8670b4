//! What the store, the wire and the driver of one seed share: virtual time, the panels, the truth, and the story so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::mutations::Mutation;
use super::oracle::Oracle;
use super::panel::Panel;
use super::rng::Rng;
use crate::domain::ids::{OrderId, ProviderId};
use crate::domain::time::Timestamp;
use crate::task::Clock;
use crate::task::turns::Turns;

/// How rough a seed is, in percent unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) add_faults: u64,
    pub(super) read_faults: u64,
    /// Store calls of a thousand that fail.
    pub(super) store_faults: u64,
    /// Crashes of a thousand actions.
    pub(super) crashes: u64,
    /// The longest wait for a reply that is not a fault, in milliseconds.
    pub(super) delay: u64,
}

impl Weather {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self {
            add_faults: *rng.pick(&[0, 20, 40, 60]),
            read_faults: *rng.pick(&[0, 5, 20]),
            store_faults: *rng.pick(&[0, 0, 5, 30]),
            crashes: *rng.pick(&[0, 5, 20]),
            delay: *rng.pick(&[1, 100, 3000, 20_000]),
        }
    }

    const CALM: Self = Self { add_faults: 0, read_faults: 0, store_faults: 0, crashes: 0, delay: 10 };
}

/// An `add` that is still on its way although nobody waits for its reply any more.
#[derive(Debug, Clone)]
pub(super) struct Straggler {
    pub(super) at: Instant,
    pub(super) provider: ProviderId,
    pub(super) attempt: (OrderId, u32),
    pub(super) form: BTreeMap<String, String>,
}

pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) weather: Weather,
    pub(super) panels: BTreeMap<ProviderId, Panel>,
    pub(super) oracle: Oracle,
    pub(super) stragglers: Vec<Straggler>,
    pub(super) mutation: Option<Mutation>,
    /// The order that each task placed.
    pub(super) placed_by: BTreeMap<u64, OrderId>,
    /// Providers that get orders by the configuration, or may while it changes.
    pub(super) taking: BTreeSet<ProviderId>,
    story: Vec<String>,
    failure: Option<String>,
}

impl State {
    /// The first thing that went wrong counts.
    pub(super) fn fail(&mut self, what: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(what.into());
        }
    }

    pub(super) fn check(&mut self, result: Result<(), String>) {
        if let Err(what) = result {
            self.fail(what);
        }
    }
}

pub(super) struct World {
    pub(super) turns: Turns,
    clock: Clock,
    telling: bool,
    started: Instant,
    /// How far the wall clock is from where it should be, in milliseconds.
    skew: Mutex<i64>,
    state: Mutex<State>,
}

const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);

impl World {
    pub(super) fn new(
        mut rng: Rng,
        panels: BTreeMap<ProviderId, Panel>,
        mutation: Option<Mutation>,
        telling: bool,
    ) -> Arc<Self> {
        let weather = Weather::draw(&mut rng);
        let state = State {
            rng,
            weather,
            panels,
            oracle: Oracle::default(),
            stragglers: Vec::new(),
            mutation,
            placed_by: BTreeMap::new(),
            taking: BTreeSet::new(),
            story: vec![format!("{weather:?}")],
            failure: None,
        };
        Arc::new(Self {
            turns: Turns::default(),
            clock: Clock::set_to(BEGINNING),
            telling,
            started: Instant::now(),
            skew: Mutex::new(0),
            state: Mutex::new(state),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Brings the wall clock to where the virtual time is.
    pub(super) fn set_clock(&self) {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap();
        self.clock.set(Timestamp::from_millis(BEGINNING.millis() + elapsed + *self.skew.lock().unwrap()));
    }

    pub(super) fn jump(&self, by: i64) {
        *self.skew.lock().unwrap() += by;
        self.set_clock();
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A line of the story, where it is told.
    pub(super) fn note(&self, what: Arguments<'_>) {
        if !self.telling {
            return;
        }
        let elapsed = self.started.elapsed();
        let task = self.turns.running().map_or_else(String::new, |task| format!("task {task}: "));
        let line = format!("{:>8}.{:03}  {task}{what}", elapsed.as_secs(), elapsed.subsec_millis());
        self.state().story.push(line);
    }

    pub(super) fn fail(&self, what: impl Into<String>) {
        self.state().fail(what);
    }

    pub(super) fn is_mutated(&self, mutation: Mutation) -> bool {
        self.state().mutation == Some(mutation)
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    pub(super) fn story(&self) -> Vec<String> {
        self.state().story.clone()
    }

    /// From now on nothing goes wrong any more.
    pub(super) fn calm_down(&self) {
        let mut state = self.state();
        state.weather = Weather::CALM;
        for panel in state.panels.values_mut() {
            panel.balance += rust_decimal::Decimal::from(100_000);
            panel.traits.repeats_ids = false;
            panel.services.iter_mut().for_each(|listed| listed.flat = matches!(listed.id, "103" | "9"));
            for held in panel.orders.values_mut() {
                held.hidden = false;
            }
        }
    }
}
