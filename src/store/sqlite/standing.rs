//! Whether the store can write. The operator is told when it can't any more, and when it can again, and not by every
//! call that meets it meanwhile.

use metrics::{counter, gauge};

use crate::store::{StoreError, StoreResult};
use crate::telemetry::{ALERTS, STORE_WRITABLE};

/// What the last writes showed.
#[derive(Debug)]
pub(super) struct Standing {
    writes: bool,
}

impl Standing {
    /// It can, until a write fails.
    pub(super) fn new() -> Self {
        gauge!(STORE_WRITABLE).set(1.0);
        Self { writes: true }
    }

    /// Takes note of how a transaction ended; `changed`: it held anything to be written.
    pub(super) fn heard(&mut self, outcome: &StoreResult<()>, changed: bool) {
        match outcome {
            Err(StoreError::CannotWrite(what)) if self.writes => {
                self.writes = false;
                gauge!(STORE_WRITABLE).set(0.0);
                counter!(ALERTS).increment(1);
                tracing::error!(
                    "the store can't write ({what}): orders are refused, none is sent, and what is known is still \
                     answered; make room or mend the disk, it goes on by itself then"
                );
            }
            Ok(()) if !self.writes && changed => {
                self.writes = true;
                gauge!(STORE_WRITABLE).set(1.0);
                tracing::warn!("the store writes again: orders are taken and sent as before");
            }
            _ => {}
        }
    }
}
