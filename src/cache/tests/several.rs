//! Several gateways on one Redis, one of which can be cut off from it.

use std::sync::Arc;

use super::*;
use crate::task::path::{Path, Way};

/// What a store says of the epoch.
#[derive(Clone, Default)]
struct Store(Arc<std::sync::atomic::AtomicI64>);

impl Store {
    fn attend(&self, cache: &Cache) {
        let asked_at = Instant::now();
        cache.attended(self.0.load(std::sync::atomic::Ordering::SeqCst), asked_at);
    }

    fn raise(&self) -> i64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1
    }

    /// What a gateway does four times a second; gives whether the epoch was raised.
    async fn settle(&self, cache: &Cache) -> bool {
        let Some(debt) = cache.settle().await else { return false };
        let asked_at = Instant::now();
        cache.repaid(debt, self.raise(), asked_at);
        true
    }
}

fn gateway(url: &str) -> Cache {
    Cache::shared_by_several(url, "store", &SharedOptions { timeout: Duration::from_millis(250) }).unwrap()
}

/// Until `cache` holds this of an order again. Its epoch may be too young at first.
async fn holds(store: &Store, cache: &Cache, number: i64, entry: u64) {
    eventually("it is held", async || {
        store.attend(cache);
        put(cache, vec![(id(number), cached(entry))]).await;
        version(cache, number).await == Some(entry)
    })
    .await;
}

/// Two gateways that know the epoch, and of order 1 what the second has put: 1.
async fn pair() -> (Redis, Store, Cache, Cache) {
    let (redis, store) = (start_redis().await, Store::default());
    let (one, other) = (gateway(&url_of(&redis)), gateway(&url_of(&redis)));
    store.attend(&one);
    holds(&store, &other, 1, 1).await;
    (redis, store, one, other)
}

/// The same, and the epoch's mark, by which the first goes where the store does not answer it.
async fn pair_with_a_mark() -> (Redis, Store, Cache, Cache) {
    let (redis, store, one, other) = pair().await;
    assert!(!store.settle(&other).await);
    assert_eq!(last_known(&one, 1).await, Some(1));
    (redis, store, one, other)
}

#[tokio::test]
async fn gateways_see_what_the_others_put_and_change() {
    let (redis, store) = (start_redis().await, Store::default());
    let (one, other) = (gateway(&url_of(&redis)), gateway(&url_of(&redis)));
    put(&one, vec![(id(1), cached(5))]).await;
    assert_eq!(version(&one, 1).await, None, "no epoch is known yet");
    store.attend(&one);
    store.attend(&other);
    put(&one, vec![(id(1), cached(5))]).await;
    assert_eq!(version(&other, 1).await, Some(5));
    other.changed(vec![(id(1), cached(6))]).await;
    assert_eq!(version(&one, 1).await, Some(6));
    put(&one, vec![(id(1), cached(5))]).await;
    assert_eq!(version(&other, 1).await, Some(6), "who read it before comes too late");
    assert!(!store.settle(&one).await && !store.settle(&other).await, "nothing is owed");
}

/// The one that is cut off changes an order; the other goes on reading Redis.
async fn a_change_of_one_that_is_cut_off(way: Way) {
    let (redis, store) = (start_redis().await, Store::default());
    let url = url_of(&redis);
    let path = Path::to(&url).await;
    let (cut_off, other) = (gateway(&path.url(&url)), gateway(&url));
    store.attend(&cut_off);
    holds(&store, &other, 1, 1).await;
    holds(&store, &other, 2, 1).await;
    eventually("both are connected", async || version(&cut_off, 1).await == Some(1)).await;

    path.be(way);
    cut_off.changed(vec![(id(1), cached(2))]).await;
    let changed_at = Instant::now();
    store.attend(&other);
    assert_eq!(version(&other, 1).await, Some(1), "nobody told it yet");
    eventually("the epoch is raised", async || store.settle(&cut_off).await).await;
    store.attend(&other);
    assert_eq!(version(&other, 1).await, None);
    assert!(changed_at.elapsed() < Duration::from_millis(1500), "{:?}", changed_at.elapsed());
    holds(&store, &other, 1, 2).await;
    holds(&store, &other, 2, 1).await;

    // A later change within the same outage is one more debt.
    cut_off.changed(vec![(id(2), cached(2))]).await;
    eventually("the epoch is raised again", async || store.settle(&cut_off).await).await;
    store.attend(&other);
    assert_eq!(version(&other, 2).await, None);
    holds(&store, &other, 2, 2).await;

    path.be(Way::Open);
    eventually("it is in use again", async || {
        store.settle(&cut_off).await;
        store.attend(&cut_off);
        store.attend(&other);
        put(&other, vec![(id(1), cached(2))]).await;
        version(&cut_off, 1).await == Some(2)
    })
    .await;
    cut_off.changed(vec![(id(1), cached(3))]).await;
    assert_eq!(version(&other, 1).await, Some(3));
}

