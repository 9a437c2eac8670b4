//! The cache of a single gateway.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle, EntryAction, EntryResult};
use tokio::time::Instant;

use super::{Cached, KEPT_FOR};
use crate::domain::ids::OrderId;

/// What an entry takes up with a body of the usual length.
const ENTRY: usize = 256;

type Entries = Cache<OrderId, Held, ByBody, foldhash::fast::RandomState, DefaultLifecycle<OrderId, Held>>;

/// Entries by order, the least used leaving first where there is no room.
pub struct Local(Entries);

/// An entry, and since when it is held.
#[derive(Debug, Clone)]
struct Held {
    cached: Arc<Cached>,
    since: Instant,
}

#[derive(Debug, Clone)]
struct ByBody;

impl Weighter<OrderId, Held> for ByBody {
    fn weight(&self, _: &OrderId, held: &Held) -> u64 {
        u64::try_from(held.cached.body.len().max(ENTRY)).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("entries", &self.0.len()).finish_non_exhaustive()
    }
}

impl Local {
    pub(super) fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes).unwrap_or(usize::MAX) / ENTRY;
        Self(Cache::with(
            entries,
            max_bytes,
            ByBody,
            foldhash::fast::RandomState::default(),
            DefaultLifecycle::default(),
        ))
    }

    pub(super) fn get_many(&self, ids: &[OrderId]) -> Vec<Option<Arc<Cached>>> {
        let now = Instant::now();
        let fresh = |held: Held| (now.saturating_duration_since(held.since) < KEPT_FOR).then_some(held.cached);
        ids.iter().map(|id| self.0.get(id).and_then(fresh)).collect()
    }

    pub(super) fn put(&self, entries: Vec<(OrderId, Cached)>) {
        let since = Instant::now();
        for (id, cached) in entries {
            let mut new = Some(Held { cached: Arc::new(cached), since });
            let entry = self.0.entry(&id, None, |_, held| {
                if let Some(new) = new.take_if(|new| new.cached.version >= held.cached.version) {
                    *held = new;
                }
                EntryAction::Retain(())
            });
            if let (EntryResult::Vacant(place), Some(new)) = (entry, new) {
                // Refused only where everything was cleared meanwhile, which nobody does.
                drop(place.insert(new));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.0.weight()
    }
}
