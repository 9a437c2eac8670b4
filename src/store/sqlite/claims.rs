//! Orders that something has to be done about. Taking one says when it is due again, and of a poll that it was
//! asked for; its version stays, so a step that is under way elsewhere is not spoiled by it.
//!
//! What is due is looked up by a reader first; the writer then takes it only where it is still due.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::operation;
use super::rows::{collect, columns, first, of_each, order_id, read_order, write_json};
use crate::domain::ids::{OrderId, ProviderId, ServiceId};
use crate::domain::order::Order;
use crate::domain::time::{Timestamp, millis_of};
use crate::store::StoreResult;
use crate::store::records::PollClaim;

/// Queued orders that are due, oldest first.
pub(super) fn due_queued(
    conn: &Connection,
    now: Timestamp,
    limit: usize,
    left: &[ServiceId],
) -> StoreResult<Vec<OrderId>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM orders INDEXED BY orders_queued WHERE state = 'queued' AND due_at <= ?1 \
         AND service NOT IN (SELECT value FROM json_each(?3)) ORDER BY id LIMIT ?2",
    )?;
    let left = write_json(&left.iter().map(|service| service.get()).collect::<Vec<_>>())?;
    collect(&mut statement, params![now.millis(), limit_of(limit), left], |row| order_id(row.get(0)?))
}

/// Takes those of `ids` that are still queued and due.
pub(super) fn take_queued(
    conn: &Connection,
    ids: &[OrderId],
    now: Timestamp,
    until: Timestamp,
) -> StoreResult<Vec<Order>> {
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE orders SET due_at = ?3 WHERE id = ?1 AND due_at <= ?2 AND state = 'queued' RETURNING ",
        columns!()
    ))?;
    of_each(&mut statement, ids, |id| (id.get(), now.millis(), until.millis()), read_order)
}

/// What a [`PollClaim`] is for: the polls of a provider that are due, and what may go along.
pub(super) fn polls(conn: &Connection, provider: &ProviderId, claim: &PollClaim) -> StoreResult<Vec<OrderId>> {
    let mut found = due_polls(conn, provider, claim.now, claim.limit)?;
    if !found.is_empty() {
        found.extend(polls_to_go_along(conn, provider, claim, claim.limit.saturating_sub(found.len()))?);
    }
    Ok(found)
}

/// Placed and watched orders of a provider whose poll is due, oldest due first: IDs only.
pub(super) fn due_polls(
    conn: &Connection,
    provider: &ProviderId,
    now: Timestamp,
    limit: usize,
) -> StoreResult<Vec<OrderId>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM orders INDEXED BY orders_polled WHERE state IN ('placed', 'closed') AND due_at IS NOT NULL \
         AND provider = ?1 AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3",
    )?;
    collect(&mut statement, params![provider.as_str(), now.millis(), limit_of(limit)], |row| order_id(row.get(0)?))
}

/// How many orders are looked at for those that may go along, however few of them may.
const LOOKED_AT: u32 = 1000;

fn polls_to_go_along(
    conn: &Connection,
    provider: &ProviderId,
    claim: &PollClaim,
    room: usize,
) -> StoreResult<Vec<OrderId>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM (SELECT id, due_at, state, coalesce(polled_at, created_at) AS polled_at \
         FROM orders INDEXED BY orders_polled WHERE state IN ('placed', 'closed') AND due_at IS NOT NULL \
         AND provider = ?1 AND due_at > ?2 ORDER BY due_at LIMIT ?5) \
         WHERE state = 'placed' AND polled_at < ?3 ORDER BY due_at, id LIMIT ?4",
    )?;
    let (now, before) = (claim.now.millis(), claim.along_before.millis());
    let of_along = params![provider.as_str(), now, before, limit_of(room), LOOKED_AT];
    collect(&mut statement, of_along, |row| order_id(row.get(0)?))
}

/// Takes those of `ids` that the claim is still for, as asked for now: whatever comes of it, no client's question
/// makes them due again at once.
pub(super) fn take_polls(conn: &Connection, ids: &[OrderId], claim: &PollClaim) -> StoreResult<Vec<Order>> {
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE orders SET due_at = ?3, polled_at = ?2 WHERE id = ?1 AND state IN ('placed', 'closed') \
         AND (due_at <= ?2 OR state = 'placed' AND coalesce(polled_at, created_at) < ?4) RETURNING ",
        columns!()
    ))?;
    let (now, until, before) = (claim.now.millis(), claim.until.millis(), claim.along_before.millis());
    of_each(&mut statement, ids, |id| (id.get(), now, until, before), read_order)
}

/// Placed orders whose wish to be canceled is due, oldest first: IDs only.
pub(super) fn due_cancels(
    conn: &Connection,
    now: Timestamp,
    limit: usize,
    left: &[ProviderId],
) -> StoreResult<Vec<OrderId>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM orders INDEXED BY orders_to_cancel WHERE cancel = 'wished' AND state = 'placed' \
         AND coalesce(cancel_due, 0) <= ?1 AND provider NOT IN (SELECT value FROM json_each(?3)) ORDER BY id LIMIT ?2",
    )?;
    let left = write_json(&left.iter().map(ProviderId::as_str).collect::<Vec<_>>())?;
    collect(&mut statement, params![now.millis(), limit_of(limit), left], |row| order_id(row.get(0)?))
}

