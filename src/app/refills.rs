//! `refill` and `refill_status`: a refill is written down, sent once before the answer, and shown from the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::App;
use super::auth::Caller;
use super::error::ApiError;
use super::forward::{STALE_AFTER, STOOD_STILL};
use super::id_list::{as_asked, split_ids};
use super::trouble::warn_of;
use crate::domain::ids::{OrderId, RefillId};
use crate::domain::order::Order;
use crate::domain::refill::{NewRefill, Refill, RefillEvent, RefillOutcome, RefillState};
use crate::domain::status::Status;
use crate::store::records::{OpenedRefill, RefillApplied};
use crate::store::{StoreError, StoreResult};
use crate::task::Moment;
use crate::upstream::{Priority, Upstream};

/// How long a refill stands in the provider's queue.
const PERMIT_WAIT: Duration = Duration::from_secs(120);
/// How long after it was to be written down, one may still be sent. Others take its sender for lost after its wait and a
/// lease more, and tell the operator then that it is not sent.
const SEND_WITHIN: Duration = PERMIT_WAIT.saturating_add(STALE_AFTER);
/// Between two tries to write what came of one.
const RETRY: Duration = Duration::from_millis(500);

impl App {
    /// Asks for a refill of one order.
    pub(super) async fn refill(self: &Arc<Self>, caller: &Caller, order: &str) -> Result<RefillId, ApiError> {
        let id: OrderId = order.parse().map_err(|_| ApiError::OrderUnknown)?;
        let mut refills = self.refill_all(caller, &[id]).await?;
        refills.remove(&id).unwrap_or(Err(ApiError::OrderUnknown))
    }

    /// Asks for refills of many; gives the list of answers.
    pub(super) async fn refill_many(self: &Arc<Self>, caller: &Caller, orders: &str) -> Result<Value, ApiError> {
        let asked = split_ids(orders)?;
        let ids: Vec<OrderId> = asked.iter().filter_map(|text| text.parse().ok()).collect();
        let refills = self.refill_all(caller, &ids).await?;
        let item = |text: &&str| {
            let refill = match text.parse().ok().and_then(|id: OrderId| refills.get(&id)) {
                Some(Ok(refill)) => json!(refill.get()),
                Some(Err(error)) => error.to_json(),
                None => ApiError::OrderUnknown.to_json(),
            };
            json!({ "order": as_asked(text), "refill": refill })
        };
        Ok(asked.iter().map(item).collect())
    }

    /// Those of this client's orders, side by side; all of them wait no longer than one.
    async fn refill_all(
        self: &Arc<Self>,
        caller: &Caller,
        ids: &[OrderId],
    ) -> Result<HashMap<OrderId, Result<RefillId, ApiError>>, ApiError> {
        if caller.read_only {
            return Err(ApiError::ReadOnly);
        }
        let deadline = Instant::now() + self.snapshot.load().terms.wait;
        let orders = self.store.orders_of(caller.client.id, ids).await?;
        let started: Vec<_> = orders
            .into_iter()
            .map(|order| (order.id, self.tasks.spawn(Arc::clone(self).refill_order(order, deadline))))
            .collect();
        let mut refills = HashMap::with_capacity(started.len());
        for (id, task) in started {
            // It can only have panicked, which the log tells of.
            refills.insert(id, task.await.unwrap_or(Err(ApiError::Internal)));
        }
        Ok(refills)
    }

    async fn refill_order(self: Arc<Self>, order: Order, deadline: Instant) -> Result<RefillId, ApiError> {
        let (new, upstream) = self.refillable(&order)?;
        let asked = self.clock.moment();
        let refill = match self.store.open_refill(new, self.clock.now()).await? {
            OpenedRefill::New(refill) => *refill,
            OpenedRefill::Busy => return Err(ApiError::RefillOpen),
            OpenedRefill::Moved => return Err(ApiError::RefillRefused),
            OpenedRefill::NoMoreIds => {
                tracing::error!("every refill ID up to 2^31 - 1 is used: this store can take no more refills");
                return Err(ApiError::Internal);
            }
        };
        let id = refill.id;
        let sending = self.tasks.spawn(Arc::clone(&self).send_refill(refill, upstream, asked));
        let outcome = tokio::select! {
            biased;
            outcome = sending => outcome.ok(),
            () = tokio::time::sleep_until(deadline) => None,
            () = self.tasks.stopping() => None,
        };
        match outcome {
            Some(RefillOutcome::Refused { text, quotable: true }) => Err(ApiError::Refused(text)),
            Some(RefillOutcome::Refused { .. }) => Err(ApiError::RefillRefused),
            Some(RefillOutcome::NotTaken(_)) => Err(ApiError::Internal),
            Some(RefillOutcome::Accepted(_) | RefillOutcome::Ambiguous(_)) | None => Ok(id),
        }
    }

    /// What is to be refilled, and where.
    fn refillable(&self, order: &Order) -> Result<(NewRefill, Arc<Upstream>), ApiError> {
        let snapshot = self.snapshot.load();
        if !snapshot.catalogue.service(order.service).is_some_and(|service| service.refill) {
            return Err(ApiError::RefillDisabled);
        }
        let binding = order.binding().filter(|_| order.status != Status::Canceled);
        let binding = binding.ok_or(ApiError::OrderNotCompleted)?;
        let provider = &binding.route.provider;
        // Sent by whoever takes it in, so where this gateway has no part of the limits, not at all: another one may.
        let upstream = self.called(provider).filter(|upstream| !upstream.is_elsewhere()).ok_or(ApiError::Internal)?;
        let new = NewRefill {
            order: order.id,
            client: order.client,
            provider: provider.clone(),
            upstream_order: binding.id.clone(),
        };
        Ok((new, upstream))
    }

