//! Readers of single values: each takes a field and gives what it means, or reports what was expected there.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use ipnet::IpNet;
use reqwest::Url;
use rust_decimal::Decimal;
use toml::de::DeValue;

use super::reader::{Field, closest};
use super::secret::SecretRef;
use crate::domain::money::{Percent, parse_decimal};

/// A decimal that no price, rate or percentage reaches.
const LARGEST: i64 = 1_000_000_000;

/// Longer than this is a slip, whatever it is.
pub(super) const TEN_YEARS: Duration = Duration::from_secs(3653 * 86_400);

/// Text with something in it, and no control characters.
pub(super) fn text<'r>(field: Field<'r>) -> Option<&'r str> {
    match field.value {
        DeValue::String(text) if !text.trim().is_empty() && !text.contains(char::is_control) => Some(text),
        _ => field.expected("text in quotes, on one line"),
    }
}

/// Text of any kind, also none.
pub(super) fn any_text<'r>(field: Field<'r>) -> Option<&'r str> {
    match field.value {
        DeValue::String(text) => Some(text),
        _ => field.expected("text in quotes"),
    }
}

pub(super) fn boolean(field: Field<'_>) -> Option<bool> {
    field.value.as_bool().or_else(|| field.expected("true or false, without quotes"))
}

/// A whole number within `range`.
pub(super) fn integer<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(Field<'_>) -> Option<T> {
    move |field| {
        let number = field.value.as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        number.or_else(|| field.expected(&format!("a whole number from {} to {}", range.start(), range.end())))
    }
}

/// An exact decimal of at least `least`: in quotes, or a whole number without. What TOML calls a float is
/// refused, since it is none to an operator who writes money.
pub(super) fn decimal(least: Decimal) -> impl Fn(Field<'_>) -> Option<Decimal> {
    move |field| {
        let number = match field.value {
            DeValue::String(text) => parse_decimal(text).ok(),
            DeValue::Integer(number) if number.radix() == 10 => {
                parse_decimal(number.as_str().trim_start_matches('+')).ok()
            }
            DeValue::Float(number) => {
                let number = number.to_string();
                return field.expected_but("the number in quotes", &format!("{number} without them"));
            }
            _ => None,
        };
        match number {
            Some(number) if number < least => field.expected(&format!("a number of at least {least}")),
            Some(number) if number > Decimal::from(LARGEST) => {
                field.expected(&format!("a number of at most {LARGEST}"))
            }
            Some(number) => Some(number),
            None => field.expected("a plain number in quotes, such as \"12.50\""),
        }
    }
}

/// A percentage of at least `least`, written as its number.
pub(super) fn percent(least: i64) -> impl Fn(Field<'_>) -> Option<Percent> {
    move |field| decimal(Decimal::from(least))(field).map(Percent::new)
}

/// A length of time such as "1h 30m", within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(Field<'_>) -> Option<Duration> {
    move |field| {
        let Some(text) = field.value.as_str() else {
            return field.expected("a time in quotes, such as \"30s\" or \"10m\"");
        };
        match parse_duration(text) {
            Some(duration) if range.contains(&duration) => Some(duration),
            Some(_) => {
                let least = match *range.start() {
                    Duration::ZERO => "0s".to_owned(),
                    least => humantime::format_duration(least).to_string(),
                };
                field.expected(&format!("a time from {least} to {}", shown(*range.end())))
            }
            None => field.expected("a time with its unit, such as \"30s\", \"10m\" or \"24h\""),
        }
    }
}

/// A length of time as an operator would write it: in days where it has over two of them.
pub(super) fn shown(duration: Duration) -> String {
    match duration.as_secs().checked_div(86_400) {
        Some(days) if days > 2 => format!("{days}d"),
        _ => humantime::format_duration(duration).to_string(),
    }
}

/// The parser panics where seconds near 2^64 meet a carry, which takes more digits than any real time has.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (digits <= 12).then(|| humantime::parse_duration(text).ok()).flatten()
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(Field<'_>) -> Option<T> {
    move |field| {
        let known = field.value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        known.map(|(_, meaning)| *meaning).or_else(|| {
            let list: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            field.expected(&either(&list))
        })
    }
}

