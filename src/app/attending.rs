//! One gateway among others on a store: it says that it is there, follows what the others change, and does its share of
//! the work that one does for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::snapshot::List;
use super::sync::compare;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::ProviderId;
use crate::domain::order::Order;
use crate::domain::time::Timestamp;
use crate::limits::{OneRedis, Others, SharedLimits};
use crate::store::records::{Attendance, CatalogueMark, PLACE};
use crate::store::{Store, StoreResult};
use crate::task::Clock;
use crate::telemetry::ALERTS;

/// For how many times in a row configurations may differ before somebody is told: a reload takes a moment to get around.
const DIFFERENT_FOR: u32 = 10;

/// For how long gateways may not see one and the same Redis before somebody is told: one that is restarted takes a moment.
const APART_FOR: Duration = Duration::from_secs(10);

/// What there is of other gateways on the same store.
pub struct Company {
    /// What holds over all of them; nothing where this one is always alone.
    pub(super) limits: Option<SharedLimits>,
    /// What the store said when this gateway last attended.
    pub(super) attendance: watch::Sender<Attendance>,
    /// The digest of the configuration that this gateway serves by.
    serving: Mutex<String>,
    /// When others last served by another one, as long as nobody is known to serve by this one too.
    differed_at: Mutex<Option<Timestamp>>,
}

impl Company {
    /// Joins the gateways that serve `store`, with a configuration of this digest; `limits` where there may be others.
    ///
    /// # Errors
    /// What the store says.
    pub async fn join(store: &dyn Store, limits: Option<SharedLimits>, serving: String) -> StoreResult<Self> {
        let attendance = watch::Sender::new(Attendance::alone());
        let company = Self { limits, attendance, serving: Mutex::new(serving), differed_at: Mutex::default() };
        company.attend(store).await?;
        Ok(company)
    }

    /// Says that this gateway is there, and takes down what the store answers; gives what it answered before.
    async fn attend(&self, store: &dyn Store) -> StoreResult<Attendance> {
        let word = match &self.limits {
            Some(limits) => limits.word().await,
            None => 0,
        };
        let serving = locked(&self.serving).clone();
        let asked_at = Instant::now();
        let attendance = store.attend(&serving, word).await?;
        if let Some(limits) = &self.limits {
            limits.attended(asked_at, word, Others { rank: attendance.rank, words: attendance.words.clone() });
        }
        Ok(self.take_down(attendance))
    }

    /// Gives what was down before.
    pub(super) fn take_down(&self, attendance: Attendance) -> Attendance {
        if attendance.otherwise > 0 {
            *locked(&self.differed_at) = attendance.clock.map(|(at, _)| at);
        } else if attendance.gateways > 1 {
            *locked(&self.differed_at) = None;
        }
        self.attendance.send_replace(attendance)
    }

    /// What holds over all of them; nothing where this one is always alone.
    #[must_use]
    pub const fn limits(&self) -> Option<&SharedLimits> {
        self.limits.as_ref()
    }

    /// Whether what one gateway tells its Redis is found there by all others.
    fn one_redis(&self) -> OneRedis {
        self.limits.as_ref().map_or(OneRedis::Yes, SharedLimits::one_redis)
    }

    /// How many gateways serve the store, this one too.
    #[must_use]
    pub fn gateways(&self) -> u32 {
        self.attendance.borrow().gateways
    }

    /// The clock that they all go by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        match self.attendance.borrow().clock {
            Some((at, when)) => Clock::told(at, when),
            None => Clock::system(),
        }
    }
}

/// What of the store's lists is in memory, where others may change them.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The store's count of changes when it was last looked at.
    catalogues: i64,
    /// Each list's version.
    lists: HashMap<ProviderId, i64>,
}

impl Followed {
    /// To be made before the lists are read.
    pub(super) fn new(catalogues: i64, marks: Vec<CatalogueMark>) -> Self {
        Self { catalogues, lists: marks.into_iter().map(|mark| (mark.provider, mark.version)).collect() }
    }
}

impl App {
    /// What this gateway was told when it last attended.
    #[must_use]
    pub fn attendance(&self) -> watch::Receiver<Attendance> {
        self.company.attendance.subscribe()
    }

