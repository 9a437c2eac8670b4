//! `tollgate check --diff`: what the configuration would change of what is served.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::output::printable;
use super::services::lists;
use crate::app::running::{Changes, Listed, Running, hosts, refusals, unfinished};
use crate::app::snapshot::Snapshot;
use crate::config::Settings;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::ProviderId;
use crate::serve;
use crate::store::Store;
use crate::store::records::OrderFilter;
use crate::store::sqlite::OpenMode;

/// How many of each change are named to people; JSON names all.
const NAMED: usize = 20;
/// How many queued orders are looked through.
const QUEUE: usize = 1_000_000;

/// From what is served, or was when the last gateway ended, to what the file says.
#[derive(Debug, Serialize)]
pub(super) struct DiffDocument {
    providers_gained: Vec<String>,
    providers_lost: Vec<String>,
    providers_moved: Vec<MoveDocument>,
    gained: Vec<ServiceDocument>,
    lost: Vec<ServiceDocument>,
    repriced: Vec<RepricedDocument>,
    rerouted: Vec<ReroutedDocument>,
    /// What is not sold, because an earlier import gives its ID to another service.
    clashes: Vec<String>,
    /// Services that their upstream lists at a rate of 0.
    free: Vec<FreeDocument>,
    /// Services that go while orders for them wait: those are refunded.
    refunded: Vec<RefundDocument>,
    /// Why neither a reload nor a start would take the file: orders that nobody could follow to their end.
    refused: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MoveDocument {
    provider: String,
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct ServiceDocument {
    service: u32,
    name: String,
    rate: String,
}

#[derive(Debug, Serialize)]
struct RepricedDocument {
    service: u32,
    name: String,
    from: String,
    to: String,
}

/// A service that goes by other routes.
#[derive(Debug, Serialize)]
struct ReroutedDocument {
    service: u32,
    name: String,
    from: Vec<String>,
    to: Vec<String>,
    /// How many orders wait, and leave by the new routes.
    queued: u64,
}

#[derive(Debug, Serialize)]
struct FreeDocument {
    service: u32,
    name: String,
    /// Only at a price of its own.
    sold: bool,
}

#[derive(Debug, Serialize)]
struct RefundDocument {
    service: u32,
    orders: u64,
}

impl DiffDocument {
    pub(super) const fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }
}

/// Compares with the store that the configuration names.
pub(super) async fn diff(settings: &Settings) -> anyhow::Result<DiffDocument> {
    let store = serve::open_store(settings, OpenMode::Tool).await?;
    let terms = serve::terms(settings);
    let before = Running::last(&*store).await?;
    let refused = refusals(&before.providers, &hosts(&terms), &unfinished(&*store).await?);
    let mut lists = lists(store.catalogues().await?);
    for (provider, old) in &before.providers {
        // What another host lists is not known before it is asked.
        if terms.provider(&ProviderId::new(provider.as_str())).is_some_and(|setup| setup.host != *old) {
            lists.remove(&ProviderId::new(provider.as_str()));
        }
    }
    let snapshot = Snapshot::new(Arc::new(terms), lists);
    let changes = Running::of(&snapshot).changes_since(&before);
    Ok(document(changes, &snapshot.catalogue, &queued(&*store).await?, refused))
}

/// How many orders wait, by their service.
async fn queued(store: &dyn Store) -> anyhow::Result<BTreeMap<u32, u64>> {
    let filter = OrderFilter { state: Some("queued".to_owned()), limit: QUEUE, ..OrderFilter::default() };
    let mut queued: BTreeMap<u32, u64> = BTreeMap::new();
    for (_, order) in store.list_orders(filter).await? {
        let count = queued.entry(order.service.get()).or_default();
        *count = count.saturating_add(1);
    }
    Ok(queued)
}

fn document(
    changes: Changes,
    catalogue: &Catalogue,
    queued: &BTreeMap<u32, u64>,
    refused: Vec<String>,
) -> DiffDocument {
    let kept: HashSet<u32> = catalogue.configured().map(|(id, _)| id.get()).collect();
    let service = |(service, listed): (u32, Listed)| ServiceDocument { service, name: listed.name, rate: listed.rate };
    let repriced =
        |(service, now, from): (u32, Listed, String)| RepricedDocument { service, name: now.name, from, to: now.rate };
    let moved = |(provider, from, to)| MoveDocument { provider, from, to };
    let rerouted = |(service, now, from): (u32, Listed, Vec<String>)| {
        let queued = queued.get(&service).copied().unwrap_or_default();
        ReroutedDocument { service, name: now.name, from, to: now.routes, queued }
    };
    let refunds = queued.iter().filter(|(service, _)| !kept.contains(service));
    DiffDocument {
        providers_gained: changes.providers_gained,
        providers_lost: changes.providers_lost,
        providers_moved: changes.moved.into_iter().map(moved).collect(),
        gained: changes.gained.into_iter().map(service).collect(),
        lost: changes.lost.into_iter().map(service).collect(),
        repriced: changes.repriced.into_iter().map(repriced).collect(),
        rerouted: changes.rerouted.into_iter().map(rerouted).collect(),
        clashes: catalogue.clashes().iter().map(ToString::to_string).collect(),
        free: catalogue
            .services()
            .iter()
            .filter(|service| service.is_free())
            .map(|service| FreeDocument {
                service: service.id.get(),
                name: service.name.clone(),
                sold: catalogue.is_sold(service, None),
            })
            .collect(),
        refunded: refunds.map(|(service, orders)| RefundDocument { service: *service, orders: *orders }).collect(),
        refused,
    }
}

/// For people.
pub(super) fn describe(document: &DiffDocument) -> String {
    let service = |mark: &str, s: &ServiceDocument| format!("{mark} service {} {} at {}", s.service, s.name, s.rate);
    let moved = |m: &MoveDocument| format!("! provider {} moves from {} to {}", m.provider, m.from, m.to);
    let repriced = |r: &RepricedDocument| format!("~ service {} {}: {} -> {}", r.service, r.name, r.from, r.to);
    let refund = |r: &RefundDocument| format!("! service {} goes: {} queued orders are refunded", r.service, r.orders);
    let groups: [Vec<String>; 11] = [
        document.providers_gained.iter().map(|id| format!("+ provider {id}")).collect(),
        document.providers_lost.iter().map(|id| format!("- provider {id}")).collect(),
        document.providers_moved.iter().map(moved).collect(),
        document.gained.iter().map(|s| service("+", s)).collect(),
        document.lost.iter().map(|s| service("-", s)).collect(),
        document.repriced.iter().map(repriced).collect(),
        document.rerouted.iter().map(rerouted).collect(),
        document.clashes.iter().map(|clash| format!("! {clash}")).collect(),
        document.free.iter().map(free).collect(),
        document.refunded.iter().map(refund).collect(),
        document.refused.iter().map(|why| format!("! it would be refused: {why}")).collect(),
    ];
    let mut lines = Vec::new();
    for group in groups {
        lines.extend(group.iter().take(NAMED).map(|line| printable(line)));
        if let Some(more) = group.len().checked_sub(NAMED).filter(|more| *more > 0) {
            lines.push(format!("  and {more} more like the last"));
        }
    }
    if lines.is_empty() { "it changes nothing of what is served".to_owned() } else { lines.join("\n") }
}

fn rerouted(moved: &ReroutedDocument) -> String {
    let queued = match moved.queued {
        0 => String::new(),
        count => format!(", and so do {count} queued orders"),
    };
    let (from, to) = (moved.from.join(", "), moved.to.join(", "));
    format!("! service {} {} goes by {to}, not by {from}{queued}", moved.service, moved.name)
}

fn free(service: &FreeDocument) -> String {
    let FreeDocument { service, name, sold } = service;
    let how = if *sold { "it is sold at its own price" } else { "it is not sold without `rate` or `markup_fixed`" };
    format!("! service {service} {name} is listed at a rate of 0 by its upstream: {how}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    #[test]
    fn a_diff_is_told_line_by_line_and_cut_for_people() {
        let listed = |rate: &str| Listed { name: "Likes".into(), rate: rate.into(), routes: vec!["beta:7".into()] };
        let changes = Changes {
            providers_gained: vec!["gamma".into()],
            moved: vec![("beta".into(), "b.test".into(), "x.test".into())],
            gained: (1..=22).map(|id| (id, listed("1"))).collect(),
            repriced: vec![(30, listed("1.3"), "1.2".into())],
            rerouted: [31, 32].map(|id| (id, listed("1"), vec!["alpha:1".into()])).into(),
            ..Changes::default()
        };
        let nothing_sold = Snapshot::new(Arc::new(serve::terms(&settings())), lists(vec![])).catalogue;
        let shown = document(changes, &nothing_sold, &BTreeMap::from([(31, 2)]), vec!["no".into()]);
        assert!(shown.is_refused());
        let text = describe(&shown);
        for line in [
            "+ provider gamma",
            "! provider beta moves from b.test to x.test",
            "+ service 20 Likes at 1",
            "  and 2 more like the last",
            "~ service 30 Likes: 1.2 -> 1.3",
            "! service 31 Likes goes by beta:7, not by alpha:1, and so do 2 queued orders",
            "! service 32 Likes goes by beta:7, not by alpha:1",
            "! service 31 goes: 2 queued orders are refunded",
            "! it would be refused: no",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        assert!(!text.contains("service 21"));
        let nothing = document(Changes::default(), &nothing_sold, &BTreeMap::new(), vec![]);
        assert_eq!(describe(&nothing), "it changes nothing of what is served");
    }
}
