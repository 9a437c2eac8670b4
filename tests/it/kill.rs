//! The gateway is killed again and again under load, before an upstream that loses answers. Afterwards nothing is
//! lost, nothing was bought twice, and every amount is exact.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate::domain::money::Money;
use tollgate::sandbox::{AcceptedOrder, Options};

use crate::harness::gateway::CLIENT;
use crate::harness::{Caller, Config, Gateway, eventually, upstream_with};

const KILLS: u32 = 20;
const CLIENTS: u32 = 6;
const SEED: u64 = 20_261_124;

/// The orders that clients were given an ID for, each with its link.
type Answered = Arc<Mutex<Vec<(u64, String)>>>;

/// Milliseconds between two kills, from a seed.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(50 + (self.0 >> 33) % 950)
    }
}

/// One client: orders under links of its own, and asks for what it has, wherever the gateway is just now.
async fn order_and_ask(name: u32, mut gateway: watch::Receiver<Option<Caller>>, answered: Answered) {
    for number in 0_u32.. {
        let Ok(caller) = gateway.wait_for(Option::is_some).await.map(|caller| caller.clone()) else { return };
        let Some(caller) = caller else { return };
        let link = format!("https://example.com/{name}/{number}{}", ["", "/partial", "/cancel"][number as usize % 3]);
        let Ok(answer) = caller.add(1, &link, 50 + number % 50).await else {
            // The gateway is gone, and nobody knows whether it has the order.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let order = answer["order"].as_u64().unwrap_or_else(|| panic!("{link} was refused: {answer}"));
        answered.lock().unwrap_or_else(PoisonError::into_inner).push((order, link));
        if let Ok(status) = caller.call("status", &[("order", &order.to_string())]).await {
            assert!(status["status"].is_string(), "order {order} is not known to its client: {status}");
        }
    }
}

async fn run(gateway: &mut Gateway, caller: &watch::Sender<Option<Caller>>) {
    let mut moments = Moments(SEED);
    for _ in 0..KILLS {
        caller.send_replace(Some(gateway.caller()));
        tokio::time::sleep(moments.next()).await;
        gateway.kill();
        caller.send_replace(None);
        gateway.launch().await;
    }
}

fn money(value: &Value) -> Money {
    value.as_str().unwrap().parse().unwrap()
}

fn text<'v>(order: &'v Value, field: &str) -> &'v str {
    order[field].as_str().unwrap_or_default()
}

/// Each accepted order belongs to one of ours, and none was bought twice.
fn check_accepted(accepted: &[AcceptedOrder], by_link: &HashMap<&str, &Value>) {
    let mut bought = HashMap::new();
    for order in accepted {
        assert_eq!(bought.insert(order.link.as_str(), order), None, "{} was bought twice", order.link);
        let ours = by_link.get(order.link.as_str()).unwrap_or_else(|| panic!("{} is forgotten", order.link));
        match text(ours, "state") {
            "placed" | "closed" => assert_eq!(text(ours, "upstream_order"), order.id, "{ours}"),
            state => assert_eq!(state, "uncertain", "{ours}"),
        }
    }
    for (link, ours) in by_link {
        let id = text(ours, "upstream_order");
        assert!(id.is_empty() || bought.get(link).is_some_and(|order| order.id == id), "{ours}");
    }
}

/// The balance is what was paid in, less what each order still costs.
async fn check_money(gateway: &Gateway, orders: &[Value], deposit: &str) {
    let mut balance: Money = deposit.parse().unwrap();
    for order in orders {
        balance = balance.checked_sub(money(&order["charge"])).unwrap();
        balance = balance.checked_add(money(&order["refunded"])).unwrap();
        let all_back = order["charge"] == order["refunded"];
        assert_eq!(all_back, text(order, "status") == "Canceled", "{order}");
    }
    assert_eq!(gateway.balance().await, balance.to_string());
    assert_eq!(money(&gateway.cli_json(&["client", "show", CLIENT])["balance"]), balance);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_bought_twice_however_often_the_gateway_is_killed() {
    let faults = "close-after:0.1,close-before:0.05,hang-after:0.02,half-body:0.02,empty:0.02";
    let speed = 20;
    let options = Options { speed, seed: SEED, faults: faults.parse().unwrap(), ..Options::default() };
    let alpha = upstream_with(options).await;
    let config = Config::new("[dispatch]\nwait = \"300ms\"")
        .provider("alpha", &alpha, "add_timeout = \"1s\"")
        .service(1, "routes = [\"alpha:1\"]");
    let mut gateway = Gateway::start(&config).await;
    let answered = Answered::default();
    let (caller, callers) = watch::channel(None);
    let mut clients = JoinSet::new();
    for name in 0..CLIENTS {
        clients.spawn(order_and_ask(name, callers.clone(), Arc::clone(&answered)));
    }
    run(&mut gateway, &caller).await;
    drop(caller);
    clients.join_all().await;
    eventually("every order to leave the queue", || async {
        let waiting = |order: &Value| matches!(text(order, "state"), "queued" | "sending");
        (!gateway.orders().iter().any(waiting)).then_some(())
    })
    .await;

    let orders = gateway.orders();
    let by_link: HashMap<&str, &Value> = orders.iter().map(|order| (text(order, "link"), order)).collect();
    assert_eq!(by_link.len(), orders.len(), "an order was taken twice");
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (id, link) in &answered {
        let order = by_link.get(link.as_str()).unwrap_or_else(|| panic!("order {id} for {link} is lost"));
        assert_eq!(order["order"].as_u64(), Some(*id));
    }
    let accepted = alpha.orders();
    check_accepted(&accepted, &by_link);
    eventually("every placed order to end", || async {
        gateway.edit_store("UPDATE orders SET due_at = 0 WHERE state = 'placed'");
        gateway.cli_json(&["orders", "list", "--state", "placed"]).as_array()?.is_empty().then_some(())
    })
    .await;
    let orders = gateway.orders();
    check_money(&gateway, &orders, crate::harness::gateway::DEPOSIT).await;
    let uncertain = orders.iter().filter(|order| order["state"] == "uncertain").count();
    assert!(uncertain > 0 && answered.len() > KILLS as usize, "there was no load");
    println!(
        "{KILLS} kills, {} orders answered, {} taken, {} accepted upstream, {uncertain} uncertain",
        answered.len(),
        orders.len(),
        accepted.len(),
    );
}
