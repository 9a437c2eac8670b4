//! Everything that one event changes.

use super::{Order, State};
use crate::domain::ids::{AttemptNumber, OrderId, Route};
use crate::domain::money::Money;
use crate::domain::outcome::OutcomeName;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;

/// What happened to an attempt in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptChange {
    /// It begins; durable before its first byte.
    Started {
        /// Its number.
        number: AttemptNumber,
        /// Its route.
        route: Route,
    },
    /// It ended, as far as is known now.
    Finished {
        /// Its number.
        number: AttemptNumber,
        /// How.
        outcome: OutcomeName,
        /// The upstream's words or ID, or what was seen.
        detail: String,
    },
}

/// A line of an order's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What happened, for the operator.
    pub text: String,
    /// Whether somebody has to look at it.
    pub alert: bool,
}

/// Everything that one event changes, to be written in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The order afterwards, its version raised by one.
    pub order: Order,
    /// Given back to the client by this step; above zero.
    pub refund: Option<Money>,
    /// What happened to an attempt.
    pub attempt: Option<AttemptChange>,
    /// For the history, oldest first.
    pub notes: Vec<Note>,
}

/// An event that cannot happen to an order in its state; nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("order {order} is {state}: {event} does not apply to it")]
pub struct Illegal {
    /// Which order.
    pub order: OrderId,
    /// Its state's word.
    pub state: &'static str,
    /// What was tried.
    pub event: &'static str,
}

impl Step {
    pub(super) fn from(order: &Order, now: Timestamp) -> Self {
        let mut order = order.clone();
        order.version = order.version.saturating_add(1);
        order.updated_at = now;
        Self { order, refund: None, attempt: None, notes: Vec::new() }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(Note { text: text.into(), alert: false });
    }

    pub(super) fn alert(&mut self, text: impl Into<String>) {
        self.notes.push(Note { text: text.into(), alert: true });
    }

    /// Raises what was refunded to `target`, never above the charge; a target below it changes nothing.
    pub(super) fn refund_up_to(&mut self, target: Money) {
        let target = target.min(self.order.charge);
        let Some(due) = target.checked_sub(self.order.refunded).filter(|due| due.is_positive()) else { return };
        self.order.refunded = target;
        self.refund = Some(due);
        self.note(format!("refunded {due}"));
    }

    /// Closes an order that no upstream owes anything on, with all its money back.
    pub(super) fn close_refunded(&mut self, now: Timestamp, why: impl Into<String>) {
        self.note(why);
        self.refund_up_to(self.order.charge);
        self.order.status = Status::Canceled;
        self.order.state = State::Closed { binding: None, at: now };
        self.order.due_at = None;
    }
}
