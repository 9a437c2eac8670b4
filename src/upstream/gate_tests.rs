use std::sync::Mutex as StdMutex;

use tokio::task::JoinSet;
use tokio::time::{advance, timeout};

use super::*;

const LONG: Duration = Duration::from_secs(10_000);

fn limits(rate: &str, burst: u32, max_in_flight: u32) -> Limits {
    Limits { requests_per_second: rate.parse().unwrap(), burst, max_in_flight }
}

async fn enter(gate: &Arc<Gate>, priority: Priority) -> Result<Permit, Unavailable> {
    gate.enter(Purpose::Call(priority), LONG).await
}

/// Asserts that no window of any length holds more calls than the burst and the rate allow.
fn assert_within_rate(times: &[Instant], start: Instant, burst: u32, period: Duration) {
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            let calls = u32::try_from(last - first + 1).unwrap();
            let window = *to - *from;
            assert!(
                calls <= burst + u32::try_from(window.as_nanos() / period.as_nanos()).unwrap(),
                "{calls} in {window:?}"
            );
        }
        // After creation there is no burst: the n-th call comes after n periods.
        let nth = u32::try_from(first + 1).unwrap();
        assert!(*from - start >= period * nth || nth > burst, "call {nth} after {:?}", *from - start);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_in_every_window_also_after_creation() {
    let gate = Gate::new(limits("4", 3, 100), None);
    let start = Instant::now();
    let period = Duration::from_millis(250);
    let mut times = Vec::new();
    for pause in [0_u64, 0, 0, 0, 0, 5000, 0, 0, 0, 0, 0, 300, 0, 700, 0, 0, 0, 60_000, 0, 0, 0, 0] {
        advance(Duration::from_millis(pause)).await;
        drop(enter(&gate, Priority::Orders).await.unwrap());
        times.push(Instant::now());
    }
    assert_within_rate(&times, start, 3, period);
    let burst = times[17..20].iter().all(|time| *time == times[17]);
    assert!(burst, "after a quiet time the burst is there");
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_over_many_waiting_at_once() {
    let gate = Gate::new(limits("10", 5, 100), None);
    let start = Instant::now();
    let mut waiters = JoinSet::new();
    for n in 0..50 {
        let gate = Arc::clone(&gate);
        let priority = if n % 2 == 0 { Priority::Sync } else { Priority::Orders };
        waiters.spawn(async move {
            let permit = enter(&gate, priority).await.unwrap();
            let at = Instant::now();
            drop(permit);
            at
        });
    }
    let mut times = waiters.join_all().await;
    times.sort();
    assert_within_rate(&times, start, 5, Duration::from_millis(100));
    assert!(*times.last().unwrap() - start <= Duration::from_millis(5010), "and is used in full");
}

/// Spawns a waiter that notes `name` when it is let in, and lets it take its place.
async fn queue_up(
    waiters: &mut JoinSet<()>,
    gate: &Arc<Gate>,
    order: &Arc<StdMutex<Vec<&'static str>>>,
    priority: Priority,
    name: &'static str,
) -> tokio::task::AbortHandle {
    let before = gate.lock().queue.len();
    let (gate_of_waiter, order) = (Arc::clone(gate), Arc::clone(order));
    let handle = waiters.spawn(async move {
        let _permit = enter(&gate_of_waiter, priority).await.unwrap();
        order.lock().unwrap().push(name);
    });
    while gate.lock().queue.len() == before {
        tokio::task::yield_now().await;
    }
    handle
}

#[tokio::test(start_paused = true)]
async fn the_queue_goes_by_class_then_by_arrival_and_forgets_who_left() {
    use Priority::{AskedStatus, BackgroundStatus, CancelsAndRefills, Orders, Sync};
    let gate = Gate::new(limits("1", 1, 8), None);
    let order = Arc::default();
    let mut waiters = JoinSet::new();
    for (priority, name) in [
        (Sync, "sync"),
        (BackgroundStatus, "background"),
        (AskedStatus, "asked 1"),
        (Orders, "order 1"),
        (AskedStatus, "asked 2"),
        (CancelsAndRefills, "cancel"),
    ] {
        queue_up(&mut waiters, &gate, &order, priority, name).await;
    }
    let leaver = queue_up(&mut waiters, &gate, &order, Orders, "left").await;
    queue_up(&mut waiters, &gate, &order, Orders, "order 2").await;
    leaver.abort();
    while let Some(ended) = waiters.join_next().await {
        assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
    }
    let wanted = ["order 1", "order 2", "cancel", "asked 1", "asked 2", "background", "sync"];
    assert_eq!(*order.lock().unwrap(), wanted);
    assert!(gate.lock().queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_in_the_queue_can_leave_without_holding_up_the_rest() {
    let gate = Gate::new(limits("1", 1, 1), None);
    let held = enter(&gate, Priority::Orders).await.unwrap();
    let order = Arc::default();
    let mut waiters = JoinSet::new();
    let first = queue_up(&mut waiters, &gate, &order, Priority::Orders, "first").await;
    queue_up(&mut waiters, &gate, &order, Priority::Orders, "second").await;
    advance(Duration::from_secs(5)).await;
    drop(held);
    let freed = Instant::now();
    first.abort();
    while waiters.join_next().await.is_some() {}
    assert!(freed.elapsed() < Duration::from_secs(5), "is let in when there is room, not when its time is up");
    assert!(order.lock().unwrap().contains(&"second"));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_under_way_than_allowed() {
    let gate = Gate::new(limits("1000", 100, 2), None);
    let first = enter(&gate, Priority::Orders).await.unwrap();
    let second = enter(&gate, Priority::Orders).await.unwrap();
    assert_eq!(gate.in_flight(), 2);
    let third = enter(&gate, Priority::Orders);
    tokio::pin!(third);
    assert!(timeout(Duration::from_secs(60), &mut third).await.is_err());
    drop(first);
    let third = timeout(Duration::from_secs(1), third).await.unwrap().unwrap();
    assert_eq!(gate.in_flight(), 2);
    drop((second, third));
    assert_eq!(gate.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_be_served_in_time_is_told_so_at_once() {
    let gate = Gate::new(limits("0.01", 1, 1), None);
    let start = Instant::now();
    let patience = Duration::from_secs(10);
    let refused = gate.enter(Purpose::Call(Priority::Orders), patience).await.err().unwrap();
    assert_eq!(refused, Unavailable::Deadline { until: start + Duration::from_secs(100) });
    assert_eq!(Instant::now(), start, "without waiting");
    let held = enter(&gate, Priority::Orders).await.unwrap();
    let before = Instant::now();
    let refused = gate.enter(Purpose::Call(Priority::Orders), patience).await.err().unwrap();
    assert!(matches!(refused, Unavailable::Deadline { .. }));
    assert!(
        Instant::now() - before >= patience && Instant::now() - before < patience * 2,
        "waits for the call in flight"
    );
    assert!(gate.lock().queue.is_empty());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_out_while_the_upstream_wants_to_be_left_alone() {
    let gate = Gate::new(limits("1000", 100, 100), None);
    let busy = enter(&gate, Priority::Orders).await.unwrap();
    let wait = Duration::from_secs(30);
    busy.settle(Finding::TooMany(wait, "busy".into()), 0);
    let until = Instant::now() + wait;
    let short = gate.enter(Purpose::Call(Priority::Orders), Duration::from_secs(5)).await;
    assert_eq!(short.err(), Some(Unavailable::Paused { until }));
    drop(enter(&gate, Priority::Orders).await.unwrap());
    assert!(Instant::now() >= until && Instant::now() < until + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_pause_found_meanwhile_holds_for_those_who_wait_already() {
    let gate = Gate::new(limits("1", 1, 2), None);
    let call = enter(&gate, Priority::Orders).await.unwrap();
    let waiting = enter(&gate, Priority::Orders);
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err());
    call.settle(Finding::TooMany(Duration::from_secs(60), "busy".into()), 0);
    let until = Instant::now() + Duration::from_secs(60);
    drop(waiting.await.unwrap());
    assert!(Instant::now() >= until);
}

/// Three tasks that stand in the gate's queue.
async fn three_who_wait(gate: &Arc<Gate>) -> JoinSet<Result<(), Unavailable>> {
    let mut waiters = JoinSet::new();
    for waiting in 1..=3 {
        let gate_of_waiter = Arc::clone(gate);
        waiters.spawn(async move { enter(&gate_of_waiter, Priority::Sync).await.map(drop) });
        while gate.lock().queue.len() < waiting {
            tokio::task::yield_now().await;
        }
    }
    waiters
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_sends_everybody_away() {
    let gate = Gate::new(limits("1", 1, 2), None);
    let call = enter(&gate, Priority::Orders).await.unwrap();
    let mut waiters = three_who_wait(&gate).await;
    let rejected_at = Instant::now();
    call.settle(Finding::KeyRejected("Invalid API key".into()), 0);
    while let Some(refused) = waiters.join_next().await {
        assert!(matches!(refused.unwrap(), Err(Unavailable::KeyRejected { .. })));
    }
    assert!(rejected_at.elapsed() < Duration::from_millis(10), "at once");
    assert!(matches!(enter(&gate, Priority::Orders).await, Err(Unavailable::KeyRejected { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_makes_room_for_another() {
    let gate = Gate::new(limits("1000", 100, 100), None);
    for _ in 0..5 {
        enter(&gate, Priority::Orders).await.unwrap().settle(Finding::Failed("refused".into()), 0);
    }
    assert!(matches!(enter(&gate, Priority::Sync).await, Err(Unavailable::Unreachable { .. })));
    advance(Duration::from_secs(1)).await;
    let probe = enter(&gate, Priority::Sync).await.unwrap();
    assert!(matches!(enter(&gate, Priority::Sync).await, Err(Unavailable::Unreachable { .. })));
    drop(probe);
    enter(&gate, Priority::Sync).await.unwrap().settle(Finding::Reached, 0);
    drop(enter(&gate, Priority::Orders).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn changed_limits_hold_at_once_and_give_no_second_burst() {
    let gate = Gate::new(limits("10", 20, 2), None);
    advance(Duration::from_secs(60)).await;
    let held = enter(&gate, Priority::Orders).await.unwrap();
    for _ in 1..20 {
        drop(enter(&gate, Priority::Orders).await.unwrap());
    }
    let changed_at = Instant::now();
    gate.set_limits(limits("4", 3, 1));
    let waiting = enter(&gate, Priority::Orders);
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_secs(60), &mut waiting).await.is_err(), "what is under way counts");
    drop(held);
    drop(waiting.await.unwrap());

    gate.set_limits(limits("4", 4, 1));
    let changed_again_at = Instant::now();
    drop(enter(&gate, Priority::Orders).await.unwrap());
    assert_eq!(changed_again_at.elapsed(), Duration::from_millis(250), "it starts empty");
    gate.set_limits(limits("4", 4, 1));
    assert!(changed_at.elapsed() > Duration::from_secs(60));
    advance(Duration::from_secs(1)).await;
    let before = Instant::now();
    gate.set_limits(limits("4", 4, 1));
    drop(enter(&gate, Priority::Orders).await.unwrap());
    assert_eq!(before.elapsed(), Duration::ZERO, "the same limits change nothing");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slow_rate_goes_by_the_new_one() {
    let gate = Gate::new(limits("0.01", 1, 1), None);
    let start = Instant::now();
    let changed = async {
        while gate.lock().queue.is_empty() {
            tokio::task::yield_now().await;
        }
        gate.set_limits(limits("10", 1, 1));
    };
    let (permit, ()) = tokio::join!(enter(&gate, Priority::Orders), changed);
    drop(permit.unwrap());
    assert_eq!(start.elapsed(), Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_sends_everybody_away_until_it_is_opened() {
    let gate = Gate::new(limits("1", 1, 2), None);
    let mut waiters = three_who_wait(&gate).await;
    let closed_at = Instant::now();
    gate.set_open(false);
    while let Some(refused) = waiters.join_next().await {
        assert!(matches!(refused.unwrap(), Err(Unavailable::Off { .. })));
    }
    assert!(closed_at.elapsed() < Duration::from_millis(10), "at once");
    assert!(matches!(enter(&gate, Priority::Orders).await, Err(Unavailable::Off { .. })));
    gate.set_open(true);
    drop(enter(&gate, Priority::Orders).await.unwrap());
}
