//! Attempts that may have left an order upstream, and what is needed to find it. See `domain::search`.

use rusqlite::{Connection, params};

use super::rows::{Columns, collect, first, order_id, write_json};
use super::{claims, order_reads};
use crate::domain::ids::{AttemptNumber, OrderId, ProviderId, UpstreamOrderId, UpstreamServiceId};
use crate::domain::order::{AttemptChange, State, Step};
use crate::domain::outcome::OutcomeName;
use crate::domain::params::DripFeed;
use crate::domain::search::{Neighbour, Neighbours};
use crate::domain::time::Timestamp;
use crate::store::records::{LostAttempt, Search};
use crate::store::{StoreError, StoreResult};

/// How many orders before and after an attempt are looked through for its neighbours.
const NEAR: usize = 50_000;
/// How many neighbours are taken on each side.
const NEIGHBOURS: usize = 20;

/// Keeps what a step leaves in doubt.
pub(super) fn note(conn: &Connection, step: &Step) -> StoreResult<()> {
    let State::Uncertain { route } = &step.order.state else { return Ok(()) };
    let Some(AttemptChange::Finished { number, outcome, .. }) = &step.attempt else { return Ok(()) };
    // A duplicate speaks of an earlier attempt there, however that was answered, and not of itself.
    let which = match outcome {
        OutcomeName::Rejected => "number < ?2 AND provider = ?4 AND outcome <> 'accepted'",
        _ => "number = ?2 AND provider = ?4",
    };
    conn.prepare_cached(&format!(
        "INSERT OR IGNORE INTO lost_attempts (order_id, attempt, provider, started_at, ended_at) \
         SELECT order_id, number, provider, started_at, coalesce(finished_at, ?3) FROM attempts \
         WHERE order_id = ?1 AND {which}"
    ))?
    .execute(params![step.order.id.get(), number.0, step.order.updated_at.millis(), route.provider.as_str()])?;
    Ok(())
}

/// One row, its order still to be read.
struct Row {
    order: OrderId,
    attempt: AttemptNumber,
    service: UpstreamServiceId,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    search: Search,
}

/// What was sent before this says nothing of a provider's IDs: the store was restored since, or the provider moved.
const KNOWN_SINCE: &str = "max((SELECT coalesce(max(restored_at), 0) FROM store), \
    (SELECT coalesce(max(moved_at), 0) FROM provider_moves WHERE provider_moves.provider = ?1))";
/// Which orders are drip-feeds, as the index of them says it.
const DRIP_FEED: &str = r#"(instr(orders.params, '"drip_feed":{') > 0)"#;
/// An order's last attempt, after `orders`.
const LAST: &str = "JOIN attempts ON attempts.order_id = orders.id AND attempts.number = orders.attempts \
    LEFT JOIN lost_attempts AS lost ON lost.order_id = attempts.order_id AND lost.attempt = attempts.number";
/// What may have left an order.
const IN_DOUBT: &str = "lost_attempts AS lost \
    JOIN attempts ON attempts.order_id = lost.order_id AND attempts.number = lost.attempt \
    JOIN orders ON orders.id = lost.order_id WHERE lost.provider = ?1 AND attempts.outcome <> 'accepted'";

/// The columns of a [`Row`] over `attempts` and `lost_attempts AS lost`; its end comes first.
const ROW: &str = "attempts.order_id, attempts.number, attempts.upstream_service, attempts.started_at, lost.cost, coalesce(lost.tries, 0), coalesce(lost.scans, 0), coalesce(lost.calls, 0), \
    lost.asked_at, lost.next_at";

fn rows(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> StoreResult<Vec<LostAttempt>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = collect(&mut statement, params, |row| {
        let mut columns = Columns::of(row);
        let ended_at = columns.maybe_time()?;
        Ok(Row {
            order: order_id(columns.take()?)?,
            attempt: AttemptNumber(columns.take()?),
            service: UpstreamServiceId::new(columns.take::<String>()?),
            started_at: columns.time()?,
            ended_at,
            search: Search {
                cost: columns.maybe_decimal()?,
                tries: columns.take()?,
                scans: columns.take()?,
                calls: columns.take()?,
                asked_at: columns.maybe_time()?,
                next_at: columns.maybe_time()?,
            },
        })
    })?;
    let whole = rows.into_iter().map(|row| {
        let order = order_reads::order(conn, row.order)?
            .ok_or_else(|| StoreError::Corrupt(format!("order {} is gone", row.order)))?;
        let Row { attempt, service, started_at, ended_at, search, .. } = row;
        Ok(LostAttempt { order, attempt, service, started_at, ended_at, search })
    });
    whole.collect()
}

