//! From settings to the parts, each in its own words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::secrets::postgres_url;
use crate::app::terms::{ProviderSetup, SearchSetup, Terms};
use crate::app::{App, Company, Upstreams};
use crate::cache::{Cache, CacheError, SharedOptions};
use crate::config::settings::{ProviderMode, ProviderSettings, Recover, StoreUrl, Treat503};
use crate::config::{Secrets, Settings};
use crate::domain::catalogue::PricingRules;
use crate::limits::{SharedLimits, SharedRedis};
use crate::redis_link;
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{OpenMode, SqliteStore};
use crate::task::Tasks;
use crate::upstream::{HttpWire, HttpWireOptions, InCompany, Limits, Upstream, UpstreamOptions, Wire, account_mark};

/// What rendered statuses may take up in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// How much longer than its time-outs an attempt is taken to be under way.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// The store that the configuration names.
///
/// # Errors
/// See [`crate::store::StoreError`]; an address that can't be read.
pub async fn open_store(settings: &Settings, mode: OpenMode) -> anyhow::Result<Arc<dyn Store>> {
    match &settings.store {
        StoreUrl::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path, mode)?)),
        StoreUrl::Postgres(_) => Ok(Arc::new(PostgresStore::open(&postgres_url(settings)?, mode).await?)),
    }
}

/// The PostgreSQL store that the configuration names, beside gateways.
///
/// # Errors
/// See [`open_store`]; a store that is a file.
pub async fn open_postgres(settings: &Settings) -> anyhow::Result<PostgresStore> {
    Ok(PostgresStore::open(&postgres_url(settings)?, OpenMode::Tool).await?)
}

/// Whether a gateway serves the store that the configuration names.
///
/// # Errors
/// What a PostgreSQL server says; a file that can't be looked at has no gateway.
pub async fn gateway_running(settings: &Settings) -> anyhow::Result<bool> {
    match &settings.store {
        StoreUrl::Sqlite(path) => Ok(SqliteStore::gateway_running(path)),
        StoreUrl::Postgres(_) => Ok(PostgresStore::gateway_running(&postgres_url(settings)?).await?),
    }
}

/// What is allowed, but worth a thought, of parts that others are reached by: beside the warnings of the file itself.
#[must_use]
pub fn warnings(settings: &Settings) -> Vec<String> {
    let url = settings.read_store_url().ok().flatten();
    let store = url.and_then(|url| PostgresStore::warning(&PostgresStore::resolve(&url, settings.folder())));
    settings.cache_warning().into_iter().chain(store).collect()
}

/// Joins the gateways that serve this store; `limits` for one that others may join.
///
/// # Errors
/// What the store says.
pub async fn join(
    settings: &Settings,
    secrets: &Secrets,
    store: &dyn Store,
    limits: Option<SharedLimits>,
) -> anyhow::Result<Company> {
    Company::join(store, limits, digest(settings, secrets, store.id()))
        .await
        .context("the store does not know this gateway")
}

/// The mark of each provider's account by this configuration, with the store's word. See [`account_mark`].
#[must_use]
pub fn account_marks(settings: &Settings, secrets: &Secrets, store_id: &str) -> BTreeMap<String, String> {
    let marks = settings.providers.iter().filter_map(|provider| {
        let key = secrets.provider_keys.get(&provider.id)?;
        Some((provider.id.to_string(), account_mark(store_id, &provider.url, key)))
    });
    marks.collect()
}

/// The use-cases over this store, with no task started and no call made.
///
/// # Errors
/// What the store says, or which provider's client can't be set up.
pub async fn build_app(
    settings: &Settings,
    secrets: &Secrets,
    store: Arc<dyn Store>,
    company: Company,
    tasks: Tasks,
) -> anyhow::Result<Arc<App>> {
    let cache = cache(settings, secrets, store.id())?;
    let upstreams = upstreams(settings, secrets, company.limits())?;
    let app = App::new(store, cache, company.clock(), tasks, upstreams, terms(settings), company);
    app.await.context("the store could not be read")
}

