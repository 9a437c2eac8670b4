//! `tollgate report`: what was sold, what it cost, and what is left of it.

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::output::{or_dash, table};
use super::services::shown_margin;
use super::{Call, ExitStatus, values};
use crate::app::documents::time;
use crate::domain::money::Money;
use crate::domain::pricing;
use crate::domain::time::Timestamp;
use crate::serve;
use crate::store::records::{ReportBy, ReportFilter, ReportRow};
use crate::store::sqlite::OpenMode;

#[derive(Debug, Args)]
pub(super) struct ReportOptions {
    /// Orders accepted at this time or later: RFC 3339, or a day (UTC).
    #[arg(long, value_name = "D", value_parser = values::time)]
    from: Option<Timestamp>,
    /// Orders accepted before this time: RFC 3339, or a day (UTC), which is not in it any more.
    #[arg(long, value_name = "D", value_parser = values::time)]
    to: Option<Timestamp>,
    /// A line for each of these.
    #[arg(long)]
    by: Option<By>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Provider,
    Service,
    Client,
    Day,
}

impl From<By> for ReportBy {
    fn from(by: By) -> Self {
        match by {
            By::Provider => Self::Provider,
            By::Service => Self::Service,
            By::Client => Self::Client,
            By::Day => Self::Day,
        }
    }
}

#[derive(Debug, Serialize)]
struct ReportDocument {
    from: Option<String>,
    to: Option<String>,
    by: Option<By>,
    currency: String,
    /// One for each group; none where the report is not divided.
    rows: Vec<SumsDocument>,
    total: SumsDocument,
}

/// The sums over some orders. See docs/operations.md, "The report".
#[derive(Debug, Serialize)]
struct SumsDocument {
    /// `null` in the total, and for orders that no provider has.
    group: Option<String>,
    orders: u64,
    charged: String,
    refunded: String,
    revenue: String,
    cost: String,
    unknown_cost: u64,
    possible_cost: String,
    margin: String,
    /// `null` where nothing is known to have been paid.
    margin_percent: Option<String>,
}

impl SumsDocument {
    fn new(row: ReportRow) -> Option<Self> {
        let revenue = row.charged.checked_sub(row.refunded)?;
        let margin = revenue.checked_sub(row.cost)?;
        let percent = pricing::margin(revenue.to_decimal(), row.cost.to_decimal()).ok().flatten();
        Some(Self {
            group: row.key,
            orders: row.orders,
            charged: row.charged.to_string(),
            refunded: row.refunded.to_string(),
            revenue: revenue.to_string(),
            cost: row.cost.to_string(),
            unknown_cost: row.unknown_cost,
            possible_cost: row.possible_cost.to_string(),
            margin: margin.to_string(),
            margin_percent: percent.map(shown_margin),
        })
    }
}

pub(super) async fn report(call: &Call, options: ReportOptions) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let store = serve::open_store(&settings, OpenMode::Tool).await?;
    let filter = ReportFilter { from: options.from, to: options.to, by: options.by.map(ReportBy::from) };
    let document = document(&options, settings.pricing.currency, store.report(filter).await?)
        .context("the sums are larger than any amount can be: report on a shorter time")?;
    call.output.print(&document, || sums_table(&document))?;
    Ok(ExitStatus::Done)
}

/// `None` where a sum has no room.
fn document(options: &ReportOptions, currency: String, rows: Vec<ReportRow>) -> Option<ReportDocument> {
    let total = rows.iter().try_fold(ReportRow::default(), |total, row| add(&total, row))?;
    let rows = if options.by.is_some() { rows } else { Vec::new() };
    Some(ReportDocument {
        from: options.from.map(time),
        to: options.to.map(time),
        by: options.by,
        currency,
        rows: rows.into_iter().map(SumsDocument::new).collect::<Option<_>>()?,
        total: SumsDocument::new(total)?,
    })
}

