//! The use-cases: what a client may ask for, and what goes on behind it.
//!
//! A call comes in by [`App::answer`]. Behind it, each in its own file, are the tasks that work without being
//! asked: forwarding queued orders, polling placed ones, fetching catalogues, and answering the command line.
//! Every one of them finds in the store what there is to do, so a start, a missed nudge and an ordinary day
//! are the same path.

mod access;
pub mod accounts;
mod add;
mod answers;
mod attending;
pub mod auth;
pub mod call;
mod cancel_forward;
mod cancels;
mod clock_steps;
pub mod console;
pub mod documents;
mod doubts;
mod elsewhere;
pub mod error;
mod forward;
mod freeze;
mod hasten;
mod hints;
mod id_list;
mod lines;
mod online;
mod pauses;
mod poll;
mod providers;
mod refill_polls;
mod refills;
mod reload;
pub mod requests;
pub mod restore;
mod routes;
pub mod running;
mod search;
mod settle;
pub mod snapshot;
mod status;
mod steps;
mod sync;
mod taken;
pub mod terms;
mod trouble;
mod view;
mod waiters;
mod wrong_keys;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use online::OnlineReport;
pub use providers::FROZEN;
pub use reload::ReloadError;
pub use sync::{SyncError, SyncReport};

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::domain::ids::{OrderId, ProviderId, RefillId};
use crate::domain::time::Timestamp;
use crate::limits::SharedLimits;
use crate::store::records::Pauses;
use crate::store::{Store, StoreResult};
use crate::task::{Clock, Tasks};
use crate::telemetry::CallMeter;
use crate::upstream::{HealthState, Upstream};
pub use attending::Company;
use attending::Followed;
use auth::AccessTable;
use clock_steps::Stepping;
use freeze::{Freezes, Unwritten};
use hasten::Asked;
use lines::Lines;
use search::SearchMemory;
use snapshot::{List, Lists, Snapshot};
use sync::SyncState;
use terms::Terms;
use waiters::Waiters;
use wrong_keys::WrongKeys;

/// One client for each provider; of one that is off it lets no call out.
pub type Upstreams = BTreeMap<ProviderId, Arc<Upstream>>;

/// The gateway without its sockets: all handles, and the state that can be lost without harm.
pub struct App {
    store: Arc<dyn Store>,
    cache: Arc<Cache>,
    clock: Clock,
    tasks: Tasks,
    upstreams: ArcSwap<Upstreams>,
    snapshot: ArcSwap<Snapshot>,
    access: ArcSwap<AccessTable>,
    /// Where the operator lets no order leave.
    pauses: ArcSwap<Pauses>,
    waiters: Waiters,
    asked: Asked<OrderId>,
    asked_refills: Asked<RefillId>,
    forward_nudge: Arc<Notify>,
    poll_nudge: Arc<Notify>,
    balances: Mutex<BTreeMap<ProviderId, rust_decimal::Decimal>>,
    single_pollers: Mutex<HashSet<ProviderId>>,
    single_refill_pollers: Mutex<HashSet<ProviderId>>,
    /// Orders that a task is forwarding.
    in_hand: Mutex<HashSet<OrderId>>,
    /// Orders that wait behind those.
    lines: Lines,
    /// Orders whose poll is under way, so that an impatient client causes no second one.
    polling: Mutex<HashSet<OrderId>>,
    /// Orders whose cancel a task is telling an upstream.
    canceling: Mutex<HashSet<OrderId>>,
    /// Requests of the command line that are being carried out.
    answering: Mutex<HashSet<i64>>,
    syncs: Mutex<BTreeMap<ProviderId, SyncState>>,
    freezes: ArcSwap<Freezes>,
    unwritten_freezes: Mutex<Unwritten>,
    /// Providers of whose low balance the operator was told.
    low_balances: Mutex<HashSet<ProviderId>>,
    /// Providers of whose foreign currency in a status the operator was told.
    foreign_statuses: Mutex<HashSet<ProviderId>>,
    wrong_keys: WrongKeys,
    search: SearchMemory,
    calls: CallMeter,
    reminded_at: Mutex<Timestamp>,
    stepping: Mutex<Stepping>,
    /// What the operator was last told of each provider.
    health_told: Mutex<BTreeMap<ProviderId, HealthState>>,
    /// What ends the tasks of each provider.
    followers: Mutex<BTreeMap<ProviderId, CancellationToken>>,
    /// The snapshot that the store was last told of.
    recorded: Mutex<Weak<Snapshot>>,
    /// Held while a snapshot is built from the one before, so that two changes at once both last.
    building: tokio::sync::Mutex<()>,
    company: Company,
    followed: Mutex<Followed>,
}

