//! Clients, their keys and their money.

use crate::domain::client::{Client, EntryKind};
use crate::domain::ids::{KeyHash, OrderId};
use crate::domain::money::{Money, Percent};
use crate::domain::time::Timestamp;

/// One ledger entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRecord {
    /// When.
    pub at: Timestamp,
    /// Its kind.
    pub kind: EntryKind,
    /// Signed: charges and withdrawals are below zero.
    pub amount: Money,
    /// The client's balance after it.
    pub balance: Money,
    /// The order it belongs to.
    pub order: Option<OrderId>,
    /// The operator's reference.
    pub reference: Option<String>,
    /// The operator's note.
    pub note: Option<String>,
}

/// A client to be made.
#[derive(Debug, Clone)]
pub struct NewClient {
    /// Its terms; the ID is ignored.
    pub terms: Client,
    /// Its first key.
    pub key: NewKey,
    /// A first deposit; zero for none.
    pub deposit: Money,
}

/// A key to be stored: never itself.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// SHA-256 of the key.
    pub hash: KeyHash,
    /// The operator's name for it.
    pub label: String,
    /// Whether it may not spend.
    pub read_only: bool,
}

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its number.
    pub id: i64,
    /// The operator's name for it.
    pub label: String,
    /// Whether it may not spend.
    pub read_only: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A client as the operator sees it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its terms.
    pub client: Client,
    /// Its balance.
    pub balance: Money,
    /// Sums over its ledger, each above or at zero.
    pub deposits: Money,
    /// See `deposits`.
    pub withdrawals: Money,
    /// See `deposits`.
    pub charges: Money,
    /// See `deposits`.
    pub refunds: Money,
    /// Its keys that are not revoked.
    pub keys: Vec<KeyRecord>,
}

/// Changes to a client's terms; `None` leaves a term as it is, `Some(None)` takes it away.
#[derive(Debug, Clone, Default)]
pub struct ClientChange {
    /// See [`Client::markup`].
    pub markup: Option<Option<Percent>>,
    /// See [`Client::rps`].
    pub rps: Option<Option<u32>>,
    /// See [`Client::credit`].
    pub credit: Option<Money>,
    /// See [`Client::daily_limit`].
    pub daily_limit: Option<Option<Money>>,
    /// See [`Client::allow_ips`].
    pub allow_ips: Option<Vec<String>>,
    /// See [`Client::allow_services`].
    pub allow_services: Option<Vec<String>>,
    /// See [`Client::disabled`].
    pub disabled: Option<bool>,
}

/// Money that the operator moves.
#[derive(Debug, Clone)]
pub struct Movement {
    /// Deposit, withdrawal or correction.
    pub kind: EntryKind,
    /// Signed as in the ledger: a withdrawal is below zero.
    pub amount: Money,
    /// Unique with the client; a repeat changes nothing.
    pub reference: Option<String>,
    /// For the ledger.
    pub note: Option<String>,
}

/// What came of a [`Movement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// Written; the balance after it.
    Done(Money),
    /// The reference was used before; nothing was written.
    Repeat {
        /// The balance as it is.
        balance: Money,
        /// The amount of the earlier movement, signed.
        earlier: Money,
    },
    /// A withdrawal of more than there is; the balance as it is.
    NotEnoughFunds(Money),
}

/// Whom a key lets in, and how far.
#[derive(Debug, Clone)]
pub struct Access {
    /// The client.
    pub client: Client,
    /// The key's number.
    pub key: i64,
    /// Whether it may not spend.
    pub read_only: bool,
}

/// Every key, with the version that [`crate::store::Store::access_version`] had then.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    /// The version.
    pub version: i64,
    /// By the key's hash.
    pub keys: Vec<(KeyHash, Access)>,
}
