//! Forwards queued orders: chooses a route, makes the attempt durable, sends it once, and writes what came of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::lines::Comer;
use super::routes::{Sale, candidates, for_now};
use super::steps::Stepped;
use super::taken::Taken;
use super::trouble::warn_of;
use super::{App, locked};
use crate::domain::ids::{AttemptNumber, OrderId, ProviderId, Route};
use crate::domain::order::{CLAIM, Choice, Event, Order, State, choose};
use crate::domain::outcome::Outcome;
use crate::store::{StoreError, StoreResult};
use crate::upstream::{Permit, Priority, Upstream};

/// Orders taken up by one look at the queue.
const BATCH: usize = 256;
/// How long an order stands in a provider's queue before it is put off. Shorter than its claim.
const PERMIT_WAIT: Duration = Duration::from_secs(20);
/// Between two tries to move an order on while the store can't write.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How long an attempt is taken to be under way where its provider is not in the configuration any more.
const LONGEST_LEASE: Duration = Duration::from_secs(3600);
/// How long after it was asked for, the start of an attempt may still be followed by the attempt: who was stopped for
/// longer does not know what others have made of it.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(10);
/// What is written down then.
pub(super) const STOOD_STILL: &str = "the gateway stood still, or could not reach its store, before it could send";
/// How long an order stands in a provider's queue where another route could take it.
const PERMIT_WAIT_WITH_CHOICE: Duration = Duration::from_secs(2);

