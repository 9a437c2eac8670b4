//! By its upstream's list of orders.

use super::*;
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_orders_settles_a_lost_one() {
    let alpha = upstream(10).await;
    alpha.set_lists_orders(true);
    let gateway = gateway_on(&alpha, LIST).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    let story = gateway.until_state(lost, "placed").await;
    let id = id_of(&alpha, LOST);
    assert_eq!(story["order"]["upstream_order"], id.as_str());
    let line = gateway.until_told(lost, "settled by the list of orders at alpha").await;
    assert!(line.contains(&id), "{line}");
    gateway.until_status(lost, "Completed").await;
    assert_eq!((accepted(&alpha, LOST), gateway.balance().await.as_str()), (1, "999.892"));
    let asked = alpha.call_count(Action::Orders);
    neighbour(&gateway, "next").await;
    assert_eq!((asked, alpha.call_count(Action::Orders)), (1, 1), "asked only while something is uncertain");
}

/// The gateway's own was never placed; somebody else ordered the same right then.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_shared_account_a_list_is_a_hint() {
    let alpha = upstream(1).await;
    alpha.set_lists_orders(true);
    let gateway = gateway_on(&alpha, "lists_orders = true").await;
    place_by_hand(&alpha, &gateway, 1, LOST, 100).await;
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let lost = gateway.order(1, LOST, 100).await;
    gateway.until_state(lost, "uncertain").await;
    let line = until_hint(&gateway, lost, "in the list").await;
    assert!(line.contains(&id_of(&alpha, LOST)), "{line}");
    is_untouched(&alpha, &gateway, lost, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_the_same_in_a_list_none_is_taken() {
    let alpha = upstream(1).await;
    alpha.set_lists_orders(true);
    let gateway = gateway_on(&alpha, LIST).await;
    let by_hand = |alpha, gateway| place_by_hand(alpha, gateway, 1, LOST, 100);
    by_hand(&alpha, &gateway).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    until_hint(&gateway, lost, "several could be it").await;
    is_untouched(&alpha, &gateway, lost, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lost_orders_for_the_same_are_not_told_apart() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, LIST).await;
    let first = lose(&alpha, &gateway, LOST).await;
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let second = gateway.order(1, LOST, 100).await;
    gateway.until_state(second, "uncertain").await;
    for order in [first, second] {
        until_tried(&gateway, order, 1).await;
    }
    alpha.set_lists_orders(true);
    search_now(&gateway);
    for order in [first, second] {
        until_hint(&gateway, order, "another in doubt").await;
        is_untouched(&alpha, &gateway, order, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_being_sent_is_not_taken_for_a_lost_one() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, LIST).await;
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let lost = gateway.order(1, LOST, 100).await;
    gateway.until_state(lost, "uncertain").await;
    until_tried(&gateway, lost, 1).await;
    // The same again: it is there, and its answer is on its way.
    alpha.script_next(Action::Add, Fault::Slow(std::time::Duration::from_secs(4)), 1);
    let caller = gateway.caller();
    let mut adding = JoinSet::new();
    adding.spawn(async move { caller.add(1, LOST, 100).await.unwrap() });
    eventually("the second to be there", || async { (accepted(&alpha, LOST) == 1).then_some(()) }).await;
    alpha.set_lists_orders(true);
    let tried = search(&gateway, lost).0;
    search_now(&gateway);
    until_tried(&gateway, lost, tried + 1).await;
    let second = adding.join_next().await.unwrap().unwrap()["order"].as_u64().unwrap();
    let story = gateway.until_state(second, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
    is_untouched(&alpha, &gateway, lost, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panel_without_a_list_settles_nothing() {
    let alpha = upstream(1).await;
    let gateway = gateway_on(&alpha, LIST).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    until_tried(&gateway, lost, 1).await;
    search_now(&gateway);
    until_tried(&gateway, lost, 2).await;
    let (tries, _, calls) = search(&gateway, lost);
    assert!(calls <= tries + 1 && alpha.call_count(Action::Orders) <= u64::from(tries) + 1, "one call for each try");
    assert!(gateway.log().contains("alpha gives no list of our orders"), "{}", gateway.log());
    is_untouched(&alpha, &gateway, lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_cancel_goes_on_once_the_order_is_found() {
    let alpha = upstream(1).await;
    let services = tollgate::sandbox::default_services();
    let cancelable = services.iter().find(|service| service.cancel && service.id < 6).unwrap().id;
    let config =
        Config::new("").provider("alpha", &alpha, LIST).service(1, &format!("routes = [\"alpha:{cancelable}\"]"));
    let gateway = Gateway::start(&config).await;
    let lost = lose(&alpha, &gateway, LOST).await;
    let answer = gateway.call("cancel", &[("orders", &lost.to_string())]).await;
    assert_eq!(answer[0]["cancel"], 1, "{answer}");
    assert_eq!(gateway.story(lost)["order"]["state"], "uncertain");
    until_tried(&gateway, lost, 1).await;
    alpha.set_lists_orders(true);
    search_now(&gateway);
    eventually("the upstream to be told", || async { (alpha.call_count(Action::Cancel) > 0).then_some(()) }).await;
    gateway.until_told(lost, "its upstream took the cancel").await;
    let ended = eventually("its end", || async {
        gateway.polls_are_due();
        let status = gateway.status(lost).await["status"].as_str().unwrap().to_owned();
        ["Partial", "Canceled"].contains(&status.as_str()).then_some(status)
    })
    .await;
    assert_eq!(alpha.orders()[0].status, ended, "what its upstream made of it");
    assert_eq!((accepted(&alpha, LOST), alpha.call_count(Action::Cancel)), (1, 1));
}
