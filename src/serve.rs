//! Puts the parts together and runs the gateway: configuration, store, cache, upstreams, tasks, sockets; then
//! waits for a signal, and drains.
//!
//! The only room besides the command line that knows which engine is behind a trait.

use std::sync::Arc;

use anyhow::bail;

use crate::app::App;
use crate::app::terms::Terms;
use crate::config::settings::StoreUrl;
use crate::config::{Secrets, Settings};
use crate::domain::catalogue::PricingRules;
use crate::store::sqlite::{OpenMode, SqliteStore};
use crate::store::{Store, StoreResult};
use crate::task::Tasks;

/// Runs the gateway until a signal.
///
/// # Errors
/// (being built)
pub async fn run(_settings: Settings) -> anyhow::Result<()> {
    bail!("being built")
}

/// Opens the store.
///
/// # Errors
/// What the store says.
pub fn open_store(settings: &Settings, mode: OpenMode) -> StoreResult<Arc<dyn Store>> {
    let StoreUrl::Sqlite(path) = &settings.store;
    Ok(Arc::new(SqliteStore::open(path, mode)?))
}

/// The settings in the words of the use-cases.
#[must_use]
pub fn terms(settings: &Settings) -> Terms {
    Terms {
        currency: settings.pricing.currency.clone(),
        pricing: PricingRules {
            markup: settings.pricing.markup,
            rate_decimals: settings.pricing.rate_decimals,
            min_margin: settings.pricing.min_margin,
        },
        providers: Vec::new(),
        services: settings.services.clone(),
        imports: settings.imports.clone(),
        wait: settings.dispatch.wait,
        hold_for: settings.dispatch.hold_for,
        watch_closed: settings.dispatch.watch_closed,
        status_ttl: settings.cache.status_ttl,
    }
}

/// The gateway without sockets and with no task started.
///
/// # Errors
/// (being built)
pub async fn build_app(
    _settings: &Settings,
    _secrets: &Secrets,
    _store: Arc<dyn Store>,
    _tasks: Tasks,
) -> anyhow::Result<Arc<App>> {
    bail!("being built")
}

/// Two simulated upstreams and a gateway before them.
///
/// # Errors
/// (being built)
pub async fn demo() -> anyhow::Result<()> {
    bail!("being built")
}
