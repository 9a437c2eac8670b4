//! What the operator is told of many orders at once.

use crate::domain::ids::OrderId;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;

/// What a verification saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many of each thing were looked at.
    pub checked: Vec<(&'static str, u64)>,
    /// What does not hold; empty where all is well.
    pub failures: Vec<String>,
}

/// What a report is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportBy {
    /// Where the orders are placed, or being sent; those that no upstream has are a group of their own.
    Provider,
    /// The service of ours.
    Service,
    /// The client.
    Client,
    /// The UTC day on which the orders were accepted.
    Day,
}

/// Which orders a report is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportFilter {
    /// Accepted at or after.
    pub from: Option<Timestamp>,
    /// Accepted before.
    pub to: Option<Timestamp>,
    /// In groups, or all together.
    pub by: Option<ReportBy>,
}

/// The sums over one group of orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportRow {
    /// Which group; `None` where there are no groups, and for orders at no provider.
    pub key: Option<String>,
    /// How many.
    pub orders: u64,
    /// What was charged for them.
    pub charged: Money,
    /// What was given back of it by now.
    pub refunded: Money,
    /// What upstreams really charged, as far as that is known.
    pub cost: Money,
    /// How many may have a cost that is not known: all without one, but those that ended and never were placed.
    pub unknown_cost: u64,
    /// What those were charged, before refunds. None is forwarded for more than that.
    pub possible_cost: Money,
}

/// A line of an order's history that somebody had to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRecord {
    /// Of which order.
    pub order: OrderId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}
