//! One order through every room: listed, priced, charged, forwarded, followed to its end.

use crate::harness::{Config, Gateway, upstream};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_through_every_room() {
    let alpha = upstream(20).await;
    let config = Config::new("").provider("alpha", &alpha, "").service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;

    let services = gateway.call("services", &[]).await;
    assert_eq!(services[0]["service"], 1);
    assert_eq!(services[0]["rate"], "1.08", "0.9 and a fifth");

    let order = gateway.order(1, "https://example.com/p/1", 1000).await;
    assert_eq!(gateway.balance().await, "998.92");
    let accepted = alpha.orders();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].link, "https://example.com/p/1");

    let ended = gateway.until_status(order, "Completed").await;
    assert_eq!((ended["charge"].as_str(), ended["remains"].as_str()), (Some("1.08"), Some("0")));
    let story = gateway.story(order);
    assert_eq!(story["order"]["cost"], "0.9");
    assert_eq!(story["attempts"][0]["outcome"], "accepted");
}
