//! What marks the one gateway on a database: a lock of a session of its own, which ends with its connection.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_postgres::Client;

use super::address::Address;
use super::errors::{told, unreachable_server};
use crate::store::{StoreError, StoreResult};

/// The lock's number ("tollgate").
const LOCK: i64 = 0x746f_6c6c_6761_7465;
/// How often a lock that is held is tried again at a start: a gateway that just ended may still be leaving.
const LOCK_TRIES: u32 = 10;
/// How long the server may take for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a failure to take it again stands: those who wait do not each find the server away for themselves.
const FAILURE_STANDS: Duration = Duration::from_millis(500);

/// The lock, and the connection whose life is its life.
pub(super) struct GatewayLock {
    address: Address,
    holder: Mutex<Holder>,
}

struct Holder {
    client: Client,
    /// When it last could not be taken again, and why.
    failed: Option<(Instant, StoreError)>,
}

impl GatewayLock {
    /// Takes it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another gateway holds it.
    pub(super) async fn take(address: Address, name: &str) -> StoreResult<Self> {
        for _ in 0..LOCK_TRIES {
            if let Some(holder) = try_take(&address).await? {
                return Ok(Self { address, holder: Mutex::new(Holder { client: holder, failed: None }) });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(StoreError::InUse(name.to_owned()))
    }

    /// Makes sure that it is held, before anything is written. Where its connection was lost it is taken again.
    pub(super) async fn hold(&self) -> StoreResult<()> {
        let mut holder = self.holder.lock().await;
        if !holder.client.is_closed() {
            return Ok(());
        }
        if let Some((at, error)) = &holder.failed
            && at.elapsed() < FAILURE_STANDS
        {
            return Err(error.clone());
        }
        let held = || StoreError::CannotWrite("another gateway holds this store now: stop one of them".into());
        match try_take(&self.address).await.and_then(|taken| taken.ok_or_else(held)) {
            Ok(client) => *holder = Holder { client, failed: None },
            Err(error) => {
                holder.failed = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        }
        tracing::warn!(
            "the connection that marks this gateway was lost; it was made again, orders are taken as before"
        );
        Ok(())
    }
}

async fn try_take(address: &Address) -> StoreResult<Option<Client>> {
    let client = connect(address).await?;
    // Where this machine is gone, the server learns it by itself within half a minute.
    let keepalives = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
                      SET idle_session_timeout = 0";
    let answer = async {
        client.batch_execute(keepalives).await?;
        client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get::<_, bool>(0)
    };
    let taken = answered(answer).await?;
    Ok(taken.then_some(client))
}

/// A connection outside of the pool.
pub(super) async fn connect(address: &Address) -> StoreResult<Client> {
    let (client, connection) = answered(address.config.connect(address.tls.clone())).await?;
    #[expect(clippy::disallowed_methods, reason = "it ends with the connection's client, which the store holds")]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %told(&error), "a connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

async fn answered<T>(call: impl Future<Output = Result<T, tokio_postgres::Error>>) -> StoreResult<T> {
    match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| unreachable_server(&told(&error))),
        Err(_) => Err(unreachable_server("no answer in time")),
    }
}

/// Whether a gateway holds the database.
pub(super) async fn is_held(address: &Address) -> StoreResult<bool> {
    let client = connect(address).await?;
    let held = answered(client.query_one(
        "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND ((classid::bigint << 32) | objid::bigint) = $1)",
        &[&LOCK],
    ))
    .await?;
    Ok(held.try_get(0)?)
}
