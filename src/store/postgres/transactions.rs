//! One read, or one write in a transaction: what every method of the store is made of.

use std::time::{Duration, Instant};

use crate::store::StoreError;

/// How often a transaction is tried that others were in the way of.
pub(super) const TRIES: u32 = 5;
/// For how long it is tried again.
pub(super) const TRY_FOR: Duration = Duration::from_secs(5);

/// Runs a read on this connection.
macro_rules! reading {
    ($session:expr, |$db:ident| $work:expr) => {{
        let $db = $session.await?;
        let read = $work.await.map_err($crate::store::postgres::transactions::read_failed);
        $db.end_read().await;
        read
    }};
}

/// Runs a write in a transaction, again where others were in its way; what it gives is durable.
macro_rules! writing {
    ($store:ident, |$db:ident| $work:expr) => {{
        let mut tries = $crate::store::postgres::transactions::Tries::new();
        loop {
            let mut changed = false;
            let outcome = async {
                let $db = $store.writer().await?;
                $db.begin().await?;
                match $work.await {
                    Ok(done) => {
                        changed = $db.has_written();
                        $db.commit().await?;
                        Ok(done)
                    }
                    Err(error) => {
                        $db.roll_back().await;
                        Err(error)
                    }
                }
            };
            match outcome.await {
                Err(error) if tries.again(&error) => {}
                outcome => {
                    $store.heard(&outcome, changed);
                    break outcome;
                }
            }
        }
    }};
}
pub(super) use {reading, writing};

/// Nothing was to be written.
pub(super) fn read_failed(error: StoreError) -> StoreError {
    match error {
        StoreError::CannotWrite(what) => StoreError::CannotRead(what),
        error => error,
    }
}

/// Counts the tries of a transaction.
pub(super) struct Tries {
    left: u32,
    until: Instant,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { left: TRIES, until: Instant::now() + TRY_FOR }
    }

    /// Whether it is tried once more after this error: others were in the way, and nothing was written.
    pub(super) fn again(&mut self, error: &StoreError) -> bool {
        self.left = self.left.saturating_sub(1);
        matches!(error, StoreError::Overloaded) && self.left > 0 && Instant::now() < self.until
    }
}
