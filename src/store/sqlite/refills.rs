//! Refills as rows.

use rusqlite::{Connection, Row, params};

use super::claims::limit_of;
use super::rows::{Columns, collect, count, first, of_each, order_id, write_json};
use crate::domain::ids::{ClientId, MAX_PUBLIC_ID, OrderId, ProviderId, RefillId, UpstreamOrderId, UpstreamRefillId};
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

/// See [`crate::store::Store::open_refill`].
pub(super) fn open(conn: &Connection, new: NewRefill, now: Timestamp) -> StoreResult<OpenedRefill> {
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM refills WHERE order_id = ?1 \
         AND (state IN ('sending', 'accepted') OR state = 'uncertain' AND created_at > ?2)",
    )?;
    if statement.exists(params![new.order.get(), now.minus(UNCERTAIN_IS_OPEN_FOR).millis()])? {
        return Ok(OpenedRefill::Busy);
    }
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM provider_moves WHERE provider = ?2 \
         AND moved_at >= (SELECT max(started_at) FROM attempts WHERE order_id = ?1 AND provider = ?2)",
    )?;
    if statement.exists(params![new.order.get(), new.provider.as_str()])? {
        return Ok(OpenedRefill::Moved);
    }
    let Some(id) = next_id(conn)? else { return Ok(OpenedRefill::NoMoreIds) };
    let refill = new.into_refill(id, now);
    insert(conn, &refill)?;
    Ok(OpenedRefill::New(Box::new(refill)))
}

fn next_id(conn: &Connection) -> StoreResult<Option<RefillId>> {
    let mut statement = conn.prepare_cached(
        "UPDATE store SET next_refill_id = next_refill_id + 1 WHERE next_refill_id <= ?1 RETURNING next_refill_id - 1",
    )?;
    first(&mut statement, [MAX_PUBLIC_ID], |row| refill_id(row.get(0)?))
}

fn insert(conn: &Connection, refill: &Refill) -> StoreResult<()> {
    conn.prepare_cached(
        "INSERT INTO refills (id, version, order_id, client, provider, upstream_order, state, status, created_at, \
         updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
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
    ])?;
    Ok(())
}

/// See [`crate::store::Store::apply_refills`].
pub(super) fn apply(conn: &Connection, step: &RefillStep) -> StoreResult<RefillApplied> {
    let refill = &step.refill;
    let upstream_id = refill.state.upstream_id().map(UpstreamRefillId::as_str);
    let mut holders =
        conn.prepare_cached("SELECT id FROM refills WHERE provider = ?1 AND upstream_refill = ?2 AND id <> ?3")?;
    let holder = first(&mut holders, params![refill.provider.as_str(), upstream_id, refill.id.get()], |row| {
        refill_id(row.get(0)?)
    })?;
    if let Some(holder) = holder {
        return Ok(RefillApplied::IdTaken(holder));
    }
    let rows = conn
        .prepare_cached(
            "UPDATE refills SET version = ?2, state = ?3, upstream_refill = ?4, status = ?5, word = ?6, \
             updated_at = ?7, polled_at = ?8, due_at = ?9 WHERE id = ?1 AND version = ?2 - 1",
        )?
        .execute(params![
            refill.id.get(),
            count(refill.version),
            refill.state.name(),
            upstream_id,
            refill.status.as_str(),
            refill.word,
            refill.updated_at.millis(),
            refill.polled_at.map(Timestamp::millis),
            refill.due_at.map(Timestamp::millis),
        ])?;
    Ok(if rows == 1 { RefillApplied::Done } else { RefillApplied::Stale })
}

/// See [`crate::store::Store::claim_refills`].
pub(super) fn take(conn: &Connection, ids: &[RefillId], now: Timestamp, until: Timestamp) -> StoreResult<Vec<Refill>> {
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE refills SET due_at = ?3, polled_at = ?2 WHERE id = ?1 AND due_at <= ?2 RETURNING ",
        refill_columns!()
    ))?;
    of_each(&mut statement, ids, |id| (id.get(), now.millis(), until.millis()), read)
}

