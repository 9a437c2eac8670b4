//! The present configuration and catalogue as one immutable value, swapped whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::call::Answer;
use super::terms::Terms;
use crate::domain::catalogue::{Catalogue, Doubts, UpstreamList, UpstreamService};
use crate::domain::ids::{ProviderId, ServiceId};
use crate::domain::money::Percent;
use crate::domain::time::Timestamp;
use crate::store::records::StoredCatalogue;

/// A provider's list in memory.
#[derive(Debug)]
pub struct List {
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// What it lists.
    pub services: Vec<UpstreamService>,
    /// What of it is off sale until somebody has looked.
    pub doubts: Doubts,
}

impl List {
    /// As it was stored, with whose it is.
    #[must_use]
    pub fn stored(stored: StoredCatalogue) -> (ProviderId, Arc<Self>) {
        let provider = stored.provider.clone();
        (provider, Arc::new(Self::of(stored)))
    }

    /// As it was stored.
    #[must_use]
    pub fn of(stored: StoredCatalogue) -> Self {
        Self { fetched_at: stored.fetched_at, services: stored.services, doubts: stored.doubts }
    }
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
    kept: Mutex<HashMap<Audience, Answer>>,
}

impl Snapshot {
    /// Builds the catalogue of these terms and lists.
    #[must_use]
    pub fn new(terms: Arc<Terms>, lists: Lists) -> Self {
        let views: Vec<UpstreamList<'_>> = lists
            .iter()
            .map(|(provider, list)| UpstreamList {
                provider,
                fetched_at: list.fetched_at,
                services: &list.services,
                doubts: &list.doubts,
            })
            .collect();
        let catalogue =
            Catalogue::build(&terms.services, &terms.imports, &terms.provider_terms(), &views, terms.pricing.clone());
        Self { terms, lists, catalogue, kept: Mutex::default() }
    }

    /// Whether the operator lets any provider that offers this service take orders.
    #[must_use]
    pub fn takes_orders(&self, service: ServiceId) -> bool {
        let open = |id: &ProviderId| self.terms.provider(id).is_some_and(|provider| provider.takes_orders);
        let routes = self.catalogue.routes(service).unwrap_or_default();
        routes.iter().any(|route| route.offer.is_ok() && open(&route.route.provider))
    }

    /// The `services` answer that is kept for those who see the same list.
    pub(super) fn kept(&self, audience: &Audience) -> Option<Answer> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(audience).cloned()
    }

    /// Keeps one.
    pub(super) fn keep(&self, audience: Audience, answer: Answer) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(audience, answer);
    }

    /// This snapshot with a provider's new list in the place of its old one. Where that says the same, so do the
    /// answers that are kept.
    #[must_use]
    pub fn with_list(&self, provider: &ProviderId, list: List) -> Self {
        let unchanged = self
            .lists
            .get(provider)
            .is_some_and(|before| before.services == list.services && before.doubts == list.doubts);
        let mut lists = self.lists.clone();
        lists.insert(provider.clone(), Arc::new(list));
        let mut next = Self::new(Arc::clone(&self.terms), lists);
        if unchanged {
            next.kept = Mutex::new(self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        next
    }
}

/// Clients that see the same list at the same rates: by their markup, and by what they may buy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Audience {
    pub(super) markup: Option<Percent>,
    pub(super) allowed: Vec<String>,
}
