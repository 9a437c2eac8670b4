//! Balances under pressure, credit, markup tiers, rounding, exchange rates.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate::sandbox::{Options, Sandbox};

use crate::harness::{Config, Gateway, eventually, only_error, upstream, upstream_with};

/// So many orders of 100 for one client side by side, each for another link; gives the answers.
async fn at_once(gateway: &Gateway, key: &str, service: u32, count: u32) -> Vec<Value> {
    let form = |number| {
        vec![
            ("key", key.to_owned()),
            ("action", "add".to_owned()),
            ("service", service.to_string()),
            ("link", format!("https://example.com/p/{number}")),
            ("quantity", "100".to_owned()),
        ]
    };
    gateway.post_at_once((0..count).map(form)).await
}

async fn order_for(gateway: &Gateway, key: &str, service: &str, quantity: &str) -> Value {
    let link = "https://example.com/p";
    gateway.post(&[("key", key), ("action", "add"), ("service", service), ("link", link), ("quantity", quantity)]).await
}

async fn balance_of(gateway: &Gateway, key: &str) -> Value {
    gateway.post(&[("key", key), ("action", "balance")]).await["balance"].clone()
}

async fn rates_for(gateway: &Gateway, key: &str) -> BTreeMap<u64, String> {
    let services = gateway.post(&[("key", key), ("action", "services")]).await;
    let rate = |entry: &Value| Some((entry["service"].as_u64()?, entry["rate"].as_str()?.to_owned()));
    services.as_array().unwrap().iter().map(|entry| rate(entry).unwrap()).collect()
}

async fn client(gateway: &Gateway, name: &str, options: &[&str]) -> String {
    let key = gateway.add_client(name, options);
    gateway.knows_key(&key).await;
    key
}

