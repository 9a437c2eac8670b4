//! A simulated upstream panel: for `tollgate sandbox` and `tollgate demo`, and for tests.
//!
//! An operator tries a configuration on it before money moves. It is a real HTTP/1.1 server that speaks the panel API
//! (`docs/protocol.md`) on every path, takes orders, charges its account, and can be told to misbehave.
//!
//! **Orders.** At speed 1 an order is Pending for 3 seconds, then In progress with falling `remains`, and has ended
//! after 15 to 20 seconds. Its link decides the ending: one that contains `partial` ends Partial with 40 % undelivered,
//! `cancel` ends Canceled, `fail` ends Fail, any other Completed. A cancel takes effect after 2 seconds, as Canceled or
//! as Partial. What is undelivered at a Partial or a Canceled goes back to the account. A package delivers 100 units;
//! a subscription is charged nothing and finds no posts. A refill takes 10 seconds. `--speed N` divides all of these.
//!
//! **Faults.** `--faults SPEC` is a comma-separated list of `fault[@action][(argument)][:amount]`; the faults are the
//! variants of [`Fault`], the rest is at [`Faults`].
//!
//! **The journal.** `--journal FILE` gets one line of JSON for each accepted order, before its answer leaves: `at`,
//! `order`, `service`, `link`, `quantity` (of one run), `charge`, and `params`, all that `add` was given but the key.
//! `order` and the amounts are strings. It survives the end of this process, but not that of the machine.
//!
//! **Control calls.** A running panel is told what to do next by calls under `/sandbox/`, which need no key. They
//! answer JSON; one that is wrong has a status of 400 or 404 and an `error`.
//!
//! | call | body | what it does |
//! | --- | --- | --- |
//! | `POST /sandbox/faults` | a SPEC | replaces the faults; an empty body ends them |
//! | `POST /sandbox/order` | form: `id`, then `status`, `remains`, `charge`, `start_count`, `runs` | forces what is given (see [`OrderChange`]); the rest goes on by itself |
//! | `POST /sandbox/services` | an array in the format of the `services` answer | replaces the services |
//! | `POST /sandbox/rate` | form: `service`, `rate` | changes one rate |
//! | `POST /sandbox/account` | form: `balance`, `currency`, `duplicate_lock`, `dedupe`, `lists_orders` | changes what is given |
//! | `GET /sandbox/orders` | | the accepted orders: a line of the journal each, with `status`, and as `now` the `status` answer |
//! | `GET /sandbox/calls` | | how many calls came in, by action |

mod action;
mod calls;
mod control;
mod fault;
mod faults;
mod journal;
mod order;
mod panel;
mod placing;
mod random;
mod service;
mod trouble;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rust_decimal::Decimal;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use action::Action;
pub use calls::Call;
pub use fault::Fault;
pub use faults::{Faults, FaultsError};
pub use order::OrderChange;
pub use service::{SandboxService, ServicesError, default_services, parse_services, read_services};

use crate::domain::money::Money;
use panel::Panel;
use wire::Shared;

/// The key that a panel takes which was told none.
pub const DEFAULT_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// What a simulated panel is like.
#[derive(Clone)]
pub struct Options {
    /// Where it listens; port 0 for any free port.
    pub listen: SocketAddr,
    /// The key that it takes.
    pub key: String,
    /// What it sells.
    pub services: Vec<SandboxService>,
    /// How it misbehaves.
    pub faults: Faults,
    /// How many times faster than usual orders advance; at 0 they stand still.
    pub speed: u32,
    /// Where accepted orders are written down.
    pub journal: Option<PathBuf>,
    /// What is on the account.
    pub balance: Money,
    /// The account's currency.
    pub currency: String,
    /// What the chances of faults are drawn from: the same seed and calls give the same faults.
    pub seed: u64,
    /// Whether a second order for a link is refused while one for the same service is active.
    pub duplicate_lock: bool,
    /// Whether the same service, link and quantity within 120 seconds get the ID of the order before, and no new order.
    pub dedupe: bool,
    /// Whether `action=orders` lists the account's orders, as few panels do.
    pub lists_orders: bool,
}

/// A well-behaved panel on any free port of 127.0.0.1, with 10000 USD on the account.
impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            key: DEFAULT_KEY.to_owned(),
            services: default_services(),
            faults: Faults::default(),
            speed: 1,
            journal: None,
            balance: Money::from_units(10_000 * 100_000_000),
            currency: "USD".to_owned(),
            seed: 1,
            duplicate_lock: false,
            dedupe: false,
            lists_orders: false,
        }
    }
}