    /// From now on this gateway serves by a configuration of this digest.
    pub(super) fn set_serving(&self, digest: String) {
        *locked(&self.company.serving) = digest;
        *locked(&self.company.differed_at) = None;
    }

    /// Has the other gateways read their configurations again; gives the number of this change.
    ///
    /// # Errors
    /// What the store says.
    pub async fn tell_of_configuration(&self) -> StoreResult<i64> {
        self.store.raise_configuration().await
    }

    /// Says that this gateway is there, again and again, also while it ends: it has calls under way until then.
    pub async fn keep_attending(&self) {
        let Some(limits) = &self.company.limits else {
            return std::future::pending().await;
        };
        let (mut different, mut together_at) = (0_u32, Some(Instant::now()));
        tell_of_company(&self.company.attendance.borrow());
        loop {
            limits.due().await;
            match self.company.attend(&*self.store).await {
                Ok(before) => {
                    let now = self.company.attendance.borrow().clone();
                    different = if now.otherwise > 0 { different.saturating_add(1) } else { 0 };
                    tell_of_difference(different, &now);
                    self.tell_of_redis(&mut together_at);
                    self.take_note(&before, &now);
                }
                Err(error) => {
                    warn_of!(error, "this gateway can't say that it is there: it makes no calls until it can")
                }
            }
        }
    }

    fn take_note(&self, before: &Attendance, now: &Attendance) {
        if let Some((at, when)) = now.clock {
            self.clock.hear(at, when);
        }
        self.tell_cache(now);
        metrics::gauge!(crate::telemetry::GATEWAYS).set(f64::from(now.gateways));
        if before.gateways != now.gateways {
            tell_of_company(now);
        }
    }

    /// What the store says of the cache's epoch is all that a shared cache is believed by. While a gateway is late,
    /// nothing is: it may have ended between writing a change and telling of it. Nor while one does not use the same Redis.
    pub(super) fn tell_cache(&self, attendance: &Attendance) {
        if let Some(asked_at) = attendance.asked_at {
            let one_redis = self.company.one_redis();
            if one_redis != OneRedis::NotYet {
                self.cache.is_everybodys(one_redis == OneRedis::Yes);
            }
            self.cache.attended(attendance.epoch, asked_at);
            if attendance.is_any_late || one_redis == OneRedis::NotYet {
                self.cache.doubt();
            }
        }
    }

    /// Once, when this gateway's Redis has not been that of all others for a while; `together_at`: when it last was, nothing
    /// after that was told.
    fn tell_of_redis(&self, together_at: &mut Option<Instant>) {
        let is_apart = self.cache.is_shared() && self.company.one_redis() != OneRedis::Yes;
        if !is_apart {
            *together_at = Some(Instant::now());
        } else if together_at.take_if(|together_at| together_at.elapsed() >= APART_FOR).is_some() {
            metrics::counter!(ALERTS).increment(1);
            tracing::warn!(
                "the gateways have not seen one and the same Redis for {} s: statuses come from the store until they do; \
                 is cache.url the same at all of them?",
                APART_FOR.as_secs()
            );
        }
    }

    /// Tells a shared cache what it could not be told before, and the other gateways where it can't be told any more.
    pub(super) async fn settle_cache(self: Arc<Self>) {
        let Some(debt) = self.cache.settle().await else { return };
        let asked_at = Instant::now();
        match self.store.raise_cache_epoch().await {
            Ok(epoch) => self.cache.repaid(debt, epoch, asked_at),
            Err(error) => {
                warn_of!(error, "other gateways may show old statuses until the store can be told; trying on")
            }
        }
    }

    /// Ends this gateway's place, so that the others need not wait for its end. To be said last.
    ///
    /// # Errors
    /// What the store says: the others learn it within seconds.
    pub async fn leave(&self) -> StoreResult<()> {
        if self.cache.owes() && self.store.is_shared() {
            self.store.raise_cache_epoch().await?;
        }
        self.store.leave().await
    }

    /// Whether other gateways serve the store too.
    pub(super) fn has_company(&self) -> bool {
        self.company.gateways() > 1
    }

    /// Whether this gateway may call upstreams now.
    pub(super) fn may_call(&self) -> bool {
        self.company.attendance.borrow().may_call(self.clock.moment())
    }

