//! What following orders costs in calls: batches, no more than clients' interest asks for, never over a limit.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tollgate::sandbox::{Action, Call, OrderChange, Sandbox};

use crate::harness::{Config, Gateway, eventually, upstream};

/// Between two questions of an impatient client, which would otherwise take all of a small machine for itself.
const PACE: Duration = Duration::from_millis(10);

async fn gateway_with(tables: &str, lines: &str) -> (Sandbox, Gateway) {
    let alpha = upstream(1).await;
    let config = Config::new(tables).provider("alpha", &alpha, lines).service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    (alpha, gateway)
}

/// Places this many orders, several at a time; gives their IDs.
async fn place(gateway: &Gateway, count: usize) -> Vec<u64> {
    let mut calls = JoinSet::new();
    for number in 0..count {
        let caller = gateway.caller();
        calls.spawn(async move {
            let answer = caller.add(1, &format!("https://example.com/{number}"), 100).await.unwrap();
            answer["order"].as_u64().unwrap()
        });
    }
    let mut orders = calls.join_all().await;
    orders.sort_unstable();
    orders
}

/// Forces the same on every order of the upstream.
fn report_all(upstream: &Sandbox, status: &str) {
    for order in upstream.orders() {
        assert!(upstream.set_order(&order.id, OrderChange::status(status)));
    }
}

/// How many IDs each `status` call carried.
fn status_calls(upstream: &Sandbox) -> Vec<usize> {
    upstream.calls().iter().filter(|call| call.action == Action::Status).map(|call| call.ids).collect()
}

async fn until_shown(gateway: &Gateway, count: usize, status: &str) {
    eventually(&format!("{count} orders to be {status}"), || async {
        let orders = gateway.orders();
        (orders.iter().filter(|order| order["status"] == status).count() == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_orders_are_asked_for_in_full_batches() {
    let (alpha, gateway) = gateway_with("[cache]\nstatus_ttl = \"1h\"\n[dispatch]\nwait = \"30s\"", "").await;
    place(&gateway, 150).await;
    report_all(&alpha, "Processing");
    assert_eq!(status_calls(&alpha), [0_usize; 0]);
    gateway.polls_are_due();
    until_shown(&gateway, 150, "Processing").await;
    assert_eq!(status_calls(&alpha), [100, 50]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_without_batches_is_found_out_and_asked_singly() {
    for spec in ["no-batch", "status-list"] {
        let (alpha, gateway) = gateway_with("[cache]\nstatus_ttl = \"1h\"", "").await;
        place(&gateway, 3).await;
        alpha.set_faults(spec.parse().unwrap());
        report_all(&alpha, "Processing");
        gateway.polls_are_due();
        until_shown(&gateway, 3, "Processing").await;
        assert_eq!(status_calls(&alpha), [3, 1, 1, 1], "{spec}");
        report_all(&alpha, "Completed");
        gateway.polls_are_due();
        until_shown(&gateway, 3, "Completed").await;
        assert_eq!(status_calls(&alpha)[4..], [1, 1, 1], "{spec}: no batch is tried again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_missing_in_an_answer_is_no_news() {
    let (alpha, gateway) = gateway_with("[cache]\nstatus_ttl = \"1s\"", "").await;
    let orders = place(&gateway, 2).await;
    alpha.set_faults("missing-ids".parse().unwrap());
    report_all(&alpha, "Canceled");
    gateway.polls_are_due();
    until_shown(&gateway, 1, "Canceled").await;
    let untold = gateway.cli_json(&["orders", "list", "--state", "placed"]);
    let untold = untold[0]["order"].as_u64().unwrap();
    assert!(orders.contains(&untold));
    assert_eq!(gateway.status(untold).await["charge"], "0.108");
    alpha.set_faults("".parse().unwrap());
    gateway.until_status(untold, "Canceled").await;
}

/// Asks for one order all the time over four periods, and checks how many calls that cost.
async fn check_calls_for_impatience(faults: &str) {
    let ttl = Duration::from_secs(1);
    let (alpha, gateway) = gateway_with("[cache]\nstatus_ttl = \"1s\"", "").await;
    let order = place(&gateway, 1).await[0];
    alpha.set_faults(faults.parse().unwrap());
    let begin = Instant::now();
    let mut asked = 0;
    while asked < 200 || begin.elapsed() < ttl * 4 {
        gateway.status(order).await;
        asked += 1;
        tokio::time::sleep(PACE).await;
    }
    let calls = alpha.call_count(Action::Status);
    // The order may be a moment older than the first question, and the last poll a moment younger than its interest.
    let periods = begin.elapsed().as_millis().div_ceil(ttl.as_millis()) + 1;
    assert!(u128::from(calls) <= periods, "{faults:?}: {calls} calls in {periods} periods");
    assert!(calls >= 2, "{faults:?}: {calls} calls in {periods} periods\n{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn impatient_clients_cost_one_call_in_a_period() {
    check_calls_for_impatience("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn impatient_clients_cost_no_more_where_there_is_no_news() {
    for faults in ["missing-ids", "error@status(Maintenance)", "garbage@status"] {
        check_calls_for_impatience(faults).await;
    }
}

/// No window holds more calls than `burst` and what its length allows. Calls that were sent in time may arrive
/// closer together: so much later can the first of a window have come.
fn check_rate(calls: &[Call], per_second: u128, burst: u128) {
    let jitter = 200;
    for (first, begin) in calls.iter().enumerate() {
        for (count, end) in (1_u128..).zip(&calls[first..]) {
            let millis = end.at.duration_since(begin.at).as_millis();
            let allowed = burst * 1000 + per_second * (millis + jitter);
            assert!(count * 1000 <= allowed, "{count} calls in {millis} ms");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_holds_over_all_kinds_of_calls() {
    let tables = "[cache]\nstatus_ttl = \"10ms\"\n[dispatch]\nwait = \"0s\"";
    let (alpha, gateway) = gateway_with(tables, "requests_per_second = 20\nburst = 5").await;
    let first = place(&gateway, 40).await;
    let caller = gateway.caller();
    let ids = first.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let mut asking = JoinSet::new();
    asking.spawn(async move {
        loop {
            caller.call("status", &[("orders", &ids)]).await.unwrap();
            tokio::time::sleep(PACE).await;
        }
    });
    place(&gateway, 40).await;
    for _ in 0..3 {
        assert!(gateway.cli(&["sync"]).status.success());
    }
    eventually("all orders to be placed", || async { (alpha.order_count() == 80).then_some(()) }).await;
    eventually("statuses between them", || async { (alpha.call_count(Action::Status) >= 20).then_some(()) }).await;
    asking.shutdown().await;
    let calls = alpha.calls();
    for action in [Action::Add, Action::Status, Action::Services, Action::Balance] {
        assert!(calls.iter().any(|call| call.action == action), "{action}");
    }
    check_rate(&calls, 20, 5);
}
