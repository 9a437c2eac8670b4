//! What is shown of orders and providers: the same documents on the command line and in the console.

use serde::Serialize;

use super::accounts::documents::EntryDocument;
use crate::domain::order::{Order, State};
use crate::domain::refill::Refill;
use crate::domain::time::Timestamp;
use crate::store::records::{AttemptRecord, HistoryRecord, OrderStory, ProviderRecord};

/// RFC 3339 in UTC.
#[must_use]
pub fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// An order as it is listed.
#[derive(Debug, Serialize)]
pub struct OrderDocument {
    /// Its ID.
    pub order: u32,
    /// Its client's name.
    pub client: String,
    /// The service of ours.
    pub service: u32,
    /// `queued`, `sending`, `placed`, `uncertain` or `closed`.
    pub state: &'static str,
    /// One of the panel API's six words.
    pub status: &'static str,
    /// Where it is placed, or being sent.
    pub provider: Option<String>,
    /// Its ID there.
    pub upstream_order: Option<String>,
    /// What was ordered for.
    pub link: String,
    /// What is charged and refunded by: over all runs of a drip-feed, 1 for a package.
    pub quantity: u64,
    /// What was charged, before refunds.
    pub charge: String,
    /// What was given back of it.
    pub refunded: String,
    /// What the upstream really charged, in the panel's currency, once known.
    pub cost: Option<String>,
    /// The counter at the start.
    pub start_count: Option<u64>,
    /// Undelivered.
    pub remains: u64,
    /// When it was accepted.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

impl OrderDocument {
    /// Of an order of this client's.
    #[must_use]
    pub fn new(client: String, order: &Order) -> Self {
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

/// One order with everything that is known of it.
#[derive(Debug, Serialize)]
pub struct StoryDocument {
    /// The order.
    pub order: OrderDocument,
    /// Every attempt, first to last.
    pub attempts: Vec<AttemptDocument>,
    /// Every line, oldest first.
    pub history: Vec<HistoryDocument>,
    /// Its refills, oldest first.
    pub refills: Vec<RefillDocument>,
    /// Its ledger entries, oldest first.
    pub ledger: Vec<EntryDocument>,
}

/// One refill of an order.
#[derive(Debug, Serialize)]
pub struct RefillDocument {
    /// Its ID, as the client knows it.
    pub refill: u32,
    /// Where it stands between us and the upstream.
    pub state: &'static str,
    /// What the client is shown.
    pub status: &'static str,
    /// Where.
    pub provider: String,
    /// Its ID there.
    pub upstream_refill: Option<String>,
    /// What the upstream last said.
    pub detail: Option<String>,
    /// When it was asked for.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

impl From<Refill> for RefillDocument {
    fn from(refill: Refill) -> Self {
        Self {
            refill: refill.id.get(),
            state: refill.state.name(),
            status: refill.status.as_str(),
            provider: refill.provider.to_string(),
            upstream_refill: refill.state.upstream_id().map(ToString::to_string),
            detail: refill.word,
            created_at: time(refill.created_at),
            updated_at: time(refill.updated_at),
        }
    }
}

/// One attempt to place an order.
#[derive(Debug, Serialize)]
pub struct AttemptDocument {
    /// 1, 2, 3 …
    pub attempt: u32,
    /// Where.
    pub provider: String,
    /// Which service there.
    pub upstream_service: String,
    /// When it became durable.
    pub started_at: String,
    /// When its outcome was known.
    pub finished_at: Option<String>,
    /// `accepted`, `rejected`, `not_sent` or `ambiguous`.
    pub outcome: Option<String>,
    /// The upstream's words or ID, or what was seen.
    pub detail: Option<String>,
}

/// One line of an order's history.
#[derive(Debug, Serialize)]
pub struct HistoryDocument {
    /// When.
    pub at: String,
    /// What happened.
    pub text: String,
    /// Whether somebody had to look at it.
    pub alert: bool,
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

/// A provider as it is listed.
#[derive(Debug, Serialize)]
pub struct ProviderDocument {
    /// Its name.
    pub provider: String,
    /// `on`, `drain`, `off`, `paused`, `key_rejected`, `unreachable` …
    pub state: String,
    /// Why it is frozen, where it is.
    pub reason: Option<String>,
    /// Our balance there.
    pub balance: Option<String>,
    /// Its currency.
    pub currency: String,
    /// When its catalogue was last fetched.
    pub last_sync_at: Option<String>,
    /// How many services it lists.
    pub services: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Failed calls since the gateway's start.
    pub failures: u64,
}

impl From<ProviderRecord> for ProviderDocument {
    fn from(record: ProviderRecord) -> Self {
        Self {
            provider: record.provider.to_string(),
            state: record.state,
            // Kept beside the record: only who reads both can say.
            reason: None,
            balance: record.balance.map(|balance| balance.normalize().to_string()),
            currency: record.currency,
            last_sync_at: record.last_sync_at.map(time),
            services: record.services,
            in_flight: record.in_flight,
            failures: record.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;
    use crate::domain::ids::{
        AttemptNumber, ClientId, OrderId, OrderToken, ProviderId, Route, ServiceId, UpstreamOrderId, UpstreamServiceId,
    };
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
}
