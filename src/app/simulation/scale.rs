//! Very many active orders at one provider, followed as ARCHITECTURE.md says: full batches, the oldest due first, nobody
//! starved by orders that never change or that nobody can tell of.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::terms::{PROVIDERS, Plan};
use crate::app::attending::alone;
use crate::app::{App, Upstreams};
use crate::cache::Cache;
use crate::domain::client::Client;
use crate::domain::ids::{
    AttemptNumber, KeyHash, OrderToken, ProviderId, Route, ServiceId, UpstreamOrderId, UpstreamServiceId,
};
use crate::domain::order::{Event, NewOrder};
use crate::domain::outcome::Outcome;
use crate::domain::params::OrderParams;
use crate::domain::service_type::ServiceType;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::records::{NewClient, NewKey, Placed, Placement};
use crate::store::sqlite::SqliteStore;
use crate::task::{Clock, Tasks};
use crate::upstream::{CallKind, Form, Limits, Reply, TransportError, Upstream, UpstreamOptions, Wire};

/// Active orders.
const ORDERS: u64 = 100_000;
/// Calls that the provider allows.
const PER_SECOND: u64 = 10;
const BURST: u64 = 20;
/// How long they are watched, in seconds, unless `TOLLGATE_WATCHED_SECONDS` says it.
const WATCHED: u64 = 60;
/// Between two polls of an order that is older than an hour.
const EVERY: Duration = Duration::from_secs(300);
/// How late a poll may be.
const LATE: Duration = Duration::from_secs(15);
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// An upstream of which one order in fifty is unknown, one is left out, and the others never change.
#[derive(Default)]
struct Idle {
    calls: Mutex<Vec<(Duration, Vec<u64>)>>,
    began: Mutex<Option<Instant>>,
}

#[async_trait]
impl Wire for Idle {
    async fn send(&self, form: Form, kind: CallKind) -> Result<Reply, TransportError> {
        assert_eq!(kind, CallKind::Status);
        let ids = form.iter().find(|(name, _)| name == "orders" || name == "order").map(|(_, ids)| ids).unwrap();
        let ids: Vec<u64> = ids.split(',').map(|id| id.parse().unwrap()).collect();
        let began = *self.began.lock().unwrap().get_or_insert_with(Instant::now);
        sleep(Duration::from_millis(20)).await;
        let mut body = String::from("{");
        for id in ids.iter().filter(|id| *id % 50 != 1) {
            let comma = if body.len() > 1 { "," } else { "" };
            let _ = match id % 50 {
                0 => write!(body, r#"{comma}"{id}":{{"error":"Incorrect order ID"}}"#),
                _ => write!(
                    body,
                    r#"{comma}"{id}":{{"charge":"1","status":"In progress","remains":"10","start_count":"1"}}"#
                ),
            };
        }
        body.push('}');
        self.calls.lock().unwrap().push((began.elapsed(), ids));
        Ok(Reply { status: 200, body: body.into(), ..Reply::default() })
    }
}

/// As many placed orders as wanted, some hours old, with their polls due evenly over the time between two; of every
/// thousand one that can't be written any more.
async fn fill(store: &SqliteStore) {
    let born = BEGINNING.minus(Duration::from_secs(3 * 3600));
    let key = NewKey { hash: KeyHash([1; 32]), label: String::new(), read_only: false };
    let client = NewClient { terms: Client::named("ann"), key, deposit: "100".parse().unwrap() };
    let client = store.create_client(client, born).await.unwrap().client.id;
    let params = OrderParams { link: "x".into(), quantity: Some(1000), drip_feed: None, fields: vec![], units: 1000 };
    let (token, service) = (OrderToken([0; 16]), ServiceId::new(1).unwrap());
    let charge = "1.2".parse().unwrap();
    let order = NewOrder { token, client, service, kind: ServiceType::Default, params, charge };
    let placement = Placement { order, request: None, now: born, claimed_until: born };
    let Placed::New(mut order) = store.place(placement).await.unwrap() else { panic!("not placed") };
    let route = Route { provider: ProviderId::new("alpha"), service: UpstreamServiceId::new("101") };
    let outcome = Outcome::Accepted(UpstreamOrderId::new("1"));
    for event in [Event::SendStarted(route), Event::Answered { attempt: AttemptNumber(1), outcome }] {
        let step = order.step(event, born).unwrap();
        store.apply(step.clone()).await.unwrap();
        *order = step.order;
    }
    copy(store);
}

/// When the first poll of an order is due after the beginning, in milliseconds.
const fn first_due(id: u64) -> u64 {
    (id * 7919 % ORDERS) * EVERY.as_secs() * 1000 / ORDERS
}

fn copy(store: &SqliteStore) {
    let (beginning, spread) = (BEGINNING.millis(), EVERY.as_millis());
    store.tamper(&format!(
        "CREATE TEMP TABLE copies AS SELECT * FROM orders;
         WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ORDERS})
         INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, created_at, queued_at,
             updated_at, state, provider, upstream_service, upstream_order, status, attempts, tried, round, cancel, due_at)
         SELECT n, version, randomblob(16), client, service, kind, params, charge, refunded, created_at, queued_at,
             updated_at, state, provider, upstream_service, n, status, attempts, tried, round, cancel, 0
             FROM numbers, copies;
         UPDATE orders SET due_at = {beginning} + (id * 7919 % {ORDERS}) * {spread} / {ORDERS};
         CREATE TEMP TRIGGER poison BEFORE UPDATE ON orders WHEN OLD.id % 1000 = 77 AND NEW.version > OLD.version
             BEGIN SELECT RAISE(ABORT, 'it can not be written'); END;",
    ));
}

