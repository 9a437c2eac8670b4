//! What is served, in few words: kept in the store, so that the next start, a reload and the command line can
//! tell what another configuration would change, and refuse what must not change.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use super::terms::Terms;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::ProviderId;
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError, StoreResult};

/// How many orders of each provider have been sent, or are being sent, and have not ended.
pub type Unfinished = BTreeMap<ProviderId, u64>;

/// So many services that go by other routes are told of by name at once.
const NAMED: usize = 20;

/// See the module's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Each provider's host.
    pub providers: BTreeMap<String, String>,
    /// What a client without terms of its own can buy.
    pub services: BTreeMap<u32, Listed>,
}

/// A service as such a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its rate, in the panel's currency.
    pub rate: String,
    /// Its routes in order of preference; none where an older version wrote it down.
    #[serde(default)]
    pub routes: Vec<String>,
}

/// From one [`Running`] to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Providers that are new.
    pub providers_gained: Vec<String>,
    /// Providers that are gone.
    pub providers_lost: Vec<String>,
    /// Providers whose URL is on another host, with the old and the new one.
    pub moved: Vec<(String, String, String)>,
    /// Services that are new.
    pub gained: Vec<(u32, Listed)>,
    /// Services that are gone.
    pub lost: Vec<(u32, Listed)>,
    /// Services whose rate moved, as they are now, with the old rate.
    pub repriced: Vec<(u32, Listed, String)>,
    /// Services that go by other routes, as they are now, with the old routes.
    pub rerouted: Vec<(u32, Listed, Vec<String>)>,
}

impl Running {
    /// What this snapshot serves.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let catalogue = &snapshot.catalogue;
        let listed = catalogue
            .services()
            .iter()
            .filter(|service| catalogue.is_sold(service, None) && snapshot.takes_orders(service.id))
            .filter_map(|service| {
                let rate = catalogue.rate(service, None).ok()?.to_string();
                let routes = catalogue.routes(service.id).unwrap_or_default();
                let routes = routes.iter().map(|route| route.route.to_string()).collect();
                Some((service.id.get(), Listed { name: service.name.clone(), rate, routes }))
            });
        Self { providers: hosts(&snapshot.terms), services: listed.collect() }
    }

    /// What was last served from this store; nothing where that never happened.
    ///
    /// # Errors
    /// What the store says.
    pub async fn last(store: &dyn Store) -> StoreResult<Self> {
        let Some(document) = store.running().await? else { return Ok(Self::default()) };
        serde_json::from_str(&document).map_err(|error| StoreError::Corrupt(format!("what was last served: {error}")))
    }

    async fn keep(&self, store: &dyn Store) -> StoreResult<()> {
        // Text, numbers and maps keyed by them have no way to fail.
        store.put_running(serde_json::to_string(self).unwrap_or_default()).await
    }

    /// What is other than `before`.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Changes {
        let mut changes = Changes {
            providers_gained: only_in(&self.providers, &before.providers),
            providers_lost: only_in(&before.providers, &self.providers),
            moved: moved(&before.providers, &self.providers),
            ..Changes::default()
        };
        for (id, service) in &self.services {
            let Some(old) = before.services.get(id) else {
                changes.gained.push((*id, service.clone()));
                continue;
            };
            if old.rate != service.rate {
                changes.repriced.push((*id, service.clone(), old.rate.clone()));
            }
            if old.routes != service.routes && !old.routes.is_empty() {
                changes.rerouted.push((*id, service.clone(), old.routes.clone()));
            }
        }
        let gone = before.services.iter().filter(|(id, _)| !self.services.contains_key(id));
        changes.lost = gone.map(|(id, service)| (*id, service.clone())).collect();
        changes
    }
}

/// Whoever buys such a service gets it from elsewhere now, so it is told whatever moved it: the file, or a list that
/// let go of an ID which a later import takes too.
fn tell_of_routes(changes: &Changes) {
    for (id, service, old) in changes.rerouted.iter().take(NAMED) {
        let (name, from, to) = (&service.name, old.join(", "), service.routes.join(", "));
        tracing::warn!(service = id, "service {id} ({name}) goes by {to} now; it went by {from}");
    }
    if let Some(more) = changes.rerouted.len().checked_sub(NAMED).filter(|more| *more > 0) {
        tracing::warn!("{more} more services go by other routes now");
    }
}

