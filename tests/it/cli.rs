//! What the verbs print: the documents that scripts rely on, filters, and exit statuses.

use rusqlite::Connection;
use serde_json::{Value, json};
use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, eventually, upstream};

const CLIENT: &[(&str, &str)] = &[
    ("client", "string"),
    ("balance", "money"),
    ("credit", "money"),
    ("deposits", "money"),
    ("withdrawals", "money"),
    ("charges", "money"),
    ("refunds", "money"),
    ("markup", "money?"),
    ("rps", "number?"),
    ("disabled", "bool"),
    ("keys", "array"),
];
const KEY: &[(&str, &str)] = &[("id", "number"), ("label", "string?"), ("read_only", "bool"), ("created_at", "time")];
const ENTRY: &[(&str, &str)] = &[
    ("at", "time"),
    ("kind", "string"),
    ("amount", "money"),
    ("balance", "money"),
    ("order", "number?"),
    ("note", "string?"),
];
const ORDER: &[(&str, &str)] = &[
    ("order", "number"),
    ("client", "string"),
    ("service", "number"),
    ("state", "string"),
    ("status", "string"),
    ("provider", "string?"),
    ("upstream_order", "string?"),
    ("link", "string"),
    ("quantity", "number"),
    ("charge", "money"),
    ("refunded", "money"),
    ("cost", "money?"),
    ("start_count", "number?"),
    ("remains", "number"),
    ("created_at", "time"),
    ("updated_at", "time"),
];
const ATTEMPT: &[(&str, &str)] = &[
    ("attempt", "number"),
    ("provider", "string"),
    ("upstream_service", "string"),
    ("started_at", "time"),
    ("finished_at", "time?"),
    ("outcome", "string?"),
    ("detail", "string?"),
];
const SERVICE: &[(&str, &str)] = &[
    ("service", "number"),
    ("name", "string"),
    ("type", "string"),
    ("category", "string"),
    ("routes", "array"),
    ("cost", "money"),
    ("rate", "money?"),
    ("margin_percent", "money?"),
    ("min", "number"),
    ("max", "number"),
];
const PROVIDER: &[(&str, &str)] = &[
    ("provider", "string"),
    ("state", "string"),
    ("balance", "money?"),
    ("currency", "string"),
    ("last_sync_at", "time?"),
    ("services", "number"),
    ("in_flight", "number"),
    ("failures", "number"),
];

/// Requires every name of the contract in `document`, with its type; `?` allows null, which is never left out.
fn assert_names(document: &Value, names: &[(&str, &str)]) {
    for (name, kind) in names {
        let value = document.get(name).unwrap_or_else(|| panic!("no {name} in {document}"));
        let (kind, nullable) = kind.strip_suffix('?').map_or((*kind, false), |kind| (kind, true));
        let fits = match kind {
            "string" => value.is_string(),
            "number" => value.is_u64(),
            "bool" => value.is_boolean(),
            "array" => value.is_array(),
            "money" => value.as_str().is_some_and(is_plain_decimal),
            "time" => value.as_str().is_some_and(|text| text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()),
            other => panic!("{other}?"),
        };
        assert!(fits || (nullable && value.is_null()), "{name} is no {kind}: {value} in {document}");
    }
}

fn is_plain_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && !digits.contains(['e', 'E', '+', '-']) && digits.parse::<rust_decimal::Decimal>().is_ok()
}