fn add(total: &ReportRow, row: &ReportRow) -> Option<ReportRow> {
    let sum = |a: Money, b: Money| a.checked_add(b);
    Some(ReportRow {
        key: None,
        orders: total.orders.checked_add(row.orders)?,
        charged: sum(total.charged, row.charged)?,
        refunded: sum(total.refunded, row.refunded)?,
        cost: sum(total.cost, row.cost)?,
        unknown_cost: total.unknown_cost.checked_add(row.unknown_cost)?,
        possible_cost: sum(total.possible_cost, row.possible_cost)?,
    })
}

fn sums_table(document: &ReportDocument) -> String {
    let line = |sums: &SumsDocument, name: String| {
        [
            name,
            sums.orders.to_string(),
            sums.charged.clone(),
            sums.refunded.clone(),
            sums.revenue.clone(),
            sums.cost.clone(),
            sums.margin.clone(),
            or_dash(sums.margin_percent.as_ref()),
            sums.unknown_cost.to_string(),
            sums.possible_cost.clone(),
        ]
    };
    let rows = document.rows.iter().map(|sums| line(sums, or_dash(sums.group.as_ref())));
    let total = line(&document.total, "total".to_owned());
    let header =
        ["", "ORDERS", "CHARGED", "REFUNDED", "REVENUE", "COST", "MARGIN", "MARGIN %", "COST UNKNOWN", "AT MOST"];
    table(header, rows.chain([total]))
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    fn row(key: Option<&str>, orders: u64, charged: &str, refunded: &str, cost: &str) -> ReportRow {
        ReportRow {
            key: key.map(str::to_owned),
            orders,
            charged: charged.parse().unwrap(),
            refunded: refunded.parse().unwrap(),
            cost: cost.parse().unwrap(),
            unknown_cost: 1,
            possible_cost: charged.parse().unwrap(),
        }
    }

    fn shown(by: Option<By>, rows: Vec<ReportRow>) -> serde_json::Value {
        let options = ReportOptions { from: Some(Timestamp::from_millis(0)), to: None, by };
        to_value(document(&options, "USD".into(), rows).unwrap()).unwrap()
    }

    #[test]
    fn the_total_is_the_sum_of_the_groups() {
        let document = shown(
            Some(By::Provider),
            vec![row(None, 1, "1", "1", "0"), row(Some("alpha"), 2, "3.00000001", "0.5", "2.0")],
        );
        assert_eq!(
            document,
            json!({
                "from": "1970-01-01T00:00:00Z", "to": null, "by": "provider", "currency": "USD",
                "rows": [
                    {"group": null, "orders": 1, "charged": "1", "refunded": "1", "revenue": "0", "cost": "0",
                     "unknown_cost": 1, "possible_cost": "1", "margin": "0", "margin_percent": null},
                    {"group": "alpha", "orders": 2, "charged": "3.00000001", "refunded": "0.5",
                     "revenue": "2.50000001", "cost": "2", "unknown_cost": 1, "possible_cost": "3.00000001", "margin": "0.50000001",
                     "margin_percent": "25"},
                ],
                "total": {"group": null, "orders": 3, "charged": "4.00000001", "refunded": "1.5",
                          "revenue": "2.50000001", "cost": "2", "unknown_cost": 2, "possible_cost": "4.00000001", "margin": "0.50000001",
                          "margin_percent": "25"},
            })
        );
    }

    #[test]
    fn a_loss_is_below_zero_and_no_order_is_no_failure() {
        let loss = shown(None, vec![row(None, 1, "1", "0.5", "0.8")]);
        assert_eq!((&loss["rows"], &loss["total"]["margin"]), (&json!([]), &json!("-0.3")));
        assert_eq!(loss["total"]["margin_percent"], "-37.5");
        let none = shown(Some(By::Day), vec![]);
        assert_eq!((&none["total"]["orders"], &none["total"]["margin_percent"]), (&json!(0), &json!(null)));
    }
}
