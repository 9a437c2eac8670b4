//! `request_id`: the same request twice is one order, whatever happens between.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tollgate::sandbox::{Action, Fault, Options, Sandbox};

use crate::harness::{Config, Gateway, Traces, eventually, only_error, upstream, upstream_with};

const LINK: &str = "https://example.com/p/1";

fn config(alpha: &Sandbox) -> Config {
    Config::new("[dispatch]\nwait = \"10s\"").provider("alpha", alpha, "").service(1, "routes = [\"alpha:1\"]")
}

async fn shop() -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let gateway = Gateway::start(&config(&alpha)).await;
    (alpha, gateway)
}

async fn ask(gateway: &Gateway, request: &str, quantity: &str) -> Value {
    ask_as(gateway, &gateway.key, request, quantity).await
}

async fn ask_as(gateway: &Gateway, key: &str, request: &str, quantity: &str) -> Value {
    gateway
        .post(&[
            ("key", key),
            ("action", "add"),
            ("service", "1"),
            ("link", LINK),
            ("quantity", quantity),
            ("request_id", request),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_and_places_nothing() {
    let (alpha, gateway) = shop().await;
    let first = ask(&gateway, "r-1", "50").await;
    assert!(first["order"].is_u64());
    let before = Traces::of(&gateway, &alpha);
    assert_eq!(ask(&gateway, "r-1", "50").await, first);
    // Blanks, another encoding and another key of the same client make no other request of it.
    assert_eq!(ask(&gateway, " r-1 ", " 50").await, first);
    let json = serde_json::json!({
        "request_id": "r-1", "quantity": 50, "link": LINK, "service": 1, "action": "add", "key": gateway.key,
    });
    let answer: Value = gateway.http().post(gateway.at("/")).json(&json).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer, first);
    let added = gateway.cli_json(&["key", "add", "tester"]);
    let second_key = added["key"].as_str().unwrap();
    gateway.knows_key(second_key).await;
    assert_eq!(ask_as(&gateway, second_key, "r-1", "50").await, first);
    assert_eq!(Traces::of(&gateway, &alpha), before);
    assert_ne!(ask(&gateway, "R-1", "50").await, first, "case makes a difference");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_are_one_order() {
    let (alpha, gateway) = shop().await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_millis(500)), 1);
    let answers = at_once(&gateway, "same", 20).await;
    let distinct: BTreeSet<String> = answers.iter().map(Value::to_string).collect();
    assert_eq!(distinct, BTreeSet::from(["{\"order\":1}".to_owned()]));
    assert_eq!((alpha.order_count(), alpha.call_count(Action::Add)), (1, 1));
    assert_eq!(gateway.balance().await, "999.946");
}

/// The same request so many times, side by side.
async fn at_once(gateway: &Gateway, request: &str, count: usize) -> Vec<Value> {
    let form = [
        ("key", gateway.key.as_str()),
        ("action", "add"),
        ("service", "1"),
        ("link", LINK),
        ("quantity", "50"),
        ("request_id", request),
    ];
    let form = form.map(|(name, text)| (name, text.to_owned()));
    gateway.post_at_once(vec![form.to_vec(); count]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_waits_for_the_word_on_the_first() {
    let alpha = upstream_with(Options { duplicate_lock: true, ..Options::default() }).await;
    let gateway = Gateway::start(&config(&alpha)).await;
    gateway.order(1, LINK, 60).await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_millis(700)), 1);
    let answers = at_once(&gateway, "refused", 5).await;
    for answer in &answers {
        assert!(only_error(answer).starts_with("You have active order with this link"), "{answer}");
    }
    assert_eq!(alpha.call_count(Action::Add), 2);
    assert_eq!(gateway.balance().await, "999.9352", "only the order before is paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hung_up_finds_its_order_by_asking_again() {
    let (alpha, gateway) = shop().await;
    alpha.script_next(Action::Add, Fault::Slow(Duration::from_millis(700)), 1);
    let body = format!(
        "key={}&action=add&service=1&link=https%3A%2F%2Fexample.com%2Fp%2F1&quantity=50&request_id=lost",
        gateway.key
    );
    let head = format!("POST /api/v2 HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let host = gateway.at("").strip_prefix("http://").unwrap().to_owned();
    let mut socket = TcpStream::connect(host).await.unwrap();
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    eventually("the order to be on its way", || async { (alpha.call_count(Action::Add) == 1).then_some(()) }).await;
    drop(socket);
    assert_eq!(ask(&gateway, "lost", "50").await, serde_json::json!({"order": 1}));
    assert_eq!((alpha.order_count(), alpha.call_count(Action::Add)), (1, 1));
    assert_eq!(gateway.balance().await, "999.946");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_refused_order_gets_the_same_words() {
    let (alpha, gateway) = shop().await;
    alpha.script_next(Action::Add, Fault::Error("Bad link".to_owned()), 1);
    let first = ask(&gateway, "bad", "50").await;
    assert_eq!(only_error(&first), "Bad link");
    let before = Traces::of(&gateway, &alpha);
    assert_eq!(ask(&gateway, "bad", "50").await, first);
    assert_eq!(Traces::of(&gateway, &alpha), before);
    assert_eq!(gateway.balance().await, "1000");
    assert!(ask(&gateway, "better", "50").await["order"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_parameters_under_one_name_are_an_error() {
    let (alpha, gateway) = shop().await;
    assert!(ask(&gateway, "r", "50").await["order"].is_u64());
    let before = Traces::of(&gateway, &alpha);
    for (name, text) in [("quantity", "51"), ("link", "https://example.com/p/2"), ("runs", "2")] {
        let mut form = vec![("service", "1"), ("link", LINK), ("quantity", "50"), ("request_id", "r")];
        form.retain(|(known, _)| *known != name);
        form.push((name, text));
        if name == "runs" {
            form.push(("interval", "5"));
        }
        let answer = gateway.call("add", &form).await;
        assert_eq!(only_error(&answer), "This request_id was used with other parameters", "{form:?}");
    }
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_have_sixty_four_characters() {
    let (alpha, gateway) = shop().await;
    let before = Traces::of(&gateway, &alpha);
    let refused = ask(&gateway, &"é".repeat(65), "50").await;
    assert_eq!(only_error(&refused), "Incorrect request_id: at most 64 characters");
    assert_eq!(Traces::of(&gateway, &alpha), before);
    let first = ask(&gateway, &"é".repeat(64), "50").await;
    assert!(first["order"].is_u64());
    assert_eq!(ask(&gateway, &"é".repeat(64), "50").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_two_clients_have_nothing_to_do_with_each_other() {
    let (alpha, gateway) = shop().await;
    let other = gateway.add_client("other", &["--deposit", "1"]);
    gateway.knows_key(&other).await;
    let mine = ask(&gateway, "r", "50").await;
    let theirs = ask_as(&gateway, &other, "r", "70").await;
    assert!(mine["order"].is_u64() && theirs["order"].is_u64() && mine != theirs, "{mine} {theirs}");
    assert_eq!(alpha.order_count(), 2);
    assert_eq!(ask_as(&gateway, &other, "r", "70").await, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_a_restart_is_still_a_repeat() {
    let (alpha, mut gateway) = shop().await;
    let first = ask(&gateway, "r", "50").await;
    alpha.script_next(Action::Add, Fault::Error("Bad link".to_owned()), 1);
    let refused = ask(&gateway, "bad", "50").await;
    assert!(gateway.stop().await.success());
    gateway.launch().await;
    gateway.knows_key(&gateway.key).await;
    let before = Traces::of(&gateway, &alpha);
    assert_eq!(ask(&gateway, "r", "50").await, first);
    assert_eq!(ask(&gateway, "bad", "50").await, refused);
    assert_eq!(Traces::of(&gateway, &alpha), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_a_repeat_is_another_order() {
    let (alpha, gateway) = shop().await;
    for expected in 1..=3 {
        assert_eq!(ask(&gateway, "", "50").await, serde_json::json!({"order": expected}));
    }
    assert_eq!(alpha.order_count(), 3);
    assert_eq!(gateway.balance().await, "999.838");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_leaves_no_trace_leaves_the_name_free() {
    let (_alpha, gateway) = shop().await;
    let poor = gateway.add_client("poor", &[]);
    gateway.knows_key(&poor).await;
    assert_eq!(only_error(&ask_as(&gateway, &poor, "r", "50").await), "Not enough funds on balance");
    assert!(gateway.cli(&["client", "deposit", "poor", "1"]).status.success());
    assert!(ask_as(&gateway, &poor, "r", "50").await["order"].is_u64());
    only_error(&ask(&gateway, "q", "0").await);
    assert!(ask(&gateway, "q", "50").await["order"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_though_its_service_has_gone_off_sale() {
    let (alpha, mut gateway) = shop().await;
    let first = ask(&gateway, "r", "50").await;
    gateway.kill();
    gateway.reconfigure(&config(&alpha).text("enabled = false"));
    gateway.launch().await;
    gateway.knows_key(&gateway.key).await;
    assert_eq!(only_error(&ask(&gateway, "new", "50").await), "Incorrect service ID");
    assert_eq!(ask(&gateway, "r", "50").await, first);
    assert_eq!(only_error(&ask(&gateway, "r", "60").await), "This request_id was used with other parameters");
    assert_eq!(alpha.order_count(), 1);
}
