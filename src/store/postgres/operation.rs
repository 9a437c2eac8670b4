//! What the operator holds back, and what the gateway serves.

use super::session::Session;
use super::values::params;
use crate::domain::ids::ProviderId;
use crate::domain::time::Timestamp;
use crate::store::records::Pauses;
use crate::store::{StoreError, StoreResult};

/// In the place of a provider: all of them. No provider has an empty ID.
const EVERYWHERE: &str = "";

/// See [`crate::store::Store::set_paused`].
pub(super) async fn set_paused(
    db: &Session,
    provider: Option<&ProviderId>,
    paused: bool,
    now: Timestamp,
) -> StoreResult<Pauses> {
    let provider = provider.map_or(EVERYWHERE, ProviderId::as_str);
    if paused {
        let sql = "INSERT INTO pauses (provider, paused_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        db.execute(sql, params![provider, now.millis()]).await?;
    } else {
        db.execute("DELETE FROM pauses WHERE provider = $1", params![provider]).await?;
    }
    pauses(db).await
}

/// See [`crate::store::Store::pauses`].
pub(super) async fn pauses(db: &Session) -> StoreResult<Pauses> {
    let mut pauses = Pauses::default();
    let found = db.collect("SELECT provider FROM pauses", params![], |row| Ok(row.try_get::<_, String>(0)?));
    for provider in found.await? {
        if provider == EVERYWHERE {
            pauses.everywhere = true;
        } else {
            pauses.providers.insert(ProviderId::new(provider));
        }
    }
    Ok(pauses)
}

/// What moves every deadline. Rows are locked in the order of their IDs, as by everybody else, and found by what waits: what
/// has ended is most of a store.
const SHIFTS: [&str; 6] = [
    // The lease of an order that is being sent runs from its last change.
    "WITH waiting (waiting_id) AS (SELECT id FROM orders WHERE id IN (SELECT order_id FROM polls \
         UNION SELECT id FROM orders WHERE state IN ('queued', 'sending', 'placed', 'uncertain')) \
         AND (state <> 'closed' OR due_at IS NOT NULL) ORDER BY id FOR NO KEY UPDATE) \
     UPDATE orders SET version = version + 1, due_at = due_at + $1, queued_at = queued_at + $1, \
         polled_at = polled_at + $1, changed_at = changed_at + $1, silent_since = silent_since + $1, \
         closed_at = closed_at + $1, cancel_due = cancel_due + $1, \
         updated_at = CASE WHEN state = 'sending' THEN updated_at + $1 ELSE updated_at END \
     FROM waiting WHERE id = waiting_id",
    // The lease of a refill that is being sent runs from its beginning.
    "WITH waiting (waiting_id) AS (SELECT id FROM refills WHERE due_at IS NOT NULL OR state = 'sending' \
         ORDER BY id FOR NO KEY UPDATE) \
     UPDATE refills SET version = version + 1, due_at = due_at + $1, polled_at = polled_at + $1, \
         created_at = CASE WHEN state = 'sending' THEN created_at + $1 ELSE created_at END \
     FROM waiting WHERE id = waiting_id",
    "UPDATE lost_attempts SET next_at = next_at + $1, asked_at = asked_at + $1 \
     WHERE next_at IS NOT NULL OR asked_at IS NOT NULL",
    "UPDATE client_requests SET at = at + $1",
    "UPDATE catalogues SET fetched_at = fetched_at + $1",
    "UPDATE freezes SET lifted_at = lifted_at + $1",
];

/// See [`crate::store::Store::shift_deadlines`]. Versions count on, so that no step that was made by the old times is
/// written over the new ones.
pub(super) async fn shift_deadlines(db: &Session, by: i64, now: Timestamp, timeline: i64) -> StoreResult<bool> {
    db.be_patient().await?;
    // The lists and freezes that others hold move too.
    let next =
        "UPDATE store SET timeline = timeline + 1, catalogues_version = catalogues_version + 1 WHERE timeline = $1";
    if db.execute(next, params![timeline]).await? == 0 {
        return Ok(false);
    }
    for statement in SHIFTS {
        db.execute(statement, params![by]).await?;
    }
    if by < 0 {
        // Until the clock shows again what it showed, a time does not say what came first.
        let set_back = "UPDATE store SET restored_at = greatest(coalesce(restored_at, 0), $1)";
        db.execute(set_back, params![now.millis().saturating_sub(by)]).await?;
    }
    Ok(true)
}

/// See [`crate::store::Store::timeline`].
pub(super) async fn timeline(db: &Session) -> StoreResult<i64> {
    let found = db.first("SELECT timeline FROM store", params![], |row| Ok(row.try_get(0)?)).await?;
    found.ok_or_else(|| StoreError::Corrupt("its own row is gone".into()))
}

/// See [`crate::store::Store::put_running`].
pub(super) async fn put_running(db: &Session, document: &str) -> StoreResult<()> {
    let sql = "INSERT INTO running (one, document) VALUES (1, $1) \
               ON CONFLICT (one) DO UPDATE SET document = excluded.document";
    db.execute(sql, params![document]).await?;
    Ok(())
}

/// See [`crate::store::Store::running`].
pub(super) async fn running(db: &Session) -> StoreResult<Option<String>> {
    db.first("SELECT document FROM running", params![], |row| Ok(row.try_get(0)?)).await
}
