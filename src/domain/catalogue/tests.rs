use globset::Glob;

use super::*;
use crate::domain::money::Money;
use crate::domain::params::OrderParams;

fn theirs(id: &str, type_text: &str, rate: &str) -> UpstreamService {
    UpstreamService {
        id: UpstreamServiceId::new(id),
        name: format!("Service {id}"),
        type_text: type_text.into(),
        category: "Instagram likes".into(),
        rate: rate.parse().unwrap(),
        min: 10,
        max: 1000,
        refill: true,
        cancel: false,
        dripfeed: true,
        desc: None,
    }
}

fn route(text: &str) -> Route {
    let (provider, service) = text.split_once(':').unwrap();
    Route { provider: ProviderId::new(provider), service: UpstreamServiceId::new(service) }
}

fn by_hand(id: i64, routes: &[&str]) -> ServiceDefinition {
    ServiceDefinition::new(ServiceId::new(id).unwrap(), routes.iter().map(|text| route(text)).collect())
}

fn import(provider: &str, id_offset: u32) -> ImportDefinition {
    ImportDefinition {
        provider: ProviderId::new(provider),
        id_offset,
        filter: ImportFilter::default(),
        markup: Markup::default(),
    }
}

fn percent(text: &str) -> Markup {
    Markup { percent: Some(text.parse().unwrap()), fixed: None }
}

fn build(definitions: &[ServiceDefinition], imports: &[ImportDefinition]) -> Catalogue {
    build_with(definitions, imports, &[])
}

/// With doubts about alpha's services.
fn build_with(
    definitions: &[ServiceDefinition],
    imports: &[ImportDefinition],
    doubts: &[(UpstreamServiceId, Doubt)],
) -> Catalogue {
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let terms = |id: &ProviderId, rate: &str, markup| ProviderTerms {
        id: id.clone(),
        exchange_rate: rate.parse().unwrap(),
        markup,
    };
    let providers = [terms(&alpha, "1", Markup::default()), terms(&beta, "1.08", percent("30"))];
    let alphas = [
        theirs("101", "Default", "1"),
        theirs("102", "Package", "2"),
        theirs("103", "Quux", "1"),
        theirs("104", "Default", "0.00"),
    ];
    let betas = [theirs("7", "default", "0.9"), theirs("8", "Poll", "1"), theirs("x9", "Default", "1")];
    let lists = [
        UpstreamList { provider: &alpha, fetched_at: Timestamp::default(), services: &alphas, doubts },
        UpstreamList { provider: &beta, fetched_at: Timestamp::default(), services: &betas, doubts: &[] },
    ];
    let rules = PricingRules { markup: percent("20"), rate_decimals: 4, min_margin: "5".parse().unwrap() };
    Catalogue::build(definitions, imports, &providers, &lists, rules)
}

fn rate(catalogue: &Catalogue, id: i64, client: Option<&str>) -> String {
    let service = catalogue.service(ServiceId::new(id).unwrap()).unwrap();
    catalogue.rate(service, client.map(|text| text.parse().unwrap())).unwrap().to_string()
}

#[test]
fn a_service_is_priced_by_its_first_listed_route() {
    let mut nearer = by_hand(3, &["beta:7"]);
    nearer.markup = percent("50");
    let mut fixed = by_hand(4, &["alpha:101"]);
    fixed.fixed_rate = Some("1.23456".parse().unwrap());
    let catalogue = build(&[by_hand(1, &["alpha:404", "beta:7"]), by_hand(2, &["alpha:101"]), nearer, fixed], &[]);
    assert_eq!(rate(&catalogue, 1, None), "1.2636", "beta's cost 0.972 with beta's 30 %");
    assert_eq!(rate(&catalogue, 2, None), "1.2");
    assert_eq!(rate(&catalogue, 3, None), "1.458");
    assert_eq!(rate(&catalogue, 3, Some("10")), "1.0692", "a client's markup is the nearest");
    assert_eq!(rate(&catalogue, 4, Some("10")), "1.2346", "a fixed price is fixed");
}

#[test]
fn what_no_route_offers_is_not_listed_but_known() {
    let mut off = by_hand(4, &["alpha:101"]);
    off.enabled = false;
    let catalogue =
        build(&[by_hand(1, &["alpha:404"]), by_hand(2, &["alpha:103"]), by_hand(3, &["gamma:1"]), off], &[]);
    assert_eq!(catalogue.services(), []);
    let offer = |id| catalogue.routes(ServiceId::new(id).unwrap()).unwrap()[0].offer.clone();
    assert_eq!(offer(1), Err(RouteProblem::NotListed));
    assert_eq!(offer(2), Err(RouteProblem::UnknownType));
    assert_eq!(offer(3), Err(RouteProblem::NotListed));
    assert!(offer(4).is_ok());
    assert_eq!(catalogue.routes(ServiceId::new(9).unwrap()), None);
}

#[test]
fn a_route_of_another_type_is_not_used() {
    let catalogue = build(&[by_hand(1, &["alpha:101", "beta:8"])], &[]);
    let routes = catalogue.routes(ServiceId::new(1).unwrap()).unwrap();
    assert!(routes[0].offer.is_ok());
    assert_eq!(routes[1].offer, Err(RouteProblem::OtherType));
}

