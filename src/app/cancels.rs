//! `cancel`: one compare-and-set on each order; a placed one's upstream is told before the answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::App;
use super::auth::Caller;
use super::cancel_forward::Canceling;
use super::error::ApiError;
use super::id_list::{as_asked, split_ids};
use super::steps::Stepped;
use super::trouble::warn_of;
use crate::domain::ids::{OrderId, ProviderId, Route};
use crate::domain::order::{CancelWish, Event, Order, State};
use crate::store::StoreResult;

/// What the compare-and-set made of a cancel.
enum Wished {
    /// Closed, or remembered until the order is refused or placed, or with its upstream already.
    Noted,
    /// Remembered; its upstream is to be told now.
    Forward(ProviderId, Canceling),
    /// It can't be canceled any more.
    Refused,
}

impl App {
    /// Cancels orders; gives the list of answers.
    pub(super) async fn cancel(self: &Arc<Self>, caller: &Caller, orders: &str) -> Result<Value, ApiError> {
        if caller.read_only {
            return Err(ApiError::ReadOnly);
        }
        let asked = split_ids(orders)?;
        let ids: Vec<OrderId> = asked.iter().filter_map(|text| text.parse().ok()).collect();
        let deadline = Instant::now() + self.snapshot.load().terms.wait;
        let orders = self.store.orders_of(caller.client.id, &ids).await?;
        let canceled = self.cancel_all(orders, deadline).await;
        let item = |text: &&str| {
            let cancel = match text.parse().ok().and_then(|id: OrderId| canceled.get(&id)) {
                Some(Ok(())) => json!(1),
                Some(Err(error)) => error.to_json(),
                None => ApiError::OrderUnknown.to_json(),
            };
            json!({ "order": as_asked(text), "cancel": cancel })
        };
        Ok(asked.iter().map(item).collect())
    }

    async fn cancel_all(
        self: &Arc<Self>,
        orders: Vec<Order>,
        deadline: Instant,
    ) -> HashMap<OrderId, Result<(), ApiError>> {
        let wishing: Vec<_> =
            orders.into_iter().map(|order| (order.id, self.tasks.spawn(Arc::clone(self).wish(order)))).collect();
        let mut canceled = HashMap::with_capacity(wishing.len());
        let mut to_forward: BTreeMap<ProviderId, Vec<Canceling>> = BTreeMap::new();
        for (id, task) in wishing {
            let verdict = match task.await {
                Ok(Ok(Wished::Noted)) => Ok(()),
                Ok(Ok(Wished::Forward(provider, canceling))) => {
                    to_forward.entry(provider).or_default().push(canceling);
                    Ok(())
                }
                Ok(Ok(Wished::Refused)) => Err(ApiError::NotCancelable),
                Ok(Err(error)) => Err(error.into()),
                // It panicked, which the log tells of.
                Err(_) => Err(ApiError::Internal),
            };
            canceled.insert(id, verdict);
        }
        for id in self.refused_in_time(to_forward, deadline).await {
            canceled.insert(id, Err(ApiError::NotCancelable));
        }
        canceled
    }

    /// Tells the upstreams; gives the orders that they refused until the deadline. What comes later is written all
    /// the same.
    async fn refused_in_time(
        self: &Arc<Self>,
        to_forward: BTreeMap<ProviderId, Vec<Canceling>>,
        deadline: Instant,
    ) -> Vec<OrderId> {
        let (tell, mut told) = mpsc::unbounded_channel();
        for (provider, orders) in to_forward {
            drop(self.tasks.spawn(Arc::clone(self).forward_cancels(provider, orders, Some(tell.clone()))));
        }
        drop(tell);
        let mut refused = Vec::new();
        loop {
            let next = tokio::select! {
                biased;
                next = told.recv() => next,
                () = tokio::time::sleep_until(deadline) => None,
                () = self.tasks.stopping() => None,
            };
            match next {
                Some(order) => refused.push(order),
                None => return refused,
            }
        }
    }

    /// The compare-and-set: where another step was faster, what it left decides.
    async fn wish(self: Arc<Self>, mut order: Order) -> StoreResult<Wished> {
        let elsewhere = order.binding().is_some_and(|binding| self.is_elsewhere(&binding.route.provider));
        // Held from before the wish is written, so that nobody else tells its upstream of it.
        let turn = if elsewhere { None } else { Canceling::take(&self, order.id) };
        loop {
            match (&order.state, order.cancel) {
                (State::Closed { .. }, _) => return Ok(Wished::Refused),
                (_, CancelWish::Forwarded) => return Ok(Wished::Noted),
                (State::Placed(binding), _) if !self.is_cancelable(&binding.route) => return Ok(Wished::Refused),
                (_, CancelWish::Wished) => return Ok(self.wished(order, turn)),
                _ => {}
            }
            order = match self.decide(order, Event::CancelRequested).await? {
                Stepped::Done(order) => {
                    if elsewhere {
                        self.give_back(&order).await;
                    }
                    return Ok(self.wished(order, turn));
                }
                changed => changed.into_order(),
            };
        }
    }

    /// Others leave a wish to the gateway that wrote it, for a while; here only they can tell its upstream.
    async fn give_back(&self, order: &Order) {
        if let Err(error) = self.store.give_back_cancel(order).await {
            warn_of!(error, order.id = %order.id, "the cancel of order {} is told when its claim ends", order.id);
        }
    }

    fn wished(&self, order: Order, turn: Option<Canceling>) -> Wished {
        let provider = match &order.state {
            State::Placed(binding) => binding.route.provider.clone(),
            _ => return Wished::Noted,
        };
        match turn {
            Some(turn) if self.called(&provider).is_some() => Wished::Forward(provider, turn.with(order)),
            // Somebody is telling it, another gateway or this one, or will once it is called again.
            _ => Wished::Noted,
        }
    }

    /// Whether an upstream's service can be canceled there, by its newest list; one that is listed no more may.
    pub(super) fn is_cancelable(&self, route: &Route) -> bool {
        let snapshot = self.snapshot.load();
        let services = snapshot.lists.get(&route.provider).map_or(&[][..], |list| &list.services);
        services.iter().find(|service| service.id == route.service).is_none_or(|service| service.cancel)
    }
}
