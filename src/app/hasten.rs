//! Remembers which orders and refills clients ask for, and has those polled soon whose news is old.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use super::{App, locked};
use crate::domain::ids::{OrderId, RefillId};

/// Orders or refills that were asked for since the last look.
#[derive(Debug)]
pub(super) struct Asked<I>(Mutex<HashSet<I>>);

impl<I> Default for Asked<I> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<I: Eq + Hash> Asked<I> {
    pub(super) fn mark(&self, ids: impl Iterator<Item = I>) {
        let mut ids = ids.peekable();
        if ids.peek().is_some() {
            locked(&self.0).extend(ids);
        }
    }

    fn take(&self) -> HashSet<I> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl App {
    pub(super) async fn hasten_asked_refills(self: Arc<Self>) {
        let asked: Vec<RefillId> = self.asked_refills.take().into_iter().collect();
        if asked.is_empty() {
            return;
        }
        let now = self.clock.now();
        let polled_before = now.minus(self.snapshot.load().terms.status_ttl);
        match self.store.hasten_refills(&asked, polled_before, now).await {
            Ok(()) => self.poll_nudge.notify_waiters(),
            Err(error) => tracing::warn!(%error, "refills that clients ask for are polled later than they could be"),
        }
    }

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
