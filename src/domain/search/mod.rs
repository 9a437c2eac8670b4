//! Finds, among what an upstream shows of our account, the order whose ID was lost: proved, or not at all. See
//! `docs/operations.md`, "Settling uncertain orders".
//!
//! An upstream gives IDs in the order of placing. So the order that an attempt may have left stands between our
//! orders that were answered before it began, and those that were sent after it ended: its [`Window`]. Within it an
//! ID is taken only where nothing else could be it, and where no other attempt could have left it.

mod listing;
mod scan;
#[cfg(test)]
mod tests;
mod window;

pub use listing::{MAX_LISTED, find_in_listing};
pub use scan::{Item, MAX_GAP, find_in_gap};
pub use window::{Neighbour, Neighbours, Window};

use rust_decimal::Decimal;

use super::ids::{OrderId, UpstreamOrderId, UpstreamServiceId};
use super::status::StatusReport;
use super::time::Timestamp;

/// An attempt that may have left an order upstream which none of ours holds; or a drip-feed, which leaves more of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Of which order.
    pub order: OrderId,
    /// The service there.
    pub service: UpstreamServiceId,
    /// What it was for.
    pub link: String,
    /// The quantity that was sent, where its type takes one.
    pub quantity: Option<u64>,
    /// What is charged by: quantity times runs, lines, or 1 for a package.
    pub units: u64,
    /// Whether it is a package, whose size only the upstream knows.
    pub is_package: bool,
    /// Whether it is a drip-feed: each of its runs is an order there too, with an ID of its own.
    pub is_drip_feed: bool,
    /// When it was about to be sent.
    pub started_at: Timestamp,
    /// When it was given up, or its last run was; `None` while it is under way.
    pub ended_at: Option<Timestamp>,
    /// What the upstream takes for it, by its list of that time and in its currency; `None` where that is not known.
    pub cost: Option<Decimal>,
}

/// What an upstream says of one of its orders, as far as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its ID.
    pub id: UpstreamOrderId,
    /// Its service there.
    pub service: Option<String>,
    /// What it is for.
    pub link: Option<String>,
    /// How many.
    pub quantity: Option<u64>,
    /// When it was placed, where that is said with its offset from UTC.
    pub created_at: Option<Timestamp>,
    /// How it stands.
    pub report: Option<StatusReport>,
}

impl Listed {
    /// Whether nothing that it says is other than what was ordered.
    fn agrees_with(&self, lost: &Lost) -> bool {
        self.link.as_deref().is_none_or(|link| link == lost.link) && self.has_size_of(lost)
    }

    /// The same, where the panel may have written the link in another way.
    fn may_be(&self, other: &Lost) -> bool {
        self.link.as_deref().is_none_or(|link| bare(link) == bare(&other.link)) && self.has_size_of(other)
    }

    fn has_size_of(&self, lost: &Lost) -> bool {
        let service = self.service.as_deref().is_none_or(|service| service == lost.service.as_str());
        let quantity = self
            .quantity
            .is_none_or(|quantity| lost.is_package || lost.quantity == Some(quantity) || lost.units == quantity);
        service && quantity
    }
}

/// A link without what panels add, drop or change in it.
fn bare(link: &str) -> String {
    let link = link.to_lowercase();
    let link = link.split_once("://").map_or(link.as_str(), |(_, rest)| rest);
    let link = link.split(['?', '#']).next().unwrap_or(link);
    link.strip_prefix("www.").unwrap_or(link).trim_end_matches('/').to_owned()
}

