//! A gateway that came too late to have a part of a provider's limits.

use super::*;
use crate::app::call::Params;
use crate::domain::order::CancelWish;

const ONE_AT_A_TIME: Limits = Limits { requests_per_second: Decimal::ONE_THOUSAND, burst: 100, max_in_flight: 1 };
const SECOND_OF_TWO: Seat = Seat { gateways: 2, rank: 1 };
const MINUTE: Duration = Duration::from_secs(60);

/// What the client is answered.
async fn ask(bench: &Bench, call: &[(&str, &str)]) -> String {
    let mut params = Params::default();
    for (name, text) in [("key", KEY)].iter().chain(call) {
        params.set((*name).into(), (*text).into());
    }
    let answer = bench.app.answer(&params, [127, 0, 0, 1].into()).await;
    String::from_utf8(answer.plain.to_vec()).unwrap()
}

/// What another gateway would get of the queue now.
async fn free(bench: &Bench) -> Vec<Order> {
    let now = bench.app.clock.now();
    bench.app.store.claim_queued(now, now.plus(MINUTE), 9, &[]).await.unwrap()
}

async fn it_leaves_an_order(bench: &Bench) {
    let order = bench.place(1).await;
    Arc::clone(&bench.app).forward_due().await;
    tokio::time::sleep(MINUTE).await;
    let [left] = free(bench).await.try_into().unwrap();
    assert_eq!((left.id, left.version), (order.id, order.version), "it is not put off");
}

#[tokio::test(start_paused = true)]
async fn it_leaves_orders_that_it_cannot_send_to_the_others() {
    let bench = bench_among(&[("alpha", ONE_AT_A_TIME)], Some(SECOND_OF_TWO)).await;
    it_leaves_an_order(&bench).await;
}

#[tokio::test(start_paused = true)]
async fn it_leaves_those_too_that_have_another_route_by_which_nothing_goes() {
    let (plenty, beta) = (Limits { max_in_flight: 8, ..ONE_AT_A_TIME }, ProviderId::new("beta"));
    let bench = bench_among(&[("alpha", ONE_AT_A_TIME), ("beta", plenty)], Some(SECOND_OF_TWO)).await;
    bench.app.store.set_paused(Some(&beta), true, NOW).await.unwrap();
    Arc::clone(&bench.app).follow_pauses().await;
    it_leaves_an_order(&bench).await;
}

#[tokio::test(start_paused = true)]
async fn it_holds_no_new_order_that_it_cannot_send() {
    let bench = bench_among(&[("alpha", ONE_AT_A_TIME)], Some(SECOND_OF_TWO)).await;
    let answer = ask(&bench, &[("action", "add"), ("service", "1"), ("link", "x"), ("quantity", "1000")]).await;
    assert_eq!(answer, r#"{"order":1}"#);
    let [left] = free(&bench).await.try_into().unwrap();
    assert_eq!((left.id.get(), left.version), (1, 1), "it is due at once");
}

#[tokio::test(start_paused = true)]
async fn it_sends_by_another_route_what_it_can() {
    let (plenty, beta) = (Limits { max_in_flight: 8, ..ONE_AT_A_TIME }, ProviderId::new("beta"));
    let bench = bench_among(&[("alpha", ONE_AT_A_TIME), ("beta", plenty)], Some(SECOND_OF_TWO)).await;
    let order = bench.place(1).await;
    bench.wire.say(r#"{"order":7}"#);
    Arc::clone(&bench.app).forward_due().await;
    tokio::time::sleep(MINUTE).await;
    let State::Placed(binding) = bench.state(&order).await else { panic!("it waits") };
    assert_eq!(binding.route.provider, beta);
}

#[tokio::test(start_paused = true)]
async fn it_leaves_cancels_to_the_others() {
    let bench = bench_among(&[("alpha", ONE_AT_A_TIME)], Some(SECOND_OF_TWO)).await;
    let order = bench.placed(1, "5").await;
    bench.app.decide(order.clone(), Event::CancelRequested).await.unwrap();
    Arc::clone(&bench.app).forward_wishes().await;
    let now = bench.app.clock.now();
    let [left] = bench.app.store.claim_cancels(now, now.plus(MINUTE), 9, &[]).await.unwrap().try_into().unwrap();
    assert_eq!((left.id, left.cancel), (order.id, CancelWish::Wished));
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_refill_that_it_cannot_send() {
    let bench = bench_among(&[("alpha", ONE_AT_A_TIME)], Some(SECOND_OF_TWO)).await;
    let order = bench.placed(1, "5").await;
    let answer = ask(&bench, &[("action", "refill"), ("order", &order.id.to_string())]).await;
    assert!(answer.contains("error"), "{answer}");
    let story = bench.app.store.order_story(order.id).await.unwrap().unwrap();
    assert!(story.refills.is_empty(), "{:?}", story.refills);
}
