//! The panel behind the wire: its account, its services, its orders.

mod refills;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use self::refills::{Refill, refill_index};
use super::Options;
use super::action::{Action, Params};
use super::calls::CallLog;
use super::fault::Fault;
use super::journal::Journal;
use super::order::{Order, OrderChange, Placing};
use super::placing::read_placing;
use super::service::SandboxService;
use super::trouble::Trouble;
use crate::domain::money::Money;

/// The number of the first order.
const FIRST_ORDER: u64 = 100_001;
/// The most IDs that one call may carry. See `docs/protocol.md`, "Limits, polling, extensions".
const MOST_IDS: usize = 100;
/// How long the same order gives the same ID, where that is switched on.
const DEDUPE_FOR: Duration = Duration::from_secs(120);

/// What an action gives: its answer, or the text of an error.
type Answer = Result<Value, String>;

/// The whole state of one simulated panel.
pub(super) struct Panel {
    key: String,
    pub(super) services: Vec<SandboxService>,
    orders: Vec<Order>,
    /// The refills; the ID of each is its place here, from 1.
    refills: Vec<Refill>,
    pub(super) balance: Money,
    pub(super) currency: String,
    pub(super) duplicate_lock: bool,
    pub(super) dedupe: bool,
    pub(super) lists_orders: bool,
    speed: u32,
    started: Instant,
    /// When which order may give money back by itself.
    refunds_due: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The latest order for a service and a link.
    latest: HashMap<(u64, String), usize>,
    last_refill: HashMap<usize, usize>,
    journal: Option<Journal>,
    pub(super) trouble: Trouble,
    pub(super) calls: CallLog,
}

impl Panel {
    pub(super) fn new(options: Options) -> std::io::Result<Self> {
        Ok(Self {
            key: options.key,
            services: options.services,
            orders: Vec::new(),
            refills: Vec::new(),
            balance: options.balance,
            currency: options.currency,
            duplicate_lock: options.duplicate_lock,
            dedupe: options.dedupe,
            lists_orders: options.lists_orders,
            speed: options.speed,
            started: Instant::now(),
            refunds_due: BinaryHeap::new(),
            latest: HashMap::new(),
            last_refill: HashMap::new(),
            journal: options.journal.as_deref().map(Journal::open).transpose()?,
            trouble: Trouble::new(options.faults, options.seed),
            calls: CallLog::default(),
        })
    }

