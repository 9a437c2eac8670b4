//! What resellers do all the while: order, ask, cancel, and ask again where the gateway was gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tollgate::domain::money::Money;

use super::text;
use crate::harness::gateway::DEPOSIT;
use crate::harness::{Caller, Gateway};

/// The orders that a shop was given an ID for: the shop, the ID, the link.
pub type Answered = Arc<Mutex<Vec<(String, u64, String)>>>;

pub fn taken_together(answered: &Answered) -> Vec<(String, u64, String)> {
    answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Every ID that a shop was given is that shop's order for that link.
pub fn all_are_there(answered: &[(String, u64, String)], orders: &[Value]) {
    let by_link: HashMap<&str, &Value> = orders.iter().map(|order| (text(order, "link"), order)).collect();
    for (shop, id, link) in answered {
        let order = by_link.get(link.as_str()).unwrap_or_else(|| panic!("order {id} for {link} is lost"));
        assert_eq!((order["order"].as_u64(), text(order, "client")), (Some(*id), shop.as_str()), "{order}");
    }
}

fn money(value: &Value) -> Money {
    value.as_str().unwrap().parse().unwrap()
}

/// One client with its key.
#[derive(Clone)]
pub struct Shop {
    pub name: String,
    pub key: String,
    caller: Caller,
}

impl Shop {
    pub fn open(gateway: &Gateway, number: u32) -> Self {
        let name = format!("shop-{number}");
        let key = gateway.add_client(&name, &["--deposit", DEPOSIT]);
        Self { caller: gateway.caller_of(&key), name, key }
    }

    /// Until nobody kills any more. `serving`: where the gateway is just now, if it runs.
    pub async fn order_and_ask(self, task: u32, mut serving: watch::Receiver<Option<String>>, answered: Answered) {
        let mut known: Vec<u64> = Vec::new();
        for number in 0_u32.. {
            let ending = ["", "/partial", "/cancel"][number as usize % 3];
            let link = format!("https://example.com/{}/{task}/{number}{ending}", self.name);
            let request = format!("{task}-{number}");
            // Every second one has a name by which it is asked for until there is an answer.
            let request_id = (number % 2 == 0).then_some(request.as_str());
            let Some(order) = self.order(&link, 50 + number % 50, request_id, &mut serving).await else {
                if serving.has_changed().is_err() {
                    return;
                }
                continue;
            };
            answered.lock().unwrap_or_else(PoisonError::into_inner).push((self.name.clone(), order, link));
            known.push(order);
            self.ask_for(&known, &mut serving).await;
            if number % 7 == 3 {
                self.cancel(known[known.len() / 2], &mut serving).await;
            }
        }
    }

    /// Calls the gateway where it is now; `None` where it is gone, or goes before it has answered.
    async fn call(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
        serving: &mut watch::Receiver<Option<String>>,
    ) -> Option<Value> {
        let mut caller = self.caller.clone();
        caller.api = serving.wait_for(Option::is_some).await.ok()?.clone()?;
        let answer = caller.call(action, parameters).await;
        if answer.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answer.ok()
    }

    /// The order's ID; `None` where nobody knows whether the gateway has it.
    async fn order(
        &self,
        link: &str,
        quantity: u32,
        request_id: Option<&str>,
        serving: &mut watch::Receiver<Option<String>>,
    ) -> Option<u64> {
        let quantity = quantity.to_string();
        let mut parameters = vec![("service", "1"), ("link", link), ("quantity", quantity.as_str())];
        parameters.extend(request_id.map(|id| ("request_id", id)));
        loop {
            match self.call("add", &parameters, serving).await {
                Some(answer) => {
                    let refused = || panic!("{link} was refused: {answer}");
                    return Some(answer["order"].as_u64().unwrap_or_else(refused));
                }
                None if request_id.is_none() || serving.has_changed().is_err() => return None,
                None => {}
            }
        }
    }

    /// What this shop was given an ID for is known to the gateway, whatever became of it since.
    async fn ask_for(&self, known: &[u64], serving: &mut watch::Receiver<Option<String>>) {
        let last: Vec<String> = known.iter().rev().take(10).map(u64::to_string).collect();
        let ids = last.join(",");
        let Some(statuses) = self.call("status", &[("orders", &ids)], serving).await else { return };
        for id in &last {
            assert!(statuses[id]["status"].is_string(), "order {id} is not known to {}: {statuses}", self.name);
        }
    }

    async fn cancel(&self, order: u64, serving: &mut watch::Receiver<Option<String>>) {
        let id = order.to_string();
        let Some(answer) = self.call("cancel", &[("orders", &id)], serving).await else { return };
        assert_eq!(answer[0]["order"].as_u64(), Some(order), "{answer}");
    }
}

/// The balance is what was paid in, less what each order still costs; and is the sum of the ledger.
pub async fn balance_is_exact(gateway: &Gateway, shop: &str, key: &str, orders: &[Value]) {
    let mut balance: Money = DEPOSIT.parse().unwrap();
    for order in orders.iter().filter(|order| text(order, "client") == shop) {
        balance = balance.checked_sub(money(&order["charge"])).unwrap();
        balance = balance.checked_add(money(&order["refunded"])).unwrap();
        let all_back = order["charge"] == order["refunded"];
        assert_eq!(all_back, text(order, "status") == "Canceled", "{order}");
    }
    let told = gateway.post(&[("key", key), ("action", "balance")]).await;
    assert_eq!(money(&told["balance"]), balance, "{shop}");
    let ledger = gateway.cli_json(&["client", "ledger", shop]);
    let add = |sum: Money, entry: &Value| sum.checked_add(money(&entry["amount"])).unwrap();
    assert_eq!(ledger.as_array().unwrap().iter().fold(Money::ZERO, add), balance, "{shop}");
}
