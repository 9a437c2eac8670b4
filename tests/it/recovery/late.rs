//! Answers that come after their attempt was given up.

use super::*;
/// An order whose attempt is under way, and is given up meanwhile, as by another instance whose clock says that its
/// lease is over.
async fn given_up_early(alpha: &Sandbox, gateway: &Gateway, fault: Fault) -> u64 {
    alpha.script_next(Action::Add, fault, 1);
    let order = gateway.order(1, LOST, 100).await;
    eventually("the upstream to be asked", || async { (alpha.call_count(Action::Add) == 1).then_some(()) }).await;
    let store = rusqlite::Connection::open(gateway.store_file()).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    store
        .execute_batch(
            "BEGIN IMMEDIATE;
             UPDATE orders SET state = 'uncertain', version = version + 1 WHERE state = 'sending';
             UPDATE attempts SET outcome = 'ambiguous', detail = 'given up', finished_at = started_at + 1,
                 finished_version = started_version + 1 WHERE outcome IS NULL;
             INSERT INTO lost_attempts (order_id, attempt, provider, started_at, ended_at)
                 SELECT order_id, number, provider, started_at, finished_at FROM attempts;
             COMMIT",
        )
        .unwrap();
    assert_eq!(gateway.story(order)["order"]["state"], "uncertain");
    order
}

fn late(seconds: u64) -> Fault {
    Fault::Slow(std::time::Duration::from_secs(seconds))
}

async fn slow_gateway(alpha: &Sandbox) -> Gateway {
    let config =
        Config::new("[dispatch]\nwait = \"0s\"").provider("alpha", alpha, SCAN).service(1, "routes = [\"alpha:1\"]");
    Gateway::start(&config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_settles_its_order() {
    let alpha = upstream(10).await;
    let gateway = slow_gateway(&alpha).await;
    let order = given_up_early(&alpha, &gateway, late(3)).await;
    let story = gateway.until_state(order, "placed").await;
    assert_eq!(story["order"]["upstream_order"], id_of(&alpha, LOST).as_str());
    gateway.until_told(order, "settled by a late answer to attempt 1").await;
    gateway.until_status(order, "Completed").await;
    assert_eq!((accepted(&alpha, LOST), gateway.balance().await.as_str()), (1, "999.892"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_to_a_refunded_order_is_recorded_and_never_charged() {
    let alpha = upstream(1).await;
    let gateway = slow_gateway(&alpha).await;
    let order = given_up_early(&alpha, &gateway, late(4)).await;
    assert!(gateway.cli(&["orders", "resolve", &order.to_string(), "--refund"]).status.success());
    assert_eq!(gateway.balance().await, DEPOSIT);
    let id = id_of(&alpha, LOST);
    let line = gateway.until_told(order, &format!("names upstream order {id}")).await;
    assert!(line.starts_with("alert: ") && line.contains("bought there without being owed"), "{line}");
    let story = gateway.story(order);
    assert_eq!((&story["attempts"][0]["outcome"], &story["attempts"][0]["detail"]), (&json!("accepted"), &json!(id)));
    assert_eq!((&story["order"]["state"], &story["order"]["upstream_order"]), (&json!("closed"), &Value::Null));
    assert_eq!(gateway.balance().await, DEPOSIT, "never charged");

    // And that ID is not taken for another lost order's, though it costs the same.
    alpha.script_next(Action::Add, Fault::CloseBefore, 1);
    let absent = gateway.order(1, "https://example.com/absent", 100).await;
    gateway.until_state(absent, "uncertain").await;
    let after = gateway.order(1, "https://example.com/after", 150).await;
    gateway.until_state(after, "placed").await;
    search_now(&gateway);
    until_put_off(&gateway, absent).await;
    is_untouched(&alpha, &gateway, absent, 3);
}
