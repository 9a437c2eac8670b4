//! Drives one seed: chooses whose turn it is, what is asked, what goes wrong, and when time passes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::clients::Resellers;
use super::jobs::{ALL_JOBS, job};
use super::moves::{panel_moves, prices_move, put_lists};
use super::mutations::Mutation;
use super::store::WatchedStore;
use super::terms::{Limit, PROVIDERS, Plan};
use super::wire::{PanelWire, arrive};
use super::world::World;
use crate::app::attending::alone;
use crate::app::{App, Upstreams, locked};
use crate::cache::Cache;
use crate::domain::ids::ProviderId;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::task::Tasks;
use crate::upstream::{Limits, Upstream, UpstreamOptions};

/// Turns without any time passing, after which nothing will ever come to rest.
const RESTLESS: u32 = 20_000;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Wait,
    Ask(u64),
    Background,
    Panel,
    Prices,
    Money,
    Operator,
    GiveUp,
    Jump,
    Reload,
    Pause,
    Crash,
}

const HAPPENINGS: &[(u64, Happening)] = &[
    (30, Happening::Wait),
    (18, Happening::Ask(0)),
    (6, Happening::Ask(1)),
    (5, Happening::Ask(2)),
    (2, Happening::Ask(3)),
    (1, Happening::Ask(4)),
    (45, Happening::Background),
    (22, Happening::Panel),
    (6, Happening::Prices),
    (2, Happening::Money),
    (4, Happening::Operator),
    (2, Happening::GiveUp),
    (1, Happening::Jump),
    (1, Happening::Reload),
    (1, Happening::Pause),
    (2, Happening::Crash),
];

pub(super) struct Driver {
    pub(super) world: Arc<World>,
    pub(super) inner: Arc<SqliteStore>,
    store: Arc<WatchedStore>,
    pub(super) resellers: Resellers,
    app: Option<Arc<App>>,
    pub(super) tasks: Tasks,
    /// Set while the gateway takes up what an earlier run left.
    starting: Option<JoinHandle<bool>>,
    reloading: Option<(Plan, JoinHandle<bool>)>,
    jobs: BTreeMap<(&'static str, ProviderId), JoinHandle<()>>,
    pub(super) others: Vec<JoinHandle<()>>,
    pub(super) plan: Plan,
    restless: u32,
    at: Instant,
}

impl Driver {
    pub(super) async fn new(world: Arc<World>, plan: Plan) -> Self {
        let inner = Arc::new(SqliteStore::in_memory(1).unwrap());
        let resellers = Resellers::open(&inner, &world).await;
        if world.state().rng.chance(90) {
            put_lists(&inner, &world).await;
        }
        let store = WatchedStore { inner: Arc::clone(&inner), world: Arc::clone(&world), app: Default::default() };
        let mut driver = Self {
            world,
            inner,
            store: Arc::new(store),
            resellers,
            app: None,
            tasks: Tasks::new(),
            starting: None,
            reloading: None,
            jobs: BTreeMap::new(),
            others: Vec::new(),
            plan,
            restless: 0,
            at: Instant::now(),
        };
        driver.start().await;
        driver
    }

    // === The process ===

    /// A new process on the same store.
    async fn start(&mut self) {
        self.tasks = Tasks::taking_turns(self.world.turns.clone());
        let mut upstreams = Upstreams::new();
        for id in PROVIDERS.map(ProviderId::new) {
            let options = self.options(&id, self.plan.limits[&id]);
            upstreams.insert(id, Arc::new(Upstream::new(options)));
        }
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let (clock, terms) = (self.world.clock(), self.plan.terms(self.world.state().mutation));
        let app =
            App::new(store, Cache::local(1 << 20), clock, self.tasks.clone(), upstreams, terms, alone()).await.unwrap();
        // What the gateway repeats for each provider is called here one by one, also after a reload.
        let followed = PROVIDERS.map(|id| (ProviderId::new(id), self.tasks.stop_token()));
        locked(&app.followers).extend(followed);
        *self.store.app.lock().unwrap() = Arc::downgrade(&app);
        self.in_force(&[&self.plan]);
        let recovering = Arc::clone(&app);
        self.starting = Some(self.tasks.spawn(async move { recovering.recover().await.is_ok() }));
        self.app = Some(app);
        self.world.note(format_args!("*** a gateway starts"));
    }

