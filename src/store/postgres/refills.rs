//! Refills as rows.

use std::sync::{Mutex, PoisonError};

use tokio_postgres::Row;

use super::rows::{Columns, count, id_list, limit_of, order_id};
use super::session::Session;
use super::values::params;
use crate::domain::ids::{ClientId, OrderId, ProviderId, RefillId, UpstreamOrderId, UpstreamRefillId};
use crate::domain::refill::{NewRefill, Refill, RefillState, RefillStatus, RefillStep, UNCERTAIN_IS_OPEN_FOR};
use crate::domain::time::Timestamp;
use crate::store::records::{OpenedRefill, RefillApplied};
use crate::store::{StoreError, StoreResult};

/// Every column of a refill.
macro_rules! refill_columns {
    () => {
        "id, version, order_id, client, provider, upstream_order, state, upstream_refill, status, word, created_at, \
         updated_at, polled_at, due_at"
    };
}

// === Writing ===

/// See [`crate::store::Store::open_refill`]. The order's row is locked first, so that no two are opened at once. What is to be
/// committed is left in `made`.
pub(super) async fn open(
    db: &Session,
    new: &NewRefill,
    now: Timestamp,
    made: &Mutex<Option<Refill>>,
) -> StoreResult<OpenedRefill> {
    leave(made, None);
    lock_order(db, new.order).await?;
    let busy = "SELECT 1 FROM refills WHERE order_id = $1 \
                AND (state IN ('sending', 'accepted') OR state = 'uncertain' AND created_at > $2)";
    if db.exists(busy, params![new.order.get(), now.minus(UNCERTAIN_IS_OPEN_FOR).millis()]).await? {
        return Ok(OpenedRefill::Busy);
    }
    let moved = "SELECT 1 FROM provider_moves WHERE provider = $2 \
                 AND moved_at >= (SELECT max(started_at) FROM attempts WHERE order_id = $1 AND provider = $2)";
    if db.exists(moved, params![new.order.get(), new.provider.as_str()]).await? {
        return Ok(OpenedRefill::Moved);
    }
    let next = db.first("SELECT nextval('refill_ids')", params![], |row| refill_id(row.try_get(0)?)).await;
    let id = match next {
        Err(StoreError::Engine(said)) if said.contains("(2200H)") => return Ok(OpenedRefill::NoMoreIds),
        next => next?.ok_or_else(|| StoreError::Corrupt("a refill got no number".into()))?,
    };
    let refill = new.clone().into_refill(id, now);
    insert(db, &refill).await?;
    leave(made, Some(refill.clone()));
    Ok(OpenedRefill::New(Box::new(refill)))
}

fn leave(made: &Mutex<Option<Refill>>, refill: Option<Refill>) {
    *made.lock().unwrap_or_else(PoisonError::into_inner) = refill;
}

async fn lock_order(db: &Session, order: OrderId) -> StoreResult<()> {
    db.rows("SELECT id FROM orders WHERE id = $1 FOR NO KEY UPDATE", params![order.get()]).await.map(drop)
}

/// Whether a refill whose commit was not acknowledged is there. Waits for a commit that is still under way; its number was
/// given to nobody else.
pub(super) async fn is_there(db: &Session, made: &Refill) -> StoreResult<bool> {
    lock_order(db, made.order).await?;
    Ok(refill(db, made.id).await?.is_some())
}

async fn insert(db: &Session, refill: &Refill) -> StoreResult<()> {
    db.execute(
        "INSERT INTO refills (id, version, order_id, client, provider, upstream_order, state, status, created_at, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            refill.id.get(),
            count(refill.version),
            refill.order.get(),
            refill.client.0,
            refill.provider.as_str(),
            refill.upstream_order.as_str(),
            refill.state.name(),
            refill.status.as_str(),
            refill.created_at.millis(),
            refill.updated_at.millis(),
        ],
    )
    .await?;
    Ok(())
}

