//! A cancel that an upstream does not answer is told again by one of them, and no sooner because they are many. One that came
//! in where nobody may call that upstream is told by another at once.

use tollgate::sandbox::{Action, Fault};

use super::*;
use crate::harness::database;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_without_an_answer_waits_at_all_of_them() {
    let alpha = upstream(1).await;
    let (first, second) = pair(&config_with(&alpha, 20, "")).await;
    let order = first.order(1, LINK, 100).await;
    first.until_state(order, "placed").await;
    alpha.script_next(Action::Cancel, Fault::BadGateway, 100);
    assert_eq!(second.call("cancel", &[("orders", &order.to_string())]).await[0]["cancel"], 1);
    let url = first.database().unwrap();
    for tries in 1..=5 {
        let (pause, sql) =
            (5 << (tries - 1), "SELECT cancel_tries || ' ' || (cancel_due - clock_ms()) / 1000 FROM orders");
        let waits = eventually("it is put off", || async {
            let row = database::query(url, sql).remove(0).unwrap();
            let (told, waits) = row.split_once(' ').unwrap();
            (told == tries.to_string()).then(|| waits.parse::<u64>().unwrap())
        })
        .await;
        // By a gateway's reckoning of the database's clock, which is right within what the asking took.
        assert!(waits <= pause && waits + 4 >= pause, "{waits} s after try {tries}");
        assert_eq!(alpha.call_count(Action::Cancel), tries, "by one of them");
        database::execute(url, "UPDATE orders SET cancel_due = 0");
    }
    eventually("it is told again", || async { (alpha.call_count(Action::Cancel) >= 6).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_at_a_gateway_without_a_part_of_the_limits_is_done_by_the_other() {
    let alpha = upstream(1).await;
    let (first, second) = pair(&config_with(&alpha, 20, "max_in_flight = 1")).await;
    // Each has heard of the other, and knows by then which of them has the only call.
    for gateway in [&first, &second] {
        eventually("limits to be held by shares", || async {
            let metrics = gateway.http().get(format!("{}/metrics", gateway.ops)).send().await.unwrap().text().await;
            metrics.unwrap().contains("tollgate_limits_by{basis=\"share\"} 1").then_some(())
        })
        .await;
    }
    let order = second.order(1, LINK, 100).await;
    let story = second.until_state(order, "placed").await;
    assert_eq!(story["attempts"].as_array().unwrap().len(), 1, "{story}");
    let since = Instant::now();
    assert_eq!(second.call("cancel", &[("orders", &order.to_string())]).await[0]["cancel"], 1);
    eventually("it is told", || async { (alpha.call_count(Action::Cancel) >= 1).then_some(()) }).await;
    assert!(
        since.elapsed() < Duration::from_secs(20),
        "by the first one, which need not wait for the second's claim to end"
    );
}