/// Why no order was taken for the lost one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Our orders there have IDs that are no numbers.
    NotNumbers,
    /// Our orders there do not have their IDs in the order of placing.
    NotInSequence,
    /// It ended, by the clock, before it began.
    ClockSetBack,
    /// None of our orders there was answered before it.
    NoneBefore,
    /// None of our orders there was sent after it yet.
    NoneAfter,
    /// So many IDs lie between its neighbours.
    TooWide(u64),
    /// What it costs there is not known.
    CostUnknown,
    /// This order could have left it just as well.
    InDoubt(OrderId),
    /// This order is being sent, and may be what was seen.
    BeingSent(OrderId),
    /// What was seen may be a run of this drip-feed.
    DripFeed(OrderId),
    /// This one fits alone, but others place orders on that account too.
    NotExclusive(UpstreamOrderId),
    /// Nothing that was seen fits.
    NoneFits,
    /// These may be it, and nothing proves it.
    Unproven(Vec<UpstreamOrderId>),
    /// Several could be it.
    Several(Vec<UpstreamOrderId>),
    /// So many IDs were left out of the answer.
    LeftOut(usize),
    /// The list shows nothing from long enough before it.
    ListTooShort,
}

impl Obstacle {
    /// Whether it goes away by itself, so that it is not worth a word yet.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::NoneAfter | Self::BeingSent(_) | Self::LeftOut(_))
    }

    /// In two or three words: which kind it is.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotNumbers => "IDs are no numbers",
            Self::NotInSequence => "IDs out of order",
            Self::ClockSetBack => "clock set back",
            Self::NoneBefore => "no order before",
            Self::NoneAfter => "no order after",
            Self::TooWide(_) => "too many IDs",
            Self::CostUnknown => "cost unknown",
            Self::InDoubt(_) => "another in doubt",
            Self::BeingSent(_) => "another being sent",
            Self::DripFeed(_) => "a drip-feed",
            Self::NotExclusive(_) => "in the list",
            Self::NoneFits => "none fits",
            Self::Unproven(_) => "unproven",
            Self::Several(_) => "several could be it",
            Self::LeftOut(_) => "IDs left out",
            Self::ListTooShort => "list too short",
        }
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids = |ids: &[UpstreamOrderId]| ids.iter().map(UpstreamOrderId::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::NotNumbers => f.write_str("our orders there have IDs that are no numbers"),
            Self::NotInSequence => f.write_str("our orders there do not have their IDs in the order of placing"),
            Self::ClockSetBack => f.write_str("the machine's clock was set back while it was sent"),
            Self::NoneBefore => f.write_str("none of our orders there was answered before it"),
            Self::NoneAfter => f.write_str("none of our orders there was placed after it yet"),
            Self::TooWide(count) => write!(f, "{count} IDs lie between our neighbouring orders there, over {MAX_GAP}"),
            Self::CostUnknown => f.write_str("what it costs there was not known at that time"),
            Self::InDoubt(order) => write!(f, "order {order} is, or was, in doubt there at the same time"),
            Self::BeingSent(order) => write!(f, "order {order} is being sent there"),
            Self::DripFeed(order) => write!(f, "what is there may be a run of order {order}, a drip-feed"),
            Self::NotExclusive(id) => {
                write!(f, "{id} is the same, and is this one unless others place orders on that account too")
            }
            Self::NoneFits => f.write_str("nothing there fits, which proves nothing"),
            Self::Unproven(found) => write!(f, "{} may be it, but its figures do not prove it", ids(found)),
            Self::Several(found) => write!(f, "{} could each be it", ids(found)),
            Self::LeftOut(count) => write!(f, "{count} of the IDs between were left out of the answer"),
            Self::ListTooShort => f.write_str("the list shows nothing from more than five minutes before it"),
        }
    }
}

/// Which of `others` could have left what lies in `window`, where any could.
fn rival(lost: &Lost, window: &Window, others: impl IntoIterator<Item = Lost>) -> Option<Obstacle> {
    if lost.is_drip_feed {
        return Some(Obstacle::DripFeed(lost.order));
    }
    let rival = others.into_iter().find(|other| window.may_hold(other) && !is_same_attempt(lost, other))?;
    Some(match rival.ended_at {
        _ if rival.is_drip_feed => Obstacle::DripFeed(rival.order),
        Some(_) => Obstacle::InDoubt(rival.order),
        None => Obstacle::BeingSent(rival.order),
    })
}

fn is_same_attempt(lost: &Lost, other: &Lost) -> bool {
    lost.order == other.order && lost.started_at == other.started_at
}
