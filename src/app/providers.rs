//! What the gateway knows of its providers and orders, written down for the command line and the metrics.

use std::sync::Arc;
use std::time::Duration;

use super::{App, locked};
use crate::store::records::ProviderRecord;

/// Every state of an order.
const STATES: [&str; 5] = ["queued", "sending", "placed", "uncertain", "closed"];
/// Between two reminders of uncertain orders.
const REMIND_EVERY: Duration = Duration::from_secs(3600);

impl App {
    pub(super) async fn record_providers(self: Arc<Self>) {
        for record in self.provider_records() {
            let provider = record.provider.clone();
            if let Err(error) = self.store.put_provider(record).await {
                tracing::warn!(%provider, %error, "the state of {provider} was not written down");
            }
        }
    }

    fn provider_records(&self) -> Vec<ProviderRecord> {
        let snapshot = self.snapshot.load_full();
        let balances = locked(&self.balances).clone();
        snapshot
            .terms
            .providers
            .iter()
            .map(|setup| {
                let health = self.upstream(&setup.id).map(|upstream| upstream.health());
                let list = snapshot.lists.get(&setup.id);
                let state = match &health {
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
    pub(super) async fn probe_stopped(self: Arc<Self>) {
        for upstream in self.upstreams.load_full().values() {
            if let Some(Err(error)) = upstream.try_probe().await {
                tracing::warn!(provider = %upstream.provider(), %error, "{} still takes no calls", upstream.provider());
            }
        }
    }

    /// Counts orders for the metrics, and reminds the operator of those that only a person can settle.
    pub(super) async fn count_orders(self: Arc<Self>) {
        let counts = match self.store.count_orders().await {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(%error, "orders could not be counted");
                return;
            }
        };
        let in_state = |state: &str| counts.iter().filter(|(name, ..)| *name == state).map(|(.., count)| count).sum();
        for state in STATES {
            let count: u64 = in_state(state);
            #[expect(clippy::cast_precision_loss, reason = "a gauge for people to read")]
            metrics::gauge!(crate::telemetry::ORDERS, "state" => state).set(count as f64);
        }
        self.remind(in_state("uncertain"));
    }

    fn remind(&self, uncertain: u64) {
        let now = self.clock.now();
        let mut reminded_at = locked(&self.reminded_at);
        if uncertain > 0 && now.since(*reminded_at) >= REMIND_EVERY {
            *reminded_at = now;
            tracing::warn!(
                "{uncertain} orders are uncertain: settle them with `tollgate orders resolve`; \
                 see `tollgate orders list --state uncertain`"
            );
        }
    }
}
