//! Prices: markup from the nearest level, fixed prices, currencies.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tollgate::sandbox::{Action, Fault};

use crate::harness::{Config, Gateway, eventually, upstream};

/// The rates that a key's client sees, once there are as many.
async fn rates(gateway: &Gateway, key: &str, count: usize) -> BTreeMap<u64, String> {
    eventually("all services", || async {
        let services = gateway.post(&[("key", key), ("action", "services")]).await;
        let services = services.as_array()?;
        let rate =
            |service: &Value| Some((service["service"].as_u64()?, service["rate"].as_str().unwrap_or("").to_owned()));
        (services.len() == count).then(|| services.iter().filter_map(rate).collect())
    })
    .await
}

/// The operator's document of an order that has ended.
async fn ended(gateway: &Gateway, order: u64) -> Value {
    eventually("the order's end", || async {
        gateway.polls_are_due();
        let story = gateway.story(order);
        (story["order"]["state"] == "closed").then_some(story)
    })
    .await
}

fn expected(rates: &[(u64, &str)]) -> BTreeMap<u64, String> {
    rates.iter().map(|(id, rate)| (*id, (*rate).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn percent_and_fixed_part_each_come_from_the_nearest_level() {
    let (alpha, beta) = (upstream(20).await, upstream(20).await);
    beta.set_currency("EUR");
    let config = Config::new(
        "[pricing]\nmarkup_percent = \"20\"\nmarkup_fixed = \"0.01\"\n[exchange_rates]\nEUR = \"1.10\"",
    )
    .provider("alpha", &alpha, "")
    .provider("beta", &beta, "currency = \"EUR\"\nmarkup_percent = \"30\"")
    .service(1, "routes = [\"alpha:1\"]")
    .service(2, "routes = [\"alpha:1\"]\nmarkup_percent = \"50\"")
    .service(3, "routes = [\"alpha:1\"]\nmarkup_fixed = \"0.5\"")
    .service(4, "routes = [\"beta:1\"]")
    .service(5, "routes = [\"beta:1\"]\nmarkup_fixed = \"0\"")
    .service(6, "routes = [\"alpha:1\"]\nrate = \"1.5\"")
    .service(7, "routes = [\"beta:1\"]\nmarkup_percent = \"0\"\nmarkup_fixed = \"0.1\"")
    .service(8, "routes = [\"alpha:1\"]\nenabled = false")
    .text("[[import]]\nprovider = \"alpha\"\nid_offset = 1000\nname = \"Instagram Likes\"\nmarkup_percent = \"40\"\n")
    .text("[[import]]\nprovider = \"beta\"\nid_offset = 2000\nname = \"TikTok Views\"\nmarkup_fixed = \"0.001\"\n");
    let gateway = Gateway::start(&config).await;
    let of_all = [
        (1, "1.09"),
        (2, "1.36"),
        (3, "1.58"),
        (4, "1.297"),
        (5, "1.287"),
        (6, "1.5"),
        (7, "1.09"),
        (1003, "0.304"),
        (2023, "0.0039"),
    ];
    assert_eq!(rates(&gateway, &gateway.key, 9).await, expected(&of_all));

    // A client's own percentage is the nearest; the fixed part is no term of a client.
    let key = gateway.add_client("friend", &["--markup", "10", "--deposit", "10"]);
    gateway.knows_key(&key).await;
    let of_friend = [
        (1, "1"),
        (2, "1"),
        (3, "1.49"),
        (4, "1.099"),
        (5, "1.089"),
        (6, "1.5"),
        (7, "1.189"),
        (1003, "0.241"),
        (2023, "0.0035"),
    ];
    assert_eq!(rates(&gateway, &key, 9).await, expected(&of_friend));

    // Charged as listed, and told to the operator with cost and margin.
    let order = gateway.order(2, "https://example.com/p/1", 1000).await;
    assert_eq!(gateway.status(order).await["charge"], "1.36");
    let order = gateway.order_of(&key, 4, "https://example.com/p/2", 1000).await;
    let story = ended(&gateway, order).await;
    assert_eq!((&story["order"]["charge"], &story["order"]["cost"]), (&json!("1.099"), &json!("0.99")));
    let shown = gateway.cli_json(&["services", "--client", "friend"]);
    let row = shown.as_array().unwrap().iter().find(|row| row["service"] == 4).unwrap();
    assert_eq!(
        (&row["cost"], &row["rate"], &row["margin_percent"]),
        (&json!("0.99"), &json!("1.099"), &json!("11.01"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_switched_off_is_neither_listed_nor_sold() {
    let alpha = upstream(20).await;
    let config = |enabled: bool| {
        Config::new("")
            .provider("alpha", &alpha, "")
            .service(1, &format!("routes = [\"alpha:1\"]\nenabled = {enabled}"))
            .service(2, "routes = [\"alpha:2\"]")
    };
    let mut gateway = Gateway::start(&config(false)).await;
    assert_eq!(rates(&gateway, &gateway.key, 1).await, expected(&[(2, "3")]));
    assert!(gateway.add(1, "https://example.com/p/1", 1000).await["error"].is_string());
    assert!(gateway.stop().await.success());
    gateway.reconfigure(&config(true));
    gateway.launch().await;
    gateway.order(1, "https://example.com/p/1", 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_in_several_currencies_are_compared_and_accounted_in_ours() {
    let (alpha, beta, gamma) = (upstream(20).await, upstream(20).await, upstream(20).await);
    beta.set_currency("EUR");
    gamma.set_currency("INR");
    // In our currency 0.9 at alpha, 0.972 at beta, 0.0108 at gamma.
    let config = Config::new("[exchange_rates]\nEUR = \"1.08\"\nINR = \"0.012\"\n[dispatch]\nwait = \"5s\"")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "currency = \"EUR\"")
        .provider("gamma", &gamma, "currency = \"INR\"")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
        .service(2, "routes = [\"gamma:1\"]")
        .service(3, "routes = [\"gamma:1\", \"beta:1\"]");
    let gateway = Gateway::start(&config).await;
    assert_eq!(
        rates(&gateway, &gateway.key, 3).await,
        expected(&[(1, "1.08"), (2, "0.013"), (3, "0.013")]),
        "0.01296 is rounded up"
    );
    let refusal = Fault::Error("Not enough funds on balance".to_owned());
    alpha.script_next(Action::Add, refusal.clone(), 1);
    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    let story = ended(&gateway, order).await;
    assert_eq!((&story["order"]["provider"], &story["order"]["cost"]), (&json!("beta"), &json!("0.972")));

    gamma.script_next(Action::Add, refusal, 1);
    let order = gateway.order(3, "https://example.com/p/2", 1000).await;
    let story = ended(&gateway, order).await;
    assert_eq!(story["order"]["provider"], "gamma", "beta costs more than it was sold for");
    assert_eq!((&story["order"]["charge"], &story["order"]["cost"]), (&json!("0.013"), &json!("0.0108")));
    assert_eq!((alpha.order_count(), beta.order_count(), gamma.order_count()), (0, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_lists_at_nothing_is_not_given_away() {
    let alpha = upstream(20).await;
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"alpha:1\"]\nrate = \"1.5\"")
        .service(3, "routes = [\"alpha:3\"]");
    let gateway = Gateway::start(&config).await;
    eventually("the list", || async { (gateway.rates().await.len() == 3).then_some(()) }).await;
    assert!(alpha.set_rate(1, Decimal::ZERO));
    let synced = gateway.cli_json(&["sync"]);
    assert_eq!(synced[0]["free"], json!(["1"]), "{synced}");
    let again = gateway.cli_json(&["sync"]);
    assert_eq!(again[0]["free"], json!([]));
    assert_eq!(gateway.log().matches("at a rate of 0 now (1)").count(), 1, "it is told once");

    let sold: Vec<u64> = gateway.rates().await.iter().map(|(service, _)| *service).collect();
    assert_eq!(sold, [2, 3]);
    assert!(gateway.add(1, "https://example.com/p/1", 1000).await["error"].is_string());
    let order = gateway.order(2, "https://example.com/p/2", 1000).await;
    gateway.until_status(order, "Completed").await;
    assert_eq!(gateway.story(order)["order"]["charge"], "1.5");

    let document = gateway.cli_json(&["check", "--online", "--diff"]);
    let free: Vec<(&Value, &Value)> =
        document["diff"]["free"].as_array().unwrap().iter().map(|s| (&s["service"], &s["sold"])).collect();
    assert_eq!(free, [(&json!(1), &json!(false)), (&json!(2), &json!(true))]);
    let problem = document["online"][0]["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("it lists 1 services at a rate of 0 (1)"), "{problem}");
    let said = String::from_utf8(gateway.cli(&["services"]).stderr).unwrap();
    assert!(said.contains("service 1 is not sold: its upstream lists it at a rate of 0"), "{said}");
}