    /// Sends a refill that is durable, once, and writes what came of it. `asked`: when it was to be written down.
    pub(super) async fn send_refill(
        self: Arc<Self>,
        refill: Refill,
        upstream: Arc<Upstream>,
        asked: Moment,
    ) -> RefillOutcome {
        let permit = tokio::select! {
            biased;
            permit = upstream.permit(Priority::CancelsAndRefills, PERMIT_WAIT) => permit.map_err(|why| why.to_string()),
            () = self.tasks.stopping() => Err("the gateway is stopping".to_owned()),
        };
        let outcome = match permit {
            Ok(permit) if self.clock.moment().since(asked) > SEND_WITHIN || !self.may_call() => {
                drop(permit);
                RefillOutcome::NotTaken(STOOD_STILL.to_owned())
            }
            Ok(permit) => upstream.refill(permit, &refill.upstream_order).await,
            Err(why) => RefillOutcome::NotTaken(why),
        };
        let labels = [("provider", refill.provider.to_string()), ("outcome", outcome.name().to_owned())];
        metrics::counter!(crate::telemetry::REFILLS, &labels).increment(1);
        self.settle_refill(refill, &outcome).await;
        outcome
    }

    /// Writes the outcome, again and again while the store cannot. Should the process end first, the next start
    /// finds the refill as it was sent.
    async fn settle_refill(&self, refill: Refill, outcome: &RefillOutcome) {
        let id = refill.id;
        let mut told = false;
        while let Err(error) = self.step_refill(refill.clone(), RefillEvent::Answered(outcome.clone())).await {
            if !std::mem::replace(&mut told, true) {
                tracing::error!(
                    refill.id = %id, %error,
                    "refill {id}: the upstream's answer can't be written yet; trying on"
                );
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Feeds what happened to the refill: where another step was faster, to the refill as it is by then.
    pub(super) async fn step_refill(&self, mut refill: Refill, mut event: RefillEvent) -> StoreResult<()> {
        loop {
            let id = refill.id;
            let Ok(step) = refill.step(event.clone(), self.clock.now()) else { return Ok(()) };
            match self.store.apply_refills(vec![step.clone()]).await?.pop() {
                Some(RefillApplied::IdTaken(holder)) => {
                    let Some(taken) = step.refill.state.upstream_id().cloned() else { return Ok(()) };
                    event = RefillEvent::IdTaken { id: taken, holder };
                }
                Some(RefillApplied::Stale) => {
                    let found = self.store.refill(id).await?;
                    refill = found.ok_or_else(|| StoreError::Corrupt(format!("refill {id} is gone")))?;
                }
                Some(RefillApplied::Done) => {
                    self.announce_refill(&step);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
    }

    /// Takes up the refills that an earlier run was sending: what became of them is unknown.
    pub(super) async fn recover_refills(&self) -> StoreResult<()> {
        for refill in self.store.sending_refills().await? {
            self.step_refill(refill, RefillEvent::SenderLost).await?;
        }
        Ok(())
    }

    /// Finds refills of which no task of this process knows any more: one that ended in a panic.
    pub(super) async fn find_lost_refills(self: Arc<Self>) {
        if let Err(error) = self.lose_refills().await {
            warn_of!(error, "refills that are being sent could not be looked through");
        }
    }

    /// Takes up the refills that nobody can be sending any more.
    pub(super) async fn lose_refills(&self) -> StoreResult<()> {
        let now = self.clock.now();
        for refill in self.store.sending_refills().await? {
            if now >= refill.created_at.plus(self.lease_at(&refill.provider)).plus(PERMIT_WAIT) {
                self.step_refill(refill, RefillEvent::SenderLost).await?;
            }
        }
        Ok(())
    }

    // === Statuses ===

    /// One refill's status.
    pub(super) async fn refill_status(&self, caller: &Caller, refill: &str) -> Result<Value, ApiError> {
        let id: RefillId = refill.parse().map_err(|_| ApiError::RefillUnknown)?;
        let found = self.refills_shown(caller, &[id]).await?;
        Ok(json!({ "status": found.get(&id).ok_or(ApiError::RefillUnknown)? }))
    }

    /// Many refills' statuses; gives the list of answers.
    pub(super) async fn refill_statuses(&self, caller: &Caller, refills: &str) -> Result<Value, ApiError> {
        let asked = split_ids(refills)?;
        let ids: Vec<RefillId> = asked.iter().filter_map(|text| text.parse().ok()).collect();
        let found = self.refills_shown(caller, &ids).await?;
        let item = |text: &&str| {
            let status = text.parse().ok().and_then(|id: RefillId| found.get(&id));
            let status = status.map_or_else(|| ApiError::RefillUnknown.to_json(), |status| json!(status));
            json!({ "refill": as_asked(text), "status": status })
        };
        Ok(asked.iter().map(item).collect())
    }

    /// The status words of those refills that are this client's. What is asked for and old is polled soon.
    async fn refills_shown(
        &self,
        caller: &Caller,
        ids: &[RefillId],
    ) -> Result<HashMap<RefillId, &'static str>, ApiError> {
        let old = self.clock.now().minus(self.snapshot.load().terms.status_ttl);
        let mut shown = HashMap::with_capacity(ids.len());
        for refill in self.store.refills_of(caller.client.id, ids).await? {
            let followed = matches!(refill.state, RefillState::Accepted(_));
            if followed && refill.polled_at.unwrap_or(refill.created_at) <= old {
                self.asked_refills.mark(std::iter::once(refill.id));
            }
            shown.insert(refill.id, refill.status.as_str());
        }
        Ok(shown)
    }
}
