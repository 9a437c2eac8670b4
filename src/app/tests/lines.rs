//! A backlog at a slow provider.

use super::*;
use crate::app::lines::Comer;

const SECOND: Duration = Duration::from_secs(1);

/// Orders of these numbers; their provider gives them IDs in the order in which it gets them.
async fn backlog(bench: &Bench, numbers: std::ops::RangeInclusive<u8>) {
    for number in numbers {
        bench.place(number).await;
        bench.wire.say(format!(r#"{{"order":{number}}}"#));
    }
}

/// Lets so much time pass; gives how many orders had tasks of their own at most.
async fn forward_for(bench: &Bench, seconds: u32) -> usize {
    let mut most = 0;
    for _ in 0..seconds {
        Arc::clone(&bench.app).forward_due().await;
        tokio::time::sleep(SECOND).await;
        bench.later(SECOND);
        most = most.max(locked(&bench.app.in_hand).len());
    }
    most
}

async fn upstream_id(bench: &Bench, order: i64) -> u32 {
    let order = bench.app.reread(OrderId::new(order).unwrap()).await.unwrap();
    order.binding().unwrap().id.as_str().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_backlog_takes_few_tasks_and_goes_out_as_fast_as_its_provider_takes_it() {
    let bench = bench_with(rate("1")).await;
    backlog(&bench, 1..=60).await;
    let most = forward_for(&bench, 65).await;
    assert_eq!(most, 21, "what goes out in the 20 s that an order stands in a provider's queue, and the burst");
    assert_eq!(bench.wire.asked(CallKind::Add), 60);
    assert!(bench.app.store.verify().await.unwrap().failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn among_several_gateways_as_many_orders_stand_in_a_queue_as_this_ones_part_lets_out() {
    let limits = Limits { burst: 3, ..rate("1") };
    let bench = bench_among(&[("alpha", limits)], Some(Seat { gateways: 3, rank: 1 })).await;
    backlog(&bench, 1..=30).await;
    assert_eq!(forward_for(&bench, 100).await, 8, "seven in the 20 s, and a third of the burst");
    assert_eq!(bench.wire.asked(CallKind::Add), 30);
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_who_waits_in_a_line() {
    let bench = bench_with(rate("1")).await;
    backlog(&bench, 1..=22).await;
    Arc::clone(&bench.app).forward_due().await;
    while bench.wire.asked(CallKind::Add) == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // One of the 21 that stood in the queue has gone, and nobody has looked whether another may.
    let late = bench.place(23).await;
    bench.wire.say(r#"{"order":23}"#);
    Arc::clone(&bench.app).forward(late).await;
    forward_for(&bench, 30).await;
    assert!(upstream_id(&bench, 22).await < upstream_id(&bench, 23).await);
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_first_route_refused_it_tries_that_again_before_it_waits_for_the_second_in_a_line() {
    let (bench, beta) = (bench_of(&[("alpha", rate("10")), ("beta", rate("1"))]).await, ProviderId::new("beta"));
    let crowd: Vec<_> = (0..21).map(|_| bench.app.lines.stand(&beta, 21, Comer::New)).collect();
    let order = bench.place(1).await;
    bench.wire.say(r#"{"error":"Not enough funds on balance"}"#);
    Arc::clone(&bench.app).forward(order.clone()).await;
    assert_eq!((bench.wire.asked(CallKind::Add), bench.state(&order).await), (1, State::Queued));
    bench.wire.say(r#"{"order":7}"#);
    bench.later(SECOND);
    Arc::clone(&bench.app).forward_due().await;
    tokio::time::sleep(SECOND).await;
    let State::Placed(binding) = bench.state(&order).await else { panic!("it waits for beta") };
    assert_eq!((binding.route, crowd.len()), (route(), 21));
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
