//! What both caches promise, and what the shared one does while its Redis misbehaves. A real redis-server is
//! started on a free port.

mod several;

use tokio::time::Instant;

use super::*;
use crate::redis_link::test_server::{Redis, eventually};

const OWNER: ClientId = ClientId(7);

fn id(number: i64) -> OrderId {
    OrderId::new(number).unwrap()
}

fn cached(version: u64) -> Cached {
    Cached {
        owner: OWNER,
        body: format!("{{\"version\":{version}}}").as_str().into(),
        version,
        polled_at: Some(Timestamp::from_millis(1_700_000_000_123)),
    }
}

async fn put(cache: &Cache, entries: Vec<(OrderId, Cached)>) {
    cache.put(cache.sight(), entries).await;
}

async fn version(cache: &Cache, number: i64) -> Option<u64> {
    let [found] = cache.get_many(OWNER, &[id(number)]).await.try_into().unwrap();
    found.map(|cached| cached.version)
}

/// A redis-server with a password that must not show.
async fn start_redis() -> Redis {
    let mut redis = Redis::prepare(&["--requirepass", "pass-w0rd"]);
    redis.launch().await;
    redis
}

fn url_of(redis: &Redis) -> String {
    format!("{}/3", redis.url().replace("redis://", "redis://:pass-w0rd@"))
}

/// The time-out is generous, so that a busy machine is not taken for a Redis that is away.
fn cache_at(redis: &Redis) -> Cache {
    cache_of(redis, "store", Duration::from_millis(1000))
}

fn cache_of(redis: &Redis, store: &str, timeout: Duration) -> Cache {
    Cache::shared(&url_of(redis), store, &SharedOptions { timeout }).unwrap()
}

/// What holds for both.
async fn keeps_its_promises(cache: &Cache) {
    assert_eq!(cache.get_many(OWNER, &[]).await, []);
    let never_polled = Cached { polled_at: None, body: "\u{0}\r\n{}".into(), ..cached(1) };
    put(cache, vec![]).await;
    put(cache, vec![(id(1), cached(5)), (id(2), never_polled.clone())]).await;
    let found = cache.get_many(OWNER, &[id(2), id(9), id(1), id(1)]).await;
    assert_eq!(found, [Some(never_polled), None, Some(cached(5)), Some(cached(5))]);

    assert_eq!(cache.get_many(ClientId(8), &[id(1), id(2)]).await, [None, None], "another client's");

    put(cache, vec![(id(1), cached(4))]).await;
    assert_eq!(version(cache, 1).await, Some(5), "never an older one");
    put(cache, vec![(id(1), cached(300))]).await;
    assert_eq!(version(cache, 1).await, Some(300), "versions are numbers");
    let polled_again = Cached { polled_at: Some(Timestamp::from_millis(1_800_000_000_000)), ..cached(300) };
    put(cache, vec![(id(1), polled_again.clone())]).await;
    assert_eq!(cache.get_many(OWNER, &[id(1)]).await, [Some(polled_again)], "the same one anew");

    cache.changed(vec![(id(1), cached(301)), (id(3), cached(2))]).await;
    put(cache, vec![(id(1), cached(300)), (id(3), cached(1))]).await;
    assert_eq!(version(cache, 1).await, Some(301), "who read it before the change comes too late");
    assert_eq!(version(cache, 3).await, Some(2), "also where nothing was held");
}

#[tokio::test]
async fn the_local_one_keeps_its_promises() {
    keeps_its_promises(&Cache::local(1 << 20)).await;
}

#[tokio::test]
async fn the_shared_one_keeps_its_promises() {
    let redis = start_redis().await;
    keeps_its_promises(&cache_at(&redis)).await;
}

#[tokio::test]
async fn the_local_one_is_bounded() {
    let local = local::Local::new(100_000, KEPT_FOR);
    for number in 1..2000 {
        local.put(vec![(id(number), Cached { body: vec![b'x'; 1000][..].into(), ..cached(1) })]);
    }
    assert!(local.weight() <= 100_000);
    let held = (1..2000).filter(|number| local.get_many(&[id(*number)])[0].is_some()).count();
    assert!((50..=100).contains(&held), "{held} are held");
}

