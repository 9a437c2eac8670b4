//! Takes another configuration while everything goes on: the snapshot and the upstreams' clients are swapped
//! whole, calls under way end by the old ones, and what would leave orders behind is refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::running::{Changes, Running, forget_moved, hosts, refusals, refusals_in_company, unfinished};
use super::snapshot::Snapshot;
use super::terms::Terms;
use super::trouble::warn_of;
use super::{App, Upstreams, locked};
use crate::domain::ids::ProviderId;
use crate::store::StoreError;
use crate::upstream::Upstream;

/// How long the last calls to a provider that goes may take.
const LAST_CALLS: Duration = Duration::from_secs(10);
/// Between two looks at them.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why the old configuration stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It would leave orders behind; a sentence for each reason.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Upstreams that are about to go, closed meanwhile; opened again when this is dropped with them still in it.
#[derive(Default)]
struct Leaving(Vec<Arc<Upstream>>);

impl Leaving {
    fn close(upstreams: Vec<Arc<Upstream>>) -> Self {
        for upstream in &upstreams {
            upstream.set_open(false);
        }
        Self(upstreams)
    }

    /// Waits for the calls that are under way. Each of them has its order durable as being sent.
    async fn last_calls(&self) -> Result<(), ReloadError> {
        let deadline = Instant::now() + LAST_CALLS;
        loop {
            let busy = self.0.iter().find(|upstream| upstream.health().in_flight > 0);
            let Some(busy) = busy else { return Ok(()) };
            if Instant::now() >= deadline {
                let provider = busy.provider();
                return Err(ReloadError::Refused(vec![format!(
                    "calls to provider \"{provider}\" are still under way, so it can't be removed or moved yet: reload again"
                )]));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn are_gone(mut self) {
        self.0.clear();
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        for upstream in &self.0 {
            upstream.set_open(true);
        }
    }
}

impl App {
    /// The clients of the present configuration, of providers that are off too.
    #[must_use]
    pub fn upstreams(&self) -> Arc<Upstreams> {
        self.upstreams.load_full()
    }

    /// Takes these terms and clients. `upstreams` holds a client for each provider of the terms: the present one
    /// where nothing changed, its successor, or a new one. `serving`: the digest of the configuration that they are of.
    ///
    /// # Errors
    /// [`ReloadError`]; everything is as it was then.
    pub async fn reload(
        self: &Arc<Self>,
        terms: Terms,
        upstreams: Upstreams,
        serving: String,
    ) -> Result<Changes, ReloadError> {
        self.refuse_orphans(&terms).await?;
        let leaving = Leaving::close(self.replaced(&upstreams));
        leaving.last_calls().await?;
        // With their gates closed, what is counted now stays so.
        self.refuse_orphans(&terms).await?;
        let changes = self.swap(terms, upstreams, serving).await?;
        leaving.are_gone();
        self.follow_providers();
        // Another route, or none at all, may be there for what waits.
        if let Err(error) = self.store.hasten_queued(self.clock.now()).await {
            warn_of!(error, "queued orders find out about the new configuration only when they are due");
        }
        self.forward_nudge.notify_one();
        Ok(changes)
    }

    async fn refuse_orphans(&self, terms: &Terms) -> Result<(), ReloadError> {
        let before = hosts(&self.snapshot.load().terms);
        let mut refused = refusals(&before, &hosts(terms), &unfinished(&*self.store).await?);
        refused.extend(refusals_in_company(&before, &hosts(terms), self.company.gateways()));
        if refused.is_empty() { Ok(()) } else { Err(ReloadError::Refused(refused)) }
    }

    /// Present clients that nobody of `next` succeeds, and that are called.
    fn replaced(&self, next: &Upstreams) -> Vec<Arc<Upstream>> {
        let present = self.upstreams.load();
        let stays =
            |upstream: &Arc<Upstream>| next.get(upstream.provider()).is_some_and(|other| other.is_same(upstream));
        present.values().filter(|upstream| upstream.is_open() && !stays(upstream)).map(Arc::clone).collect()
    }

    async fn swap(&self, terms: Terms, upstreams: Upstreams, serving: String) -> Result<Changes, ReloadError> {
        let _building = self.building.lock().await;
        let present = self.snapshot.load_full();
        let (old_hosts, new_hosts) = (hosts(&present.terms), hosts(&terms));
        forget_moved(&*self.store, &old_hosts, &terms, self.clock.now()).await?;
        let freezes = self.store.freezes().await?;
        let is_moved = |id: &ProviderId| {
            old_hosts.get(id.as_str()).zip(new_hosts.get(id.as_str())).is_some_and(|(old, new)| new != old)
        };
        let mut lists = present.lists.clone();
        lists.retain(|id, _| !is_moved(id));
        let next = Arc::new(Snapshot::new(Arc::new(terms), lists));
        let running = Running::of(&next);
        // Before an order can leave for a new host, where it leaves for is known to the next start.
        self.keep_running(&running).await?;
        let changes = running.changes_since(&Running::of(&present));

        let old = self.upstreams.swap(Arc::new(upstreams));
        let upstreams = self.upstreams.load_full();
        self.forget_what_changed(&old, &upstreams);
        for (id, upstream) in upstreams.iter() {
            upstream.take_over();
            upstream.set_open(next.terms.provider(id).is_some_and(|setup| setup.is_called));
        }
        // One that was moved is no longer frozen.
        locked(&self.unwritten_freezes).retain(|id, _| !is_moved(id));
        self.follow_freezes(freezes);
        *locked(&self.recorded) = Arc::downgrade(&next);
        // Before anything is sold by it: who attends next says so.
        self.set_serving(serving);
        self.snapshot.store(next);
        Ok(changes)
    }

    /// What was found out about a provider holds for it as long as it is called in the same way; what is known
    /// of its account, as long as it is the same one.
    fn forget_what_changed(&self, old: &Upstreams, new: &Upstreams) {
        for (id, before) in old {
            let now = new.get(id);
            if now.is_none_or(|now| !Arc::ptr_eq(now, before)) {
                locked(&self.syncs).remove(id);
                locked(&self.single_pollers).remove(id);
            }
            if now.is_none_or(|now| !now.is_same(before)) {
                locked(&self.balances).remove(id);
                locked(&self.low_balances).remove(id);
                locked(&self.foreign_statuses).remove(id);
                locked(&self.health_told).remove(id);
            }
        }
    }

    /// Starts each provider's tasks, and ends those of providers that are gone.
    pub(super) fn follow_providers(self: &Arc<Self>) {
        let present: BTreeSet<ProviderId> =
            self.snapshot.load().terms.providers.iter().map(|provider| provider.id.clone()).collect();
        let mut followers = locked(&self.followers);
        followers.retain(|id, stop| {
            let stays = present.contains(id);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for provider in present {
            if followers.contains_key(&provider) {
                continue;
            }
            let stop = self.tasks.stop_token();
            followers.insert(provider.clone(), stop.clone());
            let idle = Arc::default();
            self.follow(&provider, &stop, Duration::from_secs(1), &self.poll_nudge, Self::poll_due);
            self.follow(&provider, &stop, Duration::from_secs(1), &self.poll_nudge, Self::poll_refills);
            self.follow(&provider, &stop, Duration::from_secs(5), &idle, Self::sync_if_due);
            self.follow(&provider, &stop, Duration::from_secs(1), &idle, Self::probe);
            self.follow(&provider, &stop, Duration::from_secs(2), &idle, Self::find_lost);
        }
    }

    /// Does `work` for a provider again and again, until it is gone.
    fn follow<W, F>(
        self: &Arc<Self>,
        provider: &ProviderId,
        stop: &CancellationToken,
        period: Duration,
        nudge: &Arc<Notify>,
        work: W,
    ) where
        W: Fn(Arc<Self>, ProviderId) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (app, provider) = (Arc::clone(self), provider.clone());
        self.tasks
            .every_until(stop.clone(), period, Arc::clone(nudge), move || work(Arc::clone(&app), provider.clone()));
    }
}