fn only_in(these: &BTreeMap<String, String>, others: &BTreeMap<String, String>) -> Vec<String> {
    these.keys().filter(|id| !others.contains_key(*id)).cloned().collect()
}

fn moved(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    let moved = now.iter().filter_map(|(id, host)| {
        let old = before.get(id).filter(|old| *old != host)?;
        Some((id.clone(), old.clone(), host.clone()))
    });
    moved.collect()
}

/// Each provider's host by these terms.
#[must_use]
pub fn hosts(terms: &Terms) -> BTreeMap<String, String> {
    terms.providers.iter().map(|provider| (provider.id.to_string(), provider.host.clone())).collect()
}

/// See [`Unfinished`].
///
/// # Errors
/// What the store says.
pub async fn unfinished(store: &dyn Store) -> StoreResult<Unfinished> {
    let mut unfinished = Unfinished::new();
    for (state, provider, count) in store.count_orders().await? {
        if let Some(provider) = provider.filter(|_| matches!(state, "sending" | "placed" | "uncertain")) {
            let open = unfinished.entry(provider).or_default();
            *open = open.saturating_add(count);
        }
    }
    Ok(unfinished)
}

/// What keeps providers from being at `now`'s hosts where they were at `before`'s: a sentence for each one that is
/// gone or moved while it has orders that nobody could follow to their end then.
#[must_use]
pub fn refusals(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    unfinished: &Unfinished,
) -> Vec<String> {
    let refusal = |(provider, count): (&ProviderId, &u64)| match (
        before.get(provider.as_str()),
        now.get(provider.as_str()),
    ) {
        (_, None) => Some(format!(
            "expected a [[provider]] with id \"{provider}\", found none, but {count} of its orders have not ended: \
             keep it, with mode = \"drain\", until they have"
        )),
        (Some(old), Some(new)) if old != new => Some(format!(
            "expected the url of provider \"{provider}\" to stay at {old}, found {new}, but {count} of its orders have \
             not ended there: keep it, with mode = \"drain\", until they have"
        )),
        _ => None,
    };
    unfinished.iter().filter(|(_, count)| **count > 0).filter_map(refusal).collect()
}

/// Why a provider may not move to another host while other gateways serve the store: they would go on sending orders to
/// the old one, whose IDs would then be asked for at the new one.
#[must_use]
pub fn refusals_in_company(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    gateways: u32,
) -> Vec<String> {
    if gateways < 2 {
        return Vec::new();
    }
    let refusal = |(provider, old, new): (_, _, _)| {
        format!(
            "expected the url of provider \"{provider}\" to stay at {old}, found {new}, while {gateways} gateways serve this \
             store: stop the others first, or use a new id and keep the old one with mode = \"drain\""
        )
    };
    moved(before, now).into_iter().map(refusal).collect()
}

/// Forgets what is not true of a provider on another host, which is another panel: its list, and the IDs of orders
/// and refills there.
///
/// # Errors
/// What the store says.
pub async fn forget_moved(
    store: &dyn Store,
    before: &BTreeMap<String, String>,
    terms: &Terms,
    now: Timestamp,
) -> StoreResult<()> {
    for (provider, ..) in moved(before, &hosts(terms)) {
        store.forget_provider(&ProviderId::new(provider), now).await?;
    }
    Ok(())
}

impl App {
    pub(super) async fn follow_running(self: Arc<Self>) {
        if let Err(error) = self.record_running().await {
            warn_of!(error, "what is served was not written down: `tollgate check --diff` compares with older news");
        }
    }

    /// Writes down what is served, where that may have changed.
    ///
    /// # Errors
    /// What the store says; a gateway must not send orders before this was done once.
    pub async fn record_running(&self) -> StoreResult<()> {
        let _building = self.building.lock().await;
        let snapshot = self.snapshot.load_full();
        if std::ptr::eq(Weak::as_ptr(&*locked(&self.recorded)), Arc::as_ptr(&snapshot)) {
            return Ok(());
        }
        self.keep_running(&Running::of(&snapshot)).await?;
        *locked(&self.recorded) = Arc::downgrade(&snapshot);
        Ok(())
    }