async fn gateway(store: Arc<SqliteStore>, wire: Arc<Idle>, clock: Clock, tasks: &Tasks) -> Arc<App> {
    let plan = Plan::draw(&mut super::rng::Rng::new(1));
    let mut upstreams = Upstreams::new();
    for id in PROVIDERS.map(ProviderId::new) {
        let options = UpstreamOptions {
            provider: id.clone(),
            wire: Arc::clone(&wire) as Arc<dyn Wire>,
            key: "key".to_owned().into(),
            limits: Limits {
                requests_per_second: PER_SECOND.into(),
                burst: u32::try_from(BURST).unwrap(),
                max_in_flight: 8,
            },
            rejects: Vec::new(),
            treat_503_as_not_placed: false,
        };
        upstreams.insert(id, Arc::new(Upstream::new(options)));
    }
    App::new(store, Cache::local(1 << 20), clock, tasks.clone(), upstreams, plan.terms(None), alone()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn very_many_orders_are_followed_in_full_batches_and_nobody_is_starved() {
    let watched = Duration::from_secs(super::tests::number("TOLLGATE_WATCHED_SECONDS").unwrap_or(WATCHED));
    let store = Arc::new(SqliteStore::in_memory(1).unwrap());
    fill(&store).await;
    let (wire, clock, tasks) = (Arc::new(Idle::default()), Clock::set_to(BEGINNING), Tasks::new());
    let app = gateway(store, Arc::clone(&wire), clock.clone(), &tasks).await;
    let began = Instant::now();
    let polls = Arc::clone(&app);
    tasks.every(Duration::from_secs(1), Arc::clone(&app.poll_nudge), move || {
        Arc::clone(&polls).poll_due(ProviderId::new("alpha"))
    });
    while began.elapsed() < watched {
        clock.set(BEGINNING.plus(began.elapsed()));
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(tasks.finish(Duration::from_secs(60)).await, 0);
    let calls = std::mem::take(&mut *wire.calls.lock().unwrap());
    judge(&calls, watched);
}

fn judge(calls: &[(Duration, Vec<u64>)], watched: Duration) {
    let asked: usize = calls.iter().map(|(_, ids)| ids.len()).sum();
    let due = |id: u64| Duration::from_millis(first_due(id));
    let mut next: BTreeMap<u64, Duration> = (1..=ORDERS).map(|id| (id, due(id))).collect();
    let mut latest = Duration::ZERO;
    for (at, ids) in calls {
        for id in ids {
            latest = latest.max(at.saturating_sub(next[id]));
            next.insert(*id, *at + EVERY);
        }
    }
    let starved = next.values().filter(|due| **due + LATE < watched).count();
    let busiest =
        (0..watched.as_secs()).map(|second| calls.iter().filter(|(at, _)| at.as_secs() == second).count()).max();
    println!(
        "{ORDERS} active orders, {} s at {PER_SECOND} calls a second: {} calls, {} IDs a call, {} calls in the busiest second, \
         {}.{:03} s late at most, {starved} starved",
        watched.as_secs(),
        calls.len(),
        asked / calls.len().max(1),
        busiest.unwrap_or_default(),
        latest.as_secs(),
        latest.subsec_millis(),
    );
    assert!(busiest.unwrap_or_default() as u64 <= PER_SECOND + BURST, "the rate is not kept");
    assert_eq!(starved, 0, "some were due and not asked for");
    assert!(latest <= LATE, "some were asked for late: {latest:?}");
    assert!(asked / calls.len() >= 95, "{} IDs a call", asked / calls.len());
}
