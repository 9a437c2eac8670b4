//! Resellers: what they ask, and whether what they are answered can be true.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinHandle;

use super::faults;
use super::rng::Rng;
use super::world::World;
use crate::app::App;
use crate::app::auth::hash_key;
use crate::app::call::{Answer, Params};
use crate::domain::client::Client;
use crate::domain::ids::{ClientId, OrderId, RefillId};
use crate::domain::money::Money;
use crate::store::Store;
use crate::store::records::{NewClient, NewKey};
use crate::store::sqlite::SqliteStore;
use crate::task::Tasks;

const NOBODYS: &str = "Incorrect order ID";
/// What is told in words of our own.
const OURS: &[&str] = &[
    "Not enough funds on balance",
    "Daily limit exceeded",
    "Incorrect service ID",
    "This service is temporarily unavailable",
    "This service is temporarily unavailable, the order was not placed",
    "You have active order with this link. Please wait until order being completed.",
    "The order was refused: check its link and quantity",
    "Quantity less than minimal 10",
    "This request_id was used with other parameters",
    "Temporarily unavailable, please try again later",
];

pub(super) struct Reseller {
    pub(super) id: ClientId,
    pub(super) name: &'static str,
    key: String,
}

#[derive(Debug, Clone)]
pub(super) enum Asked {
    Add { request: Option<String> },
    Status(Vec<OrderId>),
    Cancel(Vec<OrderId>),
    Refill(OrderId),
    Balance,
}

pub(super) struct Call {
    pub(super) client: usize,
    pub(super) asked: Asked,
    task: u64,
    answer: JoinHandle<Answer>,
}

/// All of them, and what they wait for.
pub(super) struct Resellers {
    pub(super) all: Vec<Reseller>,
    pub(super) calls: Vec<Call>,
    /// The order behind each name that a client gave a request, once there is one.
    requests: BTreeMap<(usize, String), OrderId>,
    links: u64,
}

/// A call's parameters.
fn params(key: &str, pairs: &[(&str, String)]) -> Params {
    let mut params = Params::default();
    params.set("key".to_owned(), key.to_owned());
    for (name, text) in pairs {
        params.set((*name).to_owned(), text.clone());
    }
    params
}

impl Resellers {
    pub(super) async fn open(store: &SqliteStore, world: &World) -> Self {
        let mut all = Vec::new();
        for (name, deposit, credit, daily) in
            [("ann", "60", "0", None), ("bob", "12", "5", None), ("cid", "40", "0", Some("30"))]
        {
            let key = format!("{:032x}", all.len() + 0xC0FFEE);
            let terms = Client {
                credit: credit.parse().unwrap(),
                daily_limit: daily.map(|limit| limit.parse().unwrap()),
                ..Client::named(name)
            };
            let new = NewKey { hash: hash_key(&key), label: String::new(), read_only: false };
            let client = NewClient { terms, key: new, deposit: deposit.parse().unwrap() };
            let account = store.create_client(client, world.now()).await.unwrap();
            world.state().oracle.money_moved(account.client.id, account.balance.units());
            all.push(Reseller { id: account.client.id, name, key });
        }
        Self { all, calls: Vec::new(), requests: BTreeMap::new(), links: 0 }
    }

    /// Somebody asks for something.
    pub(super) fn ask(&mut self, app: &Arc<App>, tasks: &Tasks, world: &World, kind: u64) {
        let (client, pairs, asked) = {
            let mut state = world.state();
            let client = state.rng.below(self.all.len() as u64);
            let orders: Vec<OrderId> = state.oracle.orders.keys().copied().collect();
            let (pairs, asked) = match kind {
                0 => self.add(&mut state.rng),
                _ if orders.is_empty() => (vec![("action", "balance".to_owned())], Asked::Balance),
                1 => listed("status", "orders", some(&mut state.rng, &orders), Asked::Status),
                2 => listed("cancel", "orders", some(&mut state.rng, &orders), Asked::Cancel),
                3 => {
                    let order = *state.rng.pick(&orders);
                    (vec![("action", "refill".to_owned()), ("order", order.to_string())], Asked::Refill(order))
                }
                _ => (vec![("action", "balance".to_owned())], Asked::Balance),
            };
            (usize::try_from(client).unwrap(), pairs, asked)
        };
        world.note(format_args!("{} asks: {}", self.all[client].name, said(&pairs)));
        let params = params(&self.all[client].key, &pairs);
        let app = Arc::clone(app);
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let answer = tasks.spawn(async move { app.answer(&params, here).await });
        self.calls.push(Call { client, asked, task: world.turns.newest(), answer });
    }

