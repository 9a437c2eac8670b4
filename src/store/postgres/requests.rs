//! What the command line asks of a running gateway, and what that answers.

use super::rows::Columns;
use super::session::Session;
use super::values::params;
use crate::domain::time::Timestamp;
use crate::store::records::StoredRequest;
use crate::store::{StoreError, StoreResult};

/// See [`crate::store::Store::post_request`].
pub(super) async fn post(db: &Session, body: &str, now: Timestamp) -> StoreResult<i64> {
    let sql = "INSERT INTO gateway_requests (body, posted_at) VALUES ($1, $2) RETURNING number";
    let number = db.first(sql, params![body, now.millis()], |row| Ok(row.try_get(0)?)).await?;
    number.ok_or_else(|| StoreError::Corrupt("a request got no number".into()))
}

/// Whether there is any that nobody has answered.
pub(super) async fn are_open(db: &Session) -> StoreResult<bool> {
    db.exists("SELECT 1 FROM gateway_requests WHERE answer IS NULL LIMIT 1", params![]).await
}

/// See [`crate::store::Store::claim_requests`]. Those that this gateway has already are among them.
pub(super) async fn claim(db: &Session, gateway: &str) -> StoreResult<Vec<StoredRequest>> {
    let sql = "WITH free (free_number) AS (SELECT number FROM gateway_requests AS request WHERE answer IS NULL \
               AND (holder IS NULL OR holder = $1 OR NOT EXISTS (SELECT FROM gateways \
               WHERE gateways.id = request.holder AND seen_until > clock_ms())) FOR UPDATE SKIP LOCKED) \
               UPDATE gateway_requests SET holder = $1 FROM free WHERE number = free_number RETURNING number, body";
    let found = db.collect(sql, params![gateway], |row| {
        let mut columns = Columns::of(row);
        Ok(StoredRequest { number: columns.take()?, body: columns.take()? })
    });
    let mut claimed = found.await?;
    claimed.sort_by_key(|request| request.number);
    Ok(claimed)
}

/// See [`crate::store::Store::answer_request`].
pub(super) async fn answer(db: &Session, number: i64, answer: &str, now: Timestamp) -> StoreResult<()> {
    let sql = "UPDATE gateway_requests SET answer = $2, answered_at = $3 WHERE number = $1 AND answer IS NULL";
    let answered = db.execute(sql, params![number, answer, now.millis()]).await?;
    if answered == 0 && !is_answered(db, number).await? {
        return Err(StoreError::NotFound { what: "request", name: number.to_string() });
    }
    Ok(())
}

async fn is_answered(db: &Session, number: i64) -> StoreResult<bool> {
    db.exists("SELECT 1 FROM gateway_requests WHERE number = $1 AND answer IS NOT NULL", params![number]).await
}

/// See [`crate::store::Store::take_answer`].
pub(super) async fn take_answer(db: &Session, number: i64) -> StoreResult<Option<String>> {
    let sql = "DELETE FROM gateway_requests WHERE number = $1 AND answer IS NOT NULL RETURNING answer";
    db.first(sql, params![number], |row| Ok(row.try_get(0)?)).await
}

/// How many rows are forgotten at once.
const PRUNED: i64 = 10_000;

/// See [`crate::store::Store::prune`]. So many at once that no statement takes too long, however many there are; gives
/// whether there may be more.
pub(super) async fn prune(db: &Session, before: Timestamp) -> StoreResult<bool> {
    let mut pruned = 0_u64;
    for (table, at) in [("client_requests", "at"), ("gateway_requests", "answered_at"), ("given_up", "at")] {
        // What has been renewed meanwhile stays.
        let sql = format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {at} < $1 LIMIT $2)) AND {at} < $1"
        );
        pruned = pruned.max(db.execute(&sql, params![before.millis(), PRUNED]).await?);
    }
    Ok(pruned >= PRUNED.unsigned_abs())
}
