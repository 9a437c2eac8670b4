//! `tollgate services`: what is sold by which route, at which cost and rate.

use std::collections::HashSet;
use std::sync::Arc;

use clap::Args;
use rust_decimal::RoundingStrategy;
use serde::Serialize;

use super::output::{or_dash, printable, table, talk};
use super::{Call, ExitStatus};
use crate::app::snapshot::{List, Lists, Snapshot};
use crate::domain::catalogue::{Catalogue, Service};
use crate::domain::ids::Route;
use crate::domain::money::Percent;
use crate::domain::pricing;
use crate::serve;
use crate::store::records::StoredCatalogue;
use crate::store::sqlite::OpenMode;

/// How many services that are not for sale are named.
const NAMED: usize = 20;

#[derive(Debug, Args)]
pub(super) struct ServicesOptions {
    /// With the rates that this client sees.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
}

/// A service as it is listed.
#[derive(Debug, Serialize)]
struct ServiceDocument {
    service: u32,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    category: String,
    routes: Vec<String>,
    cost: String,
    /// `null` where it can't be computed.
    rate: Option<String>,
    /// `null` where it costs nothing.
    margin_percent: Option<String>,
    min: u64,
    max: u64,
}

pub(super) async fn services(call: &Call, options: ServicesOptions) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let store = serve::open_store(&settings, OpenMode::Tool).await?;
    let markup = match &options.client {
        Some(name) => store.account(name).await?.client.markup,
        None => None,
    };
    let snapshot = Snapshot::new(Arc::new(serve::terms(&settings)), lists(store.catalogues().await?));
    let documents = documents(&snapshot.catalogue, markup);
    call.output.print(&documents, || service_table(&documents))?;
    let off_sale = off_sale(&snapshot.catalogue, markup);
    say(&off_sale, "services are not for sale in all");
    say(&clashes(&snapshot.catalogue), "upstream services are passed over in all");
    say(&doubts(&snapshot), "upstream services are in doubt in all");
    Ok(ExitStatus::Done)
}

/// Stored catalogues as a snapshot takes them.
pub(super) fn lists(catalogues: Vec<StoredCatalogue>) -> Lists {
    catalogues.into_iter().map(List::stored).collect()
}

fn documents(catalogue: &Catalogue, client_markup: Option<Percent>) -> Vec<ServiceDocument> {
    let document = |service: &Service| {
        let routes = catalogue.routes(service.id).unwrap_or_default();
        let rate = catalogue.rate(service, client_markup).ok();
        let margin = rate.and_then(|rate| pricing::margin(rate.value(), service.cost.value()).ok().flatten());
        ServiceDocument {
            service: service.id.get(),
            name: service.name.clone(),
            kind: service.kind.name(),
            category: service.category.clone(),
            routes: routes.iter().map(|route| route.route.to_string()).collect(),
            cost: service.cost.to_string(),
            rate: rate.map(|rate| rate.to_string()),
            margin_percent: margin.map(shown_margin),
            min: service.min,
            max: service.max,
        }
    };
    catalogue.services().iter().map(document).collect()
}

/// Two decimals, rounded down: a margin under the minimum never looks as if it reached it.
pub(super) fn shown_margin(margin: Percent) -> String {
    margin.value().round_dp_with_strategy(2, RoundingStrategy::ToNegativeInfinity).normalize().to_string()
}

/// A line for each configured service that this client can't buy, whatever its providers' health.
fn off_sale(catalogue: &Catalogue, client_markup: Option<Percent>) -> Vec<String> {
    let mut configured: Vec<_> = catalogue.configured().collect();
    configured.sort_by_key(|(id, _)| *id);
    let mut lines = Vec::new();
    for (id, routes) in configured {
        match catalogue.service(id) {
            Some(service) if catalogue.is_sold(service, client_markup) => {}
            Some(service) if service.is_free() => lines.push(format!(
                "service {id} is not sold: its upstream lists it at a rate of 0; set `rate` or `markup_fixed` where that is meant"
            )),
            Some(_) => lines.push(format!("service {id} is not sold: its margin is below pricing.min_margin_percent")),
            None => {
                let problem = routes.iter().find_map(|route| Some((&route.route, route.offer.as_ref().err()?)));
                let why = problem
                    .map_or_else(|| "it is switched off".to_owned(), |(route, problem)| format!("{route}: {problem}"));
                lines.push(format!("service {id} is not listed: {why}"));
            }
        }
    }
    lines
}

