//! Why a search did not settle its order, and what of that the operator is told.

use crate::domain::ids::ProviderId;
use crate::domain::order::Hint;
use crate::domain::search::Obstacle;

pub(super) const LIST: &str = "its list of orders";
pub(super) const SCAN: &str = "a scan";

/// Why a search did not settle its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// By the list, or by the scan.
    Unproven(&'static str, Obstacle),
    /// A call that brought nothing, or that could not be made.
    Unanswered(String),
}

impl Failure {
    /// What is worth telling the operator at once.
    pub(super) fn hint(&self, provider: &ProviderId) -> Option<Hint> {
        match self {
            Self::Unproven(how, obstacle) if !obstacle.passes() => {
                let about = hint_name(how, obstacle);
                Some(Hint { about, seen: format!("searched for it at {provider} by {how}: {obstacle}") })
            }
            _ => None,
        }
    }

    /// Whether it goes away by itself.
    pub(super) const fn passes(&self) -> bool {
        match self {
            Self::Unproven(_, obstacle) => obstacle.passes(),
            Self::Unanswered(_) => true,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unproven(how, obstacle) => write!(f, "by {how}, {obstacle}"),
            Self::Unanswered(why) => f.write_str(why),
        }
    }
}

/// The name of what stood in the way, but for the commonest thing: two ways of searching may both find nothing.
fn hint_name(how: &str, obstacle: &Obstacle) -> &'static str {
    match (how, obstacle) {
        (LIST, Obstacle::NoneFits) => "not in the list",
        _ => obstacle.name(),
    }
}
