//! The life of an order: `(order, event, now) -> step`. The caller writes the whole step in one transaction,
//! or none of it.
//!
//! ```text
//! Queued --SendStarted--> Sending --accepted----> Placed --Reported--> Closed (Completed | Partial | Canceled)
//!    ^                      |  |  \--rejected---> next route, or Queued for later, or Closed with a refund
//!    |                      |  \-----not sent---> next route, or Queued for later
//!    |                      \--------ambiguous--> Uncertain --an ID is found--> Placed
//!    \--resolved as not placed, by the operator------/   \--resolved as refunded--> Closed
//! Queued --CancelRequested | HoldExpired | NoRoute--> Closed with a refund
//! Sending, Uncertain, Placed --CancelRequested--> the same, with a wish: a refusal closes it, a placed one's upstream is told
//! ```

mod cancel;
mod choice;
mod dispatch;
mod event;
mod follow;
mod refund;
#[cfg(test)]
mod refund_laws;
mod schedule;
mod search;
mod step;

#[cfg(test)]
mod follow_tests;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use cancel::{CancelWish, NEWS_AFTER};
pub use choice::{Candidate, Choice, Obstacle, choose};
pub use event::{Event, Found, Hint, ReportRules, Resolution};
pub use schedule::{CLAIM, FIRST_POLL_AFTER, next_poll};
pub use step::{AttemptChange, Illegal, Note, Step};

use rust_decimal::Decimal;

use super::ids::{AttemptNumber, ClientId, OrderId, OrderToken, Route, ServiceId, UpstreamOrderId};
use super::money::Money;
use super::params::OrderParams;
use super::service_type::{Billing, ServiceType};
use super::status::Status;
use super::time::Timestamp;

/// Where an upstream knows an order: which service at which provider, and its ID there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The route it was placed by.
    pub route: Route,
    /// Its ID at that provider.
    pub id: UpstreamOrderId,
}

/// Where an order stands between us and the upstreams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Charged and durable; waiting for a route, a rate slot, or an upstream's return.
    Queued,
    /// An attempt is under way; this was durable before its first byte left.
    Sending {
        /// By which route.
        route: Route,
    },
    /// The upstream named it.
    Placed(Binding),
    /// What came of the last attempt is unknown: never sent again nor refunded by itself.
    Uncertain {
        /// The route of that attempt.
        route: Route,
    },
    /// Ended; [`Order::status`] says how.
    Closed {
        /// Where it was placed, if it was: its end is watched for a while.
        binding: Option<Binding>,
        /// When it ended first.
        at: Timestamp,
    },
}

impl State {
    /// The stored and shown word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending { .. } => "sending",
            Self::Placed(_) => "placed",
            Self::Uncertain { .. } => "uncertain",
            Self::Closed { .. } => "closed",
        }
    }
}

/// A route that an order was tried by, however that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The route.
    pub route: Route,
    /// In which round of tries, last.
    pub round: u32,
    /// Whether what stood in the way may pass by itself.
    pub may_pass: bool,
    /// How that try ended; `None` where it was not kept.
    pub end: Option<TriedEnd>,
}

/// How a try by a route ended, where it did not place the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriedEnd {
    /// The upstream refused it.
    Refused,
    /// No byte of the request left.
    NotSent,
    /// Nobody knew, until the operator said that it was not placed.
    NotPlaced,
    /// The upstream refused it as a duplicate, after an earlier attempt there; the order is uncertain since.
    Duplicate,
}

impl TriedEnd {
    /// Every end.
    pub const ALL: [Self; 4] = [Self::Refused, Self::NotSent, Self::NotPlaced, Self::Duplicate];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::NotPlaced => "not_placed",
            Self::Duplicate => "duplicate",
        }
    }
}

/// What an upstream last said about an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its last status word.
    pub word: Option<String>,
    /// The counter at the start, once known.
    pub start_count: Option<u64>,
    /// Units undelivered, as it said; `None` until it says.
    pub remains: Option<u64>,
    /// What it charged us when it was first asked, in its currency.
    pub first_charge: Option<Decimal>,
    /// What it says now that it charged us, in its currency.
    pub upstream_charge: Option<Decimal>,
    /// When it was last asked.
    pub polled_at: Option<Timestamp>,
    /// When its answer last differed from the one before.
    pub changed_at: Option<Timestamp>,
    /// Since it gives no status at all.
    pub silence: Option<Silence>,
}

/// A time in which an upstream was asked about an order and gave no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Since when.
    pub since: Timestamp,
    /// Whether the operator was told.
    pub told: bool,
}

