//! Rendered order statuses, so that most questions cost neither the store nor an upstream anything.
//!
//! Losing it is never wrong, only slower: every failure of a shared cache is a miss. What it holds belongs to
//! one client, and an entry is never replaced by one of an older version of its order.

mod body;
mod entry;
mod local;
mod shared;
mod trust;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::{ClientId, OrderId};
use crate::domain::time::Timestamp;
use crate::redis_link::BadAddress;
use crate::telemetry::CacheMeter;

pub use body::Body;
pub use shared::{SharedOptions, probe};
pub use trust::{Debt, Sight};

/// How long an entry is kept. An order that changes takes its entry's place before; this bounds what a lost change can do.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The same where nobody says what other processes change: with what it takes to read the store, two seconds.
const HEARSAY_KEPT_FOR: Duration = Duration::from_millis(1500);

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
    #[error("cache.url: {0}")]
    BadUrl(#[from] BadAddress),
    /// No epoch can be drawn.
    #[error("the machine gives no random bytes ({0})")]
    NoRandom(String),
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
        Self::of(Place::Local(local::Local::new(max_bytes, KEPT_FOR)))
    }

    /// The same for one of several gateways, which hears nothing of what the others change: it believes what it holds for
    /// a second and a half at most.
    #[must_use]
    pub fn local_of_several(max_bytes: u64) -> Self {
        Self::of(Place::Local(local::Local::new(max_bytes, HEARSAY_KEPT_FOR)))
    }

    /// In the Redis at `url`, which need not be there yet, for a gateway that is alone on its store. What was held before
    /// this start is not believed: orders may have been settled while no gateway ran. `store_id` keeps apart what
    /// gateways with different stores hold in one Redis. Must be called within the runtime.
    ///
    /// # Errors
    /// [`CacheError`]
    pub fn shared(url: &str, store_id: &str, options: &SharedOptions) -> Result<Self, CacheError> {
        let epoch = getrandom::u64().map_err(|error| CacheError::NoRandom(error.to_string()))?;
        // Room to count up from it.
        let trust = trust::Trust::alone(i64::try_from(epoch >> 2).unwrap_or_default());
        Ok(Self::of(Place::Shared(Box::new(shared::Shared::new(url, store_id, options, trust)?))))
    }

    /// The same for one of several gateways on one store, which see what the others put there. Nothing is believed
    /// before the first [`Cache::attended`].
    ///
    /// # Errors
    /// [`CacheError`]
    pub fn shared_by_several(url: &str, store_id: &str, options: &SharedOptions) -> Result<Self, CacheError> {
        let trust = trust::Trust::among_several();
        Ok(Self::of(Place::Shared(Box::new(shared::Shared::new(url, store_id, options, trust)?))))
    }

    fn of(place: Place) -> Self {
        Self { place, meter: CacheMeter::default() }
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

    /// What is held of these orders where the store can't be asked, for one of several gateways: as far as the others'
    /// mark in the shared cache says that it is present. Nothing for those that are not held or are another client's.
    pub async fn last_known(&self, owner: ClientId, ids: &[OrderId]) -> Vec<Option<Cached>> {
        let mut found = match &self.place {
            Place::Local(_) => Vec::new(),
            Place::Shared(shared) => shared.last_known(ids).await.unwrap_or_default(),
        };
        found.resize(ids.len(), None);
        for entry in &mut found {
            entry.take_if(|entry| entry.owner != owner);
        }
        found
    }

    /// Whether it is another process's, which has to be waited for.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.place, Place::Shared(_))
    }

    /// To be taken before the store is read, for [`Cache::put`].
    #[must_use]
    pub fn sight(&self) -> Sight {
        match &self.place {
            Place::Local(_) => Sight(0),
            Place::Shared(shared) => shared.sight(),
        }
    }

    /// Holds these, as they were read after `sight`; not where a newer version is held.
    pub async fn put(&self, sight: Sight, entries: Vec<(OrderId, Cached)>) {
        match &self.place {
            Place::Local(local) => local.put(entries),
            // What is not held is a miss, and the operator was told.
            Place::Shared(shared) => drop(shared.put(sight, &entries).await),
        }
    }

    /// The same for orders that have just changed, and are written: what is held of them is not believed any more, even
    /// where the shared cache can't be told now.
    pub async fn changed(&self, entries: Vec<(OrderId, Cached)>) {
        match &self.place {
            Place::Local(local) => local.put(entries),
            Place::Shared(shared) => shared.changed(&entries).await,
        }
    }

    // === Several gateways on one Redis ===

    /// The store says that this is the epoch, to a question asked at `asked_at`. To be called twice a second: what is
    /// held is believed for two seconds from the question on.
    pub fn attended(&self, epoch: i64, asked_at: Instant) {
        if let Place::Shared(shared) = &self.place {
            shared.attended(epoch, asked_at);
        }
    }

    /// Another gateway may have ended between writing a change and telling the shared cache of it: nothing that is held is
    /// believed until the next [`Cache::attended`].
    pub fn doubt(&self) {
        if let Place::Shared(shared) = &self.place {
            shared.doubt();
        }
    }

    /// Whether every gateway on the store tells the same shared cache of what it changes. While one does not, nothing that
    /// is held is believed, by nobody who looks for the others' mark either; and once they all do, nothing of before.
    pub fn is_everybodys(&self, everybodys: bool) {
        if let Place::Shared(shared) = &self.place {
            shared.is_everybodys(everybodys);
        }
    }

    /// Tells the shared cache what it could not be told when it happened, and leaves the epoch's mark there. Gives what it can't be told any more: then the
    /// epoch has to be raised in the store at once, and [`Cache::repaid`] called, or other gateways go on showing what
    /// was before. To be called four times a second.
    pub async fn settle(&self) -> Option<Debt> {
        match &self.place {
            Place::Local(_) => None,
            Place::Shared(shared) => shared.settle().await,
        }
    }

    /// The epoch was raised to `epoch`, by a request to the store that was sent at `asked_at`, after `debt` was given.
    pub fn repaid(&self, debt: Debt, epoch: i64, asked_at: Instant) {
        if let Place::Shared(shared) = &self.place {
            shared.repaid(debt, epoch, asked_at);
        }
    }

    /// Whether the other gateways may go on showing what this one has changed, should it end now: then the epoch has to
    /// be raised first. To be asked after its last change.
    #[must_use]
    pub fn owes(&self) -> bool {
        match &self.place {
            // It tells nobody of anything.
            Place::Local(_) => true,
            Place::Shared(shared) => shared.owes(),
        }
    }
}
