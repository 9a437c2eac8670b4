//! Requests that are as they should be, in all their forms.

use super::*;

#[tokio::test]
async fn every_path_and_method_reaches_the_api() {
    let server = start(Limits::default(), &[]).await;
    for path in ["/api/v2", "/api/v2/", "/api/v1", "/api/v1/", "/api", "/api/", "/", "http://x/api/v2"] {
        let got =
            ask(&server, post(path, "Content-Type: application/x-www-form-urlencoded\r\n", "key=a&order=1")).await;
        assert_eq!((got.status(), got.param("order")), (200, "1".to_owned()), "{path}");
        got.is_plain_json();
    }
    let got = ask(&server, "GET /api/v2?key=a&order=2 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((got.status(), got.param("order"), got.param("key")), (200, "2".to_owned(), "a".to_owned()));
    let got = ask(&server, post("/api/v2?order=3&action=status", "", "key=b&order=4")).await;
    assert_eq!((got.param("order"), got.param("action"), got.param("key")), ("4".into(), "status".into(), "b".into()));
    let got = ask(&server, "POST /api/v2?order=5 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(got.param("order"), "5", "a POST with no body at all");
}

#[tokio::test]
async fn every_kind_of_body_is_read() {
    let server = start(Limits::default(), &[]).await;
    let json = ask(&server, post("/api/v2", "Content-Type: application/json\r\n", r#"{"orders":[1,2]}"#)).await;
    assert_eq!(json.param("orders"), "1,2");
    let part = "--B\r\nContent-Disposition: form-data; name=\"orders\"\r\n\r\n3,4\r\n--B--\r\n";
    let multipart = ask(&server, post("/api/v2", "Content-Type: multipart/form-data; boundary=B\r\n", part)).await;
    assert_eq!(multipart.param("orders"), "3,4");
    let chunked =
        "POST /api/v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\norder\r\n4\r\ns=56\r\n0\r\n\r\n";
    assert_eq!(ask(&server, chunked).await.param("orders"), "56");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_apis_own_error() {
    let server = start(Limits::default(), &[]).await;
    for (content_type, body) in [
        ("application/json", "{"),
        ("application/json", "[1]"),
        ("application/x-www-form-urlencoded", "link=%ff"),
        ("multipart/form-data; boundary=B", "--B\r\n"),
    ] {
        let got = ask(&server, post("/api/v2", &format!("Content-Type: {content_type}\r\n"), body)).await;
        got.is_error(200);
        assert!(got.json()["error"].as_str().unwrap().starts_with("Incorrect request: "), "{got:?}");
    }
}

#[tokio::test]
async fn what_is_only_read_is_not_waited_for_longer_than_its_time() {
    let server = start_with(Limits::default(), &[], Duration::from_secs(30), Some(Duration::from_millis(50))).await;
    let read = ask(&server, post("/api/v2", "", "action=slow_read")).await;
    read.is_error(200);
    assert_eq!(read.json()["error"], "Temporarily unavailable, please try again later");
    let writes = ask(&server, post("/api/v2", "", "action=slow"));
    let later = async {
        let read = ask(&server, post("/api/v2", "", "action=slow_read")).await;
        read.is_error(200);
        server.api.go.add_permits(1);
    };
    let (written, ()) = tokio::join!(writes, later);
    assert_eq!(written.param("action"), "slow", "nobody knows before what came of it");
}

#[tokio::test]
async fn old_clients_are_served() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send("POST /api/v2 HTTP/1.0\r\nContent-Length: 7\r\n\r\norder=1").await;
    let got = client.get().await.unwrap();
    assert!(got.line.starts_with("HTTP/1.0 200"), "{got:?}");
    got.is_plain_json();
    client.ended().await;
    // One that says it has no more to send, and then reads.
    let mut client = Client::connect(&server).await;
    client.send(post("/api/v2", "", "order=2")).await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.get().await.unwrap().param("order"), "2");
}

#[tokio::test]
async fn a_connection_takes_many_requests() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    for order in ["1", "2", "3"] {
        client.send(post("/api/v2", "", &format!("order={order}"))).await;
        assert_eq!(client.get().await.unwrap().param("order"), order);
    }
    client.send([post("/api/v2", "", "order=4"), post("/api/v2", "", "order=5")].concat()).await;
    assert_eq!(client.get().await.unwrap().param("order"), "4");
    assert_eq!(client.get().await.unwrap().param("order"), "5");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send("POST /api/v2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n").await;
    assert_eq!(client.get().await.unwrap().status(), 100);
    client.send("order=1").await;
    assert_eq!(client.get().await.unwrap().param("order"), "1");
}

#[tokio::test]
async fn answers_are_compressed_only_for_those_who_ask() {
    let server = start(Limits::default(), &[]).await;
    for (headers, compressed) in [
        ("", false),
        ("Accept-Encoding: identity\r\n", false),
        ("Accept-Encoding: gzip;q=0\r\n", false),
        ("Accept-Encoding: deflate, gzip\r\n", true),
    ] {
        let got = ask(&server, post("/api/v2", headers, "action=big&n=5000")).await;
        got.is_plain_json();
        assert_eq!(got.header("content-encoding"), compressed.then_some("gzip"), "{headers}");
        assert_eq!(got.header("vary"), Some("accept-encoding"));
        let plain = if compressed { gunzip(&got.body) } else { got.body.into() };
        assert_eq!(plain.len(), 5002);
    }
    let small = ask(&server, post("/api/v2", "Accept-Encoding: gzip\r\n", "order=1")).await;
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, None));
}

#[tokio::test]
async fn a_large_answer_arrives_whole_also_where_the_connection_ends_with_it() {
    let server = start(Limits::default(), &[]).await;
    for version in ["1.0", "1.1"] {
        let body = "action=big&n=9000000";
        let request = format!(
            "POST /api/v2 HTTP/{version}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let got = ask(&server, request).await;
        assert_eq!(got.body.len(), 9_000_002);
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let server = start(Limits::default(), &[]).await;
    for path in ["/api/v3", "/api/v2/x", "//", "/metrics", "/healthz", "/API/V2", "*"] {
        ask(&server, post(path, "", "order=1")).await.is_error(404);
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"] {
        let mut client = Client::connect(&server).await;
        client.send(format!("{method} /api/v2 HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let got = client.get_to(method).await.unwrap();
        assert_eq!((got.status(), got.header("allow")), (405, Some("GET, POST")), "{method}");
        if method != "HEAD" {
            got.is_error(405);
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_error_like_any_other() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    for call in ["action=panic", "action=panic&write=1"] {
        client.send(post("/api/v2", "", call)).await;
        client.get().await.unwrap().is_error(200);
    }
    client.send(post("/api/v2", "", "order=1")).await;
    assert_eq!(client.get().await.unwrap().param("order"), "1", "the connection goes on");
}

#[tokio::test]
async fn only_a_trusted_proxy_speaks_for_another() {
    let request = post("/api/v2", "X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n", "");
    let trusting = start(Limits::default(), &["127.0.0.1/32"]).await;
    assert_eq!(ask(&trusting, &request).await.json()["ip"], "1.2.3.4");
    let other = start(Limits::default(), &[]).await;
    assert_eq!(ask(&other, &request).await.json()["ip"], "127.0.0.1");
}
