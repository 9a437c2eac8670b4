//! SIGHUP: what another configuration changes at once, what it must not change, and that nobody notices otherwise.

mod load;
mod providers;
mod refused;

use rust_decimal::Decimal;
use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, eventually, upstream};

/// Service 1 at alpha, with this markup.
fn with_markup(alpha: &Sandbox, percent: u32) -> Config {
    Config::new(&format!("[pricing]\nmarkup_percent = \"{percent}\""))
        .provider("alpha", alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_markup_shows_in_services_right_after_and_in_the_next_charge() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&with_markup(&alpha, 20)).await;
    assert_eq!(gateway.rates().await, [(1, "1.08".to_owned())]);
    gateway.reload(&with_markup(&alpha, 50)).await;
    assert_eq!(gateway.rates().await, [(1, "1.35".to_owned())]);
    gateway.order(1, "https://example.com/p/1", 1000).await;
    assert_eq!(gateway.balance().await, "998.65");
    assert!(gateway.log().contains("services 0 gained, 0 lost, 1 repriced"), "it is summed up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_reported_whole_and_the_old_one_stays() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&with_markup(&alpha, 20)).await;
    let bad = with_markup(&alpha, 50).service(2, "routes = [\"gamma:1\"]").service(3, "rutes = 1");
    let log = gateway.refuses_reload(&bad).await;
    for mistake in ["gamma", "did you mean `routes`?", "providers.toml:"] {
        assert!(log.contains(mistake), "{mistake} is missing: {log}");
    }
    let no_secret = Config::new("")
        .text("[[provider]]\nid = \"alpha\"\nurl = \"https://a.test\"\nkey = \"env:TOLLGATE_TEST_UNSET\"");
    assert!(gateway.refuses_reload(&no_secret).await.contains("TOLLGATE_TEST_UNSET is not set"));
    assert_eq!(gateway.rates().await, [(1, "1.08".to_owned())]);
    gateway.order(1, "https://example.com/p/1", 1000).await;
    gateway.reload(&with_markup(&alpha, 50)).await;
    assert_eq!(gateway.rates().await, [(1, "1.35".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_has_its_queued_orders_refunded_and_its_placed_ones_followed() {
    let alpha = upstream(1).await;
    let both = with_markup(&alpha, 20).service(2, "routes = [\"alpha:3\"]");
    let gateway = Gateway::start(&both).await;
    let placed = gateway.order(2, "https://example.com/placed", 1000).await;
    gateway.until_state(placed, "placed").await;
    let after_placed = gateway.balance().await;
    assert!(gateway.cli(&["pause"]).status.success());
    eventually("the pause", || async { gateway.log().contains("paused by the operator").then_some(()) }).await;
    let queued = gateway.order(2, "https://example.com/queued", 1000).await;
    let kept = gateway.order(1, "https://example.com/kept", 1000).await;
    gateway.until_state(kept, "queued").await;

    gateway.reload(&with_markup(&alpha, 20)).await;
    gateway.until_status(queued, "Canceled").await;
    let read = |balance: &str| balance.parse::<Decimal>().unwrap();
    let charged = read(&after_placed) - read(&gateway.balance().await);
    assert_eq!(charged, read("1.08"), "all of it is given back, and only that");
    assert_eq!(gateway.story(kept)["order"]["state"], "queued");
    assert_eq!(gateway.add(2, "https://example.com/more", 1000).await["error"], "Incorrect service ID");

    let id = gateway.story(placed)["order"]["upstream_order"].as_str().unwrap().to_owned();
    let completed = tollgate::sandbox::OrderChange { status: Some("Completed".into()), ..Default::default() };
    assert!(alpha.set_order(&id, completed));
    gateway.until_status(placed, "Completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_believed_about_addresses_changes_at_once() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&with_markup(&alpha, 20)).await;
    let key = gateway.add_client("fixed", &["--deposit", "1", "--allow-ip", "203.0.113.7"]);
    let ask = async || {
        let form = [("key", key.as_str()), ("action", "balance")];
        let request = gateway.http().post(&gateway.api).header("x-forwarded-for", "203.0.113.7").form(&form);
        request.send().await.unwrap().json::<serde_json::Value>().await.unwrap()
    };
    eventually("the new client", || async { ask().await.get("balance").is_some().then_some(()) }).await;
    gateway.reload(&with_markup(&alpha, 20).server("trusted_proxies = [\"192.0.2.1/32\"]")).await;
    assert!(ask().await["error"].is_string(), "this test is no proxy any more");
    gateway.reload(&with_markup(&alpha, 20)).await;
    assert_eq!(ask().await["balance"], "1");
}
