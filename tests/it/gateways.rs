//! Several gateways on one PostgreSQL database: any of them takes any request, one does for all what must be done once,
//! and what one leaves behind goes on at the others.

use std::time::{Duration, Instant};

use serde_json::json;
use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::gateway::signal;
use crate::harness::{Cluster, Config, Gateway, accepted, eventually, upstream};

const LINK: &str = "https://example.com/p";
/// How long a change may take to get around, with some room for a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn config_with(alpha: &Sandbox, markup: u32, lines: &str) -> Config {
    let markup = format!("[dispatch]\nwait = \"2s\"\n[pricing]\nmarkup_percent = \"{markup}\"");
    let patience = if lines.contains("add_timeout") { "" } else { "add_timeout = \"2s\"\n" };
    let lines = format!("connect_timeout = \"1s\"\n{patience}{lines}");
    Config::new(&markup).provider("alpha", alpha, &lines).service(1, "routes = [\"alpha:1\"]")
}

/// Two gateways on one database, and the client of both.
async fn pair(config: &Config) -> (Gateway, Gateway) {
    let url = Cluster::shared().new_database().await;
    let mut first = Gateway::prepare_on(config, Some(url.clone()));
    let mut second = Gateway::prepare_on(config, Some(url));
    first.launch().await;
    second.launch().await;
    first.key = first.add_client("tester", &["--deposit", "1000"]);
    second.key.clone_from(&first.key);
    for gateway in [&first, &second] {
        gateway.knows_key(&gateway.key).await;
        // Until then neither sends anything by a share that may be the other's.
        until_said(gateway, "2 gateways serve this store").await;
    }
    (first, second)
}

async fn until_said(gateway: &Gateway, words: &str) {
    eventually(words, || async { gateway.log().contains(words).then_some(()) }).await;
}

/// Waits for something that must not take longer than it takes a change to get around.
async fn soon<T>(what: &str, condition: impl AsyncFn() -> Option<T>) -> T {
    let since = Instant::now();
    let found = eventually(what, || condition()).await;
    assert!(since.elapsed() < SOON, "{what} took {:?}", since.elapsed());
    found
}

