//! Which routes of a service can take an order now, and what stands in the way of the others.

use std::collections::HashMap;

use super::freeze::Freezes;
use super::snapshot::Snapshot;
use crate::domain::catalogue::{Offer, ServiceRoute};
use crate::domain::ids::ProviderId;
use crate::domain::money::Money;
use crate::domain::order::{Candidate, Obstacle};
use crate::domain::params::OrderParams;
use crate::domain::service_type::ServiceType;
use crate::domain::time::Timestamp;
use crate::store::records::Pauses;

/// What is to be forwarded, and for how much it was sold.
pub(super) struct Sale<'a> {
    pub(super) kind: ServiceType,
    pub(super) params: &'a OrderParams,
    pub(super) charge: Money,
}

/// The service's routes in order of preference. `busy` holds providers that give no permit at the moment; what the
/// operator paused stands in the way only here, since orders go on being accepted.
pub(super) fn candidates(
    snapshot: &Snapshot,
    freezes: &Freezes,
    routes: &[ServiceRoute],
    sale: &Sale<'_>,
    busy: &HashMap<ProviderId, String>,
    pauses: &Pauses,
    now: Timestamp,
) -> Vec<Candidate> {
    routes
        .iter()
        .map(|route| {
            let obstacle = obstacle(snapshot, freezes, route, sale, now).or_else(|| {
                let provider = &route.route.provider;
                let held = pauses.hold(provider).then(|| "paused by the operator".to_owned());
                let reason = held.or_else(|| busy.get(provider).cloned())?;
                Some(Obstacle { may_pass: true, reason })
            });
            Candidate { route: route.route.clone(), obstacle }
        })
        .collect()
}

/// The same where another configuration may be the right one: nothing that this one says against a route is for good.
pub(super) fn for_now(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    for obstacle in candidates.iter_mut().filter_map(|candidate| candidate.obstacle.as_mut()) {
        obstacle.may_pass = true;
    }
    candidates
}

/// Whether somebody could take it, now or soon: nothing is sold that nobody can take.
pub(super) fn sellable(
    snapshot: &Snapshot,
    freezes: &Freezes,
    routes: &[ServiceRoute],
    sale: &Sale<'_>,
    now: Timestamp,
) -> bool {
    routes.iter().any(|route| obstacle(snapshot, freezes, route, sale, now).is_none())
}

fn obstacle(
    snapshot: &Snapshot,
    freezes: &Freezes,
    route: &ServiceRoute,
    sale: &Sale<'_>,
    now: Timestamp,
) -> Option<Obstacle> {
    let for_good = |reason: &str| Some(Obstacle { may_pass: false, reason: reason.to_owned() });
    let for_now = |reason: &str| Some(Obstacle { may_pass: true, reason: reason.to_owned() });
    let offer = match &route.offer {
        Ok(offer) => offer,
        Err(problem) => return for_good(&problem.to_string()),
    };
    let Some(provider) = snapshot.terms.provider(&route.route.provider) else {
        return for_good("its provider is not in the configuration");
    };
    if !provider.takes_orders {
        return for_now(&format!("its provider's mode is {:?}", provider.mode));
    }
    if let Some(cause) = freezes.get(&provider.id).and_then(|freeze| freeze.standing(&provider.currency)) {
        return for_now(&format!("its provider is frozen: {}", cause.describe(&provider.id)));
    }
    if now.since(offer.fetched_at) > provider.max_catalogue_age {
        return for_now("its provider's catalogue is too old to sell from");
    }
    if let Some(reason) = misfit(offer, sale) {
        return for_good(reason);
    }
    if !snapshot.catalogue.keeps_margin(sale.charge, offer, sale.kind, sale.params) {
        return for_good("forwarding it would fall below the minimum margin");
    }
    None
}

fn misfit(offer: &Offer, sale: &Sale<'_>) -> Option<&'static str> {
    let fits = |quantity: u64| (offer.min..=offer.max).contains(&quantity);
    if sale.params.bounded_quantity(sale.kind).is_some_and(|quantity| !fits(quantity)) {
        return Some("the quantity is outside what it takes");
    }
    if sale.params.drip_feed.is_some() && !offer.dripfeed {
        return Some("it does not take drip-feed");
    }
    None
}