    fn add(&mut self, rng: &mut Rng) -> (Vec<(&'static str, String)>, Asked) {
        self.links += 1;
        let link = if rng.chance(35) { format!("shared/{}", rng.below(3)) } else { format!("link/{}", self.links) };
        let quantity = *rng.pick(&[100, 333, 1000, 1000, 4999, 5]);
        let mut pairs = vec![
            ("action", "add".to_owned()),
            ("service", (1 + rng.below(3)).to_string()),
            ("link", link),
            ("quantity", quantity.to_string()),
        ];
        let request = rng.chance(40).then(|| format!("request {}", rng.below(6)));
        if let Some(request) = &request {
            // Mostly the same order under the same name.
            if rng.chance(80) {
                pairs[1].1 = "1".to_owned();
                pairs[2].1 = format!("link/of {request}");
                pairs[3].1 = "1000".to_owned();
            }
            pairs.push(("request_id", request.clone()));
        }
        (pairs, Asked::Add { request })
    }

    /// Looks at what came back; gives whether anything did.
    pub(super) async fn hear(&mut self, store: &SqliteStore, world: &World) {
        let (done, waiting) = std::mem::take(&mut self.calls).into_iter().partition(|call| call.answer.is_finished());
        self.calls = waiting;
        for call in done {
            let Call { client, asked, task, answer } = call;
            let Ok(answer) = answer.await else {
                world.fail("a client's call ended in a panic");
                continue;
            };
            let text = String::from_utf8(answer.plain.to_vec()).unwrap();
            world.note(format_args!("{} is answered: {text}", self.all[client].name));
            let checked = self.check(store, world, client, &asked, task, &text).await;
            world
                .state()
                .check(checked.map_err(|what| format!("{} was answered {text}: {what}", self.all[client].name)));
        }
    }

    /// Nobody will answer any more; what was placed stays placed.
    pub(super) fn cut_off(&mut self, world: &World) {
        for call in std::mem::take(&mut self.calls) {
            if let Asked::Add { request } = &call.asked {
                let placed = world.state().placed_by.get(&call.task).copied();
                let known = self.know(call.client, request.as_deref(), placed);
                world.state().check(known);
            }
        }
    }

    fn know(&mut self, client: usize, request: Option<&str>, placed: Option<OrderId>) -> Result<(), String> {
        let (Some(request), Some(placed)) = (request, placed) else { return Ok(()) };
        let first = *self.requests.entry((client, request.to_owned())).or_insert(placed);
        if first == placed { Ok(()) } else { Err(format!("{request:?} was placed as {first} and as {placed}")) }
    }

    async fn check(
        &mut self,
        store: &SqliteStore,
        world: &World,
        client: usize,
        asked: &Asked,
        task: u64,
        text: &str,
    ) -> Result<(), String> {
        leaks_nothing(text)?;
        let answer: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let id = self.all[client].id;
        match asked {
            Asked::Add { request } => {
                let placed = world.state().placed_by.get(&task).copied();
                self.know(client, request.as_deref(), placed)?;
                let first = request.as_ref().and_then(|request| self.requests.get(&(client, request.clone()))).copied();
                check_add(store, world, id, placed.or(first), placed.is_some(), &answer).await
            }
            Asked::Status(ids) => ids.iter().try_for_each(|order| check_status(world, id, *order, &answer)),
            Asked::Cancel(ids) => check_cancel(store, world, id, ids, &answer).await,
            Asked::Refill(order) => check_refill(store, world, id, *order, &answer).await,
            Asked::Balance => {
                // Without one, the store failed.
                let Some(balance) = answer["balance"].as_str() else { return Ok(()) };
                let wanted = Money::from_units(world.state().oracle.balance(id)).to_string();
                if balance == wanted { Ok(()) } else { Err(format!("the balance is {wanted}")) }
            }
        }
    }
}

fn listed(
    action: &str,
    name: &'static str,
    ids: Vec<OrderId>,
    asked: fn(Vec<OrderId>) -> Asked,
) -> (Vec<(&'static str, String)>, Asked) {
    let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    (vec![("action", action.to_owned()), (name, list)], asked(ids))
}

/// A few of them, those of others too.
fn some(rng: &mut Rng, orders: &[OrderId]) -> Vec<OrderId> {
    let mut ids: Vec<OrderId> = (0..=rng.below(3)).map(|_| *rng.pick(orders)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn said(pairs: &[(&str, String)]) -> String {
    pairs.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(" ")
}

/// Nothing of an upstream: neither its name nor its ID for an order.
fn leaks_nothing(text: &str) -> Result<(), String> {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let upstream_id = |number: &str| number.len() == 8 && (number.starts_with("71834") || number.starts_with("93275"));
    if ["alpha", "beta", "example"].iter().any(|name| text.contains(name)) || numbers.into_iter().any(upstream_id) {
        return Err("it tells of an upstream".to_owned());
    }
    Ok(())
}

async fn check_add(
    store: &SqliteStore,
    world: &World,
    client: ClientId,
    order: Option<OrderId>,
    is_new: bool,
    answer: &Value,
) -> Result<(), String> {
    if let Some(error) = answer["error"].as_str() {
        if !OURS.contains(&error) && !faults::may_be_shown(error) {
            return Err("these are not words for a client".to_owned());
        }
        if !is_new {
            return Ok(());
        }
        let order = store.order(order.unwrap()).await.unwrap().unwrap();
        let refused = order.refusal.as_deref() == Some(error) && order.refunded == order.charge;
        return if refused { Ok(()) } else { Err(format!("order {} is {}", order.id, order.state.name())) };
    }
    let id = answer["order"].as_i64().and_then(|id| OrderId::new(id).ok()).ok_or("there is no ID")?;
    if order.is_some_and(|placed| placed != id) {
        return Err(format!("its order is {}", order.unwrap()));
    }
    let story = store.order_story(id).await.unwrap().ok_or("there is no such order")?;
    let charged = story.ledger.first().is_some_and(|entry| entry.amount == story.order.charge.negated());
    let known = world.state().oracle.orders.contains_key(&id);
    if story.order.client != client || !charged || !known {
        return Err("it is not this client's, or was not charged".to_owned());
    }
    Ok(())
}

fn check_status(world: &World, client: ClientId, id: OrderId, answer: &Value) -> Result<(), String> {
    // The store failed it.
    if answer.get("error").is_some() {
        return Ok(());
    }
    let shown = answer.get(id.to_string()).ok_or_else(|| format!("{id} is missing"))?;
    let state = world.state();
    let truth = &state.oracle.orders[&id];
    if truth.order.client != client {
        let hidden = shown["error"] == NOBODYS && shown.as_object().unwrap().len() == 1;
        return if hidden { Ok(()) } else { Err(format!("{id} is another client's")) };
    }
    let (charge, status) = (shown["charge"].as_str(), shown["status"].as_str());
    if truth.views.iter().any(|(net, word)| Some(net.as_str()) == charge && Some(*word) == status) {
        return Ok(());
    }
    Err(format!("{id} was never {charge:?} and {status:?}: {:?}", truth.views))
}

async fn check_cancel(
    store: &SqliteStore,
    world: &World,
    client: ClientId,
    ids: &[OrderId],
    answer: &Value,
) -> Result<(), String> {
    let Some(items) = answer.as_array() else { return Ok(()) };
    for (id, item) in ids.iter().zip(items) {
        let order = store.order(*id).await.unwrap().unwrap();
        let taken = item["cancel"] == 1;
        if order.client != client && item["cancel"]["error"] != NOBODYS {
            return Err(format!("{id} is another client's"));
        }
        let remembered = order.cancel != crate::domain::order::CancelWish::None;
        let ended = matches!(order.state, crate::domain::order::State::Closed { .. });
        let told = order
            .binding()
            .is_some_and(|binding| world.state().panels[&binding.route.provider].cancels.contains(binding.id.as_str()));
        if taken && !(remembered || ended || told) {
            return Err(format!("the wish to cancel {id} is not remembered"));
        }
    }
    Ok(())
}

async fn check_refill(
    store: &SqliteStore,
    world: &World,
    client: ClientId,
    order: OrderId,
    answer: &Value,
) -> Result<(), String> {
    let Some(refill) = answer["refill"].as_str() else { return Ok(()) };
    let id: RefillId = refill.parse().map_err(|_| "no ID of a refill")?;
    let refill = store.refill(id).await.unwrap().ok_or("there is no such refill")?;
    let own = world.state().oracle.orders[&order].order.client == client;
    if own && refill.client == client && refill.order == order { Ok(()) } else { Err("it is another's".to_owned()) }
}
