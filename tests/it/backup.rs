//! Copies of the store while orders are placed, and what a restored one is believed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::{Config, Gateway, accepted, eventually, upstream};

async fn shop() -> (Sandbox, Gateway) {
    let alpha = upstream(20).await;
    let config =
        Config::new("[dispatch]\nwait = \"0s\"").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap()
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

/// A gateway's configuration on a copy of its store, with nothing running.
fn beside(config: &Config, copy: &Path) -> Gateway {
    let other = Gateway::prepare(config);
    std::fs::copy(copy, other.store_file()).unwrap();
    other
}

fn files(gateway: &Gateway) -> Vec<String> {
    let entries = std::fs::read_dir(gateway.folder()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_whole_and_keeps_nobody_waiting() {
    let (alpha, gateway) = shop().await;
    let caller = gateway.caller();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut orders = JoinSet::new();
    orders.spawn(async move {
        let mut count = 0_u32;
        while !*stopped.borrow() {
            let answer = caller.add(1, &format!("https://example.com/p/{count}"), 100).await.unwrap();
            assert!(answer["order"].is_u64(), "{answer}");
            count += 1;
        }
        count
    });
    eventually("some orders", || async { (alpha.order_count() > 20).then_some(()) }).await;
    let mut counts = Vec::new();
    for number in 0..3 {
        let file = gateway.folder().join(format!("copy-{number}.db"));
        let document = gateway.cli_json(&["backup", path(&file)]);
        assert_eq!((&document["file"], &document["failures"]), (&json!(path(&file)), &json!([])));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it tells who orders what");
        let copy = beside(&Config::new("").provider_at("alpha", "http://127.0.0.1:1/", ""), &file);
        copy.verify();
        counts.push(copy.orders().len());
    }
    stop.send(true).unwrap();
    assert!(orders.join_next().await.unwrap().unwrap() > 20);
    assert!(counts[0] > 20 && counts.is_sorted(), "{counts:?}");
    let strange: Vec<String> = files(&gateway)
        .into_iter()
        .filter(|name| name.starts_with(".tollgate") || name.starts_with("copy-0.db-"))
        .collect();
    assert_eq!(strange, [""; 0], "nothing else is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_and_nothing_half_made_stays() {
    let (_alpha, gateway) = shop().await;
    let file = gateway.folder().join("copy.db");
    std::fs::write(&file, "mine").unwrap();
    let output = gateway.cli(&["backup", path(&file)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("already"), "{}", said(&output));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let nowhere = gateway.folder().join("no/such/folder/copy.db");
    assert_eq!(gateway.cli(&["backup", path(&nowhere)]).status.code(), Some(1));
    let empty = Gateway::prepare(&Config::new("").provider_at("alpha", "http://127.0.0.1:1/", ""));
    assert_eq!(empty.cli(&["backup", "copy.db"]).status.code(), Some(1), "there is no store yet");
    assert_eq!(files(&empty), ["providers.toml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nothing_is_placed_twice_and_no_id_given_twice() {
    let (alpha, mut gateway) = shop().await;
    let done = gateway.order(1, "https://example.com/p/1", 100).await;
    gateway.until_status(done, "Completed").await;
    gateway.cli_json(&["pause"]);
    eventually("the pause", || async { gateway.log().contains("paused by the operator").then_some(()) }).await;
    let queued = gateway.order(1, "https://example.com/queued", 100).await;
    let file = gateway.folder().join("copy.db");
    gateway.cli_json(&["backup", path(&file)]);

    // Life goes on after the copy: what was queued is placed, another order comes, money is deposited.
    gateway.cli_json(&["resume"]);
    gateway.until_state(queued, "placed").await;
    let later = gateway.order(1, "https://example.com/later", 100).await;
    gateway.cli_json(&["client", "deposit", "tester", "7"]);
    let running = gateway.cli(&["restore", path(&file)]);
    assert_eq!(running.status.code(), Some(1));
    assert!(said(&running).contains("in use"), "{}", said(&running));
    gateway.until_state(later, "placed").await;
    gateway.kill();

    let before = gateway.orders().len();
    let restored = gateway.cli_json(&["restore", path(&file)]);
    assert_eq!((&restored["uncertain"], &restored["file"]), (&json!(1), &json!(path(&file))));
    gateway.verify();
    let replaced = PathBuf::from(restored["replaced"].as_str().unwrap());
    assert!(path(&replaced).starts_with(&format!("{}.replaced-", path(&gateway.store_file()))));
    let old = beside(&Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]"), &replaced);
    assert_eq!((before, old.orders().len()), (3, 3), "the replaced store is whole");
    old.verify();

    let story = gateway.story(queued);
    assert_eq!((&story["order"]["state"], &story["order"]["provider"]), (&json!("uncertain"), &json!("alpha")));
    assert!(gateway.history(queued).iter().any(|line| line.contains("restored from a backup")));
    gateway.launch().await;
    assert_eq!(gateway.balance().await, "999.784", "as it was then");
    let next = gateway.order(1, "https://example.com/next", 100).await;
    assert!(next > 1_000_000 && next > later, "{next}");
    assert!(gateway.log().contains("paused by the operator"), "it starts without letting an order leave");
    assert_eq!(gateway.story(next)["order"]["state"], "queued");
    assert_eq!(accepted(&alpha, "https://example.com/queued"), 1, "it is not sent again");
    gateway.cli_json(&["resume"]);
    gateway.until_state(next, "placed").await;
    let there = alpha.orders().iter().find(|order| order.link == "https://example.com/queued").unwrap().id.clone();
    gateway.cli_json(&["orders", "resolve", &queued.to_string(), "--placed", &there]);
    gateway.until_status(queued, "Completed").await;
    assert_eq!(accepted(&alpha, "https://example.com/queued"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_sent_is_uncertain_after_a_restore() {
    let (alpha, mut gateway) = shop().await;
    alpha.script_next(Action::Add, Fault::HangAfter, 1);
    let sending = gateway.order(1, "https://example.com/slow", 100).await;
    gateway.until_state(sending, "sending").await;
    let file = gateway.folder().join("copy.db");
    gateway.cli_json(&["backup", path(&file)]);
    gateway.kill();
    std::fs::remove_file(gateway.store_file()).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path(&gateway.store_file())));
    }
    let restored = gateway.cli_json(&["restore", path(&file)]);
    assert_eq!((&restored["uncertain"], &restored["replaced"]), (&json!(1), &Value::Null));
    let story = gateway.story(sending);
    assert_eq!(
        (&story["order"]["state"], &story["attempts"][0]["outcome"]),
        (&json!("uncertain"), &json!("ambiguous"))
    );
    assert_eq!(story["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_healthy_store_of_ours_is_not_restored() {
    let (_alpha, mut gateway) = shop().await;
    let order = gateway.order(1, "https://example.com/p/1", 100).await;
    gateway.until_status(order, "Completed").await;
    let good = gateway.folder().join("good.db");
    gateway.cli_json(&["backup", path(&good)]);
    assert!(gateway.stop().await.success());
    let edited = |name: &str, sql: &str| {
        let file = gateway.folder().join(name);
        std::fs::copy(&good, &file).unwrap();
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        file
    };
    let text = gateway.folder().join("text.db");
    std::fs::write(&text, "a text of some length, which is no database at all").unwrap();
    let before = gateway.cli_json(&["client", "show", "tester"]);
    for (file, words) in [
        (gateway.folder().join("none.db"), "there is no file"),
        (text, "not a database"),
        (gateway.store_file(), "the store itself"),
        (edited("newer.db", "PRAGMA user_version = 99"), "schema 99"),
        (edited("other.db", "PRAGMA application_id = 7"), "another program"),
        (edited("money.db", "UPDATE clients SET balance = balance + 1"), "no healthy store"),
        (edited("schema.db", "DROP TRIGGER ledger_keeps_entries"), "no healthy store"),
    ] {
        let output = gateway.cli(&["restore", path(&file)]);
        assert_eq!(output.status.code(), Some(1), "{}", file.display());
        assert!(said(&output).contains(words), "{}: {}", file.display(), said(&output));
        assert_eq!(gateway.cli_json(&["client", "show", "tester"]), before, "{}", file.display());
    }
    assert!(!files(&gateway).iter().any(|name| name.contains("replaced") || name.starts_with(".tollgate")));
    gateway.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_which_nobody_could_say_where_it_went_stops_a_restore() {
    let (alpha, mut gateway) = shop().await;
    gateway.cli_json(&["pause"]);
    let order = eventually("an order that waits", || async {
        let order = gateway.order(1, "https://example.com/p/1", 100).await;
        // One that is merely about to be sent is queued too.
        gateway.history(order).iter().any(|line| line.starts_with("held: ")).then_some(order)
    })
    .await;
    let file = gateway.folder().join("copy.db");
    gateway.cli_json(&["backup", path(&file)]);
    gateway.kill();
    gateway.reconfigure(&Config::new("").provider("alpha", &alpha, "").service(2, "routes = [\"alpha:3\"]"));
    let output = gateway.cli(&["restore", path(&file)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("order {order} is queued")), "{}", said(&output));
    assert_eq!(gateway.story(order)["order"]["state"], "queued", "nothing was changed");
}
