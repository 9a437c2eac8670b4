//! `refill` and `refill_status`: sent once, mapped both ways, followed to their end.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::sandbox::{Action, Fault, OrderChange, Sandbox};

use crate::harness::{Config, Gateway, eventually, only_error, upstream};

/// Services 1 and 2 can be refilled, 3 can't.
fn config(alpha: &Sandbox, tables: &str) -> Config {
    Config::new(tables)
        .provider("alpha", alpha, "")
        .service(1, "routes = [\"alpha:1\"]")
        .service(2, "routes = [\"alpha:2\"]")
        .service(3, "routes = [\"alpha:3\"]")
}

async fn gateway_with(tables: &str) -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let gateway = Gateway::start(&config(&alpha, tables)).await;
    (alpha, gateway)
}

fn link(name: impl std::fmt::Display) -> String {
    format!("https://example.com/{name}")
}

/// An order that its upstream has delivered.
async fn delivered(alpha: &Sandbox, gateway: &Gateway, service: u32, name: &str) -> u64 {
    let order = gateway.order(service, &link(name), 100).await;
    let story = gateway.until_state(order, "placed").await;
    let id = story["order"]["upstream_order"].as_str().unwrap();
    assert!(alpha.set_order(id, OrderChange::status("Completed")));
    order
}

async fn refill(gateway: &Gateway, order: u64) -> Value {
    gateway.call("refill", &[("order", &order.to_string())]).await
}

async fn refill_status(gateway: &Gateway, refill: &str) -> Value {
    gateway.call("refill_status", &[("refill", refill)]).await
}

async fn until_refill_status(gateway: &Gateway, refill: &str, status: &str) {
    eventually(&format!("refill {refill} to be {status}"), || async {
        (refill_status(gateway, refill).await == json!({ "status": status })).then_some(())
    })
    .await;
}

