//! What goes into a store and comes out of it, beside orders and steps.

mod accounts;
mod attendance;
mod providers;
mod reports;

pub use accounts::{
    Access, AccessList, Account, ClientChange, KeyRecord, LedgerRecord, Moved, Movement, NewClient, NewKey,
};
pub use attendance::{Attendance, LATE_AFTER, PLACE, Versions};
pub use providers::{CatalogueMark, Freeze, FreezeCause, NewCatalogue, Pauses, ProviderRecord, StoredCatalogue};
pub use reports::{AlertRecord, ReportBy, ReportFilter, ReportRow, VerifyReport};

use rust_decimal::Decimal;

use crate::domain::ids::{AttemptNumber, OrderId, ProviderId, RefillId, Route, ServiceId, UpstreamServiceId};
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

/// Which polls are taken, and what becomes of them.
#[derive(Debug, Clone, Copy)]
pub struct PollClaim {
    /// The present; what is taken counts as polled now.
    pub now: Timestamp,
    /// It is due again then, if nothing is heard of it.
    pub until: Timestamp,
    /// Orders at most.
    pub limit: usize,
    /// Placed orders that are not due yet may go along where they were last polled before this.
    pub along_before: Timestamp,
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
    /// The order was sent to the provider before that moved to another host, where its ID means nothing.
    Moved,
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

/// A request from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// Its number.
    pub number: i64,
    /// JSON.
    pub body: String,
}
