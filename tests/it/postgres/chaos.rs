//! The server is restarted, and connections to it are cut, while orders come in: each `add` is answered by an order that
//! is there, or by a refusal of one that is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tollgate::domain::money::Money;
use tollgate::sandbox::Sandbox;

use super::config_with;
use crate::harness::{Caller, Cluster, Gateway, eventually, upstream};

const DEPOSIT: &str = "100000";
const TASKS: u32 = 8;

/// What clients were told of their orders, by link.
#[derive(Debug, Default)]
struct Told {
    taken: BTreeMap<String, u64>,
    refused: BTreeSet<String>,
}

/// Orders until the end of the trouble.
async fn order_on(caller: Caller, task: u32, ended: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    for number in 0_u32.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let link = format!("https://example.com/{task}/{number}");
        let answer = caller.add(1, &link, 100).await.unwrap();
        match answer["order"].as_u64() {
            Some(order) => drop(told.taken.insert(link, order)),
            None => {
                assert!(answer["error"].is_string(), "{answer}");
                told.refused.insert(link);
                // A refusal is quick; the trouble lasts a while.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    told
}

fn text<'v>(order: &'v Value, field: &str) -> &'v str {
    order[field].as_str().unwrap_or_default()
}

fn money(value: &Value) -> Money {
    value.as_str().unwrap().parse().unwrap()
}

/// Nothing is lost, doubled or charged without an answer that says so.
async fn is_exact(gateway: &Gateway, alpha: &Sandbox, told: &Told) {
    eventually("every order to leave the queue", || async {
        let waits = |order: &Value| matches!(text(order, "state"), "queued" | "sending");
        (!gateway.orders().iter().any(waits)).then_some(())
    })
    .await;
    let orders = gateway.orders();
    let by_link: BTreeMap<String, u64> =
        orders.iter().map(|order| (text(order, "link").to_owned(), order["order"].as_u64().unwrap())).collect();
    assert_eq!(by_link.len(), orders.len(), "an order was taken twice");
    assert_eq!(by_link, told.taken, "what is there is what was answered");
    let upstream_orders = alpha.orders();
    let links: BTreeSet<&str> = upstream_orders.iter().map(|order| order.link.as_str()).collect();
    assert_eq!(links.len(), upstream_orders.len(), "an order was bought twice");
    assert!(told.refused.iter().all(|link| !links.contains(link.as_str())), "what was refused was sent");
    let mut balance: Money = DEPOSIT.parse().unwrap();
    for order in &orders {
        assert!(matches!(text(order, "state"), "placed" | "closed"), "{order}");
        assert!(links.contains(text(order, "link")), "{order}");
        balance = balance.checked_sub(money(&order["charge"])).unwrap();
        balance = balance.checked_add(money(&order["refunded"])).unwrap();
    }
    assert_eq!(gateway.balance().await.parse::<Money>().unwrap(), balance);
    gateway.verify();
    println!("{} orders taken, {} refused, 0 lost, 0 doubled", told.taken.len(), told.refused.len());
    assert!(told.taken.len() > 50 && !told.refused.is_empty(), "there was no load, or no trouble");
}

async fn under_load(trouble: impl AsyncFnOnce(&mut Cluster, &Sandbox)) {
    let mut cluster = Cluster::start();
    let url = cluster.new_database().await;
    let alpha = upstream(20).await;
    let mut gateway = Gateway::prepare(&config_with(&url, &alpha));
    gateway.launch().await;
    gateway.key = gateway.add_client("steady", &["--deposit", DEPOSIT]);
    gateway.knows_key(&gateway.key).await;
    let ended = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for task in 0..TASKS {
        load.spawn(order_on(gateway.caller(), task, Arc::clone(&ended)));
    }
    eventually("the load", || async { (alpha.order_count() > 20).then_some(()) }).await;
    trouble(&mut cluster, &alpha).await;
    ended.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    for one in load.join_all().await {
        told.taken.extend(one.taken);
        told.refused.extend(one.refused);
    }
    is_exact(&gateway, &alpha, &told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_exact_through_restarts_of_the_server() {
    under_load(async |cluster, alpha| {
        for round in 0..6 {
            // By turns as a crash and as an operator ends it.
            if round % 2 == 0 {
                cluster.kill()
            } else {
                cluster.stop()
            }
            cluster.restart();
            drop(cluster.connect("postgres").await);
            let before = alpha.order_count();
            eventually("orders after a restart", || async { (alpha.order_count() > before + 20).then_some(()) }).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_exact_through_connections_that_are_cut() {
    under_load(async |cluster, _alpha| {
        let database = cluster.connect("postgres").await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE application_name = 'tollgate' AND random() < 0.3";
        for _ in 0..150 {
            database.batch_execute(cut).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
