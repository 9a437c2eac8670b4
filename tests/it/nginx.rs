//! deploy/nginx-several.conf before two gateways: no order is bought twice by it, whichever gateway ends when.
//!
//! The two have copies of one store, so that either would take an order that the other was sent.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tollgate::sandbox::{Options, Sandbox};

use crate::harness::nginx::Nginx;
use crate::harness::{Config, Gateway, eventually, free_port, upstream, upstream_with};

/// A client of nginx that comes from this address.
fn client_from(address: [u8; 4]) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .danger_accept_invalid_certs(true)
        .local_address(IpAddr::V4(Ipv4Addr::from(address)))
        .build()
        .unwrap()
}

/// Two gateways with one client, and with the same orders before them.
async fn twins(alpha: &Sandbox, options: &[&str]) -> [Gateway; 2] {
    let config =
        Config::new("[dispatch]\nwait = \"20s\"").provider("alpha", alpha, "").service(1, "routes = [\"alpha:1\"]");
    let mut one = Gateway::prepare(&config);
    one.launch().await;
    one.key = one.add_client("tester", &[&["--deposit", "100"], options].concat());
    assert!(one.stop().await.success());
    let mut other = Gateway::prepare(&config);
    std::fs::copy(one.store_file(), other.store_file()).unwrap();
    other.key.clone_from(&one.key);
    one.launch().await;
    other.launch().await;
    [one, other]
}

fn orders(gateway: &Gateway) -> Vec<Value> {
    gateway.cli_json(&["orders", "list"]).as_array().unwrap().clone()
}

fn order_form(key: &str) -> [(&str, &str); 5] {
    [("key", key), ("action", "add"), ("service", "1"), ("link", "https://example.com/p/1"), ("quantity", "1000")]
}

/// The gateway that is at the order ends; nobody knows whether the upstream has it.
async fn an_order_whose_gateway_is_killed(by_get: bool) {
    let alpha = upstream_with(Options { faults: "hang-after@add".parse().unwrap(), ..Options::default() }).await;
    let mut gateways = twins(&alpha, &[]).await;
    let nginx = Nginx::start(&gateways.each_ref()).await;
    let (http, form) = (client_from([127, 0, 0, 1]), order_form(&gateways[0].key));
    let request = if by_get { http.get(nginx.url()).query(&form) } else { http.post(nginx.url()).form(&form) };
    let mut calls = JoinSet::new();
    calls.spawn(request.send());
    let at = eventually("an order to be sent", || async {
        let at = gateways.iter().position(|gateway| !orders(gateway).is_empty())?;
        (alpha.orders().len() == 1).then_some(at)
    })
    .await;
    gateways[at].kill();
    let answer = calls.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), 502);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"], "Temporarily unavailable");
    let other = &gateways[1 - at];
    assert_eq!((orders(other).len(), alpha.orders().len()), (0, 1), "it went to the other one too");

    // The other one takes what comes now, by whatever connection nginx has to the one that is gone.
    for _ in 0..10 {
        let form = [("key", other.key.as_str()), ("action", "balance")];
        let answer: Value = http.post(nginx.url()).form(&form).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["balance"], "100", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_order_is_sent_to_one_gateway_only() {
    an_order_whose_gateway_is_killed(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_a_query_is_sent_to_one_gateway_only() {
    an_order_whose_gateway_is_killed(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_finds_a_gateway_gone_goes_to_the_other() {
    let alpha = upstream(1).await;
    let mut gateways = twins(&alpha, &[]).await;
    let nginx = Nginx::start(&gateways.each_ref()).await;
    gateways[0].kill();
    let (http, form) = (client_from([127, 0, 0, 1]), order_form(&gateways[1].key));
    for _ in 0..4 {
        let answer: Value = http.post(nginx.url()).form(&form).send().await.unwrap().json().await.unwrap();
        assert!(answer["order"].is_u64(), "{answer}");
    }
    assert_eq!(orders(&gateways[1]).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_know_the_client_and_not_what_it_claims() {
    let alpha = upstream(1).await;
    let gateways = twins(&alpha, &["--allow-ip", "127.0.0.2/32"]).await;
    let nginx = Nginx::start(&gateways.each_ref()).await;
    let form = [("key", gateways[0].key.as_str()), ("action", "balance")];
    let ask = async |address, claim| {
        let request = client_from(address).post(nginx.url()).header("x-forwarded-for", claim).form(&form);
        request.timeout(Duration::from_secs(20)).send().await.unwrap().json::<Value>().await.unwrap()
    };
    for _ in 0..2 {
        assert_eq!(ask([127, 0, 0, 2], "127.0.0.1").await["balance"], "100");
        let refused = ask([127, 0, 0, 3], "127.0.0.2").await;
        assert!(refused["error"].is_string(), "{refused}");
    }
    let path = nginx.url().replace("/api/v2", "/api/v1");
    let answer: Value = client_from([127, 0, 0, 2]).post(path).form(&form).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["balance"], "100", "every path of the API");
    let large = "x".repeat(2 << 20);
    let answer = client_from([127, 0, 0, 2]).post(nginx.url()).body(large).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(answer.json::<Value>().await.unwrap()["error"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_gateways_seemed_dead_the_first_that_is_back_is_asked() {
    let alpha = upstream(1).await;
    // They come back where they were.
    let site = || {
        let address = format!("127.0.0.1:{}", free_port());
        Config::new("").listen(&address).provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]")
    };
    let mut gateways = [Gateway::start(&site()).await, Gateway::start(&site()).await];
    let nginx = Nginx::start(&gateways.each_ref()).await;
    gateways.iter_mut().for_each(Gateway::kill);
    let http = client_from([127, 0, 0, 1]);
    let key = gateways[1].key.clone();
    let form = [("key", key.as_str()), ("action", "balance")];
    let answer = http.post(nginx.url()).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 502);
    gateways[1].launch().await;
    let answer: Value = http.post(nginx.url()).form(&form).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["balance"], "1000", "{answer}");
}
