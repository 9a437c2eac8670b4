//! Clients: the resellers whose prepaid money is kept.

use super::ids::ClientId;
use super::money::{Money, Percent};

/// A client's terms, without its balance: that is only ever read where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its row.
    pub id: ClientId,
    /// The name that the operator gave it; unique.
    pub name: String,
    /// Its own markup, before any other.
    pub markup: Option<Percent>,
    /// Requests per second it may make; `None`: no limit of its own.
    pub rps: Option<u32>,
    /// How far below zero its balance may go.
    pub credit: Money,
    /// Charges less refunds that it may make in a UTC day.
    pub daily_limit: Option<Money>,
    /// Address ranges it may come from; empty: any.
    pub allow_ips: Vec<String>,
    /// Globs over service IDs that it may buy; empty: any.
    pub allow_services: Vec<String>,
    /// Switched off by the operator.
    pub disabled: bool,
}

impl Client {
    /// One of that name with no terms of its own, not stored yet: the store gives it its row.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            id: ClientId(0),
            name: name.into(),
            markup: None,
            rps: None,
            credit: Money::ZERO,
            daily_limit: None,
            allow_ips: Vec::new(),
            allow_services: Vec::new(),
            disabled: false,
        }
    }
}

/// The kinds of ledger entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// The operator took the client's money in.
    Deposit,
    /// The operator gave it out again.
    Withdrawal,
    /// An order was bought.
    Charge,
    /// An order's money was given back, in part or whole.
    Refund,
    /// The operator put a mistake right.
    Correction,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Deposit, Self::Withdrawal, Self::Charge, Self::Refund, Self::Correction];

    /// The stored and shown word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Correction => "correction",
        }
    }

    /// Reads back what [`EntryKind::as_str`] wrote.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}
