//! Remembers which orders clients ask for, and has those polled soon whose news is old.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::{App, locked};
use crate::domain::ids::OrderId;

/// Orders that were asked for since the last look.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashSet<OrderId>>);

impl Asked {
    pub(super) fn mark(&self, order: OrderId) {
        locked(&self.0).insert(order);
    }

    fn take(&self) -> HashSet<OrderId> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl App {
    pub(super) async fn hasten_asked(self: Arc<Self>) {
        let asked: Vec<OrderId> = {
            let polling = locked(&self.polling);
            self.asked.take().into_iter().filter(|order| !polling.contains(order)).collect()
        };
        if asked.is_empty() {
            return;
        }
        let now = self.clock.now();
        let polled_before = now.minus(self.snapshot.load().terms.status_ttl);
        match self.store.hasten_polls(&asked, polled_before, now).await {
            Ok(()) => self.poll_nudge.notify_waiters(),
            Err(error) => tracing::warn!(%error, "orders that clients ask for are polled later than they could be"),
        }
    }
}
