//! What goes into a store and comes out of it, beside orders and steps.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::domain::catalogue::{Doubts, Identity, UpstreamService};
use crate::domain::client::{Client, EntryKind};
use crate::domain::ids::{AttemptNumber, KeyHash, OrderId, ProviderId, RefillId, Route, ServiceId, UpstreamServiceId};
use crate::domain::money::{Money, Percent};
use crate::domain::order::{NewOrder, Order};
use crate::domain::refill::Refill;
use crate::domain::time::Timestamp;

/// A client's own name for a request, so that a repeat is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// `request_id`, at most 64 characters.
    pub id: String,
    /// SHA-256 over all other parameters.
    pub fingerprint: [u8; 32],
    /// Repeats of requests before this are new ones.
    pub since: Timestamp,
}

/// What a client's `request_id` stands for already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// The same request was placed as this order.
    Repeat(OrderId),
    /// It was used with other parameters.
    Conflict,
}

/// An order to be charged and stored.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The order.
    pub order: NewOrder,
    /// Its client's name for the request.
    pub request: Option<RequestKey>,
    /// The present.
    pub now: Timestamp,
    /// Until then whoever places it also sends it; later anybody may claim it.
    pub claimed_until: Timestamp,
}

/// What came of a [`Placement`].
#[derive(Debug, Clone)]
pub enum Placed {
    /// Charged and stored.
    New(Box<Order>),
    /// This request was placed before, as this order.
    Repeat(OrderId),
    /// This request was placed before with other parameters.
    RequestConflict,
    /// Balance and credit do not cover it.
    NotEnoughFunds,
    /// It would go over the daily limit.
    DailyLimit,
    /// The client is switched off or gone.
    ClientDisabled,
    /// Every ID up to 2^31 - 1 is used.
    NoMoreIds,
}

/// What came of applying a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It is written.
    Done,
    /// The order has moved on meanwhile: read it again.
    Stale,
    /// The upstream's ID that it would bind is this order's.
    IdTaken(OrderId),
}

/// What came of opening a refill.
#[derive(Debug, Clone)]
pub enum OpenedRefill {
    /// Stored, to be sent.
    New(Box<Refill>),
    /// One of that order is open.
    Busy,
    /// Every ID up to 2^31 - 1 is used.
    NoMoreIds,
}

/// What came of applying a refill's step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillApplied {
    /// It is written.
    Done,
    /// The refill has moved on meanwhile: read it again.
    Stale,
    /// The upstream's ID that it would bind is this refill's.
    IdTaken(RefillId),
}

/// Which orders the operator wants to see.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// A state's word.
    pub state: Option<String>,
    /// A client's name.
    pub client: Option<String>,
    /// Sent to, or placed at, this provider.
    pub provider: Option<ProviderId>,
    /// Of this service.
    pub service: Option<ServiceId>,
    /// Text that the link contains.
    pub link: Option<String>,
    /// Accepted at or after.
    pub from: Option<Timestamp>,
    /// Accepted before.
    pub to: Option<Timestamp>,
    /// With an ID below this one: the next page of a list.
    pub below: Option<OrderId>,
    /// At most this many.
    pub limit: usize,
}

/// One attempt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// 1, 2, 3 …
    pub number: u32,
    /// By which route.
    pub route: Route,
    /// When it became durable.
    pub started_at: Timestamp,
    /// When its outcome was written.
    pub finished_at: Option<Timestamp>,
    /// `accepted`, `rejected`, `not_sent`, `ambiguous`.
    pub outcome: Option<String>,
    /// The upstream's words or ID.
    pub detail: Option<String>,
}

/// An attempt that may have left an order upstream which no order of ours holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostAttempt {
    /// Its order, as it is now.
    pub order: Order,
    /// Which attempt.
    pub attempt: AttemptNumber,
    /// By which service there.
    pub service: UpstreamServiceId,
    /// When it became durable.
    pub started_at: Timestamp,
    /// When it was given up; `None` while it is under way.
    pub ended_at: Option<Timestamp>,
    /// How far the search for it has got.
    pub search: Search,
}