async fn shop() -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let config = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_orders_at_once_just_those_that_are_paid_for_are_taken() {
    let (alpha, gateway) = shop().await;
    // 37 times 0.108, and nearly one more.
    let key = client(&gateway, "crowd", &["--deposit", "4.10399999"]).await;
    let answers = at_once(&gateway, &key, 1, 100).await;
    let mut ids: Vec<u64> = answers.iter().filter_map(|answer| answer["order"].as_u64()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 37);
    for answer in answers.iter().filter(|answer| answer["order"].is_null()) {
        assert_eq!(only_error(answer), "Not enough funds on balance");
    }
    assert_eq!(balance_of(&gateway, &key).await, "0.10799999");
    assert_eq!(alpha.order_count(), 37);
    let account = gateway.cli_json(&["client", "show", "crowd"]);
    assert_eq!((&account["charges"], &account["balance"]), (&json!("3.996"), &json!("0.10799999")));
    let orders = gateway.cli_json(&["orders", "list", "--client", "crowd"]);
    assert_eq!(orders.as_array().unwrap().len(), 37);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_crowds_do_not_spend_each_others_money() {
    let (alpha, gateway) = shop().await;
    let rich = client(&gateway, "rich", &["--deposit", "100"]).await;
    let poor = client(&gateway, "poor", &["--deposit", "0.54"]).await;
    let (theirs, ours) = tokio::join!(at_once(&gateway, &rich, 1, 40), at_once(&gateway, &poor, 1, 40));
    let taken = |answers: &[Value]| answers.iter().filter(|answer| answer["order"].is_u64()).count();
    assert_eq!((taken(&theirs), taken(&ours)), (40, 5));
    assert_eq!((balance_of(&gateway, &rich).await, balance_of(&gateway, &poor).await), (json!("95.68"), json!("0")));
    assert_eq!(alpha.order_count(), 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_is_spent_to_its_end_and_no_further() {
    let (_alpha, gateway) = shop().await;
    let key = client(&gateway, "trusted", &["--deposit", "0.1", "--credit", "0.332"]).await;
    for balance in ["-0.008", "-0.116", "-0.224", "-0.332"] {
        assert!(order_for(&gateway, &key, "1", "100").await["order"].is_u64());
        assert_eq!(balance_of(&gateway, &key).await, balance);
    }
    assert_eq!(only_error(&order_for(&gateway, &key, "1", "50").await), "Not enough funds on balance");
    assert!(gateway.cli(&["client", "set", "trusted", "--credit", "0"]).status.success());
    assert!(gateway.cli(&["client", "deposit", "trusted", "0.38599999"]).status.success());
    assert_eq!(balance_of(&gateway, &key).await, "0.05399999");
    assert_eq!(only_error(&order_for(&gateway, &key, "1", "50").await), "Not enough funds on balance");
    assert!(gateway.cli(&["client", "deposit", "trusted", "0.00000001"]).status.success());
    assert!(order_for(&gateway, &key, "1", "50").await["order"].is_u64());
    assert_eq!(balance_of(&gateway, &key).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_markup_is_in_its_list_and_in_its_charge() {
    let alpha = upstream(1).await;
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"alpha:2\"]\nmarkup_percent = \"50\"\nmarkup_fixed = \"0.1\"")
        .service(3, "routes = [\"alpha:3\"]\nrate = \"9\"");
    let gateway = Gateway::start(&config).await;
    let cheap = client(&gateway, "cheap", &["--deposit", "10", "--markup", "7.5"]).await;
    let dear = client(&gateway, "dear", &["--deposit", "10", "--markup", "100"]).await;
    let below = client(&gateway, "below", &["--deposit", "10", "--markup", "4.9"]).await;
    let rates = |texts: [&str; 3]| (1..).zip(texts.map(str::to_owned)).collect::<BTreeMap<u64, String>>();
    assert_eq!(rates_for(&gateway, &gateway.key).await, rates(["1.08", "3.85", "9"]));
    assert_eq!(rates_for(&gateway, &cheap).await, rates(["0.9675", "2.7875", "9"]));
    assert_eq!(rates_for(&gateway, &dear).await, rates(["1.8", "5.1", "9"]));
    let below_rates = rates_for(&gateway, &below).await;
    assert_eq!(below_rates.get(&1), None, "under the minimum margin nothing is sold");
    assert_eq!(only_error(&order_for(&gateway, &below, "1", "1000").await), "This service is temporarily unavailable");
    for (key, balance, charge) in [(&cheap, "9.0325", "0.9675"), (&dear, "8.2", "1.8")] {
        let order = order_for(&gateway, key, "1", "1000").await["order"].to_string();
        assert_eq!(&balance_of(&gateway, key).await, balance);
        let status = gateway.post(&[("key", key), ("action", "status"), ("order", &order)]).await;
        assert_eq!(status["charge"], charge);
    }
    assert!(gateway.cli(&["client", "set", "cheap", "--markup", "none"]).status.success());
    eventually("the new tier to be in force", || async {
        (rates_for(&gateway, &cheap).await[&1] == "1.08").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_rounded_up_at_the_configured_decimals_and_charges_are_exact() {
    for (decimals, rate, charge) in
        [("0", "2", "0.02"), ("1", "1.4", "0.014"), ("2", "1.35", "0.0135"), ("5", "1.34808", "0.0134808")]
    {
        let alpha = upstream(1).await;
        let config = Config::new(&format!("[pricing]\nrate_decimals = {decimals}"))
            .provider("alpha", &alpha, "")
            .service(1, "routes = [\"alpha:26\"]");
        let gateway = Gateway::start(&config).await;
        assert_eq!(rates_for(&gateway, &gateway.key).await[&1], rate);
        let order = gateway.order(1, "https://example.com/p", 10).await;
        assert_eq!(gateway.status(order).await["charge"], charge, "{decimals} decimals");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_counts_in_euro_is_converted_everywhere() {
    let euros = Options { currency: "EUR".to_owned(), speed: 20.try_into().unwrap(), ..Options::default() };
    let beta = upstream_with(euros).await;
    let config = Config::new("[exchange_rates]\nEUR = \"1.08\"")
        .provider("beta", &beta, "currency = \"EUR\"\nmarkup_percent = \"30\"")
        .service(1, "routes = [\"beta:1\"]")
        .service(6, "routes = [\"beta:6\"]");
    let gateway = Gateway::start(&config).await;
    let rates = rates_for(&gateway, &gateway.key).await;
    assert_eq!((rates[&1].as_str(), rates[&6].as_str()), ("1.2636", "7.006"), "7.00596 is rounded up");
    let order = gateway.order(1, "https://example.com/p", 1000).await;
    let ended = gateway.until_status(order, "Completed").await;
    assert_eq!((&ended["charge"], &ended["currency"]), (&json!("1.2636"), &json!("USD")));
    assert_eq!(gateway.call("balance", &[]).await, json!({"balance": "998.7364", "currency": "USD"}));
    assert_eq!(gateway.story(order)["order"]["cost"], "0.972", "0.9 euro");
}
