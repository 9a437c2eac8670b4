//! Work that one gateway does for all, and counters of what the others follow.

use std::time::Duration;

use super::rows::Columns;
use super::session::Session;
use super::values::params;
use crate::domain::ids::ProviderId;
use crate::domain::time::millis_of;
use crate::store::records::CatalogueMark;
use crate::store::{StoreError, StoreResult};

/// See [`crate::store::Store::take_turn`].
pub(super) async fn take(db: &Session, gateway: &str, name: &str, lasts: Duration) -> StoreResult<bool> {
    let sql = "INSERT INTO turns AS turn (name, holder, ends_at) VALUES ($1, $2, clock_ms() + $3) \
               ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at \
               WHERE turn.holder = excluded.holder OR turn.ends_at <= clock_ms() \
               OR NOT EXISTS (SELECT FROM gateways WHERE gateways.id = turn.holder AND seen_until > clock_ms())";
    Ok(db.execute(sql, params![name, gateway, millis_of(lasts)]).await? == 1)
}

/// See [`crate::store::Store::raise_cache_epoch`].
pub(super) async fn raise_epoch(db: &Session) -> StoreResult<i64> {
    raise(db, "cache_epoch").await
}

/// Counts a counter of the store's own row up; gives what it shows then.
async fn raise(db: &Session, counter: &str) -> StoreResult<i64> {
    let sql = format!("UPDATE store SET {counter} = {counter} + 1 RETURNING {counter}");
    let number = db.first(&sql, params![], |row| Ok(row.try_get(0)?)).await?;
    number.ok_or_else(|| StoreError::Corrupt("its own row is gone".into()))
}

/// See [`crate::store::Store::raise_configuration`].
pub(super) async fn raise_configuration(db: &Session) -> StoreResult<i64> {
    raise(db, "configuration_version").await
}

/// Has the others look which lists have changed.
pub(super) async fn lists_changed(db: &Session) -> StoreResult<()> {
    db.execute("UPDATE store SET catalogues_version = catalogues_version + 1", params![]).await.map(drop)
}

/// Has the others read a provider's list again.
pub(super) async fn list_changed(db: &Session, provider: &ProviderId) -> StoreResult<()> {
    let sql = "UPDATE catalogues SET version = version + 1 WHERE provider = $1";
    db.execute(sql, params![provider.as_str()]).await?;
    lists_changed(db).await
}

/// See [`crate::store::Store::catalogue_marks`].
pub(super) async fn marks(db: &Session) -> StoreResult<Vec<CatalogueMark>> {
    db.collect("SELECT provider, fetched_at, version FROM catalogues", params![], |row| {
        let mut columns = Columns::of(row);
        let provider = ProviderId::new(columns.take::<String>()?);
        Ok(CatalogueMark { provider, fetched_at: columns.time()?, version: columns.take()? })
    })
    .await
}
