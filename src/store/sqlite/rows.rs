//! Orders as rows. Columns are read in the order of [`COLUMNS`], each straight into its own type.

use rusqlite::types::FromSql;
use rusqlite::{Params, Row, Statement};
use rust_decimal::Decimal;

use crate::domain::ids::{AttemptNumber, ClientId, OrderId, OrderToken, ServiceId};
use crate::domain::money::Money;
use crate::domain::order::{CancelWish, Order, Progress, Silence};
use crate::domain::service_type::ServiceType;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
pub(super) use crate::store::forms::{count, order_id, read_decimal, route, state_columns, write_json, write_tried};
use crate::store::forms::{read_state, read_tried};
use crate::store::{StoreError, StoreResult};

/// Every column of an order.
macro_rules! columns {
    () => {
        "id, version, token, client, service, kind, params, charge, refunded, cost, created_at, queued_at, \
         updated_at, state, provider, upstream_service, upstream_order, closed_at, status, word, start_count, remains, first_charge, \
         upstream_charge, polled_at, changed_at, silent_since, silence_told, attempts, tried, round, cancel, refusal, \
         due_at"
    };
}
pub(super) use columns;

/// Reads a row's columns one after the other.
pub(super) struct Columns<'a, 'statement> {
    row: &'a Row<'statement>,
    next: usize,
}

impl<'a, 'statement> Columns<'a, 'statement> {
    /// From the first column on.
    pub(super) fn of(row: &'a Row<'statement>) -> Self {
        Self { row, next: 0 }
    }

    /// The next column.
    pub(super) fn take<T: FromSql>(&mut self) -> StoreResult<T> {
        let value = self.row.get(self.next)?;
        self.next = self.next.saturating_add(1);
        Ok(value)
    }

    /// The next column, a count or none.
    pub(super) fn maybe_count(&mut self) -> StoreResult<Option<u64>> {
        let count: Option<i64> = self.take()?;
        count
            .map(|count| u64::try_from(count).map_err(|_| StoreError::Corrupt(format!("{count} of something"))))
            .transpose()
    }

    /// The next column, a count.
    pub(super) fn count(&mut self) -> StoreResult<u64> {
        self.maybe_count()?.ok_or_else(|| StoreError::Corrupt("no count where one belongs".into()))
    }

    /// The next column, a time.
    pub(super) fn time(&mut self) -> StoreResult<Timestamp> {
        self.take().map(Timestamp::from_millis)
    }

    /// The next column, a time or none.
    pub(super) fn maybe_time(&mut self) -> StoreResult<Option<Timestamp>> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    /// The next column, an amount.
    pub(super) fn money(&mut self) -> StoreResult<Money> {
        self.take().map(Money::from_units)
    }

    /// The next column, an amount or none.
    pub(super) fn maybe_money(&mut self) -> StoreResult<Option<Money>> {
        Ok(self.take::<Option<i64>>()?.map(Money::from_units))
    }

    /// The next column, a decimal's text or none.
    pub(super) fn maybe_decimal(&mut self) -> StoreResult<Option<Decimal>> {
        let text: Option<String> = self.take()?;
        text.map(|text| read_decimal(&text)).transpose()
    }
}

/// Every row of a query, each through `read`.
pub(super) fn collect<T>(
    statement: &mut Statement<'_>,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row of a query, where it has one.
pub(super) fn first<T>(
    statement: &mut Statement<'_>,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> StoreResult<T>,
) -> StoreResult<Option<T>> {
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// What a statement that takes one row at a time gives of each of `ids` that it is still for.
pub(super) fn of_each<I: Copy, P: Params, T>(
    statement: &mut Statement<'_>,
    ids: &[I],
    params: impl Fn(I) -> P,
    read: impl Fn(&Row<'_>) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(first(statement, params(*id), &read)?);
    }
    Ok(found)
}

/// An order from a row of [`columns`].
pub(super) fn read_order(row: &Row<'_>) -> StoreResult<Order> {
    let id = order_id(row.get(0)?)?;
    read_columns(id, row).map_err(|error| match error {
        StoreError::Corrupt(what) => StoreError::Corrupt(format!("order {id}: {what}")),
        error => error,
    })
}

fn read_columns(id: OrderId, row: &Row<'_>) -> StoreResult<Order> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("its {what} can't be read"));
    let mut columns = Columns { row, next: 1 };
    let version = columns.count()?;
    let token = OrderToken(columns.take()?);
    let client = ClientId(columns.take()?);
    let service = ServiceId::new(columns.take()?).map_err(|_| corrupt("service"))?;
    let kind = ServiceType::parse(&columns.take::<String>()?).ok_or_else(|| corrupt("type"))?;
    let params = serde_json::from_str(&columns.take::<String>()?).map_err(|_| corrupt("parameters"))?;
    let (charge, refunded, cost) = (columns.money()?, columns.money()?, columns.maybe_money()?);
    let (created_at, queued_at, updated_at) = (columns.time()?, columns.time()?, columns.time()?);
    let word: String = columns.take()?;
    let route = match (columns.take()?, columns.take()?) {
        (Some(provider), Some(service)) => Some(route(provider, service)),
        (None, None) => None,
        _ => return Err(corrupt("route")),
    };
    let state = read_state(&word, route, columns.take()?, columns.maybe_time()?).ok_or_else(|| corrupt("state"))?;
    let status = Status::from_canonical(&columns.take::<String>()?).ok_or_else(|| corrupt("status"))?;
    let progress = Progress {
        word: columns.take()?,
        start_count: columns.maybe_count()?,
        remains: columns.maybe_count()?,
        first_charge: columns.maybe_decimal()?,
        upstream_charge: columns.maybe_decimal()?,
        polled_at: columns.maybe_time()?,
        changed_at: columns.maybe_time()?,
        silence: match (columns.maybe_time()?, columns.take()?) {
            (Some(since), Some(told)) => Some(Silence { since, told }),
            _ => None,
        },
    };
    Ok(Order {
        id,
        version,
        token,
        client,
        service,
        kind,
        params,
        charge,
        refunded,
        cost,
        created_at,
        queued_at,
        updated_at,
        state,
        status,
        progress,
        attempts: AttemptNumber(columns.take()?),
        tried: read_tried(&columns.take::<String>()?).ok_or_else(|| corrupt("tried routes"))?,
        round: columns.take()?,
        cancel: CancelWish::parse(&columns.take::<String>()?).ok_or_else(|| corrupt("wish to be canceled"))?,
        refusal: columns.take()?,
        due_at: columns.maybe_time()?,
    })
}
