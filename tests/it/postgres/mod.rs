//! A gateway whose store is a PostgreSQL database.

mod chaos;
mod restored;

use tollgate::sandbox::Sandbox;

use crate::harness::{Cluster, Config, Gateway, accepted, database, eventually, upstream};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_reached_by_tls_with_a_root_beside_the_configuration() {
    let cluster = Cluster::start_with_tls();
    let url = cluster.new_database().await.replace("127.0.0.1", "localhost");
    let alpha = upstream(4).await;
    let mut gateway = Gateway::prepare(&config_with(&format!("{url}?sslmode=verify-full&sslrootcert=own.crt"), &alpha));
    std::fs::copy(cluster.root(), gateway.folder().join("own.crt")).unwrap();
    gateway.launch().await;
    gateway.key = gateway.add_client("safe", &["--deposit", "1000"]);
    gateway.knows_key(&gateway.key).await;
    let order = gateway.order(1, LINK, 100).await;
    gateway.until_status(order, "Completed").await;
    let plain = "SELECT count(*)::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE application_name = 'tollgate' AND NOT ssl";
    assert_eq!(database::query(&cluster.url("postgres"), plain), [Some("0".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_elsewhere_that_may_be_anybody_is_warned_of() {
    let alpha = upstream(1).await;
    for (url, warned) in [("postgres://u@db.example/d", true), ("postgres://u@db.example/d?sslmode=verify-full", false)]
    {
        let gateway = Gateway::prepare(&config_with(url, &alpha));
        let warnings = gateway.cli_json(&["check"])["warnings"].to_string();
        assert_eq!(warnings.contains("sslmode=verify-full"), warned, "{warnings}");
    }
}
