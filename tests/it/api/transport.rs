//! HTTP as old and simple clients need it.

use std::io::Read as _;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::shop;
use crate::harness::{Gateway, post_raw, raw};

fn form(gateway: &Gateway, call: &str) -> String {
    format!("key={}&{call}", gateway.key)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_length_and_is_neither_redirected_nor_compressed() {
    let (_alpha, gateway) = shop(1).await;
    let order = "action=add&service=1001&link=https%3A%2F%2Fexample.com%2Fp&quantity=50";
    for call in
        ["action=services", "action=balance", order, "action=status&order=1", "action=status&orders=1,2", "action=x"]
    {
        let answer = post_raw(&gateway.api, "", form(&gateway, call).as_bytes()).await;
        assert_eq!(answer.status, 200, "{call}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{call}");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "{call}");
        for absent in ["transfer-encoding", "content-encoding", "location"] {
            assert_eq!(answer.header(absent), None, "{call}");
        }
        answer.json();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_clients_are_answered_and_let_go() {
    let (_alpha, gateway) = shop(1).await;
    for path in ["/api/v2", "/api/v2/", "/api/v1", "/api", "/"] {
        let body = form(&gateway, "action=balance");
        let request = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = raw(&gateway.api, request.as_bytes()).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"balance": "1000", "currency": "USD"})), "{path}");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        assert_eq!(answer.header("transfer-encoding"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_compressed_for_those_who_ask() {
    let (_alpha, gateway) = shop(1).await;
    let body = form(&gateway, "action=services");
    let plain = post_raw(&gateway.api, "", body.as_bytes()).await;
    let gzip = post_raw(&gateway.api, "accept-encoding: gzip, deflate\r\n", body.as_bytes()).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert_eq!(gzip.header("content-length"), Some(gzip.body.len().to_string().as_str()));
    assert!(gzip.body.len() < plain.body.len() / 2);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(gzip.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let refused = post_raw(&gateway.api, "accept-encoding: gzip;q=0\r\n", body.as_bytes()).await;
    assert_eq!((refused.header("content-encoding"), &refused.body), (None, &plain.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_browsers_names_and_none_are_let_in() {
    let (_alpha, gateway) = shop(1).await;
    let body = form(&gateway, "action=balance");
    for headers in ["user-agent: Mozilla/4.0 (compatible; MSIE 5.01; Windows NT 5.0)\r\n", "user-agent: \r\n", ""] {
        assert_eq!(post_raw(&gateway.api, headers, body.as_bytes()).await.status, 200, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_reached_the_api_says_so_by_its_status() {
    let (_alpha, gateway) = shop(1).await;
    let host = "HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    for (request, status) in [
        (format!("POST /api/v3 {host}content-length: 0\r\n\r\n"), 404),
        (format!("GET /api/v2/services {host}\r\n"), 404),
        (format!("GET /metrics {host}\r\n"), 404),
        (format!("PUT /api/v2 {host}content-length: 0\r\n\r\n"), 405),
        (format!("DELETE /api/v2 {host}\r\n"), 405),
        (format!("POST /api/v2 {host}content-length: 1048577\r\n\r\nkey=1"), 413),
        ("\x16\x03\x01 nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /api/v2 {host}x: {}\r\n\r\n", "x".repeat(100_000)), 431),
    ] {
        let answer = raw(&gateway.api, request.as_bytes()).await;
        let start: String = request.chars().take(40).collect();
        assert_eq!(answer.status, status, "{start:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{start:?}");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "{start:?}");
        answer.error();
    }
    let allowed = raw(&gateway.api, format!("PATCH / {host}\r\n").as_bytes()).await;
    assert_eq!((allowed.status, allowed.header("allow")), (405, Some("get, post")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_just_under_the_limit_is_read() {
    let (alpha, gateway) = shop(1).await;
    let call = form(&gateway, "action=add&service=1008&link=https%3A%2F%2Fexample.com%2Fp&comments=");
    let body = format!("{call}{}", "a".repeat((1 << 20) - call.len()));
    let answer = post_raw(&gateway.api, "", body.as_bytes()).await;
    assert_eq!(answer.json(), json!({"order": 1}));
    assert_eq!(alpha.orders()[0].quantity, 1);
    let longer = post_raw(&gateway.api, "", format!("{body}a").as_bytes()).await;
    assert_eq!(longer.status, 413);
    longer.error();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_curl_that_asks_before_it_sends_is_told_to_go_on() {
    let (_alpha, gateway) = shop(1).await;
    let body = form(&gateway, "action=balance");
    let host = gateway.at("").strip_prefix("http://").unwrap().to_owned();
    let mut socket = TcpStream::connect(host).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    socket.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"1000\""), "{answer}");
}
