//! What a gateway learns whenever it says that it is there.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::Timestamp;

/// How long a gateway's place lasts after it attended.
pub const PLACE: Duration = Duration::from_secs(2);

/// What the store tells a gateway that attends. Rooms that share limits or a cache follow it as a
/// `tokio::sync::watch::Receiver<Attendance>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendance {
    /// How many gateways serve this store, this one too: its share of a limit is the limit by this number. At least 1.
    pub gateways: u32,
    /// How many of the others came earlier.
    pub rank: u32,
    /// The last word that each of the others left, in the order in which they came.
    pub words: Vec<i64>,
    /// How many of them serve by another configuration than this one.
    pub otherwise: u32,
    /// Counts up when nothing may be believed any more that a shared cache holds: the keys of one carry it.
    pub epoch: i64,
    /// Until when its place lasts, by the steady clock and from when it asked: afterwards it makes no upstream call
    /// until it has attended again. `None`: for ever, since a store in a file has one gateway.
    pub until: Option<Instant>,
    /// The store's clock, where deadlines go by that, and when, by the steady clock, it showed this.
    pub clock: Option<(Timestamp, Instant)>,
    /// What other gateways may have changed.
    pub versions: Versions,
}

/// Numbers that count changes: what was read under another number than this is old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of providers' lists, doubts and freezes.
    pub catalogues: i64,
    /// Of the configurations that gateways serve.
    pub configuration: i64,
    /// Of the deadlines that were moved with the store's clock: which timeline they are on.
    pub timeline: i64,
}

impl Attendance {
    /// Of the one gateway on a store in a file.
    #[must_use]
    pub fn alone() -> Self {
        let versions = Versions::default();
        Self { gateways: 1, rank: 0, words: Vec::new(), otherwise: 0, epoch: 0, until: None, clock: None, versions }
    }

    /// When, by the steady clock, the store was asked.
    #[must_use]
    pub fn asked_at(&self) -> Option<Instant> {
        self.until.and_then(|until| until.checked_sub(PLACE))
    }

    /// Whether this gateway may call upstreams now: its place lasts.
    #[must_use]
    pub fn may_call(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}
