//! Whatever Redis holds, nobody is shown for long what is not so any more.

use super::*;
use crate::harness::Redis;

/// Waits until Redis holds a status of this order.
async fn until_held(redis: &Redis, gateway: &Gateway, order: u64) {
    eventually("its status in Redis", || async {
        gateway.status(order).await;
        let ending = format!(":status:{order}");
        redis.entries().await.iter().any(|(key, _)| key.ends_with(&ending)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_resolved_while_no_gateway_runs_is_seen_at_the_start() {
    let (redis, alpha) = (Redis::start().await, upstream(1).await);
    let url = Cluster::shared().new_database().await;
    let mut gateway = Gateway::prepare_on(&config_on(&redis.url(), &alpha, ""), Some(url));
    gateway.launch().await;
    gateway.key = gateway.add_client("tester", &["--deposit", "1000"]);
    gateway.knows_key(&gateway.key).await;
    alpha.script_next(Action::Add, Fault::CloseAfter, 1);
    let order = gateway.order(1, LINK, 100).await;
    gateway.until_state(order, "uncertain").await;
    until_held(&redis, &gateway, order).await;
    assert_eq!(gateway.status(order).await["status"], "Pending");
    assert!(gateway.stop().await.success());
    gateway.cli_json(&["orders", "resolve", &order.to_string(), "--refund"]);
    gateway.launch().await;
    assert_eq!(gateway.status(order).await["status"], "Canceled");
}
