//! Several gateways through all that can befall them, under load: one is killed, one is stopped for longer than the lease
//! of what it sends and goes on, PostgreSQL crashes and comes back, Redis is killed, emptied, frozen, and out of reach for one
//! of them. Afterwards nothing is lost, nothing was bought twice, every amount is exact, no provider was called more than it
//! allows, and each gateway shows what the store holds.
//!
//! `scripts/cluster-chaos` runs it longer.

mod limits;
mod load;
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tollgate::sandbox::Sandbox;

use crate::harness::gateway::signal;
use crate::harness::{Way, eventually};
use crate::kill::books::Books;
use crate::kill::load::balance_is_exact;
use crate::kill::{Moments, setting, settle, text, until_no_order_waits};
use limits::{Change, Round};
use load::{Shopper, Told};
use site::{ALLOWED, PATIENCE, PROVIDERS, Site};

const SHOPS: u32 = 3;
const TASKS_OF_A_SHOP: u32 = 8;
/// An order that is being sent is its gateway's until its provider's patience has ended, and thirty seconds more.
const LEASE: Duration = Duration::from_secs(1 + PATIENCE.as_secs() + 30);
/// How long a change may take to get around: two seconds, and room for a busy machine.
const SOON: Duration = Duration::from_secs(5);
/// For so long all is looked at again: longer than gateways leave Redis aside after a change.
const LOOKED_FOR: Duration = Duration::from_secs(2);
/// Orders that are looked at after a round: the newest that have ended.
const LOOKED_AT: usize = 2000;
const ALL: [usize; 3] = [0, 1, 2];
/// Those that are not stopped.
const RUNNING: [usize; 2] = [0, 1];

/// Each kind of trouble once, in turn, at random moments. Gives when what calls were let out by ended.
async fn make_trouble(site: &mut Site, shops: &[Shopper], moments: &mut Moments) -> Vec<Change> {
    let mut changes = Vec::new();
    for trouble in 0..6 {
        sleep(moments.within(1500)).await;
        match trouble {
            0 => {
                let by_redis = site.until_by_redis(&RUNNING).await;
                site.redis.freeze();
                changes.push((by_redis, Instant::now()));
                // For so long that all go by their shares, with all that had to wait meanwhile.
                changes.push(site.until_by_share(&RUNNING, by_redis).await);
                sleep(Duration::from_secs(3) + moments.within(1000)).await;
                site.redis.thaw();
            }
            1 => {
                site.gateways[0].kill();
                sleep(moments.within(1000)).await;
                site.gateways[0].launch().await;
            }
            2 => {
                let by_redis = site.until_by_redis(&RUNNING).await;
                site.redis.kill();
                changes.push((by_redis, Instant::now()));
                changes.push(site.until_by_share(&RUNNING, by_redis).await);
                sleep(moments.within(1000)).await;
                site.redis.launch().await;
            }
            3 => {
                let by_redis = site.until_by_redis(&RUNNING).await;
                site.redis.flush().await;
                changes.push((by_redis, Instant::now()));
            }
            4 => changes.push(cut_one_off(site, shops, moments).await),
            _ => {
                site.database.kill();
                sleep(moments.within(500)).await;
                site.database.restart();
                drop(site.database.connect("postgres").await);
            }
        }
    }
    changes
}

/// One gateway alone does not reach Redis, and is killed before it can tell it of what it has changed meanwhile. The other
/// one reads on there. Gives the change.
async fn cut_one_off(site: &mut Site, shops: &[Shopper], moments: &mut Moments) -> Change {
    let by_redis = site.until_by_redis(&RUNNING).await;
    site.way_to_redis.be(Way::Cut);
    let by_share = site.until_by_share(&RUNNING, by_redis).await;
    sleep(Duration::from_secs(2) + moments.within(1000)).await;
    site.gateways[1].kill();
    all_show_what_the_store_holds(site, shops, &[0]).await;
    site.gateways[1].launch().await;
    site.way_to_redis.be(Way::Open);
    by_share
}

/// Stops the last gateway for longer than its leases, and makes trouble for the others.
async fn one_round(site: &mut Site, shops: &[Shopper], moments: &mut Moments) -> Round {
    let begun = Instant::now();
    let stopped = site.gateways[2].pid();
    signal(stopped, "STOP");
    let until = Instant::now() + LEASE + moments.within(3000);
    let changes = make_trouble(site, shops, moments).await;
    sleep_until(until).await;
    let went_on = Instant::now();
    signal(stopped, "CONT");
    // It takes calls again, and so may all others.
    let before = site.upstreams.iter().map(Sandbox::order_count).sum::<usize>();
    eventually("orders after the trouble", || async {
        (site.upstreams.iter().map(Sandbox::order_count).sum::<usize>() > before + 20).then_some(())
    })
    .await;
    site.until_by_redis(&ALL).await;
    all_show_what_the_store_holds(site, shops, &ALL).await;
    Round { begun, changes, went_on, ended: Instant::now() }
}

