//! `tollgate orders`: what was ordered, what became of it, and settling what nobody knows.

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::client::entry_table;
use super::order_refills::refill_table;
use super::output::{fields, or_dash, table};
use super::{Call, ExitStatus, resolve, values};
use crate::app::documents::{OrderDocument, StoryDocument};
use crate::domain::ids::{OrderId, ProviderId, ServiceId};
use crate::domain::time::Timestamp;
use crate::store::records::OrderFilter;

#[derive(Debug, Subcommand)]
pub(super) enum OrdersVerb {
    /// Orders, newest first.
    List(ListOptions),
    /// One order's whole history.
    Show {
        /// The order.
        id: OrderId,
    },
    /// Settle an order whose placement is uncertain, or many of them.
    Resolve(resolve::ResolveOptions),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    /// In this state.
    #[arg(long, value_parser = PossibleValuesParser::new(["queued", "sending", "placed", "uncertain", "closed"]))]
    state: Option<String>,
    /// Of this client.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Placed at this provider, or being sent there.
    #[arg(long)]
    provider: Option<String>,
    /// Of this service of ours.
    #[arg(long, value_name = "ID")]
    service: Option<ServiceId>,
    /// With this text in the link.
    #[arg(long, value_name = "TEXT")]
    link: Option<String>,
    /// Accepted at this time or later: RFC 3339, or a day (UTC).
    #[arg(long, value_name = "T", value_parser = values::time)]
    from: Option<Timestamp>,
    /// Accepted before this time: RFC 3339, or a day (UTC).
    #[arg(long, value_name = "T", value_parser = values::time)]
    to: Option<Timestamp>,
    /// At most N of them.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) async fn run(call: &Call, verb: OrdersVerb) -> anyhow::Result<ExitStatus> {
    match verb {
        OrdersVerb::List(options) => list(call, options).await?,
        OrdersVerb::Show { id } => show(call, id).await?,
        OrdersVerb::Resolve(options) => return resolve::resolve(call, options).await,
    }
    Ok(ExitStatus::Done)
}

// === Verbs ===

async fn list(call: &Call, options: ListOptions) -> anyhow::Result<()> {
    let store = call.store().await?;
    if let Some(client) = &options.client {
        // A name that is misspelt shall not look like a client without orders.
        store.account(client).await?;
    }
    let filter = OrderFilter {
        state: options.state,
        client: options.client,
        provider: options.provider.map(ProviderId::new),
        service: options.service,
        link: options.link,
        from: options.from,
        to: options.to,
        below: None,
        limit: usize::try_from(options.limit)?,
    };
    let orders = store.list_orders(filter).await?;
    let documents: Vec<OrderDocument> =
        orders.into_iter().map(|(client, order)| OrderDocument::new(client, &order)).collect();
    Ok(call.output.print(&documents, || order_table(&documents))?)
}

fn order_table(documents: &[OrderDocument]) -> String {
    let rows = documents.iter().map(|document| {
        [
            document.order.to_string(),
            document.client.clone(),
            document.service.to_string(),
            document.state.to_owned(),
            document.status.to_owned(),
            or_dash(document.provider.as_ref()),
            or_dash(document.upstream_order.as_ref()),
            document.quantity.to_string(),
            document.remains.to_string(),
            document.charge.clone(),
            document.refunded.clone(),
            or_dash(document.cost.as_ref()),
            document.created_at.clone(),
            document.link.clone(),
        ]
    });
    table(
        [
            "ORDER", "CLIENT", "SERVICE", "STATE", "STATUS", "PROVIDER", "UPSTREAM", "QUANTITY", "REMAINS", "CHARGE",
            "REFUNDED", "COST", "CREATED", "LINK",
        ],
        rows,
    )
}

async fn show(call: &Call, id: OrderId) -> anyhow::Result<()> {
    let story = call.store().await?.order_story(id).await?.with_context(|| format!("there is no order {id}"))?;
    let document = StoryDocument::from(story);
    Ok(call.output.print(&document, || describe(&document))?)
}

fn describe(story: &StoryDocument) -> String {
    let order = &story.order;
    let order = fields([
        ("order", order.order.to_string()),
        ("client", order.client.clone()),
        ("service", order.service.to_string()),
        ("state", order.state.to_owned()),
        ("status", order.status.to_owned()),
        ("provider", or_dash(order.provider.as_ref())),
        ("upstream order", or_dash(order.upstream_order.as_ref())),
        ("link", order.link.clone()),
        ("quantity", order.quantity.to_string()),
        ("start count", or_dash(order.start_count)),
        ("remains", order.remains.to_string()),
        ("charge", order.charge.clone()),
        ("refunded", order.refunded.clone()),
        ("cost", or_dash(order.cost.as_ref())),
        ("created", order.created_at.clone()),
        ("updated", order.updated_at.clone()),
    ]);
    let attempts = story.attempts.iter().map(|attempt| {
        [
            attempt.attempt.to_string(),
            format!("{}:{}", attempt.provider, attempt.upstream_service),
            attempt.started_at.clone(),
            or_dash(attempt.finished_at.as_ref()),
            or_dash(attempt.outcome.as_ref()),
            or_dash(attempt.detail.as_ref()),
        ]
    });
    let attempts = table(["ATTEMPT", "ROUTE", "STARTED", "FINISHED", "OUTCOME", "DETAIL"], attempts);
    let history = story
        .history
        .iter()
        .map(|line| [line.at.clone(), if line.alert { "alert" } else { "" }.to_owned(), line.text.clone()]);
    let history = table(["AT", "", "WHAT HAPPENED"], history);
    let refills = refill_table(&story.refills);
    [Some(order), Some(attempts), Some(history), refills, Some(entry_table(&story.ledger))]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_link_steers_the_terminal() {
        let document = OrderDocument {
            order: 23,
            client: "shop".into(),
            service: 5,
            state: "placed",
            status: "Pending",
            provider: None,
            upstream_order: Some("a9".into()),
            link: "https://example.org/p/1\u{1b}[2J".into(),
            quantity: 1000,
            charge: "1.2".into(),
            refunded: "0".into(),
            cost: None,
            start_count: None,
            remains: 1000,
            created_at: "1970-01-01T00:00:00Z".into(),
            updated_at: "1970-01-01T00:00:00Z".into(),
        };
        let text = order_table(&[document]);
        assert!(text.contains("a9") && !text.contains('\u{1b}'), "{text:?}");
    }
}
