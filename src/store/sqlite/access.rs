//! Keys, and whom they let in.

use rusqlite::{Connection, params};

use super::clients::{client_columns, id_of, read_client};
use super::rows::{Columns, collect};
use crate::domain::ids::{ClientId, KeyHash};
use crate::domain::time::Timestamp;
use crate::store::records::{Access, AccessList, KeyRecord, NewKey};
use crate::store::{StoreError, StoreResult};

/// Counts a change to clients or keys.
pub(super) fn bump(conn: &Connection) -> StoreResult<()> {
    conn.prepare_cached("UPDATE store SET access_version = access_version + 1")?.execute([])?;
    Ok(())
}

/// See [`crate::store::Store::access_version`].
pub(super) fn version(conn: &Connection) -> StoreResult<i64> {
    Ok(conn.prepare_cached("SELECT access_version FROM store")?.query_one([], |row| row.get(0))?)
}

/// Stores a key of a client; gives its number.
pub(super) fn insert_key(conn: &Connection, client: ClientId, key: &NewKey, now: Timestamp) -> StoreResult<i64> {
    if conn.prepare_cached("SELECT 1 FROM keys WHERE hash = ?1")?.exists([key.hash.0])? {
        return Err(StoreError::Exists { what: "key", name: key.label.clone() });
    }
    conn.prepare_cached("INSERT INTO keys (client, hash, label, read_only, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![client.0, key.hash.0, key.label, key.read_only, now.millis()])?;
    Ok(conn.last_insert_rowid())
}

/// See [`crate::store::Store::add_key`].
pub(super) fn add_key(conn: &Connection, name: &str, key: NewKey, now: Timestamp) -> StoreResult<KeyRecord> {
    let id = insert_key(conn, id_of(conn, name)?, &key, now)?;
    bump(conn)?;
    Ok(KeyRecord { id, label: key.label, read_only: key.read_only, created_at: now })
}

/// See [`crate::store::Store::revoke_key`].
pub(super) fn revoke_key(conn: &Connection, name: &str, key: i64) -> StoreResult<()> {
    let client = id_of(conn, name)?;
    let revoked = conn
        .prepare_cached("UPDATE keys SET revoked = 1 WHERE id = ?1 AND client = ?2 AND revoked = 0")?
        .execute(params![key, client.0])?;
    if revoked == 0 {
        return Err(StoreError::NotFound { what: "key", name: key.to_string() });
    }
    bump(conn)
}

/// A client's keys that are not revoked.
pub(super) fn keys_of(conn: &Connection, client: ClientId) -> StoreResult<Vec<KeyRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, label, read_only, created_at FROM keys WHERE client = ?1 AND revoked = 0 ORDER BY id",
    )?;
    collect(&mut statement, [client.0], |row| {
        let mut columns = Columns::of(row);
        Ok(KeyRecord {
            id: columns.take()?,
            label: columns.take()?,
            read_only: columns.take()?,
            created_at: columns.time()?,
        })
    })
}

/// See [`crate::store::Store::access_list`].
pub(super) fn list(conn: &Connection) -> StoreResult<AccessList> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT hash, keys.id, read_only, ",
        client_columns!(),
        " FROM keys JOIN clients ON clients.id = keys.client WHERE revoked = 0"
    ))?;
    let keys = collect(&mut statement, [], |row| {
        let mut columns = Columns::of(row);
        let hash = KeyHash(columns.take()?);
        let (key, read_only) = (columns.take()?, columns.take()?);
        Ok((hash, Access { client: read_client(&mut columns)?, key, read_only }))
    })?;
    Ok(AccessList { version: version(conn)?, keys })
}
