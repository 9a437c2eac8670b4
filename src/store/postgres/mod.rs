//! The store in a PostgreSQL database, for any number of gateways at a time.
//!
//! Others write to it at any moment, so nothing here remembers a balance or an order between two transactions. What a
//! gateway may take up is decided by claims and turns in the database, by its clock; what may be sent, by the version that
//! an order's step is written on.

mod access;
mod address;
mod calls;
mod catalogues;
mod claims;
mod clients;
mod doubts;
mod errors;
mod membership;
mod migrations;
mod movements;
mod open;
mod operation;
mod order_reads;
mod orders;
mod placing;
mod refills;
mod report;
mod requests;
mod restore;
mod rows;
mod searches;
mod session;
mod turns;
mod values;
mod verify;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use secrecy::{ExposeSecret, SecretString};

use super::records::{Applied, OpenedRefill};
use super::standing::Standing;
use super::{StoreError, StoreResult};
use crate::domain::order::Step;
use crate::domain::refill::Refill;
use crate::store::sqlite::OpenMode;
use address::Address;
use membership::Membership;
use placing::Placings;
use session::Session;

/// How often a transaction is tried that others were in the way of.
const TRIES: u32 = 5;
/// For how long it is tried again.
const TRY_FOR: Duration = Duration::from_secs(5);

/// Between two looks whether a commit took place whose acknowledgement was lost.
const SETTLE_RETRY: Duration = Duration::from_millis(500);

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    id: String,
    pool: Pool,
    /// Of a gateway; not of a verb of the command line.
    membership: Option<Membership>,
    standing: Mutex<Standing>,
    placings: Placings,
}

impl PostgresStore {
    /// Opens the store at `url`, `postgres://…`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] and [`StoreError::WrongVersion`] as
    /// [`OpenMode`] says, and what the server says.
    pub async fn open(url: &SecretString, mode: OpenMode) -> StoreResult<Self> {
        let address = Address::read(url.expose_secret())?;
        let name = address.shown();
        let gateway = matches!(mode, OpenMode::Gateway { .. });
        let membership = if gateway { Some(Membership::new(address.clone())?) } else { None };
        let pool = open::pool(address, gateway)?;
        let db = session(&pool).await.map_err(read_failed)?;
        open::check_version(&db, &name, gateway).await.map_err(read_failed)?;
        if let OpenMode::Gateway { first_order_id } = mode {
            db.begin().await?;
            open::prepare(&db, first_order_id).await?;
            db.commit().await?;
        }
        let id = db.first("SELECT id FROM store", Vec::new(), |row| Ok(row.try_get(0)?)).await?;
        let id = id.ok_or_else(|| StoreError::Corrupt("it has no word of its own".into()))?;
        Ok(Self { id, pool, membership, standing: Mutex::new(Standing::new()), placings: Placings::new() })
    }

    /// Whether a gateway serves the store at `url`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn gateway_running(url: &SecretString) -> StoreResult<bool> {
        membership::anybody_there(&Address::read(url.expose_secret())?).await
    }

    /// The address with its paths relative to `folder` no more.
    #[must_use]
    pub fn resolve(url: &SecretString, folder: &Path) -> SecretString {
        address::resolve(url.expose_secret(), folder).into()
    }

    /// What an operator should know of the address before it is used.
    #[must_use]
    pub fn warning(url: &SecretString) -> Option<String> {
        address::warning(url.expose_secret())
    }

    /// This gateway's name among others; empty for a verb of the command line.
    fn gateway(&self) -> &str {
        self.membership.as_ref().map_or("", Membership::id)
    }

    /// A connection to write by.
    async fn writer(&self) -> StoreResult<Session> {
        session(&self.pool).await
    }

    /// A connection to read by, each statement for itself.
    async fn reader(&self) -> StoreResult<Session> {
        session(&self.pool).await.map_err(read_failed)
    }

    /// A connection that reads one snapshot.
    async fn snapshot(&self) -> StoreResult<Session> {
        let db = self.reader().await?;
        db.begin_snapshot().await.map_err(read_failed)?;
        Ok(db)
    }

    /// What became of steps whose commit was not acknowledged: the orders' versions say, once no transaction holds them
    /// any more. Gives `error` where they are not written.
    async fn settle(&self, steps: &[Step], error: StoreError) -> StoreResult<Vec<Applied>> {
        at_last("steps of orders were", || self.look_for(steps)).await.ok_or(error)
    }

    async fn look_for(&self, steps: &[Step]) -> StoreResult<Option<Vec<Applied>>> {
        let db = session(&self.pool).await?;
        db.begin().await?;
        let found = orders::look_for(&db, steps, self.gateway()).await;
        db.roll_back().await;
        found
    }

    /// The same for a refill; `made`: what was to be committed.
    async fn settle_refill(
        &self,
        opened: StoreResult<OpenedRefill>,
        made: Mutex<Option<Refill>>,
    ) -> StoreResult<OpenedRefill> {
        match (opened, made.into_inner().unwrap_or_else(PoisonError::into_inner)) {
            (Err(error @ StoreError::InDoubt(_)), Some(made)) => {
                let is_there = at_last("a refill was", || self.look_for_refill(&made)).await;
                if is_there { Ok(OpenedRefill::New(Box::new(made))) } else { Err(error) }
            }
            (opened, _) => opened,
        }
    }

    async fn look_for_refill(&self, made: &Refill) -> StoreResult<bool> {
        let db = session(&self.pool).await?;
        db.begin().await?;
        let found = refills::is_there(&db, made).await;
        db.roll_back().await;
        found
    }

    /// Takes note of how a write ended; `changed`: it changed anything.
    fn heard<T>(&self, outcome: &StoreResult<T>, changed: bool) {
        let outcome = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).heard(&outcome, changed);
    }
}

/// What `look` finds, as soon as the server can say. Nobody else knows: an order or a refill that is given up before may stand
/// there as being sent, and nobody sends it.
async fn at_last<T, F>(what: &str, look: impl Fn() -> F + Send + Sync) -> T
where
    F: Future<Output = StoreResult<T>> + Send,
{
    let mut told = false;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(error) => {
                // A store that can't write has told of it.
                if !matches!(error, StoreError::CannotWrite(_)) && !std::mem::replace(&mut told, true) {
                    tracing::error!(%error, "whether {what} written can't be looked up yet; trying on");
                }
                tokio::time::sleep(SETTLE_RETRY).await;
            }
        }
    }
}

async fn session(pool: &Pool) -> StoreResult<Session> {
    pool.get().await.map(Session::new).map_err(|error| errors::of_pool(&error))
}

/// Nothing was to be written.
fn read_failed(error: StoreError) -> StoreError {
    match error {
        StoreError::CannotWrite(what) => StoreError::CannotRead(what),
        error => error,
    }
}

/// Counts the tries of a transaction.
struct Tries {
    left: u32,
    until: Instant,
}

impl Tries {
    fn new() -> Self {
        Self { left: TRIES, until: Instant::now() + TRY_FOR }
    }

    /// Whether it is tried once more after this error: others were in the way, and nothing was written.
    fn again(&mut self, error: &StoreError) -> bool {
        self.left = self.left.saturating_sub(1);
        matches!(error, StoreError::Overloaded) && self.left > 0 && Instant::now() < self.until
    }
}
