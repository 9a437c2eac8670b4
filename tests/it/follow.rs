//! What an upstream's reports do to an order, and to what its client is shown and given back.

use serde_json::Value;
use tollgate::sandbox::{OrderChange, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, upstream};

/// Service 1 is sold at 1.08 per 1000, also as drip-feed; service 6 is a package for 5.988.
async fn gateway_with_upstream() -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(6, "routes = [\"alpha:6\"]");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

/// An order of 1000 and its ID upstream.
async fn placed(gateway: &Gateway, name: &str) -> (u64, String) {
    let order = gateway.order(1, &format!("https://example.com/{name}"), 1000).await;
    (order, upstream_id(gateway, order))
}

fn upstream_id(gateway: &Gateway, order: u64) -> String {
    gateway.story(order)["order"]["upstream_order"].as_str().unwrap().to_owned()
}

fn report(upstream: &Sandbox, id: &str, status: &str, figures: &[(&str, &str)]) {
    let mut change = OrderChange::status(status);
    for (name, text) in figures {
        let field = match *name {
            "remains" => &mut change.remains,
            "charge" => &mut change.charge,
            "start_count" => &mut change.start_count,
            "runs" => &mut change.runs,
            _ => panic!("{name}"),
        };
        *field = Some((*text).to_owned());
    }
    assert!(upstream.set_order(id, change));
}

fn shown(answer: &Value) -> (&str, &str, &str) {
    let text = |name: &str| answer[name].as_str().unwrap();
    (text("status"), text("charge"), text("remains"))
}