/// One order, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Our ID.
    pub id: OrderId,
    /// Counts the steps; a step is written only on the version it was made from.
    pub version: u64,
    /// Drawn before the order was stored.
    pub token: OrderToken,
    /// Whose.
    pub client: ClientId,
    /// What was bought.
    pub service: ServiceId,
    /// Its type at that time.
    pub kind: ServiceType,
    /// The checked parameters.
    pub params: OrderParams,
    /// What the client paid, before refunds.
    pub charge: Money,
    /// What was given back; 0 <= refunded <= charge, and it only grows.
    pub refunded: Money,
    /// What the upstream charged, in the panel's currency; `None` until it says.
    pub cost: Option<Money>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Since when it waits for an upstream to take it: accepted, or sent back by the operator.
    pub queued_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// What the client is shown.
    pub status: Status,
    /// What the upstream said.
    pub progress: Progress,
    /// How many attempts were begun; also the last one's number.
    pub attempts: AttemptNumber,
    /// Routes that were tried.
    pub tried: Vec<Tried>,
    /// The present round of tries over all routes.
    pub round: u32,
    /// How far its client's wish to end it has got.
    pub cancel: CancelWish,
    /// Why it was refused, in words for the client.
    pub refusal: Option<String>,
    /// When something has to be done about it; `None`: never again.
    pub due_at: Option<Timestamp>,
}

/// What is given at the birth of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// See [`Order::token`].
    pub token: OrderToken,
    /// See [`Order::client`].
    pub client: ClientId,
    /// See [`Order::service`].
    pub service: ServiceId,
    /// See [`Order::kind`].
    pub kind: ServiceType,
    /// See [`Order::params`].
    pub params: OrderParams,
    /// See [`Order::charge`].
    pub charge: Money,
}

impl NewOrder {
    /// The order as it is first stored, under the ID that the store gives it. `claimed_until`: until then
    /// whoever placed it also sends it.
    #[must_use]
    pub fn into_order(self, id: OrderId, now: Timestamp, claimed_until: Timestamp) -> Order {
        Order {
            id,
            version: 1,
            token: self.token,
            client: self.client,
            service: self.service,
            kind: self.kind,
            params: self.params,
            charge: self.charge,
            refunded: Money::ZERO,
            cost: None,
            created_at: now,
            queued_at: now,
            updated_at: now,
            state: State::Queued,
            status: Status::Pending,
            progress: Progress::default(),
            attempts: AttemptNumber(0),
            tried: Vec::new(),
            round: 0,
            cancel: CancelWish::None,
            refusal: None,
            due_at: Some(claimed_until),
        }
    }
}

impl Order {
    /// What `event` does to the order at `now`.
    ///
    /// # Errors
    /// [`Illegal`] where the event does not apply in this state.
    pub fn step(&self, event: Event, now: Timestamp) -> Result<Step, Illegal> {
        let mut step = Step::from(self, now);
        match event {
            Event::Reported(report, rules) => follow::reported(&mut step, &report, rules, now)?,
            Event::Unreported(words, rules) => follow::unreported(&mut step, words.as_deref(), rules, now)?,
            event => dispatch::apply(&mut step, event, now)?,
        }
        Ok(step)
    }

    /// Where its upstream knows it, once it does.
    #[must_use]
    pub const fn binding(&self) -> Option<&Binding> {
        match &self.state {
            State::Placed(binding) | State::Closed { binding: Some(binding), .. } => Some(binding),
            _ => None,
        }
    }

    /// Whether its price is that of a package.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.kind.billing() == Billing::Flat
    }

    /// What the client paid less what was given back.
    #[must_use]
    pub fn net_charge(&self) -> Money {
        self.charge.checked_sub(self.refunded).unwrap_or_default()
    }

    /// The `remains` that the client is shown: all of it while nothing is known and when it was canceled, what
    /// the refund stands for when it is partial.
    #[must_use]
    pub fn shown_remains(&self) -> u64 {
        let units = self.params.units;
        match self.status {
            Status::Completed => 0,
            Status::Canceled => units,
            Status::Partial => refund::remains_of_refund(self).clamp(1, units.max(1)),
            _ => self.progress.remains.unwrap_or(units).min(units),
        }
    }

    fn illegal(&self, event: &'static str) -> Illegal {
        Illegal { order: self.id, state: self.state.name(), event }
    }

    fn tried_at(&self, route: &Route) -> bool {
        self.tried.iter().any(|tried| tried.route.provider == route.provider)
    }
}
