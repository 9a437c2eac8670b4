//! The store's file: whose it may be, what becomes of it, and changing clients beside a running gateway.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::Instant;

use crate::harness::gateway::program;
use crate::harness::{Config, Gateway, eventually, upstream};

/// What the contract promises of a change made on the command line.
const TAKES_EFFECT: Duration = Duration::from_secs(2);

const TOOL_VERBS: &[&[&str]] = &[
    &["client", "list"],
    &["client", "add", "other"],
    &["key", "list", "tester"],
    &["services"],
    &["providers"],
    &["sync"],
    &["orders", "list"],
    &["orders", "show", "1"],
    &["orders", "resolve", "1", "--refund"],
    &["verify"],
];

fn one_service(alpha: &tollgate::sandbox::Sandbox) -> Config {
    Config::new("").provider("alpha", alpha, "").service(1, "routes = [\"alpha:1\"]")
}

/// Every file of the store with what is in it; the lock's file holds nothing and is no part of it.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_none_or(|extension| extension != "lock"));
    files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn assert_untouched(gateway: &Gateway, before: &BTreeMap<String, Vec<u8>>) {
    let now = contents(gateway.folder());
    assert!(now.keys().eq(before.keys()), "there are {:?} now", now.keys());
    assert!(now == *before, "a file was changed");
}