    pub(super) async fn crash(&mut self) {
        self.world.note(format_args!("*** the gateway is killed"));
        self.world.state().oracle.crashed();
        self.world.turns.kill().await;
        self.resellers.cut_off(&self.world);
        if let Some((plan, _)) = self.reloading.take() {
            self.plan = plan;
        }
        (self.app, self.starting) = (None, None);
        self.jobs.clear();
        self.others.clear();
        self.start().await;
    }

    fn options(&self, id: &ProviderId, (per_second, burst, max_in_flight): Limit) -> UpstreamOptions {
        let state = self.world.state();
        let faster = if state.mutation == Some(Mutation::IgnoreRateLimit) { 50 } else { 1 };
        let wider = if state.mutation == Some(Mutation::IgnoreInFlight) { 50 } else { 1 };
        UpstreamOptions {
            provider: id.clone(),
            wire: Arc::new(PanelWire { world: Arc::clone(&self.world), provider: id.clone() }),
            key: state.panels[id].key.clone().into(),
            limits: Limits {
                requests_per_second: (per_second * faster).into(),
                burst: burst * faster,
                max_in_flight: max_in_flight * wider,
            },
            shared: None,
            rejects: Vec::new(),
            treat_503_as_not_placed: false,
        }
    }

    /// What one of these versions of the file allows may happen.
    fn in_force(&self, plans: &[&Plan]) {
        let now = self.world.elapsed();
        let mut state = self.world.state();
        state.taking.clear();
        for id in PROVIDERS.map(ProviderId::new) {
            let limits: Vec<Limit> = plans.iter().map(|plan| plan.limits[&id]).collect();
            state.oracle.limit(&id, now, &limits);
            if plans.iter().any(|plan| plan.takes_orders(&id)) {
                state.taking.insert(id);
            }
        }
    }

    pub(super) fn app(&self) -> Arc<App> {
        Arc::clone(self.app.as_ref().unwrap())
    }

    // === Turns ===

    /// One thing happens: mostly somebody who can goes on.
    pub(super) async fn step(&mut self) {
        let waiting = self.world.turns.waiting();
        let goes_on = !waiting.is_empty() && self.world.state().rng.chance(85);
        if goes_on {
            self.grant(&waiting).await;
        } else {
            let happening = self.world.state().rng.weighted(HAPPENINGS);
            self.happen(happening, !waiting.is_empty()).await;
        }
        self.harvest().await;
    }

    async fn grant(&mut self, waiting: &[u64]) {
        let task = *self.world.state().rng.pick(waiting);
        self.world.turns.grant(task).await;
        self.restless = if self.at == Instant::now() { self.restless + 1 } else { 0 };
        self.at = Instant::now();
        if self.restless > RESTLESS {
            self.world.fail("it never comes to rest");
        }
    }

    /// Takes up what has ended.
    async fn harvest(&mut self) {
        self.resellers.hear(&self.inner, &self.world).await;
        self.jobs.retain(|_, job| !job.is_finished());
        self.others.retain(|other| !other.is_finished());
        if self.world.turns.panicked() {
            self.world.fail("a task of the gateway panicked");
        }
        if self.starting.as_ref().is_some_and(JoinHandle::is_finished) {
            // A gateway that can't take up what was left does not start.
            if self.starting.take().unwrap().await.unwrap_or(false) {
                self.world.note(format_args!("*** the gateway is ready"));
            } else {
                self.crash().await;
            }
        }
        if self.reloading.as_ref().is_some_and(|(_, task)| task.is_finished()) {
            let (plan, task) = self.reloading.take().unwrap();
            if task.await.unwrap_or(false) {
                self.plan = plan;
            }
            self.world.note(format_args!("*** the reload is over"));
            self.in_force(&[&self.plan]);
        }
    }

