//! What was sold and what it brought in, added up by SQL on one snapshot.

use rusqlite::{Connection, named_params};

use super::rows::{Columns, collect};
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::forms::UNKNOWN_COST;
use crate::store::records::{ReportBy, ReportFilter, ReportRow};

/// The name of an order's client.
const CLIENT: &str = "(SELECT name FROM clients WHERE clients.id = orders.client)";

/// See [`crate::store::Store::report`].
pub(super) fn report(conn: &Connection, filter: ReportFilter) -> StoreResult<Vec<ReportRow>> {
    let (key, order) = match filter.by {
        None => ("NULL", "1"),
        Some(ReportBy::Provider) => ("provider", "provider"),
        Some(ReportBy::Service) => ("CAST(service AS TEXT)", "service"),
        Some(ReportBy::Client) => (CLIENT, CLIENT),
        Some(ReportBy::Day) => ("date(created_at / 1000, 'unixepoch')", "created_at / 86400000"),
    };
    let sql = format!(
        "SELECT {key}, count(*), sum(charge), sum(refunded), coalesce(sum(cost), 0), \
         count(*) FILTER (WHERE {UNKNOWN_COST}), coalesce(sum(charge) FILTER (WHERE {UNKNOWN_COST}), 0) \
         FROM orders WHERE created_at >= :from AND created_at < :to GROUP BY {order} ORDER BY {order}"
    );
    let params = named_params! {
        ":from": filter.from.map_or(i64::MIN, Timestamp::millis),
        ":to": filter.to.map_or(i64::MAX, Timestamp::millis),
    };
    collect(&mut conn.prepare(&sql)?, params, |row| {
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
}
