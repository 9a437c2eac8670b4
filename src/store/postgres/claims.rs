//! Orders that something has to be done about. Taking one says when it is due to others, and of a poll that it was asked for,
//! of a queued one who has it in hand; its version stays, so a step that is under way elsewhere is not spoiled by it. What
//! somebody else has locked is left to them.

use std::time::Duration;

use super::rows::{Columns, columns, id_list, limit_of, read_order};
use super::session::Session;
use super::values::params;
use crate::domain::ids::{OrderId, ProviderId, ServiceId};
use crate::domain::order::Order;
use crate::domain::time::{Timestamp, millis_of};
use crate::store::StoreResult;
use crate::store::records::PollClaim;

/// See [`crate::store::Store::claim_queued`]. One statement.
pub(super) async fn claim_queued(
    db: &Session,
    gateway: &str,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
    left: &[ServiceId],
) -> StoreResult<Vec<Order>> {
    let sql = concat!(
        "WITH due (due_id) AS (SELECT id FROM orders WHERE state = 'queued' AND queue_due <= $1 AND service <> ALL ($5) \
         ORDER BY id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) \
         UPDATE orders SET due_at = $2, holder = $4 FROM due WHERE id = due_id RETURNING ",
        columns!()
    );
    let left = id_list(left, |service| service.get().into());
    let params = params![now.millis(), until.millis(), limit_of(limit), gateway, left];
    let mut taken = db.collect(sql, params, read_order).await?;
    taken.sort_by_key(|order| order.id);
    Ok(taken)
}

/// See [`crate::store::Store::has_due_polls`].
pub(super) async fn has_due_polls(
    db: &Session,
    provider: &ProviderId,
    now: Timestamp,
    count: usize,
) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM polls WHERE provider = $1 AND due_at <= $2 LIMIT $3";
    Ok(db.rows(sql, params![provider.as_str(), now.millis(), limit_of(count)]).await?.len() >= count)
}

/// How many orders are looked at for those that may go along, however few of them may.
const LOOKED_AT: i64 = 1000;

/// Locks what is due of a provider, oldest first, and says where it is: `$1` the provider, `$2` now, `$3` how many.
const DUE: &str = "SELECT id, place FROM \
     (SELECT order_id FROM polls WHERE provider = $1 AND due_at <= $2 ORDER BY due_at, order_id) AS due, \
     LATERAL (SELECT id, ctid::text AS place FROM orders WHERE id = order_id AND provider = $1 AND due_at <= $2 \
         AND upstream_order IS NOT NULL LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS free LIMIT $3";
/// The same for those that are due next and were not asked for since `$3`: `$4` at most, of the `$5` that are due first.
const ALONG: &str = "SELECT id, place FROM \
     (SELECT order_id FROM (SELECT order_id, due_at, asked_at FROM polls WHERE provider = $1 AND due_at > $2 \
         ORDER BY due_at LIMIT $5) AS near WHERE asked_at < $3 ORDER BY due_at, order_id) AS due, \
     LATERAL (SELECT id, ctid::text AS place FROM orders WHERE id = order_id AND provider = $1 AND state = 'placed' \
         AND coalesce(polled_at, created_at) < $3 LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS free LIMIT $4";

/// See [`crate::store::Store::claim_polls`]. What is taken counts as asked for now: whatever comes of it, no client's
/// question makes it due again at once.
pub(super) async fn claim_polls(db: &Session, provider: &ProviderId, claim: &PollClaim) -> StoreResult<Vec<Order>> {
    let (now, until, before) = (claim.now.millis(), claim.until.millis(), claim.along_before.millis());
    let read = |row: &tokio_postgres::Row| Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, String>(1)?));
    let mut found = db.collect(DUE, params![provider.as_str(), now, limit_of(claim.limit)], read).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let room = claim.limit.saturating_sub(found.len());
    if room > 0 {
        let along = params![provider.as_str(), now, before, limit_of(room), LOOKED_AT];
        found.extend(db.collect(ALONG, along, read).await?);
    }
    let (ids, places): (Vec<i64>, Vec<String>) = found.into_iter().unzip();
    // A row that is locked stays where it is: it need not be searched for again.
    let take = concat!(
        "UPDATE orders SET due_at = $3, polled_at = $2 WHERE ctid = ANY($1::text[]::tid[]) RETURNING ",
        columns!()
    );
    let mut taken = db.collect(take, params![places, now, until], read_order).await?;
    taken.sort_by_key(|order| ids.iter().position(|id| *id == i64::from(order.id.get())));
    Ok(taken)
}