impl App {
    /// Puts the parts together, with the store's catalogues and keys loaded.
    ///
    /// # Errors
    /// What the store says.
    pub async fn new(
        store: Arc<dyn Store>,
        cache: Cache,
        clock: Clock,
        tasks: Tasks,
        upstreams: Upstreams,
        terms: Terms,
        company: Company,
    ) -> StoreResult<Arc<Self>> {
        let lived = store.is_shared().then(|| company.attendance.borrow().versions.timeline);
        let followed = Followed::new(company.attendance.borrow().versions.catalogues, store.catalogue_marks().await?);
        let lists: Lists = store.catalogues().await?.into_iter().map(List::stored).collect();
        let freezes = Freezes::of(store.freezes().await?);
        let access = AccessTable::new(store.access_list().await?, &AccessTable::default());
        let pauses = store.pauses().await?;
        for (id, upstream) in &upstreams {
            upstream.set_open(terms.provider(id).is_some_and(|setup| setup.is_called));
        }
        let (started_at, forward_nudge) = (clock.now(), Arc::<Notify>::default());
        let app = Arc::new(Self {
            store,
            cache: Arc::new(cache),
            clock,
            tasks,
            upstreams: ArcSwap::from_pointee(upstreams),
            snapshot: ArcSwap::from_pointee(Snapshot::new(Arc::new(terms), lists)),
            access: ArcSwap::from_pointee(access),
            pauses: ArcSwap::from_pointee(pauses),
            waiters: Waiters::default(),
            asked: Asked::default(),
            asked_refills: Asked::default(),
            forward_nudge: Arc::clone(&forward_nudge),
            poll_nudge: Arc::default(),
            balances: Mutex::default(),
            single_pollers: Mutex::default(),
            single_refill_pollers: Mutex::default(),
            in_hand: Mutex::default(),
            lines: Lines::new(Arc::clone(&forward_nudge)),
            polling: Mutex::default(),
            canceling: Mutex::default(),
            answering: Mutex::default(),
            syncs: Mutex::default(),
            freezes: ArcSwap::from_pointee(freezes),
            unwritten_freezes: Mutex::default(),
            low_balances: Mutex::default(),
            foreign_statuses: Mutex::default(),
            wrong_keys: WrongKeys::default(),
            search: SearchMemory::new(started_at),
            calls: CallMeter::new(&answers::ACTIONS),
            reminded_at: Mutex::default(),
            stepping: Mutex::new(Stepping::on(lived)),
            health_told: Mutex::default(),
            followers: Mutex::default(),
            recorded: Mutex::default(),
            building: tokio::sync::Mutex::default(),
            company,
            followed: Mutex::new(followed),
        });
        app.tell_cache(&app.company.attendance.borrow());
        Ok(app)
    }

    /// Takes up what an earlier run left: what it was sending is uncertain now, what it had queued goes on.
    ///
    /// # Errors
    /// What the store says; the gateway must not start then.
    pub async fn recover(&self) -> StoreResult<usize> {
        let lost = self.store.recover(self.clock.now()).await?;
        let count = lost.len();
        for order in lost {
            self.decide(order, crate::domain::order::Event::SenderLost).await?;
        }
        if self.store.is_shared() {
            self.lose_refills().await?;
        } else {
            self.recover_refills().await?;
        }
        let providers: Vec<ProviderId> =
            self.snapshot.load().terms.providers.iter().map(|provider| provider.id.clone()).collect();
        for provider in providers {
            // By the stored list, before another takes its place.
            self.note_costs(&provider, usize::MAX).await?;
        }
        Ok(count)
    }

