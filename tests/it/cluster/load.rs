//! What resellers do all the while, at one address: order, ask, ask again where nobody answered, and cancel what takes long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::harness::Gateway;

/// What a gateway says where it can take nothing just now, or no upstream could.
const NOT_NOW: [&str; 2] =
    ["Temporarily unavailable, please try again later", "This service is temporarily unavailable"];
/// What nginx says where no gateway answered it.
const NO_GATEWAY: &str = "Temporarily unavailable";
/// A shop orders no more while so many of a task's last orders wait, so that what waits at the end is soon done; after this
/// time it cancels one of them.
const WAITING: usize = 3;
const PATIENCE: Duration = Duration::from_secs(1);

/// What the shops were told of their orders.
#[derive(Debug, Default)]
pub struct Told {
    /// The shop, the ID, the link.
    pub taken: Vec<(String, u64, String)>,
    /// Links that a gateway refused, so that no order may stand for them.
    pub refused: BTreeSet<String>,
    /// How many were asked for by name more than once, since nobody had answered.
    pub repeated: usize,
}

impl Told {
    pub fn add(&mut self, other: Self) {
        self.taken.extend(other.taken);
        self.refused.extend(other.refused);
        self.repeated += other.repeated;
    }
}

/// One client of the site.
#[derive(Clone)]
pub struct Shopper {
    pub http: reqwest::Client,
    /// The site's API.
    pub api: String,
    pub name: String,
    pub key: String,
}

/// What became of a call.
enum Answered {
    Yes(Value),
    /// A gateway says that it did nothing.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Shopper {
    /// Until the end of the trouble.
    pub async fn order_and_ask(self, task: u32, ended: Arc<AtomicBool>) -> Told {
        let mut told = Told::default();
        for number in 0_u32.. {
            if ended.load(Ordering::Relaxed) {
                break;
            }
            let ending = ["", "/partial", "/cancel"][number as usize % 3];
            let link = format!("https://example.com/{}/{task}/{number}{ending}", self.name);
            let request = format!("{task}-{number}");
            let service = ["1", "2"][number as usize / 2 % 2];
            let name = (number % 2 == 0).then_some(&request);
            self.order(service, link, 50 + number % 50, name, &ended, &mut told).await;
            let ordered = Instant::now();
            loop {
                let waiting = self.waiting(&told).await;
                match waiting.first() {
                    Some(oldest) if waiting.len() > WAITING && ordered.elapsed() >= PATIENCE => {
                        self.call("cancel", &[("orders", oldest)]).await;
                        break;
                    }
                    _ if waiting.len() <= WAITING => break,
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
        told
    }

    async fn order(
        &self,
        service: &str,
        link: String,
        quantity: u32,
        name: Option<&String>,
        ended: &AtomicBool,
        told: &mut Told,
    ) {
        let quantity = quantity.to_string();
        let mut form = vec![("service", service), ("link", link.as_str()), ("quantity", &quantity)];
        form.extend(name.map(|name| ("request_id", name.as_str())));
        let mut unknown = 0;
        loop {
            match self.call("add", &form).await {
                Answered::Yes(answer) => {
                    let order = answer["order"].as_u64().unwrap_or_else(|| panic!("{link}: {answer}"));
                    told.taken.push((self.name.clone(), order, link));
                    break;
                }
                // An earlier try of the same name may have been taken.
                Answered::Refused if unknown == 0 => {
                    told.refused.insert(link);
                    break;
                }
                Answered::Refused | Answered::Unknown if name.is_none() || ended.load(Ordering::Relaxed) => break,
                Answered::Refused | Answered::Unknown => unknown += 1,
            }
        }
        told.repeated += usize::from(unknown > 0);
    }

    /// Which of the last orders have not been begun, oldest first, as far as that can be told now. Whichever gateway is asked
    /// knows what another one has given an ID for.
    async fn waiting(&self, told: &Told) -> Vec<String> {
        let first_of_last = told.taken.len().saturating_sub(10);
        let mut last: Vec<String> = told.taken[first_of_last..].iter().map(|(_, order, _)| order.to_string()).collect();
        if last.is_empty() {
            return last;
        }
        let Answered::Yes(statuses) = self.call("status", &[("orders", &last.join(","))]).await else { return vec![] };
        for id in &last {
            assert!(statuses[id]["status"].is_string(), "order {id} is not known to {}: {statuses}", self.name);
        }
        last.retain(|id| statuses[id]["status"] == "Pending");
        last
    }

    /// Those of these orders, which have ended, that a gateway shows otherwise; nothing where it can't tell just now.
    pub async fn shown_otherwise<'o>(&self, gateway: &Gateway, ended: &[&'o Value]) -> Option<Vec<&'o Value>> {
        let mut differ = Vec::new();
        for part in ended.chunks(100) {
            let ids = part.iter().map(|order| order["order"].to_string()).collect::<Vec<_>>().join(",");
            let shown = gateway.post(&[("key", &self.key), ("action", "status"), ("orders", &ids)]).await;
            if !shown["error"].is_null() {
                return None;
            }
            differ.extend(part.iter().filter(|order| shown[order["order"].to_string()]["status"] != order["status"]));
        }
        Some(differ)
    }

    async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Answered {
        let mut form = vec![("key", self.key.as_str()), ("action", action)];
        form.extend(parameters);
        let answer: Result<Value, reqwest::Error> = async {
            let sent = self.http.post(&self.api).form(&form).send().await?;
            sent.json().await
        }
        .await;
        let answered = match answer {
            Ok(answer) if NOT_NOW.iter().any(|&words| answer["error"] == words) => Answered::Refused,
            Ok(answer) if answer["error"] == NO_GATEWAY => Answered::Unknown,
            Ok(answer) => return Answered::Yes(answer),
            Err(_) => Answered::Unknown,
        };
        // What fails fails at once; the trouble lasts a while.
        tokio::time::sleep(Duration::from_millis(20)).await;
        answered
    }
}

/// Every ID that a shop was given is that shop's order for that link, and nothing that was refused is there.
pub fn is_kept(told: &Told, orders: &[Value]) {
    let by_link: BTreeMap<&str, &Value> = orders.iter().map(|order| (order["link"].as_str().unwrap(), order)).collect();
    assert_eq!(by_link.len(), orders.len(), "an order was taken twice");
    for (shop, id, link) in &told.taken {
        let order = by_link.get(link.as_str()).unwrap_or_else(|| panic!("order {id} for {link} is lost"));
        assert_eq!((order["order"].as_u64(), order["client"].as_str()), (Some(*id), Some(shop.as_str())), "{order}");
    }
    for link in &told.refused {
        assert!(!by_link.contains_key(link.as_str()), "{link} was refused, and taken all the same");
    }
}