fn two_services(alpha: &Sandbox) -> Config {
    Config::new("")
        .provider("alpha", alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"alpha:3\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_clients_have_the_names_that_scripts_rely_on() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&two_services(&alpha)).await;
    let added = gateway.cli_json(&["client", "add", "shop", "--deposit", "12.50", "--markup", "15", "--rps", "7"]);
    assert_eq!((&added["client"], &added["balance"]), (&json!("shop"), &json!("12.5")));
    let key = added["key"].as_str().unwrap().to_owned();
    assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{added}");

    let spare = gateway.cli_json(&["key", "add", "shop", "--read-only", "--label", "reports"]);
    assert_names(&spare, &[("client", "string"), ("id", "number"), ("key", "string")]);
    let keys = gateway.cli_json(&["key", "list", "shop"]);
    assert_eq!(keys.as_array().unwrap().len(), 2);
    assert_names(&keys[0], KEY);
    assert_names(&keys[1], KEY);
    assert_eq!((&keys[1]["id"], &keys[1]["label"]), (&spare["id"], &json!("reports")));
    assert_eq!((&keys[1]["read_only"], &keys[0]["read_only"]), (&json!(true), &json!(false)));

    let order = gateway.order_of(&key, 1, "https://example.com/p/cancel", 1000).await;
    eventually("its cancellation", || async {
        let status = [("key", key.as_str()), ("action", "status"), ("order", &order.to_string())];
        (gateway.post(&status).await["status"] == "Canceled").then_some(())
    })
    .await;
    let shown = gateway.cli_json(&["client", "show", "shop"]);
    assert_names(&shown, CLIENT);
    assert_eq!((&shown["markup"], &shown["rps"], &shown["disabled"]), (&json!("15"), &json!(7), &json!(false)));
    assert_eq!((&shown["charges"], &shown["refunds"]), (&json!("1.035"), &json!("1.035")));
    assert_eq!(shown["keys"], keys);
    let accounts = gateway.cli_json(&["client", "list"]);
    assert_eq!(accounts.as_array().unwrap().len(), 2);
    assert_names(&accounts[0], CLIENT);
    assert!(accounts.as_array().unwrap().contains(&shown), "{accounts}");

    let ledger = gateway.cli_json(&["client", "ledger", "shop"]);
    let kinds: Vec<_> = ledger.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["deposit", "charge", "refund"]);
    for entry in ledger.as_array().unwrap() {
        assert_names(entry, ENTRY);
    }
    assert_eq!((&ledger[1]["amount"], &ledger[1]["balance"]), (&json!("-1.035"), &json!("11.465")));
    assert_eq!((&ledger[1]["order"], &ledger[0]["order"]), (&json!(order), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_orders_have_the_names_that_scripts_rely_on() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&two_services(&alpha)).await;
    let order = gateway.order(1, "https://example.com/p/partial", 1000).await;
    gateway.until_status(order, "Partial").await;
    let orders = gateway.cli_json(&["orders", "list"]);
    assert_names(&orders[0], ORDER);
    let story = gateway.story(order);
    assert_eq!(story["order"], orders[0]);
    let row = &orders[0];
    assert_eq!((&row["state"], &row["status"]), (&json!("closed"), &json!("Partial")));
    assert_eq!((&row["provider"], &row["upstream_order"]), (&json!("alpha"), &json!(alpha.orders()[0].id)));
    assert_eq!((&row["charge"], &row["refunded"], &row["remains"]), (&json!("1.08"), &json!("0.432"), &json!(400)));
    assert_names(&story["attempts"][0], ATTEMPT);
    assert_eq!(story["attempts"][0]["outcome"], "accepted");
    assert!(!story["history"].as_array().unwrap().is_empty());
    assert_eq!(story["ledger"].as_array().unwrap().len(), 2);
    assert_names(&story["ledger"][0], ENTRY);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_documents_have_the_names_that_scripts_rely_on() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&two_services(&alpha)).await;
    let services = gateway.cli_json(&["services"]);
    assert_eq!(services.as_array().unwrap().len(), 2);
    assert_names(&services[0], SERVICE);
    assert_eq!((&services[0]["routes"], &services[0]["cost"]), (&json!(["alpha:1"]), &json!("0.9")));
    assert_eq!((&services[0]["rate"], &services[0]["margin_percent"]), (&json!("1.08"), &json!("20")));
    gateway.cli_json(&["client", "set", "tester", "--markup", "100"]);
    assert_eq!(gateway.cli_json(&["services", "--client", "tester"])[0]["rate"], "1.8");

    let providers = gateway.cli_json(&["providers"]);
    assert_names(&providers[0], PROVIDER);
    assert_eq!(providers[0]["services"], 26);

    let verified = gateway.cli_json(&["verify"]);
    assert_eq!((&verified["ok"], &verified["failures"]), (&json!(true), &json!([])));
    assert!(verified["checked"].as_object().unwrap().values().all(Value::is_u64), "{verified}");

    let synced = gateway.cli_json(&["sync"]);
    assert_eq!((&synced[0]["provider"], &synced[0]["services"]), (&json!("alpha"), &json!(26)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_reference_changes_nothing_and_too_much_is_not_withdrawn() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&two_services(&alpha)).await;
    let deposit = |amount: &str| {
        gateway.cli_json(&["client", "deposit", "tester", amount, "--ref", "INV-17", "--note", "by wire"])
    };
    assert_eq!(deposit("5")["balance"], "1005");
    assert_eq!(deposit("5")["balance"], "1005");
    let other = gateway.cli(&["client", "deposit", "tester", "50", "--ref", "INV-17"]);
    assert_eq!((other.status.code(), other.stdout.is_empty()), (Some(1), true));
    let ledger = gateway.cli_json(&["client", "ledger", "tester"]);
    assert_eq!(ledger.as_array().unwrap().len(), 2);
    assert_eq!(ledger[1]["note"], "by wire");
    let output = gateway.cli(&["client", "withdraw", "tester", "1005.00000001"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1005"));
    assert_eq!(gateway.cli_json(&["client", "withdraw", "tester", "1005"])["balance"], "0");
    let shown = gateway.cli_json(&["client", "show", "tester"]);
    assert_eq!((&shown["deposits"], &shown["withdrawals"]), (&json!("1005"), &json!("1005")));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_listed_newest_first_and_by_every_filter() {
    let (alpha, beta) = (upstream(20).await, upstream(1).await);
    let config = two_services(&alpha).provider("beta", &beta, "").service(3, "routes = [\"beta:1\"]");
    let gateway = Gateway::start(&config).await;
    let other = gateway.add_client("other", &["--deposit", "10"]);
    gateway.knows_key(&other).await;
    let closed = gateway.order(1, "https://example.com/first", 1000).await;
    gateway.until_status(closed, "Completed").await;
    let second = gateway.order(2, "https://example.com/50%_off", 1000).await;
    let third = gateway.order_of(&other, 3, "https://example.com/third", 1000).await;
    let list = |filter: &[&str]| -> Vec<u64> {
        let orders = gateway.cli_json(&[&["orders", "list"], filter].concat());
        orders.as_array().unwrap().iter().map(|order| order["order"].as_u64().unwrap()).collect()
    };
    assert_eq!(list(&[]), [third, second, closed]);
    assert_eq!(list(&["--limit", "2"]), [third, second]);
    assert!(list(&["--state", "closed"]).contains(&closed) && !list(&["--state", "closed"]).contains(&third));
    assert_eq!(list(&["--state", "placed", "--provider", "beta"]), [third]);
    assert_eq!(list(&["--client", "other"]), [third]);
    assert_eq!(list(&["--client", "tester"]), [second, closed]);
    assert_eq!(list(&["--provider", "alpha"]), [second, closed]);
    assert_eq!(list(&["--service", "1"]), [closed]);
    assert_eq!(list(&["--link", "0%_o"]), [second], "a text, not a pattern");
    assert_eq!(list(&["--link", "%"]), [second]);
    let at = gateway.story(second)["order"]["created_at"].as_str().unwrap().to_owned();
    assert_eq!(list(&["--from", &at]), [third, second]);
    assert_eq!(list(&["--to", &at]), [closed]);
    assert_eq!(list(&["--from", "2020-01-01", "--to", "2020-01-02"]), [0_u64; 0]);
    assert_eq!(gateway.cli(&["orders", "list", "--client", "nobody"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_shown_something_and_never_a_key() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&two_services(&alpha)).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await.to_string();
    for verb in [
        &["client", "list"][..],
        &["client", "show", "tester"],
        &["client", "ledger", "tester"],
        &["client", "set", "tester", "--markup", "25"],
        &["client", "deposit", "tester", "1"],
        &["client", "withdraw", "tester", "1"],
        &["client", "disable", "tester"],
        &["client", "enable", "tester"],
        &["key", "list", "tester"],
        &["services"],
        &["providers"],
        &["sync"],
        &["orders", "list"],
        &["orders", "show", &order],
        &["verify"],
        &["check"],
    ] {
        for json in [&[][..], &["--json"]] {
            let output = gateway.cli(&[verb, json].concat());
            let said = String::from_utf8([output.stdout.clone(), output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(0), "{verb:?}: {said}");
            assert!(!output.stdout.is_empty(), "{verb:?}");
            for key in [&gateway.key, tollgate::sandbox::DEFAULT_KEY] {
                assert!(!said.contains(key), "{verb:?} shows a key: {said}");
            }
        }
    }
    let shown = gateway.cli(&["client", "add", "shop"]);
    let lines = String::from_utf8(shown.stdout).unwrap();
    assert!(lines.trim().len() == 32, "the key alone, for scripts without --json: {lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_fails_with_a_list_where_a_balance_was_changed() {
    let alpha = upstream(20).await;
    let mut gateway = Gateway::start(&two_services(&alpha)).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    gateway.until_status(order, "Completed").await;
    assert!(gateway.stop().await.success());
    let store = Connection::open(gateway.store_file()).unwrap();
    store.execute("UPDATE clients SET balance = balance + 1", []).unwrap();
    let output = gateway.cli(&["verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["ok"], false);
    let failures = document["failures"].as_array().unwrap();
    assert!(failures.iter().any(|failure| failure.as_str().unwrap().contains("tester")), "{document}");
    let output = gateway.cli(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("tester"));

    store.execute("UPDATE clients SET balance = balance - 1", []).unwrap();
    gateway.verify();
    store.execute_batch("DROP TRIGGER ledger_keeps_entries").unwrap();
    assert_eq!(gateway.cli(&["verify"]).status.code(), Some(1), "a ledger without its trigger is not safe");
    store.execute("UPDATE ledger SET amount = amount + 100 WHERE kind = 'deposit'", []).unwrap();
    let output = gateway.cli(&["verify", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["failures"].as_array().unwrap().len() >= 2, "{document}");
    gateway.leave_unverified();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_a_failure_and_names_it() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&two_services(&alpha)).await;
    for (verb, words) in [
        (&["client", "show", "nobody"][..], "nobody"),
        (&["client", "ledger", "nobody"], "nobody"),
        (&["client", "deposit", "nobody", "1"], "nobody"),
        (&["client", "disable", "nobody"], "nobody"),
        (&["client", "add", "tester"], "already"),
        (&["key", "add", "nobody"], "nobody"),
        (&["key", "list", "nobody"], "nobody"),
        (&["key", "revoke", "tester", "99"], "99"),
        (&["services", "--client", "nobody"], "nobody"),
        (&["orders", "show", "99"], "99"),
        (&["orders", "resolve", "99", "--refund"], "99"),
        (&["sync", "gamma"], "gamma"),
    ] {
        let output = gateway.cli(verb);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{verb:?}: {said}");
        assert!(said.contains(words), "{verb:?}: {said}");
    }
}
