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
}
