//! Writes what came of an attempt, however long that takes: an answer that was read is never dropped.

use std::time::Duration;

use super::App;
use super::steps::Stepped;
use crate::domain::ids::{AttemptNumber, OrderId, UpstreamOrderId};
use crate::domain::order::{Event, Order, State};
use crate::domain::outcome::Outcome;
use crate::store::records::OrderStory;
use crate::store::{StoreError, StoreResult};

/// An upstream that answers the same order again within this time means the first: its de-duplication.
const DEDUPLICATION: Duration = Duration::from_secs(120);
/// Between two tries to write an outcome.
const RETRY: Duration = Duration::from_millis(500);

impl App {
    /// Writes the outcome of the order's last attempt, again and again while the store cannot. Should the
    /// process end first, the next start finds the order as it was sent, and makes it uncertain.
    pub(super) async fn settle(&self, order: Order, outcome: Outcome) -> Order {
        let (id, attempt) = (order.id, order.attempts);
        let sent_by = match &order.state {
            State::Sending { route } => Some(route.clone()),
            _ => None,
        };
        if let Some(route) = &sent_by {
            let (provider, outcome) = (route.provider.to_string(), outcome.name().as_str());
            metrics::counter!(crate::telemetry::ATTEMPTS, "provider" => provider, "outcome" => outcome).increment(1);
        }
        let mut order = order;
        let mut told = false;
        loop {
            let event = Event::Answered { attempt, outcome: outcome.clone() };
            match self.settle_once(order.clone(), event, &outcome).await {
                Ok(settled) => {
                    if let Some(route) = &sent_by {
                        self.hint_by_outcome(&settled, route, &outcome).await;
                    }
                    return settled;
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(
                            order.id = %id, %error,
                            "order {id}: the upstream's answer to attempt {attempt} can't be written yet; trying on"
                        );
                    }
                    tokio::time::sleep(RETRY).await;
                    order = self.reread(id).await.unwrap_or(order);
                }
            }
        }
    }

    async fn settle_once(&self, order: Order, event: Event, outcome: &Outcome) -> StoreResult<Order> {
        let attempt = order.attempts;
        match (self.step(order, event).await?, outcome) {
            (Stepped::IdTaken { order, holder }, Outcome::Accepted(id)) => {
                let taken = self.taken(&order, attempt, id.clone(), holder).await?;
                Ok(self.step(order, taken).await?.into_order())
            }
            (stepped, _) => Ok(stepped.into_order()),
        }
    }

    async fn taken(
        &self,
        order: &Order,
        attempt: AttemptNumber,
        id: UpstreamOrderId,
        holder: OrderId,
    ) -> StoreResult<Event> {
        let other = self.story(holder).await?;
        let same_route = match (&order.state, other.order.binding()) {
            (State::Sending { route } | State::Uncertain { route }, Some(binding)) => binding.route == *route,
            _ => false,
        };
        let accepted = other.attempts.iter().rev().find(|attempt| attempt.outcome.as_deref() == Some("accepted"));
        let own = self.story(order.id).await?;
        // By when they were sent: an order may have been held for hours before.
        let together = own.attempts.last().zip(accepted).is_some_and(|(own, accepted)| {
            let apart = own.started_at.since(accepted.started_at).max(accepted.started_at.since(own.started_at));
            apart <= DEDUPLICATION
        });
        let deduplicated = same_route && other.order.params == order.params && together;
        Ok(Event::IdTaken { attempt, id, deduplicated })
    }

    async fn story(&self, id: OrderId) -> StoreResult<OrderStory> {
        self.store.order_story(id).await?.ok_or_else(|| StoreError::Corrupt(format!("order {id} is gone")))
    }
}