/// See [`crate::store::Store::due_searches`].
pub(super) fn due(
    conn: &Connection,
    provider: &ProviderId,
    now: Timestamp,
    tries: u32,
    limit: usize,
) -> StoreResult<Vec<LostAttempt>> {
    let sql = format!(
        "SELECT lost.ended_at, {ROW} FROM orders JOIN attempts ON attempts.order_id = orders.id AND attempts.number = orders.attempts \
         JOIN lost_attempts AS lost ON lost.order_id = attempts.order_id AND lost.attempt = attempts.number \
         WHERE orders.state = 'uncertain' AND orders.provider = ?1 AND coalesce(lost.next_at, 0) <= ?2 \
         AND lost.tries < ?3 AND attempts.outcome = 'ambiguous' AND NOT {DRIP_FEED} \
         AND attempts.started_at > {KNOWN_SINCE} \
         ORDER BY coalesce(lost.next_at, 0), orders.id LIMIT ?4"
    );
    rows(conn, &sql, params![provider.as_str(), now.millis(), tries, claims::limit_of(limit)])
}

/// See [`crate::store::Store::attempts_in_doubt`].
pub(super) fn in_doubt(conn: &Connection, provider: &ProviderId, since: Timestamp) -> StoreResult<Vec<LostAttempt>> {
    let lost = format!("SELECT lost.ended_at, {ROW} FROM {IN_DOUBT} AND lost.ended_at >= ?2 ORDER BY lost.order_id");
    let sending = format!(
        "SELECT lost.ended_at, {ROW} FROM orders {LAST} WHERE orders.state = 'sending' AND orders.provider = ?1 \
         ORDER BY orders.id"
    );
    let mut found = rows(conn, &lost, params![provider.as_str(), since.millis()])?;
    found.extend(rows(conn, &sending, params![provider.as_str()])?);
    found.extend(drip_feeds(conn, provider, since)?);
    Ok(found)
}

/// Drip-feeds whose runs may have been started at or after `since`.
fn drip_feeds(conn: &Connection, provider: &ProviderId, since: Timestamp) -> StoreResult<Vec<LostAttempt>> {
    let bound = |ended: &str| {
        format!(
            "SELECT orders.closed_at, {ROW} FROM orders INDEXED BY orders_drip_feeds {LAST} WHERE {DRIP_FEED} AND orders.provider = ?1 \
             AND orders.upstream_order IS NOT NULL AND orders.closed_at {ended} ORDER BY orders.closed_at, orders.id"
        )
    };
    let mut found = rows(conn, &bound("IS NULL"), params![provider.as_str()])?;
    found.extend(rows(conn, &bound(">= ?2"), params![provider.as_str(), since.millis()])?);
    let in_doubt = format!("SELECT lost.ended_at, {ROW} FROM {IN_DOUBT} AND {DRIP_FEED} AND lost.ended_at < ?2");
    for mut lost in rows(conn, &in_doubt, params![provider.as_str(), since.millis()])? {
        let length = lost.order.params.drip_feed.map(DripFeed::may_run_for).unwrap_or_default();
        lost.ended_at = lost.ended_at.map(|ended_at| ended_at.plus(length));
        if lost.ended_at >= Some(since) {
            found.push(lost);
        }
    }
    Ok(found)
}

/// The orders up to a moment, of all providers, newest first.
const BEFORE: &str = "SELECT id, attempts, provider, upstream_order FROM orders INDEXED BY orders_by_time \
    WHERE created_at <= ?1 ORDER BY created_at DESC LIMIT ?2";
/// Those from a moment on, oldest first.
const AFTER: &str = "SELECT id, attempts, provider, upstream_order FROM orders INDEXED BY orders_by_time \
    WHERE created_at >= ?1 ORDER BY created_at LIMIT ?2";

