//! The seam between the panel API and the network: one form goes out, one reply or one failure comes back.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// The fields of one request, in order. Holds the API key, so it is never printed.
pub type Form = Vec<(Cow<'static, str>, String)>;

/// What a call is for: it decides the time allowed, the connection, and how much of an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `add`: the one call that spends money and must never go out twice.
    Add,
    /// `status`, for one order or many.
    Status,
    /// `refill`: sent once, since nothing tells whether a lost answer was a yes.
    Refill,
    /// `refill_status`, for one refill or many.
    RefillStatus,
    /// `cancel`: harmless to send again.
    Cancel,
    /// `orders`: the list of our orders, which few panels give.
    Orders,
    /// `balance`
    Balance,
    /// `services`: the one answer that may be large.
    Services,
}

impl CallKind {
    /// The API's name for it, as sent and as a metric's label.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Status => "status",
            Self::Refill => "refill",
            Self::RefillStatus => "refill_status",
            Self::Cancel => "cancel",
            Self::Orders => "orders",
            Self::Balance => "balance",
            Self::Services => "services",
        }
    }
}

/// An answer that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// How long the upstream asked to be left alone.
    pub retry_after: Option<Duration>,
    /// `cf-mitigated`: set where a firewall answered in the upstream's stead.
    pub cf_mitigated: Option<String>,
    /// `location`: where a redirect points.
    pub location: Option<String>,
    /// `content-type`: never trusted, only shown.
    pub content_type: Option<String>,
    /// The body, unpacked.
    pub body: Bytes,
}

/// Why there is no answer. The texts name neither the key nor the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No byte of the request left this machine.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request may have arrived.
    #[error("no whole answer: {0}")]
    Unknown(String),
}

/// Carries forms to one upstream. A simulation replaces this and nothing else.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Sends `form` once, never again by itself, and reads the whole answer.
    ///
    /// # Errors
    /// [`TransportError::NotSent`] only where it is certain that nothing left; else [`TransportError::Unknown`].
    async fn send(&self, form: Form, kind: CallKind) -> Result<Reply, TransportError>;

    /// Where forms go, where that is a URL.
    fn url(&self) -> &str {
        ""
    }
}
