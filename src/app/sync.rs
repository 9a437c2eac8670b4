//! Fetches a provider's catalogue, and takes it over only where it can be true.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::snapshot::List;
use super::{App, locked};
use crate::domain::catalogue::UpstreamService;
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::upstream::{AnswerError, Priority, Unavailable};

/// How long a sync stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(60);
/// Half of the pause after the first failure.
const RETRY: Duration = Duration::from_secs(5);

/// What a sync changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncReport {
    /// How many services the provider lists now.
    pub services: usize,
    /// IDs there that are new.
    pub gained: Vec<String>,
    /// IDs there that are gone.
    pub lost: Vec<String>,
    /// IDs there whose rate moved, with the old and the new rate.
    pub repriced: Vec<(String, String, String)>,
}

/// Why a sync changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Not in the configuration, or off.
    #[error("provider {0} is not called: it is off or not in the configuration")]
    NotCalled(ProviderId),
    /// No call could be made.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It did not answer with a list.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It answered with nothing.
    #[error("it lists no services; the last good list stays in force")]
    Empty,
    /// It lost over half of its services at once.
    #[error("it lists {now} services where there were {before}; the last good list stays in force")]
    Shrunken {
        /// Before.
        before: usize,
        /// Now.
        now: usize,
    },
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Syncs that failed since the last good one.
#[derive(Debug, Default)]
pub(super) struct SyncFailures {
    count: u32,
    last_at: Timestamp,
}

impl SyncFailures {
    fn add(&mut self, now: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.last_at = now;
    }

    /// Twice as long each time, up to the usual pause between two syncs: some panels take ten a hour.
    fn pause(&self, sync_every: Duration) -> Duration {
        RETRY.saturating_mul(1 << self.count.min(10)).min(sync_every)
    }
}

impl App {
    /// Syncs a provider whose list is older than it shall be; after a failure not at once again.
    pub(super) async fn sync_if_due(self: Arc<Self>, provider: ProviderId) {
        if !self.sync_is_due(&provider) {
            return;
        }
        match self.sync(&provider).await {
            Ok(report) => tracing::info!(
                %provider, services = report.services, gained = report.gained.len(), lost = report.lost.len(),
                repriced = report.repriced.len(), "synced the catalogue of {provider}"
            ),
            Err(error) => {
                if matches!(error, SyncError::Empty | SyncError::Shrunken { .. }) {
                    metrics::counter!(crate::telemetry::ALERTS).increment(1);
                }
                tracing::warn!(%provider, %error, "the catalogue of {provider} was not synced");
            }
        }
    }

    fn sync_is_due(&self, provider: &ProviderId) -> bool {
        let snapshot = self.snapshot.load();
        let Some(setup) = snapshot.terms.provider(provider).filter(|setup| setup.is_called) else { return false };
        let now = self.clock.now();
        let young = snapshot.lists.get(provider).is_some_and(|list| now.since(list.fetched_at) < setup.sync_every);
        let resting = locked(&self.sync_failures)
            .get(provider)
            .is_some_and(|failures| now < failures.last_at.plus(failures.pause(setup.sync_every)));
        !young && !resting
    }

    /// Fetches a provider's list and balance now.
    ///
    /// # Errors
    /// [`SyncError`]; the last good list stays in force.
    pub async fn sync(&self, provider: &ProviderId) -> Result<SyncReport, SyncError> {
        let result = self.try_sync(provider).await;
        let outcome = if result.is_ok() {
            locked(&self.sync_failures).remove(provider);
            "ok"
        } else {
            locked(&self.sync_failures).entry(provider.clone()).or_default().add(self.clock.now());
            "error"
        };
        metrics::counter!(crate::telemetry::SYNCS, "provider" => provider.to_string(), "outcome" => outcome)
            .increment(1);
        result
    }

    async fn try_sync(&self, provider: &ProviderId) -> Result<SyncReport, SyncError> {
        let upstream = self.upstream(provider).ok_or_else(|| SyncError::NotCalled(provider.clone()))?;
        let services = upstream.services(upstream.permit(Priority::Sync, PERMIT_WAIT).await?).await?.services;
        // A reload may have moved the provider meanwhile: then this is another panel's list.
        if !self.upstream(provider).is_some_and(|present| present.is_same(&upstream)) {
            return Err(SyncError::NotCalled(provider.clone()));
        }
        let before = self.snapshot.load().lists.get(provider).map(Arc::clone);
        let before = before.as_ref().map_or(&[][..], |list| list.services.as_slice());
        check_plausible(before, &services)?;
        let report = compare(before, &services);
        let fetched_at = self.clock.now();
        self.store.put_catalogue(provider, services.clone(), fetched_at).await?;
        self.swap_list(provider, List { fetched_at, services }).await;
        if let Err(error) = self.fetch_balance(provider).await {
            tracing::warn!(%provider, %error, "the balance at {provider} was not read");
        }
        Ok(report)
    }

    async fn fetch_balance(&self, provider: &ProviderId) -> Result<(), SyncError> {
        let upstream = self.upstream(provider).ok_or_else(|| SyncError::NotCalled(provider.clone()))?;
        let balance = upstream.balance(upstream.permit(Priority::Sync, PERMIT_WAIT).await?).await?;
        locked(&self.balances).insert(provider.clone(), balance.amount);
        let snapshot = self.snapshot.load();
        if let Some(setup) = snapshot.terms.provider(provider)
            && balance.amount < setup.low_balance
        {
            tracing::warn!(%provider, balance = %balance.amount, "the balance at {provider} is low: {} {}",
                balance.amount, setup.currency);
        }
        Ok(())
    }
}

fn check_plausible(before: &[UpstreamService], now: &[UpstreamService]) -> Result<(), SyncError> {
    if now.is_empty() {
        return Err(SyncError::Empty);
    }
    let known: HashSet<&UpstreamServiceId> = now.iter().map(|service| &service.id).collect();
    let kept = before.iter().filter(|service| known.contains(&service.id)).count();
    if kept.saturating_mul(2) < before.len() {
        return Err(SyncError::Shrunken { before: before.len(), now: now.len() });
    }
    Ok(())
}

fn compare(before: &[UpstreamService], now: &[UpstreamService]) -> SyncReport {
    let by_id = |list: &[UpstreamService]| -> HashMap<String, rust_decimal::Decimal> {
        list.iter().map(|service| (service.id.to_string(), service.rate)).collect()
    };
    let (old, new) = (by_id(before), by_id(now));
    let only_in = |list: &[UpstreamService], other: &HashMap<String, _>| -> Vec<String> {
        list.iter().map(|service| service.id.to_string()).filter(|id| !other.contains_key(id)).collect()
    };
    let repriced = now
        .iter()
        .filter_map(|service| {
            let was = old.get(service.id.as_str()).filter(|was| **was != service.rate)?;
            Some((service.id.to_string(), was.normalize().to_string(), service.rate.normalize().to_string()))
        })
        .collect();
    SyncReport { services: now.len(), gained: only_in(now, &old), lost: only_in(before, &new), repriced }
}
