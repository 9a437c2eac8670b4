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

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_one_pace_over_all_gateways() {
    let redis = Redis::start().await;
    let members = Setting::new("1", 1, 1).join_all(Some(&redis), 0..3).await;
    assert!(members[0].limits.admits(CLIENT, 100).await, "one that has not called for long has a second's worth");
    let (began, before) = (Instant::now(), scripts_run(&redis).await);
    let count = let_in(&members, 100, Duration::from_secs(2)).await;
    let most = 100 + u32::try_from(began.elapsed().as_millis() / 10).unwrap() + 30;
    assert!((200..=most).contains(&count), "{count} in {:?}", began.elapsed());
    let asked = scripts_run(&redis).await - before;
    assert!(asked < 100, "Redis was asked {asked} times for {count} calls");
    let other = members[0].limits.admits(ClientId(8), 1).await;
    assert!(other && !members[1].limits.admits(ClientId(8), 1).await, "each for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_no_redis_and_has_the_shares_then() {
    let redis = Redis::start().await;
    let setting = Setting { timeout: Duration::from_millis(100), ..Setting::new("1", 1, 1) };
    let members = setting.join_all(Some(&redis), 0..2).await;
    redis.signal("-STOP").await;
    for _ in 0..20 {
        let began = Instant::now();
        members[0].limits.admits(CLIENT, 50).await;
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    }
    members[0].is_by("share").await;
    members[1].is_by("share").await;
    let began = Instant::now();
    let count = let_in(&members, 50, Duration::from_secs(2)).await;
    let most = 50 + u32::try_from(began.elapsed().as_millis() / 20).unwrap() + 2;
    assert!((75..=most).contains(&count), "{count} in {:?}", began.elapsed());
    let began = Instant::now();
    for _ in 0..1000 {
        members[0].limits.admits(CLIENT, 50).await;
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody asks it: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_alone_asks_nobody() {
    let redis = Redis::start().await;
    let members = Setting::new("1", 1, 1).join_all(Some(&redis), 0..1).await;
    let before = scripts_run(&redis).await;
    let admitted = let_in(&members, 10, Duration::from_millis(100)).await;
    assert!((10..=12).contains(&admitted), "{admitted}");
    assert_eq!(scripts_run(&redis).await, before);
}
