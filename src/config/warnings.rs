//! What is legal in `providers.toml` but seldom meant.

use std::time::Duration;

use reqwest::Url;
use rust_decimal::Decimal;
use secrecy::ExposeSecret;

use super::redis_url;
use super::settings::{CacheUrl, ProviderSettings, Settings};
use super::values;
use crate::domain::catalogue::ImportDefinition;
use crate::domain::money::Rate;
use crate::domain::pricing::Markup;

/// Reseller scripts give up on an answer after about ten to thirty seconds.
const PATIENCE_OF_SCRIPTS: Duration = Duration::from_secs(10);

/// The address of a cache in memory.
const MEMORY: &str = "memory://";

impl Settings {
    /// What is to be thought of where `cache.url` only names the place of its address (`file:`, …), beside
    /// [`Settings::warnings`]. Reads it; one that can't be read is told of by [`Settings::read_secrets`].
    #[must_use]
    pub fn cache_warning(&self) -> Option<String> {
        let CacheUrl::Redis(secret) = &self.cache.url else { return None };
        if secret.literal().is_some() {
            return None;
        }
        let url = secret.read(self.folder()).ok()?;
        cache(url.expose_secret(), self.store.is_shared())
    }
}

impl CacheUrl {
    fn in_the_file(&self) -> Option<&str> {
        match self {
            Self::Memory => Some(MEMORY),
            Self::Redis(secret) => secret.literal(),
        }
    }
}

/// One sentence for each risk, in the file's usual order.
pub(super) fn warnings(settings: &Settings, readable_by_all: bool) -> Vec<String> {
    let mut found = Vec::new();
    if readable_by_all && holds_literal_secret(settings) {
        found.push(
            "the file holds a secret and every user of this machine may read it: chmod 640 it, or name the secret as env:, file: or credential:"
                .to_owned(),
        );
    }
    if settings.server.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        found.push(
            "server.trusted_proxies holds every address: any client can choose the address it seems to come from"
                .to_owned(),
        );
    }
    found.extend(settings.cache.url.in_the_file().and_then(|url| cache(url, settings.store.is_shared())));
    if settings.dispatch.wait > PATIENCE_OF_SCRIPTS {
        found.push(format!(
            "dispatch.wait is {}: many scripts give up on an answer after 10s and may place the order again",
            values::shown(settings.dispatch.wait)
        ));
    }
    if settings.providers.is_empty() {
        found.push("there is no [[provider]]: nothing can be sold".to_owned());
    }
    for provider in &settings.providers {
        found.extend(self::provider(provider));
    }
    found.extend(same_account(&settings.providers));
    found.extend(same_ids(&settings.imports));
    found.extend(never_sold(settings));
    found.extend(rounded_rates(settings));
    found
}

fn holds_literal_secret(settings: &Settings) -> bool {
    let keys = settings.providers.iter().map(|provider| &provider.key);
    let cache_password = match &settings.cache.url {
        CacheUrl::Redis(secret) => secret.literal().is_some_and(|url| url.contains('@')),
        CacheUrl::Memory => false,
    };
    cache_password || keys.chain(&settings.server.ops_token).any(|secret| secret.literal().is_some())
}

fn cache(url: &str, several: bool) -> Option<String> {
    if url == MEMORY {
        return several.then(|| {
            "cache.url is memory:// and store.url a database that several gateways may share: each remembers a status for \
             1.5s by itself and asks the database again; with more than one gateway, have them share a Redis"
                .to_owned()
        });
    }
    let url = redis_url::read(url).ok()?;
    if values::is_loopback(&url) {
        return None;
    }
    if url.password().is_none_or(str::is_empty) {
        return Some("cache.url names a Redis on another machine without a password: whoever reaches it can change what clients are shown".to_owned());
    }
    (url.scheme() == "redis" && !values::is_private(&url)).then(|| {
        "cache.url is redis:// and on another machine: its password travels where others may read it: use rediss://"
            .to_owned()
    })
}

fn provider(provider: &ProviderSettings) -> Vec<String> {
    let id = &provider.id;
    let mut found = Vec::new();
    let plain = Url::parse(&provider.url).is_ok_and(|url| url.scheme() == "http" && !values::is_loopback(&url));
    if plain {
        found.push(format!("provider {id}: its url is http, so the key travels where others can read it: use https"));
    }
    for (longer, name, shorter, under) in [
        (provider.add_timeout, "add_timeout", provider.timeout, "timeout"),
        (provider.timeout, "timeout", provider.connect_timeout, "connect_timeout"),
        (provider.max_catalogue_age, "max_catalogue_age", provider.sync_every, "sync_every"),
    ] {
        if longer < shorter {
            let risk = match name {
                "add_timeout" => "an answer that is not waited for leaves its order in doubt",
                "timeout" => "a slow connection uses up the whole call",
                _ => "between two fetches nothing of it is sold",
            };
            let (longer, shorter) = (values::shown(longer), values::shown(shorter));
            found.push(format!("provider {id}: {name} ({longer}) is below {under} ({shorter}): {risk}"));
        }
    }
    found
}