/// See [`crate::store::Store::apply_refills`].
pub(super) async fn apply_all(db: &Session, steps: &[RefillStep]) -> StoreResult<Vec<RefillApplied>> {
    let ids: Vec<i64> = steps.iter().map(|step| step.refill.id.get().into()).collect();
    db.rows("SELECT id FROM refills WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", params![ids]).await?;
    let mut applied = Vec::with_capacity(steps.len());
    for step in steps {
        applied.push(apply(db, step).await?);
    }
    Ok(applied)
}

async fn apply(db: &Session, step: &RefillStep) -> StoreResult<RefillApplied> {
    let refill = &step.refill;
    let upstream_id = refill.state.upstream_id().map(UpstreamRefillId::as_str);
    let holder = "SELECT id FROM refills WHERE provider = $1 AND upstream_refill = $2 AND id <> $3";
    let params = params![refill.provider.as_str(), upstream_id, refill.id.get()];
    if let Some(holder) = db.first(holder, params, |row| refill_id(row.try_get(0)?)).await? {
        return Ok(RefillApplied::IdTaken(holder));
    }
    let rows = db.execute(
        "UPDATE refills SET version = $2::bigint, state = $3, upstream_refill = $4, status = $5, word = $6, \
         updated_at = $7, polled_at = $8, due_at = $9 WHERE id = $1 AND version = $2::bigint - 1",
        params![
            refill.id.get(),
            count(refill.version),
            refill.state.name(),
            upstream_id,
            refill.status.as_str(),
            &refill.word,
            refill.updated_at.millis(),
            refill.polled_at.map(Timestamp::millis),
            refill.due_at.map(Timestamp::millis),
        ],
    );
    Ok(if rows.await? == 1 { RefillApplied::Done } else { RefillApplied::Stale })
}

/// See [`crate::store::Store::has_due_refills`].
pub(super) async fn has_due(db: &Session, provider: &ProviderId, now: Timestamp) -> StoreResult<bool> {
    let sql = "SELECT 1 FROM refills WHERE due_at IS NOT NULL AND provider = $1 AND due_at <= $2 LIMIT 1";
    db.exists(sql, params![provider.as_str(), now.millis()]).await
}

