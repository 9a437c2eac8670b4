//! Fetches a provider's catalogue, and takes it over only where it can be true.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::terms::ProviderSetup;
use super::{App, locked};
use crate::domain::catalogue::{Doubt, UpstreamService};
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::records::FreezeCause;
use crate::task::Moment;
use crate::telemetry;
use crate::upstream::{AnswerError, Balance, Priority, ServiceList, Unavailable, Upstream};

/// How long a sync stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(60);
/// How long one gateway may take to sync before another may try; while it is there, it goes on doing so.
const SYNC_TURN: Duration = Duration::from_secs(60);
/// Half of the pause after the first failure.
const RETRY: Duration = Duration::from_secs(5);

/// What a sync changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SyncReport {
    /// How many services the provider lists now.
    pub services: usize,
    /// IDs there that are new.
    pub gained: Vec<String>,
    /// IDs there that are gone.
    pub lost: Vec<String>,
    /// IDs there whose rate moved, with the old and the new rate.
    pub repriced: Vec<(String, String, String)>,
    /// IDs there whose rate is 0 and was not.
    pub free: Vec<String>,
    /// Services with a new name or category.
    pub renamed: Vec<Renamed>,
    /// Services that are off sale until the operator confirms them.
    pub doubted: Vec<Doubted>,
    /// Services that the operator confirmed with this sync.
    pub confirmed: Vec<String>,
    /// Rows that could not be read, or that repeat an ID.
    pub skipped: usize,
}

/// A service with a new name or category; it is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// Its ID there.
    pub service: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
}

/// A service that is off sale until the operator confirms it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubted {
    /// Its ID there.
    pub service: String,
    /// Why.
    pub why: String,
}

impl Doubted {
    pub(super) fn new(service: &UpstreamServiceId, doubt: &Doubt) -> Self {
        Self { service: service.to_string(), why: doubt.to_string() }
    }
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
    #[error("it lists no services that can be read; the last good list stays in force")]
    Empty,
    /// It lost over half of its services at once.
    #[error("it lists {now} services where there were {before}; the last good list stays in force")]
    Shrunken {
        /// Before.
        before: usize,
        /// Now.
        now: usize,
    },
    /// It seems to be another account's.
    #[error("it is frozen: {0}; the last good list stays in force")]
    Frozen(String),
    /// Its answer came after that to a later question, or the provider moved to another host meanwhile.
    #[error("its list is older than what is known of it by now, which stays in force")]
    Overtaken,
    /// The gateway stops.
    #[error("the gateway is stopping")]
    Stopping,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a provider's syncs went.
#[derive(Debug, Default)]
pub(super) struct SyncState {
    /// How many failed since the last good one.
    failures: u32,
    failed_at: Timestamp,
    /// Whether the operator was told, since the last good one, of a list that can't be true.
    told: bool,
    /// How many rows of the last list could not be read.
    skipped: usize,
}

impl SyncState {
    /// Gives whether the operator has to be told.
    fn failed(&mut self, error: &SyncError, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = now;
        let untrue = matches!(error, SyncError::Empty | SyncError::Shrunken { .. });
        let tells = untrue && !self.told;
        self.told |= untrue;
        tells
    }

    /// Gives whether more rows than before could not be read.
    fn succeeded(&mut self, skipped: usize) -> bool {
        let more = skipped > self.skipped;
        *self = Self { skipped, ..Self::default() };
        more
    }

    /// Twice as long each time, up to the usual pause between two syncs: some panels take ten a hour.
    fn pause(&self, sync_every: Duration) -> Duration {
        RETRY.saturating_mul(1 << self.failures.min(10)).min(sync_every)
    }
}

impl App {
    /// Syncs a provider whose list is older than it shall be; after a failure not at once again.
    pub(super) async fn sync_if_due(self: Arc<Self>, provider: ProviderId) {
        if !self.sync_is_due(&provider) || !self.has_turn("sync", Some(&provider), SYNC_TURN).await {
            return;
        }
        match self.sync(&provider).await {
            Ok(report) => tracing::info!(
                %provider, services = report.services, gained = report.gained.len(), lost = report.lost.len(),
                repriced = report.repriced.len(), renamed = report.renamed.len(), "synced the catalogue of {provider}"
            ),
            Err(error) => tracing::warn!(%provider, %error, "the catalogue of {provider} was not synced"),
        }
    }

