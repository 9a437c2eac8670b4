//! Tells upstreams which placed orders their clients want canceled. To tell one again is harmless.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::{OrderId, ProviderId, UpstreamOrderId};
use crate::domain::order::{Event, Order};
use crate::store::StoreResult;
use crate::upstream::{CancelAnswer, MAX_BATCH, Permit, Priority, Upstream};

/// Orders looked at in one round.
const ROUND: usize = 1000;
/// How long a cancel stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(30);
/// How long others leave the orders of a round alone.
const CLAIM: Duration = Duration::from_secs(10);
/// The first pause after an upstream gave no answer; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// After this many tries without an answer the wish is given up, and the operator told.
const TRIES: u32 = 20;

/// An order whose cancel a task of this process has in hand; others leave it alone until this is dropped.
pub(super) struct Canceling {
    app: Arc<App>,
    id: OrderId,
    order: Option<Box<Order>>,
}

impl Canceling {
    pub(super) fn take(app: &Arc<App>, id: OrderId) -> Option<Self> {
        locked(&app.canceling).insert(id).then(|| Self { app: Arc::clone(app), id, order: None })
    }

    /// With the order as it was when its wish was there.
    pub(super) fn with(mut self, order: Order) -> Self {
        self.order = Some(Box::new(order));
        self
    }
}

impl Drop for Canceling {
    fn drop(&mut self) {
        locked(&self.app.canceling).remove(&self.id);
    }
}

impl App {
    /// Tells upstreams of the wishes that wait: of orders that were placed after the wish, and of those that got no
    /// answer.
    pub(super) async fn forward_wishes(self: Arc<Self>) {
        let now = self.clock.now();
        match self.store.claim_cancels(now, now.plus(CLAIM), ROUND, &self.providers_elsewhere()).await {
            Ok(orders) => self.forward_waiting(orders).await,
            Err(error) => warn_of!(error, "cancels wait: orders could not be read"),
        }
    }

    async fn forward_waiting(self: &Arc<Self>, orders: Vec<Order>) {
        let mut to_forward: BTreeMap<ProviderId, Vec<Canceling>> = BTreeMap::new();
        for order in orders {
            let Some(route) = order.binding().map(|binding| binding.route.clone()) else { continue };
            if self.called(&route.provider).is_none() {
                continue;
            }
            let Some(canceling) = Canceling::take(self, order.id) else { continue };
            if self.is_cancelable(&route) {
                to_forward.entry(route.provider).or_default().push(canceling.with(order));
            } else {
                self.write_cancel(order, Event::CancelRefused("its upstream service can't be canceled".to_owned()))
                    .await;
            }
        }
        for (provider, orders) in to_forward {
            drop(self.tasks.spawn(Arc::clone(self).forward_cancels(provider, orders, None)));
        }
    }

    /// Tells one upstream, and writes what it says; `refused` hears of each order that it does not cancel.
    pub(super) async fn forward_cancels(
        self: Arc<Self>,
        provider: ProviderId,
        orders: Vec<Canceling>,
        refused: Option<UnboundedSender<OrderId>>,
    ) {
        let Some(upstream) = self.called(&provider) else { return };
        for batch in orders.chunks(MAX_BATCH) {
            let orders: Vec<&Order> = batch.iter().filter_map(|canceling| canceling.order.as_deref()).collect();
            // Who was not asked is no try: it is told when its claim ends, by whichever gateway has room there.
            let Some(answers) = self.ask_to_cancel(&upstream, &orders).await else { continue };
            for order in orders {
                let answer = order.binding().and_then(|binding| answers.get(&binding.id));
                let outcome = self.take_answer(order, answer).await;
                let labels = [("provider", provider.to_string()), ("outcome", outcome.to_owned())];
                metrics::counter!(crate::telemetry::CANCELS, &labels).increment(1);
                if outcome == "refused"
                    && let Some(refused) = &refused
                {
                    // Whoever asked may have been answered already.
                    let _ = refused.send(order.id);
                }
            }
        }
    }

    /// What the upstream said of each; nothing where there was no room to ask it.
    async fn ask_to_cancel(
        &self,
        upstream: &Upstream,
        orders: &[&Order],
    ) -> Option<HashMap<UpstreamOrderId, CancelAnswer>> {
        let ids: Vec<UpstreamOrderId> = orders.iter().filter_map(|order| Some(order.binding()?.id.clone())).collect();
        let (mut answers, batches) = self.ask_at_once(upstream, &ids).await?;
        if !batches && ids.len() > 1 {
            for id in ids {
                let Some((answer, _)) = self.ask_at_once(upstream, std::slice::from_ref(&id)).await else { break };
                answers.extend(answer);
            }
        }
        Some(answers)
    }

    /// What the upstream said of each, and whether it understood that it was asked for many; nothing without a permit.
    async fn ask_at_once(
        &self,
        upstream: &Upstream,
        ids: &[UpstreamOrderId],
    ) -> Option<(HashMap<UpstreamOrderId, CancelAnswer>, bool)> {
        let permit = tokio::select! {
            biased;
            permit = upstream.permit(Priority::CancelsAndRefills, PERMIT_WAIT) => permit.ok(),
            () = self.tasks.stopping() => None,
        };
        // Who was stopped meanwhile asks nothing by it.
        let permit = permit.filter(Permit::holds)?;
        Some(match upstream.cancel(permit, ids).await {
            Ok(answer) => (answer.answers.into_iter().collect(), answer.batches),
            Err(error) => {
                tracing::debug!(provider = %upstream.provider(), %error, "a cancel was not answered");
                (HashMap::new(), true)
            }
        })
    }

    /// Writes what an upstream said to one order's cancel; gives the word for it.
    async fn take_answer(&self, order: &Order, answer: Option<&CancelAnswer>) -> &'static str {
        let (event, outcome) = match answer {
            Some(CancelAnswer::Taken) => (Event::CancelForwarded, "taken"),
            Some(CancelAnswer::Refused(words)) => (Event::CancelRefused(words.clone()), "refused"),
            Some(CancelAnswer::Missing) | None => {
                self.put_off(order).await;
                return "unanswered";
            }
        };
        self.write_cancel(order.clone(), event).await;
        outcome
    }

    async fn put_off(&self, order: &Order) {
        let tries = match self.store.put_off_cancel(order.id, self.clock.now(), FIRST_PAUSE, MAX_PAUSE).await {
            Ok(tries) => tries,
            Err(error) => {
                warn_of!(error, order.id = %order.id, "the cancel of order {} is told again when its claim ends", order.id);
                return;
            }
        };
        if tries >= TRIES {
            metrics::counter!(crate::telemetry::ALERTS).increment(1);
            tracing::warn!(
                order.id = %order.id,
                "order {}: its upstream gave no answer to a cancel in {tries} tries: cancel it there by hand", order.id
            );
            self.write_cancel(order.clone(), Event::CancelRefused("its upstream gave no answer".to_owned())).await;
        }
    }

    /// What can't be written is told again later: the wish still stands.
    async fn write_cancel(&self, order: Order, event: Event) {
        let id = order.id;
        let written: StoreResult<_> = self.step(order, event).await;
        if let Err(error) = written {
            warn_of!(error, order.id = %id, "what the upstream of order {id} said to a cancel was not written");
        }
    }
}