/// An order that the panel accepted, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedOrder {
    /// The panel's ID.
    pub id: String,
    /// The panel's service.
    pub service: u64,
    /// Empty for a subscription.
    pub link: String,
    /// Of one run; the number of lines where a list is ordered, 1 for a package, 0 for a subscription.
    pub quantity: u64,
    /// All that `add` was given but the key and the action.
    pub params: BTreeMap<String, String>,
    /// What was taken from the account at first.
    pub charge: Money,
    /// The status word that `status` answers.
    pub status: String,
}

/// A running panel; dropping it stops it.
pub struct Sandbox {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Shared,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Starts a panel; it takes calls when this returns.
///
/// # Errors
/// The address can't be listened on, or the journal not opened; the message says which.
pub async fn start(options: Options) -> io::Result<Sandbox> {
    let listen = options.listen;
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(named)?;
    let addr = listener.local_addr().map_err(named)?;
    let shared = Shared::new(Panel::new(options)?);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(wire::accept(listener, shared.clone(), tasks.clone(), stop.clone()));
    Ok(Sandbox { addr, shared, tasks, stop })
}

impl Sandbox {
    /// The API's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api/v2", self.addr)
    }

    /// Replaces the faults in force; those scripted stay.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.panel().trouble.faults = faults;
    }

    /// The next `count` calls of `action` meet `fault` and no other, after those scripted before.
    pub fn script_next(&self, action: Action, fault: Fault, count: usize) {
        self.shared.panel().trouble.script(action, fault, count);
    }

    /// The accepted orders, oldest first.
    #[must_use]
    pub fn orders(&self) -> Vec<AcceptedOrder> {
        let mut panel = self.shared.panel();
        let accepted = panel.accepted().map(|(order, standing)| AcceptedOrder {
            id: order.id.clone(),
            service: order.placing.service,
            link: order.placing.link.clone(),
            quantity: order.placing.quantity,
            params: order.placing.params.iter().cloned().collect(),
            charge: order.placing.charge,
            status: standing["status"].as_str().unwrap_or_default().to_owned(),
        });
        accepted.collect()
    }

    /// How many orders were accepted.
    #[must_use]
    pub fn order_count(&self) -> usize {
        self.shared.panel().order_count()
    }

    /// The calls that came in, oldest first; the latest million.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.panel().calls.all()
    }

    /// How many calls of `action` came in, answered or not.
    #[must_use]
    pub fn call_count(&self, action: Action) -> u64 {
        self.shared.panel().calls.count(action)
    }

    /// Forces how an order stands, instead of what was forced before; false where there is no such order.
    #[must_use]
    pub fn set_order(&self, id: &str, change: OrderChange) -> bool {
        self.shared.panel().set_order(id, change)
    }

    /// Forces a refill's status word; false where there is no such refill.
    #[must_use]
    pub fn set_refill(&self, id: &str, word: &str) -> bool {
        self.shared.panel().set_refill(id, word)
    }

    /// Changes a service's rate; false where there is no such service.
    #[must_use]
    pub fn set_rate(&self, service: u64, rate: Decimal) -> bool {
        self.shared.panel().set_rate(service, rate)
    }

    /// Replaces the services; orders stay.
    pub fn set_services(&self, services: Vec<SandboxService>) {
        self.shared.panel().services = services;
    }

    /// What is on the account.
    #[must_use]
    pub fn balance(&self) -> Money {
        self.shared.panel().settled_balance()
    }

    /// Sets what is on the account.
    pub fn set_balance(&self, balance: Money) {
        self.shared.panel().balance = balance;
    }

    /// Sets what the account is said to be in.
    pub fn set_currency(&self, currency: &str) {
        currency.clone_into(&mut self.shared.panel().currency);
    }

    /// Whether a second order for a link is refused while one is active.
    pub fn set_duplicate_lock(&self, on: bool) {
        self.shared.panel().duplicate_lock = on;
    }

    /// Whether a repeated order within 120 seconds gets the ID of the first.
    pub fn set_dedupe(&self, on: bool) {
        self.shared.panel().dedupe = on;
    }

    /// Whether `action=orders` lists the account's orders.
    pub fn set_lists_orders(&self, on: bool) {
        self.shared.panel().lists_orders = on;
    }

    /// Stops the panel and waits until its port is free and its connections are closed.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
