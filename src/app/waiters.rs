//! Who waits in this process for an order to be settled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::ids::OrderId;

/// Waiting calls by order. An entry lives as long as somebody holds it.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<HashMap<OrderId, Arc<Notify>>>);

/// One call's place among the waiters; it leaves when dropped.
#[derive(Debug)]
pub struct Waiting<'a> {
    waiters: &'a Waiters,
    order: OrderId,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Joins those who wait for `order`. Join first and look at the order then, so that no news is missed.
    pub fn join(&self, order: OrderId) -> Waiting<'_> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = map.entry(order).or_default().clone();
        Waiting { waiters: self, order, notify }
    }

    /// Wakes all who wait for `order`.
    pub fn wake(&self, order: OrderId) {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = map.get(&order) {
            notify.notify_waiters();
        }
    }
}

impl Waiting<'_> {
    /// The next news. Take it before looking at the order, await it after.
    pub fn news(&self) -> tokio::sync::futures::OwnedNotified {
        self.notify.clone().notified_owned()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut map = self.waiters.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One count is the map's, one is ours: nobody else waits.
        if Arc::strong_count(&self.notify) <= 2 {
            map.remove(&self.order);
        }
    }
}