#[tokio::test]
async fn what_is_put_again_stays_longer() {
    let local = local::Local::new(10 * 256, KEPT_FOR);
    for number in 1..=10 {
        local.put(vec![(id(number), cached(1))]);
    }
    local.put(vec![(id(1), cached(2)), (id(3), cached(2))]);
    for number in 11..=18 {
        local.put(vec![(id(number), cached(1))]);
    }
    let held: Vec<i64> = (1..=18).filter(|number| local.get_many(&[id(*number)])[0].is_some()).collect();
    assert_eq!(held.len(), 10);
    assert!(held.contains(&1) && held.contains(&3), "{held:?}");
    for number in &held {
        let version = if [1, 3].contains(number) { 2 } else { 1 };
        assert_eq!(local.get_many(&[id(*number)])[0].as_ref().unwrap().version, version, "of {number}");
    }
}

#[tokio::test]
async fn only_all_that_is_ones_own_is_shown() {
    let cache = Cache::local(1 << 20);
    put(&cache, vec![(id(1), cached(5)), (id(2), Cached { owner: ClientId(8), ..cached(6) }), (id(3), cached(7))])
        .await;
    let mut versions = Vec::new();
    assert!(cache.show_at_hand(OWNER, &[id(3), id(1)], |cached| versions.push(cached.version)));
    assert_eq!(versions, [7, 5]);
    assert!(!cache.show_at_hand(OWNER, &[id(1), id(2)], |cached| assert_eq!(cached.owner, OWNER)));
    assert!(!cache.show_at_hand(OWNER, &[id(9)], |_| unreachable!()));
}

#[tokio::test]
async fn each_start_and_each_store_begins_with_nothing() {
    let redis = start_redis().await;
    let cache = cache_at(&redis);
    put(&cache, vec![(id(1), cached(5))]).await;
    assert_eq!(version(&cache, 1).await, Some(5));
    assert_eq!(version(&cache_at(&redis), 1).await, None, "from before this start");
    assert_eq!(version(&cache_of(&redis, "another store", Duration::from_secs(1)), 1).await, None);
}

#[tokio::test]
async fn a_redis_that_comes_back_with_old_news_is_not_believed() {
    let mut redis = start_redis().await;
    let cache = cache_at(&redis);
    put(&cache, vec![(id(1), cached(1)), (id(2), cached(1))]).await;
    let _: String = command(&redis, &["SAVE"]).await;
    cache.changed(vec![(id(1), cached(2))]).await;
    assert_eq!(version(&cache, 1).await, Some(2));
    redis.kill();
    redis.launch().await;
    assert_eq!(command::<i64>(&redis, &["DBSIZE"]).await, 2, "its old copy is there");
    eventually("it is in use again", async || {
        assert_eq!(version(&cache, 1).await, None, "what it was told last is lost");
        put(&cache, vec![(id(2), cached(1))]).await;
        version(&cache, 2).await == Some(1)
    })
    .await;
    assert_eq!(version(&cache, 1).await, None);
}

