//! What a gateway finds of its last life, and how it ends one.

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::{Config, Gateway, accepted, eventually, upstream};

const LINK: &str = "https://example.com/p";

async fn gateway_with(tables: &str) -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let config = Config::new(tables).provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

async fn until_called(upstream: &Sandbox, times: u64) {
    eventually("the upstream to be asked", || async { (upstream.call_count(Action::Add) >= times).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_being_sent_at_a_kill_is_uncertain() {
    let (alpha, mut gateway) = gateway_with("[dispatch]\nwait = \"0s\"").await;
    alpha.script_next(Action::Add, Fault::HangAfter, 1);
    let order = gateway.order(1, LINK, 100).await;
    until_called(&alpha, 1).await;
    gateway.kill();
    gateway.launch().await;
    let story = gateway.story(order);
    assert_eq!(story["order"]["state"], "uncertain", "already when it serves again");
    assert_eq!(story["attempts"][0]["outcome"], "ambiguous");
    let told = gateway.until_told(order, "the gateway stopped while it was being sent").await;
    assert!(told.starts_with("alert: "), "{told}");
    let next = gateway.order(1, "https://example.com/next", 100).await;
    gateway.until_state(next, "placed").await;
    assert_eq!(accepted(&alpha, LINK), 1);
    assert_eq!(gateway.status(order).await["status"], "Pending");
    assert_eq!(gateway.balance().await, "999.784");
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_orders_go_on_after_a_kill_and_after_a_stop() {
    let (alpha, mut gateway) = gateway_with("[dispatch]\nwait = \"0s\"").await;
    alpha.set_faults("error(Maintenance)".parse().unwrap());
    let order = gateway.order(1, LINK, 100).await;
    until_called(&alpha, 1).await;
    gateway.until_told(order, "held").await;
    gateway.kill();
    gateway.launch().await;
    until_called(&alpha, 2).await;
    assert!(gateway.stop().await.success());
    alpha.set_faults("".parse().unwrap());
    gateway.launch().await;
    gateway.until_state(order, "placed").await;
    assert_eq!(accepted(&alpha, LINK), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_answers_that_are_under_way() {
    let (alpha, mut gateway) = gateway_with("[dispatch]\nwait = \"30s\"").await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(2)), 1);
    let caller = gateway.caller();
    let mut call = JoinSet::new();
    call.spawn(async move { caller.add(1, LINK, 100).await });
    until_called(&alpha, 1).await;
    assert!(gateway.stop().await.success());
    let answer = call.join_next().await.unwrap().unwrap().unwrap();
    let order = answer["order"].as_u64().unwrap();
    let story = gateway.story(order);
    assert_eq!(story["order"]["state"], "placed", "{story}");
    assert_eq!(story["order"]["upstream_order"], alpha.orders()[0].id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_what_is_queued_in_the_queue() {
    let alpha = upstream(1).await;
    let config = Config::new("[dispatch]\nwait = \"0s\"")
        .provider("alpha", &alpha, "max_in_flight = 1")
        .service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::start(&config).await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(2)), 1);
    let first = gateway.order(1, LINK, 100).await;
    until_called(&alpha, 1).await;
    let second = gateway.order(1, "https://example.com/second", 100).await;
    assert!(gateway.stop().await.success());
    assert_eq!(gateway.story(first)["order"]["state"], "placed");
    let story = gateway.story(second);
    assert_eq!(story["order"]["state"], "queued", "{story}");
    assert_eq!(story["attempts"].as_array().unwrap().len(), 0);
    gateway.launch().await;
    gateway.until_state(second, "placed").await;
    assert_eq!(alpha.order_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_the_same_store_is_refused() {
    let (alpha, gateway) = gateway_with("").await;
    let second = gateway.cli(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("tollgate.db") && said.contains("another gateway"), "{said}");
    gateway.order(1, LINK, 100).await;
    assert_eq!(alpha.order_count(), 1);
}
