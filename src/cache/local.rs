//! The cache of a single gateway.

use moka::ops::compute::Op;

use super::{Cached, KEPT_FOR};
use crate::domain::ids::OrderId;

/// What an entry weighs besides its body.
const OVERHEAD: usize = 160;

/// Entries by order, the least used leaving first where there is no room.
#[derive(Debug)]
pub struct Local(moka::sync::Cache<OrderId, Cached>);

impl Local {
    pub(super) fn new(max_bytes: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, cached: &Cached| u32::try_from(cached.body.len().saturating_add(OVERHEAD)).unwrap_or(u32::MAX))
            .time_to_live(KEPT_FOR)
            .build();
        Self(cache)
    }

    pub(super) fn get_many(&self, ids: &[OrderId]) -> Vec<Option<Cached>> {
        ids.iter().map(|id| self.0.get(id)).collect()
    }

    pub(super) fn put(&self, entries: Vec<(OrderId, Cached)>) {
        for (id, cached) in entries {
            self.0.entry(id).and_compute_with(|old| match old {
                Some(old) if old.value().version > cached.version => Op::Nop,
                _ => Op::Put(cached),
            });
        }
    }

    /// Does now what moka puts off: making room.
    #[cfg(test)]
    pub(super) fn settle(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }
}
