//! Accounts over HTTP on the ops listener, as a billing site uses them.

use reqwest::Method;
use serde_json::{Value, json};
use tollgate::sandbox::Sandbox;

use crate::harness::{Config, Gateway, eventually, only_error, upstream};

const TOKEN: &str = "open-sesame";

async fn shop() -> (Sandbox, Gateway) {
    let alpha = upstream(20).await;
    let config = Config::new("")
        .server(&format!("ops_token = \"{TOKEN}\""))
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::prepare(&config);
    gateway.launch_unready().await;
    (alpha, gateway)
}

async fn send(gateway: &Gateway, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    let method: Method = method.parse().unwrap();
    let request = gateway.http().request(method, format!("{}{path}", gateway.ops)).bearer_auth(token);
    let response = request.body(body.to_owned()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn call(gateway: &Gateway, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(gateway, method, path, TOKEN, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_billing_site_runs_an_account_from_its_making_to_its_end() {
    let (_alpha, mut gateway) = shop().await;
    let terms = json!({"client": "shop", "deposit": "1.50", "markup": "15", "rps": 50, "credit": "0.5",
                       "daily_limit": "20", "allow_ips": ["127.0.0.1"], "allow_services": ["1"]});
    let (status, made) = call(&gateway, "POST", "/accounts", terms.clone()).await;
    assert_eq!((status, &made["client"], &made["balance"]), (201, &json!("shop"), &json!("1.5")));
    let key = made["key"].as_str().unwrap().to_owned();
    gateway.knows_key(&key).await;
    let (status, error) = call(&gateway, "POST", "/accounts", terms).await;
    assert_eq!(status, 409);
    assert!(only_error(&error).contains("already"), "{error}");

    let deposit = json!({"amount": "10", "ref": "INV-1", "note": "by card"});
    let paid = json!({"client": "shop", "balance": "11.5", "changed": true});
    assert_eq!(call(&gateway, "POST", "/accounts/shop/deposits", deposit.clone()).await, (201, paid));
    let again = json!({"client": "shop", "balance": "11.5", "changed": false});
    assert_eq!(call(&gateway, "POST", "/accounts/shop/deposits", deposit).await, (200, again));
    let other = json!({"amount": "11", "ref": "INV-1"});
    assert_eq!(call(&gateway, "POST", "/accounts/shop/deposits", other).await.0, 409);
    let too_much = call(&gateway, "POST", "/accounts/shop/withdrawals", json!({"amount": "11.50000001"})).await;
    assert_eq!(too_much.0, 422);
    assert!(only_error(&too_much.1).contains("11.5"), "{too_much:?}");
    let (status, moved) = call(&gateway, "POST", "/accounts/shop/withdrawals", json!({"amount": "0.5"})).await;
    assert_eq!((status, &moved["balance"]), (201, &json!("11")));

    let changed = call(&gateway, "PATCH", "/accounts/shop", json!({"markup": null, "rps": null, "credit": null})).await;
    assert_eq!((changed.0, &changed.1["markup"], &changed.1["credit"]), (200, &Value::Null, &json!("0")));
    assert_eq!((&changed.1["daily_limit"], &changed.1["allow_ips"]), (&json!("20"), &json!(["127.0.0.1"])));
    gateway.order_of(&key, 1, "https://example.com/p/1", 1000).await;
    assert_eq!(
        call(&gateway, "GET", "/accounts/shop", Value::Null).await,
        (200, gateway.cli_json(&["client", "show", "shop"]))
    );
    assert_eq!(call(&gateway, "GET", "/accounts", Value::Null).await, (200, gateway.cli_json(&["client", "list"])));
    let ledger = call(&gateway, "GET", "/accounts/shop/ledger", Value::Null).await;
    assert_eq!(ledger, (200, gateway.cli_json(&["client", "ledger", "shop"])));
    assert_eq!(ledger.1.as_array().unwrap().len(), 4);
    let last = call(&gateway, "GET", "/accounts/shop/ledger?limit=1", Value::Null).await.1;
    assert_eq!((last.as_array().unwrap().len(), &last[0]["kind"]), (1, &json!("charge")));

    assert_eq!(call(&gateway, "POST", "/accounts/shop/disable", Value::Null).await.1["disabled"], true);
    refused(&gateway, &key, "Your account is disabled").await;
    assert_eq!(call(&gateway, "POST", "/accounts/shop/enable", json!({})).await.1["disabled"], false);
    gateway.knows_key(&key).await;
    assert!(gateway.stop().await.success());
    for secret in [key.as_str(), TOKEN] {
        assert!(!gateway.log().contains(secret), "{secret} is in the log");
    }
}

async fn refused(gateway: &Gateway, key: &str, error: &str) {
    eventually(error, || async {
        (gateway.post(&[("key", key), ("action", "balance")]).await["error"] == error).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_shown_once_and_can_be_taken_away() {
    let (_alpha, gateway) = shop().await;
    let first = gateway.add_client("shop", &[]);
    let (status, made) =
        call(&gateway, "POST", "/accounts/shop/keys", json!({"label": "web", "read_only": true})).await;
    assert_eq!((status, &made["client"]), (201, &json!("shop")));
    let key = made["key"].as_str().unwrap();
    gateway.knows_key(key).await;
    let (status, keys) = call(&gateway, "GET", "/accounts/shop/keys", Value::Null).await;
    assert_eq!((status, &keys), (200, &gateway.cli_json(&["key", "list", "shop"])));
    assert_eq!((&keys[1]["id"], &keys[1]["label"], &keys[1]["read_only"]), (&made["id"], &json!("web"), &json!(true)));
    assert!(!keys.to_string().contains(key));
    let path = format!("/accounts/shop/keys/{}", made["id"]);
    let gone = json!({"client": "shop", "id": made["id"]});
    assert_eq!(call(&gateway, "DELETE", &path, Value::Null).await, (200, gone));
    assert_eq!(call(&gateway, "DELETE", &path, Value::Null).await.0, 404);
    refused(&gateway, key, "Invalid API key").await;
    gateway.knows_key(&first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_its_name_and_changes_nothing() {
    let (_alpha, gateway) = shop().await;
    gateway.add_client("shop", &["--deposit", "5"]);
    let before = gateway.cli_json(&["client", "show", "shop"]);
    let deposits = "/accounts/shop/deposits";
    for (method, path, body, words) in [
        ("POST", deposits, r#"{"amount": 5}"#, "amount: found the number 5: write it in quotes"),
        ("POST", deposits, r#"{"amount": 0.1}"#, "write it in quotes"),
        ("POST", deposits, r#"{"amount": "0"}"#, "amount: expected an amount above 0"),
        ("POST", deposits, r#"{"amount": "-5"}"#, "amount"),
        ("POST", deposits, r#"{"amount": "1e3"}"#, "amount"),
        ("POST", deposits, r#"{"amount": "0.000000001"}"#, "amount"),
        ("POST", deposits, r#"{"ref": "x"}"#, "amount: it is missing"),
        ("POST", deposits, "", "amount: it is missing"),
        ("POST", deposits, r#"{"amount": "5", "reference": "x"}"#, "\"reference\" is not known"),
        ("POST", deposits, r#"{"amount": "5", "ref": 17}"#, "ref"),
        ("POST", deposits, r#"{"amount": "5", "ref": "a\nb"}"#, "ref"),
        ("POST", deposits, r#"["5"]"#, "no JSON object"),
        ("POST", deposits, "amount=5", "no JSON"),
        ("PATCH", "/accounts/shop", r#"{"markup": 15}"#, "markup"),
        ("PATCH", "/accounts/shop", r#"{"rps": "3"}"#, "rps"),
        ("PATCH", "/accounts/shop", r#"{"rps": 0}"#, "rps"),
        ("PATCH", "/accounts/shop", r#"{"credit": "-1"}"#, "credit"),
        ("PATCH", "/accounts/shop", r#"{"allow_ips": ["example.org"]}"#, "allow_ips"),
        ("PATCH", "/accounts/shop", r#"{"allow_services": "1*"}"#, "allow_services"),
        ("PATCH", "/accounts/shop", r#"{"balance": "5"}"#, "\"balance\" is not known"),
        ("POST", "/accounts", r#"{"client": ""}"#, "client"),
        ("POST", "/accounts", r#"{"deposit": "5"}"#, "client: it is missing"),
        ("POST", "/accounts/shop/keys", r#"{"read_only": "yes"}"#, "read_only"),
        ("GET", "/accounts/shop/ledger?limit=0", "", "limit"),
    ] {
        let (status, answer) = send(&gateway, method, path, TOKEN, body).await;
        assert_eq!(status, 400, "{method} {path} {body}: {answer}");
        assert!(only_error(&answer).contains(words), "{body}: {answer}");
    }
    for (method, path) in
        [("GET", "/accounts/nobody"), ("POST", "/accounts/nobody/disable"), ("GET", "/accounts/shop/x")]
    {
        let (status, answer) = call(&gateway, method, path, Value::Null).await;
        assert_eq!((status, only_error(&answer).is_empty()), (404, false), "{path}");
    }
    let nobody = call(&gateway, "POST", "/accounts/nobody/deposits", json!({"amount": "1"})).await;
    assert_eq!(nobody.0, 404);
    assert_eq!(call(&gateway, "DELETE", "/accounts/shop", Value::Null).await.0, 405);
    let long = "x".repeat(70_000);
    assert_eq!(call(&gateway, "POST", deposits, json!({"amount": "1", "note": long})).await.0, 413);
    assert_eq!(gateway.cli_json(&["client", "show", "shop"]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_deposits_at_once_with_one_reference_one_is_new() {
    let (_alpha, gateway) = shop().await;
    gateway.add_client("a shop/+", &[]);
    let answers =
        (0..20).map(|_| call(&gateway, "POST", "/accounts/a%20shop%2F+/deposits", json!({"amount": "5", "ref": "r"})));
    let mut answers = futures(answers).await;
    answers.sort_by_key(|(status, _)| *status);
    assert_eq!(answers.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [[200; 19].as_slice(), &[201]].concat());
    assert!(answers.iter().all(|(_, answer)| answer["balance"] == "5"), "{answers:?}");
}

/// Runs all of these side by side.
async fn futures<F: Future<Output = (u16, Value)>>(calls: impl Iterator<Item = F>) -> Vec<(u16, Value)> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_the_token_nor_where_there_is_none() {
    let (_alpha, gateway) = shop().await;
    let body = r#"{"client": "shop", "deposit": "1000"}"#;
    for token in ["", "open", "open-sesame-2"] {
        assert_eq!(send(&gateway, "POST", "/accounts", token, body).await.0, 401, "{token}");
    }
    let request = gateway.http().post(format!("{}/accounts", gateway.ops)).basic_auth("x", Some(TOKEN)).body(body);
    assert_eq!(request.send().await.unwrap().status(), 401, "what a browser remembers is not enough to move money");
    assert_eq!(gateway.http().get(gateway.at("/accounts")).send().await.unwrap().status(), 404, "not in public");

    let alpha = upstream(20).await;
    let open = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let without = Gateway::start(&open).await;
    let (status, answer) = send(&without, "POST", "/accounts", "any", body).await;
    assert_eq!(status, 403);
    assert!(only_error(&answer).contains("set server.ops_token"), "{answer}");
    assert_eq!(without.cli_json(&["client", "list"]).as_array().unwrap().len(), 1);
}
