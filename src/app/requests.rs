//! What the command line asks of a running gateway, through the store, so that all upstream calls keep to the
//! same limits. With none running the command line does the same by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::App;
use super::online::OnlineReport;
use super::steps::Stepped;
use super::sync::SyncReport;
use super::taken::Taken;
use super::trouble::warn_of;
use crate::domain::ids::{OrderId, ProviderId, UpstreamOrderId};
use crate::domain::order::{Event, Resolution, State};
use crate::domain::status::StatusReport;
use crate::store::StoreResult;
use crate::store::records::StoredRequest;
use crate::upstream::Priority;

const PERMIT_WAIT: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Fetch catalogues now.
    Sync {
        /// Of this provider; of all that are called where not given.
        provider: Option<String>,
        /// First put these services of it back on sale, or `all` that are in doubt.
        #[serde(default)]
        confirm: Vec<String>,
        /// First believe again that its account is the right one.
        #[serde(default)]
        unfreeze: bool,
    },
    /// Ask these providers for their balance and services, and change nothing.
    Check {
        /// Which.
        providers: Vec<String>,
        /// The marks of the accounts that are meant (see [`crate::upstream::account_mark`], by the store's word): whoever
        /// has another one there leaves that provider out of the answer.
        #[serde(default)]
        accounts: BTreeMap<String, String>,
    },
    /// Settle an uncertain order.
    Resolve {
        /// Which, as it was written.
        order: u32,
        /// Its last attempt's number when the operator looked: his word is about no later one.
        attempt: u32,
        /// How.
        how: How,
    },
    /// Refund all of these uncertain orders and leave them.
    RefundAll {
        /// Which.
        orders: Vec<Uncertain>,
    },
}

/// An uncertain order as the operator saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertain {
    /// Which.
    pub order: u32,
    /// Its last attempt's number then.
    pub attempt: u32,
}

/// How an order is settled; see [`Resolution`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It exists upstream under this ID.
    Placed(String),
    /// It does not.
    NotPlaced,
    /// The money goes back.
    Refund,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What each provider's sync came to: a report, or why not.
    Synced(BTreeMap<String, Result<serde_json::Value, String>>),
    /// What each provider answered, or why it did not.
    Checked(BTreeMap<String, Result<OnlineReport, String>>),
    /// The order is settled; its state's word.
    Resolved(String),
    /// The order is settled as the upstream's order that the operator named.
    Bound {
        /// Its state's word.
        state: String,
        /// What the upstream said of that order.
        upstream: Confirmed,
    },
    /// Some of many are settled.
    ResolvedMany {
        /// These.
        settled: Vec<u32>,
        /// These are not, and why.
        refused: Vec<(u32, String)>,
    },
    /// Nothing was done, and why.
    Refused(String),
}

/// What an upstream said of an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Which upstream.
    pub provider: String,
    /// Its order's ID there.
    pub upstream_order: String,
    /// Its status: one of the six where it is known, else the upstream's own word.
    pub status: String,
    /// What the upstream charges for it, in its own currency.
    pub charge: Option<String>,
    /// That currency, as the upstream calls it.
    pub currency: Option<String>,
    /// Its counter at the start.
    pub start_count: Option<u64>,
    /// What is still to be delivered.
    pub remains: Option<u64>,
}

impl Confirmed {
    fn new(provider: &ProviderId, id: &UpstreamOrderId, report: StatusReport) -> Self {
        Self {
            provider: provider.to_string(),
            upstream_order: id.to_string(),
            status: report.status.word().to_owned(),
            charge: report.charge.map(|charge| charge.normalize().to_string()),
            currency: report.currency,
            start_count: report.start_count,
            remains: report.remains,
        }
    }
}

impl App {
    pub(super) async fn answer_requests(self: Arc<Self>) {
        if let Err(error) = self.try_answer_requests().await {
            warn_of!(error, "requests of the command line wait: the store failed");
        }
    }

    async fn try_answer_requests(self: &Arc<Self>) -> StoreResult<()> {
        for stored in self.store.claim_requests().await? {
            drop(self.tasks.spawn(Arc::clone(self).answer_request(stored)));
        }
        Ok(())
    }

    /// Each in a task of its own, so that a slow upstream delays nobody else's request.
    async fn answer_request(self: Arc<Self>, stored: StoredRequest) {
        let Some(_taken) = Taken::take(&self.answering, [stored.number]) else { return };
        let reply = match serde_json::from_str(&stored.body) {
            Ok(request) => self.carry_out(request).await,
            Err(error) => Reply::Refused(format!("the gateway does not know this request: {error}")),
        };
        let answer = serde_json::to_string(&reply).unwrap_or_default();
        if let Err(error) = self.store.answer_request(stored.number, answer, self.clock.now()).await {
            warn_of!(error, "the answer to a request of the command line was not written; it is done again");
        }
    }

