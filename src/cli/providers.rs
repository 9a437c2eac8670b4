//! `tollgate providers` and `tollgate sync`: how the upstreams are, and their catalogues.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::output::{or_dash, printable, table, talk};
use super::{Call, ExitStatus, ask};
use crate::app::FROZEN;
use crate::app::documents::{ProviderDocument, time};
use crate::app::requests::{Reply, Request};
use crate::config::Settings;
use crate::config::settings::ProviderMode;
use crate::domain::ids::ProviderId;
use crate::serve;
use crate::store::records::{Freeze, Pauses, ProviderRecord, StoredCatalogue};
use crate::store::sqlite::OpenMode;
use crate::telemetry::{self, LogFormat};

/// How many IDs of a change are named to people; JSON names all.
const NAMED: usize = 20;
/// The state of a provider for which the operator lets no order leave.
const PAUSED: &str = "paused";

#[derive(Debug, Args)]
pub(super) struct SyncOptions {
    /// Only this provider.
    provider: Option<String>,
    /// Put these of its services back on sale that are in doubt, by their IDs there; `all` for all of them.
    #[arg(long, value_name = "ID", value_delimiter = ',', requires = "provider")]
    confirm: Vec<String>,
    /// It knows our orders no more, and is the right account all the same: go on with it.
    #[arg(long, requires = "provider")]
    unfreeze: bool,
}

// === providers ===

pub(super) async fn providers(call: &Call) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let store = serve::open_store(&settings, OpenMode::Tool).await?;
    let running = serve::gateway_running(&settings).await?;
    let known = Known {
        records: store.providers().await?,
        catalogues: store.catalogues().await?,
        freezes: store.freezes().await?,
        pauses: store.pauses().await?,
        running,
    };
    let documents = documents(&settings, &known);
    call.output.print(&documents, || provider_table(&documents))?;
    for document in &documents {
        if let Some(reason) = &document.reason {
            talk(&printable(&format!("{} is frozen: {reason}", document.provider)));
        }
    }
    Ok(ExitStatus::Done)
}

/// What the store knows of providers.
struct Known {
    records: Vec<ProviderRecord>,
    catalogues: Vec<StoredCatalogue>,
    freezes: Vec<Freeze>,
    pauses: Pauses,
    /// Whether a gateway runs.
    running: bool,
}

/// The configuration's providers with what the store knows of each. What only a running gateway can know is
/// not told of one that has ended.
fn documents(settings: &Settings, known: &Known) -> Vec<ProviderDocument> {
    let records: HashMap<&ProviderId, &ProviderRecord> = known.records.iter().map(|r| (&r.provider, r)).collect();
    let catalogues: HashMap<_, _> = known.catalogues.iter().map(|catalogue| (&catalogue.provider, catalogue)).collect();
    let document = |provider: &crate::config::settings::ProviderSettings| {
        let record = records.get(&provider.id);
        let live = record.filter(|_| known.running);
        let catalogue = catalogues.get(&provider.id);
        let freeze = known.freezes.iter().find(|freeze| freeze.provider == provider.id);
        let frozen = freeze.and_then(|freeze| freeze.standing(&provider.currency));
        let frozen = frozen.filter(|_| provider.mode != ProviderMode::Off);
        let balance = record.filter(|record| record.currency == provider.currency).and_then(|record| record.balance);
        ProviderDocument {
            provider: provider.id.to_string(),
            state: match frozen {
                Some(_) => FROZEN.to_owned(),
                None if provider.mode == ProviderMode::On && known.pauses.hold(&provider.id) => PAUSED.to_owned(),
                None => {
                    let recorded = live.map(|record| record.state.clone()).filter(|state| state != PAUSED);
                    recorded.unwrap_or_else(|| mode(provider.mode).to_owned())
                }
            },
            reason: frozen.map(|cause| cause.describe(&provider.id)),
            balance: balance.map(|balance| balance.normalize().to_string()),
            currency: provider.currency.clone(),
            last_sync_at: catalogue.map(|catalogue| time(catalogue.fetched_at)),
            services: catalogue.map_or(0, |catalogue| u64::try_from(catalogue.services.len()).unwrap_or(u64::MAX)),
            in_flight: live.map_or(0, |record| record.in_flight),
            failures: live.map_or(0, |record| record.failures),
        }
    };
    settings.providers.iter().map(document).collect()
}

const fn mode(mode: ProviderMode) -> &'static str {
    match mode {
        ProviderMode::On => "on",
        ProviderMode::Drain => "drain",
        ProviderMode::Off => "off",
    }
}

