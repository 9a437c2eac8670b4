//! `cancel`: one compare-and-set on the order, forwarded where it is placed, refunded once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::sandbox::{Action, Fault, OrderChange, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, accepted, eventually, only_error, upstream};

const REFUSED: &str = "Order can not be canceled";

/// Service 1 goes to alpha and else to beta; 5, which can't be canceled, to alpha; 2 to beta.
async fn gateway_with(tables: &str) -> (Sandbox, Sandbox, Gateway) {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let config = Config::new(tables)
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
        .service(2, "routes = [\"beta:2\"]")
        .service(3, "routes = [\"alpha:3\"]")
        .service(5, "routes = [\"alpha:5\"]");
    let gateway = Gateway::start(&config).await;
    gateway.has_all_catalogues().await;
    (alpha, beta, gateway)
}

fn link(name: impl std::fmt::Display) -> String {
    format!("https://example.com/{name}")
}

/// An order for 0.108 and its ID upstream.
async fn placed(gateway: &Gateway, name: &str) -> (u64, String) {
    let order = gateway.order(1, &link(name), 100).await;
    let story = gateway.until_state(order, "placed").await;
    (order, story["order"]["upstream_order"].as_str().unwrap().to_owned())
}

async fn cancel(gateway: &Gateway, order: u64) -> Value {
    let answer = gateway.call("cancel", &[("orders", &order.to_string())]).await;
    let list = answer.as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!((list.len(), &list[0]["order"]), (1, &json!(order)), "{answer}");
    list[0]["cancel"].clone()
}

fn refused() -> Value {
    json!({ "error": REFUSED })
}

fn refunds(gateway: &Gateway, order: u64) -> Vec<String> {
    let story = gateway.story(order);
    let ledger = story["ledger"].as_array().unwrap().iter();
    ledger.filter(|entry| entry["kind"] == "refund").map(|entry| entry["amount"].as_str().unwrap().to_owned()).collect()
}

/// What becomes of a cancel upstream depends on when it comes: this way it is whole.
fn report_canceled(upstream: &Sandbox) {
    for order in upstream.orders() {
        assert!(upstream.set_order(&order.id, OrderChange::status("Canceled")));
    }
}

/// How many orders each `cancel` call carried.
fn carried(upstream: &Sandbox) -> Vec<usize> {
    upstream.calls().iter().filter(|call| call.action == Action::Cancel).map(|call| call.ids).collect()
}

