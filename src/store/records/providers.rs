//! What is remembered of providers.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::domain::catalogue::{Doubts, Identity, UpstreamService};
use crate::domain::ids::{ProviderId, UpstreamServiceId};
use crate::domain::time::Timestamp;

/// A provider's catalogue as it was last fetched.
#[derive(Debug, Clone)]
pub struct StoredCatalogue {
    /// Whose.
    pub provider: ProviderId,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// In its order there.
    pub services: Vec<UpstreamService>,
    /// What of it is off sale until somebody has looked.
    pub doubts: Doubts,
}

/// Which list of a provider's is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueMark {
    /// Whose.
    pub provider: ProviderId,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// Another number whenever what it says, or what of it is in doubt, is other than before.
    pub version: i64,
}

/// A provider's catalogue as it was fetched, with what that changed.
#[derive(Debug, Clone, Default)]
pub struct NewCatalogue {
    /// When it was asked for: nothing in it is older.
    pub fetched_at: Timestamp,
    /// In its order there.
    pub services: Vec<UpstreamService>,
    /// Services of it that are taken for what they say they are, where that is new.
    pub learnt: Vec<(UpstreamServiceId, Identity)>,
    /// Services whose losses no longer count.
    pub mended: Vec<UpstreamServiceId>,
}

/// Why a provider seems to be another account's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FreezeCause {
    /// Its balance is in this currency, and not in that of the configuration.
    Currency(String),
    /// It knows most of our active orders no more.
    UnknownOrders,
}

/// A provider that gets no order, and of which no order changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Which.
    pub provider: ProviderId,
    /// Why.
    pub cause: FreezeCause,
    /// Since when.
    pub since: Timestamp,
    /// When the operator said that the account is the right one; the freeze is over then.
    pub lifted_at: Option<Timestamp>,
}

/// A provider as the running gateways last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRecord {
    /// Which.
    pub provider: ProviderId,
    /// A word: `on`, `drain`, `off`, `paused` (by the operator), `resting` (as it asked), `key_rejected`, `unreachable` …
    pub state: String,
    /// Our balance there, in its currency.
    pub balance: Option<Decimal>,
    /// Its currency.
    pub currency: String,
    /// When its catalogue was last fetched.
    pub last_sync_at: Option<Timestamp>,
    /// How many services it lists.
    pub services: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Failed calls since the gateways' start.
    pub failures: u64,
}

/// The words for a provider's state, the worst last.
const STATES: [&str; 8] = ["on", "drain", "off", "paused", "resting", "unreachable", "key_rejected", "frozen"];

impl ProviderRecord {
    /// With what another gateway sees of it: the worse state, and the calls of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let rank = |state: &str| STATES.iter().position(|word| *word == state).unwrap_or(STATES.len());
        let state = if rank(&other.state) > rank(&self.state) { other.state } else { self.state };
        let (in_flight, failures) = (self.in_flight, self.failures);
        Self {
            state,
            in_flight: in_flight.saturating_add(other.in_flight),
            failures: failures.saturating_add(other.failures),
            ..self
        }
    }
}

/// Where the operator lets no order leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Everywhere.
    pub everywhere: bool,
    /// To these.
    pub providers: BTreeSet<ProviderId>,
}

impl Pauses {
    /// Whether no order leaves for this provider.
    #[must_use]
    pub fn hold(&self, provider: &ProviderId) -> bool {
        self.everywhere || self.providers.contains(provider)
    }
}