    /// Starts the tasks that work without being asked.
    pub fn start(self: &Arc<Self>) {
        if let Some(limits) = &self.company.limits {
            limits.start(&self.tasks);
        }
        self.repeat(Duration::from_secs(1), &Arc::default(), Self::follow_clock);
        self.repeat(Duration::from_millis(500), &Arc::default(), Self::follow_access);
        let pauses = self.pauses.load();
        if **pauses != Pauses::default() {
            pauses::tell(&pauses);
        }
        self.repeat(Duration::from_millis(500), &Arc::default(), Self::follow_pauses);
        self.repeat(Duration::from_secs(5), &Arc::default(), Self::follow_running);
        self.repeat(Duration::from_secs(1), &Arc::default(), Self::write_freezes);
        self.repeat(Duration::from_millis(500), &self.forward_nudge, Self::forward_due);
        self.repeat(Duration::from_millis(250), &Arc::default(), Self::hasten_asked);
        self.repeat(Duration::from_millis(250), &Arc::default(), Self::hasten_asked_refills);
        self.repeat(Duration::from_secs(1), &Arc::default(), Self::forward_wishes);
        self.repeat(Duration::from_millis(500), &Arc::default(), Self::answer_requests);
        self.repeat(Duration::from_secs(5), &Arc::default(), Self::record_providers);
        self.repeat(Duration::from_secs(30), &Arc::default(), Self::count_orders);
        self.repeat(Duration::from_secs(3), &Arc::default(), Self::find_lost_senders);
        self.repeat(Duration::from_secs(30), &Arc::default(), Self::find_lost_refills);
        if self.store.is_shared() {
            self.repeat(Duration::from_millis(250), &Arc::default(), Self::follow_lists);
            self.repeat(Duration::from_millis(250), &Arc::default(), Self::settle_cache);
        }
        self.repeat(Duration::from_secs(60), &Arc::default(), Self::forget_wrong_keys);
        self.repeat(Duration::from_secs(3600), &Arc::default(), Self::prune);
        self.follow_providers();
    }

    fn repeat<W, F>(self: &Arc<Self>, period: Duration, nudge: &Arc<Notify>, work: W)
    where
        W: Fn(Arc<Self>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let app = Arc::clone(self);
        self.tasks.every(period, Arc::clone(nudge), move || work(Arc::clone(&app)));
    }

    /// Whether orders can be taken: one provider's catalogue is enough.
    ///
    /// # Errors
    /// The reasons why not yet.
    pub fn readiness(&self) -> Result<(), Vec<String>> {
        let snapshot = self.snapshot.load();
        if self.tasks.is_stopping() {
            return Err(vec!["the gateway is stopping".to_owned()]);
        }
        let known = |id: &ProviderId| snapshot.terms.provider(id).is_some();
        if snapshot.lists.iter().any(|(id, list)| known(id) && !list.services.is_empty()) {
            return Ok(());
        }
        Err(vec!["no provider's catalogue is loaded yet".to_owned()])
    }

    /// What holds over all gateways, where there are several.
    #[must_use]
    pub const fn limits(&self) -> Option<&SharedLimits> {
        self.company.limits.as_ref()
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The client of a provider that is called.
    fn upstream(&self, provider: &ProviderId) -> Option<Arc<Upstream>> {
        self.upstreams.load().get(provider).filter(|upstream| upstream.is_open()).map(Arc::clone)
    }

    /// The same where the configuration lets it be called, and its account is the one that our orders are on.
    fn called(&self, provider: &ProviderId) -> Option<Arc<Upstream>> {
        let snapshot = self.snapshot.load();
        let setup = snapshot.terms.provider(provider)?;
        if setup.is_called && self.frozen(setup).is_none() { self.upstream(&setup.id) } else { None }
    }
}

/// A lock whose holder can't leave half-done work behind: the maps under it are changed in one call each.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
