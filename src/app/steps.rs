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
    /// The upstream's ID that it would bind is held by `holder`.
    IdTaken { order: Order, holder: OrderId },
}

impl App {
    /// Feeds `event` to the order; where another step was faster, to the order as it is by then.
    pub(super) async fn step(&self, mut order: Order, event: Event) -> StoreResult<Stepped> {
        loop {
            let step = match order.step(event.clone(), self.clock.now()) {
                Ok(step) => step,
                Err(illegal) => {
                    tracing::debug!(%illegal, "an event came too late");
                    return Ok(Stepped::NotApplicable(order));
                }
            };
            match self.store.apply(step.clone()).await? {
                Applied::Done => {
                    count_attempt(&order, &step);
                    self.announce(&step).await;
                    return Ok(Stepped::Done(step.order));
                }
                Applied::IdTaken(holder) => return Ok(Stepped::IdTaken { order, holder }),
                Applied::Stale => order = self.reread(order.id).await?,
            }
        }
    }

    pub(super) async fn reread(&self, id: OrderId) -> StoreResult<Order> {
        self.store.order(id).await?.ok_or_else(|| StoreError::Corrupt(format!("order {id} is gone")))
    }

    /// After a step is durable: the log, the metrics, the cache, and whoever waits.
    pub(super) async fn announce(&self, step: &Step) {
        let order = &step.order;
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

/// Only the order as it was before says where the attempt went.
fn count_attempt(before: &Order, step: &Step) {
    let (State::Sending { route } | State::Uncertain { route }) = &before.state else { return };
    if let Some(AttemptChange::Finished { outcome, .. }) = &step.attempt {
        let labels = [("provider", route.provider.to_string()), ("outcome", outcome.as_str().to_owned())];
        metrics::counter!(crate::telemetry::ATTEMPTS, &labels).increment(1);
    }
}
