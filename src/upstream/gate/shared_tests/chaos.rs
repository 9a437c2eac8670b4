use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const PERIOD: Duration = Duration::from_millis(20);
const RATE: &str = "50";
const BURST: u32 = 40;

/// When calls were let out, and when they ended.
#[derive(Default)]
pub(super) struct Calls {
    all: Mutex<Vec<(Instant, Option<Instant>)>>,
    /// By how much the machine was late at most.
    late: Mutex<Duration>,
}

impl Calls {
    pub(super) fn count(&self) -> usize {
        self.all.lock().unwrap().len()
    }

    /// Makes calls one after another, as many as there may be, until it is stopped.
    async fn make(&self, gate: &Arc<Gate>, stopped: &AtomicBool, longest: u64, mut chance: u64) {
        while !stopped.load(Ordering::SeqCst) {
            let entered = gate.enter(Purpose::Call(Priority::Orders), Duration::from_millis(500)).await;
            let Ok(permit) = entered else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let number = {
                let mut all = self.all.lock().unwrap();
                all.push((Instant::now(), None));
                all.len() - 1
            };
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            tokio::time::sleep(Duration::from_millis((chance >> 33) % longest)).await;
            self.all.lock().unwrap()[number].1 = Some(Instant::now());
            drop(permit);
        }
    }

    async fn watch_the_machine(&self) {
        loop {
            let began = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            let late = began.elapsed().saturating_sub(Duration::from_millis(5));
            let mut most = self.late.lock().unwrap();
            *most = late.max(*most);
        }
    }

    /// No window holds more calls than the burst and the rate, but for those that were noted late.
    pub(super) fn assert_within_rate(&self, timeout: Duration, period: Duration, burst: u32) {
        let mut times: Vec<Instant> = self.all.lock().unwrap().iter().map(|(at, _)| *at).collect();
        times.sort();
        let slack = timeout.min(*self.late.lock().unwrap() * 2 + Duration::from_millis(50));
        let (mut tightest, mut worst) = (i64::MAX, (0, Duration::ZERO));
        for (first, from) in times.iter().enumerate() {
            for (last, to) in times.iter().enumerate().skip(first) {
                let calls = i64::try_from(last - first + 1).unwrap();
                let window = *to - *from + slack;
                let allowed = i64::from(burst) + i64::try_from(window.as_nanos() / period.as_nanos()).unwrap();
                if allowed - calls < tightest {
                    (tightest, worst) = (allowed - calls, (calls, window));
                }
            }
        }
        println!("{} calls; tightest window {worst:?} with {tightest} to spare; slack {slack:?}", times.len());
        assert!(tightest >= 0, "{} calls within {:?}", worst.0, worst.1);
    }

    pub(super) fn assert_within_flight(&self, max_in_flight: u32) {
        let all = self.all.lock().unwrap();
        let ends = all.iter().map(|(_, end)| (end.unwrap_or_else(Instant::now), -1));
        let mut changes: Vec<(Instant, i32)> = all.iter().map(|(begin, _)| (*begin, 1)).chain(ends).collect();
        changes.sort();
        let (mut under_way, mut most) = (0, 0);
        for (_, change) in changes {
            under_way += change;
            most = most.max(under_way);
        }
        println!("{most} under way at most");
        assert!(most <= i32::try_from(max_in_flight).unwrap(), "{most} under way");
    }
}

/// A gateway under load.
pub(super) struct Loaded {
    pub(super) member: Member,
    stopped: Arc<AtomicBool>,
    work: Vec<JoinHandle<()>>,
}

impl Loaded {
    /// Its calls last so many milliseconds at most.
    pub(super) fn start(member: Member, calls: &Arc<Calls>, longest: u64) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let work = (1..5_u64).map(|worker| {
            let (calls, gate, stopped) = (Arc::clone(calls), Arc::clone(&member.gate), Arc::clone(&stopped));
            let chance = worker.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            member.tasks.spawn(async move { calls.make(&gate, &stopped, longest, chance).await })
        });
        let work = work.collect();
        Self { member, stopped, work }
    }

    /// Its calls come to their ends.
    pub(super) async fn stop(mut self) -> Member {
        self.stopped.store(true, Ordering::SeqCst);
        for work in self.work.drain(..) {
            work.await.unwrap();
        }
        self.member
    }
}

/// The gateways of one store, under load.
struct Side {
    setting: Setting,
    calls: Arc<Calls>,
    longest: u64,
    loaded: Vec<Loaded>,
    joined: u64,
}

