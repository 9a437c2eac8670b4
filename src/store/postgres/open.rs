//! Opening a store: who may, which schema it must have, and how its connections are set.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};

use super::address::{Address, CONNECT_TIMEOUT};
use super::migrations;
use super::session::Session;
use super::values::params;
use crate::store::{StoreError, StoreResult};

/// How many connections a gateway uses at most, beside the one that marks it and those of [`NEWS_CONNECTIONS`].
pub(super) const GATEWAY_CONNECTIONS: usize = 14;
/// How many a gateway keeps for what has to get around within two seconds, however much the others have to do.
pub(super) const NEWS_CONNECTIONS: usize = 2;
/// How many a verb of the command line uses.
pub(super) const TOOL_CONNECTIONS: usize = 2;
/// How long a call waits for a connection; then the store has too much to do.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// So many connections at most, made when they are needed.
pub(super) fn pool(address: Address, size: usize) -> StoreResult<Pool> {
    let Address { config, tls } = address;
    let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move {
                // A commit is on the server's disk when it is acknowledged, and each statement sees what was committed
                // before it, whatever the server's defaults are.
                let durable = "SELECT set_config('synchronous_commit', 'on', false) \
                               WHERE current_setting('synchronous_commit') = 'off'; \
                               SET default_transaction_isolation = 'read committed'";
                client.batch_execute(durable).await.map_err(HookError::Backend)
            })
        }))
        .build()
        .map_err(|error| StoreError::Engine(error.to_string()))
}

/// Refuses a store that this program can't use.
pub(super) async fn check_version(db: &Session, name: &str, gateway: bool) -> StoreResult<()> {
    let wanted = migrations::wanted_version();
    let wrong = |found, advice| Err(StoreError::WrongVersion { path: name.to_owned(), found, wanted, advice });
    match (migrations::version(db).await?, gateway) {
        (Some(found), _) if found > wanted => wrong(found, "a newer program wrote it; use that one"),
        (Some(found), false) if found < wanted => {
            wrong(found, "start this program's `tollgate serve` once, it brings the store up to date")
        }
        (None, false) => Err(StoreError::Missing(name.to_owned())),
        _ => Ok(()),
    }
}

/// Brings the schema up to date and writes what the store is born with. In a transaction of `db`.
pub(super) async fn prepare(db: &Session, first_order_id: u32) -> StoreResult<()> {
    migrations::migrate(db).await?;
    let born = "INSERT INTO store (one, id, access_version) VALUES (1, $1, 1) ON CONFLICT DO NOTHING";
    db.execute(born, params![random_word()?]).await?;
    // Never lowered: a number that was given out stays given out.
    let first = "SELECT setval('order_ids', $1, false) FROM order_ids \
                 WHERE last_value + (CASE WHEN is_called THEN 1 ELSE 0 END) < $1 AND NOT EXISTS (SELECT 1 FROM orders)";
    db.rows(first, params![first_order_id]).await?;
    Ok(())
}

/// 32 random hexadecimal characters.
pub(super) fn random_word() -> StoreResult<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Engine(format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