/// How far the search for a lost attempt's order has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// What the upstream takes for it by its list of that time, in its currency, where that is known.
    pub cost: Option<Decimal>,
    /// How often it was searched for.
    pub tries: u32,
    /// In how many of them its upstream was asked for IDs.
    pub scans: u32,
    /// By how many calls in all.
    pub calls: u32,
    /// When the last of them was made.
    pub asked_at: Option<Timestamp>,
    /// When it is searched for again; `None` before the first time.
    pub next_at: Option<Timestamp>,
}

/// One line of an order's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
    /// Whether somebody had to look at it.
    pub alert: bool,
}

/// One order with all that is known of it.
#[derive(Debug, Clone)]
pub struct OrderStory {
    /// Its client's name.
    pub client: String,
    /// The order.
    pub order: Order,
    /// Every attempt, first to last.
    pub attempts: Vec<AttemptRecord>,
    /// Every line, oldest first.
    pub history: Vec<HistoryRecord>,
    /// Its refills, oldest first.
    pub refills: Vec<Refill>,
    /// Its ledger entries, oldest first.
    pub ledger: Vec<LedgerRecord>,
}

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

/// Every key, with the version that [`super::Store::access_version`] had then.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    /// The version.
    pub version: i64,
    /// By the key's hash.
    pub keys: Vec<(KeyHash, Access)>,
}

/// A provider's catalogue as it was last fetched.
#[derive(Debug, Clone)]
pub struct StoredCatalogue {
    /// Whose.
    pub provider: ProviderId,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// In its order there.
    pub services: Vec<UpstreamService>,
    /// What of it is off sale until somebody has looked.
    pub doubts: Doubts,
}

/// A provider's catalogue as it was fetched, with what that changed.
#[derive(Debug, Clone, Default)]
pub struct NewCatalogue {
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// In its order there.
    pub services: Vec<UpstreamService>,
    /// Services of it that are taken for what they say they are, where that is new.
    pub learnt: Vec<(UpstreamServiceId, Identity)>,
    /// Services whose losses no longer count.
    pub mended: Vec<UpstreamServiceId>,
}

/// Why a provider seems to be another account's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FreezeCause {
    /// Its balance is in this currency, and not in that of the configuration.
    Currency(String),
    /// It knows most of our active orders no more.
    UnknownOrders,
}

/// A provider that gets no order, and of which no order changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Which.
    pub provider: ProviderId,
    /// Why.
    pub cause: FreezeCause,
    /// Since when.
    pub since: Timestamp,
    /// When the operator said that the account is the right one; the freeze is over then.
    pub lifted_at: Option<Timestamp>,
}

/// A provider as the running gateway last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRecord {
    /// Which.
    pub provider: ProviderId,
    /// A word: `on`, `drain`, `off`, `paused` (by the operator), `resting` (as it asked), `key_rejected`, `unreachable` …
    pub state: String,
    /// Our balance there, in its currency.
    pub balance: Option<Decimal>,
    /// Its currency.
    pub currency: String,
    /// When its catalogue was last fetched.
    pub last_sync_at: Option<Timestamp>,
    /// How many services it lists.
    pub services: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Failed calls since the gateway's start.
    pub failures: u64,
}

/// Where the operator lets no order leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Everywhere.
    pub everywhere: bool,
    /// To these.
    pub providers: BTreeSet<ProviderId>,
}

impl Pauses {
    /// Whether no order leaves for this provider.
    #[must_use]
    pub fn hold(&self, provider: &ProviderId) -> bool {
        self.everywhere || self.providers.contains(provider)
    }
}

/// A request from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// Its number.
    pub number: i64,
    /// JSON.
    pub body: String,
}

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
    /// How many may have a cost that is not known: all without one, but those that ended without ever being
    /// placed.
    pub unknown_cost: u64,
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
