//! Orders as they are looked up: by ID, by token, for their client, and for the operator.

use super::movements::read_entry;
use super::refills;
use super::rows::{Columns, columns, id_list, limit_of, order_id, read_order, route};
use super::session::Session;
use super::values::{Value, params};
use crate::domain::ids::{ClientId, OrderId, OrderToken, ProviderId};
use crate::domain::order::Order;
use crate::store::records::{AlertRecord, AttemptRecord, HistoryRecord, LedgerRecord, OrderFilter, OrderStory};
use crate::store::{StoreError, StoreResult};

/// One order.
pub(super) async fn order(db: &Session, id: OrderId) -> StoreResult<Option<Order>> {
    let sql = concat!("SELECT ", columns!(), " FROM orders WHERE id = $1");
    db.first(sql, params![id.get()], read_order).await
}

/// The order with this token.
pub(super) async fn by_token(db: &Session, token: OrderToken) -> StoreResult<Option<Order>> {
    let sql = concat!("SELECT ", columns!(), " FROM orders WHERE token = $1");
    db.first(sql, params![token.0.as_slice()], read_order).await
}

/// Those of `ids` that are this client's. One is looked up after the other, so that it is by the index of hashes.
pub(super) async fn of_client(db: &Session, client: ClientId, ids: &[OrderId]) -> StoreResult<Vec<Order>> {
    let sql = concat!(
        "SELECT found.* FROM unnest($2::bigint[]) AS asked (asked_id), LATERAL (SELECT ",
        columns!(),
        " FROM orders WHERE id = asked_id AND client = $1 LIMIT 1) AS found"
    );
    let mut asked = id_list(ids, |id| id.get().into());
    asked.sort_unstable();
    asked.dedup();
    db.collect(sql, params![client.0, asked], read_order).await
}

/// Orders for the operator, newest first, each with its client's name.
pub(super) async fn list(db: &Session, filter: OrderFilter) -> StoreResult<Vec<(String, Order)>> {
    // IDs and times rise together; each order of them has its own index.
    let newest = if filter.from.or(filter.to).is_some() { "created_at DESC, id DESC" } else { "id DESC" };
    let limit = limit_of(filter.limit);
    let (conditions, mut values) = conditions(filter);
    values.push(limit.into());
    let limit_place = values.len();
    let sql = format!(
        "SELECT {}, (SELECT name FROM clients WHERE clients.id = orders.client) AS client_name FROM orders WHERE {} \
         ORDER BY {newest} LIMIT ${}",
        columns!(),
        conditions.join(" AND "),
        limit_place
    );
    db.collect(&sql, values, |row| Ok((row.try_get("client_name")?, read_order(row)?))).await
}

/// A condition for each part of the filter, and its value.
fn conditions(filter: OrderFilter) -> (Vec<String>, Vec<Value>) {
    let parts: [(&str, Option<Value>); 8] = [
        ("state = ", filter.state.map(Value::from)),
        ("client = (SELECT id FROM clients WHERE name = ?)", filter.client.map(Value::from)),
        ("provider = ", filter.provider.map(|provider| Value::from(provider.as_str()))),
        ("service = ", filter.service.map(|service| Value::from(service.get()))),
        // A U+0000 in JSON is what PostgreSQL takes for no text.
        (
            "position(? IN CASE WHEN position('\\u0000' IN params) = 0 THEN params::json ->> 'link' ELSE params END) > 0",
            filter.link.map(Value::from),
        ),
        ("created_at >= ", filter.from.map(|from| Value::from(from.millis()))),
        ("created_at < ", filter.to.map(|to| Value::from(to.millis()))),
        ("id < ", filter.below.map(|id| Value::from(id.get()))),
    ];
    let mut conditions = vec!["true".to_owned()];
    let mut values = Vec::new();
    for (condition, value) in parts {
        let Some(value) = value else { continue };
        values.push(value);
        let place = format!("${}", values.len());
        conditions.push(if condition.contains('?') {
            condition.replace('?', &place)
        } else {
            format!("{condition}{place}")
        });
    }
    (conditions, values)
}

