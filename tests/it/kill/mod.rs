//! The gateway is killed again and again under load, before upstreams that lose answers. Afterwards nothing is lost,
//! nothing was bought twice, and every amount is exact; then the operator settles what nobody knows, from the
//! upstreams' own books, and that is exact too.
//!
//! `scripts/kill` runs it longer.

mod books;
mod load;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate::sandbox::Options;

use crate::harness::{Config, Gateway, database, eventually, upstream_with};
use books::Books;
use load::{Answered, Shop};

const SHOPS: u32 = 3;
const TASKS_OF_A_SHOP: u32 = 3;
/// How many uncertain orders are settled at once.
const CLERKS: usize = 8;

/// A number from the environment, which `scripts/kill` sets.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Random moments, from a seed.
struct Moments(u64);

impl Moments {
    /// Less than `bound` milliseconds.
    fn within(&mut self, bound: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % bound)
    }
}

/// Kills it this often: mostly while it serves, every fifth time while it starts.
async fn kill_again_and_again(gateway: &mut Gateway, kills: u64, seed: u64, serving: &watch::Sender<Option<String>>) {
    let mut moments = Moments(seed);
    for kill in 1..=kills {
        if kill % 5 == 0 {
            gateway.start_and_kill(moments.within(250)).await;
            continue;
        }
        gateway.launch().await;
        serving.send_replace(Some(gateway.api.clone()));
        // On a database it sends nothing until the place of the one before is over.
        let beside = if gateway.database().is_some() { Duration::from_millis(2200) } else { Duration::ZERO };
        tokio::time::sleep(beside + moments.within(450)).await;
        gateway.kill();
        serving.send_replace(None);
    }
    gateway.launch().await;
}

fn text<'v>(order: &'v Value, field: &str) -> &'v str {
    order[field].as_str().unwrap_or_default()
}

async fn until_no_order_waits(gateway: &Gateway) {
    eventually("every order to leave the queue", || async {
        let waiting = |order: &Value| matches!(text(order, "state"), "queued" | "sending");
        (!gateway.orders().iter().any(waiting)).then_some(())
    })
    .await;
}

/// The operator looks each uncertain order up in the upstreams' books: bound where it was accepted, else refunded.
/// Gives how many.
fn settle(gateway: &Gateway, books: &Books) -> usize {
    let orders = gateway.orders();
    let uncertain: Vec<&Value> = orders.iter().filter(|order| order["state"] == "uncertain").collect();
    std::thread::scope(|scope| {
        for part in uncertain.chunks(uncertain.len().div_ceil(CLERKS).max(1)) {
            scope.spawn(move || {
                for order in part {
                    let id = order["order"].to_string();
                    let how = match books.entry(text(order, "link")) {
                        Some(entry) => vec!["--placed", &entry.id],
                        None => vec!["--refund"],
                    };
                    gateway.cli_json(&[&["orders", "resolve", &id], how.as_slice()].concat());
                }
            });
        }
    });
    uncertain.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_bought_twice_however_often_the_gateway_is_killed() {
    let (kills, seed) = (
        setting("TOLLGATE_KILLS", if database::is_wanted() { 10 } else { 30 }),
        setting("TOLLGATE_KILL_SEED", 20_261_124),
    );
    let folder = tempfile::tempdir().unwrap();
    let panel = |name: &str, faults: &str| Options {
        speed: 20,
        seed,
        faults: faults.parse().unwrap(),
        journal: Some(folder.path().join(name)),
        ..Options::default()
    };
    let faults = "close-after:0.1,close-before:0.05,hang-after:0.02,half-body:0.02,empty:0.02,\
                  error(Not enough funds on balance):0.05,error(Incorrect service ID):0.05";
    let alpha = upstream_with(panel("alpha", faults)).await;
    let beta = upstream_with(panel("beta", "close-after:0.1,server-error:0.05,slow(200):0.1")).await;
    let config = Config::new("[dispatch]\nwait = \"300ms\"")
        .provider("alpha", &alpha, "add_timeout = \"1s\"")
        .provider("beta", &beta, "add_timeout = \"1s\"")
        .service(1, "routes = [\"alpha:1\", \"beta:1\"]");
    let mut gateway = Gateway::start(&config).await;
    gateway.has_all_catalogues().await;
    let shops: Vec<Shop> = (0..SHOPS).map(|number| Shop::open(&gateway, number)).collect();
    for shop in &shops {
        gateway.knows_key(&shop.key).await;
    }
    gateway.kill();

    let answered = Answered::default();
    let (serving, served) = watch::channel(None);
    let mut load = JoinSet::new();
    for shop in &shops {
        for task in 0..TASKS_OF_A_SHOP {
            load.spawn(shop.clone().order_and_ask(task, served.clone(), Arc::clone(&answered)));
        }
    }
    kill_again_and_again(&mut gateway, kills, seed, &serving).await;
    drop(serving);
    load.join_all().await;
    until_no_order_waits(&gateway).await;

    let books = Books::read(folder.path(), &["alpha", "beta"]);
    let answered = load::taken_together(&answered);
    let orders = gateway.orders();
    books.hold(&orders);
    load::all_are_there(&answered, &orders);
    let count = |state: &str| orders.iter().filter(|order| order["state"] == state).count();
    let bound = orders.iter().filter(|order| !text(order, "upstream_order").is_empty()).count();
    let uncertain = count("uncertain");
    gateway.verify();

    let settled = tokio::task::block_in_place(|| settle(&gateway, &books));
    eventually("every placed order to end", || async {
        gateway.edit_store("UPDATE orders SET due_at = 0 WHERE state = 'placed'");
        gateway.cli_json(&["orders", "list", "--state", "placed"]).as_array()?.is_empty().then_some(())
    })
    .await;
    let orders = gateway.orders();
    assert!(orders.iter().all(|order| order["state"] == "closed"), "something is left open");
    books.hold(&orders);
    for shop in &shops {
        shop.balance_is_exact(&gateway, &orders).await;
    }
    assert!(uncertain > 0 && answered.len() as u64 > kills, "there was no load");
    println!(
        "{kills} kills survived: {} IDs answered, {} orders taken, {} accepted upstream ({} by the second route); \
         {bound} placed, {uncertain} uncertain, {settled} settled, 0 lost, 0 doubled",
        answered.len(),
        orders.len(),
        books.len(),
        books.at("beta"),
    );
}
