//! A simulated upstream: what it holds, and what it answers when nothing goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::faults::{DUPLICATES, Said};
use super::rng::Rng;

/// How long an equal `add` gives the order that there is.
const DEDUPLICATION: i64 = 120_000;

/// How this panel is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    /// An equal `add` within 120 seconds gives the first one's ID.
    pub(super) deduplicates: bool,
    /// One active order for each link.
    pub(super) locks_links: bool,
    /// Takes many IDs in one `status`.
    pub(super) batches: bool,
    /// Answers for many in a list.
    pub(super) lists: bool,
    /// Gives an ID that it gave before, now and then.
    pub(super) repeats_ids: bool,
}

/// A service that it sells.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) id: &'static str,
    pub(super) flat: bool,
    pub(super) rate: Decimal,
    pub(super) cancel: bool,
}

/// An order that it holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    service: String,
    link: String,
    pub(super) quantity: u64,
    first_charge: Decimal,
    pub(super) charge: Decimal,
    at: i64,
    pub(super) word: &'static str,
    pub(super) remains: u64,
    start: u64,
    /// For a while it says that it does not know it.
    pub(super) hidden: bool,
}

impl Held {
    pub(super) fn is_active(&self) -> bool {
        matches!(self.word, "Pending" | "In progress" | "Processing")
    }

    pub(super) fn report(&mut self, word: &'static str, remains: u64) {
        self.word = word;
        self.remains = remains.min(self.quantity);
        let left = match word {
            "Canceled" | "Refunded" => self.quantity,
            "Partial" => self.remains,
            _ => return,
        };
        self.charge = self.first_charge * Decimal::from(self.quantity - left) / Decimal::from(self.quantity);
        self.charge = self.charge.round_dp(6);
    }

    fn as_json(&self, currency: &str) -> Value {
        json!({
            "charge": self.charge.to_string(), "start_count": self.start.to_string(), "status": self.word,
            "remains": self.remains.to_string(), "currency": currency
        })
    }
}