/// See [`crate::store::Store::neighbours`].
pub(super) fn neighbours(
    conn: &Connection,
    provider: &ProviderId,
    started_at: Timestamp,
    ended_at: Timestamp,
) -> StoreResult<Neighbours> {
    let known_since = conn.query_row(&format!("SELECT {KNOWN_SINCE}"), [provider.as_str()], |row| row.get(0))?;
    let known_since = Timestamp::from_millis(known_since);
    let near = |sql: &str, from: Timestamp, fits: &dyn Fn(&Neighbour) -> bool| -> StoreResult<Vec<Neighbour>> {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query(params![from.millis(), claims::limit_of(NEAR)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let mut columns = Columns::of(row);
            let (id, attempt): (i64, u32) = (columns.take()?, columns.take()?);
            let (at, upstream_order): (Option<String>, Option<String>) = (columns.take()?, columns.take()?);
            let (Some(at), Some(upstream_order)) = (at, upstream_order) else { continue };
            if at != provider.as_str() {
                continue;
            }
            let Some((started_at, finished_at)) = times(conn, id, attempt)? else { continue };
            let neighbour = Neighbour { id: UpstreamOrderId::new(upstream_order), started_at, finished_at };
            if neighbour.started_at > known_since && fits(&neighbour) {
                found.push(neighbour);
            }
            if found.len() == NEIGHBOURS {
                break;
            }
        }
        Ok(found)
    };
    Ok(Neighbours {
        before: near(BEFORE, started_at, &|neighbour| neighbour.finished_at <= started_at)?,
        after: near(AFTER, ended_at, &|neighbour| neighbour.started_at >= ended_at)?,
    })
}

/// When the attempt that bound an order began and was written.
fn times(conn: &Connection, order: i64, attempt: u32) -> StoreResult<Option<(Timestamp, Timestamp)>> {
    let mut statement = conn.prepare_cached(
        "SELECT started_at, finished_at FROM attempts WHERE order_id = ?1 AND number = ?2 AND outcome = 'accepted'",
    )?;
    first(&mut statement, params![order, attempt], |row| {
        let mut columns = Columns::of(row);
        Ok((columns.time()?, columns.time()?))
    })
}

/// See [`crate::store::Store::held_upstream_orders`].
pub(super) fn held(
    conn: &Connection,
    provider: &ProviderId,
    ids: &[UpstreamOrderId],
) -> StoreResult<Vec<UpstreamOrderId>> {
    let mut statement = conn.prepare_cached(
        "WITH named AS (SELECT detail FROM lost_attempts AS lost \
             JOIN attempts ON attempts.order_id = lost.order_id AND attempts.number = lost.attempt \
             WHERE lost.provider = ?1 AND attempts.outcome = 'accepted') \
         SELECT value FROM json_each(?2) WHERE value IN named \
         OR EXISTS (SELECT 1 FROM orders WHERE provider = ?1 AND upstream_order = value)",
    )?;
    let list = write_json(&ids.iter().map(UpstreamOrderId::as_str).collect::<Vec<_>>())?;
    collect(&mut statement, params![provider.as_str(), list], |row| Ok(UpstreamOrderId::new(row.get::<_, String>(0)?)))
}

/// See [`crate::store::Store::put_search`].
pub(super) fn put(conn: &Connection, order: OrderId, attempt: AttemptNumber, search: &Search) -> StoreResult<()> {
    conn.prepare_cached(
        "UPDATE lost_attempts SET cost = ?3, tries = ?4, scans = ?5, calls = ?6, asked_at = ?7, next_at = ?8 \
         WHERE order_id = ?1 AND attempt = ?2",
    )?
    .execute(params![
        order.get(),
        attempt.0,
        search.cost.map(|cost| cost.to_string()),
        search.tries,
        search.scans,
        search.calls,
        search.asked_at.map(Timestamp::millis),
        search.next_at.map(Timestamp::millis),
    ])?;
    Ok(())
}

/// See [`crate::store::Store::search_calls`].
pub(super) fn calls(conn: &Connection, provider: &ProviderId, since: Timestamp) -> StoreResult<u64> {
    let mut statement = conn
        .prepare_cached("SELECT coalesce(sum(calls), 0) FROM lost_attempts WHERE provider = ?1 AND asked_at >= ?2")?;
    let calls: i64 = statement.query_row(params![provider.as_str(), since.millis()], |row| row.get(0))?;
    Ok(u64::try_from(calls).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::store::sqlite::open;

    #[test]
    fn a_look_to_one_side_reads_nothing_of_the_other() {
        let conn = open::in_memory(1).unwrap();
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF; \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
             INSERT INTO orders (id, version, token, client, service, kind, params, charge, refunded, created_at, \
                 queued_at, updated_at, state, provider, upstream_service, upstream_order, status, attempts, tried, \
                 round, cancel, due_at) \
             SELECT i, 1, randomblob(16), 1, 1, 'Default', '{}', 0, 0, i, i, i, 'placed', 'beta', '1', i, 'Pending', 1, \
                 '[]', 0, 'none', 1 FROM n",
        )
        .unwrap();
        let at = Timestamp::from_millis;
        // How much was done since the last look at this.
        let steps = |sql: &str| conn.prepare_cached(sql).unwrap().reset_status(StatementStatus::VmStep);
        let look = |from, to| {
            let found = neighbours(&conn, &ProviderId::new("alpha"), at(from), at(to)).unwrap();
            assert!(found.before.is_empty() && found.after.is_empty(), "all of them are another's");
            (steps(BEFORE), steps(AFTER))
        };
        let (before, after) = look(i64::MIN, 1000);
        assert!(before < 50 && after > 1000, "{before} {after}");
        let (before, after) = look(1000, i64::MAX);
        assert!(before > 1000 && after < 50, "{before} {after}");
    }
}