/// Why an order got no permit.
enum Refused {
    /// As many orders as the provider takes in that time stand in its queue.
    Crowded,
    /// In words.
    Unavailable(String),
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
        for id in self.lines.next() {
            drop(self.tasks.spawn(Arc::clone(&self).forward_again(id)));
        }
        let now = self.clock.now();
        match self.store.claim_queued(now, now.plus(CLAIM), BATCH, &self.services_elsewhere()).await {
            Ok(orders) => {
                if orders.len() == BATCH {
                    self.forward_nudge.notify_one();
                }
                for order in orders {
                    drop(self.tasks.spawn(Arc::clone(&self).forward(order)));
                }
            }
            Err(error) => warn_of!(error, "queued orders wait: they could not be taken up"),
        }
    }

    /// Forwards one order until it leaves the queue or is put off. An error leaves it queued: its claim ends by
    /// itself, or, where the store can't write just now, it is tried again until that can.
    pub(super) async fn forward(self: Arc<Self>, order: Order) {
        self.forward_as(order, Comer::New).await;
    }

    async fn forward_as(self: Arc<Self>, mut order: Order, comer: Comer) {
        let id = order.id;
        let Some(_taken) = Taken::take(&self.in_hand, [id]) else { return };
        while let Err(error) = self.try_forward(order, comer).await {
            warn_of!(error, order.id = %id, "order {id} waits: it could not be moved on");
            if !matches!(error, StoreError::CannotWrite(_) | StoreError::InDoubt(_)) {
                return;
            }
            let read = Box::pin(self.tasks.unless_stopping(self.read_at_last(id)));
            let Some(now) = read.await else { return };
            order = now;
        }
    }

    /// Forwards one that waited in a line.
    async fn forward_again(self: Arc<Self>, id: OrderId) {
        if let Ok(order) = self.reread(id).await
            && order.state == State::Queued
        {
            self.forward_as(order, Comer::OfLine).await;
        }
    }

    /// The order as it is, as soon as the store can say, and not at once.
    async fn read_at_last(&self, id: OrderId) -> Order {
        loop {
            tokio::time::sleep(STORE_RETRY).await;
            if let Ok(order) = self.reread(id).await {
                return order;
            }
        }
    }

    async fn try_forward(&self, mut order: Order, comer: Comer) -> StoreResult<()> {
        let mut busy = HashMap::new();
        let mut crowded = None;
        while order.state == State::Queued && !self.tasks.is_stopping() {
            match (self.turn(&order, &busy), &crowded) {
                // Its history says so once the wait has become long; and where another route was tried in this round, so
                // that the next one tries it again.
                (Turn::Step(Event::NoRoute { may_pass: true, .. }), Some(provider))
                    if !order.tried.iter().any(|tried| tried.round == order.round)
                        && (order.round > 0 || self.clock.now() < order.queued_at.plus(CLAIM)) =>
                {
                    self.lines.wait(provider, order.id);
                    return Ok(());
                }
                (Turn::Step(event), _) => match Box::pin(self.decide(order, event)).await? {
                    Stepped::Stale(newer) => order = newer,
                    _ => return Ok(()),
                },
                (Turn::Send(route), _) => {
                    match self.permit_for(&route, self.patience(&order, &busy, &route), comer).await {
                        // In a box of its own: most of a task is what a call takes, which those that wait don't make.
                        Ok((upstream, permit)) => {
                            order = Box::pin(self.send(order, route, &busy, &upstream, permit)).await?;
                        }
                        Err(Refused::Crowded) => {
                            crowded.get_or_insert_with(|| route.provider.clone());
                            let reason = "as many orders as it takes in good time wait for it already".to_owned();
                            busy.insert(route.provider, reason);
                        }
                        Err(Refused::Unavailable(reason)) => {
                            busy.insert(route.provider, reason);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds orders that were being sent, and that nobody can be sending any more: their gateway is gone, or their task
    /// ended in a panic, or its store failed it. What became of them is unknown.
    pub(super) async fn find_lost_senders(self: Arc<Self>) {
        let lost = match self.store.lost_senders(self.clock.now()).await {
            Ok(lost) => lost,
            Err(error) => {
                warn_of!(error, "orders that are being sent could not be looked through");
                return;
            }
        };
        for order in lost {
            if !locked(&self.in_hand).contains(&order.id) {
                let id = order.id;
                if let Err(error) = self.decide(order, Event::SenderLost).await {
                    warn_of!(error, order.id = %id, "order {id} is still shown as being sent");
                }
            }
        }
    }

    /// How long an attempt at this provider is taken to be under way.
    pub(super) fn lease_at(&self, provider: &ProviderId) -> Duration {
        self.snapshot.load().terms.provider(provider).map_or(LONGEST_LEASE, |setup| setup.attempt_lease)
    }

    /// What is to be done with a queued order, by the snapshot of this moment. `busy`: providers that gave no
    /// permit, and why.
    fn turn(&self, order: &Order, busy: &HashMap<ProviderId, String>) -> Turn {
        let snapshot = self.snapshot.load();
        let now = self.clock.now();
        if now >= order.queued_at.plus(snapshot.terms.hold_for) {
            return Turn::Step(Event::HoldExpired);
        }
        // By an older configuration nothing is refused for good that was sold by a newer one.
        let may_be_anothers = self.may_be_anothers(order);
        let Some(routes) = snapshot.catalogue.routes(order.service) else {
            if may_be_anothers {
                let reason = "its service is not in the configuration of every gateway".to_owned();
                return Turn::Step(Event::NoRoute { may_pass: true, reason });
            }
            return Turn::Step(Event::ServiceRemoved);
        };
        // By another type its parameters mean something else, and it costs something else.
        if snapshot.catalogue.service(order.service).is_some_and(|service| service.kind != order.kind) {
            let reason = "its service is of another type than it was sold as".to_owned();
            return Turn::Step(Event::NoRoute { may_pass: may_be_anothers, reason });
        }
        let sale = Sale { kind: order.kind, params: &order.params, charge: order.charge };
        let (freezes, pauses) = (self.freezes.load(), self.pauses.load());
        let candidates = candidates(&snapshot, &freezes, routes, &sale, busy, &pauses, now);
        match choose(order, &if may_be_anothers { for_now(candidates) } else { candidates }) {
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

    async fn permit_for(
        &self,
        route: &Route,
        patience: Duration,
        comer: Comer,
    ) -> Result<(Arc<Upstream>, Permit), Refused> {
        let refused = |why: &str| Refused::Unavailable(why.to_owned());
        let upstream = self.upstream(&route.provider).ok_or_else(|| refused("its provider is not called"))?;
        let place =
            self.lines.stand(&route.provider, upstream.calls_within(patience), comer).ok_or(Refused::Crowded)?;
        let permit = tokio::select! {
            biased;
            permit = upstream.permit(Priority::Orders, patience) => permit.map_err(|why| refused(&why.to_string())),
            () = self.tasks.stopping() => Err(refused("the gateway is stopping")),
        };
        drop(place);
        permit.map(|permit| (upstream, permit))
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
        let (id, attempt) = (order.id, order.attempts.next());
        let asked = self.clock.moment();
        let order = match self.decide(order, Event::SendStarted(route)).await {
            Ok(Stepped::Done(order)) => order,
            Ok(changed) => return Ok(changed.into_order()),
            Err(error) => {
                drop(permit);
                return self.not_begun(id, attempt, error).await;
            }
        };
        if self.clock.moment().since(asked) > STALE_AFTER || !self.may_call() {
            drop(permit);
            return Ok(self.settle(order, Outcome::NotSent(STOOD_STILL.to_owned())).await);
        }
        self.search.hints.sent(upstream.provider(), order.id);
        let outcome = upstream.add(permit, &form).await;
        Ok(self.settle(order, outcome).await)
    }
}

impl App {
    /// The start of an attempt failed to be written, or so the store said; nothing was sent. Should it be written
    /// all the same, then so is that. Among several gateways an attempt of that number may be another's, which sends it:
    /// there nothing is said of it, and one that nobody sends is uncertain once its lease is over.
    pub(super) async fn not_begun(&self, id: OrderId, attempt: AttemptNumber, error: StoreError) -> StoreResult<Order> {
        let order = match (self.reread(id).await, &error) {
            (Err(_), StoreError::CannotWrite(_) | StoreError::InDoubt(_)) => {
                let read = self.tasks.unless_stopping(self.read_at_last(id)).await;
                let Some(order) = read else { return Err(error) };
                order
            }
            (read, _) => read?,
        };
        if self.store.is_shared() || !matches!(order.state, State::Sending { .. }) || order.attempts != attempt {
            return Err(error);
        }
        Ok(self.settle(order, Outcome::NotSent(format!("the store failed: {error}"))).await)
    }
}

/// The order as its upstream takes it.
fn add_form(order: &Order, route: &Route) -> Vec<(Cow<'static, str>, String)> {
    let mut form = vec![("service".into(), route.service.to_string())];
    form.extend(order.params.to_form().into_iter().map(|(name, text)| (name.into(), text)));
    form
}
