//! What a provider really charges, and what is left there.

use serde_json::json;
use tollgate::sandbox::OrderChange;

use super::{LINK, alerts, config, sold, stderr, sync};
use crate::harness::{Gateway, eventually, upstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_really_costs_more_is_off_sale_until_its_rate_moves_or_it_is_confirmed() {
    let alpha = upstream(1).await;
    let mut gateway = Gateway::start(&config(&alpha, "")).await;
    let lose = async |link: &str| {
        let order = gateway.order(1, link, 1000).await;
        let theirs = alpha.orders().last().unwrap().id.clone();
        // Sold for 1.08; with 5 % on top 1.03 is too much.
        let charge = Some("1.03".to_owned());
        assert!(alpha.set_order(&theirs, OrderChange { charge, ..OrderChange::default() }));
        eventually("the route to be off sale", || async {
            gateway.polls_are_due();
            sold(&gateway).await.is_empty().then_some(())
        })
        .await;
        order
    };
    let before = alerts(&gateway).await;
    let order = lose("https://example.com/1").await;
    assert_eq!(alerts(&gateway).await, before + 1);
    assert!(gateway.add(1, "https://example.com/2", 1000).await["error"].is_string());
    let said = stderr(&gateway, &["services"]);
    assert!(said.contains(&format!("order {order} cost 1.03 and was sold for 1.08")), "{said}");
    assert_eq!(sync(&gateway, &[])["doubted"][0]["service"], "1", "the same rate explains nothing");
    assert!(sold(&gateway).await.is_empty());

    assert!(alpha.set_rate(1, "1.03".parse().unwrap()));
    assert_eq!(sync(&gateway, &[])["doubted"], json!([]));
    assert_eq!(gateway.call("services", &[]).await[0]["rate"], "1.236");

    assert!(alpha.set_rate(1, "0.90".parse().unwrap()));
    sync(&gateway, &[]);
    lose("https://example.com/3").await;
    assert_eq!(alerts(&gateway).await, before + 2);
    assert!(gateway.stop().await.success());
    gateway.launch().await;
    assert!(sold(&gateway).await.is_empty(), "a restart changes nothing");
    assert_eq!(sync(&gateway, &["--confirm", "1"])["confirmed"], json!(["1"]));
    assert_eq!(sold(&gateway).await, [1]);
    gateway.polls_are_due();
    gateway.order(1, "https://example.com/4", 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_the_list_explains_by_now_takes_nothing_off_sale() {
    let alpha = upstream(1).await;
    let gateway = Gateway::start(&config(&alpha, "")).await;
    let order = gateway.order(1, LINK, 1000).await;
    assert!(alpha.set_rate(1, "1.20".parse().unwrap()));
    sync(&gateway, &[]);
    let charge = Some("1.20".to_owned());
    assert!(alpha.set_order(&alpha.orders()[0].id, OrderChange { charge, ..OrderChange::default() }));
    eventually("its cost", || async {
        gateway.polls_are_due();
        (gateway.story(order)["order"]["cost"] == "1.2").then_some(())
    })
    .await;
    assert_eq!(sold(&gateway).await, [1], "what is sold now is priced by what it costs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_balance_is_told_of_when_it_becomes_low() {
    let alpha = upstream(20).await;
    let gateway = Gateway::start(&config(&alpha, "low_balance = \"25\"")).await;
    let before = alerts(&gateway).await;
    let at = async |balance: &str| {
        alpha.set_balance(balance.parse().unwrap());
        sync(&gateway, &[]);
        sync(&gateway, &[]);
        alerts(&gateway).await - before
    };
    assert_eq!(at("25").await, 0, "the limit itself is enough");
    assert_eq!(at("24.99").await, 1);
    assert_eq!(at("3").await, 1);
    assert_eq!(at("100").await, 1);
    assert_eq!(at("1").await, 2);
    assert_eq!(gateway.log().matches("the balance at alpha is low").count(), 2);
}