    fn sync_is_due(&self, provider: &ProviderId) -> bool {
        let snapshot = self.snapshot.load();
        let Some(setup) = snapshot.terms.provider(provider).filter(|setup| setup.is_called) else { return false };
        let now = self.clock.now();
        // One from after now is from before the clock was put back.
        let is_young = |at: Timestamp| at <= now && now.since(at) < setup.sync_every;
        let young = snapshot.lists.get(provider).is_some_and(|list| is_young(list.fetched_at));
        // Its next balance may say that it is the right account again.
        let foreign = matches!(self.frozen(setup), Some(FreezeCause::Currency(_)));
        let resting = locked(&self.syncs)
            .get(provider)
            .is_some_and(|state| state.failures > 0 && now < state.failed_at.plus(state.pause(setup.sync_every)));
        (!young || foreign) && !resting
    }

    /// Fetches a provider's list and balance now.
    ///
    /// # Errors
    /// [`SyncError`]; the last good list stays in force.
    pub async fn sync(&self, provider: &ProviderId) -> Result<SyncReport, SyncError> {
        let result = self.try_sync(provider).await;
        let outcome = match &result {
            Ok(report) => {
                let more = locked(&self.syncs).entry(provider.clone()).or_default().succeeded(report.skipped);
                if more {
                    tracing::warn!(%provider, "{} rows of the list of {provider} can't be read", report.skipped);
                }
                "ok"
            }
            Err(error) => {
                let now = self.clock.now();
                let tells = locked(&self.syncs).entry(provider.clone()).or_default().failed(error, now);
                metrics::counter!(telemetry::ALERTS).increment(u64::from(tells));
                "error"
            }
        };
        metrics::counter!(telemetry::SYNCS, "provider" => provider.to_string(), "outcome" => outcome).increment(1);
        result
    }

    /// The balance is asked for with the list: it tells whether this is the account whose list we want.
    async fn try_sync(&self, provider: &ProviderId) -> Result<SyncReport, SyncError> {
        let not_called = || SyncError::NotCalled(provider.clone());
        let upstream = self.upstream(provider).ok_or_else(not_called)?;
        let fetch = async { tokio::join!(self.fetch_services(&upstream), fetch_balance(&upstream)) };
        let (list, balance) = self.tasks.unless_stopping(fetch).await.ok_or(SyncError::Stopping)?;
        // A reload may have moved the provider meanwhile: then this is another panel's list.
        if !self.upstream(provider).is_some_and(|present| present.is_same(&upstream)) {
            return Err(not_called());
        }
        let terms = Arc::clone(&self.snapshot.load().terms);
        let setup = terms.provider(provider).ok_or_else(not_called)?;
        match balance {
            Ok(balance) => self.took_balance(setup, &balance).await,
            Err(error) => tracing::warn!(%provider, %error, "the balance at {provider} was not read"),
        }
        let (asked, list) = list?;
        if let Some(cause @ FreezeCause::Currency(_)) = self.frozen(setup) {
            return Err(SyncError::Frozen(cause.describe(provider)));
        }
        let report = self.take_list(provider, list.services, asked).await?;
        Ok(SyncReport { skipped: list.skipped, ..report })
    }

    /// With the moment when it was asked for: it says nothing of what has changed since, however late it is read.
    async fn fetch_services(&self, upstream: &Upstream) -> Result<(Moment, ServiceList), SyncError> {
        let permit = upstream.permit(Priority::Sync, PERMIT_WAIT).await?;
        let asked = self.clock.moment();
        Ok((asked, upstream.services(permit).await?))
    }

    /// Takes note of a balance that was read.
    pub(super) async fn took_balance(&self, setup: &ProviderSetup, balance: &Balance) {
        locked(&self.balances).insert(setup.id.clone(), balance.amount);
        self.hint_by_balance(setup, balance.amount).await;
        self.judge_balance(setup, balance).await;
    }
}

async fn fetch_balance(upstream: &Upstream) -> Result<Balance, SyncError> {
    Ok(upstream.balance(upstream.permit(Priority::Sync, PERMIT_WAIT).await?).await?)
}

pub(super) fn check_plausible(before: &[UpstreamService], now: &[UpstreamService]) -> Result<(), SyncError> {
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

pub(super) fn compare(before: &[UpstreamService], now: &[UpstreamService]) -> SyncReport {
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
    let free = now
        .iter()
        .filter(|service| service.rate.is_zero() && old.get(service.id.as_str()).is_none_or(|was| !was.is_zero()));
    SyncReport {
        services: now.len(),
        free: free.map(|service| service.id.to_string()).collect(),
        gained: only_in(now, &old),
        lost: only_in(before, &new),
        repriced,
        ..SyncReport::default()
    }
}
