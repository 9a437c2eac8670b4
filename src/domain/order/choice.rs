//! By which route an order goes next.

use super::{Order, Tried, TriedEnd};
use crate::domain::ids::Route;

/// Why a route cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Whether it may be gone later without anybody changing the configuration.
    pub may_pass: bool,
    /// For the order's history.
    pub reason: String,
}

/// A route of the order's service, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The route.
    pub route: Route,
    /// What stands in its way, if anything does.
    pub obstacle: Option<Obstacle>,
}

/// What to do with a queued order now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Send it by this route.
    Send(Route),
    /// No route now. Feed [`super::Event::NoRoute`].
    NoRoute {
        /// Whether one may be there later.
        may_pass: bool,
        /// Why not.
        reason: String,
    },
}

/// The first free route that this round has not tried yet, and that has not refused for good.
#[must_use]
pub fn choose(order: &Order, candidates: &[Candidate]) -> Choice {
    let tried_now = |route: &Route| {
        order.tried.iter().find(|tried| tried.route == *route && (tried.round == order.round || !tried.may_pass))
    };
    let mut may_pass = false;
    let mut reasons = Vec::new();
    for candidate in candidates {
        match (&candidate.obstacle, tried_now(&candidate.route)) {
            (None, None) => return Choice::Send(candidate.route.clone()),
            (Some(obstacle), _) => {
                may_pass |= obstacle.may_pass;
                reasons.push(format!("{}: {}", candidate.route, obstacle.reason));
            }
            (None, Some(tried)) => {
                may_pass |= tried.may_pass;
                reasons.push(format!("{}: {}", candidate.route, what_happened(tried)));
            }
        }
    }
    if reasons.is_empty() {
        reasons.push("the service has no route".to_owned());
    }
    Choice::NoRoute { may_pass, reason: reasons.join("; ") }
}

const fn what_happened(tried: &Tried) -> &'static str {
    match tried.end {
        Some(TriedEnd::Refused | TriedEnd::Duplicate) => "refused it",
        Some(TriedEnd::NotSent) => "it could not be sent",
        Some(TriedEnd::NotPlaced) => "did not get it",
        None => "did not take it",
    }
}
