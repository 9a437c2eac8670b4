//! Requests that never reach the API, and clients that keep what they take.

use super::*;

fn short() -> Limits {
    let ms = Duration::from_millis;
    Limits { head: ms(500), idle: ms(800), write: ms(500), ..Limits::default() }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send("POST /api/v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\norder=1").await;
    let got = client.get().await.unwrap();
    got.is_error(413);
    assert_eq!(got.header("connection"), Some("close"));
    client.ended().await;

    // The answer also reaches a client that sends its whole body first.
    let big = format!("order={}", "1".repeat(2 << 20));
    let mut client = Client::connect(&server).await;
    client.send(post("/api/v2", "", &big)).await;
    client.get().await.unwrap().is_error(413);
    client.ended().await;

    let full = format!("x={}", "1".repeat((1 << 20) - 2));
    assert_eq!(ask(&server, post("/api/v2", "", &full)).await.status(), 200, "1 MiB is within it");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_not_to_send_too_much() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send("POST /api/v2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n").await;
    client.get().await.unwrap().is_error(413);
}

#[tokio::test]
async fn a_chunked_body_is_cut_at_the_limit() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send("POST /api/v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "1".repeat(1 << 16));
    for _ in 0..17 {
        client.send(&chunk).await;
    }
    client.get().await.unwrap().is_error(413);
    client.ended().await;
}

#[tokio::test]
async fn broken_bodies_are_refused() {
    let server = start(Limits::default(), &[]).await;
    let chunked = "POST /api/v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["zz\r\norder=1\r\n0\r\n\r\n", "5\r\norder=1\r\n0\r\n\r\n", "ffffffffffffffffff\r\n"] {
        let mut client = Client::connect(&server).await;
        client.send(format!("{chunked}{body}")).await;
        client.get().await.unwrap().is_error(400);
        client.ended().await;
    }
    for cut in ["POST /api/v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\norder=1", &format!("{chunked}5\r\nord")]
    {
        let mut client = Client::connect(&server).await;
        client.send(cut).await;
        client.0.shutdown().await.unwrap();
        client.get().await.unwrap().is_error(400);
        client.ended().await;
    }
}

#[tokio::test]
async fn what_is_no_http_is_answered_in_json() {
    let server = start(Limits::default(), &[]).await;
    for request in [
        "rubbish\r\n\r\n",
        "POST /api/v2 HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /api/v2 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /api/v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /a b c HTTP/1.1\r\n\r\n",
        "POST /api/v2 HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Client::connect(&server).await;
        client.send(request).await;
        client.get().await.unwrap_or_else(|| panic!("no answer to {request:?}")).is_error(400);
        client.ended().await;
    }
    let mut client = Client::connect(&server).await;
    client.send([post("/api/v2", "", "order=1"), "rubbish\r\n\r\n".to_owned()].concat()).await;
    assert_eq!(client.get().await.unwrap().param("order"), "1", "the good request before it has its answer");
    client.get().await.unwrap().is_error(400);
    client.ended().await;
}

#[tokio::test]
async fn heads_have_their_limits() {
    let server = start(Limits::default(), &[]).await;
    let long = "x".repeat(70_000);
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    for request in [
        format!("POST /api/v2 HTTP/1.1\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /api/v2?a={long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("POST /api/v2 HTTP/1.1\r\n{many}\r\n"),
    ] {
        let mut client = Client::connect(&server).await;
        client.send(request).await;
        client.get().await.unwrap().is_error(431);
        client.ended().await;
    }
    let query = "1,".repeat(15_000);
    let got = ask(&server, format!("GET /api/v2?orders={query} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(got.param("orders").len(), 30_000, "a long query within the limit");
}

#[tokio::test]
async fn slow_clients_are_not_waited_for() {
    let server = start_with(short(), &[], Duration::from_millis(500), None).await;
    let mut head = Client::connect(&server).await;
    head.send("POST /api/v2 HTTP/1.1\r\nHo").await;
    head.get().await.unwrap().is_error(408);
    head.ended().await;

    let mut body = Client::connect(&server).await;
    body.send("POST /api/v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\norder").await;
    body.get().await.unwrap().is_error(408);
    body.ended().await;

    // Who has said nothing is told nothing.
    let mut silent = Client::connect(&server).await;
    assert!(silent.get().await.is_none());
    let mut idle = Client::connect(&server).await;
    idle.send(post("/api/v2", "", "order=1")).await;
    idle.get().await.unwrap();
    assert!(idle.get().await.is_none());
}

#[tokio::test]
async fn a_drip_of_bytes_does_not_put_the_limit_off() {
    let server = start(short(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send("POST /api/v2 HTTP/1.1\r\n").await;
    let (mut read, mut write) = client.0.into_split();
    let drip = server.tasks.spawn(async move {
        while write.write_all(b"X").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    within(read.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    drip.abort();
}

#[tokio::test]
async fn a_long_call_is_no_slow_client() {
    let server = start(short(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send(post("/api/v2", "", "action=slow")).await;
    within(server.api.begun.notified()).await;
    // By the time that others were let go for their silence, its client was silent for longer.
    let mut idle = Client::connect(&server).await;
    idle.send(post("/api/v2", "", "order=1")).await;
    idle.get().await.unwrap();
    assert!(idle.get().await.is_none());
    server.api.go.add_permits(1);
    assert_eq!(client.get().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let server = start(Limits { connections: 1, ..short() }, &[]).await;
    let mut client = Client::connect(&server).await;
    client.send(post("/api/v2", "", "action=big&n=30000000")).await;
    // Its place is free again though it never reads.
    within(async {
        loop {
            let mut other = Client::connect(&server).await;
            other.send(post("/api/v2", "", "order=1")).await;
            if other.get().await.is_some_and(|got| got.status() == 200) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    for limits in [Limits { connections: 2, ..Limits::default() }, Limits { per_loopback: 2, ..Limits::default() }] {
        let server = start(limits, &[]).await;
        let mut first = Client::connect(&server).await;
        first.send(post("/api/v2", "", "order=1")).await;
        first.get().await.unwrap();
        let mut second = Client::connect(&server).await;
        second.send(post("/api/v2", "", "order=1")).await;
        second.get().await.unwrap();
        let mut third = Client::connect(&server).await;
        third.send(post("/api/v2", "", "order=1")).await;
        third.get().await.unwrap().is_error(429);
        third.ended().await;

        drop(first);
        within(async {
            loop {
                let mut next = Client::connect(&server).await;
                next.send(post("/api/v2", "", "order=1")).await;
                if next.get().await.is_some_and(|got| got.status() == 200) {
                    break;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn who_hangs_up_cuts_no_call_in_half() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send(post("/api/v2", "", "action=slow")).await;
    within(server.api.begun.notified()).await;
    // A reset, the rudest way to go.
    client.0.set_zero_linger().unwrap();
    drop(client);
    let mut other = Client::connect(&server).await;
    other.send(post("/api/v2", "", "order=1")).await;
    other.get().await.unwrap();
    server.api.go.add_permits(1);
    within(server.api.done.notified()).await;
}
