//! The cache of a single gateway.
//!
//! Own code and not a library's: a cache that keeps account of its reads, or hands out one entry at a time, makes an
//! answer of a hundred statuses wait for memory three times as often. Here a read is one lock for all of them and
//! changes nothing. What is active is put again at every poll, so what was not put lately may leave first.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::Cached;
use crate::domain::ids::{ClientId, OrderId};

/// What an entry takes up with a body of the usual length.
const ENTRY: usize = 256;

/// Entries by order, those that were not put for long leaving first where there is no room.
pub struct Local(RwLock<Entries>);

struct Entries {
    places: HashMap<OrderId, usize, foldhash::fast::RandomState>,
    held: Vec<Held>,
    weight: usize,
    max_weight: usize,
    /// How long an entry is believed.
    kept_for: Duration,
    /// The next entry that may have to leave.
    hand: usize,
}

struct Held {
    id: OrderId,
    cached: Cached,
    until: Instant,
    /// It was put again since the hand last passed: it stays for another round.
    stays: bool,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("entries", &self.read().held.len()).finish_non_exhaustive()
    }
}

impl Local {
    pub(super) fn new(max_bytes: u64, kept_for: Duration) -> Self {
        Self(RwLock::new(Entries {
            places: HashMap::default(),
            held: Vec::new(),
            weight: 0,
            max_weight: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            kept_for,
            hand: 0,
        }))
    }

    /// Shows each of these to `each`, in their order, if all of them are held and this client's.
    pub(super) fn show(&self, owner: ClientId, ids: &[OrderId], each: impl FnMut(&Cached)) -> bool {
        let now = Instant::now();
        let entries = self.read();
        // All are looked up before the first is shown: the processor then waits for many of them at a time.
        let mut found = Vec::with_capacity(ids.len());
        found.extend(ids.iter().map_while(|id| entries.fresh(*id, now).filter(|cached| cached.owner == owner)));
        let all = found.len() == ids.len();
        if all {
            found.into_iter().for_each(each);
        }
        all
    }

    pub(super) fn get_many(&self, ids: &[OrderId]) -> Vec<Option<Cached>> {
        let now = Instant::now();
        let entries = self.read();
        ids.iter().map(|id| entries.fresh(*id, now).cloned()).collect()
    }

    pub(super) fn put(&self, new: Vec<(OrderId, Cached)>) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + entries.kept_for;
        for (id, cached) in new {
            entries.put(Held { id, cached, until, stays: false });
        }
    }

    /// Whoever panicked while holding the lock left entries that are whole: each is written in one assignment.
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.read().weight
    }
}

impl Entries {
    #[inline]
    fn fresh(&self, id: OrderId, now: Instant) -> Option<&Cached> {
        let held = self.held.get(*self.places.get(&id)?)?;
        (now < held.until).then_some(&held.cached)
    }

    fn put(&mut self, new: Held) {
        let weight = weight(&new);
        match self.places.get(&new.id).and_then(|place| self.held.get_mut(*place)) {
            Some(held) if held.cached.version > new.cached.version => return,
            Some(held) => {
                self.weight = self.weight.saturating_sub(self::weight(held));
                *held = Held { stays: true, ..new };
            }
            None => {
                self.places.insert(new.id, self.held.len());
                self.held.push(new);
            }
        }
        self.weight = self.weight.saturating_add(weight);
        while self.weight > self.max_weight {
            self.pass();
        }
    }

    /// Moves the hand by one: the entry under it leaves, or stays for one more round.
    fn pass(&mut self) {
        if self.hand >= self.held.len() {
            self.hand = 0;
        }
        let Some(held) = self.held.get_mut(self.hand) else { return };
        if std::mem::take(&mut held.stays) {
            self.hand = self.hand.saturating_add(1);
            return;
        }
        let gone = self.held.swap_remove(self.hand);
        self.weight = self.weight.saturating_sub(weight(&gone));
        self.places.remove(&gone.id);
        if let Some(moved) = self.held.get(self.hand) {
            self.places.insert(moved.id, self.hand);
        }
        self.hand = self.hand.saturating_add(1);
    }
}

fn weight(held: &Held) -> usize {
    held.cached.body.len().max(ENTRY)
}
