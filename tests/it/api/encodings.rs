//! Every path that scripts post to, and every form in which they send parameters.

use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::shop;
use crate::harness::Gateway;

const PATHS: [&str; 5] = ["/api/v2", "/api/v2/", "/api/v1", "/api", "/"];

async fn json_of(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    answer.json().await.unwrap()
}

/// The same call in every encoding that scripts use.
fn in_every_encoding(gateway: &Gateway, path: &str, call: &[(&str, &str)]) -> Vec<(&'static str, RequestBuilder)> {
    let (http, url) = (gateway.http(), gateway.at(path));
    let mut all = vec![("key", gateway.key.as_str())];
    all.extend(call);
    let multipart = all
        .iter()
        .fold(reqwest::multipart::Form::new(), |form, (name, text)| form.text((*name).to_owned(), (*text).to_owned()));
    let document: serde_json::Map<String, Value> = all
        .iter()
        .map(|(name, text)| {
            let number = text.parse::<u64>().ok().filter(|_| *name != "key");
            ((*name).to_owned(), number.map_or_else(|| Value::from(*text), Value::from))
        })
        .collect();
    vec![
        ("form", http.post(&url).form(&all)),
        ("multipart", http.post(&url).multipart(multipart)),
        ("json", http.post(&url).json(&document)),
        ("query by GET", http.get(&url).query(&all)),
        ("query by POST", http.post(&url).query(&all)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_takes_every_encoding() {
    let (_alpha, gateway) = shop(1).await;
    for path in PATHS {
        for (encoding, request) in in_every_encoding(&gateway, path, &[("action", "balance")]) {
            let answer = json_of(request).await;
            assert_eq!(answer, json!({"balance": "1000", "currency": "USD"}), "{encoding} to {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_arrives_the_same_in_every_encoding() {
    let (alpha, gateway) = shop(1).await;
    let link = "https://example.com/p/ü?a=1&b=2+3#f";
    let comments = "nice & good\r\nвау 100%\n\u{1f600} = +1";
    let plain = [("action", "add"), ("service", "1001"), ("link", link), ("quantity", "123")];
    let lines = [("action", "add"), ("service", "1008"), ("link", link), ("comments", comments)];
    let mut placed = 0;
    for path in ["/api/v2", "/"] {
        for (encoding, request) in in_every_encoding(&gateway, path, &plain) {
            placed += 1;
            assert_eq!(json_of(request).await, json!({"order": placed}), "{encoding}");
        }
        for (encoding, request) in in_every_encoding(&gateway, path, &lines) {
            placed += 1;
            assert_eq!(json_of(request).await, json!({"order": placed}), "{encoding}");
        }
    }
    let orders = alpha.orders();
    assert_eq!(orders.len(), 20);
    for order in &orders {
        assert_eq!(order.link, link);
        match order.service {
            1 => assert_eq!(order.quantity, 123),
            _ => assert_eq!(order.params["comments"], "nice & good\nвау 100%\n\u{1f600} = +1"),
        }
    }
    assert_eq!(orders.iter().filter(|order| order.service == 8).count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_texts_and_lists_are_read_as_well_as_numbers() {
    let (alpha, gateway) = shop(1).await;
    let key = &gateway.key;
    let link = "https://example.com/p";
    for document in [
        json!({"key": key, "action": "add", "service": "1001", "link": link, "quantity": "60", "runs": null}),
        json!({"key": key, "action": "add", "service": 1012, "link": link, "usernames": ["a", "b", "c", "d", "e"]}),
        json!({"key": key, "action": "add", "service": 1018, "link": link, "quantity": 10, "answer_number": 3}),
    ] {
        let answer = json_of(gateway.http().post(&gateway.api).json(&document)).await;
        assert!(answer["order"].is_u64(), "{document}: {answer}");
    }
    let orders = alpha.orders();
    assert_eq!(orders[0].quantity, 60);
    assert_eq!(orders[1].params["usernames"], "a\nb\nc\nd\ne");
    assert_eq!(orders[2].params["answer_number"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_wins_over_the_query_string() {
    let (alpha, gateway) = shop(1).await;
    let query = [
        ("key", "0123456789abcdef0123456789abcdef"),
        ("action", "balance"),
        ("link", "https://example.com/q"),
        ("quantity", "77"),
    ];
    let body =
        [("key", gateway.key.as_str()), ("action", "add"), ("service", "1001"), ("link", "https://example.com/b")];
    let answer = json_of(gateway.http().post(&gateway.api).query(&query).form(&body)).await;
    assert_eq!(answer, json!({"order": 1}));
    let order = &alpha.orders()[0];
    assert_eq!((order.link.as_str(), order.quantity), ("https://example.com/b", 77), "what only the query has, counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_read_whatever_its_type_says_and_blanks_around_are_trimmed() {
    let (alpha, gateway) = shop(1).await;
    let body = format!(
        "key=%20{}%0A&action=%20add&service=+1001+&link=%20https%3A%2F%2Fexample.com%2Fp%0D%0A&quantity=50%20",
        gateway.key
    );
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded; charset=UTF-8")] {
        let request = gateway.http().post(&gateway.api).body(body.clone());
        let request = content_type.into_iter().fold(request, |request, text| request.header(CONTENT_TYPE, text));
        assert!(json_of(request).await["order"].is_u64(), "{content_type:?}");
    }
    assert!(alpha.orders().iter().all(|order| order.link == "https://example.com/p" && order.quantity == 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_come_as_a_list_as_an_array_or_between_commas() {
    let (_alpha, gateway) = shop(1).await;
    let first = gateway.order(1001, "https://example.com/p/1", 50).await.to_string();
    let second = gateway.order(1001, "https://example.com/p/2", 60).await.to_string();
    let (http, url, key) = (gateway.http(), &gateway.api, gateway.key.as_str());
    let base = [("key", key), ("action", "status")];
    let with = |more: &[(&'static str, &str)]| {
        base.iter().chain(more).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>()
    };
    let commas = format!("{first},{second}");
    let brackets = with(&[("orders[]", &first), ("orders[]", &second)]);
    let multipart = brackets
        .iter()
        .fold(reqwest::multipart::Form::new(), |form, (name, text)| form.text(name.clone(), text.clone()));
    let numbers: Vec<u64> = [&first, &second].iter().map(|id| id.parse().unwrap()).collect();
    for (how, request) in [
        ("commas", http.post(url).form(&with(&[("orders", &commas)]))),
        ("orders[]", http.post(url).form(&brackets)),
        ("orders[n]", http.post(url).form(&with(&[("orders[0]", &first), ("orders[1]", &second)]))),
        ("orders[] in multipart", http.post(url).multipart(multipart)),
        ("orders[] in the query", http.get(url).query(&brackets)),
        ("JSON numbers", http.post(url).json(&json!({"key": key, "action": "status", "orders": numbers}))),
        ("JSON texts", http.post(url).json(&json!({"key": key, "action": "status", "orders": [first, second]}))),
        ("JSON commas", http.post(url).json(&json!({"key": key, "action": "status", "orders": commas}))),
    ] {
        let answer = json_of(request).await;
        let remains = |id: &str| answer[id]["remains"].clone();
        assert_eq!((remains(&first), remains(&second)), (json!("50"), json!("60")), "{how}: {answer}");
        assert_eq!(answer.as_object().unwrap().len(), 2, "{how}: {answer}");
    }
}
