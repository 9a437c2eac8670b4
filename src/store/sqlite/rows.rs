//! Orders as rows. Columns are read in the order of [`COLUMNS`], each straight into its own type.

use rusqlite::types::FromSql;
use rusqlite::{Params, Row, Statement};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{
    AttemptNumber, ClientId, OrderId, OrderToken, ProviderId, Route, ServiceId, UpstreamOrderId, UpstreamServiceId,
};
use crate::domain::money::Money;
use crate::domain::order::{Binding, CancelWish, Order, Progress, Silence, State, Tried, TriedEnd};
use crate::domain::service_type::ServiceType;
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
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

/// A decimal from its text.
pub(super) fn read_decimal(text: &str) -> StoreResult<Decimal> {
    Decimal::from_str_exact(text).map_err(|_| StoreError::Corrupt(format!("{text:?} where a decimal number belongs")))
}

/// JSON of something that always has a JSON form.
pub(super) fn write_json<T: Serialize + ?Sized>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Engine(error.to_string()))
}

/// A count as SQLite can hold it; what no counter ever reaches is cut off there.
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
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

/// A tried route as it is stored.
#[derive(Serialize, Deserialize)]
struct TriedRow {
    provider: String,
    service: String,
    round: u32,
    may_pass: bool,
    /// Not in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

/// The stored form of [`Order::tried`].
pub(super) fn write_tried(tried: &[Tried]) -> StoreResult<String> {
    let rows: Vec<TriedRow> = tried
        .iter()
        .map(|tried| TriedRow {
            provider: tried.route.provider.as_str().to_owned(),
            service: tried.route.service.as_str().to_owned(),
            round: tried.round,
            may_pass: tried.may_pass,
            end: tried.end.map(|end| end.as_str().to_owned()),
        })
        .collect();
    write_json(&rows)
}

fn read_tried(text: &str) -> Option<Vec<Tried>> {
    let rows: Vec<TriedRow> = serde_json::from_str(text).ok()?;
    let end = |word: &str| TriedEnd::ALL.into_iter().find(|end| end.as_str() == word);
    let tried = |row: TriedRow| Tried {
        route: route(row.provider, row.service),
        round: row.round,
        may_pass: row.may_pass,
        end: row.end.as_deref().and_then(end),
    };
    Some(rows.into_iter().map(tried).collect())
}

/// A route from its two columns.
pub(super) fn route(provider: String, service: String) -> Route {
    Route { provider: ProviderId::new(provider), service: UpstreamServiceId::new(service) }
}

/// An order's ID from its column.
pub(super) fn order_id(id: i64) -> StoreResult<OrderId> {
    OrderId::new(id).map_err(|error| StoreError::Corrupt(format!("order ID {id}: {error}")))
}

/// The four columns that a state is spread over.
pub(super) struct StateColumns<'a> {
    /// Of the attempt under way or in doubt, or of the binding.
    pub(super) route: Option<&'a Route>,
    /// Of the binding.
    pub(super) upstream_order: Option<&'a UpstreamOrderId>,
    /// Of a closed order.
    pub(super) closed_at: Option<Timestamp>,
}

/// Spreads a state over its columns.
pub(super) fn state_columns(state: &State) -> StateColumns<'_> {
    let (route, upstream_order, closed_at) = match state {
        State::Queued => (None, None, None),
        State::Sending { route } | State::Uncertain { route } => (Some(route), None, None),
        State::Placed(binding) => (Some(&binding.route), Some(&binding.id), None),
        State::Closed { binding, at } => {
            (binding.as_ref().map(|binding| &binding.route), binding.as_ref().map(|binding| &binding.id), Some(*at))
        }
    };
    StateColumns { route, upstream_order, closed_at }
}

fn read_state(
    word: &str,
    route: Option<Route>,
    upstream_order: Option<String>,
    closed_at: Option<Timestamp>,
) -> Option<State> {
    let id = upstream_order.map(UpstreamOrderId::new);
    Some(match (word, route, id, closed_at) {
        ("queued", None, None, None) => State::Queued,
        ("sending", Some(route), None, None) => State::Sending { route },
        ("uncertain", Some(route), None, None) => State::Uncertain { route },
        ("placed", Some(route), Some(id), None) => State::Placed(Binding { route, id }),
        ("closed", Some(route), Some(id), Some(at)) => State::Closed { binding: Some(Binding { route, id }), at },
        ("closed", None, None, Some(at)) => State::Closed { binding: None, at },
        _ => return None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tried_routes_come_back_as_they_were_and_those_of_earlier_versions_too() {
        let tried = |end| Tried { route: route("alpha".into(), "101".into()), round: 3, may_pass: true, end };
        let all: Vec<Tried> = TriedEnd::ALL.into_iter().map(Some).chain([None]).map(tried).collect();
        assert_eq!(read_tried(&write_tried(&all).unwrap()), Some(all));
        let earlier = r#"[{"provider":"alpha","service":"101","round":3,"may_pass":true}]"#;
        assert_eq!(read_tried(earlier), Some(vec![tried(None)]));
        assert_eq!(write_tried(&[tried(None)]).unwrap(), earlier);
    }
}