    /// Whether this order may have been sold by another configuration than this gateway's, which may be the older. Of a new
    /// order it can't know before it has attended after whoever sold it had to; and who sold it may be gone by now.
    pub(super) fn may_be_anothers(&self, order: &Order) -> bool {
        let attendance = self.company.attendance.borrow();
        let told = order.created_at.plus(PLACE);
        let is_new = attendance.gateways > 1 && attendance.clock.is_some_and(|(heard_at, _)| heard_at < told);
        let sellers_may_be_gone =
            || locked(&self.company.differed_at).is_some_and(|at| order.created_at < at.plus(PLACE));
        attendance.otherwise > 0 || is_new || sellers_may_be_gone()
    }

    /// Whether work that one gateway does for all is this one's for so long.
    pub(super) async fn has_turn(&self, work: &str, provider: Option<&ProviderId>, lasts: Duration) -> bool {
        if !self.store.is_shared() {
            return true;
        }
        // Its turn would keep those from it that can do it.
        if provider.is_some_and(|provider| self.is_elsewhere(provider)) {
            return false;
        }
        let name = provider.map_or_else(|| work.to_owned(), |provider| format!("{work} {provider}"));
        match self.store.take_turn(&name, lasts).await {
            Ok(taken) => taken,
            Err(error) => {
                warn_of!(error, "whether it is this gateway's turn to {work} can't be told; it waits");
                false
            }
        }
    }

    /// Takes over the lists, doubts and freezes that other gateways have written.
    pub(super) async fn follow_lists(self: Arc<Self>) {
        let catalogues = self.company.attendance.borrow().versions.catalogues;
        if locked(&self.followed).catalogues == catalogues {
            return;
        }
        match self.read_lists().await {
            Ok(()) => locked(&self.followed).catalogues = catalogues,
            Err(error) => warn_of!(error, "what other gateways learnt of providers could not be read; trying on"),
        }
    }

    pub(super) async fn read_lists(&self) -> StoreResult<()> {
        let _building = self.building.lock().await;
        let freezes = self.store.freezes().await?;
        for CatalogueMark { provider, fetched_at, version } in self.store.catalogue_marks().await? {
            let snapshot = self.snapshot.load_full();
            let before = snapshot.lists.get(&provider);
            let same = locked(&self.followed).lists.get(&provider) == Some(&version);
            let list = match before.filter(|_| same) {
                Some(list) if list.fetched_at == fetched_at => continue,
                Some(list) => List { fetched_at, services: list.services.clone(), doubts: list.doubts.clone() },
                None => match self.store.catalogue(&provider).await? {
                    Some(stored) => List::of(stored),
                    None => continue,
                },
            };
            let report = compare(before.map_or(&[][..], |list| &list.services), &list.services);
            let repriced = report.repriced.iter().map(|(service, ..)| service.as_str());
            self.search.repriced(&provider, repriced, self.clock.now());
            if before.is_none_or(|before| before.fetched_at != list.fetched_at) {
                // Whoever fetched it has read the balance too.
                locked(&self.balances).remove(&provider);
            }
            self.snapshot.store(Arc::new(snapshot.with_list(&provider, list)));
            locked(&self.followed).lists.insert(provider, version);
        }
        self.follow_freezes(freezes);
        Ok(())
    }
}

fn tell_of_company(attendance: &Attendance) {
    match attendance.gateways {
        1 => tracing::info!("this is the only gateway that serves its store"),
        many => tracing::info!("{many} gateways serve this store"),
    }
}

/// Once, when configurations have differed for a while.
fn tell_of_difference(times: u32, attendance: &Attendance) {
    metrics::gauge!(crate::telemetry::GATEWAYS_OTHERWISE).set(f64::from(attendance.otherwise));
    if times == DIFFERENT_FOR {
        metrics::counter!(ALERTS).increment(1);
        tracing::warn!(
            "{} of {} gateways serve by another providers.toml than this one, or by another key of a provider: make them \
             the same, and reload",
            attendance.otherwise,
            attendance.gateways
        );
    }
}

/// Of a gateway that nobody keeps company.
#[cfg(test)]
pub(super) fn alone() -> Company {
    let attendance = watch::Sender::new(Attendance::alone());
    Company { limits: None, attendance, serving: Mutex::default(), differed_at: Mutex::default() }
}