#[test]
fn imports_keep_their_ids_and_yield_to_services_by_hand() {
    let mut likes = import("beta", 100_000);
    likes.filter.name = Some(Glob::new("Service [78]").unwrap().compile_matcher());
    likes.filter.exclude_name = Some(Glob::new("*8").unwrap().compile_matcher());
    let mut all = import("beta", 100_000);
    all.markup = percent("40");
    let catalogue = build(&[by_hand(100_008, &["alpha:101"])], &[likes, all]);
    let ids: Vec<u32> = catalogue.services().iter().map(|service| service.id.get()).collect();
    assert_eq!(ids, [100_008, 100_007], "an ID that is no number has none here");
    assert_eq!(rate(&catalogue, 100_007, None), "1.2636", "the earlier import's: none, so the provider's");
    assert_eq!(rate(&catalogue, 100_008, None), "1.2");
    assert_eq!(catalogue.clashes(), [], "the same service twice is none");
}

#[test]
fn two_imports_that_give_one_id_to_two_services_clash() {
    // Alpha's 101 and beta's 7 and 8, at offsets that make 7 of beta and 101 of alpha one ID.
    let catalogue = build(&[by_hand(108, &["beta:8"])], &[import("beta", 100), import("alpha", 6)]);
    assert_eq!(catalogue.routes(ServiceId::new(107).unwrap()).unwrap()[0].route, route("beta:7"));
    let clash = Clash { id: ServiceId::new(107).unwrap(), sold: route("beta:7"), passed_over: route("alpha:101") };
    assert_eq!(catalogue.clashes(), [clash], "what is by hand clashes with nothing");
}

#[test]
fn under_the_margin_nothing_is_sold() {
    let catalogue = build(&[by_hand(1, &["alpha:101"])], &[]);
    let service = &catalogue.services()[0];
    assert!(catalogue.is_sold(service, None));
    assert!(catalogue.is_sold(service, Some("5".parse().unwrap())));
    assert!(!catalogue.is_sold(service, Some("4.99".parse().unwrap())));
}

#[test]
fn what_costs_nothing_is_sold_at_a_price_of_its_own_only() {
    let mut at_a_price = by_hand(2, &["alpha:104"]);
    at_a_price.fixed_rate = Some("0.5".parse().unwrap());
    let mut given_away = by_hand(3, &["alpha:104"]);
    given_away.fixed_rate = Some("0".parse().unwrap());
    let mut with_a_fixed_part = by_hand(4, &["alpha:104"]);
    with_a_fixed_part.markup = Markup { percent: None, fixed: Some("0.1".parse().unwrap()) };
    let mut not_free = by_hand(5, &["alpha:101"]);
    not_free.fixed_rate = given_away.fixed_rate;
    let catalogue = build(&[by_hand(1, &["alpha:104"]), at_a_price, given_away, with_a_fixed_part, not_free], &[]);
    let sold = catalogue.services().iter().filter(|service| catalogue.is_sold(service, None));
    assert_eq!(sold.map(|service| service.id.get()).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(!catalogue.is_sold(&catalogue.services()[0], Some("900".parse().unwrap())), "nor to any client");
}

#[test]
fn an_order_is_charged_and_guarded_by_its_type() {
    let catalogue = build(&[by_hand(1, &["alpha:101"]), by_hand(2, &["alpha:102"])], &[]);
    let params = OrderParams { link: "x".into(), quantity: Some(50), drip_feed: None, fields: vec![], units: 50 };
    for (id, charge, enough, short) in [(1, "0.06", "0.0525", "0.05249999"), (2, "2.4", "2.1", "2.09999999")] {
        let id = ServiceId::new(id).unwrap();
        let service = catalogue.service(id).unwrap();
        let rate = catalogue.rate(service, None).unwrap();
        assert_eq!(Catalogue::charge(rate, service.kind, &params).unwrap().to_string(), charge);
        let offer = catalogue.routes(id).unwrap()[0].offer.as_ref().unwrap();
        let keeps = |text: &str| catalogue.keeps_margin(text.parse::<Money>().unwrap(), offer, service.kind, &params);
        assert!(keeps(enough) && !keeps(short), "{id}");
    }
}

#[test]
fn a_service_in_doubt_is_off_sale_and_says_nothing_of_the_type() {
    let identity = |kind: &str| Identity { name: "x".into(), category: "y".into(), type_text: kind.into() };
    let another = Doubt::Another { was: identity("Default"), is: identity("Package") };
    let doubts = [(UpstreamServiceId::new("102"), another)];
    let catalogue = build_with(&[by_hand(1, &["alpha:102"]), by_hand(2, &["alpha:102", "beta:7"])], &[], &doubts);
    assert_eq!(catalogue.service(ServiceId::new(1).unwrap()), None);
    let routes = catalogue.routes(ServiceId::new(2).unwrap()).unwrap();
    assert_eq!(routes[0].offer, Err(RouteProblem::Another));
    assert!(routes[1].offer.is_ok(), "the next route goes on");
    assert_eq!(rate(&catalogue, 2, None), "1.2636", "and prices it");
}

#[test]
fn each_part_of_the_markup_comes_from_the_nearest_level() {
    let fixed = |text: &str| Markup { percent: None, fixed: Some(text.parse().unwrap()) };
    let mut near = by_hand(1, &["beta:7"]);
    near.markup = fixed("0.5");
    let mut all = import("beta", 100);
    all.markup = fixed("0.1");
    let catalogue = build(&[near], &[all]);
    assert_eq!(rate(&catalogue, 1, None), "1.7636", "beta's 30 % on 0.972, and the service's 0.5");
    assert_eq!(rate(&catalogue, 107, None), "1.3636", "beta's 30 %, and the import's 0.1");
    assert_eq!(rate(&catalogue, 107, Some("10")), "1.1692", "the client's 10 %, and the import's 0.1");
    assert_eq!(rate(&catalogue, 107, Some("0")), "1.072", "a markup of nothing is one");
}
