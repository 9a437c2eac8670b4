//! Takes a provider's list over with what it says of IDs that were given to other services, keeps routes off sale
//! by which an order cost more than it may, and puts them back at the operator's word.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::App;
use super::snapshot::{List, Snapshot};
use super::sync::{Doubted, Renamed, SyncError, SyncReport, check_plausible, compare};
use super::trouble::warn_of;
use crate::domain::catalogue::{Catalogue, Doubt, Doubts, Identity, Loss, Sameness, UpstreamService};
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::order::Order;
use crate::domain::pricing;
use crate::store::StoreResult;
use crate::store::records::NewCatalogue;
use crate::task::Moment;
use crate::telemetry;

/// The word that confirms everything that is in doubt at a provider.
const ALL: &str = "all";
/// So many services that came into doubt are told of by name at once.
const NAMED: usize = 20;

/// What a list says of the services that its IDs stood for.
#[derive(Debug, Default)]
struct Comparison {
    /// New ones, and renamed ones: taken for what they are.
    learnt: Vec<(UpstreamServiceId, Identity)>,
    renamed: Vec<Renamed>,
    doubts: Doubts,
}

impl Comparison {
    fn of(known: Vec<(UpstreamServiceId, Identity)>, services: &[UpstreamService]) -> Self {
        let known: HashMap<UpstreamServiceId, Identity> = known.into_iter().collect();
        let mut comparison = Self::default();
        for service in services {
            let is = service.identity();
            let Some(was) = known.get(&service.id) else {
                comparison.learnt.push((service.id.clone(), is));
                continue;
            };
            match was.compare(&is) {
                Sameness::Another => {
                    comparison.doubts.push((service.id.clone(), Doubt::Another { was: was.clone(), is }));
                }
                Sameness::Renamed => {
                    let (id, from, to) = (service.id.to_string(), was.to_string(), is.to_string());
                    comparison.renamed.push(Renamed { service: id, from, to });
                    comparison.learnt.push((service.id.clone(), is));
                }
                Sameness::Same if *was != is => comparison.learnt.push((service.id.clone(), is)),
                Sameness::Same => {}
            }
        }
        comparison
    }
}

impl App {
    /// Takes a list over that was asked for at that moment, where it can be true and no newer one is in force.
    pub(super) async fn take_list(
        &self,
        provider: &ProviderId,
        services: Vec<UpstreamService>,
        asked: Moment,
    ) -> Result<SyncReport, SyncError> {
        let building = self.building.lock().await;
        let snapshot = self.snapshot.load_full();
        let list = snapshot.lists.get(provider);
        let before = list.map_or(&[][..], |list| list.services.as_slice());
        check_plausible(before, &services)?;
        let mut report = compare(before, &services);
        let repriced = report.repriced.iter().map(|(service, ..)| service.as_str());
        self.search.repriced(provider, repriced, self.clock.now());
        let comparison = Comparison::of(self.store.known_services(provider).await?, &services);
        let mut doubts = comparison.doubts;
        let (losses, mended) = losses(list.map_or(&[][..], |list| &list.doubts), &services);
        doubts.extend(losses);
        report.renamed = comparison.renamed;
        report.doubted = doubts.iter().map(|(id, doubt)| Doubted::new(id, doubt)).collect();
        let now = self.clock.now();
        // By the steady clock: the other one may have been set meanwhile, and the stored times moved with it.
        let fetched_at = now.minus(self.clock.moment().since(asked));
        let (learnt, stored) = (comparison.learnt, services.clone());
        let catalogue = NewCatalogue { fetched_at, services: stored, learnt, mended };
        if !self.store.put_catalogue(provider, catalogue, now).await? {
            drop(building);
            if self.store.is_shared() {
                self.read_lists().await?;
            }
            return Err(SyncError::Overtaken);
        }
        let next = snapshot.with_list(provider, List { fetched_at, services, doubts });
        tell_of_doubts(provider, &snapshot, &next);
        tell_of_free(provider, &report.free, &next);
        self.snapshot.store(Arc::new(next));
        Ok(report)
    }

