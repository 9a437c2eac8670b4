//! Several gateways through all that can befall them, under load: one is killed, one is stopped for longer than the lease
//! of what it sends and goes on, PostgreSQL crashes and comes back, Redis is killed, emptied, frozen. Afterwards nothing is
//! lost, nothing was bought twice, every amount is exact, and no provider was called faster than it allows.
//!
//! `scripts/cluster-chaos` runs it longer.

mod load;
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tollgate::sandbox::Sandbox;

use crate::harness::eventually;
use crate::harness::gateway::signal;
use crate::kill::books::Books;
use crate::kill::load::balance_is_exact;
use crate::kill::{Moments, setting, settle, text, until_no_order_waits};
use load::{Shopper, Told};
use site::{BURST, IN_FLIGHT, PROVIDERS, RATE, Site};

const SHOPS: u32 = 3;
const TASKS_OF_A_SHOP: u32 = 5;
/// What a provider allows in half a second: calls may be on their way for so long. Gateways that counted each for itself
/// would be over it within a second.
const DELAYED: u32 = RATE / 2;
/// An order that is being sent is its gateway's for the provider's time-outs, a second each, and thirty more.
const LEASE: Duration = Duration::from_secs(32);

/// Each kind of trouble once, in turn, at random moments; the last gateway is stopped meanwhile.
async fn make_trouble(site: &mut Site, moments: &mut Moments) {
    for trouble in 0..6 {
        sleep(moments.within(1500)).await;
        match trouble {
            0 => {
                site.gateways[0].kill();
                sleep(moments.within(1000)).await;
                site.gateways[0].launch().await;
            }
            1 => {
                site.redis.kill();
                sleep(moments.within(2000)).await;
                site.redis.launch().await;
            }
            2 => {
                site.database.kill();
                sleep(moments.within(500)).await;
                site.database.restart();
                drop(site.database.connect("postgres").await);
            }
            3 => site.redis.flush().await,
            4 => {
                site.redis.freeze();
                sleep(moments.within(2000)).await;
                site.redis.thaw();
            }
            _ => {
                site.gateways[1].kill();
                site.gateways[1].launch().await;
            }
        }
    }
}

/// Stops the last gateway for longer than its leases, and makes trouble for the others.
async fn one_round(site: &mut Site, moments: &mut Moments) {
    let stopped = site.gateways[2].pid();
    signal(stopped, "STOP");
    let until = Instant::now() + LEASE + moments.within(3000);
    make_trouble(site, moments).await;
    sleep_until(until).await;
    signal(stopped, "CONT");
    // It takes calls again, and so may all others.
    let before = site.upstreams.iter().map(Sandbox::order_count).sum::<usize>();
    eventually("orders after the trouble", || async {
        (site.upstreams.iter().map(Sandbox::order_count).sum::<usize>() > before + 20).then_some(())
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

/// In any time, no more calls came than the burst and the rate allow. Those that a stopped gateway had been let out for
/// come when it goes on, and a busy machine delays each by something. Gives how many came.
fn keeps_to_the_limit(upstream: &Sandbox, stops: u32) -> usize {
    let calls = upstream.calls();
    let period = Duration::from_secs(1) / RATE;
    let at_once = BURST + IN_FLIGHT * stops + DELAYED + 1;
    let mut due = calls[0].at;
    for call in &calls {
        due = due.max(call.at) + period;
        let ahead = due.duration_since(call.at);
        assert!(
            ahead <= period * at_once,
            "{ahead:?} ahead of a call every {period:?}, where {at_once} may come at once"
        );
    }
    calls.len()
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
    let told = trade(&shops, async {
        for _ in 0..rounds {
            one_round(&mut site, &mut moments).await;
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
    let calls: usize =
        site.upstreams.iter().map(|upstream| keeps_to_the_limit(upstream, u32::try_from(rounds).unwrap())).sum();
    println!(
        "{} orders answered, {} refused, {} asked for again, {} taken, {} accepted upstream, {uncertain} uncertain, {settled} settled, \
         0 lost, 0 doubled, {calls} calls upstream within their limits",
        told.taken.len(),
        told.refused.len(),
        told.repeated,
        orders.len(),
        books.len(),
    );
    assert!(told.taken.len() > 200, "there was no load");
}
