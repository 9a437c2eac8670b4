//! The plural of `status`: whose orders, how many, and under which names.

use serde_json::json;

use super::shop;
use crate::harness::{Gateway, only_error};

#[tokio::test(flavor = "multi_thread")]
async fn every_id_stands_under_the_string_it_was_asked_by() {
    let (_alpha, gateway) = shop(1).await;
    let mine = gateway.order(1001, "https://example.com/p", 50).await;
    let others = another_clients_order(&gateway).await;
    let asked = format!(" {mine} ,{others}, 999,abc,0{mine},,-1,1.0,99999999999999999999999,é\"x");
    let answer = gateway.call("status", &[("orders", &asked)]).await;
    let unknown = json!({"error": "Incorrect order ID"});
    let names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let (mine, zeroed, others) = (mine.to_string(), format!("0{mine}"), others.to_string());
    let mut expected = vec![&*mine, &*zeroed, &*others, "999", "abc", "-1", "1.0", "99999999999999999999999", "é\"x"];
    expected.sort_unstable();
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(answer[&mine]["remains"], "50");
    for id in expected.iter().filter(|id| ![&mine, &zeroed].iter().any(|mine| mine == *id)) {
        assert_eq!(answer[*id], unknown, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clients_order_looks_just_like_none() {
    let (_alpha, gateway) = shop(1).await;
    let others = another_clients_order(&gateway).await;
    let unknown = gateway.status(others + 1).await;
    assert_eq!(gateway.status(others).await, unknown);
    assert_eq!(only_error(&unknown), "Incorrect order ID");
    let many = gateway.call("status", &[("orders", &format!("{others},{}", others + 1))]).await;
    assert_eq!(many, json!({others.to_string(): unknown, (others + 1).to_string(): unknown}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_ids_are_taken_and_one_more_is_refused() {
    let (_alpha, gateway) = shop(1).await;
    let order = gateway.order(1001, "https://example.com/p", 50).await;
    let list = |count: u64| (order..order + count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let hundred = gateway.call("status", &[("orders", &list(100))]).await;
    assert_eq!(hundred.as_object().unwrap().len(), 100);
    assert!(hundred[order.to_string()]["status"].is_string());
    let more = gateway.call("status", &[("orders", &list(101))]).await;
    assert_eq!(only_error(&more), "Maximum 100 IDs per request");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_is_found_with_blanks_around_its_id() {
    let (_alpha, gateway) = shop(1).await;
    let order = gateway.order(1001, "https://example.com/p", 50).await;
    let answer = gateway.call("status", &[("order", &format!(" {order}\n"))]).await;
    assert_eq!(answer["remains"], "50");
    let nothing = gateway.call("status", &[("orders", " , ")]).await;
    assert_eq!(nothing, json!({}), "an object, even with nothing in it");
}

/// Of a client that is made for it.
async fn another_clients_order(gateway: &Gateway) -> u64 {
    let key = gateway.add_client("other", &["--deposit", "10"]);
    gateway.knows_key(&key).await;
    let link = "https://example.com/other";
    let form = [("key", &*key), ("action", "add"), ("service", "1001"), ("link", link), ("quantity", "50")];
    let order = gateway.post(&form).await["order"].as_u64().unwrap();
    let status = gateway.post(&[("key", &key), ("action", "status"), ("order", &order.to_string())]).await;
    assert_eq!(status["remains"], "50", "its owner sees it, and has put it into the cache");
    order
}