/// One order's whole history.
pub(super) async fn story(db: &Session, id: OrderId) -> StoreResult<Option<OrderStory>> {
    let Some(order) = order(db, id).await? else { return Ok(None) };
    let name = "SELECT name FROM clients WHERE id = $1";
    let client = db.first(name, params![order.client.0], |row| Ok(row.try_get(0)?)).await?;
    let client = client.ok_or_else(|| StoreError::Corrupt(format!("the client of order {id} is not there")))?;
    let (attempts, history, ledger) = (attempts(db, id).await?, history(db, id).await?, entries(db, id).await?);
    let refills = refills::of_order(db, id).await?;
    Ok(Some(OrderStory { client, order, attempts, history, refills, ledger }))
}

async fn attempts(db: &Session, id: OrderId) -> StoreResult<Vec<AttemptRecord>> {
    let sql = "SELECT number, provider, upstream_service, started_at, finished_at, outcome, detail FROM attempts \
               WHERE order_id = $1 ORDER BY number";
    db.collect(sql, params![id.get()], |row| {
        let mut columns = Columns::of(row);
        Ok(AttemptRecord {
            number: columns.small()?,
            route: route(columns.take()?, columns.take()?),
            started_at: columns.time()?,
            finished_at: columns.maybe_time()?,
            outcome: columns.take()?,
            detail: columns.take()?,
        })
    })
    .await
}

async fn history(db: &Session, id: OrderId) -> StoreResult<Vec<HistoryRecord>> {
    let sql = "SELECT at, text, alert FROM history WHERE order_id = $1 ORDER BY version, line";
    db.collect(sql, params![id.get()], |row| {
        let mut columns = Columns::of(row);
        Ok(HistoryRecord { at: columns.time()?, text: columns.take()?, alert: columns.take()? })
    })
    .await
}

async fn entries(db: &Session, id: OrderId) -> StoreResult<Vec<LedgerRecord>> {
    let sql = "SELECT at, kind, amount, balance, order_id, reference, note FROM ledger WHERE order_id = $1 ORDER BY id";
    db.collect(sql, params![id.get()], read_entry).await
}

/// See [`crate::store::Store::alerts`].
pub(super) async fn alerts(db: &Session, limit: usize) -> StoreResult<Vec<AlertRecord>> {
    let sql = "SELECT order_id, at, text FROM history WHERE alert \
               ORDER BY at DESC, order_id DESC, version DESC, line DESC LIMIT $1";
    db.collect(sql, params![limit_of(limit)], |row| {
        let mut columns = Columns::of(row);
        Ok(AlertRecord { order: order_id(columns.take()?)?, at: columns.time()?, text: columns.take()? })
    })
    .await
}

/// How many orders are in each state but closed, by provider where they have one. The closed ones may be millions,
/// and to count them is to read an index whole.
pub(super) async fn count(db: &Session) -> StoreResult<Vec<(&'static str, Option<ProviderId>, u64)>> {
    const STATES: [&str; 4] = ["queued", "sending", "placed", "uncertain"];
    let sql = "SELECT state, provider, count(*) FROM orders \
               WHERE state IN ('queued', 'sending', 'placed', 'uncertain') GROUP BY state, provider \
               ORDER BY state COLLATE \"C\", provider COLLATE \"C\" NULLS FIRST";
    db.collect(sql, params![], |row| {
        let mut columns = Columns::of(row);
        let word: String = columns.take()?;
        let state = STATES.into_iter().find(|state| *state == word);
        let state = state.ok_or_else(|| StoreError::Corrupt(format!("an order in state {word:?}")))?;
        Ok((state, columns.take::<Option<String>>()?.map(ProviderId::new), columns.count()?))
    })
    .await
}
