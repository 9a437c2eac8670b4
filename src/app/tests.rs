//! The core on its seams: a store in memory, a clock set by hand, and a wire that says what it is told to say.

mod clock_steps;
mod company;
mod elsewhere;
mod late_answers;
mod late_lists;
mod lines;
mod orders;
mod permits;
mod standstill;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rust_decimal::Decimal;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::attending::alone;
use super::taken::Taken;
use super::terms::{ProviderSetup, SearchSetup, Terms};
use super::*;
use crate::domain::catalogue::{PricingRules, ServiceDefinition, UpstreamService};
use crate::domain::client::Client;
use crate::domain::ids::{ClientId, OrderToken, Route, ServiceId, UpstreamOrderId, UpstreamServiceId};
use crate::domain::order::{Event, NewOrder, Order, Resolution, State};
use crate::domain::outcome::Outcome;
use crate::domain::params::OrderParams;
use crate::domain::pricing::Markup;
use crate::domain::service_type::ServiceType;
use crate::limits::Others;
use crate::store::StoreError;
use crate::store::records::{NewCatalogue, NewClient, NewKey, PLACE, Placed, Placement};
use crate::store::sqlite::SqliteStore;
use crate::task::Moment;
use crate::upstream::{CallKind, Form, InCompany, Limits, Reply, TransportError, UpstreamOptions, Wire};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// The client's.
const KEY: &str = "ann's key";
const LEASE: Duration = Duration::from_secs(155);

/// Answers each call with the next line, as soon as that may be said, and hangs where there is none.
#[derive(Default)]
struct Script {
    lines: Mutex<VecDeque<(String, Option<oneshot::Receiver<()>>)>>,
    asked: Mutex<Vec<CallKind>>,
}

impl Script {
    fn say(&self, body: impl Into<String>) {
        locked(&self.lines).push_back((body.into(), None));
    }

    fn say_when_told(&self, body: impl Into<String>) -> oneshot::Sender<()> {
        let (tell, told) = oneshot::channel();
        locked(&self.lines).push_back((body.into(), Some(told)));
        tell
    }

    fn asked(&self, kind: CallKind) -> usize {
        locked(&self.asked).iter().filter(|asked| **asked == kind).count()
    }
}

#[async_trait]
impl Wire for Script {
    async fn send(&self, _: Form, kind: CallKind) -> Result<Reply, TransportError> {
        locked(&self.asked).push(kind);
        let line = locked(&self.lines).pop_front();
        let Some((body, told)) = line else { return std::future::pending().await };
        if let Some(told) = told {
            told.await.unwrap();
        }
        Ok(Reply { status: 200, body: body.into(), ..Reply::default() })
    }
}

/// The core with the provider alpha, and those whose names a test adds; its only service goes by all of them.
struct Bench {
    app: Arc<App>,
    store: Arc<SqliteStore>,
    wire: Arc<Script>,
    clock: Clock,
    client: ClientId,
}

fn alpha() -> ProviderId {
    ProviderId::new("alpha")
}

fn route() -> Route {
    route_to(&alpha())
}

fn route_to(provider: &ProviderId) -> Route {
    Route { provider: provider.clone(), service: UpstreamServiceId::new("101") }
}

fn terms(providers: &[ProviderId]) -> Terms {
    let definition = ServiceDefinition::new(ServiceId::new(1).unwrap(), providers.iter().map(route_to).collect());
    let setup = |id: &ProviderId| ProviderSetup {
        id: id.clone(),
        host: format!("{id}.test"),
        takes_orders: true,
        is_called: true,
        mode: "on",
        currency: "USD".into(),
        exchange_rate: Decimal::ONE,
        markup: Markup::default(),
        attempt_lease: LEASE,
        sync_every: Duration::from_secs(600),
        max_catalogue_age: Duration::from_secs(86_400),
        low_balance: Decimal::ZERO,
        partial_is_final: true,
        search: SearchSetup::default(),
    };
    Terms {
        currency: "USD".into(),
        pricing: PricingRules {
            markup: Markup { percent: Some("20".parse().unwrap()), fixed: None },
            rate_decimals: 4,
            min_margin: "5".parse().unwrap(),
        },
        providers: providers.iter().map(setup).collect(),
        services: vec![definition],
        imports: Vec::new(),
        wait: Duration::ZERO,
        hold_for: Duration::from_secs(3600),
        watch_closed: Duration::from_secs(86_400),
        status_ttl: Duration::from_secs(30),
    }
}

/// A provider that takes so many calls in a second, one at a time after a quiet time.
fn rate(requests_per_second: &str) -> Limits {
    Limits { requests_per_second: requests_per_second.parse().unwrap(), burst: 1, max_in_flight: 8 }
}

async fn bench() -> Bench {
    bench_with(Limits { requests_per_second: Decimal::from(1000), burst: 100, max_in_flight: 8 }).await
}