/// The refunds in the ledger of an order.
fn refunds(gateway: &Gateway, order: u64) -> Vec<String> {
    let story = gateway.story(order);
    let ledger = story["ledger"].as_array().unwrap().iter();
    ledger.filter(|entry| entry["kind"] == "refund").map(|entry| entry["amount"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_word_becomes_one_of_the_six() {
    let (alpha, gateway) = gateway_with_upstream().await;
    let words = [
        ("In-Progress", "In progress"),
        ("running", "In progress"),
        ("PROCESSING", "Processing"),
        ("Complete", "Completed"),
        ("success", "Completed"),
        ("Partially Completed", "Partial"),
        ("Cancelled", "Canceled"),
        ("canelled", "Canceled"),
        ("refunded", "Canceled"),
    ];
    let mut orders = Vec::new();
    for (number, (word, status)) in words.into_iter().enumerate() {
        let (order, id) = placed(&gateway, &number.to_string()).await;
        report(&alpha, &id, word, &[]);
        orders.push((order, id, status));
    }
    for (order, _, status) in &orders {
        gateway.until_status(*order, status).await;
    }
    let (order, id, _) = &orders[2];
    report(&alpha, id, "On hold", &[]);
    gateway.until_status(*order, "Pending").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_nobody_knows_changes_nothing_and_alerts_once() {
    let (alpha, gateway) = gateway_with_upstream().await;
    for (word, told) in [("Old", "not known: \"Old\""), ("Fail", "reports \"Fail\"")] {
        let (order, id) = placed(&gateway, word).await;
        report(&alpha, &id, "Processing", &[]);
        gateway.until_status(order, "Processing").await;
        report(&alpha, &id, word, &[]);
        gateway.polls_are_due();
        let line = gateway.until_told(order, told).await;
        assert!(line.starts_with("alert: "), "{line}");
        // What comes after it is another report, so this one was seen more than once by then.
        report(&alpha, &id, word, &[("start_count", "77")]);
        crate::harness::eventually("another report", || async {
            (gateway.status(order).await["start_count"] == "77").then_some(())
        })
        .await;
        assert_eq!(shown(&gateway.status(order).await), ("Processing", "1.08", "1000"), "{word}");
        assert!(refunds(&gateway, order).is_empty());
        report(&alpha, &id, "Completed", &[]);
        gateway.until_status(order, "Completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_is_refunded_exactly() {
    let (alpha, gateway) = gateway_with_upstream().await;
    let (partial, id) = placed(&gateway, "a").await;
    report(&alpha, &id, "Partial", &[("remains", "333")]);
    let answer = gateway.until_status(partial, "Partial").await;
    assert_eq!(shown(&answer), ("Partial", "0.72036", "333"));
    let (canceled, id) = placed(&gateway, "b").await;
    report(&alpha, &id, "Canceled", &[("remains", "0"), ("charge", "0.9")]);
    let answer = gateway.until_status(canceled, "Canceled").await;
    assert_eq!(shown(&answer), ("Canceled", "0", "1000"), "whatever the upstream's figures say");
    assert_eq!(
        (refunds(&gateway, partial), refunds(&gateway, canceled)),
        (vec!["0.35964".into()], vec!["1.08".into()])
    );
    assert_eq!(gateway.balance().await, "999.27964");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_change_refunds_what_is_missing_and_nothing_turns_back() {
    let (alpha, gateway) = gateway_with_upstream().await;
    let (order, id) = placed(&gateway, "p").await;
    report(&alpha, &id, "Completed", &[]);
    let answer = gateway.until_status(order, "Completed").await;
    assert_eq!(shown(&answer), ("Completed", "1.08", "0"));

    report(&alpha, &id, "Partial", &[("remains", "400")]);
    gateway.polls_are_due();
    let answer = gateway.until_status(order, "Partial").await;
    assert_eq!(shown(&answer), ("Partial", "0.648", "400"));

    // Back to Completed, at the price of a Partial: it is the same order.
    report(&alpha, &id, "Completed", &[("charge", "0.54")]);
    gateway.polls_are_due();
    let line = gateway.until_told(order, "turned from Partial back to Completed").await;
    assert!(line.starts_with("alert: "), "{line}");
    assert_eq!(shown(&gateway.status(order).await), ("Partial", "0.648", "400"));

    // A smaller Partial takes nothing back.
    report(&alpha, &id, "Partial", &[("remains", "100"), ("charge", "0.53"), ("start_count", "9")]);
    gateway.polls_are_due();
    crate::harness::eventually("the smaller Partial to be seen", || async {
        (gateway.status(order).await["start_count"] == "9").then_some(())
    })
    .await;
    assert_eq!(shown(&gateway.status(order).await), ("Partial", "0.648", "400"));

    report(&alpha, &id, "Canceled", &[]);
    gateway.polls_are_due();
    let answer = gateway.until_status(order, "Canceled").await;
    assert_eq!(shown(&answer), ("Canceled", "0", "1000"));

    report(&alpha, &id, "In progress", &[("charge", "0")]);
    gateway.polls_are_due();
    gateway.until_told(order, "turned from Canceled back to In progress").await;
    report(&alpha, &id, "In progress", &[("charge", "0.9")]);
    gateway.polls_are_due();
    gateway.until_told(order, "a higher upstream charge").await;
    assert_eq!(shown(&gateway.status(order).await), ("Canceled", "0", "1000"));
    assert_eq!(refunds(&gateway, order), ["0.432", "0.648"]);
    assert_eq!(gateway.balance().await, DEPOSIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_refunded_by_what_the_upstream_gave_back() {
    let (alpha, gateway) = gateway_with_upstream().await;
    let answer = gateway.call("add", &[("service", "6"), ("link", "https://example.com/package")]).await;
    let order = answer["order"].as_u64().unwrap();
    let id = upstream_id(&gateway, order);
    report(&alpha, &id, "Processing", &[]);
    let answer = gateway.until_status(order, "Processing").await;
    assert_eq!(shown(&answer), ("Processing", "5.988", "1"));
    report(&alpha, &id, "Partial", &[("charge", "2.495")]);
    let answer = gateway.until_status(order, "Partial").await;
    assert_eq!(shown(&answer), ("Partial", "2.994", "1"));
    assert_eq!(gateway.story(order)["order"]["cost"], "2.495");
    report(&alpha, &id, "Canceled", &[]);
    gateway.polls_are_due();
    gateway.until_status(order, "Canceled").await;
    assert_eq!(gateway.balance().await, DEPOSIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drip_feed_that_was_canceled_after_some_runs_is_a_partial() {
    let (alpha, gateway) = gateway_with_upstream().await;
    let drip = async |name: &str| {
        let link = format!("https://example.com/{name}");
        let fields =
            [("service", "1"), ("link", link.as_str()), ("quantity", "100"), ("runs", "4"), ("interval", "10")];
        let order = gateway.call("add", &fields).await["order"].as_u64().unwrap();
        (order, upstream_id(&gateway, order))
    };
    let (some, id) = drip("some").await;
    report(&alpha, &id, "Canceled", &[("runs", "1"), ("charge", "0.09")]);
    let answer = gateway.until_status(some, "Partial").await;
    assert_eq!(shown(&answer), ("Partial", "0.108", "300"));
    let (none, id) = drip("none").await;
    report(&alpha, &id, "Canceled", &[("runs", "0")]);
    let answer = gateway.until_status(none, "Canceled").await;
    assert_eq!(shown(&answer), ("Canceled", "0", "400"));
    let (partial, id) = drip("partial").await;
    report(&alpha, &id, "Partial", &[("remains", "100"), ("runs", "3")]);
    let answer = gateway.until_status(partial, "Partial").await;
    assert_eq!(shown(&answer), ("Partial", "0.324", "100"));
    assert_eq!(gateway.balance().await, "999.568");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_figures_are_shown_as_plain_numbers() {
    let (alpha, gateway) = gateway_with_upstream().await;
    let (order, id) = placed(&gateway, "p").await;
    assert_eq!(gateway.status(order).await["start_count"], "0");
    report(&alpha, &id, "Processing", &[("remains", "-5"), ("start_count", "null"), ("charge", "null")]);
    let answer = gateway.until_status(order, "Processing").await;
    assert_eq!(shown(&answer), ("Processing", "1.08", "0"));
    assert_eq!(answer["start_count"], "0");
    report(&alpha, &id, "In progress", &[("remains", "999999"), ("start_count", "1200")]);
    let answer = gateway.until_status(order, "In progress").await;
    assert_eq!(shown(&answer), ("In progress", "1.08", "1000"), "no more than was ordered");
    assert_eq!(answer["start_count"], "1200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_without_figures_waits_for_them() {
    let (alpha, gateway) = gateway_with_upstream().await;
    let (order, id) = placed(&gateway, "p").await;
    report(&alpha, &id, "Partial", &[("remains", "null")]);
    gateway.polls_are_due();
    let line = gateway.until_told(order, "Partial without figures").await;
    assert!(line.starts_with("alert: "), "{line}");
    assert_eq!(gateway.story(order)["order"]["state"], "placed");
    report(&alpha, &id, "Partial", &[("remains", "250")]);
    let answer = gateway.until_status(order, "Partial").await;
    assert_eq!(shown(&answer), ("Partial", "0.81", "250"));
}
