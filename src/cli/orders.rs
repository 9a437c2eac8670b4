//! `tollgate orders`: what was ordered, what became of it, and settling what nobody knows.

use anyhow::{Context, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::client::{EntryDocument, entry_table};
use super::order_refills::{RefillDocument, refill_table};
use super::output::{fields, or_dash, table, time};
use super::{Call, ExitStatus, ask, values};
use crate::app::requests::{How, Reply, Request};
use crate::domain::ids::{OrderId, ProviderId, ServiceId};
use crate::domain::order::{Order, State};
use crate::domain::time::Timestamp;
use crate::store::records::{AttemptRecord, HistoryRecord, OrderFilter, OrderStory};

#[derive(Debug, Subcommand)]
pub(super) enum OrdersVerb {
    /// Orders, newest first.
    List(ListOptions),
    /// One order's whole history.
    Show {
        /// The order.
        id: OrderId,
    },
    /// Settle an order whose placement is uncertain.
    Resolve {
        /// The order.
        id: OrderId,
        #[command(flatten)]
        how: HowOptions,
    },
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

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct HowOptions {
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

pub(super) async fn run(call: &Call, verb: OrdersVerb) -> anyhow::Result<ExitStatus> {
    match verb {
        OrdersVerb::List(options) => list(call, options).await?,
        OrdersVerb::Show { id } => show(call, id).await?,
        OrdersVerb::Resolve { id, how } => resolve(call, id, how).await?,
    }
    Ok(ExitStatus::Done)
}

// === Documents ===

/// An order as it is listed.
#[derive(Debug, Serialize)]
struct OrderDocument {
    order: u32,
    client: String,
    service: u32,
    state: &'static str,
    status: &'static str,
    provider: Option<String>,
    upstream_order: Option<String>,
    link: String,
    /// What is charged and refunded by: over all runs of a drip-feed, 1 for a package.
    quantity: u64,
    charge: String,
    refunded: String,
    cost: Option<String>,
    start_count: Option<u64>,
    remains: u64,
    created_at: String,
    updated_at: String,
}

impl OrderDocument {
    fn new(client: String, order: &Order) -> Self {
        let binding = order.binding();
        let route = match &order.state {
            State::Sending { route } | State::Uncertain { route } => Some(route),
            _ => binding.map(|binding| &binding.route),
        };
        Self {
            order: order.id.get(),
            client,
            service: order.service.get(),
            state: order.state.name(),
            status: order.status.as_str(),
            provider: route.map(|route| route.provider.to_string()),
            upstream_order: binding.map(|binding| binding.id.to_string()),
            link: order.params.link.clone(),
            quantity: order.params.units,
            charge: order.charge.to_string(),
            refunded: order.refunded.to_string(),
            cost: order.cost.map(|cost| cost.to_string()),
            start_count: order.progress.start_count,
            remains: order.shown_remains(),
            created_at: time(order.created_at),
            updated_at: time(order.updated_at),
        }
    }
}

#[derive(Debug, Serialize)]
struct StoryDocument {
    order: OrderDocument,
    attempts: Vec<AttemptDocument>,
    history: Vec<HistoryDocument>,
    refills: Vec<RefillDocument>,
    ledger: Vec<EntryDocument>,
}

#[derive(Debug, Serialize)]
struct AttemptDocument {
    attempt: u32,
    provider: String,
    upstream_service: String,
    started_at: String,
    finished_at: Option<String>,
    outcome: Option<String>,
    detail: Option<String>,
}

#[derive(Debug, Serialize)]
struct HistoryDocument {
    at: String,
    text: String,
    /// Whether somebody had to look at it.
    alert: bool,
}

impl From<AttemptRecord> for AttemptDocument {
    fn from(attempt: AttemptRecord) -> Self {
        Self {
            attempt: attempt.number,
            provider: attempt.route.provider.to_string(),
            upstream_service: attempt.route.service.to_string(),
            started_at: time(attempt.started_at),
            finished_at: attempt.finished_at.map(time),
            outcome: attempt.outcome,
            detail: attempt.detail,
        }
    }
}

impl From<HistoryRecord> for HistoryDocument {
    fn from(line: HistoryRecord) -> Self {
        Self { at: time(line.at), text: line.text, alert: line.alert }
    }
}

impl From<OrderStory> for StoryDocument {
    fn from(story: OrderStory) -> Self {
        Self {
            order: OrderDocument::new(story.client, &story.order),
            attempts: story.attempts.into_iter().map(AttemptDocument::from).collect(),
            history: story.history.into_iter().map(HistoryDocument::from).collect(),
            refills: story.refills.into_iter().map(RefillDocument::from).collect(),
            ledger: story.ledger.into_iter().map(EntryDocument::from).collect(),
        }
    }
}

// === Verbs ===

async fn list(call: &Call, options: ListOptions) -> anyhow::Result<()> {
    let store = call.store()?;
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
    let story = call.store()?.order_story(id).await?.with_context(|| format!("there is no order {id}"))?;
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

#[derive(Serialize)]
struct ResolvedDocument {
    order: u32,
    state: String,
}

async fn resolve(call: &Call, id: OrderId, how: HowOptions) -> anyhow::Result<()> {
    let how = match how {
        HowOptions { placed: Some(upstream_order), .. } => How::Placed(upstream_order),
        HowOptions { refund: true, .. } => How::Refund,
        HowOptions { .. } => How::NotPlaced,
    };
    let settings = call.settings()?;
    let order = call.store()?.order(id).await?;
    let attempt = order.with_context(|| format!("there is no order {id}"))?.attempts.0;
    match ask::ask(&settings, Request::Resolve { order: id.get(), attempt, how }).await? {
        Reply::Resolved(state) => {
            let document = ResolvedDocument { order: id.get(), state };
            Ok(call.output.print(&document, || format!("order {id} is settled: {}", document.state))?)
        }
        Reply::Refused(why) => bail!(why),
        Reply::Synced(_) | Reply::Checked(_) => bail!("the gateway answered something else: is it another version?"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;
    use crate::domain::ids::{AttemptNumber, ClientId, OrderToken, Route, UpstreamOrderId, UpstreamServiceId};
    use crate::domain::order::{Event, NewOrder};
    use crate::domain::outcome::Outcome;
    use crate::domain::params::OrderParams;
    use crate::domain::service_type::ServiceType;

    fn route() -> Route {
        Route { provider: ProviderId::new("alpha"), service: UpstreamServiceId::new("101") }
    }

    fn queued() -> Order {
        let params = OrderParams {
            link: "https://example.org/p/1\u{1b}[2J".into(),
            quantity: Some(1000),
            drip_feed: None,
            fields: vec![],
            units: 1000,
        };
        NewOrder {
            token: OrderToken([7; 16]),
            client: ClientId(1),
            service: ServiceId::new(5).unwrap(),
            kind: ServiceType::Default,
            params,
            charge: "1.20".parse().unwrap(),
        }
        .into_order(OrderId::new(23).unwrap(), Timestamp::from_millis(0), Timestamp::from_millis(0))
    }

    fn placed() -> Order {
        let at = Timestamp::from_millis(1000);
        let sending = queued().step(Event::SendStarted(route()), at).unwrap().order;
        let outcome = Outcome::Accepted(UpstreamOrderId::new("a9"));
        sending.step(Event::Answered { attempt: AttemptNumber(1), outcome }, at).unwrap().order
    }

    #[test]
    fn a_queued_order_has_no_upstream_yet() {
        assert_eq!(
            to_value(OrderDocument::new("shop".into(), &queued())).unwrap(),
            json!({
                "order": 23, "client": "shop", "service": 5, "state": "queued", "status": "Pending",
                "provider": null, "upstream_order": null, "link": "https://example.org/p/1\u{1b}[2J",
                "quantity": 1000, "charge": "1.2", "refunded": "0", "cost": null, "start_count": null,
                "remains": 1000, "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z",
            })
        );
    }

    #[test]
    fn a_story_holds_everything_under_the_names_that_scripts_rely_on() {
        let at = Timestamp::from_millis(1000);
        let story = OrderStory {
            client: "shop".into(),
            order: placed(),
            attempts: vec![AttemptRecord {
                number: 1,
                route: route(),
                started_at: at,
                finished_at: None,
                outcome: None,
                detail: None,
            }],
            history: vec![HistoryRecord { at, text: "placed".into(), alert: false }],
            refills: vec![],
            ledger: vec![],
        };
        let document = to_value(StoryDocument::from(story)).unwrap();
        assert_eq!(document["order"]["provider"], "alpha");
        assert_eq!(document["order"]["upstream_order"], "a9");
        assert_eq!(document["order"]["state"], "placed");
        assert_eq!(
            document["attempts"],
            json!([{"attempt": 1, "provider": "alpha", "upstream_service": "101",
                    "started_at": "1970-01-01T00:00:01Z", "finished_at": null, "outcome": null, "detail": null}])
        );
        assert_eq!(document["history"], json!([{"at": "1970-01-01T00:00:01Z", "text": "placed", "alert": false}]));
        assert_eq!(document["ledger"], json!([]));
    }

    #[test]
    fn nothing_in_a_link_steers_the_terminal() {
        let text = order_table(&[OrderDocument::new("shop".into(), &placed())]);
        assert!(text.contains("a9") && !text.contains('\u{1b}'), "{text:?}");
    }
}