/// A line for each upstream service whose ID an earlier import has given to another.
fn clashes(catalogue: &Catalogue) -> Vec<String> {
    catalogue.clashes().iter().map(ToString::to_string).collect()
}

/// A line for each upstream service that is off sale until the operator confirms it, where something of ours is
/// routed to it.
fn doubts(snapshot: &Snapshot) -> Vec<String> {
    let routes: HashSet<&Route> =
        snapshot.catalogue.configured().flat_map(|(_, routes)| routes.iter().map(|route| &route.route)).collect();
    let mut lines = Vec::new();
    for (provider, list) in &snapshot.lists {
        for (service, doubt) in &list.doubts {
            let route = Route { provider: provider.clone(), service: service.clone() };
            if routes.contains(&route) {
                lines.push(format!("{route}: {doubt}; `tollgate sync {provider} --confirm {service}` confirms it"));
            }
        }
    }
    lines.sort();
    lines
}

fn say(lines: &[String], in_all: &str) {
    for line in lines.iter().take(NAMED) {
        talk(&printable(line));
    }
    if lines.len() > NAMED {
        talk(&format!("{} {in_all}", lines.len()));
    }
}

fn service_table(documents: &[ServiceDocument]) -> String {
    let rows = documents.iter().map(|document| {
        [
            document.service.to_string(),
            document.name.clone(),
            document.kind.to_owned(),
            document.category.clone(),
            document.routes.join(", "),
            document.cost.clone(),
            or_dash(document.rate.as_ref()),
            or_dash(document.margin_percent.as_ref()),
            document.min.to_string(),
            document.max.to_string(),
        ]
    });
    table(["ID", "NAME", "TYPE", "CATEGORY", "ROUTES", "COST", "RATE", "MARGIN %", "MIN", "MAX"], rows)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::super::tests::settings;
    use super::*;
    use crate::domain::catalogue::UpstreamService;
    use crate::domain::ids::{ProviderId, UpstreamServiceId};
    use crate::domain::time::Timestamp;

    fn snapshot(upstream_id: &str) -> Snapshot {
        let service = UpstreamService {
            id: UpstreamServiceId::new(upstream_id),
            name: "Followers".into(),
            type_text: "default".into(),
            category: "Instagram".into(),
            rate: "0.90".parse().unwrap(),
            min: 10,
            max: 5000,
            refill: false,
            cancel: true,
            dripfeed: false,
            desc: None,
        };
        let stored = StoredCatalogue {
            provider: ProviderId::new("alpha"),
            fetched_at: Timestamp::from_millis(0),
            services: vec![service],
            doubts: vec![],
        };
        Snapshot::new(Arc::new(serve::terms(&settings())), lists(vec![stored]))
    }

    #[test]
    fn a_service_is_shown_with_its_cost_rate_and_margin() {
        let snapshot = snapshot("101");
        let document = json!({
            "service": 1, "name": "Followers", "type": "Default", "category": "Instagram", "routes": ["alpha:101"],
            "cost": "0.9", "rate": "1.08", "margin_percent": "20", "min": 10, "max": 5000,
        });
        assert_eq!(to_value(documents(&snapshot.catalogue, None)).unwrap(), json!([document]));
        assert!(off_sale(&snapshot.catalogue, None).is_empty());
    }

    #[test]
    fn a_clients_own_markup_shows_and_may_be_too_low_to_sell() {
        let catalogue = snapshot("101").catalogue;
        let markup = Some("3.3333".parse().unwrap());
        let document = to_value(documents(&catalogue, markup)).unwrap();
        assert_eq!((&document[0]["rate"], &document[0]["margin_percent"]), (&json!("0.93"), &json!("3.33")));
        assert_eq!(
            off_sale(&catalogue, markup),
            ["service 1 is not sold: its margin is below pricing.min_margin_percent"]
        );
    }

    #[test]
    fn a_service_that_no_provider_lists_is_talked_about() {
        let catalogue = snapshot("102").catalogue;
        assert_eq!(to_value(documents(&catalogue, None)).unwrap(), json!([]));
        assert_eq!(
            off_sale(&catalogue, None),
            ["service 1 is not listed: alpha:101: its provider does not list this service"]
        );
    }
}
