//! A Redis that is there and refuses: each has its share until it is well again, and the sum holds all the while.

use super::chaos::{Calls, Loaded};
use super::*;

const RATE: &str = "50";
const PERIOD: Duration = Duration::from_millis(20);
const BURST: u32 = 5;
const IN_FLIGHT: u32 = 4;

/// What makes it refuse, and what makes it well.
const REFUSALS: [(&str, &[&str], &[&str]); 5] = [
    ("full", &["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
    ("a replica", &["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
    ("no replica", &["CONFIG", "SET", "min-replicas-to-write", "1"], &["CONFIG", "SET", "min-replicas-to-write", "0"]),
    ("no scripts", &["ACL", "SETUSER", "default", "-evalsha"], &["ACL", "SETUSER", "default", "+@all"]),
    ("no writes", &["ACL", "SETUSER", "default", "-zadd"], &["ACL", "SETUSER", "default", "+@all"]),
];

/// Two gateways under load, of which a client makes all the calls that it can too.
struct Under {
    redis: Redis,
    calls: Arc<Calls>,
    loaded: Vec<Loaded>,
}

impl Under {
    async fn load(redis: Redis) -> Self {
        let setting = Setting { call_lasts: Duration::from_secs(2), ..Setting::new(RATE, BURST, IN_FLIGHT) };
        let calls = Arc::new(Calls::default());
        let members = setting.join_all(Some(&redis), 0..2).await;
        let loaded = members.into_iter().map(|member| Loaded::start(member, &calls, 40)).collect();
        let under = Self { redis, calls, loaded };
        under.more("calls by Redis").await;
        under
    }

    async fn more(&self, during: &str) {
        let before = self.calls.count();
        eventually(during, async || self.calls.count() >= before + 20).await;
    }

    async fn all_by(&self, basis: &str, case: &str) {
        for loaded in &self.loaded {
            let why = format!("{case}: by {basis}");
            eventually(&why, async || loaded.member.limits.basis() == basis).await;
        }
    }

    async fn end(self) {
        for loaded in self.loaded {
            drop(loaded.stop().await);
        }
        self.calls.assert_within_rate(Duration::from_millis(500), PERIOD, BURST);
        self.calls.assert_within_flight(IN_FLIGHT);
    }
}

async fn goes_through((case, refuse, be_well): (&str, &[&str], &[&str])) {
    let under = Under::load(Redis::start().await).await;
    let _: String = under.redis.command(refuse).await;
    under.all_by("share", case).await;
    under.more(case).await;
    let _: String = under.redis.command(be_well).await;
    under.all_by("redis", case).await;
    under.more("calls by Redis again").await;
    under.end().await;
}

/// Under a key is something else than belongs there: that is left behind with its era.
async fn finds_something_else(pattern: &str) {
    let under = Under::load(Redis::start().await).await;
    let keys: Vec<String> = under.redis.command(&["KEYS", pattern]).await;
    let put = "redis.call('DEL', KEYS[1]); return redis.call('LPUSH', KEYS[1], 'x')";
    let _: u64 = under.redis.command(&["EVAL", put, "1", keys.first().unwrap()]).await;
    under.all_by("share", pattern).await;
    under.all_by("redis", pattern).await;
    under.more(pattern).await;
    under.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_leaves_each_its_share_until_it_is_well() {
    let [full, replica, alone, scripts, writes] = REFUSALS.map(goes_through);
    let (rate, mark) = (finds_something_else("*:rate:alpha"), finds_something_else("*:limits:v1:era"));
    tokio::join!(full, replica, alone, scripts, writes, rate, mark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_busy_or_loading_is_waited_for() {
    let mut redis = Redis::prepare(&[
        "--busy-reply-threshold",
        "50",
        // It takes a second over what is saved below, and answers meanwhile.
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    redis.launch().await;
    let mut under = Under::load(redis).await;
    let client = redis::Client::open(under.redis.url()).unwrap();
    let busy = under.loaded[0].member.tasks.spawn(async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: redis::RedisResult<()> =
            redis::cmd("EVAL").arg("while true do end").arg(0).query_async(&mut connection).await;
    });
    under.all_by("share", "busy").await;
    under.more("calls while it is busy").await;
    let _: String = under.redis.command(&["SCRIPT", "KILL"]).await;
    busy.await.unwrap();
    under.all_by("redis", "no longer busy").await;

    let fill = "for i = 1, 2000 do redis.call('SET', 'key' .. i, string.rep('x', 100)) end";
    let _: Option<String> = under.redis.command(&["EVAL", fill, "0"]).await;
    let _: String = under.redis.command(&["SAVE"]).await;
    under.redis.kill();
    under.redis.launch().await;
    under.more("calls while it is loading").await;
    under.all_by("redis", "loaded").await;
    under.more("calls by Redis again").await;
    under.end().await;
}
