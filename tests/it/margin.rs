//! Nothing is sold or forwarded under the minimum margin, nor where it does not fit.

use rust_decimal::Decimal;
use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, accepted, eventually, upstream};

const LINK: &str = "https://example.com/p";

/// Two upstreams, with a wait that is over before a second round begins.
async fn two_upstreams(services: &[(u32, &str)]) -> (Sandbox, Sandbox, Gateway) {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let mut config =
        Config::new("[dispatch]\nwait = \"100ms\"").provider("alpha", &alpha, "").provider("beta", &beta, "");
    for (id, lines) in services {
        config = config.service(*id, lines);
    }
    let gateway = Gateway::start(&config).await;
    gateway.has_all_catalogues().await;
    (alpha, beta, gateway)
}

fn reprice(gateway: &Gateway, upstream: &Sandbox, service: u64, rate: &str) {
    assert!(upstream.set_rate(service, rate.parse::<Decimal>().unwrap()));
    assert!(gateway.cli(&["sync"]).status.success());
}

fn listed(services: &serde_json::Value) -> Vec<u64> {
    services.as_array().unwrap().iter().map(|service| service["service"].as_u64().unwrap()).collect()
}

fn down(upstream: &Sandbox) {
    upstream.set_faults("error(Maintenance)".parse().unwrap());
}

fn up(upstream: &Sandbox) {
    upstream.set_faults("".parse().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_no_longer_pays_is_neither_listed_nor_sold() {
    let fixed = "routes = [\"alpha:1\"]\nrate = \"1.00\"";
    let (alpha, _beta, gateway) = two_upstreams(&[(1, fixed), (2, "routes = [\"alpha:1\"]")]).await;
    assert_eq!(listed(&gateway.call("services", &[]).await), [1, 2]);
    gateway.order(1, LINK, 100).await;

    reprice(&gateway, &alpha, 1, "0.96");
    assert_eq!(listed(&gateway.call("services", &[]).await), [2], "100 for 96 is less than 5 %");
    let answer = gateway.add(1, LINK, 100).await;
    assert_eq!(answer["error"], "This service is temporarily unavailable");
    let services = gateway.call("services", &[]).await;
    assert_eq!(services[0]["rate"], "1.152", "a price with a markup follows");
    gateway.order(2, LINK, 100).await;

    reprice(&gateway, &alpha, 1, "0.95");
    assert_eq!(listed(&gateway.call("services", &[]).await), [1, 2], "100 for 95 is more than 5 %");
    gateway.order(1, LINK, 100).await;
    assert_eq!(alpha.order_count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_order_is_refunded_where_its_price_no_longer_pays() {
    let (alpha, _beta, gateway) = two_upstreams(&[(1, "routes = [\"alpha:1\"]")]).await;
    down(&alpha);
    let order = gateway.order(1, LINK, 1000).await;
    eventually("the order to be tried", || async { (alpha.call_count(Action::Add) > 0).then_some(()) }).await;
    reprice(&gateway, &alpha, 1, "1.05");
    up(&alpha);
    let shown = gateway.until_status(order, "Canceled").await;
    assert_eq!(shown["charge"], "0");
    assert_eq!(gateway.balance().await, DEPOSIT);
    assert_eq!(alpha.order_count(), 0, "it was sold for 1.08");
    let why = gateway.until_told(order, "no route can take it").await;
    assert!(why.contains("margin"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_route_takes_what_the_first_no_longer_pays_for() {
    let (alpha, beta, gateway) = two_upstreams(&[(1, "routes = [\"alpha:1\", \"beta:1\"]")]).await;
    down(&alpha);
    down(&beta);
    let order = gateway.order(1, LINK, 1000).await;
    eventually("the order to be tried", || async { (beta.call_count(Action::Add) > 0).then_some(()) }).await;
    reprice(&gateway, &alpha, 1, "2");
    up(&alpha);
    up(&beta);
    let story = gateway.until_state(order, "placed").await;
    assert_eq!(story["order"]["provider"], "beta");
    assert_eq!((accepted(&alpha, LINK), accepted(&beta, LINK)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_gets_only_quantities_that_it_takes() {
    // alpha:4 takes 10 to 20000, beta:5 takes 100 and more for less money.
    let (alpha, beta, gateway) = two_upstreams(&[(1, "routes = [\"alpha:4\", \"beta:5\"]\nmax = 50000")]).await;
    let refusal = Fault::Error("Not enough funds on balance".to_owned());
    alpha.script_next(Action::Add, refusal.clone(), 1);
    let enough = gateway.order(1, "https://example.com/200", 200).await;
    assert_eq!(gateway.until_state(enough, "placed").await["order"]["provider"], "beta");

    alpha.script_next(Action::Add, refusal, 1);
    let small = gateway.order(1, "https://example.com/50", 50).await;
    let story = gateway.until_state(small, "placed").await;
    assert_eq!(story["order"]["provider"], "alpha", "beta takes 100 at least, so it waited for alpha");
    assert_eq!(story["attempts"].as_array().unwrap().len(), 2);

    let large = gateway.order(1, "https://example.com/30000", 30_000).await;
    let story = gateway.until_state(large, "placed").await;
    assert_eq!(story["order"]["provider"], "beta");
    assert_eq!(story["attempts"].as_array().unwrap().len(), 1, "alpha was not asked");
    assert_eq!((alpha.order_count(), beta.order_count()), (1, 2));
}
