//! How the operator settles an order whose placement is uncertain.

use serde_json::json;
use tollgate::sandbox::{Action, Fault, OrderChange, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, accepted, eventually, upstream};

const LOST: &str = "https://example.com/lost";

/// A gateway with an order that is uncertain after this fault.
async fn uncertain(fault: Fault) -> (Sandbox, Gateway, u64) {
    let alpha = upstream(10).await;
    let config = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    alpha.script_next(Action::Add, fault, 1);
    let order = gateway.order(1, LOST, 100).await;
    gateway.until_state(order, "uncertain").await;
    (alpha, gateway, order)
}

fn resolve(gateway: &Gateway, order: u64, how: &[&str]) -> Result<String, String> {
    let id = order.to_string();
    let output = gateway.cli(&[&["orders", "resolve", &id], how].concat());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    match output.status.code() {
        Some(0) => Ok(said),
        Some(1) => Err(said),
        code => panic!("{code:?}: {said}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_checked_before_it_is_bound() {
    let (alpha, gateway, order) = uncertain(Fault::CloseAfter).await;
    let lost = alpha.orders()[0].id.clone();
    let other = gateway.order(1, "https://example.com/other", 100).await;

    let said = resolve(&gateway, order, &["--placed", "99"]).unwrap_err();
    assert!(said.contains("alpha does not confirm order 99"), "{said}");
    let said = resolve(&gateway, order, &["--placed", &alpha.orders()[1].id]).unwrap_err();
    assert!(said.contains(&format!("belongs to order {other}")), "{said}");
    assert_eq!(gateway.story(order)["order"]["state"], "uncertain");

    assert!(alpha.set_order(&lost, OrderChange { remains: Some("37".into()), ..OrderChange::status("In progress") }));
    let said = resolve(&gateway, order, &["--placed", &lost]).unwrap();
    let shown = format!("order {order} is settled: placed as alpha's order {lost}, which is In progress there");
    assert!(
        said.starts_with(&shown) && said.contains(", charge 0.09 USD, ") && said.contains(", remains 37"),
        "{said}"
    );
    assert!(alpha.set_order(&lost, OrderChange::status("Completed")));
    let story = gateway.story(order);
    assert_eq!(story["order"]["upstream_order"], lost.as_str());
    gateway.until_status(order, "Completed").await;
    assert_eq!(accepted(&alpha, LOST), 1);
    assert_eq!(gateway.balance().await, "999.784");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_not_placed_is_sent_once_more() {
    let (alpha, gateway, order) = uncertain(Fault::CloseBefore).await;
    resolve(&gateway, order, &["--not-placed"]).unwrap();
    let story = gateway.until_state(order, "placed").await;
    assert_eq!(story["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(accepted(&alpha, LOST), 1);
    gateway.until_status(order, "Completed").await;
    assert_eq!(gateway.balance().await, "999.892", "charged once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_ends_it() {
    let (alpha, gateway, order) = uncertain(Fault::CloseAfter).await;
    resolve(&gateway, order, &["--refund"]).unwrap();
    let shown = gateway.until_status(order, "Canceled").await;
    assert_eq!((shown["charge"].as_str(), shown["remains"].as_str()), (Some("0"), Some("100")));
    assert_eq!(gateway.balance().await, DEPOSIT);
    assert_eq!(accepted(&alpha, LOST), 1);
    let said = resolve(&gateway, order, &["--refund"]).unwrap_err();
    assert!(said.contains("is closed"), "{said}");
    assert_eq!(gateway.balance().await, DEPOSIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_uncertain_order_is_settled() {
    let (_alpha, mut gateway, _) = uncertain(Fault::CloseAfter).await;
    let placed = gateway.order(1, "https://example.com/placed", 100).await;
    for running in [true, false] {
        if !running {
            assert!(gateway.stop().await.success());
        }
        for how in [&["--placed", "100001"][..], &["--not-placed"], &["--refund"]] {
            let said = resolve(&gateway, placed, how).unwrap_err();
            assert!(said.contains("only an uncertain order"), "{said}");
            let said = resolve(&gateway, 4711, how).unwrap_err();
            assert!(said.contains("there is no order 4711"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_settled_while_the_gateway_is_stopped() {
    let (alpha, mut gateway, first) = uncertain(Fault::CloseAfter).await;
    let mut lost = vec![first];
    for name in ["second", "third"] {
        // One that is answered between two that are not keeps the upstream in use.
        gateway.order(1, &format!("https://example.com/between/{name}"), 100).await;
        alpha.script_next(Action::Add, Fault::CloseBefore, 1);
        let order = gateway.order(1, &format!("https://example.com/{name}"), 100).await;
        gateway.until_state(order, "uncertain").await;
        lost.push(order);
    }
    assert!(gateway.stop().await.success());
    let id = alpha.orders()[0].id.clone();
    let said = resolve(&gateway, lost[0], &["--placed", "99"]).unwrap_err();
    assert!(said.contains("alpha does not confirm order 99"), "{said}");
    resolve(&gateway, lost[0], &["--placed", &id]).unwrap();
    resolve(&gateway, lost[1], &["--not-placed"]).unwrap();
    resolve(&gateway, lost[2], &["--refund"]).unwrap();
    assert_eq!(alpha.order_count(), 3, "nothing is sent by the command line");
    let states = lost.iter().map(|order| gateway.story(*order)["order"]["state"].clone());
    assert_eq!(states.collect::<Vec<_>>(), ["placed", "queued", "closed"]);
    gateway.launch().await;
    gateway.until_state(lost[1], "placed").await;
    gateway.until_status(lost[0], "Completed").await;
    assert_eq!(accepted(&alpha, "https://example.com/second"), 1);
    assert_eq!(accepted(&alpha, "https://example.com/third"), 0);
    assert_eq!(gateway.status(lost[2]).await["charge"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_uncertain_orders_of_a_provider_are_refunded_together() {
    let (alpha, beta) = (upstream(10).await, upstream(10).await);
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"beta:1\"]");
    let mut gateway = Gateway::start(&config).await;
    let lose = async |gateway: &Gateway, upstream: &Sandbox, service: u32, link: &str| {
        upstream.script_next(Action::Add, Fault::CloseAfter, 1);
        let order = gateway.order(service, link, 100).await;
        gateway.until_state(order, "uncertain").await;
        order
    };
    let a = lose(&gateway, &alpha, 1, "https://example.com/a").await;
    let b = lose(&gateway, &alpha, 1, "https://example.com/b").await;
    let c = lose(&gateway, &beta, 2, "https://example.com/c").await;
    let all = |gateway: &Gateway, provider: &str, age: &str| {
        gateway.cli_json(&["orders", "resolve", "--all", "--provider", provider, "--older-than", age, "--refund"])
    };
    let none = json!({"settled": 0, "orders": [], "refused": []});
    assert_eq!(all(&gateway, "alpha", "1h"), none, "none is so old");
    let nobody = ["orders", "resolve", "--all", "--provider", "gamma", "--older-than", "0s", "--refund"];
    assert_eq!(gateway.cli(&nobody).status.code(), Some(1), "there is no such provider");
    assert_eq!(all(&gateway, "alpha", "0s"), json!({"settled": 2, "orders": [b, a], "refused": []}));
    for order in [a, b] {
        let story = gateway.story(order);
        assert_eq!((&story["order"]["status"], &story["order"]["refunded"]), (&json!("Canceled"), &json!("0.108")));
    }
    assert_eq!(all(&gateway, "alpha", "0s"), none, "once");
    assert_eq!(gateway.story(c)["order"]["state"], "uncertain");

    // A word about an attempt that is not the last one, or about an order that is settled, settles nothing.
    let body = json!({"verb": "refund_all", "orders": [{"order": c, "attempt": 2}, {"order": a, "attempt": 1}]});
    gateway.edit_store(&format!("INSERT INTO gateway_requests (body, posted_at) VALUES ('{body}', 0)"));
    let answer = eventually("its answer", || async {
        let store = rusqlite::Connection::open(gateway.store_file()).unwrap();
        store.query_row("SELECT answer FROM gateway_requests", [], |row| row.get::<_, Option<String>>(0)).unwrap()
    })
    .await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["resolved_many"]["settled"], json!([]));
    assert_eq!(answer["resolved_many"]["refused"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(gateway.story(c)["order"]["state"], "uncertain");

    assert!(gateway.stop().await.success());
    assert_eq!(all(&gateway, "beta", "0s")["settled"], 1, "with no gateway running too");
    assert_eq!(gateway.story(c)["order"]["refunded"], "0.108");
}
