//! Clients order and ask for statuses without a pause, while their Redis freezes, is killed, comes back, and is full:
//! no call fails, and none waits longer than `cache.timeout` for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tollgate::sandbox::Sandbox;

use crate::harness::{Caller, Config, Gateway, Redis, eventually, upstream};

const ASKING: usize = 4;
const ORDERING: usize = 2;
/// So many calls of each kind make a phase.
const ASKED: usize = 400;
const ORDERED: usize = 60;
/// How long at least, so that Redis is tried again meanwhile.
const PHASE: Duration = Duration::from_millis(1500);

/// What is going on with Redis.
type Phase = &'static str;

/// How long each call took, by phase and action; a call belongs to the phase that it ended in.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<ByPhase>>);

type ByPhase = BTreeMap<(Phase, &'static str), Vec<Duration>>;

impl Times {
    fn add(&self, phase: Phase, action: &'static str, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((phase, action)).or_default().push(took);
    }

    /// Shortest first.
    fn of(&self, phase: Phase, action: &'static str) -> Vec<Duration> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(phase, action)).cloned();
        let mut times = times.unwrap_or_default();
        times.sort_unstable();
        times
    }

    fn worst(&self, phase: Phase, action: &'static str) -> Duration {
        self.of(phase, action).last().copied().unwrap_or_default()
    }
}

/// Orders and questions without a pause.
struct Load {
    phase: watch::Sender<Option<Phase>>,
    times: Times,
    clients: JoinSet<()>,
    orders: Arc<Mutex<Vec<u64>>>,
}

impl Load {
    fn start(gateway: &Gateway, first: u64) -> Self {
        let (phase, phases) = watch::channel(Some("before"));
        let (times, orders) = (Times::default(), Arc::new(Mutex::new(vec![first])));
        let mut clients = JoinSet::new();
        for client in 0..ORDERING {
            clients.spawn(order(client, gateway.caller(), phases.clone(), times.clone(), Arc::clone(&orders)));
        }
        for _ in 0..ASKING {
            clients.spawn(ask(gateway.caller(), phases.clone(), times.clone(), Arc::clone(&orders)));
        }
        Self { phase, times, clients, orders }
    }

    /// Goes on until the phase has seen enough.
    async fn through(&self, phase: Phase) {
        self.phase.send_replace(Some(phase));
        let begun = Instant::now();
        eventually(&format!("calls while Redis is {phase}"), || async {
            let enough = self.times.of(phase, "status").len() >= ASKED && self.times.of(phase, "add").len() >= ORDERED;
            (enough && begun.elapsed() >= PHASE).then_some(())
        })
        .await;
    }

    /// Ends it; gives the times and every order.
    async fn stop(self) -> (Times, Vec<u64>) {
        self.phase.send_replace(None);
        self.clients.join_all().await;
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.times, orders)
    }
}

async fn order(
    client: usize,
    caller: Caller,
    phases: watch::Receiver<Option<Phase>>,
    times: Times,
    orders: Arc<Mutex<Vec<u64>>>,
) {
    for number in 0.. {
        let begin = Instant::now();
        let answer = caller.add(1, &format!("https://example.com/{client}/{number}"), 50).await.unwrap();
        let Some(phase) = *phases.borrow() else { return };
        times.add(phase, "add", begin.elapsed());
        let order = answer["order"].as_u64().unwrap_or_else(|| panic!("{phase}: an order was refused: {answer}"));
        orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
    }
}

async fn ask(caller: Caller, phases: watch::Receiver<Option<Phase>>, times: Times, orders: Arc<Mutex<Vec<u64>>>) {
    for number in 0.. {
        let order = {
            let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
            orders[number % orders.len()].to_string()
        };
        let begin = Instant::now();
        let answer = caller.call("status", &[("order", &order)]).await.unwrap();
        let Some(phase) = *phases.borrow() else { return };
        times.add(phase, "status", begin.elapsed());
        assert!(answer["status"].is_string(), "{phase}: order {order}: {answer}");
    }
}

