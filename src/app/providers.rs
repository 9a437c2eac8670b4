//! What the gateway knows of its providers and orders, written down for the command line and the metrics.

use std::sync::Arc;

use super::{App, locked};
use crate::store::records::ProviderRecord;

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

    pub(super) async fn count_orders(self: Arc<Self>) {
        match self.store.count_orders().await {
            Ok(counts) => {
                for state in ["queued", "sending", "placed", "uncertain", "closed"] {
                    let count: u64 = counts.iter().filter(|(name, ..)| *name == state).map(|(.., count)| count).sum();
                    #[expect(clippy::cast_precision_loss, reason = "a gauge for people to read")]
                    metrics::gauge!(crate::telemetry::ORDERS, "state" => state).set(count as f64);
                }
            }
            Err(error) => tracing::warn!(%error, "orders could not be counted"),
        }
    }
}
