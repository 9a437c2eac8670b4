//! What the command line asks of a running gateway, and what that answers.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Columns, collect};
use crate::domain::time::Timestamp;
use crate::store::records::StoredRequest;
use crate::store::{StoreError, StoreResult};

/// See [`crate::store::Store::post_request`].
pub(super) fn post(conn: &Connection, body: &str, now: Timestamp) -> StoreResult<i64> {
    conn.prepare_cached("INSERT INTO gateway_requests (body, posted_at) VALUES (?1, ?2)")?
        .execute(params![body, now.millis()])?;
    Ok(conn.last_insert_rowid())
}

/// See [`crate::store::Store::claim_requests`].
pub(super) fn open(conn: &Connection) -> StoreResult<Vec<StoredRequest>> {
    let mut statement =
        conn.prepare_cached("SELECT number, body FROM gateway_requests WHERE answer IS NULL ORDER BY number")?;
    collect(&mut statement, [], |row| {
        let mut columns = Columns::of(row);
        Ok(StoredRequest { number: columns.take()?, body: columns.take()? })
    })
}

/// See [`crate::store::Store::answer_request`].
pub(super) fn answer(conn: &Connection, number: i64, answer: &str, now: Timestamp) -> StoreResult<()> {
    let answered = conn
        .prepare_cached(
            "UPDATE gateway_requests SET answer = ?2, answered_at = ?3 WHERE number = ?1 AND answer IS NULL",
        )?
        .execute(params![number, answer, now.millis()])?;
    if answered == 0 && !is_answered(conn, number)? {
        return Err(StoreError::NotFound { what: "request", name: number.to_string() });
    }
    Ok(())
}

/// Whether a request was answered.
pub(super) fn is_answered(conn: &Connection, number: i64) -> StoreResult<bool> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM gateway_requests WHERE number = ?1 AND answer IS NOT NULL")?
        .exists([number])?)
}

/// See [`crate::store::Store::take_answer`].
pub(super) fn take_answer(conn: &Connection, number: i64) -> StoreResult<Option<String>> {
    Ok(conn
        .prepare_cached("DELETE FROM gateway_requests WHERE number = ?1 AND answer IS NOT NULL RETURNING answer")?
        .query_row([number], |row| row.get(0))
        .optional()?)
}

/// See [`crate::store::Store::prune`].
pub(super) fn prune(conn: &Connection, before: Timestamp) -> StoreResult<()> {
    conn.prepare_cached("DELETE FROM client_requests WHERE at < ?1")?.execute([before.millis()])?;
    conn.prepare_cached("DELETE FROM gateway_requests WHERE answered_at < ?1")?.execute([before.millis()])?;
    Ok(())
}