    /// Puts what is in doubt back on sale: these IDs of a provider, or `all`. They are taken for what the last list
    /// says, which is what the operator was shown; gives them.
    ///
    /// # Errors
    /// In words for the operator; nothing was done.
    pub(super) async fn confirm(&self, provider: &ProviderId, ids: &[String]) -> Result<Vec<String>, String> {
        let _building = self.building.lock().await;
        let snapshot = self.snapshot.load_full();
        let list = snapshot.lists.get(provider).ok_or_else(|| format!("{provider} has no catalogue yet"))?;
        let in_doubt: HashSet<&str> = list.doubts.iter().map(|(id, _)| id.as_str()).collect();
        let mut chosen: Vec<&str> = ids.iter().map(String::as_str).collect();
        if chosen.contains(&ALL) {
            chosen = in_doubt.iter().copied().collect();
            chosen.sort_unstable();
        }
        if let Some(stranger) = chosen.iter().find(|id| !in_doubt.contains(*id)) {
            return Err(format!("service {stranger} of {provider} is not in doubt; nothing was confirmed"));
        }
        let chosen: Vec<UpstreamServiceId> = chosen.into_iter().map(UpstreamServiceId::new).collect();
        self.store.confirm_services(provider, chosen.clone()).await.map_err(|error| error.to_string())?;
        let doubts = list.doubts.iter().filter(|(id, _)| !chosen.contains(id)).cloned().collect();
        let list = List { fetched_at: list.fetched_at, services: list.services.clone(), doubts };
        self.snapshot.store(Arc::new(snapshot.with_list(provider, list)));
        tracing::info!(%provider, count = chosen.len(), "services of {provider} were confirmed");
        Ok(chosen.iter().map(ToString::to_string).collect())
    }

    /// Looks at what an order really cost, once its upstream says: where that is more than both the minimum margin
    /// and the list allow, its route goes off sale. A loss that the list explains by now needs none of that: what is
    /// sold from now on is priced by the list.
    pub(super) async fn watch_cost(&self, before: &Order, now: &Order) {
        if now.cost > before.cost
            && let Err(error) = self.try_watch_cost(now).await
        {
            warn_of!(error, order.id = %now.id, "order {}: its route stays on sale: the store failed", now.id);
        }
    }

    async fn try_watch_cost(&self, order: &Order) -> StoreResult<()> {
        let (Some(cost), Some(binding)) = (order.cost, order.binding()) else { return Ok(()) };
        let minimum = self.snapshot.load().terms.pricing.min_margin;
        if pricing::keeps_margin(order.charge, cost.to_decimal(), minimum).unwrap_or(false) {
            return Ok(());
        }
        let _building = self.building.lock().await;
        let snapshot = self.snapshot.load_full();
        let (provider, service) = (&binding.route.provider, &binding.route.service);
        let Some(list) = snapshot.lists.get(provider) else { return Ok(()) };
        let Some(theirs) = list.services.iter().find(|listed| listed.id == *service) else { return Ok(()) };
        let is_known = |(id, doubt): &(UpstreamServiceId, Doubt)| id == service && matches!(doubt, Doubt::Loss(_));
        if list.doubts.iter().any(is_known) || is_explained(&snapshot, order, cost.to_decimal()) {
            return Ok(());
        }
        let loss = Loss { rate: theirs.rate, order: order.id, charge: order.charge, cost };
        self.store.put_loss(provider, service, loss.clone()).await?;
        let mut doubts = list.doubts.clone();
        doubts.push((service.clone(), Doubt::Loss(loss)));
        let list = List { fetched_at: list.fetched_at, services: list.services.clone(), doubts };
        let next = snapshot.with_list(provider, list);
        tell_of_doubts(provider, &snapshot, &next);
        self.snapshot.store(Arc::new(next));
        Ok(())
    }
}

/// Whether the list says by now that such an order costs so much.
fn is_explained(snapshot: &Snapshot, order: &Order, cost: rust_decimal::Decimal) -> bool {
    let Some(binding) = order.binding() else { return false };
    let routes = snapshot.catalogue.routes(order.service).unwrap_or_default();
    let offer = routes.iter().find(|route| route.route == binding.route).and_then(|route| route.offer.as_ref().ok());
    let listed = offer.and_then(|offer| Catalogue::cost(offer, order.kind, &order.params).ok());
    listed.is_some_and(|listed| cost <= listed)
}

/// Losses that stand, and services whose rate is another by now.
fn losses(before: &[(UpstreamServiceId, Doubt)], services: &[UpstreamService]) -> (Doubts, Vec<UpstreamServiceId>) {
    let (mut standing, mut mended) = (Vec::new(), Vec::new());
    for (id, doubt) in before {
        let Doubt::Loss(loss) = doubt else { continue };
        let listed = services.iter().find(|service| service.id == *id);
        if listed.is_some_and(|service| service.rate != loss.rate) {
            mended.push(id.clone());
        } else {
            standing.push((id.clone(), doubt.clone()));
        }
    }
    (standing, mended)
}

