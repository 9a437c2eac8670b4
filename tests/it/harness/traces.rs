//! What calls leave behind, to be compared from before to after.

use serde_json::Value;
use tollgate::sandbox::{Action, Sandbox};

use super::Gateway;

/// Everything that an order would change.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces {
    accounts: Value,
    orders: Value,
    placed_upstream: usize,
    asked_upstream: u64,
}

impl Traces {
    /// As the operator sees them now: every account's money, every order, and what the upstream was asked for.
    pub fn of(gateway: &Gateway, upstream: &Sandbox) -> Self {
        let accounts = gateway.cli_json(&["client", "list"]);
        let money = |account: &Value| ["client", "balance", "charges", "refunds"].map(|name| account[name].clone());
        Self {
            accounts: accounts.as_array().unwrap().iter().map(|account| Value::from(money(account).to_vec())).collect(),
            orders: gateway.cli_json(&["orders", "list"]),
            placed_upstream: upstream.order_count(),
            asked_upstream: upstream.call_count(Action::Add),
        }
    }
}
