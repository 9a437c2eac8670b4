//! `tollgate check --online`: what each provider, and the Redis, says to the configuration.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::bail;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::ask;
use super::output::{printable, talk};
use crate::app::OnlineReport;
use crate::app::requests::{Reply, Request};
use crate::app::running::Running;
use crate::cache::probe;
use crate::config::Settings;
use crate::config::settings::{ProviderMode, ProviderSettings};
use crate::serve;
use crate::store::sqlite::OpenMode;

/// A Redis that takes longer is of no use.
const CACHE_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// How many routes that lead nowhere are named for a provider.
const NAMED: usize = 20;

/// What came of asking each provider, by its ID.
type Answers = BTreeMap<String, Result<OnlineReport, String>>;

/// A provider as it answered.
#[derive(Debug, Serialize)]
pub(super) struct OnlineDocument {
    provider: String,
    balance: Option<String>,
    /// As the provider says; `null` where it does not.
    currency: Option<String>,
    /// How many services it lists.
    services: Option<usize>,
    /// What does not fit the configuration.
    problems: Vec<String>,
    /// Why it is of no use as it is configured.
    error: Option<String>,
    /// Whether a service of ours is routed to what it does not list: one of `problems`, and a mistake in the file.
    #[serde(skip)]
    has_dead_routes: bool,
}

impl OnlineDocument {
    pub(super) const fn has_dead_routes(&self) -> bool {
        self.has_dead_routes
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.error.is_some()
    }
}

/// The Redis as it answered.
#[derive(Debug, Serialize)]
pub(super) struct CacheDocument {
    /// Without user and password.
    address: String,
    /// Why it is of no use as it is configured.
    error: Option<String>,
}

impl CacheDocument {
    pub(super) const fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        match &self.error {
            None => format!("cache: {} does what it is asked to", self.address),
            Some(error) => printable(&format!("cache: {} failed: {error}", self.address)),
        }
    }
}

/// Asks the Redis, where there is one.
pub(super) async fn cache(settings: &Settings) -> anyhow::Result<Option<CacheDocument>> {
    let secrets = settings.read_secrets_at_hand()?;
    let Some((url, address)) = secrets.cache_url.as_ref().zip(secrets.cache_address()) else { return Ok(None) };
    let error = probe(url.expose_secret(), CACHE_ANSWERS_WITHIN).await.err();
    Ok(Some(CacheDocument { address, error }))
}

/// Asks every provider that is not off.
pub(super) async fn online(settings: &Settings) -> anyhow::Result<Vec<OnlineDocument>> {
    let answers = ask_all(settings).await?;
    Ok(settings
        .providers
        .iter()
        .map(|provider| document(settings, provider, answers.get(provider.id.as_str())))
        .collect())
}

/// Providers that a running gateway calls by that URL and key are asked by it, so that their limits hold; others from here.
async fn ask_all(settings: &Settings) -> anyhow::Result<Answers> {
    let called: Vec<_> = settings.providers.iter().filter(|provider| provider.mode != ProviderMode::Off).collect();
    let secrets = settings.read_secrets_at_hand()?;
    let mut answers = Answers::new();
    if serve::gateway_running(settings).await? {
        let store = serve::open_store(settings, OpenMode::Tool).await?;
        let served = Running::last(&*store).await?.providers;
        let theirs = called.iter().filter(|provider| served.get(provider.id.as_str()) == Some(&provider.host()));
        let providers: Vec<String> = theirs.map(|provider| provider.id.to_string()).collect();
        if !providers.is_empty() {
            let accounts = serve::account_marks(settings, &secrets, store.id());
            answers = checked(ask::ask(settings, Request::Check { providers: providers.clone(), accounts }).await?)?;
            for provider in providers.iter().filter(|provider| !answers.contains_key(*provider)) {
                talk(&format!(
                    "the running gateway has another URL or key for {provider}: this file's are tried from here"
                ));
            }
        }
    }
    let left = called.into_iter().filter(|provider| !answers.contains_key(provider.id.as_str()));
    let (ours, keyless): (Vec<&ProviderSettings>, Vec<_>) =
        left.partition(|provider| secrets.provider_keys.contains_key(&provider.id));
    let not_asked = |provider: &&ProviderSettings| {
        let why = format!("it was not asked: its key is {}, which only the gateway can read", provider.key);
        (provider.id.to_string(), Err(why))
    };
    let providers: Vec<String> = ours.iter().map(|provider| provider.id.to_string()).collect();
    answers.extend(keyless.iter().map(not_asked));
    if !providers.is_empty() {
        let request = Request::Check { providers, accounts: BTreeMap::new() };
        answers.extend(checked(ask::ask_from_here(settings, request).await?)?);
    }
    Ok(answers)
}

