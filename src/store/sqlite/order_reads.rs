//! Orders as they are looked up: by ID, by token, for their client, and for the operator.

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::claims::id_list;
use super::movements::read_entry;
use super::refills;
use super::rows::{Columns, collect, columns, first, order_id, read_order, route};
use crate::domain::ids::{ClientId, OrderId, OrderToken, ProviderId};
use crate::domain::order::Order;
use crate::store::records::{AlertRecord, AttemptRecord, HistoryRecord, LedgerRecord, OrderFilter, OrderStory};
use crate::store::{StoreError, StoreResult};

/// One order.
pub(super) fn order(conn: &Connection, id: OrderId) -> StoreResult<Option<Order>> {
    let mut statement = conn.prepare_cached(concat!("SELECT ", columns!(), " FROM orders WHERE id = ?1"))?;
    first(&mut statement, [id.get()], read_order)
}

/// The order with this token.
pub(super) fn by_token(conn: &Connection, token: OrderToken) -> StoreResult<Option<Order>> {
    let mut statement = conn.prepare_cached(concat!("SELECT ", columns!(), " FROM orders WHERE token = ?1"))?;
    first(&mut statement, [token.0], read_order)
}

/// Those of `ids` that are this client's.
pub(super) fn of_client(conn: &Connection, client: ClientId, ids: &[OrderId]) -> StoreResult<Vec<Order>> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM orders WHERE id IN (SELECT value FROM json_each(?2)) AND +client = ?1"
    ))?;
    collect(&mut statement, params![client.0, id_list(ids)?], read_order)
}

/// Orders for the operator, newest first, each with its client's name.
pub(super) fn list(conn: &Connection, filter: OrderFilter) -> StoreResult<Vec<(String, Order)>> {
    // IDs and times rise together; each order of them has its own index.
    let newest = if filter.from.or(filter.to).is_some() { "created_at DESC, id DESC" } else { "id DESC" };
    let limit = Value::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX));
    let (conditions, mut values) = conditions(filter);
    values.push(limit);
    let sql = format!(
        "SELECT {}, (SELECT name FROM clients WHERE clients.id = orders.client) FROM orders WHERE {} \
         ORDER BY {newest} LIMIT ?",
        columns!(),
        conditions.join(" AND ")
    );
    collect(&mut conn.prepare(&sql)?, params_from_iter(values), |row| {
        Ok((row.get(row.as_ref().column_count().saturating_sub(1))?, read_order(row)?))
    })
}

/// A condition for each part of the filter, and its value.
fn conditions(filter: OrderFilter) -> (Vec<&'static str>, Vec<Value>) {
    // Nearly all orders are closed: through its index, newest first would sort them all.
    let state = if filter.state.as_deref() == Some("closed") { "+state = ?" } else { "state = ?" };
    let parts = [
        (state, filter.state.map(Value::from)),
        ("client = (SELECT id FROM clients WHERE name = ?)", filter.client.map(Value::from)),
        ("provider = ?", filter.provider.map(|provider| Value::from(provider.as_str().to_owned()))),
        ("service = ?", filter.service.map(|service| Value::from(service.get()))),
        ("instr(params ->> 'link', ?) > 0", filter.link.map(Value::from)),
        ("created_at >= ?", filter.from.map(|from| Value::from(from.millis()))),
        ("created_at < ?", filter.to.map(|to| Value::from(to.millis()))),
        ("id < ?", filter.below.map(|id| Value::from(id.get()))),
    ];
    let given = parts.into_iter().filter_map(|(condition, value)| value.map(|value| (condition, value)));
    let (mut conditions, values): (Vec<_>, Vec<_>) = given.unzip();
    conditions.push("1");
    (conditions, values)
}

/// One order's whole history.
pub(super) fn story(conn: &Connection, id: OrderId) -> StoreResult<Option<OrderStory>> {
    let Some(order) = order(conn, id)? else { return Ok(None) };
    let client =
        conn.prepare_cached("SELECT name FROM clients WHERE id = ?1")?.query_one([order.client.0], |row| row.get(0))?;
    let (attempts, history, ledger) = (attempts(conn, id)?, history(conn, id)?, entries(conn, id)?);
    let refills = refills::of_order(conn, id)?;
    Ok(Some(OrderStory { client, order, attempts, history, refills, ledger }))
}

fn attempts(conn: &Connection, id: OrderId) -> StoreResult<Vec<AttemptRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT number, provider, upstream_service, started_at, finished_at, outcome, detail FROM attempts \
         WHERE order_id = ?1 ORDER BY number",
    )?;
    collect(&mut statement, [id.get()], |row| {
        let mut columns = Columns::of(row);
        Ok(AttemptRecord {
            number: columns.take()?,
            route: route(columns.take()?, columns.take()?),
            started_at: columns.time()?,
            finished_at: columns.maybe_time()?,
            outcome: columns.take()?,
            detail: columns.take()?,
        })
    })
}

fn history(conn: &Connection, id: OrderId) -> StoreResult<Vec<HistoryRecord>> {
    let mut statement =
        conn.prepare_cached("SELECT at, text, alert FROM history WHERE order_id = ?1 ORDER BY version, line")?;
    collect(&mut statement, [id.get()], |row| {
        let mut columns = Columns::of(row);
        Ok(HistoryRecord { at: columns.time()?, text: columns.take()?, alert: columns.take()? })
    })
}

fn entries(conn: &Connection, id: OrderId) -> StoreResult<Vec<LedgerRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT at, kind, amount, balance, order_id, reference, note FROM ledger WHERE order_id = ?1 ORDER BY id",
    )?;
    collect(&mut statement, [id.get()], read_entry)
}

/// See [`crate::store::Store::alerts`].
pub(super) fn alerts(conn: &Connection, limit: usize) -> StoreResult<Vec<AlertRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT order_id, at, text FROM history INDEXED BY history_alerts WHERE alert = 1 \
         ORDER BY at DESC, order_id DESC, version DESC, line DESC LIMIT ?1",
    )?;
    collect(&mut statement, [i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        let mut columns = Columns::of(row);
        Ok(AlertRecord { order: order_id(columns.take()?)?, at: columns.time()?, text: columns.take()? })
    })
}

/// How many orders are in each state but closed, by provider where they have one. The closed ones may be millions,
/// and to count them is to read an index whole.
pub(super) fn count(conn: &Connection) -> StoreResult<Vec<(&'static str, Option<ProviderId>, u64)>> {
    const STATES: [&str; 4] = ["queued", "sending", "placed", "uncertain"];
    let mut statement = conn.prepare_cached(
        "SELECT state, provider, count(*) FROM orders WHERE state IN ('queued', 'sending', 'placed', 'uncertain') \
         GROUP BY state, provider",
    )?;
    collect(&mut statement, [], |row| {
        let mut columns = Columns::of(row);
        let word: String = columns.take()?;
        let state = STATES.into_iter().find(|state| *state == word);
        let state = state.ok_or_else(|| StoreError::Corrupt(format!("an order in state {word:?}")))?;
        Ok((state, columns.take::<Option<String>>()?.map(ProviderId::new), columns.count()?))
    })
}
