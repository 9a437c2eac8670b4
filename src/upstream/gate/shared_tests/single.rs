use super::*;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_there_once_for_all_of_them_and_not_after_a_start() {
    let redis = Redis::start().await;
    let setting = Setting::new("1", 4, 100);
    let members = setting.join_all(Some(&redis), 0..2).await;
    let began = Instant::now();
    assert_eq!(at_once(&members[0], 9).await, 0, "a start gives none");
    drop(members[0].enter(LONG).await.unwrap());
    assert!(began.elapsed() > Duration::from_millis(500));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (one, other) = (at_once(&members[0], 3).await, at_once(&members[1], 9).await);
    assert_eq!((one, other), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_an_emptied_redis_nor_one_that_remembers_old_days_gives_a_second_burst() {
    let mut redis = Redis::start().await;
    let setting = Setting::new("2", 10, 100);
    let members = setting.join_all(Some(&redis), 0..2).await;
    drop(members[0].enter(LONG).await.unwrap());
    tokio::time::sleep(Duration::from_millis(5500)).await;
    // What it holds now is a burst that is not used.
    let _: String = redis.command(&["SAVE"]).await;
    assert!(at_once(&members[0], 99).await >= 10);
    let spent = Instant::now();
    let mut calls = 0;
    let within_rate = |calls: usize| {
        let allowed = spent.elapsed().as_millis() / 500 + 1;
        assert!(calls as u128 <= allowed, "{calls} calls in {:?}", spent.elapsed());
    };
    let _: String = redis.command(&["FLUSHALL"]).await;
    for round in 0..3 {
        // It is restarted with what it saved.
        if round == 1 {
            redis.kill();
            redis.launch().await;
        }
        eventually("calls go on", async || {
            let before = calls;
            for member in &members {
                calls += at_once(member, 99).await;
            }
            within_rate(calls);
            calls > before && members.iter().all(|member| member.limits.basis() == "redis")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_are_under_way_than_allowed_and_an_end_makes_room_elsewhere() {
    let redis = Redis::start().await;
    let members = Setting::new("1000", 100, 3).join_all(Some(&redis), 0..2).await;
    let mut held = Vec::new();
    for member in [&members[0], &members[1], &members[0]] {
        held.push(member.enter(LONG).await.unwrap());
    }
    assert!(members[0].enter(SHORT).await.is_err() && members[1].enter(SHORT).await.is_err());
    held.pop();
    let began = Instant::now();
    held.push(members[1].enter(LONG).await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(held);
    eventually("Redis is told of all ends", async || permits(&redis).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_a_call_is_free_for_others_while_its_gateway_waits_for_its_last_one() {
    let redis = Redis::start().await;
    let members = Setting::new("1000", 100, 2).join_all(Some(&redis), 0..2).await;
    let (last, ends) = (members[0].enter(LONG).await.unwrap(), members[0].enter(LONG).await.unwrap());
    members[0].tasks.stop();
    drop(ends);
    let began = Instant::now();
    let other = members[1].enter(LONG).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(members[1].enter(SHORT).await.is_err(), "the last one is counted");
    drop((last, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_dead_gateway_end_by_themselves() {
    let redis = Redis::start().await;
    let setting = Setting { call_lasts: Duration::from_secs(4), ..Setting::new("1000", 100, 2) };
    let members = setting.join_all(Some(&redis), 0..2).await;
    let began = Instant::now();
    for _ in 0..2 {
        std::mem::forget(members[0].enter(LONG).await.unwrap());
    }
    members[0].kill();
    drop(members[1].enter(LONG).await.unwrap());
    assert!((3900..15_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgot_the_script_is_given_it_again() {
    let redis = Redis::start().await;
    let members = Setting::new("1000", 1000, 10).join_all(Some(&redis), 0..1).await;
    drop(members[0].enter(LONG).await.unwrap());
    for _ in 0..3 {
        let _: String = redis.command(&["SCRIPT", "FLUSH"]).await;
        let began = Instant::now();
        drop(members[0].enter(LONG).await.unwrap());
        assert!(began.elapsed() < SHORT && members[0].limits.basis() == "redis", "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_leaves_each_its_share_until_it_is_back() {
    let redis = Redis::start().await;
    let members = Setting::new("20", 4, 100).join_all(Some(&redis), 0..2).await;
    redis.freeze();
    let frozen = Instant::now();
    for member in &members {
        member.is_by("share").await;
        drop(member.enter(LONG).await.unwrap());
    }
    assert!(frozen.elapsed() < Duration::from_secs(8), "{:?}", frozen.elapsed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(at_once(&members[0], 9).await, 2, "half of the burst");
    let began = Instant::now();
    for _ in 0..10 {
        drop(members[0].enter(LONG).await.unwrap());
    }
    assert!(began.elapsed() > Duration::from_millis(900), "half of the rate: {:?}", began.elapsed());
    redis.thaw();
    for member in &members {
        member.is_by("redis").await;
        drop(member.enter(LONG).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_let_in_when_the_basis_changes() {
    let redis = Redis::start().await;
    let members = Setting::new("20", 4, 1).join_all(Some(&redis), 0..2).await;
    redis.freeze();
    let held = members[0].enter(LONG).await.unwrap();
    assert_eq!((members[0].limits.basis(), members[1].enter(SHORT).await.is_err()), ("share", true));
    redis.thaw();
    let waiting = members[1].enter(LONG);
    tokio::pin!(waiting);
    for member in &members {
        member.is_by("redis").await;
    }
    assert!(tokio::time::timeout(SHORT, &mut waiting).await.is_err(), "what is under way was entered again");
    drop(held);
    drop(waiting.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_redis_only_the_first_get_what_not_all_can_have() {
    let members = Setting::new("1000", 10, 2).join_all(None, 0..3).await;
    let one = members[0].enter(LONG).await.unwrap();
    let other = members[1].enter(LONG).await.unwrap();
    assert!(members[0].enter(SHORT).await.is_err() && members[1].enter(SHORT).await.is_err());
    let refused = members[2].enter(LONG).await.err();
    assert!(matches!(refused, Some(Unavailable::Elsewhere { .. })), "the third waits for none: {refused:?}");
    drop((one, other));
    members[0].kill();
    eventually("one for the third", async || members[2].enter(LONG).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_a_redis_takes_all_off_it() {
    let redis = Redis::start().await;
    let setting = Setting::new("100", 10, 10);
    let members = setting.join_all(Some(&redis), 0..2).await;
    let blind = setting.join(None, 2);
    for member in members.iter().chain([&blind]) {
        member.is_by("share").await;
        drop(member.enter(LONG).await.unwrap());
    }
    drop(blind);
    for member in &members {
        member.is_by("redis").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_place_in_the_store_lets_no_call_out() {
    let redis = Redis::start().await;
    for redis in [Some(&redis), None] {
        let members = Setting::new("1000", 100, 10).join_all(redis, 0..1).await;
        members[0].attend_no_more();
        let began = Instant::now();
        let mut last = began;
        while members[0].enter(SHORT).await.is_ok() {
            last = Instant::now();
        }
        assert!(last - began < PLACE_LASTS + SHORT, "{:?}", last - began);
        let (entered, ()) = tokio::join!(members[0].enter(LONG), async { members[0].attend_on() });
        assert!(entered.is_ok(), "and does so again when it has one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_waiting_has_taken_no_place() {
    let redis = Redis::start().await;
    let members = Setting::new("1000", 1000, 100).join_all(Some(&redis), 0..1).await;
    drop(members[0].enter(LONG).await.unwrap());
    redis.freeze();
    for _ in 0..5 {
        assert!(tokio::time::timeout(Duration::from_millis(30), members[0].enter(LONG)).await.is_err());
    }
    redis.thaw();
    eventually("calls go on", async || members[0].enter(SHORT).await.is_ok()).await;
    eventually("no place is taken", async || permits(&redis).await == 0).await;
    assert_eq!(members[0].limits.basis(), "redis", "it was not away for long");
    assert_eq!(members[0].gate.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limits_start_empty_and_hold_for_all() {
    let redis = Redis::start().await;
    let members = Setting::new("200", 50, 100).join_all(Some(&redis), 0..2).await;
    drop(members[0].enter(LONG).await.unwrap());
    tokio::time::sleep(SHORT).await;
    let more = Limits { requests_per_second: "5".parse().unwrap(), burst: 40, max_in_flight: 3 };
    members[0].gate.set_limits(more);
    members[1].gate.set_limits(more);
    let began = Instant::now();
    let mut held = Vec::new();
    for index in [0, 1, 0] {
        held.push(members[index].enter(LONG).await.unwrap());
    }
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    assert!(members[1].enter(SHORT).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_goes_by_class_whatever_redis_says() {
    let redis = Redis::start().await;
    let members = Setting::new("4", 1, 100).join_all(Some(&redis), 0..1).await;
    let order = Mutex::new(Vec::new());
    let enter = async |priority: Priority| {
        let permit = members[0].gate.enter(Purpose::Call(priority), LONG).await.unwrap();
        order.lock().unwrap().push(priority);
        drop(permit);
    };
    tokio::join!(
        enter(Priority::Sync),
        enter(Priority::BackgroundStatus),
        enter(Priority::Orders),
        enter(Priority::AskedStatus),
    );
    let mut order = order.into_inner().unwrap();
    // The one that came first may have been asking already.
    order.retain(|priority| *priority != Priority::Sync);
    assert_eq!(order, [Priority::Orders, Priority::AskedStatus, Priority::BackgroundStatus]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_stops_nobody_and_frees_nothing() {
    let redis = Redis::start().await;
    let members = Setting::new("10", 5, 2).join_all(Some(&redis), 0..2).await;
    for ahead in [-86_400_000_000_i64, 86_400_000_000] {
        let held = [members[0].enter(LONG).await.unwrap(), members[1].enter(LONG).await.unwrap()];
        // As if Redis's clock had been so far from where it is now.
        let stand_still = "for at = 1, 2 do \
             local value = redis.call('GET', KEYS[at]) \
             local kept, time = string.match(value, '^(.-)(%d+)$') \
             redis.call('SET', KEYS[at], string.format('%s%.0f', kept, tonumber(time) + ARGV[1])) \
             end \
             for _, permit in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do \
             redis.call('ZINCRBY', KEYS[3], ARGV[1], permit) \
             end";
        let mark = key(&redis, "*:limits:v1:era").await;
        let era: String = redis.command(&["GET", &mark]).await;
        let era = era.split(' ').next().unwrap();
        let rate = key(&redis, &format!("*:{era}:rate:alpha")).await;
        let permits = key(&redis, &format!("*:{era}:permits:alpha")).await;
        let ahead = ahead.to_string();
        let _: Option<String> = redis.command(&["EVAL", stand_still, "3", &mark, &rate, &permits, &ahead]).await;
        assert!(members[0].enter(Duration::from_secs(1)).await.is_err(), "{ahead}: two are under way");
        drop(held);
        let began = Instant::now();
        drop(members[0].enter(LONG).await.unwrap());
        assert!(began.elapsed() < Duration::from_secs(10), "{ahead}: {:?}", began.elapsed());
    }
}

async fn key(redis: &Redis, pattern: &str) -> String {
    let keys: Vec<String> = redis.command(&["KEYS", pattern]).await;
    keys.first().unwrap_or_else(|| panic!("no key is like {pattern}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_burst_comes_of_limits_that_not_all_have_yet() {
    let redis = Redis::start().await;
    let members = Setting::new("200", 50, 100).join_all(Some(&redis), 0..2).await;
    drop(members[1].enter(LONG).await.unwrap());
    let more = Limits { requests_per_second: "5".parse().unwrap(), burst: 40, max_in_flight: 100 };
    members[0].gate.set_limits(more);
    assert_eq!(at_once(&members[0], 99).await, 0, "they start empty");
    // This one goes by the old ones, which allow a call sooner.
    let _ = members[1].enter(SHORT).await;
    assert_eq!(at_once(&members[0], 99).await, 0, "and are so still");
}
