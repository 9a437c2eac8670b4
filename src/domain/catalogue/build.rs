//! From the configuration and the providers' lists to a [`Catalogue`].

use std::collections::{HashMap, HashSet};

use super::{
    Catalogue, Clash, Doubt, ImportDefinition, ImportFilter, Offer, PricingRules, ProviderTerms, RouteProblem, Service,
    ServiceDefinition, ServiceRoute, UpstreamList, UpstreamService,
};
use crate::domain::ids::{ProviderId, Route, ServiceId, UpstreamServiceId};
use crate::domain::pricing::{self, Markup};
use crate::domain::service_type::ServiceType;
use crate::domain::time::Timestamp;

/// Every provider's list by ID, so that a route is found in one step.
struct Lists<'a>(HashMap<&'a ProviderId, List<'a>>);

struct List<'a> {
    terms: &'a ProviderTerms,
    fetched_at: Timestamp,
    in_order: &'a [UpstreamService],
    by_id: HashMap<&'a UpstreamServiceId, &'a UpstreamService>,
    doubts: HashMap<&'a UpstreamServiceId, &'a Doubt>,
}

impl Catalogue {
    /// The catalogue that `definitions` and `imports` make of what the providers list. A service by hand beats
    /// an import, an earlier import a later one. A list of a provider without terms is passed over.
    #[must_use]
    pub fn build(
        definitions: &[ServiceDefinition],
        imports: &[ImportDefinition],
        providers: &[ProviderTerms],
        lists: &[UpstreamList<'_>],
        rules: PricingRules,
    ) -> Self {
        let lists = Lists::new(providers, lists);
        let mut catalogue =
            Self { rules, services: Vec::new(), by_id: HashMap::new(), routes: HashMap::new(), clashes: Vec::new() };
        for definition in definitions {
            catalogue.add(definition, Markup::default(), &lists);
        }
        let by_hand: HashSet<ServiceId> = definitions.iter().map(|definition| definition.id).collect();
        for import in imports {
            let Some(list) = lists.0.get(&import.provider) else { continue };
            for definition in import.definitions(list.in_order).filter(|definition| !by_hand.contains(&definition.id)) {
                if catalogue.routes.contains_key(&definition.id) {
                    catalogue.pass_over(definition);
                } else {
                    catalogue.add(&definition, import.markup, &lists);
                }
            }
        }
        catalogue
    }

    /// Imports may well overlap; that is a clash only where they mean two different services.
    fn pass_over(&mut self, definition: ServiceDefinition) {
        let sold = self.routes(definition.id).and_then(|routes| routes.first()).map(|route| &route.route);
        let passed_over = definition.routes.into_iter().next();
        if let (Some(sold), Some(passed_over)) = (sold, passed_over)
            && *sold != passed_over
        {
            self.clashes.push(Clash { id: definition.id, sold: sold.clone(), passed_over });
        }
    }

    fn add(&mut self, definition: &ServiceDefinition, import_markup: Markup, lists: &Lists<'_>) {
        let kind = definition.kind.or_else(|| definition.routes.iter().find_map(|route| lists.kind(route)));
        let routes: Vec<ServiceRoute> = definition
            .routes
            .iter()
            .map(|route| ServiceRoute { route: route.clone(), offer: lists.offer(route, kind) })
            .collect();
        if definition.enabled
            && let Some(service) = self.listed(definition, import_markup, kind, &routes, lists)
        {
            self.by_id.insert(service.id, self.services.len());
            self.services.push(service);
        }
        self.routes.insert(definition.id, routes);
    }

    fn listed(
        &self,
        definition: &ServiceDefinition,
        import_markup: Markup,
        kind: Option<ServiceType>,
        routes: &[ServiceRoute],
        lists: &Lists<'_>,
    ) -> Option<Service> {
        let (route, offer) = routes.iter().find_map(|route| Some((&route.route, route.offer.as_ref().ok()?)))?;
        let (list, theirs) = lists.find(route)?;
        let text = |own: &Option<String>, theirs: &str| own.clone().unwrap_or_else(|| theirs.to_owned());
        Some(Service {
            id: definition.id,
            name: text(&definition.name, &theirs.name),
            category: text(&definition.category, &theirs.category),
            desc: definition.desc.clone().or_else(|| theirs.desc.clone()),
            kind: kind?,
            min: definition.min.unwrap_or(offer.min),
            max: definition.max.unwrap_or(offer.max),
            refill: theirs.refill,
            cancel: theirs.cancel,
            dripfeed: offer.dripfeed,
            cost: offer.cost,
            markup: definition.markup.or(import_markup).or(list.terms.markup).or(self.rules.markup),
            fixed_rate: definition.fixed_rate,
        })
    }
}

impl ImportDefinition {
    /// The services of ours that this import makes of a list. One whose ID would leave our range, or is no
    /// number, is passed over: it has no ID that a client could use.
    fn definitions<'a>(&'a self, list: &'a [UpstreamService]) -> impl Iterator<Item = ServiceDefinition> + 'a {
        list.iter().filter(|service| self.filter.takes(service)).filter_map(|service| {
            let theirs: i64 = service.id.as_str().parse().ok().filter(|id| *id > 0)?;
            let id = ServiceId::new(i64::from(self.id_offset).checked_add(theirs)?).ok()?;
            let route = Route { provider: self.provider.clone(), service: service.id.clone() };
            Some(ServiceDefinition::new(id, vec![route]))
        })
    }
}

impl ImportFilter {
    fn takes(&self, service: &UpstreamService) -> bool {
        let matches = |glob: &Option<globset::GlobMatcher>, text: &str| glob.as_ref().map(|glob| glob.is_match(text));
        matches(&self.name, &service.name) != Some(false)
            && matches(&self.category, &service.category) != Some(false)
            && matches(&self.kind, &service.type_text) != Some(false)
            && matches(&self.exclude_name, &service.name) != Some(true)
            && matches(&self.exclude_category, &service.category) != Some(true)
    }
}

impl<'a> Lists<'a> {
    fn new(providers: &'a [ProviderTerms], lists: &'a [UpstreamList<'a>]) -> Self {
        let with_terms = lists.iter().filter_map(|list| {
            let terms = providers.iter().find(|terms| terms.id == *list.provider)?;
            let by_id = list.services.iter().map(|service| (&service.id, service)).collect();
            let doubts = list.doubts.iter().map(|(id, doubt)| (id, doubt)).collect();
            Some((list.provider, List { terms, fetched_at: list.fetched_at, in_order: list.services, by_id, doubts }))
        });
        Self(with_terms.collect())
    }

    fn find(&self, route: &Route) -> Option<(&List<'a>, &'a UpstreamService)> {
        let list = self.0.get(&route.provider)?;
        Some((list, list.by_id.get(&route.service)?))
    }

    /// A service in doubt says nothing of what we sell.
    fn kind(&self, route: &Route) -> Option<ServiceType> {
        let (list, theirs) = self.find(route)?;
        if list.doubts.contains_key(&theirs.id) { None } else { ServiceType::parse(&theirs.type_text) }
    }

    fn offer(&self, route: &Route, kind: Option<ServiceType>) -> Result<Offer, RouteProblem> {
        let (list, theirs) = self.find(route).ok_or(RouteProblem::NotListed)?;
        if let Some(doubt) = list.doubts.get(&theirs.id) {
            return Err(doubt.problem());
        }
        let their_kind = ServiceType::parse(&theirs.type_text).ok_or(RouteProblem::UnknownType)?;
        if kind != Some(their_kind) {
            return Err(RouteProblem::OtherType);
        }
        let cost = pricing::cost(theirs.rate, list.terms.exchange_rate).map_err(|_| RouteProblem::Unpriced)?;
        Ok(Offer { cost, min: theirs.min, max: theirs.max, dripfeed: theirs.dripfeed, fetched_at: list.fetched_at })
    }
}
