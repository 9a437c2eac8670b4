//! Keys, and whom they let in.

use super::clients::{client_columns, id_of, read_client};
use super::rows::Columns;
use super::session::Session;
use super::values::params;
use crate::domain::ids::{ClientId, KeyHash};
use crate::domain::time::Timestamp;
use crate::store::records::{Access, AccessList, KeyRecord, NewKey};
use crate::store::{StoreError, StoreResult};

/// Counts a change to clients or keys.
pub(super) async fn bump(db: &Session) -> StoreResult<()> {
    db.execute("UPDATE store SET access_version = access_version + 1", params![]).await?;
    Ok(())
}

/// See [`crate::store::Store::access_version`].
pub(super) async fn version(db: &Session) -> StoreResult<i64> {
    let found = db.first("SELECT access_version FROM store", params![], |row| Ok(row.try_get(0)?)).await?;
    found.ok_or_else(|| StoreError::Corrupt("its own row is gone".into()))
}

/// Stores a key of a client; gives its number.
pub(super) async fn insert_key(db: &Session, client: ClientId, key: &NewKey, now: Timestamp) -> StoreResult<i64> {
    let sql = "INSERT INTO keys (client, hash, label, read_only, created_at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (hash) DO NOTHING RETURNING id";
    let params = params![client.0, key.hash.0.as_slice(), &key.label, key.read_only, now.millis()];
    let number = db.first(sql, params, |row| Ok(row.try_get(0)?)).await?;
    number.ok_or_else(|| StoreError::Exists { what: "key", name: key.label.clone() })
}

/// See [`crate::store::Store::add_key`].
pub(super) async fn add_key(db: &Session, name: &str, key: &NewKey, now: Timestamp) -> StoreResult<KeyRecord> {
    let id = insert_key(db, id_of(db, name).await?, key, now).await?;
    bump(db).await?;
    Ok(KeyRecord { id, label: key.label.clone(), read_only: key.read_only, created_at: now })
}

/// See [`crate::store::Store::revoke_key`].
pub(super) async fn revoke_key(db: &Session, name: &str, key: i64) -> StoreResult<()> {
    let client = id_of(db, name).await?;
    let sql = "UPDATE keys SET revoked = true WHERE id = $1 AND client = $2 AND NOT revoked";
    if db.execute(sql, params![key, client.0]).await? == 0 {
        return Err(StoreError::NotFound { what: "key", name: key.to_string() });
    }
    bump(db).await
}

/// A client's keys that are not revoked.
pub(super) async fn keys_of(db: &Session, client: ClientId) -> StoreResult<Vec<KeyRecord>> {
    let sql = "SELECT id, label, read_only, created_at FROM keys WHERE client = $1 AND NOT revoked ORDER BY id";
    db.collect(sql, params![client.0], |row| {
        let mut columns = Columns::of(row);
        Ok(KeyRecord {
            id: columns.take()?,
            label: columns.take()?,
            read_only: columns.take()?,
            created_at: columns.time()?,
        })
    })
    .await
}

/// See [`crate::store::Store::access_list`].
pub(super) async fn list(db: &Session) -> StoreResult<AccessList> {
    let sql = concat!(
        "SELECT hash, keys.id, read_only, ",
        client_columns!(),
        " FROM keys JOIN clients ON clients.id = keys.client WHERE NOT revoked"
    );
    let keys = db.collect(sql, params![], |row| {
        let mut columns = Columns::of(row);
        let hash = KeyHash(columns.bytes()?);
        let (key, read_only) = (columns.take()?, columns.take()?);
        Ok((hash, Access { client: read_client(&mut columns)?, key, read_only }))
    });
    let keys = keys.await?;
    Ok(AccessList { version: version(db).await?, keys })
}
