//! What is sold: our services, each with its routes to upstream ones, priced.

mod build;
mod doubt;
mod sale;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use globset::GlobMatcher;

use rust_decimal::Decimal;

use super::ids::{ProviderId, Route, ServiceId, UpstreamServiceId};
use super::money::{Percent, Rate};
use super::pricing::Markup;
use super::service_type::ServiceType;
use super::time::Timestamp;

pub use doubt::{Doubt, Doubts, Identity, Loss, Sameness};

/// One service as an upstream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamService {
    /// Its ID there.
    pub id: UpstreamServiceId,
    /// Its name there.
    pub name: String,
    /// Its type as that upstream spells it.
    pub type_text: String,
    /// Its category there; empty where it gave none.
    pub category: String,
    /// Its rate, in that provider's currency.
    pub rate: Decimal,
    /// The smallest quantity it takes.
    pub min: u64,
    /// The largest quantity it takes.
    pub max: u64,
    /// Whether it can be refilled.
    pub refill: bool,
    /// Whether it can be canceled.
    pub cancel: bool,
    /// Whether it can be ordered as drip-feed.
    pub dripfeed: bool,
    /// Its description, where it has one.
    pub desc: Option<String>,
}

/// `[[service]]`: a service of ours, made by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDefinition {
    /// Our ID.
    pub id: ServiceId,
    /// Where not given, the first route's; so for the six that follow.
    pub name: Option<String>,
    /// See `name`.
    pub category: Option<String>,
    /// See `name`.
    pub desc: Option<String>,
    /// See `name`.
    pub kind: Option<ServiceType>,
    /// See `name`.
    pub min: Option<u64>,
    /// See `name`.
    pub max: Option<u64>,
    /// In order of preference; at least one.
    pub routes: Vec<Route>,
    /// This service's own markup.
    pub markup: Markup,
    /// A fixed price instead of a markup.
    pub fixed_rate: Option<Rate>,
    /// False: off sale.
    pub enabled: bool,
}

impl ServiceDefinition {
    /// One on sale that takes all it can from its first route.
    #[must_use]
    pub const fn new(id: ServiceId, routes: Vec<Route>) -> Self {
        Self {
            id,
            name: None,
            category: None,
            desc: None,
            kind: None,
            min: None,
            max: None,
            routes,
            markup: Markup { percent: None, fixed: None },
            fixed_rate: None,
            enabled: true,
        }
    }
}

/// `[[import]]`: many services of one provider at once.
#[derive(Debug, Clone)]
pub struct ImportDefinition {
    /// Whose.
    pub provider: ProviderId,
    /// Our ID is this plus theirs.
    pub id_offset: u32,
    /// What is taken.
    pub filter: ImportFilter,
    /// This import's own markup.
    pub markup: Markup,
}

/// Globs that a service must match (where given) and must not match, by name, category and type.
#[derive(Debug, Clone, Default)]
pub struct ImportFilter {
    /// `name`
    pub name: Option<GlobMatcher>,
    /// `category`
    pub category: Option<GlobMatcher>,
    /// `type`
    pub kind: Option<GlobMatcher>,
    /// `exclude_name`
    pub exclude_name: Option<GlobMatcher>,
    /// `exclude_category`
    pub exclude_category: Option<GlobMatcher>,
}

/// What a provider's prices are computed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTerms {
    /// Which.
    pub id: ProviderId,
    /// One unit of its currency in the panel's.
    pub exchange_rate: Decimal,
    /// The markup of its services, where nothing nearer sets one.
    pub markup: Markup,
}

/// What all prices are computed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricingRules {
    /// The markup where nothing nearer sets one.
    pub markup: Markup,
    /// A listed rate is rounded up to this many decimals.
    pub rate_decimals: u32,
    /// Under it an order is neither sold nor forwarded.
    pub min_margin: Percent,
}

