//! Whatever Redis holds, nobody is shown for long what is not so any more.

use super::*;
use crate::harness::Redis;

/// Starts the first one, and makes its client.
async fn begin(gateway: &mut Gateway) {
    gateway.launch().await;
    gateway.key = gateway.add_client("tester", &["--deposit", "1000"]);
    gateway.knows_key(&gateway.key).await;
}

/// Waits until Redis holds this status of an order; whoever asks hears of no other.
async fn until_held(redis: &Redis, gateway: &Gateway, order: u64, status: &str) {
    let words = format!("\"status\":\"{status}\"");
    eventually("its status in Redis", || async {
        assert_eq!(gateway.status(order).await["status"], status);
        let ending = format!(":status:{order}");
        let is_it = |value: &[u8]| String::from_utf8_lossy(value).contains(&words);
        redis.entries().await.iter().any(|(key, value)| key.ends_with(&ending) && is_it(value)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_resolved_while_no_gateway_runs_is_seen_at_the_start() {
    let (redis, alpha) = (Redis::start().await, upstream(1).await);
    let url = Cluster::shared().new_database().await;
    let mut gateway = Gateway::prepare_on(&config_on(&redis.url(), &alpha, ""), Some(url));
    begin(&mut gateway).await;
    alpha.script_next(Action::Add, Fault::CloseAfter, 1);
    let order = gateway.order(1, LINK, 100).await;
    gateway.until_state(order, "uncertain").await;
    until_held(&redis, &gateway, order, "Pending").await;
    assert!(gateway.stop().await.success());
    gateway.cli_json(&["orders", "resolve", &order.to_string(), "--refund"]);
    gateway.launch().await;
    assert_eq!(gateway.status(order).await["status"], "Canceled");
}

/// One on Redis, and then another one that has no part in that.
async fn a_change_by_one_that_tells_another_redis(redis: &Redis, url_of_another: &str) {
    let alpha = upstream(1).await;
    let url = Cluster::shared().new_database().await;
    let on = |redis: &str| Gateway::prepare_on(&config_on(redis, &alpha, ""), Some(url.clone()));
    let (mut apart, mut gateway) = (on(url_of_another), on(&redis.url()));
    begin(&mut gateway).await;
    apart.key.clone_from(&gateway.key);
    gateway.cli_json(&["pause"]);
    until_said(&gateway, "paused by the operator").await;
    let order = gateway.order(1, LINK, 100).await;
    until_held(redis, &gateway, order, "Pending").await;

    apart.launch().await;
    until_said(&gateway, "2 gateways serve this store").await;
    // By then neither of them is new to the other.
    until_said(&gateway, "limits are not held by the Redis").await;
    assert_eq!(apart.call("cancel", &[("orders", &order.to_string())]).await[0]["cancel"], 1);
    soon("a change that Redis was not told of", &[&gateway], async |gateway| {
        gateway.status(order).await["status"] == "Canceled"
    })
    .await;
    assert!(apart.stop().await.success());
    until_held(redis, &gateway, order, "Canceled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_without_redis_changes_is_seen_by_one_with_it() {
    let redis = Redis::start().await;
    a_change_by_one_that_tells_another_redis(&redis, "memory://").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_on_another_redis_changes_is_seen_by_one_on_this() {
    let redis = Redis::start().await;
    a_change_by_one_that_tells_another_redis(&redis, &format!("{}/9", redis.url().trim_end_matches("/0"))).await;
}
