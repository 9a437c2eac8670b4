//! `tollgate services`: what is sold by which route, at which cost and rate.

use std::sync::Arc;

use clap::Args;
use rust_decimal::RoundingStrategy;
use serde::Serialize;

use super::output::{or_dash, table, talk};
use super::{Call, ExitStatus};
use crate::app::snapshot::{List, Lists, Snapshot};
use crate::domain::catalogue::{Catalogue, Service};
use crate::domain::money::Percent;
use crate::domain::pricing;
use crate::serve;
use crate::store::records::StoredCatalogue;
use crate::store::sqlite::OpenMode;

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
    let store = serve::open_store(&settings, OpenMode::Tool)?;
    let markup = match &options.client {
        Some(name) => store.account(name).await?.client.markup,
        None => None,
    };
    let snapshot = Snapshot::new(Arc::new(serve::terms(&settings)), lists(store.catalogues().await?));
    let documents = documents(&snapshot.catalogue, markup);
    call.output.print(&documents, || service_table(&documents))?;
    for line in off_sale(&snapshot.catalogue, markup) {
        talk(&line);
    }
    Ok(ExitStatus::Done)
}

fn lists(catalogues: Vec<StoredCatalogue>) -> Lists {
    let list = |stored: StoredCatalogue| {
        (stored.provider, Arc::new(List { fetched_at: stored.fetched_at, services: stored.services }))
    };
    catalogues.into_iter().map(list).collect()
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
fn shown_margin(margin: Percent) -> String {
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
