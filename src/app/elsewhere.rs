//! What is left to other gateways: a provider allows too little for each of them to have a part of it, and others have it.
//! What this one took would only wait here.

use super::App;
use super::snapshot::Snapshot;
use crate::domain::catalogue::ServiceRoute;
use crate::domain::ids::{ProviderId, ServiceId};

impl App {
    /// Whether only other gateways call this provider just now.
    pub(super) fn is_elsewhere(&self, provider: &ProviderId) -> bool {
        self.upstream(provider).is_some_and(|upstream| upstream.is_elsewhere())
    }

    /// The providers that only other gateways call just now.
    pub(super) fn providers_elsewhere(&self) -> Vec<ProviderId> {
        let upstreams = self.upstreams.load();
        upstreams.keys().filter(|provider| self.is_elsewhere(provider)).cloned().collect()
    }

    /// The services whose orders only other gateways can send just now.
    pub(super) fn services_elsewhere(&self) -> Vec<ServiceId> {
        let providers = self.providers_elsewhere();
        if providers.is_empty() {
            return Vec::new();
        }
        let snapshot = self.snapshot.load();
        let left = |routes| self.all_lead(&snapshot, routes, |provider| providers.contains(provider));
        snapshot.catalogue.configured().filter(|(_, routes)| left(routes)).map(|(service, _)| service).collect()
    }

    /// Whether this service is one of those.
    pub(super) fn is_sent_elsewhere(&self, service: ServiceId) -> bool {
        let snapshot = self.snapshot.load();
        let routes = snapshot.catalogue.routes(service);
        routes.is_some_and(|routes| self.all_lead(&snapshot, routes, |provider| self.is_elsewhere(provider)))
    }

    /// Whether there are routes that something can go by now, and each leads to such a provider.
    fn all_lead(&self, snapshot: &Snapshot, routes: &[ServiceRoute], to: impl Fn(&ProviderId) -> bool) -> bool {
        let pauses = self.pauses.load();
        let is_open = |route: &&ServiceRoute| {
            let setup = snapshot.terms.provider(&route.route.provider);
            let takes_orders = setup.is_some_and(|setup| setup.takes_orders && self.frozen(setup).is_none());
            route.offer.is_ok() && takes_orders && !pauses.hold(&route.route.provider)
        };
        let mut open = routes.iter().filter(is_open).peekable();
        open.peek().is_some() && open.all(|route| to(&route.route.provider))
    }
}