    /// The panel's own time since it started: it runs faster than ours by its speed.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed().saturating_mul(self.speed)
    }

    /// Answers one call; `faults` are those that change what the panel says.
    pub(super) fn answer(&mut self, action: Option<Action>, params: &Params, faults: &[Fault]) -> Value {
        let now = self.now();
        self.settle(now);
        if params.get("key") != Some(self.key.as_str()) {
            return error("Invalid API key");
        }
        let answer = match action {
            Some(Action::Services) => Ok(self.list_services(faults)),
            Some(Action::Add) => self.add(params, faults, now),
            Some(Action::Status) => self.status(params, faults, now),
            Some(Action::Refill) => self.refill(params, now),
            Some(Action::RefillStatus) => self.refill_status(params, now),
            Some(Action::Cancel) => self.cancel(params, now),
            Some(Action::Balance) => Ok(self.show_balance(faults)),
            Some(Action::Orders) if self.lists_orders => Ok(self.list_orders(params, now)),
            Some(Action::Orders) | None => Err("Incorrect request".to_owned()),
        };
        answer.unwrap_or_else(|text| error(&text))
    }

    fn list_services(&self, faults: &[Fault]) -> Value {
        let shown = if faults.contains(&Fault::ServicesEmpty) {
            0
        } else if faults.contains(&Fault::ServicesShort) {
            self.services.len() / 2
        } else {
            self.services.len()
        };
        Value::Array(self.services.iter().take(shown).map(SandboxService::to_json).collect())
    }

    fn show_balance(&self, faults: &[Fault]) -> Value {
        let other = if self.currency == "INR" { "USD" } else { "INR" };
        let currency = if faults.contains(&Fault::WrongCurrency) { other } else { &self.currency };
        json!({ "balance": self.balance.to_string(), "currency": currency })
    }

    fn service(&self, id: u64) -> Option<&SandboxService> {
        self.services.iter().find(|service| service.id == id)
    }

    // === Orders ===

    fn add(&mut self, params: &Params, faults: &[Fault], now: Duration) -> Answer {
        let id = params.get("service").and_then(|id| id.parse().ok());
        let service = id.and_then(|id| self.service(id)).ok_or("Incorrect service ID")?;
        let placing = read_placing(service, params)?;
        if let Some(earlier) = self.earlier(&placing) {
            let accepted_lately = now.saturating_sub(earlier.accepted_at) < DEDUPE_FOR.saturating_mul(self.speed);
            if self.dedupe && accepted_lately && earlier.placing.quantity == placing.quantity {
                return Ok(json!({ "order": id_value(&earlier.id) }));
            }
            if self.duplicate_lock && !earlier.has_ended(now) {
                return Err("You have active order with this link. Please wait until order being completed.".to_owned());
            }
        }
        let left = self.balance.checked_sub(placing.charge).filter(|left| *left >= Money::ZERO);
        let left = left.ok_or("Not enough funds on balance")?;
        let before = self.orders.last().map(|order| order.id.clone());
        let id = self.accept(placing, faults.contains(&Fault::AlphanumericIds), now)?;
        self.balance = left;
        let answered = before.filter(|_| faults.contains(&Fault::DuplicateId)).unwrap_or(id);
        let as_text = faults.contains(&Fault::StringIds);
        Ok(json!({ "order": if as_text { Value::String(answered) } else { id_value(&answered) } }))
    }

    fn earlier(&self, placing: &Placing) -> Option<&Order> {
        if placing.subscription || !(self.duplicate_lock || self.dedupe) {
            return None;
        }
        let index = self.latest.get(&(placing.service, placing.link.clone()))?;
        self.orders.get(*index)
    }

    /// Writes the order to the journal and keeps it; gives its ID.
    fn accept(&mut self, placing: Placing, alphanumeric: bool, now: Duration) -> Result<String, String> {
        let index = self.orders.len();
        let number = FIRST_ORDER.saturating_add(u64::try_from(index).unwrap_or(u64::MAX));
        let id = if alphanumeric { format!("SB{number}X") } else { number.to_string() };
        let order = Order::new(id.clone(), number, placing, now);
        if let Some(journal) = &mut self.journal {
            journal.write(&order).map_err(|error| {
                tracing::error!("order {id} is refused, since the sandbox's journal cannot be written: {error}");
                "Maintenance"
            })?;
        }
        self.latest.insert((order.placing.service, order.placing.link.clone()), index);
        if let Some(due) = order.refund_due() {
            self.refunds_due.push(Reverse((due, index)));
        }
        self.orders.push(order);
        Ok(id)
    }

    fn find(&self, id: &str) -> Option<usize> {
        let digits: String = id.chars().filter(char::is_ascii_digit).collect();
        let index = digits.parse::<u64>().ok()?.checked_sub(FIRST_ORDER)?;
        let index = usize::try_from(index).ok()?;
        self.orders.get(index).filter(|order| order.id == id).map(|_| index)
    }

    fn find_or_error(&self, id: &str) -> Result<usize, String> {
        self.find(id).ok_or_else(|| "Incorrect order ID".to_owned())
    }

    /// Gives back what orders that have ended no longer cost.
    fn settle(&mut self, now: Duration) {
        while let Some(Reverse((due, index))) = self.refunds_due.peek().copied()
            && due <= now
        {
            self.refunds_due.pop();
            self.settle_order(index, now);
        }
    }

    fn settle_order(&mut self, index: usize, now: Duration) {
        let Some(order) = self.orders.get_mut(index) else { return };
        let cost = order.cost(now);
        let balance = order.paid.checked_sub(cost).and_then(|back| self.balance.checked_add(back));
        if let Some(balance) = balance {
            self.balance = balance;
            order.paid = cost;
        }
    }

    fn status(&self, params: &Params, faults: &[Fault], now: Duration) -> Answer {
        let flip = faults.contains(&Fault::Flip);
        let show = |id: &str| {
            let order = self.orders.get(self.find_or_error(id)?).ok_or("Incorrect order ID")?;
            Ok::<_, String>(order.to_json(now, &self.currency, flip))
        };
        let Some(ids) = params.list("orders") else {
            return show(params.get("order").unwrap_or_default());
        };
        if faults.contains(&Fault::NoBatch) {
            return Err("Incorrect request".to_owned());
        }
        check_count(&ids)?;
        let left_out = |index: usize| faults.contains(&Fault::MissingIds) && index.is_multiple_of(2);
        let shown = ids.iter().enumerate().filter(|(index, _)| !left_out(*index));
        let answers = shown.map(|(_, id)| ((*id).to_owned(), show(id).unwrap_or_else(|text| error(&text))));
        if faults.contains(&Fault::StatusList) {
            return Ok(Value::Array(answers.map(|(_, answer)| answer).collect()));
        }
        Ok(Value::Object(answers.collect::<Map<_, _>>()))
    }

    /// The latest orders, newest first. See `docs/protocol.md`, "Listing orders".
    fn list_orders(&self, params: &Params, now: Duration) -> Value {
        let limit = params.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(MOST_IDS).min(MOST_IDS);
        let shown = self.orders.iter().rev().take(limit).map(|order| {
            let mut shown = order.to_json(now, &self.currency, false);
            if let Value::Object(fields) = &mut shown {
                fields.insert("order".to_owned(), id_value(&order.id));
                fields.insert("service".to_owned(), order.placing.service.into());
                fields.insert("link".to_owned(), order.placing.link.as_str().into());
                fields.insert("quantity".to_owned(), order.placing.quantity.into());
                fields.insert("created_at".to_owned(), order.at.to_string().into());
            }
            shown
        });
        Value::Array(shown.collect())
    }

    // === Cancels ===

    fn cancel(&mut self, params: &Params, now: Duration) -> Answer {
        let ids = params.list("orders").or_else(|| params.list("order")).ok_or("Incorrect request")?;
        check_count(&ids)?;
        let answers = ids.into_iter().map(|id| {
            let done = self.cancel_one(id, now).map_or_else(|text| error(&text), |()| Value::from(1));
            json!({ "order": id_value(id), "cancel": done })
        });
        Ok(Value::Array(answers.collect()))
    }

    fn cancel_one(&mut self, id: &str, now: Duration) -> Result<(), String> {
        let index = self.find_or_error(id)?;
        let order = self.orders.get(index).ok_or("Incorrect order ID")?;
        if !self.service(order.placing.service).is_some_and(|service| service.cancel) {
            return Err("Order cannot be cancelled".to_owned());
        }
        if order.has_ended(now) && !order.placing.subscription {
            return Err("Order can no longer be canceled".to_owned());
        }
        let order = self.orders.get_mut(index).ok_or("Incorrect order ID")?;
        order.cancel(now);
        if let Some(due) = order.refund_due() {
            self.refunds_due.push(Reverse((due, index)));
        }
        Ok(())
    }

    // === What only the sandbox's owner may do ===

    /// The accepted orders, oldest first, as they stand.
    pub(super) fn accepted(&mut self) -> impl Iterator<Item = (&Order, Value)> {
        let now = self.now();
        self.settle(now);
        let currency = &self.currency;
        self.orders.iter().map(move |order| (order, order.to_json(now, currency, false)))
    }

    /// The balance, with all that has come back by now.
    pub(super) fn settled_balance(&mut self) -> Money {
        self.settle(self.now());
        self.balance
    }

    pub(super) fn order_count(&self) -> usize {
        self.orders.len()
    }

    /// Forces how an order stands; false where there is no such order.
    pub(super) fn set_order(&mut self, id: &str, change: OrderChange) -> bool {
        let now = self.now();
        self.settle(now);
        let Some(index) = self.find(id.trim()) else { return false };
        if let Some(order) = self.orders.get_mut(index) {
            order.forced = change;
        }
        self.settle_order(index, now);
        true
    }

    /// Forces a refill's status word; false where there is no such refill.
    pub(super) fn set_refill(&mut self, id: &str, word: &str) -> bool {
        let found = refill_index(id).and_then(|index| self.refills.get_mut(index));
        found.is_some_and(|refill| {
            refill.forced = Some(word.to_owned());
            true
        })
    }

    /// Changes a service's rate; false where there is no such service.
    pub(super) fn set_rate(&mut self, service: u64, rate: rust_decimal::Decimal) -> bool {
        let found = self.services.iter_mut().find(|known| known.id == service);
        found.is_some_and(|known| {
            known.rate = rate;
            true
        })
    }
}

fn check_count(ids: &[&str]) -> Result<(), String> {
    if ids.len() > MOST_IDS { Err(format!("Maximum {MOST_IDS} orders")) } else { Ok(()) }
}

pub(super) fn error(text: &str) -> Value {
    json!({ "error": text })
}

/// An ID as a panel writes it: a number where it is one.
fn id_value(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from)
}
