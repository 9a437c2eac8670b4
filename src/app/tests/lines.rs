//! A backlog at a slow provider.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_backlog_takes_few_tasks_and_goes_out_as_fast_as_its_provider_takes_it() {
    let bench = bench_with(rate("1")).await;
    for token in 1..=60 {
        bench.place(token).await;
        bench.wire.say(format!(r#"{{"order":{token}}}"#));
    }
    let mut most = 0;
    for _ in 0..65 {
        Arc::clone(&bench.app).forward_due().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.later(Duration::from_secs(1));
        most = most.max(locked(&bench.app.in_hand).len());
    }
    assert_eq!(most, 21, "what goes out in the 20 s that an order stands in a provider's queue, and the burst");
    assert_eq!(bench.wire.asked(CallKind::Add), 60);
    assert!(bench.app.store.verify().await.unwrap().failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_long_is_in_the_orders_history() {
    let bench = bench_with(rate("0.1")).await;
    let orders = [bench.place(1).await, bench.place(2).await, bench.place(3).await, bench.place(4).await];
    let told = async |order: &Order| {
        let story = bench.app.store.order_story(order.id).await.unwrap().unwrap();
        story.history.iter().any(|line| line.text.contains("as many orders as it takes"))
    };
    for (passed, is_told) in [(1, false), (60, true)] {
        bench.later(Duration::from_secs(passed));
        Arc::clone(&bench.app).forward_due().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(told(&orders[3]).await, is_told, "after {passed} s");
    }
}

#[tokio::test]
async fn an_order_that_waits_for_a_permit_is_small() {
    let bench = bench().await;
    let order = bench.place(1).await;
    let task = Arc::clone(&bench.app).forward(order);
    let size = size_of_val(&task);
    drop(task);
    assert!(size < 4096, "{size} bytes");
}
