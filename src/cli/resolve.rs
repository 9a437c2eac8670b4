//! `tollgate orders resolve`: settling what nobody knows, one order or all of a provider's old ones.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::output::printable;
use super::{Call, ExitStatus, ask, now, values};
use crate::app::requests::{Confirmed, How, Reply, Request, Uncertain};
use crate::domain::ids::{OrderId, ProviderId};
use crate::store::records::OrderFilter;

/// Why a reply is no answer to what was asked.
const ANOTHER_VERSION: &str = "the gateway answered something else: is it another version?";

#[derive(Debug, Args)]
pub(super) struct ResolveOptions {
    /// The order.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<OrderId>,
    #[command(flatten)]
    how: HowOptions,
    /// Every uncertain order of that provider which is old enough; only with --refund.
    #[arg(long, requires_all = ["provider", "older_than"], conflicts_with_all = ["placed", "not_placed"])]
    all: bool,
    /// With --all: sent to this provider.
    #[arg(long, value_name = "P", requires = "all")]
    provider: Option<String>,
    /// With --all: unchanged for this long, such as 7d.
    #[arg(long, value_name = "AGE", requires = "all", value_parser = values::age)]
    older_than: Option<Duration>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct HowOptions {
    /// It exists upstream under this ID, which is checked there first.
    #[arg(long, value_name = "UPSTREAM_ID", value_parser = values::name)]
    placed: Option<String>,
    /// It does not exist upstream: it goes back into the queue.
    #[arg(long)]
    not_placed: bool,
    /// Give the money back and leave it.
    #[arg(long)]
    refund: bool,
}

pub(super) async fn resolve(call: &Call, options: ResolveOptions) -> anyhow::Result<ExitStatus> {
    let how = match options.how {
        HowOptions { placed: Some(upstream_order), .. } => How::Placed(upstream_order),
        HowOptions { refund: true, .. } => How::Refund,
        HowOptions { .. } => How::NotPlaced,
    };
    match (options.id, options.provider, options.older_than) {
        (Some(id), ..) => one(call, id, how).await,
        (None, Some(provider), Some(age)) => refund_all(call, &provider, age).await,
        (None, ..) => bail!("name an order, or --all with --provider and --older-than"),
    }
}

#[derive(Serialize)]
struct ResolvedDocument {
    order: u32,
    state: String,
    /// With `--placed`: what the upstream said of the order that is bound now.
    upstream: Option<Confirmed>,
}

async fn one(call: &Call, id: OrderId, how: How) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let order = call.store().await?.order(id).await?;
    let attempt = order.with_context(|| format!("there is no order {id}"))?.attempts.0;
    match ask::ask(&settings, Request::Resolve { order: id.get(), attempt, how }).await? {
        Reply::Resolved(state) => settled(call, ResolvedDocument { order: id.get(), state, upstream: None }),
        Reply::Bound { state, upstream } => {
            settled(call, ResolvedDocument { order: id.get(), state, upstream: Some(upstream) })
        }
        Reply::Refused(why) => bail!(why),
        _ => bail!(ANOTHER_VERSION),
    }
}

fn settled(call: &Call, document: ResolvedDocument) -> anyhow::Result<ExitStatus> {
    call.output.print(&document, || {
        let said = format!("order {} is settled: {}", document.order, document.state);
        match &document.upstream {
            Some(upstream) => printable(&format!("{said} as {}", described(upstream))),
            None => said,
        }
    })?;
    Ok(ExitStatus::Done)
}

/// The upstream's order in one line, so that an operator who mistyped its ID sees it.
fn described(upstream: &Confirmed) -> String {
    let Confirmed { provider, upstream_order, status, charge, currency, start_count, remains } = upstream;
    let mut line = format!("{provider}'s order {upstream_order}, which is {status} there");
    if let Some(charge) = charge {
        line.push_str(&format!(", charge {charge}"));
        line.extend(currency.iter().map(|currency| format!(" {currency}")));
    }
    line.extend(start_count.map(|count| format!(", start count {count}")));
    line.extend(remains.map(|remains| format!(", remains {remains}")));
    line
}

/// What came of settling many.
#[derive(Serialize)]
struct ManyDocument {
    settled: usize,
    /// Those that are refunded now.
    orders: Vec<u32>,
    /// Those that were left as they are.
    refused: Vec<RefusedDocument>,
}

#[derive(Serialize)]
struct RefusedDocument {
    order: u32,
    reason: String,
}

async fn refund_all(call: &Call, provider: &str, age: Duration) -> anyhow::Result<ExitStatus> {
    let settings = call.settings()?;
    let filter = OrderFilter {
        state: Some("uncertain".to_owned()),
        provider: Some(ProviderId::new(provider)),
        limit: usize::MAX,
        ..OrderFilter::default()
    };
    let before = now().minus(age);
    let found = call.store().await?.list_orders(filter).await?;
    // One that has left the file can still have orders from before.
    if found.is_empty() && !settings.providers.iter().any(|known| known.id.as_str() == provider) {
        bail!("there is no provider {provider} in {}", settings.file.display());
    }
    let orders: Vec<Uncertain> = found
        .into_iter()
        .filter(|(_, order)| order.updated_at <= before)
        .map(|(_, order)| Uncertain { order: order.id.get(), attempt: order.attempts.0 })
        .collect();
    let (settled, refused) = if orders.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        match ask::ask(&settings, Request::RefundAll { orders }).await? {
            Reply::ResolvedMany { settled, refused } => (settled, refused),
            Reply::Refused(why) => bail!(why),
            _ => bail!(ANOTHER_VERSION),
        }
    };
    let refused = refused.into_iter().map(|(order, reason)| RefusedDocument { order, reason }).collect();
    let document = ManyDocument { settled: settled.len(), orders: settled, refused };
    call.output.print(&document, || describe(&document))?;
    Ok(if document.refused.is_empty() { ExitStatus::Done } else { ExitStatus::Failed })
}

fn describe(document: &ManyDocument) -> String {
    let mut lines = vec![format!("orders refunded and closed: {}", document.settled)];
    lines.extend(document.refused.iter().map(|refused| printable(&format!("not settled: {}", refused.reason))));
    lines.join("\n")
}