/// Which of some orders have polls that may be hastened: `$1` IDs, `$2` polled before, `$3` now.
macro_rules! can_be_hastened {
    () => {
        "id = ANY($1) AND state = 'placed' AND due_at > $3 AND (polled_at IS NULL OR polled_at < $2)"
    };
}

/// Whether [`hasten`] would change anything.
pub(super) async fn can_be_hastened(
    db: &Session,
    ids: &[OrderId],
    polled_before: Timestamp,
    now: Timestamp,
) -> StoreResult<bool> {
    let sql = concat!("SELECT 1 FROM orders WHERE ", can_be_hastened!(), " LIMIT 1");
    db.exists(sql, params![id_list(ids, |id| id.get().into()), polled_before.millis(), now.millis()]).await
}

/// See [`crate::store::Store::hasten_polls`].
pub(super) async fn hasten(db: &Session, ids: &[OrderId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()> {
    let sql = concat!(
        "WITH slow (slow_id) AS (SELECT id FROM orders WHERE ",
        can_be_hastened!(),
        " ORDER BY id FOR NO KEY UPDATE) \
         UPDATE orders SET due_at = least($3, coalesce(polled_at, created_at) + $3 - $2) FROM slow WHERE id = slow_id"
    );
    db.execute(sql, params![id_list(ids, |id| id.get().into()), polled_before.millis(), now.millis()]).await?;
    Ok(())
}

/// See [`crate::store::Store::hasten_queued`].
pub(super) async fn hasten_queued(db: &Session, now: Timestamp) -> StoreResult<()> {
    let sql = "WITH late (late_id) AS (SELECT id FROM orders WHERE state = 'queued' AND queue_due > $1 ORDER BY id \
               FOR NO KEY UPDATE) UPDATE orders SET due_at = $1 FROM late WHERE id = late_id";
    db.execute(sql, params![now.millis()]).await?;
    Ok(())
}

/// Watches no closed order of this provider any more.
pub(super) async fn stop_watching(db: &Session, provider: &ProviderId) -> StoreResult<()> {
    let sql = "WITH watched (watched_id) AS (SELECT id FROM orders \
               WHERE id IN (SELECT order_id FROM polls WHERE provider = $1 AND asked_at IS NULL) \
               AND provider = $1 AND state = 'closed' AND due_at IS NOT NULL ORDER BY id FOR NO KEY UPDATE) \
               UPDATE orders SET due_at = NULL FROM watched WHERE id = watched_id";
    db.execute(sql, params![provider.as_str()]).await?;
    Ok(())
}

/// How long an order may be sent of which it is not known, in milliseconds.
const LONGEST_LEASE: i64 = 3_600_000;

/// See [`crate::store::Store::lost_senders`].
pub(super) async fn lost_senders(db: &Session, now: Timestamp) -> StoreResult<Vec<Order>> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM orders WHERE state = 'sending' AND coalesce(due_at, updated_at + $2) <= $1 ORDER BY id LIMIT 1000"
    );
    db.collect(sql, params![now.millis(), LONGEST_LEASE], read_order).await
}

/// See [`crate::store::Store::claim_cancels`]. One statement.
pub(super) async fn claim_cancels(
    db: &Session,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
    left: &[ProviderId],
) -> StoreResult<Vec<Order>> {
    let sql = concat!(
        "WITH wished (wished_id) AS (SELECT id FROM orders WHERE cancel = 'wished' AND state = 'placed' \
         AND coalesce(cancel_due, 0) <= $1 AND provider <> ALL ($4) ORDER BY id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) \
         UPDATE orders SET cancel_due = $2 FROM wished WHERE id = wished_id RETURNING ",
        columns!()
    );
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    let mut taken = db.collect(sql, params![now.millis(), until.millis(), limit_of(limit), left], read_order).await?;
    taken.sort_by_key(|order| order.id);
    Ok(taken)
}

/// See [`crate::store::Store::put_off_cancel`]. One statement.
pub(super) async fn put_off_cancel(
    db: &Session,
    order: OrderId,
    now: Timestamp,
    first: Duration,
    longest: Duration,
) -> StoreResult<u32> {
    let sql = "UPDATE orders SET cancel_tries = cancel_tries + 1, \
               cancel_due = $2 + least($3::bigint << least(cancel_tries, 16)::integer, $4) \
               WHERE id = $1 AND cancel = 'wished' AND state = 'placed' RETURNING cancel_tries";
    let params = params![i64::from(order.get()), now.millis(), millis_of(first), millis_of(longest)];
    Ok(db.first(sql, params, |row| Columns::of(row).small()).await?.unwrap_or_default())
}