/// Redis goes through all that can happen to it; gives how long calls took.
async fn through_everything(redis: &mut Redis, alpha: &Sandbox, timeout: &str) -> Times {
    let config = Config::new(&format!("[cache]\nurl = \"{}\"\nstatus_ttl = \"200ms\"\n{timeout}", redis.url()))
        .provider("alpha", alpha, "")
        .service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    let load = Load::start(&gateway, gateway.order(1, "https://example.com/first", 50).await);
    load.through("before").await;
    redis.freeze();
    load.through("frozen").await;
    redis.thaw();
    load.through("thawed").await;
    redis.kill();
    load.through("killed").await;
    redis.launch().await;
    load.through("restarted").await;
    redis.fill().await;
    load.through("full").await;
    redis.empty().await;
    load.through("emptied").await;
    let (times, orders) = load.stop().await;
    // What Redis missed is not shown from it either.
    for order in orders.iter().rev().step_by(orders.len() / 50 + 1) {
        let ended = gateway.until_status(*order, "Completed").await;
        assert_eq!(ended["remains"], "0");
    }
    for phase in ["before", "frozen", "thawed", "killed", "restarted", "full", "emptied"] {
        for action in ["status", "add"] {
            let all = times.of(phase, action);
            println!(
                "{phase:9} {action:6} {:6} calls, half within {:?}, worst {:?}",
                all.len(),
                all[all.len() / 2],
                times.worst(phase, action)
            );
        }
    }
    times
}

/// With a time-out that no busy machine comes near, so that what waits for Redis can be told from what just waits.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_and_hardly_any_waits_for_a_redis_that_fails() {
    let (mut redis, alpha) = (Redis::start().await, upstream(20).await);
    let timeout = Duration::from_secs(2);
    let times = through_everything(&mut redis, &alpha, "timeout = \"2s\"").await;
    for action in ["status", "add"] {
        let worst = times.worst("frozen", action);
        assert!(worst < timeout + timeout / 2, "a call of {action} took {worst:?}: it waited more than once");
    }
    let waited = |action| times.of("frozen", action).into_iter().filter(|took| *took >= timeout * 9 / 10).count();
    // All that were under way when it froze, and then one at a time.
    let waited = waited("status") + waited("add");
    assert!((1..=3 * (ASKING + ORDERING)).contains(&waited), "{waited} calls waited for a frozen Redis");
}

/// Passes on what is said to Redis at once, and what it says late; as long as the second is kept.
async fn slow_way_to(redis: &Redis, delay: Duration) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let address = redis.url().strip_prefix("redis://").unwrap().to_owned();
    let mut way = JoinSet::new();
    way.spawn(async move {
        let mut copies = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.unwrap();
            let ((mut asks, mut hears), (mut says, mut takes)) = (client.into_split(), server.into_split());
            copies.spawn(async move { drop(tokio::io::copy(&mut asks, &mut takes).await) });
            copies.spawn(async move {
                let mut words = vec![0; 65_536];
                while let Ok(length @ 1..) = says.read(&mut words).await {
                    tokio::time::sleep(delay).await;
                    drop(hears.write_all(&words[..length]).await);
                }
            });
        }
    });
    (url, way)
}

/// A Redis that is alive and just slow: what is not there is put there, and that is not waited for as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redis_is_waited_for_once() {
    let (redis, alpha) = (Redis::start().await, upstream(1).await);
    let (timeout, delay) = (Duration::from_secs(4), Duration::from_secs(3));
    let (url, _way) = slow_way_to(&redis, delay).await;
    let config = Config::new(&format!("[cache]\nurl = \"{url}\"\ntimeout = \"4s\""))
        .provider("alpha", &alpha, "")
        .service(1, "routes = [\"alpha:1\"]");
    let gateway = Gateway::start(&config).await;
    let order = gateway.order(1, "https://example.com/slow", 50).await;
    gateway.until_state(order, "placed").await;
    let mut worst = Duration::ZERO;
    for _ in 0..4 {
        let begin = Instant::now();
        assert!(gateway.status(order).await["status"].is_string());
        worst = worst.max(begin.elapsed());
    }
    // Its own delay on a connection that is there; a new one is asked more than once.
    assert!(worst >= delay && worst < timeout + timeout / 4, "{worst:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_long_with_the_default_time_out() {
    let (mut redis, alpha) = (Redis::start().await, upstream(20).await);
    let times = through_everything(&mut redis, &alpha, "").await;
    for phase in ["frozen", "killed", "restarted", "full"] {
        let slow = times.of(phase, "status").into_iter().filter(|took| *took > Duration::from_millis(500)).count();
        assert!(slow * 20 < ASKED, "{slow} statuses took over half a second while Redis was {phase}");
    }
}
