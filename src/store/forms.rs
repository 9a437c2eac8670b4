//! How orders and their parts are written in columns, whichever the engine.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{StoreError, StoreResult};
use crate::domain::ids::{OrderId, ProviderId, Route, UpstreamOrderId, UpstreamServiceId};
use crate::domain::order::{Binding, State, Tried, TriedEnd};
use crate::domain::time::Timestamp;

/// Which orders may have cost something that nobody has told: all but what ended and is not known to have been placed.
/// What is refunded without an answer to its attempt may have been.
pub(crate) const UNKNOWN_COST: &str = "cost IS NULL AND NOT (state = 'closed' AND provider IS NULL \
    AND NOT EXISTS (SELECT 1 FROM lost_attempts WHERE lost_attempts.order_id = orders.id) \
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.order_id = orders.id AND outcome IN ('ambiguous', 'accepted')))";

/// A decimal from its text.
pub(crate) fn read_decimal(text: &str) -> StoreResult<Decimal> {
    Decimal::from_str_exact(text).map_err(|_| StoreError::Corrupt(format!("{text:?} where a decimal number belongs")))
}

/// JSON of something that always has a JSON form.
pub(crate) fn write_json<T: Serialize + ?Sized>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Engine(error.to_string()))
}

/// A count as a column can hold it; what no counter ever reaches is cut off there.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
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

/// The stored form of `Order::tried`.
pub(crate) fn write_tried(tried: &[Tried]) -> StoreResult<String> {
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

/// `Order::tried` from its stored form.
pub(crate) fn read_tried(text: &str) -> Option<Vec<Tried>> {
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
pub(crate) fn route(provider: String, service: String) -> Route {
    Route { provider: ProviderId::new(provider), service: UpstreamServiceId::new(service) }
}

/// An order's ID from its column.
pub(crate) fn order_id(id: i64) -> StoreResult<OrderId> {
    OrderId::new(id).map_err(|error| StoreError::Corrupt(format!("order ID {id}: {error}")))
}

/// The four columns that a state is spread over.
pub(crate) struct StateColumns<'a> {
    /// Of the attempt under way or in doubt, or of the binding.
    pub(crate) route: Option<&'a Route>,
    /// Of the binding.
    pub(crate) upstream_order: Option<&'a UpstreamOrderId>,
    /// Of a closed order.
    pub(crate) closed_at: Option<Timestamp>,
}

/// Spreads a state over its columns.
pub(crate) fn state_columns(state: &State) -> StateColumns<'_> {
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

/// A state from its columns; `None` for what can't be.
pub(crate) fn read_state(
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