async fn until_called(alpha: &Sandbox, times: u64) {
    eventually("the upstream to be asked", || async { (alpha.call_count(Action::Add) >= times).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_takes_is_known_to_the_other() {
    let alpha = upstream(1).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    let order = first.order(1, LINK, 100).await;
    assert_eq!(second.status(order).await["charge"], "0.108");
    assert_eq!((first.balance().await, second.balance().await), ("999.892".into(), "999.892".into()));
    let form = [("service", "1"), ("link", "https://example.com/q"), ("quantity", "100"), ("request_id", "r-1")];
    let placed = first.call("add", &form).await;
    assert_eq!(second.call("add", &form).await, placed, "a repeat is one wherever it comes in");
    let canceled = second.call("cancel", &[("orders", &order.to_string())]).await;
    assert_eq!(canceled[0]["cancel"], 1);
    first.until_status(order, "Canceled").await;
    assert_eq!(second.until_status(order, "Canceled").await["charge"], "0");
    assert_eq!(accepted(&alpha, LINK), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_had_queued_goes_on_and_what_it_was_sending_is_uncertain() {
    let alpha = upstream(20).await;
    let (mut first, second) = pair(&config_with(&alpha, 20, "max_in_flight = 1")).await;
    alpha.script_next(Action::Add, Fault::HangAfter, 1);
    let lost = first.order(1, "https://example.com/lost", 100).await;
    until_called(&alpha, 1).await;
    let mut queued = Vec::new();
    for number in 0..3 {
        queued.push(first.order(1, &format!("https://example.com/{number}"), 100).await);
    }
    first.kill();
    let since = Instant::now();
    for order in &queued {
        let story = eventually("a queued order to go on", || async {
            let story = second.story(*order);
            (story["order"]["state"] != "queued" && story["order"]["state"] != "sending").then_some(story)
        })
        .await;
        assert_eq!(story["attempts"].as_array().unwrap().len(), 1, "{story}");
    }
    assert!(since.elapsed() < Duration::from_secs(15), "they waited for {:?}", since.elapsed());
    assert_eq!(second.story(lost)["order"]["state"], "sending", "its gateway may be alive");
    let story = second.until_state(lost, "uncertain").await;
    assert_eq!(story["attempts"][0]["outcome"], "ambiguous");
    for number in 0..3 {
        assert_eq!(accepted(&alpha, &format!("https://example.com/{number}")), 1);
    }
    assert_eq!(accepted(&alpha, "https://example.com/lost"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stood_still_sends_nothing_by_an_old_claim_and_writes_what_it_was_told() {
    let alpha = upstream(20).await;
    let (first, second) = pair(&config_with(&alpha, 20, "max_in_flight = 1\nadd_timeout = \"20s\"")).await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(2)), 1);
    let slow = first.order(1, "https://example.com/slow", 100).await;
    until_called(&alpha, 1).await;
    let queued = first.order(1, "https://example.com/queued", 100).await;
    signal(first.pid(), "STOP");
    second.until_status(queued, "Completed").await;
    assert_eq!(second.story(slow)["order"]["state"], "sending");
    signal(first.pid(), "CONT");
    second.until_status(slow, "Completed").await;
    let next = first.order(1, "https://example.com/next", 100).await;
    first.until_status(next, "Completed").await;
    for (order, link) in [(slow, "slow"), (queued, "queued"), (next, "next")] {
        assert_eq!(accepted(&alpha, &format!("https://example.com/{link}")), 1);
        assert_eq!(second.story(order)["attempts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stood_still_past_its_lease_changes_nothing_that_was_decided_since() {
    let alpha = upstream(20).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    alpha.script_next(Action::Add, Fault::HangAfter, 1);
    let lost = first.order(1, "https://example.com/lost", 100).await;
    until_called(&alpha, 1).await;
    signal(first.pid(), "STOP");
    second.until_state(lost, "uncertain").await;
    second.cli_json(&["orders", "resolve", &lost.to_string(), "--refund"]);
    signal(first.pid(), "CONT");
    let next = first.order(1, "https://example.com/next", 100).await;
    first.until_status(next, "Completed").await;
    let story = first.story(lost);
    assert_eq!((&story["order"]["state"], &story["order"]["refunded"]), (&json!("closed"), &json!("0.108")));
    assert_eq!(accepted(&alpha, "https://example.com/lost"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_reach_every_gateway_within_seconds() {
    let alpha = upstream(1).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    let second_key = first.cli_json(&["key", "add", "tester"]);
    let (id, key) = (second_key["id"].to_string(), second_key["key"].as_str().unwrap().to_owned());
    second.knows_key(&key).await;
    first.cli_json(&["key", "revoke", "tester", &id]);
    for gateway in [&first, &second] {
        soon("the key to be gone", async || {
            let answer = gateway.post(&[("key", &key), ("action", "balance")]).await;
            (answer["error"] == "Invalid API key").then_some(())
        })
        .await;
    }
    first.cli_json(&["client", "deposit", "tester", "5"]);
    assert_eq!(second.balance().await, "1005");
    first.cli_json(&["pause"]);
    for gateway in [&first, &second] {
        soon("the pause", async || gateway.log().contains("paused by the operator").then_some(())).await;
    }
    let waits = second.order(1, LINK, 100).await;
    assert_eq!(alpha.call_count(Action::Add), 0);
    second.cli_json(&["resume"]);
    first.until_state(waits, "placed").await;

    let dearer = config_with(&alpha, 100, "");
    second.reconfigure(&dearer);
    first.reload(&dearer).await;
    for gateway in [&first, &second] {
        soon("the new rates", async || (gateway.rates().await == [(1, "1.8".to_owned())]).then_some(())).await;
    }
    assert_eq!(first.log().matches(": reloaded ").count(), 1, "each reads it once");
    assert_eq!(second.log().matches(": reloaded ").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_fetched_by_one_gateway_and_followed_by_all() {
    let alpha = upstream(1).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    assert_eq!(alpha.call_count(Action::Services), 1, "the second took over what the first had fetched");
    assert!(alpha.set_rate(1, "1.80".parse().unwrap()));
    second.cli_json(&["sync"]);
    for gateway in [&first, &second] {
        soon("the new rates", async || (gateway.rates().await == [(1, "2.16".to_owned())]).then_some(())).await;
    }
    assert_eq!(alpha.call_count(Action::Services), 2, "one gateway carried it out");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_serve_by_other_files_say_so() {
    let alpha = upstream(1).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    first.reload(&config_with(&alpha, 100, "")).await;
    for gateway in [&first, &second] {
        until_said(gateway, "1 of 2 gateways serve by another providers.toml").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_leaves_at_once_what_it_had_queued() {
    let alpha = upstream(20).await;
    let (mut first, mut second) = pair(&config_with(&alpha, 20, "")).await;
    first.cli_json(&["pause"]);
    soon("the pause", async || first.log().contains("paused by the operator").then_some(())).await;
    let order = first.order(1, LINK, 100).await;
    assert!(first.stop().await.success());
    until_said(&second, "1 gateways serve this store").await;
    second.cli_json(&["resume"]);
    second.until_status(order, "Completed").await;
    assert!(second.stop().await.success());
    let nobody = second.cli(&["providers"]);
    assert!(nobody.status.success());
    assert_eq!(accepted(&alpha, LINK), 1);
}
