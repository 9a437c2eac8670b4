//! What a client's wish to end an order does to it. See `docs/protocol.md`, "Cancels and refills".

use std::time::Duration;

use super::{Illegal, State, Step};
use crate::domain::time::Timestamp;

/// An upstream that took or refused a cancel has news of the order soon.
pub const NEWS_AFTER: Duration = Duration::from_secs(5);

/// How far a client's wish to end an order that could not be closed at once has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CancelWish {
    /// There is none, or its upstream refused it.
    #[default]
    None,
    /// It waits: for the order to be refused or placed, or for its upstream to take the cancel.
    Wished,
    /// Its upstream took the cancel; what comes of it shows in a later report, or never.
    Forwarded,
}

impl CancelWish {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Wished, Self::Forwarded];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Wished => "wished",
            Self::Forwarded => "forwarded",
        }
    }

    /// Reads back what [`CancelWish::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wish| wish.as_str() == text)
    }
}

/// Closes what was not sent; else the wish is remembered.
pub(super) fn requested(step: &mut Step, now: Timestamp) -> Result<(), Illegal> {
    match &step.order.state {
        State::Queued => step.close_refunded(now, "canceled by its client before it was sent"),
        State::Closed { .. } => return Err(step.order.illegal("CancelRequested")),
        State::Sending { .. } | State::Uncertain { .. } | State::Placed(_) => {
            if step.order.cancel != CancelWish::Forwarded {
                step.order.cancel = CancelWish::Wished;
            }
            step.note("its client asked for it to be canceled");
        }
    }
    Ok(())
}

/// Its upstream took the cancel.
pub(super) fn forwarded(step: &mut Step, now: Timestamp) -> Result<(), Illegal> {
    if !matches!(step.order.state, State::Placed(_)) || step.order.cancel != CancelWish::Wished {
        return Err(step.order.illegal("CancelForwarded"));
    }
    step.order.cancel = CancelWish::Forwarded;
    step.note("its upstream took the cancel");
    hasten(step, now);
    Ok(())
}

/// Its upstream does not cancel it.
pub(super) fn refused(step: &mut Step, why: &str, now: Timestamp) -> Result<(), Illegal> {
    if !matches!(step.order.state, State::Placed(_)) || step.order.cancel != CancelWish::Wished {
        return Err(step.order.illegal("CancelRefused"));
    }
    step.order.cancel = CancelWish::None;
    step.note(format!("not canceled: {why}"));
    hasten(step, now);
    Ok(())
}

fn hasten(step: &mut Step, now: Timestamp) {
    let soon = now.plus(NEWS_AFTER);
    step.order.due_at = step.order.due_at.map(|due| due.min(soon));
}