fn checked(reply: Reply) -> anyhow::Result<Answers> {
    match reply {
        Reply::Checked(answers) => Ok(answers),
        Reply::Refused(why) => bail!(why),
        _ => bail!("the gateway answered something else: is it another version?"),
    }
}

fn document(
    settings: &Settings,
    provider: &ProviderSettings,
    answer: Option<&Result<OnlineReport, String>>,
) -> OnlineDocument {
    let id = provider.id.to_string();
    let empty = OnlineDocument {
        provider: id,
        balance: None,
        currency: None,
        services: None,
        problems: Vec::new(),
        error: None,
        has_dead_routes: false,
    };
    match answer {
        None => OnlineDocument { problems: vec!["it was not asked: its mode is \"off\"".to_owned()], ..empty },
        Some(Err(error)) => OnlineDocument { error: Some(error.clone()), ..empty },
        Some(Ok(report)) => {
            let dead = dead_routes(settings, provider, report);
            OnlineDocument {
                has_dead_routes: !dead.is_empty(),
                balance: Some(report.balance.clone()),
                currency: report.currency.clone(),
                services: Some(report.services.len()),
                problems: problems(report, dead, free(settings, provider, report)),
                error: other_currency(provider, report),
                ..empty
            }
        }
    }
}

/// Some panels put a sign or a word there: only a code of three letters can contradict ours.
fn other_currency(provider: &ProviderSettings, report: &OnlineReport) -> Option<String> {
    let said = report.currency.as_deref().map(str::trim)?;
    let is_code = said.len() == 3 && said.bytes().all(|byte| byte.is_ascii_alphabetic());
    let other = is_code && !said.eq_ignore_ascii_case(&provider.currency);
    other.then(|| format!("its account is in {said}, the configuration says {}", provider.currency))
}

/// Where it lists nothing, that says it all.
fn problems(report: &OnlineReport, dead: Vec<String>, free: Vec<String>) -> Vec<String> {
    let unreadable = (report.unreadable > 0).then(|| {
        format!("rows of its list that are left out, since they can't be read or repeat an ID: {}", report.unreadable)
    });
    if report.services.is_empty() {
        return vec![unreadable.unwrap_or_else(|| "it lists no services".to_owned())];
    }
    dead.into_iter().chain(free).chain(unreadable).collect()
}

/// By services that are switched off nobody loses anything.
fn dead_routes(settings: &Settings, provider: &ProviderSettings, report: &OnlineReport) -> Vec<String> {
    let listed: HashSet<&str> = report.services.iter().map(String::as_str).collect();
    let dead = settings.services.iter().filter(|service| service.enabled).flat_map(|service| {
        let routes = service.routes.iter().filter(|route| route.provider == provider.id);
        let dead = routes.filter(|route| !listed.contains(route.service.as_str()));
        dead.map(|route| format!("service {} has the route {route}, which it does not list", service.id))
    });
    dead.collect()
}