/// What of a provider's something of ours is routed to.
fn routed<'a>(provider: &ProviderId, snapshot: &'a Snapshot) -> HashSet<&'a UpstreamServiceId> {
    let routes = snapshot.catalogue.configured().flat_map(|(_, routes)| routes);
    routes.filter(|route| route.route.provider == *provider).map(|route| &route.route.service).collect()
}

/// The operator is told once of what came to cost nothing.
fn tell_of_free(provider: &ProviderId, free: &[String], now: &Snapshot) {
    let sold = routed(provider, now);
    let free: Vec<&str> =
        free.iter().map(String::as_str).filter(|id| sold.contains(&UpstreamServiceId::new(*id))).collect();
    if free.is_empty() {
        return;
    }
    metrics::counter!(telemetry::ALERTS).increment(1);
    let named = free.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    tracing::warn!(
        %provider, count = free.len(),
        "{provider} lists {} of our services at a rate of 0 now ({named}): they are sold only where `rate` or `markup_fixed` \
         sets a price", free.len()
    );
}

/// The operator is told once of each doubt about something that is sold.
fn tell_of_doubts(provider: &ProviderId, before: &Snapshot, now: &Snapshot) {
    let known = before.lists.get(provider).map_or(&[][..], |list| &list.doubts);
    let sold = routed(provider, now);
    let Some(list) = now.lists.get(provider) else { return };
    let fresh: Vec<&(UpstreamServiceId, Doubt)> =
        list.doubts.iter().filter(|doubt| sold.contains(&doubt.0) && !known.contains(doubt)).collect();
    metrics::counter!(telemetry::ALERTS).increment(u64::try_from(fresh.len()).unwrap_or(u64::MAX));
    for (service, doubt) in fresh.iter().take(NAMED) {
        tracing::warn!(
            %provider, %service,
            "{provider}:{service} is off sale: {doubt}; confirm it with `tollgate sync {provider} --confirm {service}`"
        );
    }
    if let Some(more) = fresh.len().checked_sub(NAMED).filter(|more| *more > 0) {
        tracing::warn!(%provider, "{more} more services of {provider} are off sale: see `tollgate services`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, name: &str, category: &str, rate: &str) -> UpstreamService {
        UpstreamService {
            id: UpstreamServiceId::new(id),
            name: name.into(),
            type_text: "Default".into(),
            category: category.into(),
            rate: rate.parse().unwrap(),
            min: 1,
            max: 10,
            refill: false,
            cancel: false,
            dripfeed: false,
            desc: None,
        }
    }

    #[test]
    fn a_list_is_compared_with_what_its_ids_stood_for() {
        let known = [listed("1", "Likes", "Instagram", "1"), listed("2", "Views", "TikTok", "1")];
        let known: Vec<_> = known.iter().map(|service| (service.id.clone(), service.identity())).collect();
        let now = [
            listed("1", "Fast likes", "Instagram", "1"),
            listed("2", "Followers", "Instagram", "1"),
            listed("3", "New", "New", "1"),
        ];
        let comparison = Comparison::of(known, &now);
        let ids = |list: &[(UpstreamServiceId, Identity)]| {
            list.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ids(&comparison.learnt), "1 3", "what is in doubt is not learnt");
        assert_eq!(comparison.renamed.len(), 1);
        assert_eq!(comparison.doubts.len(), 1);
        assert_eq!(comparison.doubts[0].0.as_str(), "2");
    }

    #[test]
    fn a_loss_stands_while_the_rate_does() {
        let loss = |id: &str| {
            let order = crate::domain::ids::OrderId::new(1).unwrap();
            let loss =
                Loss { rate: "1".parse().unwrap(), order, charge: "1".parse().unwrap(), cost: "2".parse().unwrap() };
            (UpstreamServiceId::new(id), Doubt::Loss(loss))
        };
        let before = [loss("1"), loss("2"), loss("3")];
        let (standing, mended) = losses(&before, &[listed("1", "", "", "1.00"), listed("2", "", "", "1.01")]);
        assert_eq!(standing, [loss("1"), loss("3")], "one that is not listed may come back");
        assert_eq!(mended, [UpstreamServiceId::new("2")]);
    }
}
