//! Rendered order statuses, so that most questions cost neither the store nor an upstream anything.
//!
//! Losing it is never wrong, only slower: every failure of a shared cache is a miss. What it holds belongs to
//! one client, and an entry is never replaced by one of an older version of its order.

mod body;
mod breaker;
mod entry;
mod local;
mod shared;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::ids::{ClientId, OrderId};
use crate::domain::time::Timestamp;
use crate::telemetry::CacheMeter;

pub use body::Body;
pub use shared::SharedOptions;

/// How long an entry is kept. An order that changes takes its entry's place before; this bounds what a lost change can do.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The status of an order as its client is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Whose order it is.
    pub owner: ClientId,
    /// The JSON object of one status answer.
    pub body: Body,
    /// The order's version that it shows.
    pub version: u64,
    /// When the upstream was last asked about it.
    pub polled_at: Option<Timestamp>,
}

/// The cache cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The URL, which is a secret and so is not shown.
    #[error("cache.url is no address of a Redis: expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]")]
    BadUrl,
}

/// Rendered statuses, and how often they were found.
#[derive(Debug)]
pub struct Cache {
    place: Place,
    meter: CacheMeter,
}

/// Where the statuses are held.
#[derive(Debug)]
enum Place {
    /// In this process.
    Local(local::Local),
    /// In a Redis, for several gateways.
    Shared(Box<shared::Shared>),
}

impl Cache {
    /// In this process, in `max_bytes` of memory at most.
    #[must_use]
    pub fn local(max_bytes: u64) -> Self {
        Self { place: Place::Local(local::Local::new(max_bytes)), meter: CacheMeter::default() }
    }

    /// In the Redis at `url`, which need not be there yet. `store_id` keeps apart what gateways with different
    /// stores hold in one Redis. Must be called within the runtime.
    ///
    /// # Errors
    /// [`CacheError::BadUrl`]
    pub fn shared(url: &str, store_id: &str, options: SharedOptions) -> Result<Self, CacheError> {
        let shared = shared::Shared::new(url, store_id, options)?;
        Ok(Self { place: Place::Shared(Box::new(shared)), meter: CacheMeter::default() })
    }

    /// Shows each of these orders' statuses to `each`, in their order, if all of them are held in this process and are
    /// this client's; gives whether they are.
    pub fn show_at_hand(&self, owner: ClientId, ids: &[OrderId], each: impl FnMut(&Cached)) -> bool {
        let all = match &self.place {
            Place::Local(local) => local.show(owner, ids, each),
            Place::Shared(_) => false,
        };
        if all {
            self.meter.looked(ids.len(), ids.len());
        }
        all
    }

    /// The statuses of these orders, in their order; nothing for those that are not held or are another
    /// client's.
    pub async fn get_many(&self, owner: ClientId, ids: &[OrderId]) -> Vec<Option<Cached>> {
        let mut found = match &self.place {
            Place::Local(local) => local.get_many(ids),
            Place::Shared(shared) => match shared.get_many(ids).await {
                Ok(found) => found,
                Err(shared::Unavailable) => {
                    self.meter.unanswered(ids.len());
                    return vec![None; ids.len()];
                }
            },
        };
        for entry in &mut found {
            entry.take_if(|entry| entry.owner != owner);
        }
        self.meter.looked(found.len(), found.iter().flatten().count());
        found
    }

    /// Whether it is another process's, which has to be waited for.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.place, Place::Shared(_))
    }

    /// Holds these, as they were read; not where a newer version is held.
    pub async fn put(&self, entries: Vec<(OrderId, Cached)>) {
        match &self.place {
            Place::Local(local) => local.put(entries),
            // What is not held is a miss, and the operator was told.
            Place::Shared(shared) => drop(shared.put(&entries).await),
        }
    }

    /// The same for orders that have just changed: what is held of them is not believed any more, even where the
    /// shared cache can't be told now.
    pub async fn changed(&self, entries: Vec<(OrderId, Cached)>) {
        match &self.place {
            Place::Local(local) => local.put(entries),
            Place::Shared(shared) => shared.changed(&entries).await,
        }
    }
}
