//! A gateway whose store is a PostgreSQL database.

use tollgate::sandbox::Sandbox;

use crate::harness::{Cluster, Config, Gateway, accepted, eventually, upstream};

const LINK: &str = "https://example.com/p";

fn config_with(url: &str, alpha: &Sandbox) -> Config {
    let tables = format!("[store]\nurl = \"{url}\"\n[dispatch]\nwait = \"5s\"");
    Config::new(&tables).provider("alpha", alpha, "").service(1, "routes = [\"alpha:1\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_followed_to_its_end_through_a_kill() {
    let url = Cluster::shared().new_database().await;
    let alpha = upstream(4).await;
    let mut gateway = Gateway::start(&config_with(&url, &alpha)).await;
    let order = gateway.order(1, LINK, 100).await;
    gateway.kill();
    gateway.launch().await;
    gateway.until_status(order, "Completed").await;
    gateway.until_state(order, "closed").await;
    assert_eq!(gateway.balance().await, "999.892");
    assert_eq!(accepted(&alpha, LINK), 1);
    assert!(!gateway.log().contains("not-shown"), "the password is in the log: {}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_is_used_again() {
    let mut cluster = Cluster::start();
    let url = cluster.new_database().await;
    let alpha = upstream(1).await;
    let mut gateway = Gateway::prepare(&config_with("env:STORE_OF_TEST", &alpha));
    gateway.set_env("STORE_OF_TEST", &url);
    gateway.launch().await;
    gateway.key = gateway.add_client("away", &["--deposit", "1000"]);
    gateway.knows_key(&gateway.key).await;
    let before = gateway.order(1, LINK, 100).await;
    cluster.kill();
    let params = [("service", "1"), ("link", "https://example.com/away"), ("quantity", "100")];
    eventually("an order to be refused", || async { gateway.call("add", &params).await.get("error").map(|_| ()) })
        .await;
    cluster.restart();
    eventually("an order to be taken", || async {
        let params = [("service", "1"), ("link", "https://example.com/again"), ("quantity", "100")];
        gateway.call("add", &params).await.get("order").map(|_| ())
    })
    .await;
    assert_eq!(gateway.status(before).await["charge"], "0.108");
    assert!(accepted(&alpha, "https://example.com/again") <= 1);
}
