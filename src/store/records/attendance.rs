//! What a gateway learns whenever it says that it is there.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::Timestamp;
use crate::task::Moment;

/// How long a gateway's place lasts after it attended.
pub const PLACE: Duration = Duration::from_secs(2);

/// After this a gateway is late: it attends every half second, and asks a Redis before each time.
pub const LATE_AFTER: Duration = Duration::from_millis(1300);

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
    /// Whether one of them has not attended for [`LATE_AFTER`], and still has its place: it may be dead, and have told nobody
    /// of what it wrote last.
    pub is_any_late: bool,
    /// Counts up when nothing may be believed any more that a shared cache holds: the keys of one carry it.
    pub epoch: i64,
    /// When the store was asked; `None` where there is one gateway and nothing to be asked.
    pub asked_at: Option<Instant>,
    /// Until when its place lasts, from when it asked: afterwards it makes no upstream call until it has attended again.
    /// `None`: for ever, since a store in a file has one gateway.
    pub until: Option<Moment>,
    /// The store's clock, where deadlines go by that, and when it showed this.
    pub clock: Option<(Timestamp, Moment)>,
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
        Self {
            gateways: 1,
            rank: 0,
            words: Vec::new(),
            otherwise: 0,
            is_any_late: false,
            epoch: 0,
            asked_at: None,
            until: None,
            clock: None,
            versions,
        }
    }

    /// Whether this gateway may call upstreams at this moment: its place lasts.
    #[must_use]
    pub fn may_call(&self, now: Moment) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
