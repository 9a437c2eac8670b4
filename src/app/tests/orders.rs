//! Orders on their way: forwarded, followed, settled.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_order_is_forwarded_and_followed() {
    let bench = bench().await;
    let order = bench.place(1).await;
    bench.wire.say(r#"{"order":77}"#);
    Arc::clone(&bench.app).forward(order.clone()).await;
    assert!(matches!(bench.state(&order).await, State::Placed(_)));
    bench.later(Duration::from_secs(62));
    bench.wire.say(r#"{"77":{"charge":"1","start_count":"5","status":"Canceled","remains":"1000"}}"#);
    Arc::clone(&bench.app).poll_due(ProviderId::new("alpha")).await;
    assert!(matches!(bench.state(&order).await, State::Closed { .. }));
    assert_eq!(bench.app.store.balance(bench.client).await.unwrap().to_string(), "100");
    assert!(bench.app.store.verify().await.unwrap().failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_lost_its_sender_is_uncertain_once_its_lease_is_over() {
    let bench = bench().await;
    let order = bench.sending(1).await;
    Arc::clone(&bench.app).find_lost_senders().await;
    assert!(matches!(bench.state(&order).await, State::Sending { .. }), "its lease goes on");
    bench.later(LEASE);
    {
        let _sender = Taken::take(&bench.app.in_hand, [order.id]);
        Arc::clone(&bench.app).find_lost_senders().await;
        assert!(matches!(bench.state(&order).await, State::Sending { .. }), "a task of ours has it in hand");
    }
    Arc::clone(&bench.app).find_lost_senders().await;
    assert!(matches!(bench.state(&order).await, State::Uncertain { .. }));
}

/// Tokio's clock stands still, as it does while a virtual machine is suspended; the other one goes on.
#[tokio::test(start_paused = true)]
async fn who_was_suspended_sends_nothing_by_a_place_of_before() {
    let bench = bench().await;
    let order = bench.place(1).await;
    let until = bench.clock.moment().plus(PLACE);
    bench.app.company.attendance.send_modify(|attendance| attendance.until = Some(until));
    bench.later(PLACE - Duration::from_millis(1));
    assert!(bench.app.may_call());
    bench.later(Duration::from_millis(1));
    assert!(!bench.app.may_call());
    Arc::clone(&bench.app).forward(order.clone()).await;
    assert_eq!((bench.state(&order).await, bench.wire.asked(CallKind::Add)), (State::Queued, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_is_not_forwarded_by_another_task() {
    let bench = bench().await;
    let order = bench.place(1).await;
    let _other = Taken::take(&bench.app.in_hand, [order.id]);
    Arc::clone(&bench.app).forward(order.clone()).await;
    assert_eq!((bench.state(&order).await, bench.wire.asked(CallKind::Add)), (State::Queued, 0));
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_not_fed_to_an_order_that_has_changed() {
    let bench = bench().await;
    let order = bench.place(1).await;
    let canceled = bench.app.step(order.clone(), Event::CancelRequested).await.unwrap().into_order();
    let stepped = bench.app.decide(order.clone(), Event::SendStarted(route())).await.unwrap();
    assert!(matches!(&stepped, steps::Stepped::Stale(newer) if *newer == canceled), "{stepped:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_start_was_written_against_its_word_is_not_sent() {
    let bench = bench().await;
    let order = bench.sending(1).await;
    let error = StoreError::Engine("the commit's answer was lost".into());
    let settled = bench.app.not_begun(order.id, order.attempts, error.clone()).await.unwrap();
    assert_eq!((settled.state, bench.wire.asked(CallKind::Add)), (State::Queued, 0));
    assert!(bench.app.not_begun(order.id, order.attempts, error).await.is_err(), "it was not begun a second time");
}

#[tokio::test(start_paused = true)]
async fn one_refused_batch_does_not_ask_for_every_order_alone() {
    let bench = bench().await;
    for token in 1..=5 {
        let order = bench.place(token).await;
        bench.wire.say(format!(r#"{{"order":"{token}"}}"#));
        Arc::clone(&bench.app).forward(order).await;
    }
    bench.later(Duration::from_secs(62));
    bench.wire.say(r#"{"error":"Something went wrong"}"#);
    bench.wire.say(r#"{"error":"Something went wrong"}"#);
    Arc::clone(&bench.app).poll_due(ProviderId::new("alpha")).await;
    assert_eq!(bench.wire.asked(CallKind::Status), 2, "the batch, and one alone");
    let history = bench.app.store.order_story(OrderId::new(1).unwrap()).await.unwrap().unwrap();
    assert!(history.history.iter().all(|line| !line.alert), "a broken status API is not each order's alert");
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_forwarded_as_another_type_than_it_was_sold_as() {
    let bench = bench().await;
    let order = bench.place_as(1, ServiceType::Package).await;
    Arc::clone(&bench.app).forward(order.clone()).await;
    assert!(matches!(bench.state(&order).await, State::Closed { binding: None, .. }));
    assert_eq!(bench.wire.asked(CallKind::Add), 0);
    assert_eq!(bench.app.store.balance(bench.client).await.unwrap().to_string(), "100");
}

#[tokio::test(start_paused = true)]
async fn the_only_order_of_a_provider_without_batches_is_followed() {
    let bench = bench().await;
    let order = bench.place(1).await;
    bench.wire.say(r#"{"order":77}"#);
    Arc::clone(&bench.app).forward(order.clone()).await;
    bench.later(Duration::from_secs(62));
    bench.wire.say(r#"{"error":"Incorrect order ID"}"#);
    bench.wire.say(r#"{"charge":"1","start_count":"5","status":"Completed","remains":"0"}"#);
    Arc::clone(&bench.app).poll_due(ProviderId::new("alpha")).await;
    assert!(matches!(bench.state(&order).await, State::Closed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_no_sync() {
    let bench = bench().await;
    let app = Arc::clone(&bench.app);
    let syncing = bench.app.tasks.spawn(async move { app.sync(&ProviderId::new("alpha")).await });
    while bench.wire.asked(CallKind::Services) == 0 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.app.tasks.finish(Duration::from_secs(1)).await, 0);
    assert!(matches!(syncing.await.unwrap(), Err(SyncError::Stopping)));
}

#[tokio::test(start_paused = true)]
async fn where_each_order_costs_a_call_none_goes_along() {
    let bench = bench().await;
    let report = r#"{"charge":"1","start_count":"5","status":"In progress","remains":"1000"}"#;
    locked(&bench.app.single_pollers).insert(ProviderId::new("alpha"));
    for token in 1..=3 {
        let order = bench.place(token).await;
        bench.wire.say(format!(r#"{{"order":"{token}"}}"#));
        Arc::clone(&bench.app).forward(order).await;
    }
    bench.later(Duration::from_secs(62));
    for _ in 0..3 {
        bench.wire.say(report);
    }
    Arc::clone(&bench.app).poll_due(ProviderId::new("alpha")).await;
    assert_eq!(bench.wire.asked(CallKind::Status), 3);
    bench.later(Duration::from_secs(40));
    let now = bench.app.clock.now();
    bench.app.store.hasten_polls(&[OrderId::new(1).unwrap()], now.minus(Duration::from_secs(30)), now).await.unwrap();
    bench.wire.say(report);
    Arc::clone(&bench.app).poll_due(ProviderId::new("alpha")).await;
    assert_eq!(bench.wire.asked(CallKind::Status), 4, "the one that was asked for");
}

/// The upstream gives a second order the first one's ID; gives the second one's state.
async fn given_an_id_twice(apart: Duration) -> State {
    let bench = bench().await;
    let (first, second) = (bench.place(1).await, bench.place(2).await);
    bench.wire.say(r#"{"order":77}"#);
    Arc::clone(&bench.app).forward(first).await;
    bench.later(apart);
    bench.wire.say(r#"{"order":77}"#);
    Arc::clone(&bench.app).forward(second.clone()).await;
    bench.state(&second).await
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_given_twice_is_a_de_duplication_only_between_orders_sent_together() {
    assert!(matches!(given_an_id_twice(Duration::from_secs(100)).await, State::Closed { binding: None, .. }));
    let held = given_an_id_twice(Duration::from_secs(1200)).await;
    assert!(matches!(held, State::Uncertain { .. }), "placed together, sent apart: {held:?}");
}
