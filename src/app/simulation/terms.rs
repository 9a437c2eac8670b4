//! The configuration of a simulation, and what a reload may make of it.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;

use super::mutations::Mutation;
use super::panel::{Listed, Panel, Traits};
use super::rng::Rng;
use crate::app::terms::{ProviderSetup, SearchSetup, Terms};
use crate::domain::catalogue::{PricingRules, ServiceDefinition};
use crate::domain::ids::{ProviderId, Route, ServiceId, UpstreamServiceId};
use crate::domain::money::Percent;
use crate::domain::pricing::Markup;

pub(super) const PROVIDERS: [&str; 2] = ["alpha", "beta"];
/// How long an attempt may be under way by the configuration.
pub(super) const LEASE: Duration = Duration::from_secs(155);

/// A provider's limits, per second, at once after a quiet time, and under way.
pub(super) type Limit = (u32, u32, u32);

/// One version of `providers.toml`.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) modes: BTreeMap<ProviderId, &'static str>,
    pub(super) limits: BTreeMap<ProviderId, Limit>,
    markup: u32,
    second_route: bool,
    third_service: bool,
    pub(super) partial_is_final: bool,
    wait: u64,
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let limits = PROVIDERS.map(|id| {
            let limit = (2 + rng.below(10), 1 + rng.below(5), 1 + rng.below(4));
            let (per_second, burst, flight) = limit;
            (
                ProviderId::new(id),
                (per_second.try_into().unwrap(), burst.try_into().unwrap(), flight.try_into().unwrap()),
            )
        });
        Self {
            modes: PROVIDERS.map(|id| (ProviderId::new(id), "on")).into(),
            limits: limits.into(),
            markup: 20,
            second_route: rng.chance(80),
            third_service: true,
            partial_is_final: rng.chance(80),
            wait: *rng.pick(&[0, 2000]),
        }
    }

    /// The file as an operator may have changed it.
    pub(super) fn changed(&self, rng: &mut Rng) -> Self {
        let mut plan = self.clone();
        match rng.below(6) {
            3 => drop(plan.limits.insert(ProviderId::new(*rng.pick(&PROVIDERS)), draw_limit(rng))),
            0 => plan.markup = 12 + u32::try_from(rng.below(20)).unwrap(),
            1 => plan.second_route = !plan.second_route,
            2 => plan.third_service = !plan.third_service,
            _ => {
                let mode = *rng.pick(&["on", "on", "drain", "off"]);
                plan.modes.insert(ProviderId::new(*rng.pick(&PROVIDERS)), mode);
            }
        }
        plan
    }

    /// The file as it was meant to be.
    pub(super) fn mended(&self) -> Self {
        let modes = PROVIDERS.map(|id| (ProviderId::new(id), "on")).into();
        Self { modes, second_route: true, third_service: true, ..self.clone() }
    }

    pub(super) fn takes_orders(&self, provider: &ProviderId) -> bool {
        self.modes[provider] == "on"
    }

    pub(super) fn terms(&self, mutation: Option<Mutation>) -> Terms {
        let route = |provider: &str, service: &str| Route {
            provider: ProviderId::new(provider),
            service: UpstreamServiceId::new(service),
        };
        let mut first = vec![route("alpha", "101")];
        if self.second_route {
            first.push(route("beta", "7"));
        }
        let mut services = vec![service(1, first), service(2, vec![route("beta", "8")])];
        if self.third_service {
            services.push(service(3, vec![route("alpha", "103"), route("beta", "9")]));
        }
        let min_margin = if mutation == Some(Mutation::IgnoreMargin) { "-90" } else { "5" };
        Terms {
            currency: "USD".into(),
            pricing: PricingRules {
                markup: Markup { percent: Some(self.markup.to_string().parse::<Percent>().unwrap()), fixed: None },
                rate_decimals: 4,
                min_margin: min_margin.parse().unwrap(),
            },
            providers: PROVIDERS.iter().map(|id| self.provider(id, mutation)).collect(),
            services,
            imports: Vec::new(),
            wait: Duration::from_millis(self.wait),
            hold_for: Duration::from_secs(3600),
            watch_closed: Duration::from_secs(10 * 86_400),
            status_ttl: Duration::from_secs(30),
        }
    }

    fn provider(&self, id: &str, mutation: Option<Mutation>) -> ProviderSetup {
        let id = ProviderId::new(id);
        let euro = id.as_str() == "beta";
        let mode = self.modes[&id];
        ProviderSetup {
            host: format!("{id}.example").as_str().into(),
            takes_orders: mode == "on" || mode == "drain" && mutation == Some(Mutation::SendToDrained),
            is_called: mode != "off",
            mode,
            currency: if euro { "EUR" } else { "USD" }.into(),
            exchange_rate: if euro { "1.08".parse().unwrap() } else { Decimal::ONE },
            markup: Markup::default(),
            attempt_lease: LEASE,
            sync_every: Duration::from_secs(600),
            max_catalogue_age: Duration::from_secs(86_400),
            low_balance: Decimal::ZERO,
            partial_is_final: self.partial_is_final,
            search: SearchSetup::default(),
            id,
        }
    }
}

fn draw_limit(rng: &mut Rng) -> Limit {
    let mut draw = |from: u32, below: u64| from + u32::try_from(rng.below(below)).unwrap();
    (draw(2, 10), draw(1, 5), draw(1, 4))
}

fn service(id: i64, routes: Vec<Route>) -> ServiceDefinition {
    ServiceDefinition::new(ServiceId::new(id).unwrap(), routes)
}

pub(super) fn panels(rng: &mut Rng) -> BTreeMap<ProviderId, Panel> {
    let listed = |id, flat, rate: &str| Listed { id, flat, rate: rate.parse().unwrap(), cancel: true };
    let mut panel = |key, currency, services, first_id| {
        let traits = Traits {
            deduplicates: rng.chance(40),
            locks_links: rng.chance(60),
            batches: rng.chance(75),
            lists: rng.chance(20),
            repeats_ids: rng.chance(20),
        };
        Panel::new(key, currency, traits, services, first_id)
    };
    let alpha = panel(
        "a1fa00deadbeef00a1fa00deadbeef00",
        "USD",
        vec![listed("101", false, "1.0"), listed("103", true, "2.5"), listed("104", false, "9")],
        71_834_000,
    );
    let beta = panel(
        "be7a0123456789abbe7a0123456789ab",
        "EUR",
        vec![listed("7", false, "0.9"), listed("8", false, "1.337"), listed("9", true, "2.2")],
        93_275_000,
    );
    BTreeMap::from([(ProviderId::new("alpha"), alpha), (ProviderId::new("beta"), beta)])
}
