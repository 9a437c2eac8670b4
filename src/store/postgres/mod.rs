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
mod settling;
mod transactions;
mod turns;
mod values;
mod verify;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use deadpool_postgres::Pool;
use secrecy::{ExposeSecret, SecretString};

use super::standing::Standing;
use super::{StoreError, StoreResult};
use crate::store::sqlite::OpenMode;
use address::Address;
use membership::Membership;
use placing::Placings;
use session::Session;
use transactions::read_failed;

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    id: String,
    pool: Pool,
    /// For small statements that what takes long must not hold up; the same as `pool` for a verb of the command line.
    news: Pool,
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
        let (membership, pool, news) = if gateway {
            let membership = Membership::new(address.clone())?;
            let news = open::pool(address.clone(), open::NEWS_CONNECTIONS)?;
            (Some(membership), open::pool(address, open::GATEWAY_CONNECTIONS)?, news)
        } else {
            let pool = open::pool(address, open::TOOL_CONNECTIONS)?;
            (None, pool.clone(), pool)
        };
        let db = session(&pool).await.map_err(|error| error.at_opening(&name))?;
        open::check_version(&db, &name, gateway).await.map_err(read_failed)?;
        if let OpenMode::Gateway { first_order_id } = mode {
            db.begin().await?;
            open::prepare(&db, first_order_id).await?;
            db.commit().await?;
        }
        let id = db.first("SELECT id FROM store", Vec::new(), |row| Ok(row.try_get(0)?)).await?;
        let id = id.ok_or_else(|| StoreError::Corrupt("it has no word of its own".into()))?;
        Ok(Self { id, pool, news, membership, standing: Mutex::new(Standing::new()), placings: Placings::new() })
    }

    /// Whether a gateway serves the store at `url`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn gateway_running(url: &SecretString) -> StoreResult<bool> {
        let address = Address::read(url.expose_secret())?;
        membership::anybody_there(&address).await.map_err(|error| error.at_opening(&address.shown()))
    }

    /// The address with its paths relative to `folder` no more.
    #[must_use]
    pub fn resolve(url: &SecretString, folder: &Path) -> SecretString {
        address::resolve(url.expose_secret(), folder).into()
    }

    /// Why the address can't be used, where that is plain before a server is asked. Shows nothing of its password.
    #[must_use]
    pub fn problem(url: &SecretString) -> Option<String> {
        address::problem(url.expose_secret())
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

    /// The same for what others have changed and what is to be known of it soon, in a few rows.
    async fn follower(&self) -> StoreResult<Session> {
        session(&self.news).await.map_err(read_failed)
    }

    /// A connection that reads one snapshot.
    async fn snapshot(&self) -> StoreResult<Session> {
        one_snapshot(self.reader().await?).await
    }

    /// The same of what [`PostgresStore::follower`] says.
    async fn follower_snapshot(&self) -> StoreResult<Session> {
        one_snapshot(self.follower().await?).await
    }

    /// Takes note of how a write ended; `changed`: it changed anything.
    fn heard<T>(&self, outcome: &StoreResult<T>, changed: bool) {
        let outcome = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).heard(&outcome, changed);
    }
}

async fn session(pool: &Pool) -> StoreResult<Session> {
    pool.get().await.map(Session::new).map_err(|error| errors::of_pool(&error))
}

async fn one_snapshot(db: Session) -> StoreResult<Session> {
    db.begin_snapshot().await.map_err(read_failed)?;
    Ok(db)
}
