//! What becomes of connections when the listener is told to stop.

use super::*;

#[tokio::test]
async fn idle_connections_do_not_hold_it() {
    let server = start(Limits::default(), &[]).await;
    let mut fresh = Client::connect(&server).await;
    let mut idle = Client::connect(&server).await;
    idle.send(post("/api/v2", "", "order=1")).await;
    idle.get().await.unwrap();
    server.stop.notify_one();
    fresh.ended().await;
    idle.ended().await;
    assert_eq!(within(server.serving).await.unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody is let in any more");
}

#[tokio::test]
async fn started_calls_are_answered() {
    let server = start(Limits::default(), &[]).await;
    let mut client = Client::connect(&server).await;
    client.send(post("/api/v2", "", "action=slow")).await;
    within(server.api.begun.notified()).await;
    server.stop.notify_one();
    within(async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.api.go.add_permits(1);
    let got = client.get().await.unwrap();
    assert_eq!((got.status(), got.header("connection")), (200, Some("close")));
    client.ended().await;
    assert_eq!(within(server.serving).await.unwrap(), 0);
}

#[tokio::test]
async fn there_is_an_end_to_the_waiting() {
    let server = start(Limits { drain: Duration::from_millis(100), ..Limits::default() }, &[]).await;
    let mut client = Client::connect(&server).await;
    client.send(post("/api/v2", "", "action=slow")).await;
    within(server.api.begun.notified()).await;
    server.stop.notify_one();
    assert_eq!(within(server.serving).await.unwrap(), 1, "one was cut off");
    client.ended().await;
    server.api.go.add_permits(1);
    within(server.api.done.notified()).await;
    assert_eq!(server.tasks.finish(Duration::from_secs(20)).await, 0, "its call went on to its end");
}
