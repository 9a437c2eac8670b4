//! Reads `[server]`, `[store]`, `[cache]`, `[pricing]`, `[exchange_rates]` and `[dispatch]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use rust_decimal::Decimal;

use super::reader::{Field, Section};
use super::redis_url::{self, REDIS_URL};
use super::settings::{CacheSettings, CacheUrl, DispatchSettings, PricingSettings, ServerSettings, StoreUrl};
use super::values::{self, TEN_YEARS, currency, decimal, duration, integer, percent};
use crate::domain::ids::MAX_PUBLIC_ID;
use crate::domain::money::{Percent, Rate};
use crate::domain::pricing::Markup;

/// `[server]`
pub(super) fn server(section: &mut Section<'_>) -> ServerSettings {
    let listen = section.get("listen", values::address).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    let ops_listen = section.get("ops_listen", values::address).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9090)));
    let ops_token = section.get("ops_token", values::secret);
    let trusted_proxies = section.get("trusted_proxies", values::networks).unwrap_or_else(|| {
        let loopback = Ipv4Net::new_assert([127, 0, 0, 1].into(), 32);
        vec![IpNet::V4(loopback)]
    });
    let first_order_id = section.get("first_order_id", integer(1..=MAX_PUBLIC_ID.into())).unwrap_or(1);

    let second = if section.has("ops_listen") { "ops_listen" } else { "listen" };
    if collide(listen, ops_listen) {
        let message =
            format!("expected two addresses, found `listen` ({listen}) and `ops_listen` ({ops_listen}) in conflict");
        section.mistake_at(second, message);
    }
    if !ops_listen.ip().is_loopback() && !section.has("ops_token") {
        let message = format!("expected an address on loopback, found {ops_listen} (any other needs `ops_token`)");
        section.mistake_at("ops_listen", message);
    }
    ServerSettings { listen, ops_listen, ops_token, trusted_proxies, first_order_id }
}

/// Whether the second could not be bound after the first. Port 0 is a new one each time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

/// `[store]`; a path is relative to `folder`.
pub(super) fn store(section: &mut Section<'_>, folder: &Path) -> StoreUrl {
    let default = || StoreUrl::Sqlite(folder.join("tollgate.db"));
    section.get("url", |field| store_url(field, folder)).unwrap_or_else(default)
}

fn store_url(field: Field<'_>, folder: &Path) -> Option<StoreUrl> {
    const WANTED: &str = "\"sqlite://PATH\" or \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\"";
    let Some(text) = field.value.as_str() else { return field.expected(WANTED) };
    let elsewhere = ["env:", "file:", "credential:"].iter().any(|prefix| text.starts_with(prefix));
    if elsewhere || values::is_postgres_url(text) {
        return values::secret(field).map(StoreUrl::Postgres);
    }
    match text.strip_prefix("sqlite://") {
        Some("") => field.expected_but(WANTED, "no path after sqlite://"),
        Some(path) if path.contains(['?', '#', '\0']) => {
            field.expected_but(WANTED, "options after the path, which are not in this version")
        }
        Some(path) => Some(StoreUrl::Sqlite(folder.join(path))),
        None if text.contains('@') => field.expected_but(WANTED, "something else, with an @ in it"),
        None => field.expected(WANTED),
    }
}

/// `[cache]`
pub(super) fn cache(section: &mut Section<'_>) -> CacheSettings {
    let url = section.get("url", cache_url).unwrap_or(CacheUrl::Memory);
    let range = Duration::from_millis(1)..=Duration::from_secs(86_400);
    let status_ttl = section.get("status_ttl", duration(range)).unwrap_or(Duration::from_secs(30));
    let range = Duration::from_millis(1)..=Duration::from_secs(10);
    let timeout = section.get("timeout", duration(range)).unwrap_or(Duration::from_millis(50));
    CacheSettings { url, status_ttl, timeout }
}

fn cache_url(field: Field<'_>) -> Option<CacheUrl> {
    let wanted = format!("\"memory://\" or {REDIS_URL}");
    let Some(text) = field.value.as_str() else { return field.expected_but(&wanted, field.kind()) };
    let elsewhere = ["env:", "file:", "credential:"].iter().any(|prefix| text.starts_with(prefix));
    match text {
        "memory://" => Some(CacheUrl::Memory),
        _ if elsewhere => values::secret(field).map(CacheUrl::Redis),
        _ if redis_url::is_meant(text) => match redis_url::read(text) {
            Ok(_) => values::secret(field).map(CacheUrl::Redis),
            Err(problem) => field.expected_but(&wanted, &problem),
        },
        _ if text.contains('@') => field.expected_but(&wanted, "something else, with an @ in it"),
        _ => field.expected(&wanted),
    }
}

/// `[pricing]`, without exchange rates.
pub(super) fn pricing(section: &mut Section<'_>) -> PricingSettings {
    let currency = section.get("currency", currency).unwrap_or_else(|| "USD".to_owned());
    let default = Markup { percent: Some(Percent::new(Decimal::from(20))), fixed: Some(Decimal::ZERO) };
    let markup = markup(section).or(default);
    let most = i64::from(Rate::MAX_DECIMALS);
    let rate_decimals = section.get("rate_decimals", integer(0..=most)).unwrap_or(4);
    let min_margin = section.get("min_margin_percent", percent(0)).unwrap_or(Percent::new(Decimal::from(5)));
    PricingSettings { currency, markup, rate_decimals, min_margin, exchange_rates: BTreeMap::new() }
}

/// `markup_percent` and `markup_fixed`, as any level may set them.
pub(super) fn markup(section: &mut Section<'_>) -> Markup {
    Markup {
        percent: section.get("markup_percent", percent(-100)),
        fixed: section.get("markup_fixed", decimal(Decimal::ZERO)),
    }
}

/// `[exchange_rates]`: what one unit of each currency is in `base`. A rate that can't be read is there as 1, so
/// that its currency is not called unknown as well.
pub(super) fn exchange_rates(section: &mut Section<'_>, base: &str) -> BTreeMap<String, Decimal> {
    let mut rates = BTreeMap::new();
    for (code, offset, field) in section.all_entries() {
        if !values::is_currency(code) {
            let found = super::reader::quoted(code);
            section.report.mistake(offset, format!("expected three capital letters, such as USD, found {found}"));
            continue;
        }
        let rate = decimal(Decimal::ZERO)(field).and_then(|rate| match rate {
            rate if rate.is_zero() => field.expected("a rate above 0"),
            rate if code == base && rate != Decimal::ONE => {
                field.expected(&format!("1 (clients are charged in {base})"))
            }
            rate => Some(rate),
        });
        rates.insert(code.to_owned(), rate.unwrap_or(Decimal::ONE));
    }
    rates.insert(base.to_owned(), Decimal::ONE);
    rates
}

/// `[dispatch]`
pub(super) fn dispatch(section: &mut Section<'_>) -> DispatchSettings {
    let hour = Duration::from_secs(3600);
    let day = Duration::from_secs(86_400);
    DispatchSettings {
        wait: section.get("wait", duration(Duration::ZERO..=hour)).unwrap_or(Duration::from_secs(2)),
        hold_for: section.get("hold_for", duration(Duration::ZERO..=TEN_YEARS)).unwrap_or(hour.saturating_mul(6)),
        watch_closed: section
            .get("watch_closed", duration(Duration::ZERO..=TEN_YEARS))
            .unwrap_or(day.saturating_mul(30)),
    }
}
