//! Forwards queued orders: chooses a route, makes the attempt durable, sends it once, and writes what came of it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::routes::{Sale, candidates};
use super::steps::Stepped;
use super::{App, locked};
use crate::domain::ids::{OrderId, ProviderId, Route};
use crate::domain::order::{CLAIM, Choice, Event, Order, State, choose};
use crate::store::StoreResult;
use crate::store::records::OrderFilter;
use crate::upstream::{Permit, Priority, Upstream};

/// Orders taken up by one look at the queue.
const BATCH: usize = 256;
/// How long an order stands in a provider's queue before it is put off. Shorter than its claim.
const PERMIT_WAIT: Duration = Duration::from_secs(20);
/// The same where another route could take it.
const PERMIT_WAIT_WITH_CHOICE: Duration = Duration::from_secs(2);

/// An order that a task of this process has in hand; others leave it alone until this is dropped.
struct InHand<'a> {
    orders: &'a Mutex<HashSet<OrderId>>,
    order: OrderId,
}

impl<'a> InHand<'a> {
    fn take(orders: &'a Mutex<HashSet<OrderId>>, order: OrderId) -> Option<Self> {
        // Made only where it was taken: dropping one gives the order back.
        let taken = locked(orders).insert(order);
        taken.then(|| Self { orders, order })
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        locked(self.orders).remove(&self.order);
    }
}

/// The next thing to do with a queued order.
enum Turn {
    /// Send it by this route.
    Send(Route),
    /// It can't be sent: this happens to it.
    Step(Event),
}

impl App {
    /// Takes up the queued orders that are due.
    pub(super) async fn forward_due(self: Arc<Self>) {
        let now = self.clock.now();
        match self.store.claim_queued(now, now.plus(CLAIM), BATCH).await {
            Ok(orders) => {
                if orders.len() == BATCH {
                    self.forward_nudge.notify_one();
                }
                for order in orders {
                    drop(self.tasks.spawn(Arc::clone(&self).forward(order)));
                }
            }
            Err(error) => tracing::warn!(%error, "queued orders wait: they could not be read"),
        }
    }

    /// Forwards one order until it leaves the queue or is put off. An error leaves it queued: its claim ends by
    /// itself.
    pub(super) async fn forward(self: Arc<Self>, order: Order) {
        let id = order.id;
        let Some(_taken) = InHand::take(&self.in_hand, id) else { return };
        if let Err(error) = self.try_forward(order).await {
            tracing::warn!(order.id = %id, %error, "order {id} waits: it could not be moved on");
        }
    }

    async fn try_forward(&self, mut order: Order) -> StoreResult<()> {
        let mut busy = HashMap::new();
        while order.state == State::Queued && !self.tasks.is_stopping() {
            match self.turn(&order, &busy) {
                Turn::Step(event) => match self.decide(order, event).await? {
                    Stepped::Stale(newer) => order = newer,
                    _ => return Ok(()),
                },
                Turn::Send(route) => match self.permit_for(&route, self.patience(&order, &busy, &route)).await {
                    Ok((upstream, permit)) => order = self.send(order, route, &busy, &upstream, permit).await?,
                    Err(reason) => {
                        busy.insert(route.provider, reason);
                    }
                },
            }
        }
        Ok(())
    }

    /// Finds orders that were being sent, and of which no task of this process knows any more: one that ended in
    /// a panic, or whose store failed it. What became of them is unknown.
    pub(super) async fn find_lost_senders(self: Arc<Self>) {
        let filter = OrderFilter { state: Some("sending".to_owned()), limit: 1000, ..OrderFilter::default() };
        let sending = match self.store.list_orders(filter).await {
            Ok(sending) => sending,
            Err(error) => {
                tracing::warn!(%error, "orders that are being sent could not be looked through");
                return;
            }
        };
        let now = self.clock.now();
        for (_, order) in sending {
            let State::Sending { route } = &order.state else { continue };
            let lease = self.snapshot.load().terms.provider(&route.provider).map(|setup| setup.attempt_lease);
            let over = lease.is_some_and(|lease| now >= order.updated_at.plus(lease));
            if over && !locked(&self.in_hand).contains(&order.id) {
                let id = order.id;
                if let Err(error) = self.decide(order, Event::SenderLost).await {
                    tracing::warn!(order.id = %id, %error, "order {id} is still shown as being sent");
                }
            }
        }
    }

