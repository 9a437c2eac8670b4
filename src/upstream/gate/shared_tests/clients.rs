use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::domain::ids::ClientId;

const CLIENT: ClientId = ClientId(7);

/// How many calls are let in over all of these, asked in turn for so long.
async fn let_in(members: &[Member], rps: u32, lasts: Duration) -> u32 {
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < lasts {
        for member in members {
            count += u32::from(member.limits.admits(CLIENT, rps).await);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    count
}

async fn scripts_run(redis: &Redis) -> u64 {
    let statistics: String = redis.command(&["INFO", "commandstats"]).await;
    let calls = statistics.split("cmdstat_evalsha:calls=").nth(1).map_or("0", |rest| rest.split(',').next().unwrap());
    calls.parse().unwrap()
}

/// A client that calls as often as it can, everywhere.
struct Greedy {
    rps: u32,
    /// When it asked and when it was let in.
    let_in: Mutex<Vec<(Instant, Instant)>>,
}

impl Greedy {
    fn count(&self) -> usize {
        self.let_in.lock().unwrap().len()
    }

    async fn call(&self, limits: &SharedLimits) {
        let asked = Instant::now();
        if limits.admits(ClientId(i64::from(self.rps)), self.rps).await {
            self.let_in.lock().unwrap().push((asked, Instant::now()));
        }
    }

    /// In no time more than a second's worth and what that time allows.
    fn assert_within_pace(&self) {
        let mut calls = self.let_in.lock().unwrap().clone();
        calls.sort();
        for (first, (asked, _)) in calls.iter().enumerate() {
            let mut ends: Vec<Instant> = calls[first..].iter().map(|(_, let_in)| *let_in).collect();
            ends.sort();
            for (count, end) in (1_u32..).zip(ends) {
                // Redis goes by another clock.
                let window = end - *asked + Duration::from_millis(5);
                let allowed = f64::from(self.rps).mul_add(window.as_secs_f64(), f64::from(self.rps));
                assert!(f64::from(count) <= allowed, "{} a second: {count} in {window:?}", self.rps);
            }
        }
    }
}

/// All of them call at this gateway.
fn crowd(greedy: &Arc<Vec<Greedy>>, member: &Member, stopped: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (greedy, limits, stopped) = (Arc::clone(greedy), member.limits.clone(), Arc::clone(stopped));
    member.tasks.spawn(async move {
        while !stopped.load(Ordering::SeqCst) {
            for client in greedy.iter() {
                client.call(&limits).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

/// Waits for some more calls of each, and so for a while by what holds now.
async fn more(greedy: &[Greedy], during: &str) {
    let before: Vec<usize> = greedy.iter().map(Greedy::count).collect();
    for (client, before) in greedy.iter().zip(before) {
        let count = usize::try_from(client.rps).unwrap().clamp(2, 20);
        eventually(during, async || client.count() >= before + count).await;
    }
}

async fn all_by(members: &[Member], basis: &str) {
    for member in members {
        member.is_by(basis).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_befalls_redis_or_the_gateways_lets_a_client_in_more_often_than_one_alone_would() {
    let mut redis = Redis::start().await;
    let setting = Setting::new("1", 1, 1);
    let greedy = [1, 2, 4, 40].map(|rps| Greedy { rps, let_in: Mutex::default() });
    let (greedy, stopped) = (Arc::new(Vec::from(greedy)), Arc::new(AtomicBool::new(false)));
    let (mut members, mut crowds) = (Vec::new(), Vec::new());
    for number in 0..3 {
        members.push(setting.join(Some(&redis), number));
        crowds.push(crowd(&greedy, &members[members.len() - 1], &stopped));
        if number != 1 {
            more(&greedy, "calls when one has come").await;
        }
    }
    redis.kill();
    all_by(&members, "share").await;
    more(&greedy, "calls by shares").await;
    members[0].kill();
    more(&greedy, "calls by the shares of those that are left").await;
    redis.launch().await;
    all_by(&members[1..], "redis").await;
    more(&greedy, "calls when Redis is back").await;
    let _: String = redis.command(&["FLUSHALL"]).await;
    more(&greedy, "calls after a flush").await;
    all_by(&members[1..], "redis").await;
    // They lose their store and go by what Redis knows.
    members[1..].iter().for_each(Member::lose_store);
    all_by(&members[1..], "nothing").await;
    more(&greedy, "calls without a store").await;
    stopped.store(true, Ordering::SeqCst);
    for crowd in crowds {
        crowd.await.unwrap();
    }
    greedy.iter().for_each(Greedy::assert_within_pace);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_to_its_pace_is_let_in_wherever_it_calls() {
    let redis = Redis::start().await;
    let members = Setting::new("1", 1, 1).join_all(Some(&redis), 0..3).await;
    // What it did before this start is not known.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for number in 0..40 {
        assert!(members[number % 3].limits.admits(ClientId(40), 40).await, "call {number} of a second's worth at once");
    }
    for number in 0..8 {
        let began = Instant::now();
        assert!(members[number % 3].limits.admits(ClientId(5), 5).await, "call {number} at an even pace");
        assert!(number > 0 || members[1].limits.admits(ClientId(1), 1).await, "the first of another");
        sleep_until(began + Duration::from_millis(205)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_one_pace_over_all_gateways() {
    let redis = Redis::start().await;
    let members = Setting::new("1", 1, 1).join_all(Some(&redis), 0..3).await;
    let (began, before) = (Instant::now(), scripts_run(&redis).await);
    let count = let_in(&members, 100, Duration::from_secs(2)).await;
    let most = 100 + u32::try_from(began.elapsed().as_millis() / 10).unwrap() + 1;
    assert!((150..=most).contains(&count), "{count} in {:?}", began.elapsed());
    let asked = scripts_run(&redis).await - before;
    assert!(asked < u64::from(count) * 4 + 50, "Redis was asked {asked} times for {count} calls");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = members[0].limits.admits(ClientId(8), 1).await;
    assert!(other && !members[1].limits.admits(ClientId(8), 1).await, "each for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_no_redis_and_has_the_shares_then() {
    let redis = Redis::start().await;
    let setting = Setting { timeout: Duration::from_millis(100), ..Setting::new("1", 1, 1) };
    let members = setting.join_all(Some(&redis), 0..2).await;
    redis.freeze();
    for _ in 0..20 {
        let began = Instant::now();
        members[0].limits.admits(CLIENT, 50).await;
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    }
    all_by(&members, "share").await;
    let began = Instant::now();
    let count = let_in(&members, 50, Duration::from_secs(2)).await;
    let most = 50 + u32::try_from(began.elapsed().as_millis() / 20).unwrap() + 1;
    assert!((75..=most).contains(&count), "{count} in {:?}", began.elapsed());
    let began = Instant::now();
    for _ in 0..1000 {
        members[0].limits.admits(CLIENT, 50).await;
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody asks it: {:?}", began.elapsed());
}
