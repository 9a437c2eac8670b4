//! `tollgate pause` and `resume`: no order leaves, and everything else goes on.

use serde_json::json;
use tollgate::sandbox::{Action, OrderChange, Sandbox};

use crate::harness::{Config, Gateway, accepted, eventually, upstream};

const LINK: &str = "https://example.com/p/1";

/// Service 1 goes to alpha and else to beta, service 2 to alpha alone.
fn config(tables: &str, alpha: &Sandbox, beta: &Sandbox) -> Config {
    Config::new(&format!("[dispatch]\nwait = \"200ms\"\n{tables}"))
        .provider("alpha", alpha, "")
        .provider("beta", beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
        .service(2, "routes = [\"alpha:1\"]")
}

/// Pauses, and waits until the gateway knows.
async fn pause(gateway: &Gateway, arguments: &[&str]) {
    let said = || gateway.log().matches("paused by the operator").count();
    let before = said();
    gateway.cli_json(&[&["pause"], arguments].concat());
    eventually("the pause", || async { (said() > before).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_while_paused_and_all_of_it_at_once_after() {
    let (alpha, beta) = (upstream(1).await, upstream(20).await);
    let mut gateway = Gateway::start(&config("", &alpha, &beta)).await;
    let placed = gateway.order(1, "https://example.com/placed", 1000).await;
    let story = gateway.until_state(placed, "placed").await;
    pause(&gateway, &[]).await;
    assert_eq!((gateway.provider_state("alpha"), gateway.provider_state("beta")), ("paused".into(), "paused".into()));

    let orders = [gateway.order(1, LINK, 1000).await, gateway.order(2, "https://example.com/p/2", 1000).await];
    for order in orders {
        gateway.until_state(order, "queued").await;
        eventually("the reason", || async {
            gateway.history(order).iter().any(|line| line.contains("paused by the operator")).then_some(())
        })
        .await;
        assert_eq!(gateway.status(order).await["status"], "Pending");
    }
    // What is placed is followed all the same.
    let id = story["order"]["upstream_order"].as_str().unwrap();
    assert!(alpha.set_order(id, OrderChange { status: Some("Completed".into()), ..OrderChange::default() }));
    gateway.until_status(placed, "Completed").await;

    // It outlasts a restart.
    gateway.kill();
    gateway.launch().await;
    assert!(gateway.log().contains("paused by the operator"));
    let third = gateway.order(1, "https://example.com/p/3", 1000).await;
    eventually("it to be held", || async { (!gateway.history(third).is_empty()).then_some(()) }).await;
    assert_eq!((alpha.call_count(Action::Add), beta.call_count(Action::Add)), (1, 0));

    assert_eq!(gateway.cli_json(&["resume"]), json!({"everywhere": false, "providers": []}));
    for order in [orders[0], orders[1], third] {
        gateway.until_state(order, "placed").await;
    }
    assert_eq!((accepted(&alpha, LINK), alpha.order_count(), beta.order_count()), (1, 4, 0));
    eventually("the word for it", || async { (gateway.provider_state("alpha") == "on").then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_provider_is_paused_by_itself() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = Gateway::start(&config("", &alpha, &beta)).await;
    eventually("both catalogues", || async {
        gateway.cli_json(&["providers"]).as_array()?.iter().all(|p| p["services"] == 26).then_some(())
    })
    .await;
    pause(&gateway, &["alpha"]).await;
    assert_eq!((gateway.provider_state("alpha"), gateway.provider_state("beta")), ("paused".into(), "on".into()));
    let elsewhere = gateway.order(1, LINK, 1000).await;
    let waits = gateway.order(2, "https://example.com/p/2", 1000).await;
    assert_eq!(gateway.until_state(elsewhere, "placed").await["order"]["provider"], "beta");
    gateway.until_state(waits, "queued").await;

    // The two kinds of pause do not touch each other.
    let both = gateway.cli_json(&["pause"]);
    assert_eq!(both, json!({"everywhere": true, "providers": ["alpha"]}));
    assert_eq!(gateway.cli_json(&["resume"]), json!({"everywhere": false, "providers": ["alpha"]}));
    assert_eq!(gateway.provider_state("alpha"), "paused");
    assert_eq!(alpha.call_count(Action::Add), 0);
    gateway.cli_json(&["resume", "alpha"]);
    gateway.until_state(waits, "placed").await;
    assert_eq!(gateway.cli(&["pause", "gamma"]).status.code(), Some(1), "there is no such provider");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_for_too_long_is_refunded_though_it_is_paused() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = Gateway::start(&config("hold_for = \"1s\"", &alpha, &beta)).await;
    pause(&gateway, &[]).await;
    let order = gateway.order(1, LINK, 1000).await;
    gateway.until_status(order, "Canceled").await;
    assert_eq!(gateway.balance().await, "1000");
    assert_eq!(alpha.order_count(), 0);
}