/// What it did with an `add`.
#[derive(Debug, Clone)]
pub(super) enum Placing {
    /// An order under this ID.
    Placed(String),
    /// It gives the ID of an order that there was.
    Known(String),
    /// Another order is active on that link.
    Locked(&'static str),
    /// It refuses.
    Refused(&'static str),
}

pub(super) struct Panel {
    pub(super) key: String,
    pub(super) currency: &'static str,
    pub(super) traits: Traits,
    pub(super) services: Vec<Listed>,
    pub(super) balance: Decimal,
    pub(super) orders: BTreeMap<String, Held>,
    /// Those that it was told to cancel.
    pub(super) cancels: BTreeSet<String>,
    refills: BTreeMap<String, &'static str>,
    next_id: u64,
}

impl Panel {
    pub(super) fn new(key: &str, currency: &'static str, traits: Traits, services: Vec<Listed>, first_id: u64) -> Self {
        Self {
            key: key.to_owned(),
            currency,
            traits,
            services,
            balance: Decimal::from(40),
            orders: BTreeMap::new(),
            cancels: BTreeSet::new(),
            refills: BTreeMap::new(),
            next_id: first_id,
        }
    }

    fn new_id(&mut self) -> String {
        self.next_id += 1;
        self.next_id.to_string()
    }

    /// Takes an `add`.
    pub(super) fn add(&mut self, form: &BTreeMap<String, String>, now: i64, rng: &mut Rng) -> Placing {
        let Some(service) = self.services.iter().find(|listed| listed.id == form["service"]).cloned() else {
            return Placing::Refused("Incorrect service ID");
        };
        let quantity = form.get("quantity").map_or(1000, |text| text.parse().unwrap());
        let link = form["link"].clone();
        let same = self.orders.iter().find(|(_, held)| {
            held.service == service.id
                && held.link == link
                && held.quantity == quantity
                && now - held.at <= DEDUPLICATION
        });
        if let Some((id, _)) = same.filter(|_| self.traits.deduplicates) {
            return Placing::Known(id.clone());
        }
        if self.traits.locks_links && self.orders.values().any(|held| held.link == link && held.is_active()) {
            let text: &&str = rng.pick(DUPLICATES);
            return Placing::Locked(text);
        }
        let charge = if service.flat {
            service.rate
        } else {
            (service.rate * Decimal::from(quantity) / Decimal::ONE_THOUSAND).round_dp(6)
        };
        if self.balance < charge {
            return Placing::Refused("Not enough funds on balance");
        }
        self.balance -= charge;
        let id = self.new_id();
        let held = Held {
            service: service.id.to_owned(),
            link,
            quantity,
            first_charge: charge,
            charge,
            at: now,
            word: "Pending",
            remains: quantity,
            start: rng.below(5000),
            hidden: false,
        };
        self.orders.insert(id.clone(), held);
        Placing::Placed(id)
    }

    pub(super) fn balance(&self) -> Said {
        Said::ok(json!({ "balance": self.balance.to_string(), "currency": self.currency }).to_string())
    }

    pub(super) fn list(&self) -> Said {
        let rows: Vec<Value> = self
            .services
            .iter()
            .map(|listed| {
                json!({
                    "service": listed.id, "name": format!("Service {}", listed.id), "category": "All",
                    "type": if listed.flat { "Package" } else { "Default" }, "rate": listed.rate.to_string(),
                    "min": "10", "max": "5000", "refill": true, "cancel": listed.cancel
                })
            })
            .collect();
        Said::ok(Value::from(rows).to_string())
    }

    /// A `status`; with it, of which orders it told.
    pub(super) fn status(&self, form: &BTreeMap<String, String>, rng: &mut Rng, calm: bool) -> (Said, Vec<String>) {
        if let Some(id) = form.get("order") {
            return match self.orders.get(id).filter(|held| !held.hidden) {
                Some(held) => (Said::ok(held.as_json(self.currency).to_string()), vec![id.clone()]),
                None => (Said::ok(r#"{"error":"Incorrect order ID"}"#), Vec::new()),
            };
        }
        if !self.traits.batches {
            return (Said::ok(r#"{"error":"Incorrect order ID"}"#), Vec::new());
        }
        let mut told = Vec::new();
        let mut items: Vec<(String, Value)> = Vec::new();
        for id in form["orders"].split(',') {
            if !calm && rng.chance(3) {
                continue;
            }
            match self.orders.get(id).filter(|held| !held.hidden) {
                Some(held) => {
                    told.push(id.to_owned());
                    items.push((id.to_owned(), held.as_json(self.currency)));
                }
                None => items.push((id.to_owned(), json!({ "error": "Incorrect order ID" }))),
            }
        }
        let body = if self.traits.lists {
            let named = items.into_iter().map(|(id, mut item)| {
                item["order"] = json!(id);
                item
            });
            Value::from(named.collect::<Vec<_>>())
        } else {
            Value::Object(items.into_iter().collect())
        };
        (Said::ok(body.to_string()), told)
    }

    pub(super) fn cancel(&mut self, form: &BTreeMap<String, String>, rng: &mut Rng, calm: bool) -> Said {
        let mut items = Vec::new();
        for id in form["orders"].split(',') {
            let Some(held) = self.orders.get_mut(id) else {
                items.push(json!({ "order": id, "cancel": { "error": "Incorrect order ID" } }));
                continue;
            };
            if !calm && rng.chance(5) {
                continue;
            }
            let taken = calm || rng.chance(70);
            self.cancels.insert(id.to_owned());
            if !taken {
                items.push(json!({ "order": id, "cancel": { "error": "Order can no longer be canceled" } }));
                continue;
            }
            if held.is_active() && rng.chance(60) {
                held.report("Canceled", held.quantity);
            }
            items.push(json!({ "order": id, "cancel": 1 }));
        }
        Said::ok(Value::from(items).to_string())
    }

    pub(super) fn refill(&mut self, rng: &mut Rng) -> Said {
        match rng.below(4) {
            0 => Said::ok(r#"{"error":"Refill is disabled for this service"}"#),
            _ => {
                let id = self.new_id();
                self.refills.insert(id.clone(), "Pending");
                Said::ok(json!({ "refill": id }).to_string())
            }
        }
    }

    pub(super) fn refill_status(&mut self, form: &BTreeMap<String, String>, calm: bool, rng: &mut Rng) -> Said {
        let mut word = |refills: &mut BTreeMap<String, &'static str>, id: &str| {
            let word = refills.get_mut(id)?;
            if calm || rng.chance(20) {
                *word = "Completed";
            }
            Some(json!(*word))
        };
        if let Some(id) = form.get("refill") {
            let status = word(&mut self.refills, id);
            return Said::ok(
                status.map_or_else(|| json!({"error": "Refill not found"}), |word| json!({"status": word})).to_string(),
            );
        }
        let items: Vec<Value> = form["refills"]
            .split(',')
            .map(|id| {
                let status = word(&mut self.refills, id).unwrap_or_else(|| json!({ "error": "Refill not found" }));
                json!({ "refill": id, "status": status })
            })
            .collect();
        Said::ok(Value::from(items).to_string())
    }

    /// An ID that it gave to another order before.
    pub(super) fn old_id(&self, rng: &mut Rng) -> Option<String> {
        let ids: Vec<&String> = self.orders.keys().collect();
        (!ids.is_empty()).then(|| (*rng.pick(&ids)).clone())
    }
}