/// What costs nothing there, where something of ours may be it.
fn free(settings: &Settings, provider: &ProviderSettings, report: &OnlineReport) -> Vec<String> {
    let imports = settings.imports.iter().any(|import| import.provider == provider.id);
    let routes = settings.services.iter().flat_map(|service| &service.routes);
    let routed: HashSet<&str> =
        routes.filter(|route| route.provider == provider.id).map(|route| route.service.as_str()).collect();
    let free: Vec<&str> = report.free.iter().map(String::as_str).filter(|id| imports || routed.contains(id)).collect();
    if free.is_empty() {
        return Vec::new();
    }
    let named = free.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    vec![format!(
        "it lists {} services at a rate of 0 ({named}): they are sold only where `rate` or `markup_fixed` sets a price",
        free.len()
    )]
}

/// For people.
pub(super) fn describe(documents: &[OnlineDocument]) -> String {
    let mut lines = Vec::new();
    for document in documents {
        let provider = &document.provider;
        if let (Some(balance), Some(services)) = (&document.balance, document.services) {
            let currency = document.currency.as_deref().unwrap_or("(it does not say in what)");
            lines.push(format!("{provider}: balance {balance} {currency}, {services} services"));
        }
        if let Some(error) = &document.error {
            lines.push(format!("{provider}: failed: {error}"));
        }
        lines.extend(document.problems.iter().take(NAMED).map(|problem| format!("{provider}: {problem}")));
        if document.problems.len() > NAMED {
            lines.push(format!("{provider}: {} problems in all", document.problems.len()));
        }
    }
    lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::tests::settings;
    use super::*;

    fn seen(currency: Option<&str>, services: &[&str]) -> serde_json::Value {
        to_value(looked_at(currency, services, vec![])).unwrap()
    }

    fn looked_at(currency: Option<&str>, services: &[&str], free: Vec<String>) -> OnlineDocument {
        let settings = settings();
        let report = OnlineReport {
            balance: "12.5".into(),
            currency: currency.map(str::to_owned),
            services: services.iter().map(|id| (*id).to_owned()).collect(),
            free,
            unreadable: 0,
        };
        document(&settings, &settings.providers[0], Some(&Ok(report)))
    }

    #[test]
    fn a_provider_that_fits_has_no_problems() {
        for currency in [Some("USD"), Some("usd"), Some("$"), None] {
            let document = seen(currency, &["7", "101"]);
            assert_eq!(
                document,
                json!({"provider": "alpha", "balance": "12.5", "currency": currency, "services": 2, "problems": [],
                       "error": null})
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let is_dead = |services: &[&str]| looked_at(None, services, vec![]).has_dead_routes();
        assert_eq!([is_dead(&["7", "101"]), is_dead(&["7"]), is_dead(&[])], [false, true, true]);
        let other = seen(Some("EUR"), &["101"]);
        assert!(other["error"].as_str().unwrap().contains("in EUR, the configuration says USD"), "{other}");
        let dead = seen(None, &["7"]);
        assert_eq!(dead["problems"], json!(["service 1 has the route alpha:101, which it does not list"]));
        assert_eq!(dead["error"], json!(null));
        assert_eq!(seen(None, &[])["problems"], json!(["it lists no services"]));
        let report = |services: &[&str]| OnlineReport {
            balance: "1".into(),
            currency: None,
            services: services.iter().map(|id| (*id).to_owned()).collect(),
            free: vec![],
            unreadable: 2,
        };
        for services in [&[][..], &["7"]] {
            let said = problems(&report(services), vec![], vec![]);
            assert!(said.len() == 1 && said[0].contains("can't be read or repeat an ID: 2"), "{said:?}");
        }
        let free = looked_at(None, &["7", "101"], vec!["7".into(), "101".into()]);
        assert_eq!(free.problems.len(), 1);
        assert!(free.problems[0].starts_with("it lists 1 services at a rate of 0 (101)"), "nobody sells 7: {free:?}");
    }

    #[test]
    fn one_that_does_not_answer_fails_and_one_that_is_off_does_not() {
        let settings = settings();
        let provider = &settings.providers[0];
        let failed = document(&settings, provider, Some(&Err("it is\ndown".into())));
        let off = document(&settings, provider, None);
        assert!(failed.has_failed() && !off.has_failed());
        assert_eq!(describe(&[failed]), "alpha: failed: it is\u{fffd}down");
    }
}