fn either(list: &[String]) -> String {
    match list {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => list.concat(),
    }
}

pub(super) fn address(field: Field<'_>) -> Option<SocketAddr> {
    let address = field.value.as_str().and_then(|text| text.parse().ok());
    address.or_else(|| field.expected("an IP address and port, such as \"127.0.0.1:8080\" or \"[::1]:8080\""))
}

/// Networks, or single addresses.
pub(super) fn networks(field: Field<'_>) -> Option<Vec<IpNet>> {
    let network = |item: Field<'_>| {
        let text = item.value.as_str().unwrap_or_default();
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
        network.or_else(|| item.expected("a network or address, such as \"10.0.0.0/8\" or \"10.1.2.3\""))
    };
    let items = field.items("an array of networks, such as [\"10.0.0.0/8\"]")?;
    Some(items.filter_map(network).collect())
}

/// Three capital letters.
pub(super) fn currency(field: Field<'_>) -> Option<String> {
    match field.value.as_str() {
        Some(code) if is_currency(code) => Some(code.to_owned()),
        _ => field.expected("three capital letters, such as \"USD\""),
    }
}

pub(super) fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase())
}

/// A pattern with `*`, `?`, `[…]` and `{…}`.
pub(super) fn glob(ignore_case: bool) -> impl Fn(Field<'_>) -> Option<GlobMatcher> {
    move |field| {
        let glob = text(field).map(|text| GlobBuilder::new(text).case_insensitive(ignore_case).build());
        match glob? {
            Ok(glob) => Some(glob.compile_matcher()),
            Err(error) => field.expected_but("a pattern such as \"Instagram*\"", &error.kind().to_string()),
        }
    }
}

/// A secret's source. Nothing of the text is ever shown.
pub(super) fn secret(field: Field<'_>) -> Option<SecretRef> {
    const WANTED: &str = "a secret: itself in quotes, \"env:NAME\", \"file:PATH\" or \"credential:NAME\"";
    let Some(text) = field.value.as_str() else {
        return field.expected_but(WANTED, field.kind());
    };
    match SecretRef::new(text) {
        Ok(secret) => {
            let secret = secret.at(field.report.place(field.offset));
            field.report.note_secret(secret.clone());
            Some(secret)
        }
        Err(problem) => field.expected_but(WANTED, &problem.to_string()),
    }
}

/// A provider's whole address. A user and password in it are refused: they would end in logs. What may hold a
/// secret is not shown.
pub(super) fn provider_url(field: Field<'_>) -> Option<String> {
    const WANTED: &str = "the API's whole address, such as \"https://panel.example/api/v2\"";
    let Some(text) = field.value.as_str() else { return field.expected(WANTED) };
    let Ok(url) = Url::parse(text) else {
        return if text.contains(['@', '?']) {
            field.expected_but(WANTED, "something else, with an @ or ? in it")
        } else {
            field.expected(WANTED)
        };
    };
    if !url.username().is_empty() || url.password().is_some() {
        return field.expected_but("an address without a user and password", "one with them");
    }
    let usable = matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    if !usable || text.contains(char::is_whitespace) {
        return field.expected(WANTED);
    }
    if url.fragment().is_some() {
        return field.expected_but("an address without a fragment", "a # in it");
    }
    Some(text.to_owned())
}

/// Whether that address or name is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

/// Whether that is an address in a network of one's own.
pub(super) fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(address)) => address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_unique_local(),
        Err(_) => false,
    }
}

/// One of many names, where a slip is worth a hint.
pub(super) fn expected_one_of<'c, T>(
    field: Field<'_>,
    what: &str,
    given: &str,
    names: impl Iterator<Item = &'c str>,
) -> Option<T> {
    match closest(given, names) {
        Some(name) => field.expected(&format!("{what} (did you mean {name:?}?)")),
        None => field.expected(what),
    }
}

/// What a shared store's address looks like.
pub(super) const POSTGRES_URL: &str = "\"postgres://USER:PASSWORD@HOST:PORT/DATABASE\"";

/// Whether this is the address of a PostgreSQL store.
pub(super) fn is_postgres_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}