    /// Writes where it is other than what is there: most syncs change nothing, and orders wait for every write.
    pub(super) async fn keep_running(&self, running: &Running) -> StoreResult<()> {
        let last = Running::last(&*self.store).await.unwrap_or_default();
        if last == *running {
            return Ok(());
        }
        running.keep(&*self.store).await?;
        tell_of_routes(&running.changes_since(&last));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(providers: &[(&str, &str)], services: &[(u32, &str)]) -> Running {
        let listed =
            |rate: &str| Listed { name: "Followers".into(), rate: rate.into(), routes: vec!["alpha:1".into()] };
        Running {
            providers: providers.iter().map(|(id, host)| ((*id).into(), (*host).into())).collect(),
            services: services.iter().map(|(id, rate)| (*id, listed(rate))).collect(),
        }
    }

    #[test]
    fn what_is_gained_lost_moved_and_repriced_is_told() {
        let before = running(&[("alpha", "a.test"), ("beta", "b.test")], &[(1, "1.2"), (2, "3"), (3, "4")]);
        let now = running(&[("alpha", "x.test"), ("gamma", "c.test")], &[(1, "1.2"), (2, "3.1"), (4, "5")]);
        let changes = now.changes_since(&before);
        assert_eq!((changes.providers_gained, changes.providers_lost), (vec!["gamma".into()], vec!["beta".into()]));
        assert_eq!(changes.moved, [("alpha".into(), "a.test".into(), "x.test".into())]);
        assert_eq!(changes.gained.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [4]);
        assert_eq!(changes.lost.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3]);
        let repriced: Vec<_> = changes.repriced.iter().map(|(id, now, old)| (*id, old.as_str(), &*now.rate)).collect();
        assert_eq!(repriced, [(2, "3", "3.1")]);
        assert_eq!(changes.rerouted, []);
        assert_eq!(now.changes_since(&now), Changes::default());
    }

    #[test]
    fn a_service_that_goes_by_other_routes_is_told_where_the_old_ones_are_known() {
        let before = running(&[], &[(1, "1.2"), (2, "3")]);
        let mut now = before.clone();
        now.services.get_mut(&1).unwrap().routes = vec!["beta:7".into()];
        let rerouted = now.changes_since(&before).rerouted;
        assert_eq!(rerouted, [(1, now.services[&1].clone(), vec!["alpha:1".to_owned()])]);

        let mut of_an_older_version = serde_json::to_value(&before).unwrap();
        of_an_older_version["services"]["1"].as_object_mut().unwrap().remove("routes");
        let older: Running = serde_json::from_value(of_an_older_version).unwrap();
        assert_eq!(now.changes_since(&older), Changes::default());
    }

    #[test]
    fn a_provider_moves_only_while_no_other_gateway_serves_the_store() {
        let before = running(&[("alpha", "a.test"), ("beta", "b.test")], &[]).providers;
        let moved = running(&[("alpha", "x.test"), ("gamma", "c.test")], &[]).providers;
        assert!(refusals_in_company(&before, &moved, 1).is_empty());
        assert!(refusals_in_company(&before, &before, 3).is_empty());
        let refused = refusals_in_company(&before, &moved, 3);
        assert!(refused.len() == 1 && refused[0].contains("alpha") && refused[0].contains("3 gateways"), "{refused:?}");
    }

    #[test]
    fn only_unfinished_orders_keep_a_provider_where_it_is() {
        let before = running(&[("alpha", "a.test"), ("beta", "b.test")], &[]).providers;
        let unfinished = |count| Unfinished::from([(ProviderId::new("alpha"), count), (ProviderId::new("beta"), 0)]);
        let gone = running(&[], &[]).providers;
        let moved = running(&[("alpha", "x.test"), ("beta", "y.test")], &[]).providers;
        for now in [&gone, &moved] {
            let said = refusals(&before, now, &unfinished(3));
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains("\"alpha\"") && said[0].contains("3 of its orders"), "{said:?}");
            assert!(refusals(&before, now, &unfinished(0)).is_empty());
        }
        assert!(refusals(&before, &before, &unfinished(3)).is_empty());
        assert!(refusals(&gone, &before, &unfinished(3)).is_empty(), "where it was is not known");
    }
}
