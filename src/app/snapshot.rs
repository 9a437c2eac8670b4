//! The present configuration and catalogue as one immutable value, swapped whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::call::Answer;
use super::terms::Terms;
use crate::domain::catalogue::{Catalogue, UpstreamList, UpstreamService};
use crate::domain::ids::{ProviderId, ServiceId};
use crate::domain::money::Percent;
use crate::domain::time::Timestamp;

/// A provider's list in memory.
#[derive(Debug)]
pub struct List {
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// What it lists.
    pub services: Vec<UpstreamService>,
}

/// Providers' lists, shared between snapshots.
pub type Lists = HashMap<ProviderId, Arc<List>>;

/// See the module's words.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub terms: Arc<Terms>,
    /// What the catalogue was built from.
    pub lists: Lists,
    /// What is sold.
    pub catalogue: Catalogue,
    rendered: Mutex<HashMap<Option<Percent>, Answer>>,
}

impl Snapshot {
    /// Builds the catalogue of these terms and lists.
    #[must_use]
    pub fn new(terms: Arc<Terms>, lists: Lists) -> Self {
        let views: Vec<UpstreamList<'_>> = lists
            .iter()
            .map(|(provider, list)| UpstreamList { provider, fetched_at: list.fetched_at, services: &list.services })
            .collect();
        let catalogue =
            Catalogue::build(&terms.services, &terms.imports, &terms.provider_terms(), &views, terms.pricing.clone());
        Self { terms, lists, catalogue, rendered: Mutex::default() }
    }

    /// Whether the operator lets any provider that offers this service take orders.
    #[must_use]
    pub fn takes_orders(&self, service: ServiceId) -> bool {
        let open = |id: &ProviderId| self.terms.provider(id).is_some_and(|provider| provider.takes_orders);
        let routes = self.catalogue.routes(service).unwrap_or_default();
        routes.iter().any(|route| route.offer.is_ok() && open(&route.route.provider))
    }

    /// The `services` answer of a price tier, rendered by `render` when it is first asked for.
    pub fn rendered(&self, tier: Option<Percent>, render: impl FnOnce() -> Answer) -> Answer {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        rendered.entry(tier).or_insert_with(render).clone()
    }
}