/// See [`crate::store::Store::hasten_refills`].
pub(super) fn hasten(conn: &Connection, ids: &[RefillId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()> {
    conn.prepare_cached(
        "UPDATE refills SET due_at = ?3 WHERE id IN (SELECT value FROM json_each(?1)) AND due_at > ?3 \
         AND coalesce(polled_at, created_at) < ?2",
    )?
    .execute(params![id_list(ids)?, polled_before.millis(), now.millis()])?;
    Ok(())
}

/// Ends what is open at a provider that moved: nobody can follow it any more.
pub(super) fn end_all(conn: &Connection, provider: &ProviderId, now: Timestamp) -> StoreResult<()> {
    conn.prepare_cached(
        "UPDATE refills SET version = version + 1, state = 'ended', status = ?3, updated_at = ?2, due_at = NULL \
         WHERE provider = ?1 AND due_at IS NOT NULL",
    )?
    .execute(params![provider.as_str(), now.millis(), RefillStatus::Error.as_str()])?;
    Ok(())
}

// === Reading ===

/// One refill.
pub(super) fn refill(conn: &Connection, id: RefillId) -> StoreResult<Option<Refill>> {
    let mut statement = conn.prepare_cached(concat!("SELECT ", refill_columns!(), " FROM refills WHERE id = ?1"))?;
    first(&mut statement, [id.get()], read)
}

/// Those of `ids` that are this client's.
pub(super) fn of_client(conn: &Connection, client: ClientId, ids: &[RefillId]) -> StoreResult<Vec<Refill>> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        refill_columns!(),
        " FROM refills WHERE id IN (SELECT value FROM json_each(?2)) AND client = ?1"
    ))?;
    collect(&mut statement, params![client.0, id_list(ids)?], read)
}

/// Those of one order, oldest first.
pub(super) fn of_order(conn: &Connection, order: OrderId) -> StoreResult<Vec<Refill>> {
    let mut statement =
        conn.prepare_cached(concat!("SELECT ", refill_columns!(), " FROM refills WHERE order_id = ?1 ORDER BY id"))?;
    collect(&mut statement, [order.get()], read)
}

/// Those that are being sent.
pub(super) fn sending(conn: &Connection) -> StoreResult<Vec<Refill>> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        refill_columns!(),
        " FROM refills WHERE state = 'sending' ORDER BY id"
    ))?;
    collect(&mut statement, [], read)
}

/// Those of a provider that are due, oldest due first: IDs only.
pub(super) fn due(
    conn: &Connection,
    provider: &ProviderId,
    now: Timestamp,
    limit: usize,
) -> StoreResult<Vec<RefillId>> {
    let mut statement = conn.prepare_cached(
        "SELECT id FROM refills WHERE due_at IS NOT NULL AND provider = ?1 AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3",
    )?;
    collect(&mut statement, params![provider.as_str(), now.millis(), limit_of(limit)], |row| refill_id(row.get(0)?))
}

fn id_list(ids: &[RefillId]) -> StoreResult<String> {
    write_json(&ids.iter().map(|id| id.get()).collect::<Vec<_>>())
}

fn refill_id(id: i64) -> StoreResult<RefillId> {
    RefillId::new(id).map_err(|error| StoreError::Corrupt(format!("refill ID {id}: {error}")))
}

/// Every refill, for who wants to know whether each can be read: the IDs of those that can't, as sentences.
pub(super) fn unreadable(conn: &Connection) -> StoreResult<Vec<String>> {
    let mut statement = conn.prepare(concat!("SELECT ", refill_columns!(), " FROM refills"))?;
    let found = collect(&mut statement, [], |row| match read(row) {
        Err(StoreError::Corrupt(what)) => Ok(Some(what)),
        other => other.map(|_| None),
    })?;
    Ok(found.into_iter().flatten().collect())
}

fn read(row: &Row<'_>) -> StoreResult<Refill> {
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
    let status = RefillStatus::parse(&columns.take::<String>()?).ok_or_else(|| corrupt("status"))?;
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
