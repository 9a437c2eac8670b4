//! How long `add` waits for the upstream's word.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, accepted, eventually, upstream};

const LINK: &str = "https://example.com/p";

async fn gateway_that_waits(wait: &str) -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let config = Config::new(&format!("[dispatch]\nwait = \"{wait}\""))
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_is_waited_for_no_longer_than_told() {
    let (alpha, gateway) = gateway_that_waits("400ms").await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(4)), 1);
    let begin = Instant::now();
    let order = gateway.order(1, LINK, 100).await;
    let took = begin.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(gateway.story(order)["order"]["state"], "sending");
    gateway.until_state(order, "placed").await;
    assert_eq!(accepted(&alpha, LINK), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_within_the_wait_ends_it() {
    let (_alpha, gateway) = gateway_that_waits("30s").await;
    let begin = Instant::now();
    let order = gateway.order(1, LINK, 100).await;
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert_eq!(gateway.story(order)["order"]["state"], "placed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_wait_the_id_comes_at_once_and_a_refusal_later() {
    let (alpha, gateway) = gateway_that_waits("0s").await;
    alpha.script_next(Action::Add, Fault::HangAfter, 1);
    let begin = Instant::now();
    let hanging = gateway.order(1, LINK, 100).await;
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    eventually("the order to leave", || async { (alpha.call_count(Action::Add) == 1).then_some(()) }).await;
    assert_eq!(gateway.story(hanging)["order"]["state"], "sending");
    alpha.script_next(Action::Add, Fault::Error("Bad link".to_owned()), 1);
    let refused = gateway.order(1, "https://example.com/bad", 100).await;
    let shown = gateway.until_status(refused, "Canceled").await;
    assert_eq!(shown["charge"], "0");
    assert_eq!(gateway.balance().await, "999.892", "only the first is charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_within_the_wait_is_an_error() {
    let (alpha, gateway) = gateway_that_waits("30s").await;
    alpha.script_next(Action::Add, Fault::Error("Instagram profile is hidden.".to_owned()), 1);
    assert_eq!(gateway.add(1, LINK, 100).await["error"], "Instagram profile is hidden.");
    assert_eq!(gateway.balance().await, DEPOSIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_changes_nothing() {
    let (alpha, gateway) = gateway_that_waits("30s").await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_millis(1500)), 1);
    let caller = gateway.caller();
    let mut call = JoinSet::new();
    call.spawn(async move { caller.add(1, LINK, 100).await });
    eventually("the order to leave", || async { (alpha.call_count(Action::Add) == 1).then_some(()) }).await;
    call.shutdown().await;
    let order = eventually("the order to be placed", || async {
        let placed = gateway.cli_json(&["orders", "list", "--state", "placed"]);
        placed[0]["order"].as_u64()
    })
    .await;
    assert_eq!(gateway.story(order)["order"]["upstream_order"], alpha.orders()[0].id.as_str());
}
