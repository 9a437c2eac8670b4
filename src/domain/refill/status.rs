//! The statuses of a refill: those that clients are shown, and what upstreams report. See `docs/protocol.md`,
//! "Cancels and refills".

use std::fmt;

/// What a client is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefillStatus {
    /// Asked for, not begun.
    Pending,
    /// Being delivered.
    InProgress,
    /// Delivered.
    Completed,
    /// Refused by the upstream's staff.
    Rejected,
    /// A failure there.
    Error,
    /// Taken back.
    Canceled,
}

impl RefillStatus {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::InProgress, Self::Completed, Self::Rejected, Self::Error, Self::Canceled];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "In progress",
            Self::Completed => "Completed",
            Self::Rejected => "Rejected",
            Self::Error => "Error",
            Self::Canceled => "Canceled",
        }
    }

    /// Reads back what [`RefillStatus::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Rejected | Self::Error | Self::Canceled)
    }
}

impl fmt::Display for RefillStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an upstream's word for a refill means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillReport {
    /// One of ours.
    Known(RefillStatus),
    /// A word nobody documents: the last status stays, and the operator is told.
    Unknown(String),
}

impl RefillReport {
    /// Reads an upstream's word: only letters count, case does not.
    #[must_use]
    pub fn read(word: &str) -> Self {
        let letters: String = word.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
        Self::Known(match letters.as_str() {
            "pending" | "awaiting" | "waiting" | "inqueue" | "queued" => RefillStatus::Pending,
            "inprogress" | "refilling" | "processing" | "running" | "active" => RefillStatus::InProgress,
            "completed" | "complete" | "refilled" => RefillStatus::Completed,
            "rejected" | "reject" => RefillStatus::Rejected,
            "error" | "fail" | "failed" => RefillStatus::Error,
            "canceled" | "cancelled" | "cancel" | "canelled" => RefillStatus::Canceled,
            _ => return Self::Unknown(word.to_owned()),
        })
    }

    /// The word that stands for it in the store: ours where it is known.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Known(status) => status.as_str(),
            Self::Unknown(word) => word,
        }
    }
}
