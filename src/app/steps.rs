//! Takes a step of an order: decides it, writes it, and tells those who want to know.

use super::App;
use super::view::render_status;
use crate::cache::Cached;
use crate::domain::ids::OrderId;
use crate::domain::order::{AttemptChange, Event, Order, State, Step};
use crate::store::records::Applied;
use crate::store::{StoreError, StoreResult};

/// What came of an event.
#[derive(Debug)]
pub(super) enum Stepped {
    /// Written; the order afterwards.
    Done(Order),
    /// It does not apply to the order, which is this by now.
    NotApplicable(Order),
    /// The order has changed since the event was decided on; this is what it is now.
    Stale(Order),
    /// The upstream's ID that it would bind is held by `holder`.
    IdTaken { order: Order, holder: OrderId },
}

impl Stepped {
    /// The order, whatever came of the event.
    pub(super) fn into_order(self) -> Order {
        match self {
            Self::Done(order) | Self::NotApplicable(order) | Self::Stale(order) | Self::IdTaken { order, .. } => order,
        }
    }
}

impl App {
    /// Feeds what happened to the order: where another step was faster, to the order as it is by then, since
    /// what happened has happened all the same.
    pub(super) async fn step(&self, mut order: Order, event: Event) -> StoreResult<Stepped> {
        loop {
            match self.decide(order, event.clone()).await? {
                Stepped::Stale(newer) => order = newer,
                stepped => return Ok(stepped),
            }
        }
    }

    /// Feeds a decision to the order that it was made about, and to no later state of it.
    pub(super) async fn decide(&self, order: Order, event: Event) -> StoreResult<Stepped> {
        let mut step = match order.step(event, self.clock.now()) {
            Ok(step) => step,
            Err(illegal) => {
                tracing::debug!(%illegal, "an event came too late");
                return Ok(Stepped::NotApplicable(order));
            }
        };
        if let (State::Sending { route }, Some(AttemptChange::Started { .. })) = (&step.order.state, &step.attempt) {
            step.order.due_at = Some(step.order.updated_at.plus(self.lease_at(&route.provider)));
        }
        match self.store.apply(step.clone()).await? {
            Applied::Done => {
                self.announce(&step).await;
                Ok(Stepped::Done(step.order))
            }
            Applied::IdTaken(holder) => Ok(Stepped::IdTaken { order, holder }),
            Applied::Stale => Ok(Stepped::Stale(self.reread(order.id).await?)),
        }
    }

    pub(super) async fn reread(&self, id: OrderId) -> StoreResult<Order> {
        self.store.order(id).await?.ok_or_else(|| StoreError::Corrupt(format!("order {id} is gone")))
    }

    /// After a step is durable: the log, the metrics, the cache, and whoever waits.
    pub(super) async fn announce(&self, step: &Step) {
        let order = &step.order;
        self.search.hints.see(step);
        for note in &step.notes {
            if note.alert {
                metrics::counter!(crate::telemetry::ALERTS).increment(1);
                tracing::warn!(order.id = %order.id, "order {}: {}", order.id, note.text);
            } else {
                tracing::debug!(order.id = %order.id, "order {}: {}", order.id, note.text);
            }
        }
        if matches!(order.state, State::Placed(_) | State::Closed { .. }) {
            self.cache.changed(vec![(order.id, self.cached(order))]).await;
        }
        if !matches!(order.state, State::Queued | State::Sending { .. }) {
            self.waiters.wake(order.id);
        }
    }

    /// What the cache holds of an order. Only a placed one can be asked for again upstream.
    pub(super) fn cached(&self, order: &Order) -> Cached {
        let followed = matches!(order.state, State::Placed(_));
        Cached {
            owner: order.client,
            body: render_status(order, &self.snapshot.load().terms.currency),
            version: order.version,
            polled_at: followed.then(|| order.progress.polled_at.unwrap_or(order.created_at)),
        }
    }
}