impl Side {
    fn start(setting: Setting, longest: u64, redis: &Redis) -> Self {
        let mut side = Self { setting, calls: Arc::default(), longest, loaded: Vec::new(), joined: 0 };
        for _ in 0..3 {
            side.join(redis);
        }
        side
    }

    fn join(&mut self, redis: &Redis) {
        self.joined += 1;
        let member = self.setting.join(Some(redis), self.joined);
        self.loaded.push(Loaded::start(member, &self.calls, self.longest));
    }

    async fn leave(&mut self) {
        drop(self.loaded.remove(0).stop().await);
    }

    /// Quiet for so long that there is a burst to be had.
    async fn rest(&mut self) {
        let mut members = Vec::new();
        for loaded in self.loaded.drain(..) {
            members.push(loaded.stop().await);
        }
        for member in &members {
            member.is_by("redis").await;
        }
        tokio::time::sleep(PERIOD * (BURST + 5)).await;
        self.loaded = members.into_iter().map(|member| Loaded::start(member, &self.calls, self.longest)).collect();
    }
}

/// Waits for so many calls more on each side.
async fn more(sides: &[Side], count: usize, during: &str) {
    let before: Vec<usize> = sides.iter().map(|side| side.calls.count()).collect();
    for (side, before) in sides.iter().zip(before) {
        eventually(during, async || side.calls.count() >= before + count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_befalls_redis_or_the_gateways_lets_out_more_than_one_alone_would() {
    let mut redis = Redis::start().await;
    let timeout = Duration::from_millis(200);
    let lasting = |setting: Setting, store| Setting { store, timeout, call_lasts: Duration::from_secs(5), ..setting };
    // One store's calls are bounded by the rate, the other's by how many are under way.
    let mut sides = [
        Side::start(lasting(Setting::new(RATE, BURST, 100), "fast"), 30, &redis),
        Side::start(lasting(Setting::new("1000", 100, 6), "long"), 600, &redis),
    ];
    let (watched, calls) = (Tasks::new(), Arc::clone(&sides[0].calls));
    let watching = watched.spawn(async move { calls.watch_the_machine().await });
    more(&sides, 60, "calls by Redis").await;

    let _: String = redis.command(&["FLUSHALL"]).await;
    more(&sides, 40, "calls after a flush").await;
    sides.iter_mut().for_each(|side| side.join(&redis));
    let _: String = redis.command(&["SCRIPT", "FLUSH"]).await;
    more(&sides, 40, "calls of four").await;

    redis.freeze();
    more(&sides, 40, "calls by shares").await;
    for side in &mut sides {
        side.leave().await;
        side.join(&redis);
    }
    more(&sides, 40, "calls by shares, with one that left and one that came").await;
    redis.thaw();
    for side in &sides {
        for loaded in &side.loaded {
            loaded.member.is_by("redis").await;
        }
    }
    more(&sides, 40, "calls when Redis is back").await;

    for side in &mut sides {
        side.rest().await;
    }
    more(&sides, 20, "calls amid a burst").await;
    redis.kill();
    more(&sides, 20, "calls without Redis").await;
    redis.launch().await;
    more(&sides, 40, "calls with a new Redis").await;
    for side in &mut sides {
        side.rest().await;
    }
    more(&sides, 20, "calls amid a burst").await;
    let _: String = redis.command(&["FLUSHALL"]).await;
    more(&sides, 60, "calls after a flush amid a burst").await;
    let [fast, long] = sides;
    for loaded in fast.loaded.into_iter().chain(long.loaded) {
        drop(loaded.stop().await);
    }
    watching.abort();
    fast.calls.assert_within_rate(timeout, PERIOD, BURST);
    long.calls.assert_within_flight(6);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_use_the_whole_rate_and_no_more() {
    let redis = Redis::start().await;
    let setting = Setting::new(RATE, BURST, 100);
    let calls = Arc::new(Calls::default());
    let members = setting.join_all(Some(&redis), 0..3).await;
    let began = Instant::now();
    let loaded: Vec<Loaded> = members.into_iter().map(|member| Loaded::start(member, &calls, 30)).collect();
    eventually("three seconds of calls", async || calls.count() >= 150).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "150 calls took {took:?}");
    for loaded in loaded {
        drop(loaded.stop().await);
    }
    let times: Vec<Instant> = calls.all.lock().unwrap().iter().map(|(at, _)| *at).collect();
    let first_second = times.iter().filter(|at| **at - times[0] < Duration::from_secs(1)).count();
    assert!(first_second <= 60, "a start gives no burst: {first_second} in the first second");
    *calls.late.lock().unwrap() = Duration::from_millis(100);
    calls.assert_within_rate(setting.timeout, PERIOD, BURST);
}
