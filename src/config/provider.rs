//! Reads `[[provider]]`.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;

use super::reader::{Field, Section};
use super::secret::SecretRef;
use super::sections::markup;
use super::settings::{PricingSettings, ProviderMode, ProviderSettings, Recover, Treat503};
use super::values::{self, TEN_YEARS, boolean, decimal, duration, integer, word};
use crate::domain::ids::ProviderId;
use crate::domain::outcome::RejectKind;

const MODES: [(&str, ProviderMode); 3] =
    [("on", ProviderMode::On), ("drain", ProviderMode::Drain), ("off", ProviderMode::Off)];

const RECOVERIES: [(&str, Recover); 2] = [("off", Recover::Off), ("scan", Recover::Scan)];

const ANSWERS_OF_503: [(&str, Treat503); 2] = [("ambiguous", Treat503::Ambiguous), ("not-placed", Treat503::NotPlaced)];

/// Which providers the file names, so that routes can be held against them.
#[derive(Default)]
pub(super) struct ProviderNames {
    /// Each ID and the line it first stands at.
    lines: BTreeMap<String, usize>,
    /// Whether an ID could not be read: then no other is called unknown.
    incomplete: bool,
    /// Whose account is which, and whether it is said to be nobody else's.
    accounts: Vec<Account>,
}

struct Account {
    provider: ProviderId,
    host: Option<String>,
    key: SecretRef,
    /// Whether an order may be taken for the provider's own because it is on that account.
    is_searched: bool,
}

impl ProviderNames {
    /// The provider of that name, or a mistake at `field`.
    pub(super) fn find(&self, name: &str, field: Field<'_>) -> Option<ProviderId> {
        if self.lines.contains_key(name) {
            return Some(ProviderId::new(name));
        }
        if self.incomplete || !field.report.saw_everything() {
            return None;
        }
        values::expected_one_of(field, "the id of a [[provider]]", name, self.lines.keys().map(String::as_str))
    }

    /// On an account that orders are placed on by two providers, the one's orders are strangers to the other.
    fn add_account(&mut self, section: &Section<'_>, account: Account) {
        let shares = |other: &&Account| other.host == account.host && other.key == account.key;
        let other = self.accounts.iter().find(shares).filter(|other| other.is_searched || account.is_searched);
        if let Some(other) = other {
            let message = format!(
                "expected an account of its own, found that of provider \"{}\" (one of the two says exclusive_account or lists_orders)",
                other.provider
            );
            section.mistake_at("url", message);
        }
        self.accounts.push(account);
    }

    fn add(&mut self, section: &mut Section<'_>) -> Option<ProviderId> {
        let Some(id) = section.required("id", provider_id) else {
            self.incomplete = true;
            return None;
        };
        let line = section.report.place(section.offset_of("id")).line;
        if let Some(first) = self.lines.get(id.as_str()) {
            section
                .mistake_at("id", format!("expected an id of its own, found \"{id}\" again (first at line {first})"));
            return None;
        }
        self.lines.insert(id.to_string(), line);
        Some(id)
    }
}

fn provider_id(field: Field<'_>) -> Option<ProviderId> {
    const WANTED: &str = "1 to 64 letters, digits, -, _ or . in quotes";
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    match field.value.as_str() {
        Some(text) if (1..=64).contains(&text.len()) && plain(text) => Some(ProviderId::new(text)),
        _ => field.expected(WANTED),
    }
}

