//! A database that was copied by `pg_dump` and put back.

use std::process::{Command, Output};

use serde_json::json;

use super::config_with;
use crate::harness::{Cluster, Gateway, accepted, eventually, upstream};

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nothing_is_placed_twice_and_no_id_given_twice() {
    let (first, second) = (Cluster::shared().new_database().await, Cluster::shared().new_database().await);
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&config_with(&first, &alpha)).await;
    gateway.cli_json(&["pause"]);
    eventually("the pause", || async { gateway.log().contains("paused by the operator").then_some(()) }).await;
    let queued = gateway.order(1, "https://example.com/queued", 100).await;
    let refused = gateway.cli(&["backup", "copy"]);
    assert!(!refused.status.success() && said(&refused).contains("pg_dump"), "{}", said(&refused));
    let dump = gateway.folder().join("copy.dump").display().to_string();
    run("pg_dump", &["--format=custom", "--file", &dump, &first]);
    gateway.cli_json(&["resume"]);
    gateway.until_state(queued, "placed").await;
    let running = gateway.cli(&["restore", "--after-pg-restore"]);
    assert!(!running.status.success() && said(&running).contains("stop every gateway"), "{}", said(&running));
    assert!(gateway.stop().await.success());

    run("pg_restore", &["--no-owner", "--dbname", &second, &dump]);
    let mut gateway = Gateway::prepare(&config_with(&second, &alpha));
    let refused = gateway.cli(&["restore", &dump]);
    assert!(!refused.status.success() && said(&refused).contains("pg_restore"), "{}", said(&refused));
    let restored = gateway.cli_json(&["restore", "--after-pg-restore"]);
    assert_eq!((&restored["uncertain"], &restored["file"]), (&json!(1), &json!(null)));
    gateway.verify();
    gateway.launch().await;
    gateway.key = gateway.add_client("another", &["--deposit", "10"]);
    gateway.knows_key(&gateway.key).await;
    let next = gateway.order(1, "https://example.com/next", 100).await;
    assert!(next > 1_000_000, "{next}");
    assert_eq!(gateway.story(next)["order"]["state"], "queued", "it starts without letting an order leave");
    gateway.cli_json(&["resume"]);
    gateway.until_state(next, "placed").await;
    assert_eq!(gateway.story(queued)["order"]["state"], "uncertain");
    assert_eq!(accepted(&alpha, "https://example.com/queued"), 1, "it is not sent again");
}
