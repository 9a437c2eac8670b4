//! What a gateway learns whenever it says that it is there.

use tokio::time::Instant;

use crate::domain::time::Timestamp;

/// What the store tells a gateway that attends. Rooms that share limits or a cache follow it as a
/// `tokio::sync::watch::Receiver<Attendance>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attendance {
    /// How many gateways serve this store, this one too: its share of a limit is the limit by this number. At least 1.
    pub gateways: u32,
    /// Counts up when nothing may be believed any more that a shared cache holds: the keys of one carry it.
    pub epoch: i64,
    /// Until when this gateway's place lasts, by the steady clock and from when it asked: afterwards it makes no upstream
    /// call until it has attended again. `None`: for ever, since a store in a file has one gateway.
    pub until: Option<Instant>,
    /// The store's clock, where deadlines go by that, and when, by the steady clock, it showed this.
    pub clock: Option<(Timestamp, Instant)>,
    /// What other gateways, and the command line, may have changed.
    pub versions: Versions,
}

/// Numbers that count changes: what was read under another number than this is old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of clients and keys.
    pub access: i64,
    /// Of what the operator paused.
    pub pauses: i64,
    /// Of providers' lists, doubts and freezes.
    pub catalogues: i64,
    /// Of the configuration that gateways serve.
    pub configuration: i64,
    /// Of the deadlines that were moved with a clock.
    pub shifts: i64,
}

impl Attendance {
    /// Of the one gateway on a store in a file.
    #[must_use]
    pub fn alone(versions: Versions) -> Self {
        Self { gateways: 1, epoch: 0, until: None, clock: None, versions }
    }

    /// Whether this gateway's place lasts still: without it, no upstream may be called.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}
