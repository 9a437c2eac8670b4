//! Remembers which orders clients ask for, and has those polled soon whose news is old.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::{App, locked};
use crate::domain::ids::OrderId;
use crate::domain::time::Timestamp;

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

/// When each order was last asked for upstream, kept for as long as that matters; `None` while it is being asked
/// for. The store knows only of polls that brought news, and impatience must not cost more where none comes.
#[derive(Debug, Default)]
pub(super) struct Polled(Mutex<HashMap<OrderId, Option<Timestamp>>>);

impl Polled {
    pub(super) fn begin(&self, orders: &[OrderId]) {
        locked(&self.0).extend(orders.iter().map(|order| (*order, None)));
    }

    pub(super) fn end(&self, orders: &[OrderId], now: Timestamp) {
        locked(&self.0).extend(orders.iter().map(|order| (*order, Some(now))));
    }

    /// Those that were not asked for since `polled_before`; what is older is forgotten.
    fn not_since(&self, polled_before: Timestamp, orders: HashSet<OrderId>) -> Vec<OrderId> {
        let mut polled = locked(&self.0);
        polled.retain(|_, at| at.is_none_or(|at| at > polled_before));
        orders.into_iter().filter(|order| !polled.contains_key(order)).collect()
    }
}

impl App {
    pub(super) async fn hasten_asked(self: Arc<Self>) {
        let now = self.clock.now();
        let polled_before = now.minus(self.snapshot.load().terms.status_ttl);
        let asked = self.polled.not_since(polled_before, self.asked.take());
        if asked.is_empty() {
            return;
        }
        match self.store.hasten_polls(&asked, polled_before, now).await {
            Ok(()) => self.poll_nudge.notify_waiters(),
            Err(error) => tracing::warn!(%error, "orders that clients ask for are polled later than they could be"),
        }
    }
}
