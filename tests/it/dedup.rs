//! Upstreams that refuse a second order for a link, or answer it with the first one's ID.

use tollgate::sandbox::{Action, Fault, Sandbox};

use crate::harness::{Config, Gateway, accepted, upstream};

const LINK: &str = "https://example.com/p";
/// What a client reads where another order is active on its link.
const ACTIVE: &str = "You have active order with this link. Please wait until order being completed.";

async fn two_upstreams() -> (Sandbox, Sandbox, Gateway) {
    let (alpha, beta) = (upstream(4).await, upstream(4).await);
    let config = Config::new("")
        .provider("alpha", &alpha, "")
        .provider("beta", &beta, "")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]")
        .service(2, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    gateway.has_all_catalogues().await;
    (alpha, beta, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_given_before_is_a_duplicate_and_refunded() {
    let (alpha, beta, gateway) = two_upstreams().await;
    alpha.set_dedupe(true);
    let first = gateway.order(1, LINK, 100).await;
    assert_eq!(gateway.add(1, LINK, 100).await["error"], ACTIVE);
    assert_eq!(gateway.balance().await, "999.892", "the second is refunded");
    let other = gateway.order(1, LINK, 200).await;
    let ids = |order| gateway.story(order)["order"]["upstream_order"].clone();
    assert_eq!((ids(first), ids(other)), (alpha.orders()[0].id.clone().into(), alpha.orders()[1].id.clone().into()));
    let bound = gateway.orders().into_iter().filter(|order| !order["upstream_order"].is_null()).count();
    assert_eq!((bound, alpha.order_count(), beta.order_count()), (2, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_active_order_on_a_link_keeps_the_next_from_it() {
    let (alpha, beta, gateway) = two_upstreams().await;
    alpha.set_duplicate_lock(true);
    let first = gateway.order(1, LINK, 100).await;
    assert_eq!(gateway.add(1, LINK, 300).await["error"], ACTIVE);
    assert_eq!(gateway.balance().await, "999.892", "the second is refunded");
    assert_eq!((accepted(&alpha, LINK), beta.order_count()), (1, 0), "no other route was tried");
    gateway.until_status(first, "Completed").await;
    gateway.order(1, LINK, 300).await;
    assert_eq!(accepted(&alpha, LINK), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_after_an_earlier_attempt_there_may_be_our_own() {
    let (alpha, _beta, gateway) = two_upstreams().await;
    alpha.script_next(Action::Add, Fault::Error("Maintenance".to_owned()), 1);
    alpha.script_next(Action::Add, Fault::Error("You have active order with this link".to_owned()), 1);
    let order = gateway.order(2, LINK, 100).await;
    let story = gateway.until_state(order, "uncertain").await;
    assert_eq!(story["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(story["order"]["refunded"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_an_order_for_something_else_leaves_the_new_one_uncertain() {
    let (alpha, beta, gateway) = two_upstreams().await;
    let first = gateway.order(1, LINK, 100).await;
    alpha.script_next(Action::Add, Fault::DuplicateId, 1);
    let second = gateway.order(1, "https://example.com/other", 100).await;
    let story = gateway.until_state(second, "uncertain").await;
    assert_eq!(story["attempts"][0]["outcome"], "ambiguous", "{story}");
    assert_eq!(story["order"]["refunded"], "0");
    gateway.until_status(first, "Completed").await;
    assert_eq!(gateway.status(second).await["status"], "Pending");
    assert_eq!((alpha.order_count(), beta.order_count()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_lost_order_belongs_to_whoever_was_told_it() {
    let (alpha, _beta, gateway) = two_upstreams().await;
    alpha.set_dedupe(true);
    alpha.script_next(Action::Add, Fault::CloseAfter, 1);
    let lost = gateway.order(1, LINK, 100).await;
    gateway.until_state(lost, "uncertain").await;
    let repeated = gateway.order(1, LINK, 100).await;
    let id = alpha.orders()[0].id.clone();
    assert_eq!(gateway.story(repeated)["order"]["upstream_order"], id.as_str());
    let refused = gateway.cli(&["orders", "resolve", &lost.to_string(), "--placed", &id]);
    assert_eq!(refused.status.code(), Some(1), "one upstream order can't stand for two");
    assert!(gateway.cli(&["orders", "resolve", &lost.to_string(), "--refund"]).status.success());
    assert_eq!((alpha.order_count(), gateway.balance().await.as_str()), (1, "999.892"));
}
