//! What is sold: our services, each with its routes to upstream ones, priced.

use globset::GlobMatcher;

use super::ids::{ProviderId, Route, ServiceId, UpstreamServiceId};
use super::money::Rate;
use super::pricing::Markup;
use super::service_type::ServiceType;
use rust_decimal::Decimal;

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