#[tokio::test]
async fn a_change_behind_a_cut_connection_is_seen_by_the_others() {
    a_change_of_one_that_is_cut_off(Way::Cut).await;
}

#[tokio::test]
async fn a_change_behind_a_frozen_connection_is_seen_by_the_others() {
    a_change_of_one_that_is_cut_off(Way::Frozen).await;
}

#[tokio::test]
async fn a_short_trouble_is_settled_without_another_epoch() {
    let (redis, store, one, other) = pair().await;
    eventually("both are connected", async || version(&one, 1).await == Some(1)).await;
    redis.freeze();
    one.changed(vec![(id(1), cached(2))]).await;
    redis.thaw();
    eventually("it is told after all", async || {
        assert!(!store.settle(&one).await, "no other epoch is needed");
        store.attend(&other);
        version(&other, 1).await != Some(1)
    })
    .await;
    put(&other, vec![(id(1), cached(1))]).await;
    assert_ne!(version(&other, 1).await, Some(1), "who read it before comes too late here as well");
}

#[tokio::test]
async fn one_that_was_stopped_neither_believes_nor_writes_what_is_old() {
    let (_redis, store, stopped, other) = pair().await;
    assert_eq!(version(&stopped, 1).await, Some(1));
    let before = stopped.sight();

    store.raise();
    store.attend(&other);
    holds(&store, &other, 1, 2).await;
    put(&stopped, vec![(id(1), cached(9)), (id(2), cached(1))]).await;
    assert_eq!((version(&other, 1).await, version(&other, 2).await), (Some(2), None), "under its old epoch");
    // Its change is told again under the new one: the version alone, as it may be another's by then.
    stopped.changed(vec![(id(1), cached(3))]).await;
    store.attend(&stopped);
    assert!(!store.settle(&stopped).await);
    assert_eq!(version(&other, 1).await, None);
    holds(&store, &other, 1, 3).await;

    // What it read before it knew of the new epoch is put nowhere.
    stopped.put(before, vec![(id(4), cached(1))]).await;
    assert_eq!(version(&other, 4).await, None);

    // Two seconds without the store's word.
    eventually("it believes in the new epoch", async || version(&stopped, 1).await == Some(3)).await;
    let attended_at = Instant::now();
    eventually("it believes no more", async || version(&stopped, 1).await.is_none()).await;
    assert!(attended_at.elapsed() < Duration::from_millis(2500));
    assert!(!store.settle(&other).await);
    let known = stopped.last_known(OWNER, &[id(1), id(9)]).await;
    assert_eq!(known, [Some(cached(3)), None], "where the store can't be asked");
    assert_eq!(stopped.last_known(ClientId(8), &[id(1)]).await, [None]);
    store.attend(&other);
    assert_eq!(version(&other, 1).await, Some(3));
}

/// What one knows whom the store does not answer.
async fn last_known(cache: &Cache, number: i64) -> Option<u64> {
    let [found] = cache.last_known(OWNER, &[id(number)]).await.try_into().unwrap();
    found.map(|cached| cached.version)
}

/// The mark as it is in Redis.
const MARK: &str = "tollgate:store:epoch";

#[tokio::test]
async fn one_that_the_store_does_not_answer_follows_the_mark_of_the_others() {
    let (mut redis, store, cut_off, other) = pair_with_a_mark().await;
    other.changed(vec![(id(1), cached(2))]).await;
    assert_eq!(last_known(&cut_off, 1).await, Some(2), "what is changed is told in the same epoch");
    assert_eq!(cut_off.last_known(ClientId(8), &[id(1)]).await, [None], "another client's");

    // Its last change is told under an epoch that is over; the other, who read the store before it, does not know of it.
    store.raise();
    cut_off.changed(vec![(id(2), cached(9))]).await;
    store.attend(&other);
    holds(&store, &other, 1, 3).await;
    holds(&store, &other, 2, 8).await;
    assert_eq!(last_known(&cut_off, 1).await, Some(2), "by the mark of before");
    assert!(!store.settle(&other).await);
    assert_eq!((last_known(&cut_off, 1).await, last_known(&cut_off, 2).await), (Some(3), None));
    store.attend(&other);
    assert_eq!(version(&other, 2).await, None, "now it is told");

    // An emptied Redis, and one that holds an older mark.
    let _: String = command(&redis, &["FLUSHALL"]).await;
    put(&other, vec![(id(1), cached(3))]).await;
    assert_eq!(last_known(&cut_off, 1).await, None);
    let _: String = command(&redis, &["SET", MARK, "0"]).await;
    assert_eq!(last_known(&cut_off, 1).await, None);
    assert!(!store.settle(&other).await);
    assert_eq!(last_known(&cut_off, 1).await, Some(3));
    for nonsense in ["", "0x7", "99999999999999999999"] {
        let _: String = command(&redis, &["SET", MARK, nonsense]).await;
        assert_eq!(last_known(&cut_off, 1).await, None, "{nonsense:?}");
    }

    // An old copy with a mark, also where that is higher than any it knows: until the store says so.
    let _: String = command(&redis, &["SET", MARK, "7"]).await;
    let _: String = command(&redis, &["SAVE"]).await;
    redis.kill();
    redis.launch().await;
    eventually("the connection is there again", async || {
        assert_eq!(last_known(&cut_off, 1).await, None);
        store.settle(&cut_off).await;
        let keys: i64 = command(&redis, &["DBSIZE"]).await;
        keys >= 2
    })
    .await;
    eventually("it believes again", async || {
        for cache in [&cut_off, &other] {
            store.attend(cache);
            store.settle(cache).await;
        }
        put(&other, vec![(id(1), cached(4))]).await;
        version(&cut_off, 1).await == Some(4)
    })
    .await;
}

