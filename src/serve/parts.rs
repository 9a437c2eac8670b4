//! From settings to the parts, each in its own words.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use crate::app::terms::{ProviderSetup, SearchSetup, Terms};
use crate::app::{App, Upstreams};
use crate::cache::{Cache, SharedOptions};
use crate::config::settings::{ProviderMode, ProviderSettings, Recover, StoreUrl, Treat503};
use crate::config::{Secrets, Settings};
use crate::domain::catalogue::PricingRules;
use crate::limits::SharedLimits;
use crate::store::sqlite::{OpenMode, SqliteStore};
use crate::store::{Store, StoreResult};
use crate::task::{Clock, Tasks};
use crate::upstream::{HttpWire, HttpWireOptions, Limits, Upstream, UpstreamOptions, Wire};

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

/// The use-cases over this store, with no task started and no call made; `limits` where other gateways may be on it.
///
/// # Errors
/// What the store says, or which provider's client can't be set up.
pub async fn build_app(
    settings: &Settings,
    secrets: &Secrets,
    store: Arc<dyn Store>,
    limits: Option<SharedLimits>,
    tasks: Tasks,
) -> anyhow::Result<Arc<App>> {
    let cache = match &secrets.cache_url {
        Some(url) => {
            let options = SharedOptions { timeout: settings.cache.timeout };
            Cache::shared(url.expose_secret(), &cache_prefix(&*store)?, options)?
        }
        None => Cache::local(CACHE_BYTES),
    };
    let upstreams = upstreams(settings, secrets, limits.as_ref())?;
    App::new(store, cache, limits, Clock::system(), tasks, upstreams, terms(settings))
        .await
        .context("the store could not be read")
}

/// What was cached before this start is not believed: orders may have been settled while no gateway ran.
fn cache_prefix(store: &dyn Store) -> anyhow::Result<String> {
    let start = getrandom::u64().context("the machine gives no random bytes")?;
    Ok(format!("{}:{start:016x}", store.id()))
}

/// One client for each provider; whether it is called is for the use-cases to say.
fn upstreams(settings: &Settings, secrets: &Secrets, limits: Option<&SharedLimits>) -> anyhow::Result<Upstreams> {
    let upstreams = settings.providers.iter().map(|provider| {
        let wire = new_wire(provider)?;
        Ok((provider.id.clone(), Arc::new(Upstream::new(upstream_options(provider, secrets, limits, wire)))))
    });
    upstreams.collect()
}

/// The clients after a reload: the present one where its provider is called as before; where it is called in
/// another way, its successor, which keeps limits and connections as far as they are the same; a new one for a new
/// provider, and for one on another host.
pub(super) fn next_upstreams(
    present: &Upstreams,
    before: (&Settings, &Secrets),
    next: (&Settings, &Secrets),
    shared: Option<&SharedLimits>,
) -> anyhow::Result<Upstreams> {
    let upstreams = next.0.providers.iter().map(|provider| {
        let old = before.0.providers.iter().find(|old| old.id == provider.id && old.host() == provider.host());
        let upstream = match present.get(&provider.id).zip(old) {
            Some((upstream, old)) => {
                let same_wire = wire_options(old) == wire_options(provider);
                let same_key = key(before.1, old).expose_secret() == key(next.1, provider).expose_secret();
                let same_words = old.rejects == provider.rejects && old.treat_503_as == provider.treat_503_as;
                if same_wire && same_key && limits(old) == limits(provider) && same_words {
                    Arc::clone(upstream)
                } else {
                    let wire = if same_wire { upstream.wire() } else { new_wire(provider)? };
                    Arc::new(upstream.successor(upstream_options(provider, next.1, shared, wire)))
                }
            }
            None => Arc::new(Upstream::new(upstream_options(provider, next.1, shared, new_wire(provider)?))),
        };
        Ok((provider.id.clone(), upstream))
    });
    upstreams.collect()
}

fn upstream_options(
    provider: &ProviderSettings,
    secrets: &Secrets,
    shared: Option<&SharedLimits>,
    wire: Arc<dyn Wire>,
) -> UpstreamOptions {
    UpstreamOptions {
        provider: provider.id.clone(),
        wire,
        key: key(secrets, provider),
        limits: limits(provider),
        shared: shared.map(|shared| shared.provider(&provider.id, call_lasts(provider))),
        rejects: provider.rejects.clone(),
        treat_503_as_not_placed: provider.treat_503_as == Treat503::NotPlaced,
    }
}

