//! What the gateway knows of its providers and orders, written down for the command line and the metrics.

use std::sync::Arc;
use std::time::Duration;

use super::add::REQUEST_MEMORY;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::ProviderId;
use crate::store::records::ProviderRecord;
use crate::upstream::{Health, HealthState};

/// Every state of an order but closed.
const STATES: [&str; 4] = ["queued", "sending", "placed", "uncertain"];
/// The state of a provider that seems to be another account's.
pub const FROZEN: &str = "frozen";
/// How long one gateway forgets old requests, and reminds, for all.
const PRUNE_TURN: Duration = Duration::from_secs(1800);
const REMIND_TURN: Duration = Duration::from_secs(120);
/// Between two reminders of uncertain orders.
const REMIND_EVERY: Duration = Duration::from_secs(3600);

impl App {
    pub(super) async fn record_providers(self: Arc<Self>) {
        for record in self.provider_records() {
            let provider = record.provider.clone();
            if let Err(error) = self.store.put_provider(record).await {
                warn_of!(error, %provider, "the state of {provider} was not written down");
            }
        }
    }

    pub(super) fn provider_records(&self) -> Vec<ProviderRecord> {
        let snapshot = self.snapshot.load_full();
        let balances = locked(&self.balances).clone();
        let pauses = self.pauses.load();
        snapshot
            .terms
            .providers
            .iter()
            .map(|setup| {
                let health = self.upstream(&setup.id).map(|upstream| upstream.health());
                let list = snapshot.lists.get(&setup.id);
                let state = match &health {
                    Some(_) if self.frozen(setup).is_some() => FROZEN,
                    Some(_) if setup.mode == "on" && pauses.hold(&setup.id) => "paused",
                    Some(health) if setup.mode == "on" => health.state.as_str(),
                    _ => setup.mode,
                };
                ProviderRecord {
                    provider: setup.id.clone(),
                    state: state.to_owned(),
                    balance: balances.get(&setup.id).copied(),
                    currency: setup.currency.clone(),
                    last_sync_at: list.map(|list| list.fetched_at),
                    services: list.map_or(0, |list| u64::try_from(list.services.len()).unwrap_or(u64::MAX)),
                    in_flight: health.as_ref().map_or(0, |health| u64::from(health.in_flight)),
                    failures: health.as_ref().map_or(0, |health| health.failures),
                }
            })
            .collect()
    }

    /// A provider that refused our key, or answers nothing, is tried again now and then, by `balance` only.
    pub(super) async fn probe(self: Arc<Self>, provider: ProviderId) {
        let Some(upstream) = self.upstream(&provider) else { return };
        self.tell_of_change(&provider, &upstream.health());
        match self.tasks.unless_stopping(upstream.try_probe()).await.flatten() {
            Some(Ok(balance)) => {
                let terms = Arc::clone(&self.snapshot.load().terms);
                if let Some(setup) = terms.provider(&provider) {
                    self.took_balance(setup, &balance).await;
                }
            }
            Some(Err(error)) => tracing::warn!(%provider, %error, "{provider} still takes no calls"),
            None => {}
        }
    }

    /// The operator is told when calls to a provider stop, and when they go on.
    fn tell_of_change(&self, provider: &ProviderId, health: &Health) {
        let state = health.state;
        let before = locked(&self.health_told).insert(provider.clone(), state).unwrap_or(HealthState::On);
        let why = health.last_error.as_deref().unwrap_or("no reason known");
        match state {
            _ if state == before => {}
            HealthState::On => tracing::info!(%provider, "{provider} takes calls again"),
            HealthState::Resting => tracing::warn!(%provider, "{provider} asked to be left alone for a while: {why}"),
            HealthState::KeyRejected | HealthState::Unreachable => {
                metrics::counter!(crate::telemetry::ALERTS).increment(1);
                tracing::warn!(%provider, "calls to {provider} stopped ({}): {why}", state.as_str());
            }
        }
    }

    /// Forgets requests that no repeat is compared with any more.
    pub(super) async fn prune(self: Arc<Self>) {
        if !self.has_turn("prune", None, PRUNE_TURN).await {
            return;
        }
        if let Err(error) = self.store.prune(self.clock.now().minus(REQUEST_MEMORY)).await {
            warn_of!(error, "old requests were not forgotten");
        }
    }

    /// Counts orders for the metrics, and reminds the operator of those that only a person can settle.
    pub(super) async fn count_orders(self: Arc<Self>) {
        let counts = match self.store.count_orders().await {
            Ok(counts) => counts,
            Err(error) => {
                warn_of!(error, "orders could not be counted");
                return;
            }
        };
        let in_state = |state: &str| counts.iter().filter(|(name, ..)| *name == state).map(|(.., count)| count).sum();
        for state in STATES {
            let count: u64 = in_state(state);
            #[expect(clippy::cast_precision_loss, reason = "a gauge for people to read")]
            metrics::gauge!(crate::telemetry::ORDERS, "state" => state).set(count as f64);
        }
        if self.has_turn("remind", None, REMIND_TURN).await {
            self.remind(in_state("uncertain"));
        }
    }

    fn remind(&self, uncertain: u64) {
        let now = self.clock.now();
        let mut reminded_at = locked(&self.reminded_at);
        if uncertain > 0 && now.since(*reminded_at) >= REMIND_EVERY {
            *reminded_at = now;
            tracing::warn!(
                "uncertain orders: {uncertain}; settle them with `tollgate orders resolve`; \
                 see `tollgate orders list --state uncertain`"
            );
        }
    }
}
