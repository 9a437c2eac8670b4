//! What a gateway learns whenever it says that it is there.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::Timestamp;

/// How long a gateway's place lasts after it attended.
pub const PLACE: Duration = Duration::from_secs(2);

/// What the store tells a gateway that attends. Rooms that share limits or a cache follow it as a
/// `tokio::sync::watch::Receiver<Attendance>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attendance {
    /// How many gateways serve this store, this one too: its share of a limit is the limit by this number. At least 1.
    pub gateways: u32,
    /// How many of them serve by another configuration than this one.
    pub otherwise: u32,
    /// Counts up when nothing may be believed any more that a shared cache holds: the keys of one carry it.
    pub epoch: i64,
    /// From when, by the steady clock, this gateway may call upstreams: others have to learn first that it is there.
    /// `None`: at once.
    pub from: Option<Instant>,
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
}

impl Attendance {
    /// Of the one gateway on a store in a file.
    #[must_use]
    pub fn alone() -> Self {
        let versions = Versions::default();
        Self { gateways: 1, otherwise: 0, epoch: 0, from: None, until: None, clock: None, versions }
    }

    /// Whether this gateway may call upstreams now: its place lasts, and the others know of it.
    #[must_use]
    pub fn may_call(&self) -> bool {
        let now = Instant::now();
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}
