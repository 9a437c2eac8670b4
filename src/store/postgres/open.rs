//! Opening a store: who may, which schema it must have, and how its connections are set.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};

use super::migrations;
use super::session::Session;
use super::values::params;
use crate::store::{StoreError, StoreResult};

/// How many connections a gateway uses at most, beside the one that marks it.
const GATEWAY_CONNECTIONS: usize = 16;
/// How many a verb of the command line uses.
const TOOL_CONNECTIONS: usize = 2;
/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call waits for a connection; then the store has too much to do.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// What holds for every connection: no statement and no wait for another's row lasts for ever, and no transaction that its
/// program forgot.
const OPTIONS: &str = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s";

/// The address, with what every connection of ours has.
///
/// # Errors
/// [`StoreError::Engine`] for what is no address, and for TLS, which is not there. The address is not in the message.
pub(super) fn config(url: &str) -> StoreResult<Config> {
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        StoreError::Engine(format!(
            "store.url can't be used ({}): write postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            super::errors::told(&error)
        ))
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(StoreError::Engine(
            "store.url asks for TLS (sslmode=require), which is not in this version: use a local server or a tunnel, \
             and leave sslmode out"
                .into(),
        ));
    }
    let options = match config.get_options() {
        Some(given) => format!("{OPTIONS} {given}"),
        None => OPTIONS.to_owned(),
    };
    config.options(options);
    if config.get_application_name().is_none() {
        config.application_name("tollgate");
    }
    config.connect_timeout(CONNECT_TIMEOUT);
    config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
    config.tcp_user_timeout(Duration::from_secs(15));
    Ok(config)
}

/// The store's address as it may be shown: host and database.
pub(super) fn shown(config: &Config) -> String {
    let host = config.get_hosts().first().map_or_else(String::new, |host| match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("postgres://{host}:{port}/{}", config.get_dbname().unwrap_or_default())
}

/// Connections, made when they are needed.
pub(super) fn pool(config: Config, gateway: bool) -> StoreResult<Pool> {
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager)
        .max_size(if gateway { GATEWAY_CONNECTIONS } else { TOOL_CONNECTIONS })
        .wait_timeout(Some(WAIT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move {
                // A commit is on the server's disk when it is acknowledged, whatever the server's default is.
                let durable = "SELECT set_config('synchronous_commit', 'on', false) \
                               WHERE current_setting('synchronous_commit') = 'off'";
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
fn random_word() -> StoreResult<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Engine(format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