/// Limits hold for a provider, so two on one account exceed them together.
fn same_account(providers: &[ProviderSettings]) -> Vec<String> {
    let pairs = providers
        .iter()
        .enumerate()
        .flat_map(|(index, first)| providers.iter().skip(index.saturating_add(1)).map(move |second| (first, second)));
    pairs
        .filter(|(first, second)| first.url == second.url && first.key == second.key)
        .map(|(first, second)| {
            format!(
                "providers {} and {} are one account: its rate limit is not kept for the two together",
                first.id, second.id
            )
        })
        .collect()
}

/// Panels number their services from 1, so two of them at one offset mean different services by the same ID.
fn same_ids(imports: &[ImportDefinition]) -> Vec<String> {
    let clashing = imports.iter().enumerate().filter_map(|(index, later)| {
        let earlier = imports
            .iter()
            .take(index)
            .find(|earlier| earlier.id_offset == later.id_offset && earlier.provider != later.provider)?;
        Some(format!(
            "imports of {} and {} have the same id_offset ({}): an ID that both give is the earlier one's, and moves to the \
             later one's once that no longer lists it; `tollgate check --diff` names them",
            earlier.provider, later.provider, later.id_offset
        ))
    });
    clashing.collect()
}

/// Whoever sets a markup under the margin floor sells nothing by it. With a fixed part it depends on the cost.
fn never_sold(settings: &Settings) -> Vec<String> {
    let floor = settings.pricing.min_margin;
    let outer = settings.pricing.markup;
    let of_provider = |id| settings.providers.iter().find(|p| &p.id == id).map(|p| p.markup).unwrap_or_default();
    let own = |markup: Markup| markup != Markup::default();

    let mut levels = vec![("pricing".to_owned(), outer)];
    for provider in settings.providers.iter().filter(|provider| own(provider.markup)) {
        levels.push((format!("provider {}", provider.id), provider.markup.or(outer)));
    }
    for service in settings.services.iter().filter(|service| own(service.markup)) {
        let inner = service.routes.first().map(|route| of_provider(&route.provider)).unwrap_or_default();
        levels.push((format!("service {}", service.id), service.markup.or(inner).or(outer)));
    }
    for import in settings.imports.iter().filter(|import| own(import.markup)) {
        let inner = of_provider(&import.provider);
        let name = format!("import of {} at {}", import.provider, import.id_offset);
        levels.push((name, import.markup.or(inner).or(outer)));
    }
    let under = levels.into_iter().filter_map(|(name, markup)| {
        let percent = markup.percent.unwrap_or_default();
        let hopeless = percent < floor && markup.fixed.unwrap_or_default() == Decimal::ZERO;
        hopeless.then(|| {
            format!("{name}: a markup of {percent} % is below pricing.min_margin_percent ({floor} %), so nothing with it is ever sold")
        })
    });
    under.collect()
}

fn rounded_rates(settings: &Settings) -> Vec<String> {
    let decimals = settings.pricing.rate_decimals;
    let rates = settings.services.iter().filter_map(|service| Some((service.id, service.fixed_rate?)));
    let rounded = rates.filter(|(_, rate)| rate.rounded_up(decimals) != *rate);
    rounded
        .map(|(id, rate): (_, Rate)| {
            let listed = rate.rounded_up(decimals);
            format!("service {id}: its rate {rate} is listed as {listed}, with pricing.rate_decimals = {decimals}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_of_ones_own_is_warned_of_where_others_change_orders() {
        assert_eq!(cache(MEMORY, false), None);
        assert!(cache(MEMORY, true).is_some_and(|warning| warning.contains("share a Redis")));
    }

    #[test]
    fn an_address_in_a_file_of_its_own_is_warned_of_as_one_in_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.toml");
        let warning = |cache: &str| {
            std::fs::write(folder.path().join("cache"), format!("{cache}\n")).unwrap();
            let text = "store.url = \"postgres://u@127.0.0.1/d\"\ncache.url = \"file:cache\"\n";
            std::fs::write(&path, text).unwrap();
            let settings = crate::config::load(&path).unwrap();
            assert!(!settings.warnings.iter().any(|warning| warning.contains("cache.url")), "{:?}", settings.warnings);
            settings.cache_warning().unwrap_or_default()
        };
        for (cache, expected) in [
            (MEMORY, "share a Redis"),
            ("redis://redis.example", "without a password"),
            ("redis://:topsecret@redis.example", "use rediss://"),
        ] {
            let found = warning(cache);
            assert!(found.contains(expected) && !found.contains("topsecret"), "{cache}: {found}");
        }
        for harmless in ["rediss://:topsecret@redis.example", "redis://127.0.0.1", "no address"] {
            assert_eq!(warning(harmless), "", "{harmless}");
        }
        std::fs::write(&path, "cache.url = \"redis://redis.example\"").unwrap();
        assert_eq!(crate::config::load(&path).unwrap().cache_warning(), None, "the file's own are told of already");
    }
}
