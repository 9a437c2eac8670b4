//! What the use-cases need to know of the configuration, in their own words.

use std::time::Duration;

use rust_decimal::Decimal;

use crate::domain::catalogue::{ImportDefinition, PricingRules, ProviderTerms, ServiceDefinition};
use crate::domain::ids::ProviderId;
use crate::domain::order::ReportRules;
use crate::domain::pricing::Markup;

/// Everything that a reload can change.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What clients are charged in.
    pub currency: String,
    /// What prices are computed with.
    pub pricing: PricingRules,
    /// Providers, in the file's order.
    pub providers: Vec<ProviderSetup>,
    /// Services by hand.
    pub services: Vec<ServiceDefinition>,
    /// Imports.
    pub imports: Vec<ImportDefinition>,
    /// How long `add` waits for the upstream's word.
    pub wait: Duration,
    /// How long an order that no upstream can take is kept.
    pub hold_for: Duration,
    /// How long a closed order is watched.
    pub watch_closed: Duration,
    /// An order that is asked for is polled again once its last poll is older than this.
    pub status_ttl: Duration,
}

/// How a provider is used.
#[derive(Debug, Clone)]
pub struct ProviderSetup {
    /// Which.
    pub id: ProviderId,
    /// The host of its URL, with its port where that is not the usual one.
    pub host: String,
    /// Whether it gets new orders.
    pub takes_orders: bool,
    /// Whether it is called at all.
    pub is_called: bool,
    /// The word for that: `on`, `drain`, `off`.
    pub mode: &'static str,
    /// Its currency.
    pub currency: String,
    /// One unit of it in the panel's currency.
    pub exchange_rate: Decimal,
    /// The markup of its services.
    pub markup: Markup,
    /// How long an attempt may be under way there; older ones have lost their sender.
    pub attempt_lease: Duration,
    /// How often its catalogue is fetched.
    pub sync_every: Duration,
    /// Nothing is sold from an older list.
    pub max_catalogue_age: Duration,
    /// Warn under this balance.
    pub low_balance: Decimal,
    /// False where Partial may be a pause.
    pub partial_is_final: bool,
    /// How an order whose ID was lost there is searched for.
    pub search: SearchSetup,
}

/// How an order whose ID was lost is searched for at a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchSetup {
    /// In its list of our orders.
    pub by_listing: bool,
    /// Whether nobody else places orders on that account, so that what the list shows is ours.
    pub is_exclusive: bool,
    /// Among the IDs between its neighbours: only where nobody else places orders on that account.
    pub by_scan: bool,
}

impl Terms {
    /// A provider of the configuration.
    #[must_use]
    pub fn provider(&self, id: &ProviderId) -> Option<&ProviderSetup> {
        self.providers.iter().find(|provider| provider.id == *id)
    }

    /// What the catalogue needs to know of each provider.
    #[must_use]
    pub fn provider_terms(&self) -> Vec<ProviderTerms> {
        self.providers
            .iter()
            .map(|provider| ProviderTerms {
                id: provider.id.clone(),
                exchange_rate: provider.exchange_rate,
                markup: provider.markup,
            })
            .collect()
    }

    /// How reports of a provider are read.
    #[must_use]
    pub fn report_rules(&self, provider: &ProviderSetup) -> ReportRules {
        ReportRules {
            partial_is_final: provider.partial_is_final,
            exchange_rate: provider.exchange_rate,
            watch_closed: self.watch_closed,
        }
    }
}
