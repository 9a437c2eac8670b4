//! What becomes of an order after each answer that an upstream can give to it, or fail to give.

use std::time::Duration;

use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::gateway::DEPOSIT;
use crate::harness::{Config, Gateway, accepted, upstream};

/// What a client reads where no upstream can take its order.
const UNAVAILABLE: &str = "This service is temporarily unavailable, the order was not placed";
/// What a client reads where another order is active on its link.
const ACTIVE: &str = "You have active order with this link. Please wait until order being completed.";

/// Service 1 goes to alpha and else to beta, service 2 to alpha alone.
async fn two_upstreams(tables: &str, alpha_lines: &str) -> (Sandbox, Sandbox, Gateway) {
    let (alpha, beta) = (upstream(1).await, upstream(1).await);
    let config = Config::new(tables)
        .provider("alpha", &alpha, alpha_lines)
        .provider("beta", &beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
        .service(2, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    gateway.has_all_catalogues().await;
    (alpha, beta, gateway)
}

fn error(text: &str) -> Fault {
    Fault::Error(text.to_owned())
}

fn link(name: impl std::fmt::Display) -> String {
    format!("https://example.com/{name}")
}

/// The operator's document of the only order with that link.
fn by_link(gateway: &Gateway, link: &str) -> serde_json::Value {
    let orders = gateway.cli_json(&["orders", "list", "--link", link]);
    assert_eq!(orders.as_array().unwrap().len(), 1, "{orders}");
    orders[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_holds_an_id_is_taken_however_it_is_wrapped() {
    let (alpha, beta, gateway) = two_upstreams("", "").await;
    let faults = [
        Fault::PhpWarning,
        Fault::Bom,
        Fault::StringIds,
        Fault::AlphanumericIds,
        Fault::Slow(Duration::from_millis(200)),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        alpha.script_next(Action::Add, fault.clone(), 1);
        let order = gateway.order(1, &link(number), 100).await;
        let story = gateway.story(order);
        assert_eq!(story["order"]["state"], "placed", "{fault:?}");
        assert_eq!(story["order"]["upstream_order"], alpha.orders()[number].id.as_str(), "{fault:?}");
        assert_eq!(story["attempts"][0]["outcome"], "accepted", "{fault:?}");
    }
    assert_eq!(beta.order_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_own_mistake_goes_back_to_it_with_its_money() {
    let (alpha, beta, gateway) = two_upstreams("", "").await;
    for (number, (text, told)) in [
        ("Bad link", "Bad link"),
        ("Quantity less than minimal 500", "Quantity less than minimal 500"),
        ("You have active order with this link", ACTIVE),
        ("neworder.error.link_duplicate", ACTIVE),
    ]
    .into_iter()
    .enumerate()
    {
        alpha.script_next(Action::Add, error(text), 1);
        let answer = gateway.add(1, &link(number), 1000).await;
        assert_eq!(answer, serde_json::json!({ "error": told }), "{text}");
        let order = by_link(&gateway, &link(number));
        assert_eq!((order["state"].as_str(), order["status"].as_str()), (Some("closed"), Some("Canceled")));
        assert_eq!((order["charge"].as_str(), order["refunded"].as_str()), (Some("1.08"), Some("1.08")));
        let story = gateway.story(order["order"].as_u64().unwrap());
        assert_eq!(story["attempts"].as_array().unwrap().len(), 1, "no other route was tried: {story}");
        assert_eq!(story["attempts"][0]["outcome"], "rejected");
    }
    assert_eq!(gateway.balance().await, DEPOSIT);
    assert_eq!((alpha.order_count(), beta.order_count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_between_us_and_an_upstream_sends_the_order_to_the_next() {
    let (alpha, beta, gateway) = two_upstreams("", "").await;
    // The key comes last: after it nothing goes to alpha for a minute.
    let faults = [
        error("Not enough funds on balance"),
        error("Incorrect service ID"),
        error("Maintenance"),
        error("Incorrect request"),
        Fault::ErrorStatus(422, "neworder.error.service_inactive".to_owned()),
        Fault::Challenge,
        Fault::Redirect(308),
        Fault::RateLimited,
        error("Invalid API key"),
    ];
    let count = faults.len();
    for (number, fault) in faults.into_iter().enumerate() {
        alpha.script_next(Action::Add, fault.clone(), 1);
        let order = gateway.order(1, &link(number), 100).await;
        let story = gateway.until_state(order, "placed").await;
        assert_eq!(story["order"]["provider"], "beta", "{fault:?}");
        let attempts: Vec<_> = story["attempts"].as_array().unwrap().iter().collect();
        assert_eq!((attempts.len(), attempts[0]["outcome"].as_str()), (2, Some("rejected")), "{fault:?}");
        assert_eq!(
            (attempts[0]["provider"].as_str(), attempts[1]["outcome"].as_str()),
            (Some("alpha"), Some("accepted"))
        );
        assert_eq!(accepted(&beta, &link(number)), 1);
    }
    assert_eq!((alpha.order_count(), beta.order_count()), (0, count));
    let calls = alpha.call_count(Action::Add);
    let order = gateway.order(1, &link("after-the-key"), 100).await;
    assert_eq!(gateway.until_state(order, "placed").await["order"]["provider"], "beta");
    assert_eq!(alpha.call_count(Action::Add), calls, "an upstream that refuses our key is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_never_left_goes_to_the_next_upstream() {
    let (alpha, beta, gateway) = two_upstreams("", "").await;
    alpha.shutdown().await;
    let order = gateway.order(1, &link("closed"), 100).await;
    let story = gateway.until_state(order, "placed").await;
    assert_eq!(story["order"]["provider"], "beta");
    assert_eq!(story["attempts"][0]["outcome"], "not_sent", "{story}");
    assert_eq!(accepted(&beta, &link("closed")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_fate_is_unknown_is_never_sent_again_nor_refunded() {
    let (alpha, beta, gateway) = two_upstreams("", "add_timeout = \"700ms\"").await;
    // How often the upstream took the order all the same.
    let faults = [
        (Fault::CloseAfter, 1),
        (Fault::HangAfter, 1),
        (Fault::BadGateway, 1),
        (Fault::ServerError, 1),
        (Fault::Empty, 1),
        (Fault::Garbage, 1),
        (Fault::HalfBody, 1),
        (Fault::ErrorAfter("Something nobody ever heard of".to_owned()), 1),
        (Fault::ErrorAfter(String::new()), 1),
        (Fault::Redirect(302), 0),
        (Fault::Unavailable, 0),
        (Fault::CloseBefore, 0),
        (Fault::HangBefore, 0),
        (error("There was an error while creating your order"), 0),
    ];
    let mut lost = Vec::new();
    for (number, (fault, times)) in faults.into_iter().enumerate() {
        alpha.script_next(Action::Add, fault.clone(), 1);
        let order = gateway.order(1, &link(format!("lost/{number}.")), 100).await;
        gateway.until_state(order, "uncertain").await;
        lost.push((order, link(format!("lost/{number}.")), fault, times));
        // An answered order between two lost ones keeps alpha in use.
        gateway.order(1, &link(format!("good/{number}.")), 100).await;
    }
    // A round for what is held comes twice, and takes none of them up.
    alpha.script_next(Action::Add, error("Not enough funds on balance"), 2);
    let held = gateway.order(2, &link("held"), 100).await;
    let story = gateway.until_state(held, "placed").await;
    assert_eq!(story["attempts"].as_array().unwrap().len(), 3);
    for (order, link, fault, times) in &lost {
        assert_eq!(accepted(&alpha, link), *times, "{fault:?}");
        let story = gateway.story(*order);
        assert_eq!(story["order"]["state"], "uncertain", "{fault:?}");
        assert_eq!(story["order"]["refunded"], "0", "{fault:?}");
        assert_eq!(story["attempts"].as_array().unwrap().len(), 1, "{fault:?}");
        assert_eq!(story["attempts"][0]["outcome"], "ambiguous", "{fault:?}");
        let alerts = gateway.history(*order).into_iter().filter(|line| line.starts_with("alert: ")).count();
        assert_eq!(alerts, 1, "{fault:?}");
        assert_eq!(gateway.status(*order).await["status"], "Pending", "{fault:?}");
    }
    assert_eq!(beta.order_count(), 0, "nothing uncertain goes to another upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_a_cause_that_may_pass() {
    let (alpha, _beta, gateway) = two_upstreams("[dispatch]\nwait = \"100ms\"", "").await;
    alpha.script_next(Action::Add, error("Maintenance"), 1);
    let order = gateway.order(2, &link("held"), 100).await;
    assert_eq!(gateway.status(order).await["status"], "Pending");
    let story = gateway.until_state(order, "placed").await;
    assert_eq!(story["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(accepted(&alpha, &link("held")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waited_too_long_is_canceled_and_refunded() {
    let (alpha, _beta, gateway) = two_upstreams("[dispatch]\nwait = \"100ms\"\nhold_for = \"2s\"", "").await;
    alpha.set_faults("error(Maintenance)".parse().unwrap());
    let order = gateway.order(2, &link("held"), 100).await;
    assert_eq!(gateway.balance().await, "999.892");
    let shown = gateway.until_status(order, "Canceled").await;
    assert_eq!((shown["charge"].as_str(), shown["remains"].as_str()), (Some("0"), Some("100")));
    assert_eq!(gateway.balance().await, DEPOSIT);
    alpha.set_faults("".parse().unwrap());
    let next = gateway.order(2, &link("next"), 100).await;
    gateway.until_state(next, "placed").await;
    assert_eq!(accepted(&alpha, &link("held")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_will_ever_take_is_refused_at_once() {
    let (alpha, _beta, gateway) = two_upstreams("", "").await;
    alpha.script_next(Action::Add, error("Incorrect service ID"), 1);
    let answer = gateway.add(2, &link("gone"), 100).await;
    assert_eq!(answer["error"], UNAVAILABLE);
    assert_eq!(by_link(&gateway, &link("gone"))["status"], "Canceled");
    assert_eq!(gateway.balance().await, DEPOSIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_in_the_configuration_settles_an_unknown_text() {
    let rejects = "rejects = [{ text = \"come back on monday\", kind = \"maintenance\" }]";
    let (alpha, beta, gateway) = two_upstreams("", rejects).await;
    alpha.script_next(Action::Add, error("Please come back on Monday!"), 1);
    let order = gateway.order(1, &link("monday"), 100).await;
    assert_eq!(gateway.until_state(order, "placed").await["order"]["provider"], "beta");
    assert_eq!((alpha.order_count(), beta.order_count()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_blocked_leaves_its_order_uncertain_and_gets_no_more() {
    let (alpha, beta, gateway) = two_upstreams("", "").await;
    alpha.script_next(Action::Add, error("Your account has been suspended."), 1);
    let order = gateway.order(1, &link("blocked"), 100).await;
    gateway.until_state(order, "uncertain").await;
    let next = gateway.order(1, &link("next"), 100).await;
    assert_eq!(gateway.until_state(next, "placed").await["order"]["provider"], "beta");
    assert_eq!((alpha.call_count(Action::Add), beta.order_count()), (1, 1));
}