/// A provider's list as it was last fetched.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamList<'a> {
    /// Whose.
    pub provider: &'a ProviderId,
    /// When.
    pub fetched_at: Timestamp,
    /// What it lists.
    pub services: &'a [UpstreamService],
    /// What of it is off sale.
    pub doubts: &'a [(UpstreamServiceId, Doubt)],
}

/// What a route's upstream offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its rate in the panel's currency.
    pub cost: Rate,
    /// The smallest quantity it takes.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Whether it takes drip-feed.
    pub dripfeed: bool,
    /// When its list was fetched.
    pub fetched_at: Timestamp,
}

/// Why a configured route can't be used, whatever its provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteProblem {
    /// The provider's stored list does not have it.
    #[error("its provider does not list this service")]
    NotListed,
    /// Its type is one that nobody documents.
    #[error("its type is not known, so its parameters and price are not either")]
    UnknownType,
    /// Its type is another than the service's.
    #[error("its type is another than the service's")]
    OtherType,
    /// Its price can't be computed.
    #[error("its rate is too large to compute with")]
    Unpriced,
    /// Its ID seems to have been given to another service.
    #[error("its ID seems to stand for another service now; once you have looked, confirm it with `tollgate sync`")]
    Another,
    /// An order by it cost more than it may.
    #[error(
        "an order cost more than its listed rate allows; off sale until that rate moves or `tollgate sync` confirms it"
    )]
    Loss,
}

/// A route of a service of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRoute {
    /// The route.
    pub route: Route,
    /// What it offers, or why it can't be used.
    pub offer: Result<Offer, RouteProblem>,
}

/// A service of ours that can be listed: at least one of its routes offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Our ID.
    pub id: ServiceId,
    /// Its name.
    pub name: String,
    /// Its category.
    pub category: String,
    /// Its description.
    pub desc: Option<String>,
    /// Its type.
    pub kind: ServiceType,
    /// The smallest quantity.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Whether it can be refilled.
    pub refill: bool,
    /// Whether it can be canceled.
    pub cancel: bool,
    /// Whether it can be ordered as drip-feed.
    pub dripfeed: bool,
    /// The first offered route's cost, which prices it.
    pub cost: Rate,
    /// Its markup without a client's own.
    pub markup: Markup,
    /// A price that no markup changes.
    pub fixed_rate: Option<Rate>,
}

/// An ID that two imports give to two different services: the earlier one's is sold, the later one's is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// Our ID.
    pub id: ServiceId,
    /// What it stands for.
    pub sold: Route,
    /// What is passed over.
    pub passed_over: Route,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, sold, passed_over } = self;
        write!(f, "{passed_over} is not sold: an earlier import gives its ID {id} to {sold}")
    }
}

/// An immutable snapshot of everything that is sold. A sync or a reload builds the next one.
#[derive(Debug, Clone)]
pub struct Catalogue {
    rules: PricingRules,
    services: Vec<Service>,
    by_id: HashMap<ServiceId, usize>,
    routes: HashMap<ServiceId, Vec<ServiceRoute>>,
    clashes: Vec<Clash>,
}

impl Catalogue {
    /// Everything that is listed: made by hand in the file's order, then imported.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// A listed service.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.by_id.get(&id).and_then(|index| self.services.get(*index))
    }

    /// The routes of a configured service, on sale or not; `None` where the configuration has none by that ID.
    #[must_use]
    pub fn routes(&self, id: ServiceId) -> Option<&[ServiceRoute]> {
        self.routes.get(&id).map(Vec::as_slice)
    }

    /// What later imports would sell under IDs that an earlier one has given.
    #[must_use]
    pub fn clashes(&self) -> &[Clash] {
        &self.clashes
    }

    /// Every configured service's ID with its routes.
    pub fn configured(&self) -> impl Iterator<Item = (ServiceId, &[ServiceRoute])> {
        self.routes.iter().map(|(id, routes)| (*id, routes.as_slice()))
    }
}