async fn until_cancels(upstream: &Sandbox, count: u64) {
    eventually(&format!("{count} cancels"), || async { (upstream.call_count(Action::Cancel) >= count).then_some(()) })
        .await;
    assert_eq!(upstream.call_count(Action::Cancel), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placed_order_is_canceled_upstream_and_refunded_by_its_report() {
    let (alpha, _beta, gateway) = gateway_with("").await;
    let (whole, whole_id) = placed(&gateway, "whole").await;
    let (part, part_id) = placed(&gateway, "part").await;
    for id in [&whole_id, &part_id] {
        assert!(alpha.set_order(id, OrderChange::status("In progress")));
    }
    for order in [whole, part] {
        assert_eq!(cancel(&gateway, order).await, 1);
        assert!(refunds(&gateway, order).is_empty(), "nothing before the upstream's word");
        let lines = gateway.history(order);
        assert!(lines.iter().any(|line| line.contains("took the cancel")), "{lines:?}");
        // Asked for again, it is noted, and not told again.
        assert_eq!(cancel(&gateway, order).await, 1);
    }
    assert_eq!(alpha.call_count(Action::Cancel), 2);
    assert!(alpha.set_order(&whole_id, OrderChange::status("Canceled")));
    let change = OrderChange { remains: Some("25".into()), ..OrderChange::status("Partial") };
    assert!(alpha.set_order(&part_id, change));
    // By itself: nobody asks for their statuses.
    gateway.until_state(whole, "closed").await;
    gateway.until_state(part, "closed").await;
    assert_eq!((refunds(&gateway, whole), refunds(&gateway, part)), (vec!["0.108".into()], vec!["0.027".into()]));
    assert_eq!(gateway.balance().await, "999.919");
    for order in [whole, part] {
        assert_eq!(cancel(&gateway, order).await, refused(), "closed");
    }
    assert_eq!(alpha.call_count(Action::Cancel), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_order_is_closed_and_refunded_at_once() {
    let (alpha, beta, gateway) = gateway_with("[dispatch]\nwait = \"100ms\"").await;
    for upstream in [&alpha, &beta] {
        upstream.set_faults("error(Maintenance)".parse().unwrap());
    }
    let order = gateway.order(1, &link("p"), 100).await;
    gateway.until_state(order, "queued").await;
    assert_eq!(cancel(&gateway, order).await, 1);
    let status = gateway.status(order).await;
    assert_eq!(
        (&status["status"], &status["charge"], &status["remains"]),
        (&json!("Canceled"), &json!("0"), &json!("100"))
    );
    assert_eq!(gateway.balance().await, DEPOSIT);
    assert_eq!(cancel(&gateway, order).await, refused());
    for upstream in [&alpha, &beta] {
        upstream.set_faults("".parse().unwrap());
    }
    // One that is queued behind it goes out; the canceled one does not.
    let next = gateway.order(1, &link("next"), 100).await;
    gateway.until_state(next, "placed").await;
    assert_eq!((accepted(&alpha, &link("p")), accepted(&beta, &link("p"))), (0, 0));
    assert_eq!(refunds(&gateway, order), ["0.108"]);
    assert_eq!((alpha.call_count(Action::Cancel), beta.call_count(Action::Cancel)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_being_sent_is_canceled_once_it_is_placed() {
    let (alpha, beta, gateway) = gateway_with("[dispatch]\nwait = \"100ms\"").await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(2)), 1);
    let order = gateway.order(1, &link("p"), 100).await;
    assert_eq!(gateway.story(order)["order"]["state"], "sending");
    assert_eq!(cancel(&gateway, order).await, 1);
    assert_eq!(gateway.status(order).await["status"], "Pending");
    gateway.until_state(order, "placed").await;
    until_cancels(&alpha, 1).await;
    report_canceled(&alpha);
    gateway.until_status(order, "Canceled").await;
    assert_eq!(refunds(&gateway, order), ["0.108"]);
    assert_eq!(beta.order_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_being_sent_is_closed_once_it_is_refused() {
    let (alpha, beta, gateway) = gateway_with("[dispatch]\nwait = \"100ms\"").await;
    alpha.set_balance("0".parse().unwrap());
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_secs(2)), 1);
    let order = gateway.order(1, &link("p"), 100).await;
    assert_eq!(gateway.story(order)["order"]["state"], "sending");
    assert_eq!(cancel(&gateway, order).await, 1);
    gateway.until_status(order, "Canceled").await;
    assert_eq!(gateway.balance().await, DEPOSIT);
    assert_eq!(beta.call_count(Action::Add), 0, "no other route is tried");
    assert_eq!(alpha.call_count(Action::Cancel), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uncertain_order_remembers_the_wish() {
    let (alpha, beta, gateway) = gateway_with("").await;
    let mut orders = Vec::new();
    for name in ["placed", "lost"] {
        alpha.script_next(Action::Add, Fault::CloseAfter, 1);
        let order = gateway.order(1, &link(name), 100).await;
        gateway.until_state(order, "uncertain").await;
        assert_eq!(cancel(&gateway, order).await, 1);
        assert_eq!(gateway.story(order)["order"]["state"], "uncertain");
        assert!(refunds(&gateway, order).is_empty());
        orders.push(order);
    }
    let id = alpha.orders()[0].id.clone();
    gateway.cli_json(&["orders", "resolve", &orders[0].to_string(), "--placed", &id]);
    until_cancels(&alpha, 1).await;
    report_canceled(&alpha);
    gateway.until_status(orders[0], "Canceled").await;
    gateway.cli_json(&["orders", "resolve", &orders[1].to_string(), "--not-placed"]);
    assert_eq!(gateway.status(orders[1]).await["status"], "Canceled");
    assert_eq!(gateway.balance().await, DEPOSIT);
    for order in orders {
        assert_eq!(refunds(&gateway, order), ["0.108"]);
    }
    assert_eq!((alpha.order_count(), beta.order_count(), alpha.call_count(Action::Cancel)), (2, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_refuses_is_told_and_goes_on() {
    let (alpha, _beta, gateway) = gateway_with("[cache]\nstatus_ttl = \"1h\"\n[dispatch]\nwait = \"30s\"").await;
    let (late, id) = placed(&gateway, "late").await;
    assert!(alpha.set_order(&id, OrderChange::status("Completed")));
    assert_eq!(cancel(&gateway, late).await, refused());
    // Its upstream has news, which is asked for soon.
    gateway.until_state(late, "closed").await;
    assert_eq!(gateway.status(late).await["status"], "Completed");
    let (other, id) = placed(&gateway, "other").await;
    alpha.script_next(Action::Cancel, Fault::Error("Cancellation via API is not supported".to_owned()), 1);
    assert_eq!(cancel(&gateway, other).await, refused());
    // The wish is gone, and may come again.
    assert_eq!(cancel(&gateway, other).await, 1);
    assert!(alpha.set_order(&id, OrderChange::status("Canceled")));
    gateway.until_state(other, "closed").await;
    assert_eq!(refunds(&gateway, other), ["0.108"]);
    assert_eq!(alpha.call_count(Action::Cancel), 3);
    let fixed = gateway.order(5, &link("fixed"), 1000).await;
    gateway.until_state(fixed, "placed").await;
    assert_eq!(cancel(&gateway, fixed).await, refused(), "its service can't be canceled");
    assert_eq!(alpha.call_count(Action::Cancel), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_is_told_again() {
    let (alpha, _beta, gateway) = gateway_with("").await;
    for fault in [Fault::CloseBefore, Fault::BadGateway] {
        let (order, _) = placed(&gateway, "p").await;
        let before = alpha.call_count(Action::Cancel);
        alpha.script_next(Action::Cancel, fault, 1);
        assert_eq!(cancel(&gateway, order).await, 1);
        until_cancels(&alpha, before + 2).await;
        report_canceled(&alpha);
        gateway.until_status(order, "Canceled").await;
        assert_eq!(refunds(&gateway, order), ["0.108"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_is_waited_for_no_longer_than_told() {
    let (alpha, _beta, mut gateway) = gateway_with("[dispatch]\nwait = \"100ms\"").await;
    let (order, _) = placed(&gateway, "p").await;
    alpha.script_next(Action::Cancel, Fault::HangBefore, 1);
    assert_eq!(cancel(&gateway, order).await, 1);
    until_cancels(&alpha, 1).await;
    // The wish outlives the process.
    gateway.kill();
    gateway.launch().await;
    until_cancels(&alpha, 2).await;
    report_canceled(&alpha);
    gateway.until_status(order, "Canceled").await;
    assert_eq!(refunds(&gateway, order), ["0.108"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_answered_in_the_order_asked_with_one_call_for_each_upstream() {
    let (alpha, beta, gateway) = gateway_with("").await;
    let (first, _) = placed(&gateway, "first").await;
    let (ended, ended_id) = placed(&gateway, "ended").await;
    assert!(alpha.set_order(&ended_id, OrderChange::status("Completed")));
    let (second, _) = placed(&gateway, "second").await;
    let at_beta = gateway.order(2, &link("beta"), 100).await;
    gateway.until_state(at_beta, "placed").await;
    let other_key = gateway.add_client("other", &["--deposit", "10"]);
    gateway.knows_key(&other_key).await;
    let theirs = gateway.order_of(&other_key, 1, &link("theirs"), 100).await;
    let asked = format!("{second}, x9,{theirs},{at_beta},{ended},999,{first}");
    let answer = gateway.call("cancel", &[("orders", &asked)]).await;
    let unknown = json!({ "error": "Incorrect order ID" });
    assert_eq!(
        answer,
        json!([
            { "order": second, "cancel": 1 },
            { "order": "x9", "cancel": unknown },
            { "order": theirs, "cancel": unknown },
            { "order": at_beta, "cancel": 1 },
            { "order": ended, "cancel": { "error": REFUSED } },
            { "order": 999, "cancel": unknown },
            { "order": first, "cancel": 1 },
        ])
    );
    assert_eq!((carried(&alpha), carried(&beta)), (vec![3], vec![1]));
    let form = [("key", other_key.as_str()), ("action", "status"), ("order", &theirs.to_string())];
    assert_eq!(gateway.post(&form).await["status"], "Pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_reaches_no_upstream() {
    let (alpha, _beta, gateway) = gateway_with("").await;
    let (order, _) = placed(&gateway, "p").await;
    let order_id = order.to_string();
    let key = gateway.cli_json(&["key", "add", "tester", "--read-only"]);
    let key = key["key"].as_str().unwrap();
    gateway.knows_key(key).await;
    let form = [("key", key), ("action", "cancel"), ("orders", order_id.as_str())];
    assert_eq!(only_error(&gateway.post(&form).await), "This API key is read-only");
    let many = (1..=101).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    for (parameters, error) in [
        (vec![], "Missing required parameter: orders"),
        (vec![("orders", many.as_str())], "Maximum 100 IDs per request"),
    ] {
        assert_eq!(only_error(&gateway.call("cancel", &parameters).await), error);
    }
    assert_eq!(alpha.call_count(Action::Cancel), 0);
    let answer = gateway.call("cancel", &[("order", &order_id)]).await;
    assert_eq!(answer, json!([{ "order": order, "cancel": 1 }]), "one alone may come as `order`");
}

/// Orders and cancels each at once, so that some cancels come before the send, some during and some after.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_races_a_send_leaves_no_order_half_way() {
    let (alpha, beta, gateway) = gateway_with("[dispatch]\nwait = \"0s\"").await;
    alpha.set_faults("slow(50):0.5".parse().unwrap());
    let mut calls = JoinSet::new();
    for number in 0..60_u64 {
        let caller = gateway.caller();
        calls.spawn(async move {
            let order = caller.add(1, &link(number), 100).await.unwrap()["order"].as_u64().unwrap();
            tokio::time::sleep(Duration::from_millis(number % 12 * 5)).await;
            let answer = caller.call("cancel", &[("orders", &order.to_string())]).await.unwrap();
            assert_eq!(answer, json!([{ "order": order, "cancel": 1 }]));
            (order, number)
        });
    }
    let orders = calls.join_all().await;
    eventually("every sent order's upstream to be told", || async {
        let settled = gateway.orders().iter().all(|order| order["state"] == "placed" || order["state"] == "closed");
        (settled && carried(&alpha).into_iter().sum::<usize>() == alpha.order_count()).then_some(())
    })
    .await;
    report_canceled(&alpha);
    for (order, _) in &orders {
        gateway.until_status(*order, "Canceled").await;
    }
    let mut unsent = 0;
    for (order, number) in orders {
        let story = gateway.story(order);
        let (sent, at_alpha) = (story["order"]["upstream_order"].is_string(), accepted(&alpha, &link(number)));
        assert_eq!(usize::from(sent), at_alpha, "{story}");
        unsent += usize::from(!sent);
        assert_eq!(refunds(&gateway, order), ["0.108"], "{story}");
    }
    assert!(unsent < 60, "every cancel came before its send");
    assert_eq!(beta.order_count(), 0);
    assert_eq!(gateway.balance().await, DEPOSIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_races_a_report_refunds_once() {
    let (alpha, _beta, gateway) = gateway_with("[cache]\nstatus_ttl = \"10ms\"").await;
    let mut orders = Vec::new();
    for number in 0..20 {
        orders.push(placed(&gateway, &number.to_string()).await);
    }
    let mut calls = JoinSet::new();
    for (number, (order, id)) in (0_u64..).zip(&orders) {
        assert!(alpha.set_order(id, OrderChange::status("Canceled")));
        let (caller, order) = (gateway.caller(), order.to_string());
        calls.spawn(async move {
            caller.call("status", &[("order", &order)]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(number * 20)).await;
            for _ in 0..3 {
                let answer = caller.call("cancel", &[("orders", &order)]).await.unwrap();
                let said = &answer[0]["cancel"];
                assert!(*said == 1 || *said == refused(), "{answer}");
            }
        });
    }
    calls.join_all().await;
    for (order, _) in &orders {
        gateway.until_status(*order, "Canceled").await;
        assert_eq!(refunds(&gateway, *order), ["0.108"]);
    }
    assert_eq!(gateway.balance().await, DEPOSIT);
}
