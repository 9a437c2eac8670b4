//! When an order is asked for upstream: often while it is young, rarely when it is old or closed.

use std::time::Duration;

use super::{Order, State};
use crate::domain::time::Timestamp;

/// How long an order is left to whoever took it up, before any other may.
pub const CLAIM: Duration = Duration::from_secs(60);
/// From placement to the first question.
pub const FIRST_POLL_AFTER: Duration = Duration::from_secs(60);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// When an order is asked for again if nobody wants to know earlier: every minute in its first hour, every 5
/// minutes that day, then every 30. A closed one, for a late change, after half the time it has been closed,
/// between an hour and a day; `None` once `watch_closed` is over.
#[must_use]
pub fn next_poll(order: &Order, watch_closed: Duration, now: Timestamp) -> Option<Timestamp> {
    match &order.state {
        State::Placed(_) => {
            let age = now.since(order.created_at);
            let pause = if age < HOUR {
                MINUTE
            } else if age < DAY {
                MINUTE.saturating_mul(5)
            } else {
                MINUTE.saturating_mul(30)
            };
            Some(now.plus(pause))
        }
        State::Closed { binding: Some(_), at } => {
            let next = now.plus(now.since(*at).checked_div(2).unwrap_or(DAY).clamp(HOUR, DAY));
            (next <= at.plus(watch_closed)).then_some(next)
        }
        _ => None,
    }
}
