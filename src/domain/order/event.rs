//! What can happen to an order.

use rust_decimal::Decimal;

use crate::domain::ids::{AttemptNumber, Route, UpstreamOrderId};
use crate::domain::outcome::Outcome;
use crate::domain::status::StatusReport;

/// How the operator settles an uncertain order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It exists there, under this ID.
    Placed(UpstreamOrderId),
    /// It does not exist there: it may be sent again.
    NotPlaced,
    /// Give the money back and leave it.
    Refund,
}

/// What found an order upstream whose ID was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Its upstream's own list of our orders: the only one there with its service, link and quantity, in its time.
    Listing,
    /// The only one that fits among the IDs between our neighbouring orders there.
    Scan {
        /// The order before; not asked about.
        below: UpstreamOrderId,
        /// The order after; not asked about.
        above: UpstreamOrderId,
    },
}

/// Something that was seen of an uncertain order and proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Which kind of thing: an order is told of each kind once.
    pub about: &'static str,
    /// What was seen, for the operator.
    pub seen: String,
}

impl Hint {
    /// How the line in the order's history begins: by it the kind is known again.
    #[must_use]
    pub fn opening(&self) -> String {
        format!("hint ({}): ", self.about)
    }

    /// Whether a line of an order's history is a hint.
    #[must_use]
    pub fn is_in(line: &str) -> bool {
        line.starts_with("hint (")
    }
}

/// How a provider's reports are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportRules {
    /// False where Partial may be a pause.
    pub partial_is_final: bool,
    /// One unit of the provider's currency in the panel's.
    pub exchange_rate: Decimal,
    /// How long a closed order is watched.
    pub watch_closed: std::time::Duration,
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An attempt begins by this route.
    SendStarted(Route),
    /// What came of an attempt, however late.
    Answered {
        /// Which.
        attempt: AttemptNumber,
        /// What.
        outcome: Outcome,
    },
    /// An attempt was answered with an ID that another order holds.
    IdTaken {
        /// Which.
        attempt: AttemptNumber,
        /// The ID.
        id: UpstreamOrderId,
        /// Whether the other has the same service, link and quantity and is at most 120 s older: that panel's
        /// own de-duplication.
        deduplicated: bool,
    },
    /// No route can take it now.
    NoRoute {
        /// Whether one may later.
        may_pass: bool,
        /// Why, for the history.
        reason: String,
    },
    /// It was held for as long as an order is held.
    HoldExpired,
    /// Its service is no longer in the configuration.
    ServiceRemoved,
    /// The process that was sending it is gone.
    SenderLost,
    /// Its upstream reported on it.
    Reported(StatusReport, ReportRules),
    /// Its upstream was asked, and said nothing of it, or in these words that it does not know it.
    Unreported(Option<String>, ReportRules),
    /// Its client wants it canceled.
    CancelRequested,
    /// Its upstream took the cancel.
    CancelForwarded,
    /// Its upstream does not cancel it, and why.
    CancelRefused(String),
    /// The operator settles it.
    Resolved(Resolution),
    /// It was found upstream under this ID.
    Found {
        /// The ID.
        id: UpstreamOrderId,
        /// By what.
        by: Found,
    },
    /// Something was seen that proves nothing; it moves nothing.
    Hinted(Hint),
}
