//! Upstreams' lists: fetched, priced, kept, followed, and never believed where they can't be true.

use std::io::Read;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tollgate::sandbox::{Action, Sandbox, default_services};

use crate::harness::{Config, Gateway, eventually, upstream};

fn imported(alpha: &Sandbox, lines: &str) -> Config {
    Config::new("").provider("alpha", alpha, lines).text("[[import]]\nprovider = \"alpha\"\nid_offset = 1000\n")
}

/// The `services` answer as it is on the wire: its encoding and its bytes.
async fn raw_services(gateway: &Gateway, key: &str, accepts: &str) -> (Option<String>, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let request = client.post(&gateway.api).form(&[("key", key), ("action", "services")]);
    let response = request.header("accept-encoding", accepts).send().await.unwrap();
    let encoding = response.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
    assert!(response.content_length().is_some());
    (encoding, response.bytes().await.unwrap().to_vec())
}

/// A `tollgate sync` that must fail; gives its document.
fn failed_sync(gateway: &Gateway) -> Value {
    let output = gateway.cli(&["sync", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_provider_lists_is_priced_and_sold() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    beta.set_currency("EUR");
    let config = Config::new("[exchange_rates]\nEUR = \"1.10\"")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "currency = \"EUR\"")
        .service(7, "name = \"By hand\"\ncategory = \"Mine\"\nroutes = [\"beta:1\", \"alpha:1\"]\nmarkup_percent = \"50\"")
        .service(8, "routes = [\"alpha:3\"]\nrate = \"9.99\"")
        .service(9, "routes = [\"alpha:4\"]\nenabled = false")
        .text("[[import]]\nprovider = \"alpha\"\nid_offset = 1000\ncategory = \"Instagram*\"\ntype = \"Default\"\nmarkup_fixed = \"0.01\"\n")
        .text("[[import]]\nprovider = \"beta\"\nid_offset = 2000\nname = \"TikTok*\"\nexclude_name = \"*Views\"\n");
    let gateway = Gateway::start(&config).await;
    let services = eventually("both lists", || async {
        let services = gateway.call("services", &[]).await;
        let has_both = [1001, 2022].iter().all(|id| services.as_array().unwrap().iter().any(|s| s["service"] == *id));
        has_both.then_some(services)
    })
    .await;
    let found: Vec<(u64, &str)> = services
        .as_array()
        .unwrap()
        .iter()
        .map(|service| (service["service"].as_u64().unwrap(), service["rate"].as_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            (7, "1.485"),
            (8, "9.99"),
            (1001, "1.09"),
            (1002, "3.01"),
            (1003, "0.262"),
            (1004, "0.0982"),
            (1005, "0.025"),
            (2022, "4.092")
        ]
    );
    assert_eq!((&services[0]["name"], &services[0]["category"]), (&json!("By hand"), &json!("Mine")));
    assert_eq!((&services[0]["min"], &services[0]["max"]), (&json!("50"), &json!("10000")));
    assert_eq!(services[2]["desc"], "Instagram Followers. Refilled for 30 days.");
    assert_eq!(services[4].get("desc"), None);
    let names: Vec<&String> = services[4].as_object().unwrap().keys().collect();
    let wanted = ["cancel", "category", "dripfeed", "max", "min", "name", "rate", "refill", "service", "type"];
    assert_eq!(names, wanted, "{}", services[4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_with_every_upstream_down_the_same_is_listed_and_answered() {
    let alpha = upstream(1).await;
    let mut gateway = Gateway::start(&imported(&alpha, "")).await;
    let order = gateway.order(1001, "https://example.com/p/1", 1000).await;
    let before = raw_services(&gateway, &gateway.key, "identity").await;
    alpha.shutdown().await;
    let status = gateway.status(order).await;
    assert!(gateway.stop().await.success());
    gateway.launch().await;
    assert_eq!(raw_services(&gateway, &gateway.key, "identity").await, before);
    assert_eq!(gateway.status(order).await, status);
    let later = gateway.order(1001, "https://example.com/p/2", 1000).await;
    assert_eq!(gateway.status(later).await["status"], "Pending", "it waits for the upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_the_same_bytes_for_everybody_at_one_price_and_compressed_only_on_request() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&imported(&alpha, "")).await;
    let (same, dearer) = (gateway.add_client("same", &[]), gateway.add_client("dearer", &["--markup", "33"]));
    gateway.knows_key(&dearer).await;
    let (encoding, plain) = raw_services(&gateway, &gateway.key, "identity").await;
    assert_eq!(encoding, None);
    assert_eq!(raw_services(&gateway, &gateway.key, "identity").await.1, plain);
    assert_eq!(raw_services(&gateway, &same, "identity").await.1, plain);
    assert_ne!(raw_services(&gateway, &dearer, "identity").await.1, plain);
    let (encoding, compressed) = raw_services(&gateway, &same, "gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(compressed.len() < plain.len() / 3);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_true_changes_nothing_and_is_told_of() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&imported(&alpha, "")).await;
    let before = raw_services(&gateway, &gateway.key, "identity").await;
    let synced_at = gateway.cli_json(&["providers"])[0]["last_sync_at"].clone();
    for faults in
        ["services-empty", "server-error@services", "garbage@services", "half-body@services", "error@services(no)"]
    {
        alpha.set_faults(faults.parse().unwrap());
        let document = failed_sync(&gateway);
        assert!(document[0]["error"].is_string() && document[0]["services"].is_null(), "{faults}: {document}");
        assert_eq!(raw_services(&gateway, &gateway.key, "identity").await, before, "{faults}");
    }
    // A whole list that has become much shorter is not believed either.
    alpha.set_faults("".parse().unwrap());
    let all = default_services();
    alpha.set_services(all[..all.len() / 3].to_vec());
    assert!(failed_sync(&gateway)[0]["error"].as_str().unwrap().contains("26"));
    assert_eq!(raw_services(&gateway, &gateway.key, "identity").await, before);
    assert_eq!(gateway.cli_json(&["providers"])[0]["last_sync_at"], synced_at);

    alpha.set_services(all);
    gateway.cli_json(&["sync"]);
    assert_ne!(gateway.cli_json(&["providers"])[0]["last_sync_at"], synced_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_by_itself_is_warned_of_and_a_moved_price_is_followed() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&imported(&alpha, "sync_every = \"1s\"")).await;
    assert!(alpha.set_rate(1, Decimal::new(2, 0)));
    eventually("the new rate", || async { (gateway.call("services", &[]).await[0]["rate"] == "2.4").then_some(()) })
        .await;
    gateway.order(1001, "https://example.com/p/1", 1000).await;
    assert_eq!(gateway.balance().await, "997.6");
    alpha.set_faults("services-empty".parse().unwrap());
    eventually("a warning", || async {
        let log = gateway.log();
        log.lines().any(|line| line.contains("WARN") && line.contains("alpha was not synced")).then_some(())
    })
    .await;
    assert_eq!(gateway.call("services", &[]).await[0]["rate"], "2.4");
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_shows_what_was_gained_lost_and_repriced_with_and_without_a_gateway() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let mut gateway = Gateway::start(&imported(&alpha, "").provider("beta", &beta, "")).await;
    let mut services = default_services();
    let moved = |document: &Value| {
        let row = document.as_array().unwrap().iter().find(|row| row["provider"] == "alpha").unwrap();
        (row["gained"].clone(), row["lost"].clone(), row["repriced"].clone())
    };
    let mut gone = services.remove(3);
    services[0].rate = Decimal::new(95, 2);
    alpha.set_services(services.clone());
    let document = gateway.cli_json(&["sync"]);
    assert_eq!(document.as_array().unwrap().len(), 2);
    assert_eq!(moved(&document), (json!([]), json!(["4"]), json!([{"service": "1", "from": "0.9", "to": "0.95"}])));
    eventually("the gateway's list to follow", || async {
        (gateway.call("services", &[]).await[0]["rate"] == "1.14").then_some(())
    })
    .await;

    assert!(gateway.stop().await.success());
    let calls = beta.calls().len();
    gone.rate = Decimal::new(1, 2);
    services.push(gone);
    alpha.set_services(services);
    let document = gateway.cli_json(&["sync", "alpha"]);
    assert_eq!(document.as_array().unwrap().len(), 1);
    assert_eq!(moved(&document), (json!(["4"]), json!([]), json!([])));
    assert_eq!(beta.calls().len(), calls, "only alpha was asked");
    let text = String::from_utf8(gateway.cli(&["sync", "alpha"]).stdout).unwrap();
    assert_eq!(text, "alpha: 26 services\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_shown_with_balance_state_and_last_sync() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    alpha.set_balance("12.50".parse().unwrap());
    let config = imported(&alpha, "").provider("beta", &beta, "mode = \"off\"");
    let gateway = Gateway::start(&config).await;
    let rows = eventually("the balance", || async {
        let rows = gateway.cli_json(&["providers"]);
        rows[0]["balance"].is_string().then_some(rows)
    })
    .await;
    assert_eq!((&rows[0]["provider"], &rows[0]["balance"]), (&json!("alpha"), &json!("12.5")));
    assert!(rows[0]["last_sync_at"].is_string());
    assert_eq!((&rows[0]["services"], &rows[0]["failures"]), (&json!(26), &json!(0)));
    assert_eq!((&rows[1]["state"], &rows[1]["last_sync_at"]), (&json!("off"), &Value::Null));
    assert!(gateway.log().contains("the balance at alpha is low"), "12.5 is under 25");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_off_is_never_called() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "mode = \"off\"")
        .service(1, "routes = [\"beta:1\", \"alpha:1\"]")
        .service(2, "routes = [\"beta:1\"]");
    let gateway = Gateway::start(&config).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    gateway.until_status(order, "Completed").await;
    assert!(gateway.add(2, "https://example.com/p/2", 1000).await["error"].is_string());
    gateway.cli_json(&["sync"]);
    assert_eq!(gateway.cli(&["sync", "beta"]).status.code(), Some(1));
    assert_eq!((alpha.order_count(), beta.calls().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_provider_gets_no_new_orders_and_its_old_ones_are_followed() {
    let (alpha, beta) = (upstream(4).await, upstream(20).await);
    let config = |mode: &str| {
        Config::new("")
            .provider("alpha", &alpha, &format!("mode = \"{mode}\""))
            .provider("beta", &beta, "")
            .service(1, "routes = [\"alpha:1\"]")
            .service(2, "routes = [\"alpha:1\", \"beta:1\"]")
    };
    let mut gateway = Gateway::start(&config("on")).await;
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    assert!(gateway.stop().await.success());
    gateway.reconfigure(&config("drain"));
    gateway.launch().await;
    assert!(gateway.add(1, "https://example.com/p/2", 1000).await["error"].is_string());
    let listed = gateway.call("services", &[]).await;
    assert_eq!(listed.as_array().unwrap().iter().map(|service| &service["service"]).collect::<Vec<_>>(), [2]);
    let elsewhere = gateway.order(2, "https://example.com/p/3", 1000).await;
    gateway.until_status(elsewhere, "Completed").await;
    gateway.until_status(order, "Completed").await;
    assert_eq!((alpha.order_count(), beta.order_count()), (1, 1));
    assert_eq!(alpha.call_count(Action::Add), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_orders_that_have_not_ended_cannot_be_removed() {
    let (alpha, beta) = (upstream(4).await, upstream(20).await);
    let without = Config::new("").provider("beta", &beta, "").service(2, "routes = [\"beta:1\"]");
    let with = without.clone().provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::start(&with).await;
    let order = eventually("alpha's list", || async {
        gateway.add(1, "https://example.com/p/1", 1000).await["order"].as_u64()
    })
    .await;
    assert!(gateway.stop().await.success());
    gateway.reconfigure(&without);
    let output = gateway.cli(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("\"alpha\"") && said.contains("1 of its orders") && said.contains("drain"), "{said}");

    gateway.reconfigure(&with);
    gateway.launch().await;
    gateway.until_status(order, "Completed").await;
    assert!(gateway.stop().await.success());
    gateway.reconfigure(&without);
    gateway.launch().await;
    assert_eq!(gateway.status(order).await["status"], "Completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_from_a_list_that_is_too_old() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&imported(&alpha, "max_catalogue_age = \"1s\"")).await;
    let before = raw_services(&gateway, &gateway.key, "identity").await;
    let refused = eventually("a refusal", || async {
        let answer = gateway.add(1001, "https://example.com/p/1", 1000).await;
        answer["error"].is_string().then_some(answer)
    })
    .await;
    assert_eq!(raw_services(&gateway, &gateway.key, "identity").await, before, "the list stays: {refused}");
    gateway.cli_json(&["sync"]);
    gateway.order(1001, "https://example.com/p/2", 1000).await;
}