/// With these limits at its only provider.
async fn bench_with(limits: Limits) -> Bench {
    bench_of(&[("alpha", limits)]).await
}

async fn bench_of(limits: &[(&str, Limits)]) -> Bench {
    bench_among(limits, None).await
}

/// One gateway of several that go by their shares.
#[derive(Clone, Copy)]
struct Seat {
    gateways: usize,
    /// How many of them came earlier.
    rank: u32,
}

/// The seat of each that holds from then on.
async fn take(seat: Seat, limits: &SharedLimits, tasks: &Tasks) {
    let limits_kept = limits.clone();
    drop(tasks.spawn(async move {
        loop {
            let word = limits_kept.word().await;
            let words = vec![word; seat.gateways - 1];
            limits_kept.attended(Instant::now(), word, Others { rank: seat.rank, words });
            limits_kept.due().await;
        }
    }));
    while limits.basis() != "share" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn bench_among(limits: &[(&str, Limits)], seat: Option<Seat>) -> Bench {
    let (tasks, shared) = (Tasks::new(), SharedLimits::new("store", None).unwrap());
    if let Some(seat) = seat {
        take(seat, &shared, &tasks).await;
    }
    let providers: Vec<ProviderId> = limits.iter().map(|(id, _)| ProviderId::new(*id)).collect();
    let store = Arc::new(SqliteStore::in_memory(1).unwrap());
    let listed = UpstreamService {
        id: UpstreamServiceId::new("101"),
        name: "Followers".into(),
        type_text: "Default".into(),
        category: "One".into(),
        rate: Decimal::ONE,
        min: 1,
        max: 10_000,
        refill: true,
        cancel: true,
        dripfeed: false,
        desc: None,
    };
    let list = NewCatalogue { fetched_at: NOW, services: vec![listed], ..NewCatalogue::default() };
    for provider in &providers {
        store.put_catalogue(provider, list.clone(), NOW).await.unwrap();
    }
    let terms_of_client = Client::named("ann");
    let key = NewKey { hash: auth::hash_key(KEY), label: String::new(), read_only: false };
    let deposit = "100".parse().unwrap();
    let account = store.create_client(NewClient { terms: terms_of_client, key, deposit }, NOW).await.unwrap();
    let (wire, clock) = (Arc::new(Script::default()), Clock::set_to(NOW));
    let upstream = |id: &ProviderId, limits| {
        let options = UpstreamOptions {
            provider: id.clone(),
            wire: Arc::clone(&wire) as Arc<dyn Wire>,
            key: "key".to_owned().into(),
            limits,
            shared: seat.map(|_| InCompany { limits: shared.clone(), call_lasts: LEASE }),
            rejects: Vec::new(),
            treat_503_as_not_placed: false,
        };
        (id.clone(), Arc::new(Upstream::new(options)))
    };
    let upstreams: Upstreams = providers.iter().zip(limits).map(|(id, (_, limits))| upstream(id, *limits)).collect();
    let (cache, terms) = (Cache::local(1 << 20), terms(&providers));
    let app = App::new(store.clone(), cache, clock.clone(), tasks, upstreams, terms, alone()).await.unwrap();
    Bench { app, store, wire, clock, client: account.client.id }
}

impl Bench {
    async fn place(&self, token: u8) -> Order {
        self.place_as(token, ServiceType::Default).await
    }

    async fn place_as(&self, token: u8, kind: ServiceType) -> Order {
        self.place_of(token, kind, NOW).await
    }

    async fn place_at(&self, token: u8, now: Timestamp) -> Order {
        self.place_of(token, ServiceType::Default, now).await
    }

    async fn place_of(&self, token: u8, kind: ServiceType, now: Timestamp) -> Order {
        let params =
            OrderParams { link: "x".into(), quantity: Some(1000), drip_feed: None, fields: vec![], units: 1000 };
        let order = NewOrder {
            token: OrderToken([token; 16]),
            client: self.client,
            service: ServiceId::new(1).unwrap(),
            kind,
            params,
            charge: "1.2".parse().unwrap(),
        };
        let placement = Placement { order, request: None, now, claimed_until: now };
        match self.app.store.place(placement).await.unwrap() {
            Placed::New(order) => *order,
            other => panic!("{other:?}"),
        }
    }

    async fn sending(&self, token: u8) -> Order {
        let order = self.place(token).await;
        self.app.decide(order, Event::SendStarted(route())).await.unwrap().into_order()
    }

    /// An order that alpha has under this ID.
    async fn placed(&self, token: u8, id: &str) -> Order {
        let order = self.sending(token).await;
        self.app.settle(order, Outcome::Accepted(UpstreamOrderId::new(id))).await
    }

    async fn state(&self, order: &Order) -> State {
        self.app.reread(order.id).await.unwrap().state
    }

    fn later(&self, by: Duration) {
        self.clock.set(self.clock.now().plus(by));
    }
}
