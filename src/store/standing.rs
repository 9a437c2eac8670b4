//! Whether the store can write. The operator is told when it can't any more, and when it can again, and not by every
//! call that meets it meanwhile.

use metrics::{counter, gauge};

use crate::store::{StoreError, StoreResult};
use crate::telemetry::{ALERTS, STORE_WRITABLE};

/// What the last writes showed.
#[derive(Debug)]
pub(crate) struct Standing {
    writes: bool,
}

impl Standing {
    /// It can, until a write fails.
    pub(crate) fn new() -> Self {
        gauge!(STORE_WRITABLE).set(1.0);
        Self { writes: true }
    }

    /// Takes note of how a transaction ended; `changed`: it held anything to be written.
    pub(crate) fn heard(&mut self, outcome: &StoreResult<()>, changed: bool) {
        match outcome {
            Err(StoreError::CannotWrite(what)) if self.writes => {
                self.writes = false;
                gauge!(STORE_WRITABLE).set(0.0);
                counter!(ALERTS).increment(1);
                tracing::error!(
                    "the store can't write ({what}): orders are refused, none is sent, and what is known is still \
                     answered; make room, or mend the disk or the way to the database: it goes on by itself then"
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

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn the_operator_is_told_once_until_something_was_really_written() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let shows = |line: &str| metrics.render().lines().any(|found| found == line);
        metrics::with_local_recorder(&recorder, || {
            let full = || Err(StoreError::CannotWrite("full".into()));
            let mut standing = Standing::new();
            standing.heard(&Err(StoreError::Overloaded), false);
            assert!(shows("tollgate_store_writable 1"));
            for outcome in [full(), Ok(()), full(), full()] {
                standing.heard(&outcome, false);
                assert!(shows("tollgate_store_writable 0") && shows("tollgate_alerts_total 1"));
            }
            standing.heard(&Ok(()), true);
            assert!(shows("tollgate_store_writable 1"));
            standing.heard(&full(), true);
            assert!(shows("tollgate_store_writable 0") && shows("tollgate_alerts_total 2"));
        });
    }
}