/// Each of these gateways shows of every order that has ended that it has, and how, as soon as that can have got around, and
/// from then on: until Redis is believed again.
async fn all_show_what_the_store_holds(site: &Site, shops: &[Shopper], gateways: &[usize]) {
    let listed = site.any().cli_json(&["orders", "list", "--state", "closed", "--limit", &LOOKED_AT.to_string()]);
    let listed_at = Instant::now();
    let ended_of = |shop: &Shopper| -> Vec<&Value> {
        listed.as_array().unwrap().iter().filter(|order| text(order, "client") == shop.name).collect()
    };
    let shops: Vec<(&Shopper, Vec<&Value>)> = shops.iter().map(|shop| (shop, ended_of(shop))).collect();
    eventually("gateways to show how orders have ended", || async {
        let (asked_at, mut all_agree) = (Instant::now(), true);
        for gateway in gateways.iter().map(|&number| &site.gateways[number]) {
            for (shop, ended) in &shops {
                let differ = shop.shown_otherwise(gateway, ended).await?;
                let is_late = asked_at > listed_at + SOON;
                assert!(!is_late || differ.is_empty(), "{} shows otherwise: {differ:?}", gateway.api);
                all_agree &= differ.is_empty();
            }
        }
        (all_agree && asked_at > listed_at + LOOKED_FOR).then_some(())
    })
    .await;
}

async fn trade(shops: &[Shopper], trouble: impl Future<Output = ()>) -> Told {
    let ended = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for shop in shops {
        for task in 0..TASKS_OF_A_SHOP {
            load.spawn(shop.clone().order_and_ask(task, Arc::clone(&ended)));
        }
    }
    trouble.await;
    ended.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    load.join_all().await.into_iter().for_each(|one| told.add(one));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_lose_nothing_and_buy_nothing_twice_in_trouble() {
    let (rounds, seed) = (setting("TOLLGATE_CHAOS_ROUNDS", 1), setting("TOLLGATE_CHAOS_SEED", 20_261_124));
    let mut site = Site::start(seed).await;
    let shops: Vec<Shopper> = (0..SHOPS).map(|number| site.open_shop(number)).collect();
    for gateway in &site.gateways {
        gateway.has_all_catalogues().await;
        for shop in &shops {
            gateway.knows_key(&shop.key).await;
        }
    }
    let mut moments = Moments(seed);
    let mut seen = Vec::new();
    let told = trade(&shops, async {
        for _ in 0..rounds {
            let round = one_round(&mut site, &shops, &mut moments).await;
            for (allowed, upstream) in ALLOWED.iter().zip(&site.upstreams) {
                seen.push(allowed.holds(&upstream.calls(), &round).unwrap());
            }
        }
    })
    .await;

    site.come_to_rest().await;
    let gateway = site.any();
    until_no_order_waits(gateway).await;
    let books = Books::read(site.journals(), &PROVIDERS);
    let orders = gateway.orders();
    books.hold(&orders);
    load::is_kept(&told, &orders);
    let uncertain = orders.iter().filter(|order| text(order, "state") == "uncertain").count();
    gateway.verify();
    let settled = tokio::task::block_in_place(|| settle(gateway, &books));
    eventually("every placed order to end", || async {
        gateway.polls_are_due();
        gateway.cli_json(&["orders", "list", "--state", "placed"]).as_array()?.is_empty().then_some(())
    })
    .await;
    let orders = gateway.orders();
    let open: Vec<&Value> = orders.iter().filter(|order| order["state"] != "closed").collect();
    assert!(open.is_empty(), "left open: {open:?}");
    books.hold(&orders);
    for shop in &shops {
        balance_is_exact(gateway, &shop.name, &shop.key, &orders).await;
    }
    println!(
        "{} orders answered, {} refused, {} asked for again, {} taken, {} accepted upstream, {uncertain} uncertain, {settled} settled, \
         0 lost, 0 doubled; calls upstream, and how many at once, in each round: {seen:?}",
        told.taken.len(),
        told.refused.len(),
        told.repeated,
        orders.len(),
        books.len(),
    );
    assert!(told.taken.len() > 200, "there was no load");
}
