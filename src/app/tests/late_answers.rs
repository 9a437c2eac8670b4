//! Answers that come late, twice, or after their order was settled in another way.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_outcome_of_an_attempt_is_written_once_however_often_it_is_tried() {
    let bench = bench().await;
    let order = bench.sending(1).await;
    let accepted = Outcome::Accepted(UpstreamOrderId::new("77"));
    bench.app.settle(order.clone(), accepted.clone()).await;
    bench.app.settle(order.clone(), accepted).await;
    let story = bench.app.store.order_story(order.id).await.unwrap().unwrap();
    assert!(matches!(story.order.state, State::Placed(_)));
    assert!(story.history.iter().all(|line| !line.alert), "the same answer again is no news: {:?}", story.history);
}

/// An order that lost its sender, as the sender itself knows it still, and as it is now.
async fn given_up(bench: &Bench) -> (Order, Order) {
    let sent = bench.sending(1).await;
    bench.later(LEASE);
    Arc::clone(&bench.app).find_lost_senders().await;
    let now = bench.app.reread(sent.id).await.unwrap();
    assert!(matches!(now.state, State::Uncertain { .. }));
    (sent, now)
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_lease_settles_its_order() {
    let bench = bench().await;
    let (sent, _) = given_up(&bench).await;
    bench.later(LEASE);
    let settled = bench.app.settle(sent, Outcome::Accepted(UpstreamOrderId::new("77"))).await;
    assert_eq!(settled.binding().map(|binding| binding.id.as_str()), Some("77"));
    let story = bench.app.store.order_story(settled.id).await.unwrap().unwrap();
    assert!(story.history.iter().any(|line| line.text == "settled by a late answer to attempt 1"));
    assert!(bench.app.store.verify().await.unwrap().failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_a_refund_is_recorded_and_never_charged() {
    let bench = bench().await;
    let (sent, uncertain) = given_up(&bench).await;
    bench.app.decide(uncertain, Event::Resolved(Resolution::Refund)).await.unwrap();
    let settled = bench.app.settle(sent, Outcome::Accepted(UpstreamOrderId::new("77"))).await;
    assert!(matches!(settled.state, State::Closed { binding: None, .. }));
    assert_eq!(bench.app.store.balance(bench.client).await.unwrap().to_string(), "100");
    let story = bench.app.store.order_story(settled.id).await.unwrap().unwrap();
    let told = story.history.iter().find(|line| line.text.contains("names upstream order 77")).unwrap();
    assert!(told.alert && told.text.contains("bought there without being owed"), "{}", told.text);
    assert_eq!(story.attempts[0].outcome.as_deref(), Some("accepted"));
    let alpha = ProviderId::new("alpha");
    let held = bench.app.store.held_upstream_orders(&alpha, vec![UpstreamOrderId::new("77")]).await.unwrap();
    assert_eq!(held.len(), 1, "it is nobody else's");
    assert!(bench.app.store.verify().await.unwrap().failures.is_empty());
}