/// Of all that makes two gateways serve alike: what they sell, and how they call providers, by which keys. Keyed by the
/// store's word, so that it says nothing of a key that another store's would not say otherwise.
pub(super) fn digest(settings: &Settings, secrets: &Secrets, store_id: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{:?} {:?}", terms(settings), account_marks(settings, secrets, store_id)));
    for provider in &settings.providers {
        let words = (&provider.id, provider.treat_503_as, &provider.rejects);
        digest.update(format!("{:?} {:?} {words:?}", wire_options(provider), limits(provider)));
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What holds over all gateways, where several may be on the store.
pub(super) fn shared_limits(
    settings: &Settings,
    secrets: &Secrets,
    store: &dyn Store,
) -> anyhow::Result<Option<SharedLimits>> {
    if !store.is_shared() {
        return Ok(None);
    }
    let redis = match &secrets.cache_url {
        Some(url) => {
            let client = redis_link::client(url.expose_secret()).context("cache.url")?;
            Some(SharedRedis { client, timeout: settings.cache.timeout })
        }
        None => None,
    };
    Ok(Some(SharedLimits::new(store.id(), redis).context("the machine gives no random bytes")?))
}

fn cache(settings: &Settings, secrets: &Secrets, store_id: &str) -> Result<Cache, CacheError> {
    let options = SharedOptions { timeout: settings.cache.timeout };
    match (secrets.cache_url.as_ref().map(ExposeSecret::expose_secret), settings.store.is_shared()) {
        (Some(url), false) => Cache::shared(url, store_id, &options),
        (Some(url), true) => Cache::shared_by_several(url, store_id, &options),
        (None, false) => Ok(Cache::local(CACHE_BYTES)),
        (None, true) => Ok(Cache::local_of_several(CACHE_BYTES)),
    }
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
/// provider, and for one on another host. Nothing of what is in force changes: the reload may yet be refused.
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
        shared: shared.map(|limits| InCompany { limits: limits.clone(), call_lasts: call_lasts(provider) }),
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
    use crate::limits::ProviderLimits;

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

    #[test]
    fn gateways_that_serve_alike_have_one_digest() {
        let digest_of = |key, lines, store_id| {
            let (settings, secrets) = read("a.test/api", key, lines);
            digest(&settings, &secrets, store_id)
        };
        let digest = |lines| digest_of("first-key", lines, "store");
        assert_ne!(digest(""), digest_of("other-key", "", "store"), "the key is in it");
        assert_ne!(digest(""), digest_of("first-key", "", "another"), "keyed by the store");
        for lines in ["mode = \"drain\"", "burst = 3", "timeout = \"9s\"", "markup_percent = \"9\""] {
            assert_ne!(digest(lines), digest(""), "{lines}");
            assert_eq!(digest(lines), digest(lines), "{lines}");
        }
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

    #[tokio::test]
    async fn clients_of_a_reload_change_nothing_over_all_gateways_until_they_take_over() {
        let shared = SharedLimits::new("store", None).unwrap();
        let alpha = ProviderId::new("alpha");
        let before = read("a.test/api", "first-key", "requests_per_second = 10");
        let present = upstreams(&before.0, &before.1, Some(&shared)).unwrap();
        let in_force = || {
            let other = ProviderLimits { period: Duration::MAX, burst: 1, max_in_flight: 1 };
            shared.provider(&alpha, other, Duration::ZERO).in_force()
        };
        let first = in_force();
        assert_eq!((first.0.period.as_millis(), first.1.as_secs()), (100, 155));
        for host in ["a.test/api", "b.test/api"] {
            let lines = "requests_per_second = 100\nmax_in_flight = 3\nadd_timeout = \"40s\"";
            let after = read(host, "first-key", lines);
            let next =
                || next_upstreams(&present, (&before.0, &before.1), (&after.0, &after.1), Some(&shared)).unwrap();
            drop(next());
            assert_eq!(in_force(), first, "a refused one, at {host}");
            next()[&alpha].take_over();
            let (limits, call_lasts) = in_force();
            let found = (limits.period.as_millis(), limits.max_in_flight, call_lasts.as_secs());
            assert_eq!(found, (10, 3, 75), "{host}");
            present[&alpha].take_over();
            assert_eq!(in_force(), first, "back from {host}");
        }
    }
}
