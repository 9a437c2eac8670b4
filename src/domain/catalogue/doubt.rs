//! What takes an upstream's service off sale until somebody has looked. See `docs/protocol.md`, "Catalogue".

use std::fmt;

use rust_decimal::Decimal;

use super::{RouteProblem, UpstreamService};
use crate::domain::ids::{OrderId, UpstreamServiceId};
use crate::domain::money::Money;
use crate::domain::service_type::ServiceType;

/// What an upstream's service is to those who buy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its category.
    pub category: String,
    /// Its type as that upstream spells it.
    pub type_text: String,
}

/// What came of comparing a service with what its ID stood for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// Nothing that matters changed.
    Same,
    /// A new name, or a new category: followed.
    Renamed,
    /// Another type, or a new name and a new category at once: IDs of deleted services are given to new ones.
    Another,
}

/// An order that really cost more than the margin allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The upstream's listed rate at that time; another one ends the doubt.
    pub rate: Decimal,
    /// Which order.
    pub order: OrderId,
    /// What its client paid.
    pub charge: Money,
    /// What the upstream took, in the panel's currency.
    pub cost: Money,
}

/// Why an upstream's service is off sale until the operator confirms it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Its ID seems to stand for another service than it did.
    Another {
        /// What it stood for.
        was: Identity,
        /// What it stands for now.
        is: Identity,
    },
    /// An order there cost more than its listed rate and the minimum margin allow.
    Loss(Loss),
}

/// A list's doubts; a service may have several.
pub type Doubts = Vec<(UpstreamServiceId, Doubt)>;

impl UpstreamService {
    /// What it is to those who buy it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { name: self.name.clone(), category: self.category.clone(), type_text: self.type_text.clone() }
    }
}

impl Identity {
    /// How `now` compares with this. Case and blanks do not count, nor how a known type is spelt.
    #[must_use]
    pub fn compare(&self, now: &Self) -> Sameness {
        let differs = |was: &str, is: &str| was.trim().to_lowercase() != is.trim().to_lowercase();
        let types = (ServiceType::parse(&self.type_text), ServiceType::parse(&now.type_text));
        let other_type = types.0 != types.1 || (types.0.is_none() && differs(&self.type_text, &now.type_text));
        let (name, category) = (differs(&self.name, &now.name), differs(&self.category, &now.category));
        match (other_type, name, category) {
            (true, ..) | (_, true, true) => Sameness::Another,
            (false, false, false) => Sameness::Same,
            _ => Sameness::Renamed,
        }
    }
}

impl Doubt {
    /// The same as what stands in a route's way.
    #[must_use]
    pub const fn problem(&self) -> RouteProblem {
        match self {
            Self::Another { .. } => RouteProblem::Another,
            Self::Loss(_) => RouteProblem::Loss,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?} of type {:?}", self.name, self.category, self.type_text)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Another { was, is } => write!(f, "it was {was}, it is {is}"),
            Self::Loss(Loss { order, charge, cost, .. }) => {
                write!(f, "order {order} cost {cost} and was sold for {charge}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, category: &str, type_text: &str) -> Identity {
        Identity { name: name.into(), category: category.into(), type_text: type_text.into() }
    }

    #[test]
    fn an_id_is_reused_where_its_type_or_both_its_names_changed() {
        let was = identity("Likes", "Instagram", "Default");
        for (now, sameness) in [
            (identity("Likes", "Instagram", "Default"), Sameness::Same),
            (identity(" likes", "INSTAGRAM ", "default"), Sameness::Same),
            (identity("Likes (fast)", "Instagram", "Default"), Sameness::Renamed),
            (identity("Likes", "Instagram likes", "Default"), Sameness::Renamed),
            (identity("Views", "TikTok", "Default"), Sameness::Another),
            (identity("Likes", "Instagram", "Package"), Sameness::Another),
            (identity("Likes", "Instagram", "Quux"), Sameness::Another),
        ] {
            assert_eq!(was.compare(&now), sameness, "{now}");
        }
        let unknown = identity("Likes", "Instagram", "Quux");
        assert_eq!(unknown.compare(&unknown), Sameness::Same);
        assert_eq!(unknown.compare(&identity("Likes", "Instagram", "Corge")), Sameness::Another);
    }
}