/// Runs the verb, which must fail with these words.
fn fails(gateway: &Gateway, verb: &[&str], words: &[&str]) {
    let output = gateway.cli(verb);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{verb:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{verb:?} does not say {word:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&one_service(&alpha)).await;
    assert!(gateway.stop().await.success());
    gateway.leave_unverified();
    let newer = Connection::open(gateway.store_file()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    newer.close().unwrap();
    let before = contents(gateway.folder());
    assert!(before.contains_key("tollgate.db"));
    for verb in [&[&["serve"][..]], TOOL_VERBS].concat() {
        fails(&gateway, verb, &["tollgate.db", "99", "newer"]);
    }
    assert_untouched(&gateway, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_store_of_ours_is_refused_and_left_as_it_is() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::prepare(&one_service(&alpha));
    gateway.leave_unverified();
    std::fs::write(gateway.store_file(), "this is a diary, and no database at all\n".repeat(100)).unwrap();
    let before = contents(gateway.folder());
    for verb in [&["serve"][..], &["client", "list"], &["verify"], &["sync"]] {
        fails(&gateway, verb, &["not a database", "tollgate.db"]);
    }
    assert_untouched(&gateway, &before);

    std::fs::remove_file(gateway.store_file()).unwrap();
    let other = Connection::open(gateway.store_file()).unwrap();
    other.execute_batch("CREATE TABLE diary (day TEXT)").unwrap();
    other.close().unwrap();
    let before = contents(gateway.folder());
    for verb in [&["serve"][..], &["client", "list"], &["verify"]] {
        fails(&gateway, verb, &["another program", "store.url"]);
    }
    assert_untouched(&gateway, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_without_a_store_say_who_makes_one_and_make_none() {
    let alpha = upstream(20).await;
    let gateway = Gateway::prepare(&one_service(&alpha));
    for verb in TOOL_VERBS {
        fails(&gateway, verb, &["there is no store", "tollgate.db", "tollgate serve"]);
    }
    let files: Vec<String> = contents(gateway.folder()).into_keys().collect();
    assert_eq!(files, ["providers.toml"]);
    assert_eq!(alpha.calls().len(), 0, "no upstream was called for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_made_is_told_of() {
    let alpha = upstream(20).await;
    // A folder that is missing, since nothing is read-only to root.
    let config = one_service(&alpha).text("[store]\nurl = \"sqlite://missing/tollgate.db\"");
    fails(&Gateway::prepare(&config), &["serve"], &["missing/tollgate.db"]);
    // Nor is the kernel's folder writable to anybody.
    let config = one_service(&alpha).text("[store]\nurl = \"sqlite:///proc/tollgate.db\"");
    fails(&Gateway::prepare(&config), &["serve"], &["/proc/tollgate.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_survives_a_restart() {
    let alpha = upstream(1).await;
    let mut gateway = Gateway::start(&one_service(&alpha).server("first_order_id = 500")).await;
    let first = gateway.order(1, "https://example.com/p/1", 1000).await;
    assert_eq!(first, 500);
    let balance = gateway.balance().await;
    assert!(gateway.stop().await.success());
    assert_eq!(gateway.story(first)["order"]["state"], "placed");
    gateway.launch().await;
    assert_eq!(gateway.balance().await, balance);
    assert_eq!(gateway.story(first)["attempts"].as_array().unwrap().len(), 1);
    gateway.kill();
    gateway.launch().await;
    assert_eq!(gateway.balance().await, balance);
    assert_eq!(gateway.order(1, "https://example.com/p/2", 1000).await, 501);
    assert_eq!(alpha.order_count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_lies_beside_its_configuration_wherever_a_verb_is_run() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&one_service(&alpha).text("[store]\nurl = \"sqlite://odd%20name.db\"")).await;
    assert!(gateway.folder().join("odd%20name.db").exists());
    let elsewhere = tempfile::TempDir::new().unwrap();
    let mut command = program();
    command.args(["client", "list", "--config"]).arg(gateway.config_file()).current_dir(elsewhere.path());
    let output = command.output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("tester"), "{output:?}");
    assert_eq!(contents(elsewhere.path()).len(), 0);
    gateway.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_never_share_a_store() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&one_service(&alpha)).await;
    fails(&gateway, &["serve"], &["in use by another gateway", "tollgate.db"]);
    gateway.order(1, "https://example.com/p/1", 100).await;
}

/// Asks as a client until the answer is right, and requires that this took no longer than is promised.
async fn takes_effect(
    gateway: &Gateway,
    what: &str,
    key: &str,
    action: &str,
    right: impl Fn(&serde_json::Value) -> bool,
) {
    let begin = Instant::now();
    eventually(what, || async {
        let answer = gateway.post(&[("key", key), ("action", action)]).await;
        right(&answer).then_some(())
    })
    .await;
    assert!(begin.elapsed() <= TAKES_EFFECT, "{what} took {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_to_a_client_take_effect_within_two_seconds() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&one_service(&alpha)).await;
    let key = gateway.key.clone();
    let is_refused = |answer: &serde_json::Value| answer["error"].is_string();
    let balance = |amount: &'static str| move |answer: &serde_json::Value| answer["balance"] == amount;
    let rate = |rate: &'static str| move |answer: &serde_json::Value| answer[0]["rate"] == rate;

    let second = gateway.cli_json(&["key", "add", "tester", "--label", "spare"]);
    let spare = second["key"].as_str().unwrap();
    takes_effect(&gateway, "a new key", spare, "balance", balance("1000")).await;
    gateway.cli_json(&["key", "revoke", "tester", &second["id"].to_string()]);
    takes_effect(&gateway, "a revoked key", spare, "balance", is_refused).await;
    takes_effect(&gateway, "the other key to go on", &key, "balance", balance("1000")).await;

    gateway.cli_json(&["client", "deposit", "tester", "0.5"]);
    takes_effect(&gateway, "a deposit", &key, "balance", balance("1000.5")).await;
    gateway.cli_json(&["client", "withdraw", "tester", "1"]);
    takes_effect(&gateway, "a withdrawal", &key, "balance", balance("999.5")).await;

    takes_effect(&gateway, "the usual markup", &key, "services", rate("1.08")).await;
    gateway.cli_json(&["client", "set", "tester", "--markup", "50"]);
    takes_effect(&gateway, "its own markup", &key, "services", rate("1.35")).await;
    gateway.cli_json(&["client", "set", "tester", "--markup", "none"]);
    takes_effect(&gateway, "the usual markup again", &key, "services", rate("1.08")).await;
    gateway.cli_json(&["client", "set", "tester", "--allow-service", "7*"]);
    takes_effect(&gateway, "a narrower choice", &key, "services", |answer| *answer == serde_json::json!([])).await;
    gateway.cli_json(&["client", "set", "tester", "--allow-service", "none", "--allow-ip", "192.0.2.0/24"]);
    takes_effect(&gateway, "an address elsewhere", &key, "balance", is_refused).await;
    gateway.cli_json(&["client", "set", "tester", "--allow-ip", "none"]);
    takes_effect(&gateway, "any address", &key, "balance", balance("999.5")).await;

    gateway.cli_json(&["client", "disable", "tester"]);
    takes_effect(&gateway, "a disabled client", &key, "balance", is_refused).await;
    gateway.cli_json(&["client", "enable", "tester"]);
    takes_effect(&gateway, "an enabled client", &key, "balance", balance("999.5")).await;

    let other = gateway.add_client("other", &[]);
    takes_effect(&gateway, "a new client", &other, "balance", balance("0")).await;
    gateway.cli_json(&["client", "set", "other", "--credit", "5"]);
    gateway.order_of(&other, 1, "https://example.com/p/1", 1000).await;
    assert_eq!(gateway.cli_json(&["client", "show", "other"])["balance"], "-1.08");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_changed_while_no_gateway_runs_too() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&one_service(&alpha)).await;
    assert!(gateway.stop().await.success());
    let other = gateway.add_client("other", &["--deposit", "7", "--markup", "100"]);
    let spare = gateway.cli_json(&["key", "add", "other", "--read-only"]);
    let first = &gateway.cli_json(&["key", "list", "tester"])[0]["id"];
    gateway.cli_json(&["key", "revoke", "tester", &first.to_string()]);
    gateway.cli_json(&["client", "deposit", "other", "3", "--ref", "a"]);
    gateway.launch().await;
    let ask = async |key: &str, action: &str| gateway.post(&[("key", key), ("action", action)]).await;
    assert_eq!(ask(&other, "balance").await["balance"], "10");
    assert_eq!(ask(&other, "services").await[0]["rate"], "1.8");
    assert!(ask(&gateway.key, "balance").await["error"].is_string());
    let spare = spare["key"].as_str().unwrap();
    assert_eq!(ask(spare, "balance").await["balance"], "10");
    let add = [("key", spare), ("action", "add"), ("service", "1"), ("link", "https://e.com/1"), ("quantity", "100")];
    assert!(gateway.post(&add).await["error"].is_string(), "a read-only key spends nothing");
}
