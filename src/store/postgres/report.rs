//! What was sold and what it brought in, added up by SQL on one snapshot.

use super::rows::Columns;
use super::session::Session;
use super::values::params;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::forms::UNKNOWN_COST;
use crate::store::records::{ReportBy, ReportFilter, ReportRow};

/// The name of an order's client.
const CLIENT: &str = "(SELECT name FROM clients WHERE clients.id = orders.client)";
const CLIENT_PLACE: &str = "(SELECT name FROM clients WHERE clients.id = orders.client) COLLATE \"C\"";

/// See [`crate::store::Store::report`].
pub(super) async fn report(db: &Session, filter: ReportFilter) -> StoreResult<Vec<ReportRow>> {
    let (key, place) = match filter.by {
        None => ("NULL::text", "1"),
        Some(ReportBy::Provider) => ("provider", "provider COLLATE \"C\""),
        Some(ReportBy::Service) => ("service::text", "service"),
        Some(ReportBy::Client) => (CLIENT, CLIENT_PLACE),
        Some(ReportBy::Day) => {
            ("to_char(to_timestamp(created_at / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')", "created_at / 86400000")
        }
    };
    let sql = format!(
        "SELECT key, count(*), sum(charge)::bigint, sum(refunded)::bigint, coalesce(sum(cost), 0)::bigint, \
         count(*) FILTER (WHERE unknown), coalesce(sum(charge) FILTER (WHERE unknown), 0)::bigint \
         FROM (SELECT {key} AS key, {place} AS place, charge, refunded, cost, {UNKNOWN_COST} AS unknown FROM orders \
         WHERE created_at >= $1 AND created_at < $2) AS sold GROUP BY key, place ORDER BY place NULLS FIRST"
    );
    let from = filter.from.map_or(i64::MIN, Timestamp::millis);
    let to = filter.to.map_or(i64::MAX, Timestamp::millis);
    db.collect(&sql, params![from, to], |row| {
        let mut columns = Columns::of(row);
        Ok(ReportRow {
            key: columns.take()?,
            orders: columns.count()?,
            charged: columns.money()?,
            refunded: columns.money()?,
            cost: columns.money()?,
            unknown_cost: columns.count()?,
            possible_cost: columns.money()?,
        })
    })
    .await
}
