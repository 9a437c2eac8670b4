//! From settings to the parts, each in its own words.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use secrecy::ExposeSecret;

use crate::app::terms::{ProviderSetup, Terms};
use crate::app::{App, Upstreams};
use crate::cache::{Cache, SharedOptions};
use crate::config::settings::{ProviderMode, ProviderSettings, StoreUrl};
use crate::config::{Secrets, Settings};
use crate::domain::catalogue::PricingRules;
use crate::store::sqlite::{OpenMode, SqliteStore};
use crate::store::{Store, StoreResult};
use crate::task::{Clock, Tasks};
use crate::upstream::{HttpWire, HttpWireOptions, Limits, Upstream, UpstreamOptions};

/// What rendered statuses may take up in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// How much longer than its time-outs an attempt is taken to be under way.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// The store that the configuration names.
///
/// # Errors
/// See [`crate::store::StoreError`].
pub fn open_store(settings: &Settings, mode: OpenMode) -> StoreResult<Arc<dyn Store>> {
    let StoreUrl::Sqlite(path) = &settings.store;
    Ok(Arc::new(SqliteStore::open(path, mode)?))
}

/// The use-cases over this store, with no task started and no call made.
///
/// # Errors
/// What the store says, or which provider's client can't be set up.
pub async fn build_app(
    settings: &Settings,
    secrets: &Secrets,
    store: Arc<dyn Store>,
    tasks: Tasks,
) -> anyhow::Result<Arc<App>> {
    let cache = match &secrets.cache_url {
        Some(url) => Cache::shared(url.expose_secret(), &cache_prefix(&*store)?, SharedOptions::default())?,
        None => Cache::local(CACHE_BYTES),
    };
    let upstreams = upstreams(settings, secrets)?;
    App::new(store, cache, Clock::system(), tasks, upstreams, terms(settings))
        .await
        .context("the store could not be read")
}

/// What was cached before this start is not believed: orders may have been settled while no gateway ran.
fn cache_prefix(store: &dyn Store) -> anyhow::Result<String> {
    let start = getrandom::u64().context("the machine gives no random bytes")?;
    Ok(format!("{}:{start:016x}", store.id()))
}

/// One client for each provider that is called.
fn upstreams(settings: &Settings, secrets: &Secrets) -> anyhow::Result<Upstreams> {
    let mut upstreams = Upstreams::new();
    for provider in settings.providers.iter().filter(|provider| provider.mode != ProviderMode::Off) {
        let key = secrets.provider_keys.get(&provider.id).cloned().unwrap_or_default();
        let wire = HttpWire::new(&wire_options(provider)).with_context(|| format!("provider {}", provider.id))?;
        let upstream = Upstream::new(UpstreamOptions {
            provider: provider.id.clone(),
            wire: Arc::new(wire),
            key,
            limits: Limits {
                requests_per_second: provider.requests_per_second,
                burst: provider.burst,
                max_in_flight: provider.max_in_flight,
            },
            rejects: provider.rejects.clone(),
        });
        upstreams.insert(provider.id.clone(), Arc::new(upstream));
    }
    Ok(upstreams)
}

fn wire_options(provider: &ProviderSettings) -> HttpWireOptions {
    HttpWireOptions {
        url: provider.url.clone(),
        connect_timeout: provider.connect_timeout,
        timeout: provider.timeout,
        add_timeout: provider.add_timeout,
        max_in_flight: provider.max_in_flight,
    }
}

/// The configuration in the words of the use-cases.
#[must_use]
pub fn terms(settings: &Settings) -> Terms {
    let pricing = &settings.pricing;
    Terms {
        currency: pricing.currency.clone(),
        pricing: PricingRules {
            markup: pricing.markup,
            rate_decimals: pricing.rate_decimals,
            min_margin: pricing.min_margin,
        },
        providers: settings.providers.iter().filter_map(|provider| provider_setup(settings, provider)).collect(),
        services: settings.services.clone(),
        imports: settings.imports.clone(),
        wait: settings.dispatch.wait,
        hold_for: settings.dispatch.hold_for,
        watch_closed: settings.dispatch.watch_closed,
        status_ttl: settings.cache.status_ttl,
    }
}

/// `None` without an exchange rate, which a checked file has for every provider: nothing is priced by a guess.
fn provider_setup(settings: &Settings, provider: &ProviderSettings) -> Option<ProviderSetup> {
    let exchange_rate = *settings.pricing.exchange_rates.get(&provider.currency)?;
    Some(ProviderSetup {
        id: provider.id.clone(),
        takes_orders: provider.mode == ProviderMode::On,
        is_called: provider.mode != ProviderMode::Off,
        mode: match provider.mode {
            ProviderMode::On => "on",
            ProviderMode::Drain => "drain",
            ProviderMode::Off => "off",
        },
        currency: provider.currency.clone(),
        exchange_rate,
        markup: provider.markup,
        attempt_lease: provider.connect_timeout.saturating_add(provider.add_timeout).saturating_add(LEASE_MARGIN),
        sync_every: provider.sync_every,
        max_catalogue_age: provider.max_catalogue_age,
        low_balance: provider.low_balance,
        partial_is_final: provider.partial_is_final,
    })
}