#[tokio::test]
async fn a_mark_is_never_replaced_by_a_lower_one() {
    let (redis, store) = (start_redis().await, Store::default());
    let (slow, other) = (gateway(&url_of(&redis)), gateway(&url_of(&redis)));
    store.attend(&slow);
    store.raise();
    store.attend(&other);
    eventually("there is a mark", async || {
        assert!(!store.settle(&other).await);
        command::<Option<String>>(&redis, &["GET", MARK]).await.as_deref() == Some("1")
    })
    .await;
    assert!(!store.settle(&slow).await);
    assert_eq!(command::<String>(&redis, &["GET", MARK]).await, "1");
    assert!(command::<i64>(&redis, &["PTTL", MARK]).await > 500_000, "it lasts as long as what is held");
}

#[tokio::test]
async fn a_full_redis_keeps_no_mark_of_an_epoch_that_is_over() {
    let (redis, store, cut_off, other) = pair_with_a_mark().await;
    let _: String = command(&redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let _: String = command(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let _: i64 = command(&redis, &["PEXPIRE", MARK, "300000"]).await;
    assert!(!store.settle(&other).await);
    assert!(command::<i64>(&redis, &["PTTL", MARK]).await > 500_000, "the mark that is there goes on");
    assert_eq!(last_known(&cut_off, 1).await, Some(1));
    store.raise();
    store.attend(&other);
    assert!(!store.settle(&other).await);
    assert_eq!(last_known(&cut_off, 1).await, None);
    let _: String = command(&redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
    holds(&store, &other, 1, 2).await;
    assert!(!store.settle(&other).await);
    assert_eq!(last_known(&cut_off, 1).await, Some(2));
}

#[tokio::test]
async fn nothing_is_believed_while_another_gateway_may_have_ended_untold() {
    let (_redis, store, one, _other) = pair().await;
    store.attend(&one);
    assert_eq!(version(&one, 1).await, Some(1));
    one.doubt();
    assert_eq!(version(&one, 1).await, None);
    store.attend(&one);
    assert_eq!(version(&one, 1).await, Some(1));
}

#[tokio::test]
async fn nothing_of_before_is_believed_after_another_redis_was_told() {
    let (_redis, store, cut_off, other) = pair_with_a_mark().await;
    other.is_everybodys(false);
    store.attend(&other);
    put(&other, vec![(id(2), cached(1))]).await;
    assert_eq!(version(&other, 1).await, None);
    assert!(!store.settle(&other).await);
    assert_eq!(last_known(&cut_off, 1).await, None, "there is no mark");
    other.is_everybodys(true);
    store.attend(&other);
    assert_eq!((version(&other, 1).await, last_known(&cut_off, 1).await), (None, None));
    assert!(store.settle(&other).await, "the epoch is raised");
    holds(&store, &other, 1, 3).await;
    assert_eq!(version(&other, 2).await, None, "nothing was put");
    assert!(!store.settle(&other).await);
    assert_eq!(last_known(&cut_off, 1).await, Some(3));
}

#[tokio::test]
async fn a_restarted_redis_takes_another_epoch() {
    let (mut redis, store, one, other) = pair().await;
    let _: String = command(&redis, &["SAVE"]).await;
    one.changed(vec![(id(1), cached(2))]).await;
    assert_eq!(version(&other, 1).await, Some(2));
    redis.kill();
    redis.launch().await;
    assert_eq!(command::<i64>(&redis, &["DBSIZE"]).await, 1, "its old copy is there");
    eventually("it is in use again", async || {
        for cache in [&one, &other] {
            store.attend(cache);
            assert_ne!(version(cache, 1).await, Some(1), "an old copy is not believed");
            store.settle(cache).await;
        }
        put(&one, vec![(id(1), cached(2))]).await;
        version(&other, 1).await == Some(2)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_redis_an_entry_is_believed_for_less_than_two_seconds() {
    let cache = Cache::local_of_several(1 << 20);
    put(&cache, vec![(id(1), cached(1))]).await;
    tokio::time::advance(Duration::from_millis(1499)).await;
    assert_eq!(version(&cache, 1).await, Some(1));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(version(&cache, 1).await, None);
    assert!(!cache.show_at_hand(OWNER, &[id(1)], |_| ()));
    assert_eq!(cache.settle().await, None);
}
