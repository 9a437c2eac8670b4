//! Attempts that may have left an order upstream, and what is needed to find it. See `domain::search`.

use super::order_reads;
use super::rows::{Columns, limit_of, order_id};
use super::session::Session;
use super::values::{Value, params};
use crate::domain::ids::{AttemptNumber, OrderId, ProviderId, UpstreamOrderId, UpstreamServiceId};
use crate::domain::params::DripFeed;
use crate::domain::search::{Neighbour, Neighbours};
use crate::domain::time::Timestamp;
use crate::store::records::{LostAttempt, Search};
use crate::store::{StoreError, StoreResult};

/// How many orders before and after an attempt are looked through for its neighbours.
const NEAR: i64 = 50_000;
/// How many neighbours are taken on each side.
const NEIGHBOURS: i64 = 20;

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
const KNOWN_SINCE: &str = "greatest((SELECT coalesce(max(restored_at), 0) FROM store), \
    (SELECT coalesce(max(moved_at), 0) FROM provider_moves WHERE provider_moves.provider = $1))";
/// Which orders are drip-feeds, as the index of them says it.
const DRIP_FEED: &str = r#"position('"drip_feed":{' IN orders.params) > 0"#;
/// An order's last attempt, after `orders`.
const LAST: &str = "JOIN attempts ON attempts.order_id = orders.id AND attempts.number = orders.attempts \
    LEFT JOIN lost_attempts AS lost ON lost.order_id = attempts.order_id AND lost.attempt = attempts.number";
/// What may have left an order.
const IN_DOUBT: &str = "lost_attempts AS lost \
    JOIN attempts ON attempts.order_id = lost.order_id AND attempts.number = lost.attempt \
    JOIN orders ON orders.id = lost.order_id WHERE lost.provider = $1 AND attempts.outcome <> 'accepted'";

/// The columns of a [`Row`] over `attempts` and `lost_attempts AS lost`; its end comes first.
const ROW: &str = "attempts.order_id, attempts.number, attempts.upstream_service, attempts.started_at, lost.cost, \
    coalesce(lost.tries, 0), coalesce(lost.scans, 0), coalesce(lost.calls, 0), lost.asked_at, lost.next_at";

async fn rows(db: &Session, sql: &str, params: Vec<Value>) -> StoreResult<Vec<LostAttempt>> {
    let rows = db.collect(sql, params, |row| {
        let mut columns = Columns::of(row);
        let ended_at = columns.maybe_time()?;
        Ok(Row {
            order: order_id(columns.take()?)?,
            attempt: AttemptNumber(columns.small()?),
            service: UpstreamServiceId::new(columns.take::<String>()?),
            started_at: columns.time()?,
            ended_at,
            search: Search {
                cost: columns.maybe_decimal()?,
                tries: columns.small()?,
                scans: columns.small()?,
                calls: columns.small()?,
                asked_at: columns.maybe_time()?,
                next_at: columns.maybe_time()?,
            },
        })
    });
    let mut whole = Vec::new();
    for Row { order, attempt, service, started_at, ended_at, search } in rows.await? {
        let order = order_reads::order(db, order)
            .await?
            .ok_or_else(|| StoreError::Corrupt(format!("order {order} is gone")))?;
        whole.push(LostAttempt { order, attempt, service, started_at, ended_at, search });
    }
    Ok(whole)
}

/// See [`crate::store::Store::due_searches`].
pub(super) async fn due(
    db: &Session,
    provider: &ProviderId,
    now: Timestamp,
    tries: u32,
    limit: usize,
) -> StoreResult<Vec<LostAttempt>> {
    let sql = format!(
        "SELECT lost.ended_at, {ROW} FROM orders {LAST} \
         WHERE orders.state = 'uncertain' AND orders.provider = $1 AND coalesce(lost.next_at, 0) <= $2 \
         AND lost.tries < $3 AND attempts.outcome = 'ambiguous' AND NOT {DRIP_FEED} \
         AND attempts.started_at > {KNOWN_SINCE} \
         ORDER BY coalesce(lost.next_at, 0), orders.id LIMIT $4"
    );
    rows(db, &sql, params![provider.as_str(), now.millis(), tries, limit_of(limit)]).await
}

/// See [`crate::store::Store::attempts_in_doubt`].
pub(super) async fn in_doubt(db: &Session, provider: &ProviderId, since: Timestamp) -> StoreResult<Vec<LostAttempt>> {
    let lost = format!("SELECT lost.ended_at, {ROW} FROM {IN_DOUBT} AND lost.ended_at >= $2 ORDER BY lost.order_id");
    let sending = format!(
        "SELECT lost.ended_at, {ROW} FROM orders {LAST} WHERE orders.state = 'sending' AND orders.provider = $1 \
         ORDER BY orders.id"
    );
    let mut found = rows(db, &lost, params![provider.as_str(), since.millis()]).await?;
    found.extend(rows(db, &sending, params![provider.as_str()]).await?);
    found.extend(drip_feeds(db, provider, since).await?);
    Ok(found)
}