/// See [`crate::store::Store::claim_refills`]. One statement.
pub(super) async fn claim(
    db: &Session,
    provider: &ProviderId,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> StoreResult<Vec<Refill>> {
    let sql = "WITH due AS (SELECT id AS due_id, due_at AS was_due FROM refills WHERE due_at IS NOT NULL \
               AND provider = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED) \
               UPDATE refills SET due_at = $3, polled_at = $2 FROM due WHERE id = due_id RETURNING ";
    let sql = format!("{sql}{}, was_due", refill_columns!());
    let params = params![provider.as_str(), now.millis(), until.millis(), limit_of(limit)];
    let mut taken = db.collect(&sql, params, |row| Ok((row.try_get::<_, i64>("was_due")?, read(row)?))).await?;
    taken.sort_by_key(|(was_due, refill)| (*was_due, refill.id));
    Ok(taken.into_iter().map(|(_, refill)| refill).collect())
}

/// See [`crate::store::Store::hasten_refills`].
pub(super) async fn hasten(
    db: &Session,
    ids: &[RefillId],
    polled_before: Timestamp,
    now: Timestamp,
) -> StoreResult<()> {
    let sql = "WITH slow (slow_id) AS (SELECT id FROM refills WHERE id = ANY($1) AND due_at > $3 \
               AND coalesce(polled_at, created_at) < $2 ORDER BY id FOR NO KEY UPDATE) \
               UPDATE refills SET due_at = $3 FROM slow WHERE id = slow_id";
    db.execute(sql, params![id_list(ids, |id| id.get().into()), polled_before.millis(), now.millis()]).await?;
    Ok(())
}

/// Ends what is open at a provider that moved: nobody can follow it any more.
pub(super) async fn end_all(db: &Session, provider: &ProviderId, now: Timestamp) -> StoreResult<()> {
    let sql = "WITH open (open_id) AS (SELECT id FROM refills WHERE due_at IS NOT NULL AND provider = $1 ORDER BY id \
               FOR NO KEY UPDATE) UPDATE refills SET version = version + 1, state = 'ended', status = $3, \
               updated_at = $2, due_at = NULL FROM open WHERE id = open_id";
    db.execute(sql, params![provider.as_str(), now.millis(), RefillStatus::Error.as_str()]).await?;
    Ok(())
}

// === Reading ===

/// One refill.
pub(super) async fn refill(db: &Session, id: RefillId) -> StoreResult<Option<Refill>> {
    db.first(concat!("SELECT ", refill_columns!(), " FROM refills WHERE id = $1"), params![id.get()], read).await
}

/// Those of `ids` that are this client's.
pub(super) async fn of_client(db: &Session, client: ClientId, ids: &[RefillId]) -> StoreResult<Vec<Refill>> {
    let sql = concat!("SELECT ", refill_columns!(), " FROM refills WHERE id = ANY($2) AND client = $1");
    db.collect(sql, params![client.0, id_list(ids, |id| id.get().into())], read).await
}

/// Those of one order, oldest first.
pub(super) async fn of_order(db: &Session, order: OrderId) -> StoreResult<Vec<Refill>> {
    let sql = concat!("SELECT ", refill_columns!(), " FROM refills WHERE order_id = $1 ORDER BY id");
    db.collect(sql, params![order.get()], read).await
}

/// Those that are being sent.
pub(super) async fn sending(db: &Session) -> StoreResult<Vec<Refill>> {
    let sql = concat!("SELECT ", refill_columns!(), " FROM refills WHERE state = 'sending' ORDER BY id");
    db.collect(sql, params![], read).await
}

fn refill_id(id: i64) -> StoreResult<RefillId> {
    RefillId::new(id).map_err(|error| StoreError::Corrupt(format!("refill ID {id}: {error}")))
}

/// Every refill, for who wants to know whether each can be read: what is wrong with those that can't, as sentences.
pub(super) async fn unreadable(db: &Session) -> StoreResult<Vec<String>> {
    let found = db.collect(concat!("SELECT ", refill_columns!(), " FROM refills"), params![], |row| match read(row) {
        Err(StoreError::Corrupt(what)) => Ok(Some(what)),
        other => other.map(|_| None),
    });
    Ok(found.await?.into_iter().flatten().collect())
}

fn read(row: &Row) -> StoreResult<Refill> {
    let mut columns = Columns::of(row);
    let id = refill_id(columns.take()?)?;
    let corrupt = |what: &str| StoreError::Corrupt(format!("refill {id}: its {what} can't be read"));
    let version = columns.count()?;
    let order = order_id(columns.take()?)?;
    let client = ClientId(columns.take()?);
    let provider = ProviderId::new(columns.take::<String>()?);
    let upstream_order = UpstreamOrderId::new(columns.take::<String>()?);
    let word: String = columns.take()?;
    let upstream_id = columns.take::<Option<String>>()?.map(UpstreamRefillId::new);
    let state = match (word.as_str(), upstream_id) {
        ("sending", None) => RefillState::Sending,
        ("accepted", Some(id)) => RefillState::Accepted(id),
        ("uncertain", None) => RefillState::Uncertain,
        ("ended", id) => RefillState::Ended(id),
        _ => return Err(corrupt("state")),
    };
    let status = RefillStatus::parse(columns.take()?).ok_or_else(|| corrupt("status"))?;
    Ok(Refill {
        id,
        version,
        order,
        client,
        provider,
        upstream_order,
        state,
        status,
        word: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        polled_at: columns.maybe_time()?,
        due_at: columns.maybe_time()?,
    })
}
