//! What a reload must not change, and a start neither.

use tollgate::sandbox::{Action, OrderChange, Sandbox};

use crate::harness::{Config, Gateway, eventually, upstream};

/// Service 1 at alpha, which is at that URL; service 2 at beta.
fn at(alpha: &str, beta: &Sandbox, lines: &str) -> Config {
    without_alpha(beta).provider_at("alpha", alpha, lines).service(1, "routes = [\"alpha:1\"]")
}

fn without_alpha(beta: &Sandbox) -> Config {
    Config::new("").provider("beta", beta, "").service(2, "routes = [\"beta:1\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_unfinished_orders_stays_where_it_is_until_it_is_drained() {
    let (alpha, beta, elsewhere) = (upstream(1).await, upstream(20).await, upstream(20).await);
    let mut gateway = Gateway::start(&at(&alpha.url(), &beta, "")).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    gateway.until_state(order, "placed").await;

    let log = gateway.refuses_reload(&without_alpha(&beta)).await;
    assert!(log.contains("\\\"alpha\\\"") || log.contains("\"alpha\""), "{log}");
    assert!(log.contains("1 of its orders have not ended") && log.contains("drain"), "{log}");
    let log = gateway.refuses_reload(&at(&elsewhere.url(), &beta, "")).await;
    assert!(log.contains(&elsewhere.addr.to_string()) && log.contains("1 of its orders"), "{log}");
    assert_eq!(gateway.status(order).await["status"], "Pending", "all is as it was");
    gateway.order(1, "https://example.com/p/2", 1000).await;

    // The same host by another path is the same panel.
    let path = format!("http://{}/another/path", alpha.addr);
    gateway.reload(&at(&path, &beta, "mode = \"drain\"")).await;
    assert!(gateway.add(1, "https://example.com/p/3", 1000).await["error"].is_string());

    // A start goes by the same rule.
    assert!(gateway.stop().await.success());
    for config in [without_alpha(&beta), at(&elsewhere.url(), &beta, "")] {
        gateway.reconfigure(&config);
        let output = gateway.cli(&["serve"]);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stderr).contains("2 of its orders have not ended"));
    }
    gateway.reconfigure(&at(&path, &beta, "mode = \"drain\""));
    gateway.launch().await;

    for order in alpha.orders() {
        assert!(alpha.set_order(&order.id, OrderChange { status: Some("Completed".into()), ..OrderChange::default() }));
    }
    eventually("the drain", || async {
        gateway.polls_are_due();
        gateway.orders().iter().all(|order| order["state"] == "closed").then_some(())
    })
    .await;
    let refill = gateway.call("refill", &[("order", "1")]).await["refill"].as_str().unwrap().to_owned();
    // Another panel has IDs of its own, which must not be the same ones.
    elsewhere.set_faults("alphanumeric-ids@add".parse().unwrap());
    gateway.reload(&at(&elsewhere.url(), &beta, "")).await;
    let moved = eventually("the list of the other host", || async {
        gateway.add(1, "https://example.com/p/4", 1000).await["order"].as_u64()
    })
    .await;
    gateway.until_status(moved, "Completed").await;
    assert_eq!(elsewhere.order_count(), 1);
    let asked = || elsewhere.calls().into_iter().filter(|call| call.action == Action::Status).collect::<Vec<_>>();
    let before = asked().len();
    eventually("a later poll there", || async {
        gateway.polls_are_due();
        (asked().len() > before).then_some(())
    })
    .await;
    assert!(asked().iter().all(|call| call.ids == 1), "what ended before is not asked for at another panel");
    let shown = gateway.call("refill_status", &[("refill", &refill)]).await;
    assert_eq!(shown["status"], "Error", "nobody can follow it any more");
    for ended in [1, 2] {
        let refused = gateway.call("refill", &[("order", &ended.to_string())]).await;
        assert_eq!(refused["error"], "Refill is not available for this order");
        assert_eq!(gateway.status(ended).await["status"], "Completed");
        assert!(!gateway.history(ended).iter().any(|line| line.contains("alert")));
    }
    assert_eq!(elsewhere.call_count(Action::Refill), 0);
    gateway.reload(&without_alpha(&beta)).await;
    gateway.order(2, "https://example.com/p/5", 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_store_nor_currency_changes_and_the_rest_waits_for_a_start() {
    let beta = upstream(20).await;
    let gateway = Gateway::start(&without_alpha(&beta)).await;
    let log = gateway.refuses_reload(&without_alpha(&beta).text("[store]\nurl = \"sqlite://other.db\"")).await;
    assert!(log.contains("store.url"), "{log}");
    let other = without_alpha(&beta).text("[pricing]\ncurrency = \"EUR\"\n[exchange_rates]\nUSD = \"0.9\"");
    let log = gateway.refuses_reload(&other).await;
    assert!(log.contains("pricing.currency"), "{log}");
    assert_eq!(gateway.call("balance", &[]).await["currency"], "USD");
    gateway.reload(&without_alpha(&beta).server("ops_token = \"open-sesame\"")).await;
    let log = gateway.log();
    assert!(log.contains("server.ops_token was changed: that takes effect at the next start"), "{log}");
    assert!(!log.contains("open-sesame"));
}
