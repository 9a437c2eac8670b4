//! The cache of a single gateway.

use moka::ops::compute::Op;
use tokio::time::Instant;

use super::{Cached, DROPPED_FOR, KEPT_FOR};
use crate::domain::ids::OrderId;

/// What an entry weighs besides its body.
const OVERHEAD: usize = 160;

/// Entries by order, the least used leaving first where there is no room.
#[derive(Debug)]
pub struct Local(moka::sync::Cache<OrderId, Slot>);

#[derive(Debug, Clone)]
enum Slot {
    Held(Cached),
    /// Dropped at that version (nothing was held where there is none), and until then not to be put again.
    Dropped {
        version: Option<u64>,
        until: Instant,
    },
}

impl Local {
    pub(super) fn new(max_bytes: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, slot: &Slot| {
                let body = match slot {
                    Slot::Held(cached) => cached.body.len(),
                    Slot::Dropped { .. } => 0,
                };
                u32::try_from(body.saturating_add(OVERHEAD)).unwrap_or(u32::MAX)
            })
            .time_to_live(KEPT_FOR)
            .build();
        Self(cache)
    }

    pub(super) fn get_many(&self, ids: &[OrderId]) -> Vec<Option<Cached>> {
        let get = |id| match self.0.get(id) {
            Some(Slot::Held(cached)) => Some(cached),
            Some(Slot::Dropped { .. }) | None => None,
        };
        ids.iter().map(get).collect()
    }

    pub(super) fn put(&self, entries: Vec<(OrderId, Cached)>) {
        let now = Instant::now();
        for (id, cached) in entries {
            self.0.entry(id).and_compute_with(|old| match old.map(moka::Entry::into_value) {
                Some(Slot::Held(old)) if old.version > cached.version => Op::Nop,
                Some(Slot::Dropped { version, until })
                    if now < until && version.is_none_or(|version| version >= cached.version) =>
                {
                    Op::Nop
                }
                _ => Op::Put(Slot::Held(cached)),
            });
        }
    }

    pub(super) fn drop_orders(&self, ids: &[OrderId]) {
        let until = Instant::now() + DROPPED_FOR;
        for id in ids {
            self.0.entry(*id).and_compute_with(|old| {
                let version = match old.map(moka::Entry::into_value) {
                    Some(Slot::Held(old)) => Some(old.version),
                    Some(Slot::Dropped { version, .. }) => version,
                    None => None,
                };
                Op::Put(Slot::Dropped { version, until })
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
