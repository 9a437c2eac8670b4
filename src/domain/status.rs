//! Order statuses: the six that clients know, and what upstreams report. See `docs/protocol.md`, "Statuses".

use std::fmt;

use rust_decimal::Decimal;

/// The six statuses that every reseller script understands. Nothing else is ever shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Accepted, not begun.
    Pending,
    /// Being delivered.
    InProgress,
    /// Being handed on or prepared.
    Processing,
    /// Delivered in full.
    Completed,
    /// Ended with a part undelivered.
    Partial,
    /// Ended with nothing owed.
    Canceled,
}

impl Status {
    /// All six.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::InProgress, Self::Processing, Self::Completed, Self::Partial, Self::Canceled];

    /// The word exactly as clients compare it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "In progress",
            Self::Processing => "Processing",
            Self::Completed => "Completed",
            Self::Partial => "Partial",
            Self::Canceled => "Canceled",
        }
    }

    /// Reads back what [`Status::as_str`] wrote.
    #[must_use]
    pub fn from_canonical(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an upstream's status word means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// One of the six.
    Known(Status),
    /// A failure there that may yet be put right by its staff; no money moves on it.
    Failed(String),
    /// A word nobody documents: the last state stays, and the operator is told.
    Unknown(String),
}

impl Reported {
    /// Reads an upstream's status word: only letters count, case does not.
    #[must_use]
    pub fn read(word: &str) -> Self {
        let letters: String = word.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
        let known = match letters.as_str() {
            "pending" | "waiting" | "creating" | "awaiting" | "awaitingpayment" | "inqueue" | "queued" | "holding"
            | "onhold" | "paused" | "suspended" | "waitforrefund" => Status::Pending,
            "inprogress" | "running" | "active" => Status::InProgress,
            "processing" => Status::Processing,
            "completed" | "complete" | "success" => Status::Completed,
            "partial" | "partiallycompleted" => Status::Partial,
            "canceled" | "cancelled" | "cancel" | "canelled" | "refunded" | "refund" | "refunds" => Status::Canceled,
            "fail" | "failed" | "error" | "rejected" => return Self::Failed(word.to_owned()),
            _ => return Self::Unknown(word.to_owned()),
        };
        Self::Known(known)
    }

    /// The word that stands for it in the store: canonical where it is known.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Known(status) => status.as_str(),
            Self::Failed(word) | Self::Unknown(word) => word,
        }
    }
}

/// One upstream's report on one order, as far as it said anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// What its status word means.
    pub status: Reported,
    /// What it charged us, in its own currency.
    pub charge: Option<Decimal>,
    /// The counter at the start.
    pub start_count: Option<u64>,
    /// Units still undelivered; negative (over-delivery) is read as 0.
    pub remains: Option<u64>,
    /// Drip-feed runs done so far.
    pub runs: Option<u64>,
    /// The currency it named, as it spelt it.
    pub currency: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_words_map_to_the_six() {
        for (word, status) in [
            ("Pending", Status::Pending),
            ("In progress", Status::InProgress),
            ("In-Progress", Status::InProgress),
            ("inprogress", Status::InProgress),
            ("PROCESSING", Status::Processing),
            ("Complete", Status::Completed),
            ("Partially Completed", Status::Partial),
            ("Cancelled", Status::Canceled),
            ("canelled", Status::Canceled),
            ("Refunded", Status::Canceled),
            ("WaitForRefund", Status::Pending),
        ] {
            assert_eq!(Reported::read(word), Reported::Known(status), "{word}");
        }
        assert_eq!(Reported::read("Fail"), Reported::Failed("Fail".into()));
        assert_eq!(Reported::read("Old"), Reported::Unknown("Old".into()));
        assert_eq!(Reported::read(""), Reported::Unknown(String::new()));
    }
}
