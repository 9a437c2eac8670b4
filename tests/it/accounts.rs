//! What a client's terms let it do, and how they and its keys change while it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, eventually, only_error, upstream};

async fn shop_with(config: Config) -> (Sandbox, Gateway) {
    let alpha = upstream(20).await;
    let config = ["1", "2", "11", "12"].into_iter().fold(config.provider("alpha", &alpha, ""), |config, id| {
        config.service(id.parse().unwrap(), &format!("routes = [\"alpha:{}\"]", if id == "2" { "3" } else { "1" }))
    });
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

async fn shop() -> (Sandbox, Gateway) {
    shop_with(Config::new("")).await
}

async fn client(gateway: &Gateway, name: &str, options: &[&str]) -> String {
    let key = gateway.add_client(name, options);
    gateway.knows_key(&key).await;
    key
}

async fn order(gateway: &Gateway, key: &str, link: &str) -> Value {
    gateway.post(&[("key", key), ("action", "add"), ("service", "1"), ("link", link), ("quantity", "100")]).await
}

/// Moves every ledger entry of a client to the day before, past the guard of the ledger, and what is kept of them.
fn a_day_passes(gateway: &Gateway, client: &str) {
    let store = rusqlite::Connection::open(gateway.store_file()).unwrap();
    store.busy_timeout(Duration::from_secs(30)).unwrap();
    let sql = "SELECT sql FROM sqlite_schema WHERE name = 'ledger_keeps_entries'";
    let guard: String = store.query_row(sql, [], |row| row.get(0)).unwrap();
    let move_back = "UPDATE ledger SET at = at - 86400000 WHERE client = (SELECT id FROM clients WHERE name = ";
    let spent = format!("UPDATE clients SET spent_day = spent_day - 86400000 WHERE name = '{client}'");
    let batch = format!(
        "BEGIN IMMEDIATE; DROP TRIGGER ledger_keeps_entries; {move_back}'{client}'); {guard}; {spent}; COMMIT;"
    );
    store.execute_batch(&batch).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_limit_counts_charges_less_refunds_and_begins_anew_each_day() {
    let (_alpha, gateway) = shop().await;
    let key = client(&gateway, "limited", &["--deposit", "10", "--daily-limit", "0.3"]).await;
    let canceled = order(&gateway, &key, "https://example.com/p/cancel").await["order"].to_string();
    assert!(order(&gateway, &key, "https://example.com/p/1").await["order"].is_u64());
    eventually("the refund", || async {
        let status = gateway.post(&[("key", &key), ("action", "status"), ("order", &canceled)]).await;
        (status["status"] == "Canceled").then_some(())
    })
    .await;
    assert!(order(&gateway, &key, "https://example.com/p/2").await["order"].is_u64(), "a refund counts back");
    assert_eq!(only_error(&order(&gateway, &key, "https://example.com/p/3").await), "Daily limit exceeded");

    a_day_passes(&gateway, "limited");
    for link in ["https://example.com/p/4", "https://example.com/p/5"] {
        assert!(order(&gateway, &key, link).await["order"].is_u64(), "another day");
    }
    assert_eq!(only_error(&order(&gateway, &key, "https://example.com/p/6").await), "Daily limit exceeded");
    gateway.cli_json(&["client", "set", "limited", "--daily-limit", "none"]);
    assert!(order(&gateway, &key, "https://example.com/p/7").await["order"].is_u64(), "at once, without any limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_below_a_debt_lets_nothing_more_be_bought_and_takes_nothing_away() {
    let (_alpha, gateway) = shop().await;
    let key = client(&gateway, "trusted", &["--credit", "0.216"]).await;
    let first = order(&gateway, &key, "https://example.com/p/1").await["order"].to_string();
    gateway.cli_json(&["client", "set", "trusted", "--credit", "0.05"]);
    assert_eq!(only_error(&order(&gateway, &key, "https://example.com/p/2").await), "Not enough funds on balance");
    let shown = gateway.cli_json(&["client", "show", "trusted"]);
    assert_eq!((&shown["balance"], &shown["credit"]), (&json!("-0.108"), &json!("0.05")));
    assert_eq!(gateway.cli(&["client", "withdraw", "trusted", "0.01"]).status.code(), Some(1), "credit is no money");
    eventually("its order to end", || async {
        let status = gateway.post(&[("key", &key), ("action", "status"), ("order", &first)]).await;
        (status["status"] == "Completed").then_some(())
    })
    .await;
    gateway.cli_json(&["client", "deposit", "trusted", "0.166"]);
    assert!(order(&gateway, &key, "https://example.com/p/3").await["order"].is_u64(), "to the end of the credit");
    assert_eq!(gateway.cli_json(&["client", "show", "trusted"])["balance"], "-0.05");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_each_clients_own_and_outlives_a_change_of_terms() {
    let (_alpha, gateway) = shop().await;
    let busy = client(&gateway, "busy", &["--rps", "1"]).await;
    let calm = client(&gateway, "calm", &["--rps", "1"]).await;
    let watched = client(&gateway, "watched", &[]).await;
    let balance = async |key: &str| gateway.post(&[("key", key), ("action", "balance")]).await;
    let began = Instant::now();
    let mut answered = 0_u64;
    for round in 0..6 {
        let disabled = round % 2 == 0;
        gateway.cli_json(&["client", if disabled { "disable" } else { "enable" }, "watched"]);
        // Until the table of keys was read again, and on.
        while balance(&watched).await["error"].is_string() != disabled {
            let answer = balance(&busy).await;
            match answer["error"].as_str() {
                None => answered += 1,
                Some(error) => assert_eq!(error, "Too many requests"),
            }
        }
    }
    // One at the start, one for each second; read anew six times, a limit that forgot would let six more through.
    assert!(answered <= began.elapsed().as_secs() + 2, "{answered} in {:?}", began.elapsed());
    eventually("the other client, whose second is over", || async {
        balance(&calm).await["balance"].is_string().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_clients_flood_takes_nothing_from_another() {
    let (_alpha, gateway) = shop().await;
    let busy = client(&gateway, "busy", &["--rps", "2"]).await;
    let calm = client(&gateway, "calm", &["--rps", "2"]).await;
    let flood = gateway.post_at_once((0..60).map(|_| vec![("key", busy.clone()), ("action", "balance".to_owned())]));
    let other = eventually("a call of the other client", || async {
        let answer = gateway.post(&[("key", &calm), ("action", "balance")]).await;
        answer["balance"].is_string().then_some(())
    });
    let (answers, ()) = tokio::join!(flood, other);
    let refused = answers.iter().filter(|answer| answer["error"] == "Too many requests").count();
    assert!(refused > 0, "{answers:?}");
    assert!(answers.iter().all(|answer| answer["balance"] == "0" || answer["error"] == "Too many requests"));
}

/// Asks for the balance with these addresses in `X-Forwarded-For`.
async fn from(gateway: &Gateway, key: &str, forwarded: &str) -> Value {
    let form = [("key", key), ("action", "balance")];
    let request = gateway.http().post(&gateway.api).header("x-forwarded-for", forwarded).form(&form);
    request.send().await.unwrap().json().await.unwrap()
}

const REFUSED: &str = "This address is not allowed to use this API key";

#[tokio::test(flavor = "multi_thread")]
async fn an_address_behind_a_trusted_proxy_is_the_one_that_counts() {
    let (_alpha, gateway) = shop().await;
    let key = gateway.add_client("far", &["--allow-ip", "192.0.2.0/24", "--allow-ip", "2001:db8::7"]);
    eventually("its key", || async { from(&gateway, &key, "192.0.2.7").await["balance"].is_string().then_some(()) })
        .await;
    for allowed in ["192.0.2.255", "2001:db8::7", "198.51.100.9, 192.0.2.1", "192.0.2.1:5678"] {
        assert_eq!(from(&gateway, &key, allowed).await["balance"], "0", "{allowed}");
    }
    for other in ["192.0.3.1", "2001:db8::8", "192.0.2.1, 198.51.100.9", "rubbish", "127.0.0.1"] {
        assert_eq!(only_error(&from(&gateway, &key, other).await), REFUSED, "{other}");
    }
    assert_eq!(only_error(&gateway.post(&[("key", &key), ("action", "balance")]).await), REFUSED);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_believed_about_an_address() {
    let (_alpha, gateway) = shop_with(Config::new("").server("trusted_proxies = [\"198.51.100.0/24\"]")).await;
    let key = gateway.add_client("far", &["--allow-ip", "192.0.2.0/24"]);
    eventually("its key to be known", || async {
        (from(&gateway, &key, "192.0.2.7").await["error"] != "Invalid API key").then_some(())
    })
    .await;
    assert_eq!(only_error(&from(&gateway, &key, "192.0.2.7").await), REFUSED);
    gateway.cli_json(&["client", "set", "far", "--allow-ip", "127.0.0.1"]);
    eventually("its own address", || async {
        from(&gateway, &key, "192.0.2.7").await["balance"].is_string().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_over_services_hold_in_the_list_and_in_orders() {
    let (_alpha, gateway) = shop().await;
    let key = client(&gateway, "picky", &["--deposit", "10", "--allow-service", "1?", "--allow-service", "2"]).await;
    let listed = async || {
        let services = gateway.post(&[("key", &key), ("action", "services")]).await;
        services.as_array().unwrap().iter().map(|entry| entry["service"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let add = async |service: &str| {
        let link = format!("https://example.com/{service}");
        gateway
            .post(&[("key", &key), ("action", "add"), ("service", service), ("link", &link), ("quantity", "100")])
            .await
    };
    assert_eq!(listed().await, [2, 11, 12]);
    assert_eq!(only_error(&add("1").await), "Incorrect service ID");
    for service in ["2", "11", "12"] {
        assert!(add(service).await["order"].is_u64(), "{service}");
    }
    gateway.cli_json(&["client", "set", "picky", "--allow-service", "1"]);
    eventually("its new list", || async { (listed().await == [1]).then_some(()) }).await;
    assert_eq!(only_error(&add("11").await), "Incorrect service ID");
    gateway.cli_json(&["client", "set", "picky", "--allow-service", "none"]);
    eventually("the whole list", || async { (listed().await == [1, 2, 11, 12]).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_with_no_gap() {
    let (_alpha, gateway) = shop().await;
    let old = gateway.cli_json(&["key", "list", "tester"])[0]["id"].to_string();
    let added = gateway.cli_json(&["key", "add", "tester", "--label", "new"]);
    let new = added["key"].as_str().unwrap().to_owned();
    gateway.knows_key(&new).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut calls = JoinSet::new();
    calls.spawn({
        let (http, api, stop) = (gateway.http().clone(), gateway.api.clone(), Arc::clone(&stop));
        async move {
            let mut answers = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let form = [("key", new.as_str()), ("action", "balance")];
                answers.push(http.post(&api).form(&form).send().await.unwrap().json::<Value>().await.unwrap());
            }
            answers
        }
    });
    assert_eq!(gateway.balance().await, "1000", "the old one goes on until it is revoked");
    gateway.cli_json(&["key", "revoke", "tester", &old]);
    eventually("the old key to stop", || async {
        (gateway.call("balance", &[]).await["error"] == "Invalid API key").then_some(())
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let answers = calls.join_next().await.unwrap().unwrap();
    assert!(!answers.is_empty() && answers.iter().all(|answer| answer["balance"] == "1000"));
    assert_eq!(gateway.cli(&["key", "revoke", "tester", &old]).status.code(), Some(1), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_deposits_at_once_with_one_reference_one_counts() {
    let (_alpha, gateway) = shop().await;
    let deposit = || gateway.cli_json(&["client", "deposit", "tester", "5", "--ref", "INV-17", "--note", "by wire"]);
    let documents: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(deposit)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(documents.iter().filter(|document| document["changed"] == true).count(), 1, "{documents:?}");
    assert!(documents.iter().all(|document| document["balance"] == "1005"), "{documents:?}");
    let another = gateway.cli(&["client", "deposit", "tester", "6", "--ref", "INV-17", "--json"]);
    assert_eq!(another.status.code(), Some(1));
    let said = String::from_utf8_lossy(&another.stderr).into_owned();
    assert!(said.contains("for 5"), "a reference that stands for something else is told of: {said}");
    let document: Value = serde_json::from_slice(&another.stdout).unwrap();
    assert_eq!((&document["balance"], &document["changed"]), (&Value::from("1005"), &Value::from(false)));
    assert!(document["error"].as_str().unwrap().contains("for 5"), "{document}");
    assert_eq!(gateway.balance().await, "1005");
}
