//! What came of an attempt to place an order, as far as it can be known. See `docs/protocol.md`, "Outcomes".

use super::ids::UpstreamOrderId;

/// The four things that an attempt can end in. Only the first three say whether money was spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream took the order and named it.
    Accepted(UpstreamOrderId),
    /// The upstream definitely created nothing.
    Rejected(Rejection),
    /// No byte of the request left this machine. Carries what stood in the way.
    NotSent(String),
    /// Anything else: the order may exist. Carries what was seen.
    Ambiguous(String),
}

impl Outcome {
    /// The word that is stored and shown for it.
    #[must_use]
    pub const fn name(&self) -> OutcomeName {
        match self {
            Self::Accepted(_) => OutcomeName::Accepted,
            Self::Rejected(_) => OutcomeName::Rejected,
            Self::NotSent(_) => OutcomeName::NotSent,
            Self::Ambiguous(_) => OutcomeName::Ambiguous,
        }
    }
}

/// An outcome without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeName {
    /// See [`Outcome::Accepted`].
    Accepted,
    /// See [`Outcome::Rejected`].
    Rejected,
    /// See [`Outcome::NotSent`].
    NotSent,
    /// See [`Outcome::Ambiguous`].
    Ambiguous,
}

impl OutcomeName {
    /// The stored and shown word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::NotSent => "not_sent",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// A definite no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Whose fault it is, which decides what happens next.
    pub kind: RejectKind,
    /// The upstream's own words, for the operator.
    pub text: String,
    /// Whether a client may read them: known words that speak of its own input, and of nothing else.
    pub quotable: bool,
}

/// Why an upstream said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectKind {
    /// The client's own input: a bad link, a wrong quantity, a missing field.
    Input,
    /// Another order is active on that link there. After any earlier attempt there it may be our own.
    DuplicateLink,
    /// Our balance at that upstream does not cover it.
    Balance,
    /// Our key or account there is not accepted.
    Key,
    /// The service is off, gone, or not what we think it is.
    Service,
    /// Too many requests.
    RateLimit,
    /// The upstream is down for a while.
    Maintenance,
    /// It did not understand us: our bug, or an API with other words.
    Protocol,
}

impl RejectKind {
    /// Whether the same upstream may take the same order later without anybody changing the configuration.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Balance | Self::RateLimit | Self::Maintenance | Self::Key)
    }

    /// The word for it in `providers.toml` (`rejects`), logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::DuplicateLink => "duplicate-link",
            Self::Balance => "balance",
            Self::Key => "key",
            Self::Service => "service",
            Self::RateLimit => "rate-limit",
            Self::Maintenance => "maintenance",
            Self::Protocol => "protocol",
        }
    }

    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Input,
        Self::DuplicateLink,
        Self::Balance,
        Self::Key,
        Self::Service,
        Self::RateLimit,
        Self::Maintenance,
        Self::Protocol,
    ];
}