fn key(secrets: &Secrets, provider: &ProviderSettings) -> SecretString {
    secrets.provider_keys.get(&provider.id).cloned().unwrap_or_default()
}

const fn limits(provider: &ProviderSettings) -> Limits {
    Limits {
        requests_per_second: provider.requests_per_second,
        burst: provider.burst,
        max_in_flight: provider.max_in_flight,
    }
}

/// So long a call may be under way at most, from its permit to its end.
const fn call_lasts(provider: &ProviderSettings) -> Duration {
    let longest = if provider.add_timeout.as_nanos() > provider.timeout.as_nanos() {
        provider.add_timeout
    } else {
        provider.timeout
    };
    provider.connect_timeout.saturating_add(longest).saturating_add(LEASE_MARGIN)
}

fn new_wire(provider: &ProviderSettings) -> anyhow::Result<Arc<dyn Wire>> {
    let wire = HttpWire::new(&wire_options(provider)).with_context(|| format!("provider {}", provider.id))?;
    Ok(Arc::new(wire))
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
        host: provider.host(),
        takes_orders: provider.mode == ProviderMode::On,
        is_called: provider.mode != ProviderMode::Off,
        mode: mode(provider.mode),
        currency: provider.currency.clone(),
        exchange_rate,
        markup: provider.markup,
        attempt_lease: provider.connect_timeout.saturating_add(provider.add_timeout).saturating_add(LEASE_MARGIN),
        sync_every: provider.sync_every,
        max_catalogue_age: provider.max_catalogue_age,
        low_balance: provider.low_balance,
        partial_is_final: provider.partial_is_final,
        search: SearchSetup {
            by_listing: provider.lists_orders,
            is_exclusive: provider.exclusive_account,
            by_scan: provider.exclusive_account && provider.recover == Recover::Scan,
        },
    })
}

/// The word for it in the file.
pub(super) const fn mode(mode: ProviderMode) -> &'static str {
    match mode {
        ProviderMode::On => "on",
        ProviderMode::Drain => "drain",
        ProviderMode::Off => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::domain::ids::ProviderId;

    /// Lines of alpha's, whose host and key are given.
    fn read(host: &str, key: &str, lines: &str) -> (Settings, Secrets) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("providers.toml");
        let text = format!("[[provider]]\nid = \"alpha\"\nurl = \"https://{host}\"\nkey = \"{key}\"\n{lines}\n");
        std::fs::write(&file, text).unwrap();
        let settings = config::load(&file).unwrap();
        let secrets = settings.read_secrets().unwrap();
        (settings, secrets)
    }

    #[tokio::test]
    async fn a_client_is_kept_as_far_as_its_provider_is_called_in_the_same_way() {
        let alpha = ProviderId::new("alpha");
        let before = read("a.test/api", "first-key", "");
        let present = upstreams(&before.0, &before.1, None).unwrap();
        let next = |(settings, secrets): (Settings, Secrets)| {
            let next = next_upstreams(&present, (&before.0, &before.1), (&settings, &secrets), None).unwrap();
            let (old, new) = (&present[&alpha], &next[&alpha]);
            (Arc::ptr_eq(old, new), Arc::ptr_eq(&old.wire(), &new.wire()), old.is_same(new))
        };
        for lines in ["", "mode = \"drain\"", "sync_every = \"1h\"\nmarkup_percent = \"9\""] {
            assert_eq!(next(read("a.test/api", "first-key", lines)), (true, true, true), "{lines}");
        }
        for (key, lines) in [
            ("other-key", ""),
            ("first-key", "burst = 3"),
            ("first-key", "requests_per_second = 1"),
            ("first-key", "rejects = [{ text = \"x\", kind = \"service\" }]"),
            ("first-key", "treat_503_as = \"not-placed\""),
        ] {
            assert_eq!(next(read("a.test/api", key, lines)), (false, true, true), "{key} {lines}");
        }
        assert_eq!(next(read("a.test/api", "first-key", "timeout = \"9s\"")), (false, false, true));
        assert_eq!(next(read("a.test/v2", "first-key", "")), (false, false, true), "another path");
        assert_eq!(next(read("b.test/api", "first-key", "")), (false, false, false), "another host");
    }
}