#[tokio::test]
async fn a_redis_that_ends_and_returns() {
    let mut redis = start_redis().await;
    let cache = cache_at(&redis);
    put(&cache, vec![(id(1), cached(1))]).await;
    assert_eq!(version(&cache, 1).await, Some(1));
    redis.kill();
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(version(&cache, 1).await, None);
        put(&cache, vec![(id(1), cached(2))]).await;
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?} for 400 calls", began.elapsed());
    redis.launch().await;
    eventually("it is in use again", async || {
        put(&cache, vec![(id(1), cached(3))]).await;
        version(&cache, 1).await == Some(3)
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_comes_late() {
    let mut redis = start_redis().await;
    redis.kill();
    let began = Instant::now();
    let cache = cache_at(&redis);
    assert_eq!(version(&cache, 1).await, None);
    assert!(began.elapsed() < Duration::from_secs(2));
    redis.launch().await;
    eventually("it is in use", async || {
        put(&cache, vec![(id(1), cached(1))]).await;
        version(&cache, 1).await == Some(1)
    })
    .await;
}

#[tokio::test]
async fn a_frozen_redis_is_hardly_noticed() {
    let redis = start_redis().await;
    let timeout = Duration::from_millis(250);
    let cache = cache_of(&redis, "store", timeout);
    eventually("it is in use", async || {
        put(&cache, vec![(id(1), cached(1))]).await;
        version(&cache, 1).await == Some(1)
    })
    .await;
    redis.freeze();
    let began = Instant::now();
    for _ in 0..1000 {
        assert_eq!(version(&cache, 1).await, None);
    }
    // One time-out, and perhaps a probe: a thousand would be minutes.
    assert!(began.elapsed() < timeout * 6, "{:?} for 1000 questions", began.elapsed());
    redis.thaw();
    eventually("it is in use again", async || version(&cache, 1).await == Some(1)).await;
}

#[tokio::test]
async fn a_change_that_redis_missed_is_made_up_for() {
    let redis = start_redis().await;
    let cache = cache_of(&redis, "store", Duration::from_millis(250));
    eventually("all is held", async || {
        put(&cache, (1..3000).map(|number| (id(number), cached(1))).collect()).await;
        version(&cache, 2999).await == Some(1)
    })
    .await;
    redis.freeze();
    cache.changed((1..2999).map(|number| (id(number), cached(2))).collect()).await;
    assert_eq!(version(&cache, 1).await, None);
    redis.thaw();
    eventually("it is in use again", async || version(&cache, 2999).await == Some(1)).await;
    let all: Vec<_> = (1..2999).map(id).collect();
    assert!(cache.get_many(OWNER, &all).await.iter().all(Option::is_none), "what is old stays forgotten");
}

/// Sends Redis a command past the cache.
async fn command<T: redis::FromRedisValue>(redis: &Redis, words: &[&str]) -> T {
    let mut connection = redis::Client::open(url_of(redis)).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn what_others_left_in_redis_is_a_miss_and_makes_room() {
    let redis = start_redis().await;
    let cache = cache_at(&redis);
    let held = cached(1);
    put(&cache, (1..6).map(|number| (id(number), held.clone())).collect()).await;
    let keys: Vec<String> = command(&redis, &["KEYS", "tollgate:store:*:status:*"]).await;
    let key = |number: i64| keys.iter().find(|key| key.ends_with(&format!(":{number}"))).unwrap().clone();
    let _: i64 = command(&redis, &["DEL", &key(1), &key(2), &key(3)]).await;
    let _: i64 = command(&redis, &["LPUSH", &key(1), "a list"]).await;
    let _: i64 = command(&redis, &["HSET", &key(2), "a", "hash"]).await;
    let _: String = command(&redis, &["SET", &key(3), "short"]).await;
    let _: String = command(&redis, &["SET", &key(4), &"~".repeat(60)]).await;
    let all: Vec<_> = (1..6).map(id).collect();
    let found = cache.get_many(OWNER, &all).await;
    assert_eq!(found, [None, None, None, None, Some(held.clone())]);
    put(&cache, (1..6).map(|number| (id(number), held.clone())).collect()).await;
    assert!(cache.get_many(OWNER, &all).await.iter().all(|found| found.as_ref() == Some(&held)));
}

#[tokio::test]
async fn a_full_redis_is_read_on_and_never_shows_what_is_old() {
    let redis = start_redis().await;
    let cache = cache_at(&redis);
    put(&cache, (1..6).map(|number| (id(number), cached(1))).collect()).await;
    let _: String = command(&redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let _: String = command(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    put(&cache, vec![(id(6), cached(1))]).await;
    assert_eq!(version(&cache, 1).await, Some(1), "what it holds is of use");
    cache.changed(vec![(id(2), cached(2))]).await;
    assert_eq!((version(&cache, 2).await, version(&cache, 3).await), (None, Some(1)));
    let _: String = command(&redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
    put(&cache, vec![(id(2), cached(2)), (id(6), cached(1))]).await;
    assert_eq!((version(&cache, 2).await, version(&cache, 6).await), (Some(2), Some(1)));
}

#[tokio::test]
async fn the_url_is_never_shown() {
    let redis = start_redis().await;
    assert!(!format!("{:?}", cache_at(&redis)).contains("pass-w0rd"));
    for url in ["http://:pass-w0rd@x", "redis://:pass-w0rd@", "pass-w0rd", "redis://:pass-w0rd@x:y/z"] {
        let error = Cache::shared(url, "store", &SharedOptions::default()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("pass-w0rd"), "{error:?}");
    }
}