fn provider_table(documents: &[ProviderDocument]) -> String {
    let rows = documents.iter().map(|document| {
        [
            document.provider.clone(),
            document.state.clone(),
            or_dash(document.balance.as_ref()),
            document.currency.clone(),
            or_dash(document.last_sync_at.as_ref()),
            document.services.to_string(),
            document.in_flight.to_string(),
            document.failures.to_string(),
        ]
    });
    table(["PROVIDER", "STATE", "BALANCE", "CURRENCY", "LAST SYNC", "SERVICES", "IN FLIGHT", "FAILURES"], rows)
}

// === sync ===

/// What a sync changed, as the gateway reports it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Changes {
    services: u64,
    gained: Vec<String>,
    lost: Vec<String>,
    repriced: Vec<(String, String, String)>,
    free: Vec<String>,
    renamed: Vec<MovedDocument>,
    doubted: Vec<DoubtDocument>,
    confirmed: Vec<String>,
    skipped: u64,
}

/// What came of one provider's sync.
#[derive(Debug, Serialize)]
struct SyncDocument {
    provider: String,
    /// `null` where it failed; the last good list stays in force then.
    services: Option<u64>,
    gained: Vec<String>,
    lost: Vec<String>,
    repriced: Vec<MovedDocument>,
    /// At a rate of 0 now.
    free: Vec<String>,
    renamed: Vec<MovedDocument>,
    /// Off sale until they are confirmed.
    doubted: Vec<DoubtDocument>,
    confirmed: Vec<String>,
    /// Rows of the list that can't be read.
    skipped: u64,
    error: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MovedDocument {
    service: String,
    from: String,
    to: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct DoubtDocument {
    service: String,
    why: String,
}

pub(super) async fn sync(call: &Call, options: SyncOptions) -> anyhow::Result<ExitStatus> {
    telemetry::init_logs(LogFormat::Text)?;
    let settings = call.settings()?;
    let SyncOptions { provider, confirm, unfreeze } = options;
    let request = Request::Sync { provider, confirm, unfreeze };
    let results = match ask::ask(&settings, request).await? {
        Reply::Synced(results) => results,
        Reply::Refused(why) => bail!(why),
        _ => bail!("the gateway answered something else: is it another version?"),
    };
    let documents = sync_documents(results)?;
    call.output.print(&documents, || documents.iter().map(describe).collect::<Vec<_>>().join("\n"))?;
    let failed = documents.iter().any(|document| document.error.is_some());
    Ok(if failed { ExitStatus::Failed } else { ExitStatus::Done })
}

fn sync_documents(results: BTreeMap<String, Result<serde_json::Value, String>>) -> anyhow::Result<Vec<SyncDocument>> {
    let document = |(provider, result): (String, Result<serde_json::Value, String>)| {
        let (services, changes, error) = match result {
            Ok(report) => {
                let changes: Changes = serde_json::from_value(report)
                    .with_context(|| format!("the report on {provider} can't be read"))?;
                (Some(changes.services), changes, None)
            }
            Err(error) => (None, Changes::default(), Some(error)),
        };
        let Changes { gained, lost, repriced, free, renamed, doubted, confirmed, skipped, .. } = changes;
        let repriced = repriced.into_iter().map(|(service, from, to)| MovedDocument { service, from, to }).collect();
        Ok(SyncDocument {
            provider,
            services,
            gained,
            lost,
            repriced,
            free,
            renamed,
            doubted,
            confirmed,
            skipped,
            error,
        })
    };
    results.into_iter().map(document).collect()
}

fn describe(document: &SyncDocument) -> String {
    let provider = &document.provider;
    if let Some(error) = &document.error {
        return printable(&format!("{provider}: not synced: {error}"));
    }
    let mut lines = vec![format!("{provider}: {} services", document.services.unwrap_or_default())];
    let moves = |moved: &[MovedDocument]| -> Vec<String> {
        moved.iter().map(|moved| format!("{} ({} -> {})", moved.service, moved.from, moved.to)).collect()
    };
    let (repriced, renamed) = (moves(&document.repriced), moves(&document.renamed));
    for (what, items) in [
        ("gained", &document.gained),
        ("lost", &document.lost),
        ("repriced", &repriced),
        ("listed at a rate of 0", &document.free),
        ("renamed", &renamed),
        ("confirmed", &document.confirmed),
    ] {
        if !items.is_empty() {
            lines.push(format!("  {} {what}: {}", items.len(), named(items)));
        }
    }
    for doubt in document.doubted.iter().take(NAMED) {
        lines.push(format!("  {} is off sale until you confirm it: {}", doubt.service, doubt.why));
    }
    if document.doubted.len() > NAMED {
        lines.push(format!("  {} services are off sale until you confirm them", document.doubted.len()));
    }
    if document.skipped > 0 {
        lines.push(format!("  {} rows can't be read", document.skipped));
    }
    lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
}

fn named(items: &[String]) -> String {
    let first: Vec<&str> = items.iter().take(NAMED).map(String::as_str).collect();
    match items.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{} and {more} more", first.join(", ")),
        _ => first.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::tests::settings;
    use super::*;
    use crate::domain::time::Timestamp;

    fn record() -> ProviderRecord {
        ProviderRecord {
            provider: ProviderId::new("alpha"),
            state: "unreachable".into(),
            balance: Some("12.50".parse().unwrap()),
            currency: "USD".into(),
            last_sync_at: None,
            services: 0,
            in_flight: 2,
            failures: 3,
        }
    }

    #[test]
    fn a_provider_is_shown_as_configured_and_as_last_seen() {
        let catalogue = StoredCatalogue {
            provider: ProviderId::new("alpha"),
            fetched_at: Timestamp::from_millis(0),
            services: vec![],
            doubts: vec![],
        };
        let seen = |pauses: &Pauses, running| {
            let known = Known {
                records: vec![record()],
                catalogues: vec![catalogue.clone()],
                freezes: vec![],
                pauses: pauses.clone(),
                running,
            };
            to_value(documents(&settings(), &known)).unwrap()
        };
        let mut pauses = Pauses::default();
        let beta = json!({"provider": "beta", "state": "drain", "reason": null, "balance": null, "currency": "EUR",
                          "last_sync_at": null, "services": 0, "in_flight": 0, "failures": 0});
        assert_eq!(
            seen(&pauses, true),
            json!([{"provider": "alpha", "state": "unreachable", "reason": null, "balance": "12.5", "currency": "USD",
                    "last_sync_at": "1970-01-01T00:00:00Z", "services": 0, "in_flight": 2, "failures": 3}, beta])
        );
        assert_eq!(
            seen(&pauses, false),
            json!([{"provider": "alpha", "state": "on", "reason": null, "balance": "12.5", "currency": "USD",
                    "last_sync_at": "1970-01-01T00:00:00Z", "services": 0, "in_flight": 0, "failures": 0}, beta])
        );
        pauses.everywhere = true;
        for running in [true, false] {
            let states = seen(&pauses, running);
            assert_eq!((&states[0]["state"], &states[1]["state"]), (&json!("paused"), &json!("drain")), "{running}");
        }
    }

    #[test]
    fn a_sync_is_shown_by_what_changed_or_why_nothing_did() {
        let report = json!({"services": 3, "gained": ["7"], "lost": [], "repriced": [["1", "0.9", "1.0"]],
            "renamed": [{"service": "2", "from": "a", "to": "b"}], "doubted": [{"service": "3", "why": "it was a"}],
            "free": ["1"], "confirmed": ["4"], "skipped": 1});
        let results = BTreeMap::from([("alpha".into(), Ok(report)), ("beta".into(), Err("it is\ndown".into()))]);
        let documents = sync_documents(results).unwrap();
        assert_eq!(
            to_value(&documents).unwrap(),
            json!([
                {"provider": "alpha", "services": 3, "gained": ["7"], "lost": [],
                 "repriced": [{"service": "1", "from": "0.9", "to": "1.0"}],
                 "renamed": [{"service": "2", "from": "a", "to": "b"}],
                 "doubted": [{"service": "3", "why": "it was a"}], "free": ["1"], "confirmed": ["4"], "skipped": 1, "error": null},
                {"provider": "beta", "services": null, "gained": [], "lost": [], "repriced": [], "renamed": [],
                 "doubted": [], "free": [], "confirmed": [], "skipped": 0, "error": "it is\ndown"},
            ])
        );
        let texts: Vec<String> = documents.iter().map(describe).collect();
        let lines: Vec<&str> = texts[0].lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "alpha: 3 services",
                "1 gained: 7",
                "1 repriced: 1 (0.9 -> 1.0)",
                "1 listed at a rate of 0: 1",
                "1 renamed: 2 (a -> b)",
                "1 confirmed: 4",
                "3 is off sale until you confirm it: it was a",
                "1 rows can't be read",
            ]
        );
        assert_eq!(texts[1], "beta: not synced: it is\u{fffd}down");
    }

    #[test]
    fn a_long_list_is_cut_for_people() {
        let ids: Vec<String> = (1..=22).map(|id| id.to_string()).collect();
        assert!(named(&ids).ends_with("19, 20 and 2 more"));
        assert!(named(&ids[..20]).ends_with("19, 20"));
    }
}