/// Takes those of `ids` that are still due.
pub(super) fn take_cancels(
    conn: &Connection,
    ids: &[OrderId],
    now: Timestamp,
    until: Timestamp,
) -> StoreResult<Vec<Order>> {
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE orders SET cancel_due = ?3 WHERE id = ?1 AND cancel = 'wished' AND state = 'placed' \
         AND coalesce(cancel_due, 0) <= ?2 RETURNING ",
        columns!()
    ))?;
    of_each(&mut statement, ids, |id| (id.get(), now.millis(), until.millis()), read_order)
}

/// See [`crate::store::Store::put_off_cancel`].
pub(super) fn put_off_cancel(
    conn: &Connection,
    order: OrderId,
    now: Timestamp,
    pause: Duration,
    longest: Duration,
) -> StoreResult<u32> {
    let mut statement = conn.prepare_cached(
        "UPDATE orders SET cancel_tries = cancel_tries + 1, \
         cancel_due = ?2 + min(?3 << min(cancel_tries, 16), ?4) \
         WHERE id = ?1 AND cancel = 'wished' AND state = 'placed' RETURNING cancel_tries",
    )?;
    let params = params![order.get(), now.millis(), millis_of(pause), millis_of(longest)];
    Ok(first(&mut statement, params, |row| Ok(row.get(0)?))?.unwrap_or_default())
}

/// A limit as SQLite takes it.
pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

// `+state`: by their IDs these are few, by their state they would be all that is placed.

/// Those of `ids` whose poll would come later than `now` although their last one was before `polled_before`.
pub(super) fn can_be_hastened(
    conn: &Connection,
    ids: &[OrderId],
    polled_before: Timestamp,
    now: Timestamp,
) -> StoreResult<Vec<OrderId>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM orders WHERE id IN (SELECT value FROM json_each(?1)) AND +state = 'placed' AND due_at > ?3 \
         AND (polled_at IS NULL OR polled_at < ?2)",
    )?;
    collect(&mut statement, params![id_list(ids)?, polled_before.millis(), now.millis()], |row| order_id(row.get(0)?))
}

/// Makes the polls of `ids` due, under the same condition as [`can_be_hastened`]: since their news became old, so that
/// they come before those polled at the same time that nobody asks for.
pub(super) fn hasten(conn: &Connection, ids: &[OrderId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()> {
    conn.prepare_cached(
        "UPDATE orders SET due_at = min(?3, coalesce(polled_at, created_at) + ?3 - ?2) \
         WHERE id IN (SELECT value FROM json_each(?1)) AND +state = 'placed' \
         AND due_at > ?3 AND (polled_at IS NULL OR polled_at < ?2)",
    )?
    .execute(params![id_list(ids)?, polled_before.millis(), now.millis()])?;
    Ok(())
}

/// IDs as one parameter, so that the statement is the same for any number of them.
pub(super) fn id_list(ids: &[OrderId]) -> StoreResult<String> {
    write_json(&ids.iter().map(|id| id.get()).collect::<Vec<_>>())
}

/// See [`crate::store::Store::hasten_queued`].
pub(super) fn hasten_queued(conn: &Connection, now: Timestamp) -> StoreResult<()> {
    conn.prepare_cached("UPDATE orders SET due_at = ?1 WHERE state = 'queued' AND due_at > ?1")?
        .execute([now.millis()])?;
    Ok(())
}

/// By the index of what is followed: nearly all that is closed is watched no longer.
pub(super) const STOP_WATCHING: &str = "UPDATE orders INDEXED BY orders_polled SET due_at = NULL \
     WHERE provider = ?1 AND state IN ('placed', 'closed') AND due_at IS NOT NULL AND +state = 'closed'";

/// Watches no closed order of this provider any more.
pub(super) fn stop_watching(conn: &Connection, provider: &ProviderId) -> StoreResult<()> {
    conn.prepare_cached(STOP_WATCHING)?.execute([provider.as_str()])?;
    Ok(())
}

/// See [`crate::store::Store::recover`].
pub(super) fn recover(conn: &Connection, now: Timestamp) -> StoreResult<Vec<Order>> {
    operation::follow_a_clock_that_was_put_back(conn, now)?;
    hasten_queued(conn, now)?;
    let mut statement =
        conn.prepare_cached(concat!("SELECT ", columns!(), " FROM orders WHERE state = 'sending' ORDER BY id"))?;
    collect(&mut statement, [], read_order)
}

/// How long an order may be sent of which it is not known, in milliseconds.
const LONGEST_LEASE: i64 = 3_600_000;

/// See [`crate::store::Store::lost_senders`].
pub(super) fn lost_senders(conn: &Connection, now: Timestamp) -> StoreResult<Vec<Order>> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM orders WHERE state = 'sending' AND coalesce(due_at, updated_at + ?2) <= ?1 ORDER BY id LIMIT 1000"
    ))?;
    collect(&mut statement, (now.millis(), LONGEST_LEASE), read_order)
}
