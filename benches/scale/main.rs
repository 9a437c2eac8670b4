//! What one operation costs on a store of many orders, see docs/benchmarks.md, "scale".
//!
//! `scale make STORE` makes an empty store with clients, which `benches/marks/fill.py` fills with orders.
//! `scale add|status|poll STORE ORDERS FIRST TIMES` does so many, one after the other, on a store that was filled with that many
//! orders, and prints microseconds each. FIRST is the number of the first: each does something else. STORE is a file or
//! `postgres://…`.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tollgate::domain::client::Client;
use tollgate::domain::ids::{ClientId, KeyHash, OrderId, OrderToken, ProviderId, ServiceId};
use tollgate::domain::money::Money;
use tollgate::domain::order::{Event, NewOrder, ReportRules};
use tollgate::domain::params::OrderParams;
use tollgate::domain::service_type::ServiceType;
use tollgate::domain::status::{Reported, StatusReport};
use tollgate::domain::time::Timestamp;
use tollgate::store::Store;
use tollgate::store::postgres::PostgresStore;
use tollgate::store::records::{Applied, NewClient, NewKey, Placed, Placement, PollClaim, RequestKey};
use tollgate::store::sqlite::{OpenMode, SqliteStore};

/// The present; all that a store is filled with is from before it.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How many clients there are: order `n` of a filled store is client `(n - 1) % CLIENTS + 1`'s.
const CLIENTS: u32 = 100;
/// How many orders are asked for at once, by clients and of upstreams.
const BATCH: u32 = 100;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", store] => runtime.block_on(make(store)),
        [operation, store, orders, first, times] => {
            let (first, times): (u32, u32) = (first.parse()?, times.parse()?);
            println!("{}", runtime.block_on(measure(operation, store, orders.parse()?, first..first + times))?);
            Ok(())
        }
        // `cargo test --benches` and `cargo bench` run it without a word.
        [] => Ok(()),
        _ => bail!("usage: scale make STORE | scale add|status|poll STORE ORDERS FIRST TIMES"),
    }
}

async fn open(store: &str) -> anyhow::Result<Arc<dyn Store>> {
    let mode = OpenMode::Gateway { first_order_id: 1 };
    Ok(match store.strip_prefix("postgres://") {
        Some(_) => Arc::new(PostgresStore::open(&store.into(), mode).await?),
        None => Arc::new(SqliteStore::open(Path::new(store), mode)?),
    })
}

async fn make(store: &str) -> anyhow::Result<()> {
    let store = open(store).await?;
    for number in 1..=CLIENTS {
        let key = NewKey { hash: KeyHash(spread(number)?), label: "first".into(), read_only: false };
        let terms = Client { daily_limit: Some("1000000".parse()?), ..Client::named(format!("reseller {number}")) };
        store.create_client(NewClient { terms, key, deposit: "10000000".parse()? }, Timestamp::from_millis(0)).await?;
    }
    Ok(())
}

/// Does an operation so many times; gives microseconds each.
async fn measure(operation: &str, store: &str, orders: u32, turns: Range<u32>) -> anyhow::Result<u128> {
    let store = open(store).await?;
    let times = turns.len().max(1);
    let began = Instant::now();
    for turn in turns {
        match operation {
            "add" => add(&store, turn).await?,
            "status" => status(&store, orders, turn).await?,
            "poll" => poll(&store, turn).await?,
            other => bail!("no such operation: {other}"),
        }
    }
    Ok(began.elapsed().as_micros() / u128::try_from(times)?)
}

/// A client places an order under a name of its own.
async fn add(store: &Arc<dyn Store>, turn: u32) -> anyhow::Result<()> {
    let now = NOW.plus(Duration::from_millis(turn.into()));
    let params = OrderParams {
        link: format!("https://instagram.example/p/{turn:08}"),
        quantity: Some(1000),
        drip_feed: None,
        fields: Vec::new(),
        units: 1000,
    };
    let token: [u8; 16] = random()?;
    let order = NewOrder {
        token: OrderToken(token),
        client: ClientId(i64::from(turn % CLIENTS) + 1),
        service: ServiceId::new(1)?,
        kind: ServiceType::Default,
        params,
        charge: Money::from_units(120_000_000),
    };
    let id = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = RequestKey { id, fingerprint: random()?, since: now.minus(Duration::from_secs(86_400)) };
    let claimed_until = now.plus(Duration::from_secs(60));
    let placed = store.place(Placement { order, request: Some(request), now, claimed_until }).await?;
    ensure!(matches!(placed, Placed::New(_)), "an order was not placed: {placed:?}");
    Ok(())
}

/// A client asks for orders of its own from all over the store, which the cache does not have.
async fn status(store: &Arc<dyn Store>, orders: u32, turn: u32) -> anyhow::Result<()> {
    let client = turn % CLIENTS;
    // One order from each hundredth of them.
    let rows = orders / CLIENTS;
    let part = (rows / BATCH).max(1);
    let ids: Vec<OrderId> = (0..BATCH.min(rows))
        .map(|at| {
            let within = turn.wrapping_mul(2_654_435_761).wrapping_add(at.wrapping_mul(40_503)) % part;
            OrderId::new(((at * part + within) * CLIENTS + client + 1).into())
        })
        .collect::<Result<_, _>>()?;
    let found = store.orders_of(ClientId(i64::from(client) + 1), &ids).await?;
    ensure!(found.len() == ids.len(), "only {} orders of {} were found", found.len(), ids.len());
    Ok(())
}

/// What is due at a provider is asked for, and something is new about all of it.
async fn poll(store: &Arc<dyn Store>, turn: u32) -> anyhow::Result<()> {
    let provider = ProviderId::new("alpha");
    let now = NOW.plus(Duration::from_secs(3600).saturating_mul(turn + 1));
    ensure!(store.has_due_polls(&provider, now, 100).await?, "too little is due");
    let claim = PollClaim { now, until: now.plus(Duration::from_secs(120)), limit: 100, along_before: now };
    let claimed = store.claim_polls(&provider, claim).await?;
    ensure!(claimed.len() == 100, "only {} orders were claimed", claimed.len());
    let rules = ReportRules {
        partial_is_final: true,
        exchange_rate: "1.08".parse()?,
        watch_closed: Duration::from_secs(30 * 86_400),
    };
    let report = |remains: u64| StatusReport {
        status: Reported::read("In progress"),
        charge: Some("0.90".parse().unwrap_or_default()),
        start_count: Some(5),
        remains: Some(remains),
        runs: None,
        currency: None,
    };
    let steps = claimed.iter().map(|order| {
        let news = report(order.progress.remains.unwrap_or(1000).saturating_sub(1));
        order.step(Event::Reported(news, rules), now)
    });
    let applied = store.apply_all(steps.collect::<Result<_, _>>()?).await?;
    ensure!(applied.iter().all(|applied| *applied == Applied::Done), "a step was not written");
    Ok(())
}

/// 32 bytes that differ for each number.
fn spread(number: u32) -> anyhow::Result<[u8; 32]> {
    let mut bytes = random::<32>()?;
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Ok(bytes)
}

fn random<const LENGTH: usize>() -> anyhow::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(bytes)
}