    /// Lets time pass until somebody can go on, `longest` at most.
    pub(super) async fn wait(&mut self, longest: Duration) {
        let stragglers = self.world.state().stragglers.iter().map(|straggler| straggler.at).min();
        let until = stragglers.map_or(Instant::now() + longest, |at| at.min(Instant::now() + longest));
        tokio::select! {
            biased;
            () = self.world.turns.somebody() => {}
            () = tokio::time::sleep_until(until) => {}
        }
        // Timers are exact to a millisecond, and so is the clock.
        sleep(Duration::from_millis(1)).await;
        self.world.set_clock();
        self.world.turns.gather().await;
        let late: Vec<_> = {
            let now = Instant::now();
            let mut state = self.world.state();
            let (late, rest) = std::mem::take(&mut state.stragglers).into_iter().partition(|other| other.at <= now);
            state.stragglers = rest;
            late
        };
        for straggler in late {
            arrive(&self.world, &straggler);
        }
    }

    /// Everybody goes on until nobody can, and timers of up to `longest` have passed.
    pub(super) async fn rest(&mut self, longest: Duration) {
        let end = Instant::now() + longest;
        while self.world.failure().is_none() {
            let waiting = self.world.turns.waiting();
            if !waiting.is_empty() {
                self.grant(&waiting).await;
                self.harvest().await;
            } else if Instant::now() < end {
                self.wait(end - Instant::now()).await;
            } else {
                return;
            }
        }
    }

    // === What happens ===

    async fn happen(&mut self, happening: Happening, busy: bool) {
        let ready = self.starting.is_none();
        match happening {
            Happening::Wait if !busy => {
                let longest =
                    *self.world.state().rng.pick(&[50, 500, 2000, 10_000, 60_000, 60_000, 600_000, 5_400_000]);
                self.wait(Duration::from_millis(longest)).await;
            }
            Happening::Ask(kind) if ready && self.resellers.calls.len() < 6 => {
                let app = self.app();
                self.resellers.ask(&app, &self.tasks, &self.world, kind);
            }
            Happening::Background if ready => {
                let jobs: Vec<(u64, usize)> = (0..ALL_JOBS).map(|number| (job(number).0.0, number)).collect();
                let job = self.world.state().rng.weighted(&jobs);
                self.background(job);
            }
            Happening::Panel => panel_moves(&mut self.world.state()),
            Happening::Prices => prices_move(&mut self.world.state()),
            Happening::Money => self.money_moves().await,
            Happening::Operator if ready => self.operator_settles(),
            Happening::GiveUp if ready => self.somebody_gives_up().await,
            Happening::Jump => {
                let by = *self.world.state().rng.pick(&[-7_200_000, -90_000, -1000, 1000, 90_000, 7_200_000]);
                self.world.note(format_args!("*** the clock jumps by {by} ms"));
                self.world.jump(by);
            }
            Happening::Reload if ready && self.reloading.is_none() => {
                let plan = self.plan.changed(&mut self.world.state().rng);
                self.reload(plan);
            }
            Happening::Pause => self.pause().await,
            Happening::Crash => {
                let crashes = self.world.state().weather.crashes;
                if crashes > 0 && self.world.state().rng.chance(crashes) {
                    self.crash().await;
                }
            }
            _ => {}
        }
    }

    fn background(&mut self, number: usize) {
        let ((_, name, work), provider) = job(number);
        let key = (name, provider.clone());
        if self.jobs.contains_key(&key) {
            return;
        }
        let task = self.tasks.spawn(work(self.app(), provider.clone()));
        self.world.note(format_args!("task {} is {name} {provider}", self.world.turns.newest()));
        self.jobs.insert(key, task);
    }

    pub(super) fn all_in_background(&mut self) {
        for number in 0..ALL_JOBS {
            self.background(number);
        }
    }

    pub(super) fn reload(&mut self, plan: Plan) {
        let app = self.app();
        let terms = plan.terms(self.world.state().mutation);
        self.in_force(&[&self.plan, &plan]);
        self.world.note(format_args!("*** reload: {plan:?}"));
        let present = app.upstreams();
        let upstreams = present.iter().map(|(id, now)| {
            let options = self.options(id, plan.limits[id]);
            (id.clone(), Arc::new(now.successor(options)))
        });
        let upstreams: Upstreams = upstreams.collect();
        let task = self.tasks.spawn(async move { app.reload(terms, upstreams, String::new()).await.is_ok() });
        self.reloading = Some((plan, task));
    }
}