    /// Does what was asked.
    pub async fn carry_out(&self, request: Request) -> Reply {
        match request {
            Request::Sync { provider: Some(provider), confirm, unfreeze } => {
                let provider = ProviderId::new(provider);
                match self.sync_confirmed(&provider, &confirm, unfreeze).await {
                    Ok(result) => Reply::Synced(BTreeMap::from([(provider.to_string(), result)])),
                    Err(why) => Reply::Refused(why),
                }
            }
            Request::Sync { provider: None, .. } => self.sync_all().await,
            Request::Check { providers, accounts } => {
                let mut results = BTreeMap::new();
                for provider in providers {
                    let id = ProviderId::new(provider.as_str());
                    if accounts.get(&provider).is_some_and(|mark| !self.has_account(&id, mark)) {
                        continue;
                    }
                    results.insert(provider, self.look_at(&id).await);
                }
                Reply::Checked(results)
            }
            Request::Resolve { order, attempt, how } => match self.resolve(order, attempt, how).await {
                Ok(reply) => reply,
                Err(error) => Reply::Refused(error.to_string()),
            },
            Request::RefundAll { orders } => self.refund_all(orders).await,
        }
    }

    /// Each order is judged by itself: one that has moved on keeps no other from being settled.
    async fn refund_all(&self, orders: Vec<Uncertain>) -> Reply {
        let (mut settled, mut refused) = (Vec::new(), Vec::new());
        for Uncertain { order, attempt } in orders {
            match self.resolve(order, attempt, How::Refund).await {
                Ok(Reply::Resolved(_)) => settled.push(order),
                Ok(Reply::Refused(why)) => refused.push((order, why)),
                Ok(other) => refused.push((order, format!("order {order}: {other:?}"))),
                Err(error) => refused.push((order, format!("order {order}: {error}"))),
            }
        }
        Reply::ResolvedMany { settled, refused }
    }

    async fn sync_all(&self) -> Reply {
        let snapshot = self.snapshot.load_full();
        let mut results = BTreeMap::new();
        for provider in snapshot.terms.providers.iter().filter(|provider| provider.is_called) {
            let result = self.sync(&provider.id).await.map_err(|error| error.to_string());
            results.insert(provider.id.to_string(), result.map(as_json));
        }
        Reply::Synced(results)
    }

    /// The operator's words are about what was seen before this sync, so they count first.
    async fn sync_confirmed(
        &self,
        provider: &ProviderId,
        confirm: &[String],
        unfreeze: bool,
    ) -> Result<Result<serde_json::Value, String>, String> {
        if unfreeze {
            let terms = Arc::clone(&self.snapshot.load().terms);
            let setup = terms.provider(provider).ok_or_else(|| format!("there is no provider {provider}"))?;
            self.unfreeze(setup).await?;
        }
        let confirmed = if confirm.is_empty() { Vec::new() } else { self.confirm(provider, confirm).await? };
        Ok(match self.sync(provider).await {
            Ok(report) => Ok(as_json(SyncReport { confirmed, ..report })),
            Err(error) if confirmed.is_empty() => Err(error.to_string()),
            Err(error) => Err(format!("{} confirmed, but not synced: {error}", confirmed.join(", "))),
        })
    }

    async fn resolve(&self, order: u32, attempt: u32, how: How) -> StoreResult<Reply> {
        let id = OrderId::new(i64::from(order)).ok();
        let found = match id {
            Some(id) => self.store.order(id).await?,
            None => None,
        };
        let Some(order) = found else { return Ok(Reply::Refused(format!("there is no order {order}"))) };
        let State::Uncertain { route } = &order.state else {
            return Ok(Reply::Refused(format!(
                "order {} is {}: only an uncertain order is settled by hand",
                order.id,
                order.state.name()
            )));
        };
        if order.attempts.0 != attempt {
            return Ok(Reply::Refused(format!("order {} was sent again meanwhile: look at it first", order.id)));
        }
        let (resolution, confirmed) = match how {
            How::NotPlaced => (Resolution::NotPlaced, None),
            How::Refund => (Resolution::Refund, None),
            How::Placed(text) => {
                let upstream_order = UpstreamOrderId::new(text.trim());
                match self.check_exists(&route.provider, &upstream_order).await {
                    Ok(confirmed) => (Resolution::Placed(upstream_order), Some(confirmed)),
                    Err(why) => return Ok(Reply::Refused(why)),
                }
            }
        };
        Ok(match self.decide(order, Event::Resolved(resolution)).await? {
            Stepped::Done(order) => {
                self.forward_nudge.notify_one();
                let state = order.state.name().to_owned();
                match confirmed {
                    Some(upstream) => Reply::Bound { state, upstream },
                    None => Reply::Resolved(state),
                }
            }
            Stepped::NotApplicable(order) | Stepped::Stale(order) => {
                Reply::Refused(format!("order {} is {} by now: look at it first", order.id, order.state.name()))
            }
            Stepped::IdTaken { holder, .. } => Reply::Refused(format!("that upstream order belongs to order {holder}")),
        })
    }

    /// An ID that the operator names must be one that the upstream knows on our account.
    async fn check_exists(&self, provider: &ProviderId, id: &UpstreamOrderId) -> Result<Confirmed, String> {
        let upstream = self.upstream(provider).ok_or_else(|| format!("provider {provider} is not called"))?;
        let ask = async {
            let permit =
                upstream.permit(Priority::AskedStatus, PERMIT_WAIT).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(upstream.status(permit, id).await)
        };
        let stopping = || "the gateway is stopping".to_owned();
        let report = self.tasks.unless_stopping(ask).await.ok_or_else(stopping)??;
        report
            .map(|report| Confirmed::new(provider, id, report))
            .map_err(|error| format!("{provider} does not confirm order {id}: {error}"))
    }
}

fn as_json(report: SyncReport) -> serde_json::Value {
    serde_json::to_value(report).unwrap_or_default()
}
