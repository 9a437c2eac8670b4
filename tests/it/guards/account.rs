//! Another account than ours at a provider.

use serde_json::Value;
use tollgate::sandbox::{Action, Options, OrderChange};

use super::{LINK, alerts, config, provider, stderr, sync};
use crate::harness::{Config, Gateway, eventually, upstream, upstream_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_in_another_currency_freezes_its_provider() {
    let alpha = upstream(1).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    let order = gateway.order(1, LINK, 1000).await;
    let before = alerts(&gateway).await;
    alpha.set_faults("wrong-currency".parse().unwrap());
    for _ in 0..2 {
        let output = gateway.cli(&["sync", "alpha"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains("frozen"));
    }
    assert_eq!(alerts(&gateway).await, before + 1, "told once");
    let shown = provider(&gateway);
    assert_eq!(shown["state"], "frozen");
    assert!(shown["reason"].as_str().unwrap().contains("INR"), "{shown}");
    assert!(stderr(&gateway, &["providers"]).contains("alpha is frozen"));
    assert!(gateway.add(1, "https://example.com/other", 1000).await["error"].is_string());

    // A cancel is remembered, and not sent to an account that may be somebody else's.
    let ids = order.to_string();
    assert_eq!(gateway.call("cancel", &[("orders", &ids)]).await[0]["cancel"], 1);
    assert_eq!(alpha.call_count(Action::Cancel), 0);

    // It stays frozen over a restart, though nobody has called it yet.
    assert!(gateway.stop().await.success());
    gateway.launch().await;
    assert!(gateway.add(1, "https://example.com/other", 1000).await["error"].is_string());
    // No order changes by what it says.
    let asked = alpha.call_count(Action::Status);
    assert!(alpha.set_order(&alpha.orders()[0].id, OrderChange::status("Canceled")));
    for _ in 0..5 {
        gateway.polls_are_due();
        assert_ne!(gateway.status(order).await["status"], "Canceled");
    }
    assert_eq!((alpha.call_count(Action::Status), alpha.order_count()), (asked, 1));

    alpha.set_faults("".parse().unwrap());
    sync(&gateway, &[]);
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    eventually("the right state", || async { (provider(&gateway)["state"] == "on").then_some(()) }).await;
    gateway.order(1, "https://example.com/other", 1000).await;
    gateway.until_late_status(order, "Canceled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_configuration_ends_the_freeze() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    alpha.set_currency("INR");
    assert_eq!(gateway.cli(&["sync", "alpha"]).status.code(), Some(1));
    assert_eq!(provider(&gateway)["state"], "frozen");
    assert!(gateway.stop().await.success());
    let corrected = Config::new("[exchange_rates]\nINR = \"0.012\"")
        .provider("alpha", &alpha, "currency = \"INR\"")
        .service(1, "routes = [\"alpha:1\"]");
    gateway.reconfigure(&corrected);
    gateway.launch().await;
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    assert_eq!(gateway.call("services", &[]).await[0]["rate"], "0.013");
    gateway.order(1, LINK, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_place_of_a_code_freezes_nobody() {
    let alpha = upstream_with(Options { currency: "$".to_owned(), ..Options::default() }).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    sync(&gateway, &[]);
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    gateway.order(1, LINK, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_in_another_currency_is_no_cost() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let before = alerts(&gateway).await;
    alpha.set_currency("INR");
    for number in 0..2 {
        let order = gateway.order(1, &format!("{LINK}/{number}"), 1000).await;
        gateway.until_status(order, "Completed").await;
        assert_eq!(gateway.story(order)["order"]["cost"], Value::Null);
    }
    assert_eq!(alerts(&gateway).await, before + 1);
    assert_eq!(gateway.log().matches("reports charges in INR").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_knows_none_of_our_orders_is_another() {
    let alpha = upstream(1).await;
    let address = alpha.url().strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let mut orders = Vec::new();
    for number in 0..12 {
        orders.push(gateway.order(1, &format!("{LINK}/{number}"), 1000).await);
    }
    for order in &orders {
        gateway.until_status(*order, "In progress").await;
    }
    let before = alerts(&gateway).await;
    alpha.shutdown().await;
    let other = eventually("another account there", || async {
        tollgate::sandbox::start(Options { listen: address, ..Options::default() }).await.ok()
    })
    .await;
    gateway.until_frozen("alpha").await;
    assert_eq!(alerts(&gateway).await, before + 1, "one alert, and not one for each order");
    for order in &orders {
        assert_eq!(gateway.status(*order).await["status"], "In progress");
        assert!(!gateway.history(*order).iter().any(|line| line.starts_with("alert")));
    }
    assert!(gateway.add(1, "https://example.com/other", 1000).await["error"].is_string());
    assert_eq!(other.order_count(), 0);

    // The operator knows better: the panel has lost them, and that is told of each.
    let refused = gateway.cli(&["sync", "--unfreeze"]);
    assert_eq!(refused.status.code(), Some(2));
    sync(&gateway, &["--unfreeze"]);
    assert_eq!(provider(&gateway)["reason"], Value::Null);
    gateway.until_told(orders[0], "alert: its upstream gives no status").await;
    gateway.order(1, "https://example.com/other", 1000).await;
    assert_eq!(gateway.cli(&["sync", "alpha", "--unfreeze"]).status.code(), Some(1), "it is not frozen");
}