/// Drip-feeds whose runs may have been started at or after `since`.
async fn drip_feeds(db: &Session, provider: &ProviderId, since: Timestamp) -> StoreResult<Vec<LostAttempt>> {
    let bound = |ended: &str| {
        format!(
            "SELECT orders.closed_at, {ROW} FROM orders {LAST} WHERE {DRIP_FEED} AND orders.provider = $1 \
             AND orders.upstream_order IS NOT NULL AND orders.closed_at {ended} ORDER BY orders.closed_at, orders.id"
        )
    };
    let mut found = rows(db, &bound("IS NULL"), params![provider.as_str()]).await?;
    found.extend(rows(db, &bound(">= $2"), params![provider.as_str(), since.millis()]).await?);
    let in_doubt = format!(
        "SELECT lost.ended_at, {ROW} FROM {IN_DOUBT} AND {DRIP_FEED} AND lost.ended_at < $2 ORDER BY lost.order_id"
    );
    for mut lost in rows(db, &in_doubt, params![provider.as_str(), since.millis()]).await? {
        let length = lost.order.params.drip_feed.map(DripFeed::may_run_for).unwrap_or_default();
        lost.ended_at = lost.ended_at.map(|ended_at| ended_at.plus(length));
        if lost.ended_at >= Some(since) {
            found.push(lost);
        }
    }
    Ok(found)
}

/// See [`crate::store::Store::neighbours`].
pub(super) async fn neighbours(
    db: &Session,
    provider: &ProviderId,
    started_at: Timestamp,
    ended_at: Timestamp,
) -> StoreResult<Neighbours> {
    Ok(Neighbours {
        before: near(db, provider, started_at, ("<=", "DESC"), "finished_at <= $2").await?,
        after: near(db, provider, ended_at, (">=", "ASC"), "attempts.started_at >= $2").await?,
    })
}

/// The nearest orders on one side of `from`, by the attempt that bound each, where that `fits`.
async fn near(
    db: &Session,
    provider: &ProviderId,
    from: Timestamp,
    (side, order): (&str, &str),
    fits: &str,
) -> StoreResult<Vec<Neighbour>> {
    let sql = format!(
        "SELECT upstream_order, attempts.started_at, finished_at FROM \
         (SELECT id, created_at, attempts AS last, provider, upstream_order FROM orders \
         WHERE created_at {side} $2 ORDER BY created_at {order} LIMIT $3) AS near \
         JOIN attempts ON order_id = near.id AND number = near.last AND outcome = 'accepted' \
         WHERE near.provider = $1 AND upstream_order IS NOT NULL AND {fits} \
         AND attempts.started_at > {KNOWN_SINCE} \
         ORDER BY near.created_at {order}, near.id {order} LIMIT $4"
    );
    db.collect(&sql, params![provider.as_str(), from.millis(), NEAR, NEIGHBOURS], |row| {
        let mut columns = Columns::of(row);
        let id = UpstreamOrderId::new(columns.take::<String>()?);
        Ok(Neighbour { id, started_at: columns.time()?, finished_at: columns.time()? })
    })
    .await
}

/// See [`crate::store::Store::held_upstream_orders`].
pub(super) async fn held(
    db: &Session,
    provider: &ProviderId,
    ids: &[UpstreamOrderId],
) -> StoreResult<Vec<UpstreamOrderId>> {
    let sql = "WITH named AS (SELECT detail FROM lost_attempts AS lost \
                   JOIN attempts ON attempts.order_id = lost.order_id AND attempts.number = lost.attempt \
                   WHERE lost.provider = $1 AND attempts.outcome = 'accepted') \
               SELECT asked FROM unnest($2::text[]) AS asked WHERE asked IN (SELECT detail FROM named) \
               OR EXISTS (SELECT 1 FROM orders WHERE provider = $1 AND upstream_order = asked)";
    let list: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    db.collect(sql, params![provider.as_str(), list], |row| Ok(UpstreamOrderId::new(row.try_get::<_, String>(0)?)))
        .await
}

/// See [`crate::store::Store::put_search`].
pub(super) async fn put(db: &Session, order: OrderId, attempt: AttemptNumber, search: &Search) -> StoreResult<()> {
    db.execute(
        "UPDATE lost_attempts SET cost = $3, tries = $4, scans = $5, calls = $6, asked_at = $7, next_at = $8 \
         WHERE order_id = $1 AND attempt = $2",
        params![
            order.get(),
            attempt.0,
            search.cost.map(|cost| cost.to_string()),
            search.tries,
            search.scans,
            search.calls,
            search.asked_at.map(Timestamp::millis),
            search.next_at.map(Timestamp::millis),
        ],
    )
    .await?;
    Ok(())
}

/// See [`crate::store::Store::search_calls`].
pub(super) async fn calls(db: &Session, provider: &ProviderId, since: Timestamp) -> StoreResult<u64> {
    let sql = "SELECT coalesce(sum(calls), 0)::bigint FROM lost_attempts WHERE provider = $1 AND asked_at >= $2";
    let calls = db.first(sql, params![provider.as_str(), since.millis()], |row| Columns::of(row).count()).await?;
    Ok(calls.unwrap_or(0))
}