    /// What is to be done with a queued order, by the snapshot of this moment. `busy`: providers that gave no
    /// permit, and why.
    fn turn(&self, order: &Order, busy: &HashMap<ProviderId, String>) -> Turn {
        let snapshot = self.snapshot.load();
        let now = self.clock.now();
        if now >= order.queued_at.plus(snapshot.terms.hold_for) {
            return Turn::Step(Event::HoldExpired);
        }
        let Some(routes) = snapshot.catalogue.routes(order.service) else {
            return Turn::Step(Event::ServiceRemoved);
        };
        let sale = Sale { kind: order.kind, params: &order.params, charge: order.charge };
        match choose(order, &candidates(&snapshot, routes, &sale, busy, &self.pauses.load(), now)) {
            Choice::Send(route) => Turn::Send(route),
            Choice::NoRoute { may_pass, reason } => Turn::Step(Event::NoRoute { may_pass, reason }),
        }
    }

    /// A provider that is slow or asked for a pause keeps an order waiting only where no other can take it.
    fn patience(&self, order: &Order, busy: &HashMap<ProviderId, String>, route: &Route) -> Duration {
        let mut without = busy.clone();
        without.insert(route.provider.clone(), String::new());
        match self.turn(order, &without) {
            Turn::Send(_) => PERMIT_WAIT_WITH_CHOICE,
            Turn::Step(_) => PERMIT_WAIT,
        }
    }

    async fn permit_for(&self, route: &Route, patience: Duration) -> Result<(Arc<Upstream>, Permit), String> {
        let upstream = self.upstream(&route.provider).ok_or("its provider is not called")?;
        tokio::select! {
            permit = upstream.permit(Priority::Orders, patience) => match permit {
                Ok(permit) => Ok((upstream, permit)),
                Err(unavailable) => Err(unavailable.to_string()),
            },
            () = self.tasks.stopping() => Err("the gateway is stopping".to_owned()),
        }
    }

    /// One attempt. The wait for the permit may have been long, so the route must still be the right one; the
    /// attempt is durable before the first byte leaves.
    async fn send(
        &self,
        order: Order,
        route: Route,
        busy: &HashMap<ProviderId, String>,
        upstream: &Upstream,
        permit: Permit,
    ) -> StoreResult<Order> {
        if self.tasks.is_stopping() || !matches!(self.turn(&order, busy), Turn::Send(now) if now == route) {
            return Ok(order);
        }
        let form = add_form(&order, &route);
        let order = match self.decide(order, Event::SendStarted(route)).await? {
            Stepped::Done(order) => order,
            changed => return Ok(changed.into_order()),
        };
        let outcome = upstream.add(permit, &form).await;
        Ok(self.settle(order, outcome).await)
    }
}

/// The order as its upstream takes it.
fn add_form(order: &Order, route: &Route) -> Vec<(Cow<'static, str>, String)> {
    let mut form = vec![("service".into(), route.service.to_string())];
    form.extend(order.params.to_form().into_iter().map(|(name, text)| (name.into(), text)));
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_in_one_hand_only_and_stays_there() {
        let orders = Mutex::default();
        let order = OrderId::new(7).unwrap();
        let first = InHand::take(&orders, order).unwrap();
        for _ in 0..2 {
            assert!(InHand::take(&orders, order).is_none(), "to ask for it must not take it from the first");
        }
        drop(first);
        assert!(InHand::take(&orders, order).is_some());
    }
}