/// How `orders show` has the only refill of an order.
fn shown(gateway: &Gateway, order: u64) -> Value {
    let story = gateway.story(order);
    assert_eq!(story["refills"].as_array().unwrap().len(), 1, "{story}");
    story["refills"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refill_is_sent_and_followed_to_its_end() {
    let (alpha, gateway) = gateway_with("").await;
    let words = [
        ("Completed", "Completed"),
        ("Rejected", "Rejected"),
        ("Fail", "Error"),
        ("Error", "Error"),
        ("Cancelled", "Canceled"),
    ];
    for (number, (word, status)) in words.into_iter().enumerate() {
        let order = delivered(&alpha, &gateway, 1, word).await;
        let theirs = (number + 1).to_string();
        // Another client's refills in between would make the numbers differ.
        assert_eq!(refill(&gateway, order).await, json!({ "refill": theirs }));
        assert_eq!(refill_status(&gateway, &theirs).await, json!({ "status": "Pending" }));
        assert!(alpha.set_refill(&theirs, "Refilling"));
        until_refill_status(&gateway, &theirs, "In progress").await;
        assert!(alpha.set_refill(&theirs, word));
        until_refill_status(&gateway, &theirs, status).await;
        assert_eq!(shown(&gateway, order)["upstream_refill"], theirs.as_str());
        // What has ended is asked for no more.
        assert!(alpha.set_refill(&theirs, "In progress"));
    }
    let carried: usize = alpha.calls().iter().filter(|call| call.action == Action::RefillStatus).map(|c| c.ids).sum();
    let calls = alpha.call_count(Action::RefillStatus);
    let order = delivered(&alpha, &gateway, 1, "last").await;
    let last = refill(&gateway, order).await["refill"].as_str().unwrap().to_owned();
    assert!(alpha.set_refill(&last, "Refilling"));
    for _ in 0..5 {
        for id in 1..=words.len() {
            refill_status(&gateway, &id.to_string()).await;
        }
    }
    until_refill_status(&gateway, &last, "In progress").await;
    let now: usize = alpha.calls().iter().filter(|call| call.action == Action::RefillStatus).map(|c| c.ids).sum();
    assert_eq!(u64::try_from(now - carried).unwrap(), alpha.call_count(Action::RefillStatus) - calls, "only the last");
    for (id, (_, status)) in (1..).zip(words) {
        assert_eq!(refill_status(&gateway, &id.to_string()).await, json!({ "status": status }));
    }
    assert_eq!(alpha.call_count(Action::Refill), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_ids_stay_inside() {
    let (alpha, gateway) = gateway_with("").await;
    // The first two are refused, which makes our numbers run ahead of theirs.
    for _ in 0..2 {
        let order = delivered(&alpha, &gateway, 1, "refused").await;
        alpha.script_next(Action::Refill, Fault::Error("Refill not allowed".to_owned()), 1);
        assert_eq!(only_error(&refill(&gateway, order).await), "Refill not allowed");
    }
    let order = delivered(&alpha, &gateway, 1, "p").await;
    assert_eq!(refill(&gateway, order).await, json!({ "refill": "3" }));
    assert_eq!(shown(&gateway, order)["upstream_refill"], "1");
    assert!(alpha.set_refill("1", "Rejected"));
    until_refill_status(&gateway, "3", "Rejected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_answered_one_by_one_in_the_order_asked() {
    let (alpha, gateway) = gateway_with("").await;
    let good = delivered(&alpha, &gateway, 1, "good").await;
    let fresh = gateway.order(1, &link("fresh"), 100).await;
    let fixed = delivered(&alpha, &gateway, 3, "fixed").await;
    let other_key = gateway.add_client("other", &["--deposit", "10"]);
    gateway.knows_key(&other_key).await;
    let theirs = gateway.order_of(&other_key, 1, &link("theirs"), 100).await;
    let second = delivered(&alpha, &gateway, 2, "second").await;

    let asked = format!("x1, {second},{theirs},{fixed},999,{fresh},{good},99999999999");
    let answer = gateway.call("refill", &[("orders", &asked)]).await;
    let list = answer.as_array().unwrap();
    let orders: Vec<&Value> = list.iter().map(|item| &item["order"]).collect();
    let wanted = [
        json!("x1"),
        json!(second),
        json!(theirs),
        json!(fixed),
        json!(999),
        json!(fresh),
        json!(good),
        json!(99_999_999_999_u64),
    ];
    assert_eq!(orders, wanted.iter().collect::<Vec<_>>());
    for (index, error) in [
        (0, "Incorrect order ID"),
        (2, "Incorrect order ID"),
        (3, "Refill is disabled for this service"),
        (4, "Incorrect order ID"),
        (5, "The order is not completed"),
        (7, "Incorrect order ID"),
    ] {
        assert_eq!(list[index]["refill"], json!({ "error": error }), "{answer}");
    }
    let refills = [&list[1]["refill"], &list[6]["refill"]].map(|refill| refill.as_u64().unwrap());
    assert!(refills[0] != refills[1]);

    let asked = format!("{},x,999,{}", refills[1], refills[0]);
    let answer = gateway.call("refill_status", &[("refills", &asked)]).await;
    assert_eq!(
        answer,
        json!([
            { "refill": refills[1], "status": "Pending" },
            { "refill": "x", "status": { "error": "Refill not found" } },
            { "refill": 999, "status": { "error": "Refill not found" } },
            { "refill": refills[0], "status": "Pending" },
        ])
    );
    // Neither is seen by another client.
    for refill in refills {
        let form = [("key", other_key.as_str()), ("action", "refill_status"), ("refill", &refill.to_string())];
        assert_eq!(only_error(&gateway.post(&form).await), "Refill not found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_reaches_no_upstream() {
    let (alpha, gateway) = gateway_with("").await;
    let order = delivered(&alpha, &gateway, 1, "p").await;
    let order_id = order.to_string();
    let key = gateway.cli_json(&["key", "add", "tester", "--read-only"]);
    let key = key["key"].as_str().unwrap();
    gateway.knows_key(key).await;
    let form = [("key", key), ("action", "refill"), ("order", order_id.as_str())];
    assert_eq!(only_error(&gateway.post(&form).await), "This API key is read-only");
    let form = [("key", key), ("action", "refill_status"), ("refill", "1")];
    assert_eq!(only_error(&gateway.post(&form).await), "Refill not found");
    let many = (1..=101).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    for (action, parameters, error) in [
        ("refill", vec![], "Missing required parameter: order"),
        ("refill", vec![("order", "0")], "Incorrect order ID"),
        ("refill", vec![("order", "x")], "Incorrect order ID"),
        ("refill", vec![("orders", many.as_str())], "Maximum 100 IDs per request"),
        ("refill_status", vec![], "Missing required parameter: refill"),
        ("refill_status", vec![("refill", "-1")], "Refill not found"),
        ("refill_status", vec![("refills", many.as_str())], "Maximum 100 IDs per request"),
    ] {
        assert_eq!(only_error(&gateway.call(action, &parameters).await), error, "{action} {parameters:?}");
    }
    let fixed = delivered(&alpha, &gateway, 3, "fixed").await;
    assert_eq!(only_error(&refill(&gateway, fixed).await), "Refill is disabled for this service");
    alpha.script_next(Action::Add, Fault::CloseAfter, 1);
    let uncertain = gateway.order(1, &link("uncertain"), 100).await;
    assert_eq!(only_error(&refill(&gateway, uncertain).await), "The order is not completed");
    alpha.set_faults("error(Maintenance)".parse().unwrap());
    let queued = gateway.order(1, &link("queued"), 100).await;
    assert_eq!(only_error(&refill(&gateway, queued).await), "The order is not completed");
    assert_eq!(alpha.call_count(Action::Refill), 0);
    assert_eq!(gateway.call("refill", &[("orders", &order_id)]).await, json!([{ "order": order, "refill": 1 }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_time_is_told_in_words_fit_for_a_client() {
    let (alpha, gateway) = gateway_with("[dispatch]\nwait = \"30s\"").await;
    let text = |text: &str| Fault::Error(text.to_owned());
    let generic = "Refill is not available for this order";
    let later = "Temporarily unavailable, please try again later";
    let often = "The order was completed or refill was requested less than 24 hours ago";
    for (number, (fault, told)) in [
        (text(often), often),
        (Fault::ErrorStatus(422, "Refill is disabled for this service".into()), "Refill is disabled for this service"),
        (text("Ask at https://alpha.test/tickets"), generic),
        (text("Incorrect request"), generic),
        (text("Incorrect order ID"), generic),
        (text("Maintenance"), later),
        (Fault::RateLimited, later),
    ]
    .into_iter()
    .enumerate()
    {
        let order = delivered(&alpha, &gateway, 1, &number.to_string()).await;
        alpha.script_next(Action::Refill, fault.clone(), 1);
        assert_eq!(only_error(&refill(&gateway, order).await), told, "{fault:?}");
        assert_eq!(shown(&gateway, order)["state"], "ended", "{fault:?}");
    }
    // Not open any more: it may be asked for again.
    let first = gateway.orders().last().unwrap()["order"].as_u64().unwrap();
    assert_eq!(refill(&gateway, first).await, json!({ "refill": "8" }));
    assert_eq!(only_error(&refill(&gateway, first).await), "The refill task is not completed for this order");
    assert_eq!(alpha.call_count(Action::Refill), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_stays_pending_and_is_never_sent_again() {
    for fault in [Fault::CloseAfter, Fault::HalfBody, Fault::Empty, Fault::BadGateway, Fault::ServerError] {
        let (alpha, mut gateway) = gateway_with("[dispatch]\nwait = \"30s\"").await;
        let order = delivered(&alpha, &gateway, 1, "p").await;
        alpha.script_next(Action::Refill, fault.clone(), 1);
        assert_eq!(refill(&gateway, order).await, json!({ "refill": "1" }), "{fault:?}");
        assert_eq!(refill_status(&gateway, "1").await, json!({ "status": "Pending" }));
        assert_eq!(shown(&gateway, order)["state"], "uncertain");
        assert!(gateway.log().contains("refill 1: whether alpha took it is unknown"), "{}", gateway.log());
        assert_eq!(only_error(&refill(&gateway, order).await), "The refill task is not completed for this order");
        if fault == Fault::CloseAfter {
            assert!(gateway.stop().await.success());
            gateway.launch().await;
            gateway.until_status(order, "Completed").await;
        }
        assert_eq!(refill_status(&gateway, "1").await, json!({ "status": "Pending" }));
        assert_eq!((alpha.call_count(Action::Refill), alpha.call_count(Action::RefillStatus)), (1, 0), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refill_that_was_being_sent_by_a_killed_gateway_is_not_sent_again() {
    let (alpha, mut gateway) = gateway_with("[dispatch]\nwait = \"100ms\"").await;
    let order = delivered(&alpha, &gateway, 1, "p").await;
    alpha.script_next(Action::Refill, Fault::HangAfter, 1);
    assert_eq!(refill(&gateway, order).await, json!({ "refill": "1" }));
    eventually("the call", || async { (alpha.call_count(Action::Refill) == 1).then_some(()) }).await;
    assert_eq!(shown(&gateway, order)["state"], "sending");
    gateway.kill();
    gateway.launch().await;
    assert_eq!(shown(&gateway, order)["state"], "uncertain");
    assert_eq!(refill_status(&gateway, "1").await, json!({ "status": "Pending" }));
    gateway.until_status(order, "Completed").await;
    assert_eq!(alpha.call_count(Action::Refill), 1);
    // IDs go on where they were.
    let next = delivered(&alpha, &gateway, 1, "next").await;
    assert_eq!(refill(&gateway, next).await, json!({ "refill": "2" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_is_waited_for_no_longer_than_told() {
    let (alpha, gateway) = gateway_with("[dispatch]\nwait = \"100ms\"").await;
    let (taken, refused) = (delivered(&alpha, &gateway, 1, "a").await, delivered(&alpha, &gateway, 1, "b").await);
    alpha.script_next(Action::Refill, Fault::Slow(Duration::from_secs(1)), 1);
    assert_eq!(refill(&gateway, taken).await, json!({ "refill": "1" }));
    assert_eq!(shown(&gateway, taken)["state"], "sending");
    until_accepted(&gateway, taken).await;
    // A refusal that comes too late for an error is shown as one of the statuses.
    let id = gateway.story(refused)["order"]["upstream_order"].as_str().unwrap().to_owned();
    assert!(alpha.set_order(&id, OrderChange::status("In progress")));
    alpha.script_next(Action::Refill, Fault::Slow(Duration::from_secs(1)), 1);
    assert_eq!(refill(&gateway, refused).await, json!({ "refill": "2" }));
    until_refill_status(&gateway, "2", "Rejected").await;
}

async fn until_accepted(gateway: &Gateway, order: u64) {
    eventually("the refill to be accepted", || async { (shown(gateway, order)["state"] == "accepted").then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refills_are_asked_for_in_batches_where_the_upstream_can() {
    let (alpha, gateway) = gateway_with("[cache]\nstatus_ttl = \"1h\"").await;
    let mut orders = Vec::new();
    for number in 0..3 {
        let order = delivered(&alpha, &gateway, 1, &number.to_string()).await;
        assert!(refill(&gateway, order).await.get("refill").is_some());
        orders.push(order);
    }
    let all = |word: &str| (1..=3).for_each(|id: u32| assert!(alpha.set_refill(&id.to_string(), word)));
    let carried = || -> Vec<usize> {
        alpha.calls().iter().filter(|call| call.action == Action::RefillStatus).map(|call| call.ids).collect()
    };
    let until_shown = async |status: &str| {
        gateway.edit_store("UPDATE refills SET due_at = 1 WHERE due_at IS NOT NULL");
        eventually(status, || async {
            let answer = gateway.call("refill_status", &[("refills", "1,2,3")]).await;
            answer.as_array().unwrap().iter().all(|item| item["status"] == status).then_some(())
        })
        .await;
    };
    all("Refilling");
    until_shown("In progress").await;
    assert_eq!(carried(), [3]);
    alpha.script_next(Action::RefillStatus, Fault::Error("Incorrect request".to_owned()), 1);
    all("Pending");
    until_shown("Pending").await;
    assert_eq!(carried(), [3, 3, 1, 1, 1]);
    all("Completed");
    until_shown("Completed").await;
    assert_eq!(carried()[5..], [1, 1, 1], "no batch is tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_nobody_knows_is_told_of_once() {
    let (alpha, gateway) = gateway_with("").await;
    let order = delivered(&alpha, &gateway, 1, "p").await;
    refill(&gateway, order).await;
    assert!(alpha.set_refill("1", "Quux"));
    eventually("three polls", || async {
        assert_eq!(refill_status(&gateway, "1").await, json!({ "status": "Pending" }));
        (alpha.call_count(Action::RefillStatus) > 3).then_some(())
    })
    .await;
    let told = gateway.log().lines().filter(|line| line.contains("not known: \"Quux\"")).count();
    assert_eq!(told, 1, "{}", gateway.log());
    assert!(alpha.set_refill("1", "Completed"));
    until_refill_status(&gateway, "1", "Completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_left_the_list_is_refilled_no_more() {
    let (alpha, gateway) = gateway_with("").await;
    let order = delivered(&alpha, &gateway, 2, "p").await;
    let mut services = tollgate::sandbox::default_services();
    services.retain(|service| service.id != 2);
    alpha.set_services(services);
    gateway.cli_json(&["sync"]);
    assert_eq!(only_error(&refill(&gateway, order).await), "Refill is disabled for this service");
    assert_eq!(alpha.call_count(Action::Refill), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refills_and_cancels_are_counted() {
    let (alpha, gateway) = gateway_with("").await;
    let order = delivered(&alpha, &gateway, 1, "p").await;
    refill(&gateway, order).await;
    gateway.call("cancel", &[("orders", &order.to_string())]).await;
    let page = gateway.http().get(format!("{}/metrics", gateway.ops)).send().await.unwrap().text().await.unwrap();
    for line in [
        "tollgate_refills_total{provider=\"alpha\",outcome=\"accepted\"} 1",
        "tollgate_cancels_total{provider=\"alpha\",outcome=\"refused\"} 1",
        "tollgate_api_calls_total{action=\"refill\",outcome=\"ok\"} 1",
        "tollgate_api_calls_total{action=\"cancel\",outcome=\"ok\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
}
