//! What a database that `pg_restore` filled must forget before a gateway may serve it.

use super::PostgresStore;
use super::open::random_word;
use super::session::Session;
use super::transactions::writing;
use super::values::params;
use crate::domain::ids::MAX_PUBLIC_ID;
use crate::store::StoreResult;

/// How many IDs are left out after a restore: those that were given out since the backup was made must never stand for
/// another order.
const SKIPPED_IDS: u32 = 1_000_000;

impl PostgresStore {
    /// After `pg_restore`: forgets what stood for the time that is gone, so that nothing of it is taken up again. No
    /// gateway may serve it meanwhile.
    ///
    /// # Errors
    /// What the server says.
    pub async fn begin_anew(&self) -> StoreResult<()> {
        writing!(self, |db| begin_anew(&db))
    }
}

/// What stood for the time that is gone: what shared caches hold of the store is no longer its, requests of the command
/// line are dropped, and IDs that may have been given out are left out.
async fn begin_anew(db: &Session) -> StoreResult<()> {
    let forget = "UPDATE store SET id = $1, access_version = access_version + 1, \
                  restored_at = clock_ms() + 1, \
                  cache_epoch = cache_epoch + 1";
    db.execute(forget, params![random_word()?]).await?;
    for sequence in ["order_ids", "refill_ids"] {
        // Near the end of the numbers, half of what is left.
        let skip = format!(
            "SELECT setval('{sequence}', next + least($1::bigint, ($2::bigint + 1 - next) / 2), false) FROM \
             (SELECT last_value + (CASE WHEN is_called THEN 1 ELSE 0 END) AS next FROM {sequence}) AS present \
             WHERE next <= $2::bigint"
        );
        db.rows(&skip, params![SKIPPED_IDS, MAX_PUBLIC_ID]).await?;
    }
    for table in ["gateway_requests", "gateways", "turns"] {
        db.execute(&format!("DELETE FROM {table}"), params![]).await?;
    }
    Ok(())
}
