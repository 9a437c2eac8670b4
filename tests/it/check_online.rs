//! `tollgate check --online` and `--diff`: what providers say to a configuration, and what it would change.

use serde_json::{Value, json};
use tollgate::sandbox::{Action, DEFAULT_KEY, Options, Sandbox};

use crate::harness::{Config, Gateway, eventually, upstream, upstream_with};

fn one(alpha: &Sandbox, lines: &str) -> Config {
    Config::new("").provider("alpha", alpha, lines).service(1, "routes = [\"alpha:1\"]")
}

/// `check` with these flags; gives its exit status, its document and what it said.
fn check(gateway: &Gateway, flags: &[&str]) -> (Option<i32>, Value, String) {
    let output = gateway.cli(&[&["check", "--json"], flags].concat());
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {talk}"));
    (output.status.code(), document, talk)
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_asked_before_the_first_start() {
    let alpha = upstream(1).await;
    let euros = upstream_with(Options { currency: "EUR".into(), ..Options::default() }).await;
    let gateway = Gateway::prepare(&one(&alpha, "").service(2, "routes = [\"alpha:999\", \"alpha:3\"]"));
    let (status, document, _) = check(&gateway, &["--online"]);
    assert_eq!((status, &document["ok"], &document["diff"]), (Some(2), &json!(true), &json!(null)));
    let problems = json!(["service 2 has the route alpha:999, which it does not list"]);
    assert_eq!(
        document["online"],
        json!([{"provider": "alpha", "balance": "10000", "currency": "USD", "services": 26, "problems": problems,
                "error": null}])
    );
    assert!(!gateway.store_file().exists(), "it makes no store");
    gateway.reconfigure(&one(&alpha, "").service(2, "routes = [\"alpha:999\"]\nenabled = false"));
    let (status, document, _) = check(&gateway, &["--online"]);
    assert_eq!((status, &document["online"][0]["problems"]), (Some(0), &json!([])), "what is off needs no route");

    // One that is in another currency, one that is off, and one that is not there.
    let config = one(&alpha, "mode = \"off\"").provider("euros", &euros, "").provider_at(
        "nowhere",
        "http://127.0.0.1:1/api/v2",
        "",
    );
    gateway.reconfigure(&config);
    let asked = alpha.calls().len();
    let (status, document, _) = check(&gateway, &["--online"]);
    assert_eq!(status, Some(1));
    let said: Vec<(&Value, bool)> = document["online"]
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| (&provider["provider"], provider["error"].is_string()))
        .collect();
    assert_eq!(said, [(&json!("alpha"), false), (&json!("euros"), true), (&json!("nowhere"), true)], "{document}");
    assert_eq!(alpha.calls().len(), asked, "off is off");
    let shown = gateway.cli(&["check", "--online"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("its account is in EUR, the configuration says USD"), "{text}");
    assert!(text.contains("nowhere: failed: "), "{text}");

    gateway.reconfigure(&config.text("nonsense = 1"));
    assert_eq!(gateway.cli(&["check", "--online", "--diff"]).status.code(), Some(2), "a bad file is asked nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_asks_those_that_it_calls_and_new_ones_are_asked_from_here() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let gateway = Gateway::start(&one(&alpha, "sync_every = \"1h\"")).await;
    eventually("the first balance", || async { (alpha.call_count(Action::Balance) > 0).then_some(()) }).await;
    gateway.reconfigure(&one(&alpha, "sync_every = \"1h\"").provider("beta", &beta, ""));
    let (status, document, talk) = check(&gateway, &["--online"]);
    assert_eq!((status, talk.matches("asking the running gateway").count()), (Some(0), 1), "{talk}");
    let balances: Vec<&Value> = document["online"].as_array().unwrap().iter().map(|p| &p["balance"]).collect();
    assert_eq!(balances, ["10000", "10000"]);
    let asked = |upstream: &Sandbox| (upstream.call_count(Action::Balance), upstream.call_count(Action::Services));
    assert_eq!((asked(&alpha), asked(&beta)), ((2, 2), (1, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_running_gateway_does_not_have_is_tried_from_here() {
    let alpha = upstream(1).await;
    let config = one(&alpha, "sync_every = \"1h\"");
    let gateway = Gateway::start(&config).await;
    eventually("the first balance", || async { (alpha.call_count(Action::Balance) > 0).then_some(()) }).await;
    let file = gateway.folder().join("providers.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(DEFAULT_KEY));
    std::fs::write(&file, text.replace(DEFAULT_KEY, "00000000000000000000000000000000")).unwrap();
    let (status, document, talk) = check(&gateway, &["--online"]);
    assert_eq!(status, Some(1), "{document} {talk}");
    assert!(document["online"][0]["error"].as_str().unwrap().contains("balance"), "{document}");
    assert!(talk.contains("has another URL or key for alpha"), "{talk}");
    // The gateway goes by what it has, and is no worse for it.
    gateway.reconfigure(&config);
    let (status, document, talk) = check(&gateway, &["--online"]);
    assert_eq!((status, talk.matches("asking the running gateway").count()), (Some(0), 1), "{document} {talk}");
    assert_eq!(gateway.cli_json(&["providers"])[0]["state"], "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_shows_services_prices_and_the_orders_that_are_touched() {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let start = Config::new("")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"alpha:3\"]")
        .service(3, "routes = [\"beta:1\"]");
    let mut gateway = Gateway::start(&start).await;
    let nothing = eventually("both lists to be written down", || async {
        let (status, document, _) = check(&gateway, &["--diff"]);
        let diff = &document["diff"];
        (status == Some(0) && diff["gained"] == json!([]) && gateway.rates().await.len() == 3).then(|| diff.clone())
    })
    .await;
    for name in ["providers_gained", "providers_lost", "providers_moved", "lost", "repriced", "refunded", "refused"] {
        assert_eq!(nothing[name], json!([]), "{name}");
    }
    gateway.cli_json(&["pause", "alpha"]);
    eventually("the pause", || async { gateway.log().contains("paused by the operator").then_some(()) }).await;
    let queued = gateway.order(2, "https://example.com/queued", 1000).await;
    gateway.until_state(queued, "queued").await;
    let placed = gateway.order(3, "https://example.com/placed", 1000).await;
    gateway.until_state(placed, "placed").await;

    // Beta goes with its order, service 2 with its own; service 1 costs more, service 4 is new.
    let next = Config::new("[pricing]\nmarkup_percent = \"50\"")
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(4, "routes = [\"alpha:1\"]\nname = \"New one\"\nrate = \"7\"");
    gateway.reconfigure(&next);
    for running in [true, false] {
        if !running {
            assert!(gateway.stop().await.success());
        }
        let (status, document, _) = check(&gateway, &["--diff"]);
        let diff = &document["diff"];
        assert_eq!((status, &document["ok"]), (Some(1), &json!(true)), "{document}");
        assert_eq!((&diff["providers_lost"], &diff["providers_gained"]), (&json!(["beta"]), &json!([])));
        assert_eq!(diff["gained"], json!([{"service": 4, "name": "New one", "rate": "7"}]));
        let lost: Vec<&Value> = diff["lost"].as_array().unwrap().iter().map(|service| &service["service"]).collect();
        assert_eq!(lost, [2, 3]);
        let repriced = &diff["repriced"][0];
        assert_eq!(
            (&repriced["service"], &repriced["from"], &repriced["to"]),
            (&json!(1), &json!("1.08"), &json!("1.35"))
        );
        assert_eq!(diff["refunded"], json!([{"service": 2, "orders": 1}]));
        assert!(diff["refused"][0].as_str().unwrap().contains("\"beta\""), "{diff}");
    }
    let text = gateway.cli(&["check", "--diff"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("! service 2 goes: 1 queued orders are refunded"));
}

#[test]
fn a_diff_needs_a_store() {
    let gateway = Gateway::prepare(&Config::new("").provider_at("alpha", "https://alpha.example/api", ""));
    let output = gateway.cli(&["check", "--diff"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no store"));
}
