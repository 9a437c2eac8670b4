//! Statuses in a Redis, which may be slow, gone or restarted: losing it is never wrong, only slower.

use std::time::Duration;

use tokio::time::Instant;
use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, Redis, eventually, upstream};

/// No request may wait longer for a Redis that does not answer.
const BOUND: Duration = Duration::from_secs(2);

/// How many bytes stand before an entry's body.
const HEAD: usize = 25;

fn cached(redis: &Redis, alpha: &Sandbox, status_ttl: &str) -> Config {
    Config::new(&format!("[cache]\nurl = \"{}\"\nstatus_ttl = \"{status_ttl}\"", redis.url()))
        .provider("alpha", alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
}

/// Asks for the status of each order; every answer must come in time.
async fn all_answer(gateway: &Gateway, orders: &[u64]) {
    for order in orders {
        let begin = Instant::now();
        let answer = gateway.status(*order).await;
        assert!(answer["status"].is_string(), "{answer}");
        assert!(begin.elapsed() < BOUND, "a status took {:?}", begin.elapsed());
    }
}

async fn holds_something(redis: &Redis, gateway: &Gateway, orders: &[u64]) {
    eventually("statuses in Redis", || async {
        all_answer(gateway, orders).await;
        redis.entries().await.iter().any(|(_, value)| value.len() > HEAD).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_answered_from_redis_and_by_client() {
    let (redis, alpha) = (Redis::start().await, upstream(1).await);
    let gateway = Gateway::start(&cached(&redis, &alpha, "1h")).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    holds_something(&redis, &gateway, &[order]).await;
    // What Redis is made to say is what the client is told: so it was asked.
    let words = br#"{"status":"from Redis"}"#;
    eventually("an answer from Redis", || async {
        for (key, value) in redis.entries().await {
            assert!(key.starts_with("tollgate:"), "{key}");
            if value.len() > HEAD {
                redis.set(&key, &[&value[..HEAD], words].concat()).await;
            }
        }
        (gateway.status(order).await["status"] == "from Redis").then_some(())
    })
    .await;
    let other = gateway.add_client("other", &[]);
    gateway.knows_key(&other).await;
    let status = [("key", other.as_str()), ("action", "status"), ("order", &order.to_string())];
    assert_eq!(gateway.post(&status).await["error"], "Incorrect order ID", "it is another client's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_order_is_seen_through_redis() {
    let (redis, alpha) = (Redis::start().await, upstream(10).await);
    let gateway = Gateway::start(&cached(&redis, &alpha, "100ms")).await;
    let (whole, part) =
        (gateway.order(1, "https://e.com/1", 1000).await, gateway.order(1, "https://e.com/partial", 1000).await);
    assert_eq!(gateway.status(whole).await["status"], "Pending");
    gateway.until_status(whole, "Completed").await;
    let ended = gateway.until_status(part, "Partial").await;
    assert_eq!((&ended["charge"], &ended["remains"]), (&"0.648".into(), &"400".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_while_redis_is_gone_and_it_is_used_again_when_it_is_back() {
    let (mut redis, alpha) = (Redis::start().await, upstream(10).await);
    let gateway = Gateway::start(&cached(&redis, &alpha, "100ms")).await;
    let mut orders = vec![gateway.order(1, "https://example.com/p/1", 1000).await];
    holds_something(&redis, &gateway, &orders).await;
    redis.kill();
    for number in 2..10 {
        all_answer(&gateway, &orders).await;
        orders.push(gateway.order(1, &format!("https://example.com/p/{number}"), 1000).await);
    }
    for order in &orders {
        let ended = gateway.until_status(*order, "Completed").await;
        assert_eq!((&ended["charge"], &ended["remains"]), (&"1.08".into(), &"0".into()));
    }
    let warning = |line: &&str| line.contains("WARN") && line.contains("cache.url");
    assert_eq!(gateway.log().lines().filter(warning).count(), 1, "told once:\n{}", gateway.log());
    redis.launch().await;
    holds_something(&redis, &gateway, &orders).await;
    for order in &orders {
        assert_eq!(gateway.status(*order).await["status"], "Completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_delays_nobody_for_long() {
    let (redis, alpha) = (Redis::start().await, upstream(10).await);
    let gateway = Gateway::start(&cached(&redis, &alpha, "100ms")).await;
    let mut orders = vec![gateway.order(1, "https://example.com/p/1", 1000).await];
    holds_something(&redis, &gateway, &orders).await;
    redis.freeze();
    for number in 2..12 {
        all_answer(&gateway, &orders).await;
        let begin = Instant::now();
        orders.push(gateway.order(1, &format!("https://example.com/p/{number}"), 1000).await);
        assert!(begin.elapsed() < BOUND, "an order took {:?}", begin.elapsed());
    }
    for order in &orders {
        gateway.until_status(*order, "Completed").await;
    }
    redis.thaw();
    for order in &orders {
        assert_eq!(gateway.status(*order).await["status"], "Completed", "what it held before is not believed");
    }
    holds_something(&redis, &gateway, &orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_without_its_redis_and_finds_it_later() {
    let (mut redis, alpha) = (Redis::prepare(&[]), upstream(10).await);
    let gateway = Gateway::start(&cached(&redis, &alpha, "100ms")).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    gateway.until_status(order, "Completed").await;
    redis.launch().await;
    holds_something(&redis, &gateway, &[order]).await;
}