/// One `[[provider]]`; nothing where what it must have is missing.
pub(super) fn provider(
    section: &mut Section<'_>,
    names: &mut ProviderNames,
    pricing: &PricingSettings,
) -> Option<ProviderSettings> {
    let id = names.add(section);
    let url = section.required("url", values::provider_url);
    let key = section.required("key", values::secret);
    let currency = currency(section, pricing);
    let mode = section.get("mode", word(&MODES)).unwrap_or(ProviderMode::On);
    let least_rate = Decimal::new(1, 2);
    let requests_per_second = section.get("requests_per_second", decimal(least_rate)).unwrap_or(Decimal::TEN);
    let burst = section.get("burst", integer(1..=10_000)).unwrap_or(20);
    let max_in_flight = section.get("max_in_flight", integer(1..=1000)).unwrap_or(8);
    let timeout = Duration::from_millis(1)..=Duration::from_secs(3600);
    let period = Duration::from_millis(1)..=TEN_YEARS;
    let connect_timeout = section.get("connect_timeout", duration(timeout.clone())).unwrap_or(Duration::from_secs(5));
    let call_timeout = section.get("timeout", duration(timeout.clone())).unwrap_or(Duration::from_secs(30));
    let add_timeout = section.get("add_timeout", duration(timeout)).unwrap_or(Duration::from_secs(120));
    let sync_every = section.get("sync_every", duration(period.clone())).unwrap_or(Duration::from_secs(600));
    let max_catalogue_age = section.get("max_catalogue_age", duration(period)).unwrap_or(Duration::from_secs(86_400));
    let low_balance = section.get("low_balance", decimal(Decimal::ZERO)).unwrap_or(Decimal::from(25));
    let partial_is_final = section.get("partial_is_final", boolean).unwrap_or(true);
    let (exclusive_account, recover) = recovery(section);
    let lists_orders = section.get("lists_orders", boolean).unwrap_or(false);
    let markup = markup(section);
    let rejects = section.get("rejects", rejects).unwrap_or_default();
    if let (Some(provider), Some(url), Some(key)) = (id.clone(), url.clone(), key.clone()) {
        let host = reqwest::Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
        names.add_account(section, Account { provider, host, key, is_searched: exclusive_account || lists_orders });
    }
    let treat_503_as = section.get("treat_503_as", word(&ANSWERS_OF_503)).unwrap_or(Treat503::Ambiguous);
    Some(ProviderSettings {
        id: id?,
        url: url?,
        key: key?,
        currency,
        mode,
        requests_per_second,
        burst,
        max_in_flight,
        connect_timeout,
        timeout: call_timeout,
        add_timeout,
        sync_every,
        max_catalogue_age,
        low_balance,
        partial_is_final,
        exclusive_account,
        recover,
        lists_orders,
        markup,
        rejects,
        treat_503_as,
    })
}

fn currency(section: &mut Section<'_>, pricing: &PricingSettings) -> String {
    let Some(currency) = section.get("currency", values::currency).or_else(|| {
        let given = section.has("currency");
        (!given).then(|| "USD".to_owned())
    }) else {
        return pricing.currency.clone();
    };
    if !pricing.exchange_rates.contains_key(&currency) {
        let base = &pricing.currency;
        let message = format!(
            "expected a currency with a rate, found {currency} (add {currency} = \"…\" to [exchange_rates]: one {currency} in {base})"
        );
        section.mistake_at("currency", message);
    }
    currency
}

fn recovery(section: &mut Section<'_>) -> (bool, Recover) {
    let exclusive = section.get("exclusive_account", boolean).unwrap_or(false);
    let recover = section.get("recover", word(&RECOVERIES)).unwrap_or(Recover::Off);
    if recover == Recover::Scan && !exclusive {
        let message = "expected \"off\", found \"scan\" (it needs exclusive_account = true: on a shared account it could take another's order)";
        section.mistake_at("recover", message);
    }
    (exclusive, recover)
}

/// Error texts of that panel, in lower case, and what each means.
fn rejects(field: Field<'_>) -> Option<Vec<(String, RejectKind)>> {
    const WANTED: &str = "an array such as [{ text = \"no such service\", kind = \"service\" }]";
    let kinds = RejectKind::ALL.map(|kind| (kind.as_str(), kind));
    let item = |section: &mut Section<'_>| {
        let text = section.required("text", values::text).map(str::to_lowercase);
        let kind = section.required("kind", word(&kinds));
        Some((text?, kind?))
    };
    let items = field.items(WANTED)?;
    Some(items.filter_map(|field| field.table("{ text, kind }", item).flatten()).collect())
}
