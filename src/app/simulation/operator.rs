//! What is done beside the gateway: by its operator, and by another instance.

use super::driver::Driver;
use super::terms::{LEASE, PROVIDERS};
use crate::app::requests::{How, Request};
use crate::domain::client::EntryKind;
use crate::domain::ids::{OrderId, ProviderId};
use crate::domain::order::{Event, State};
use crate::store::Store;
use crate::store::records::{Moved, Movement};

impl Driver {
    /// The operator holds a provider's orders back, or lets them go again.
    pub(super) async fn pause(&self) {
        let id = ProviderId::new(*self.world.state().rng.pick(&PROVIDERS));
        let paused = self.inner.pauses().await.unwrap().hold(&id);
        self.world.note(format_args!("the operator {} {id}", if paused { "resumes" } else { "pauses" }));
        self.inner.set_paused(Some(&id), !paused, self.world.now()).await.unwrap();
    }

    pub(super) async fn resume(&self) {
        for id in PROVIDERS.map(ProviderId::new) {
            self.inner.set_paused(Some(&id), false, self.world.now()).await.unwrap();
        }
    }

    pub(super) async fn money_moves(&mut self) {
        let (client, units) = {
            let mut state = self.world.state();
            (*state.rng.pick(&[0_usize, 1, 2]), 100_000_000 * i64::try_from(state.rng.below(20)).unwrap() - 500_000_000)
        };
        let reseller = &self.resellers.all[client];
        let kind = if units < 0 { EntryKind::Withdrawal } else { EntryKind::Deposit };
        let amount = crate::domain::money::Money::from_units(units);
        let movement = Movement { kind, amount, reference: None, note: None };
        if let Ok(Moved::Done(_)) = self.inner.move_money(reseller.name, movement, self.world.now()).await {
            self.world.note(format_args!("{} of {}", kind.as_str(), reseller.name));
            self.world.state().oracle.money_moved(reseller.id, units);
        }
    }

    /// The operator settles an order that is uncertain, and may be wrong about it.
    pub(super) fn operator_settles(&mut self) {
        let app = self.app();
        let mut state = self.world.state();
        let uncertain =
            state.oracle.orders.values().filter(|truth| matches!(truth.order.state, State::Uncertain { .. }));
        let uncertain: Vec<(OrderId, u32)> = uncertain.map(|truth| (truth.order.id, truth.order.attempts.0)).collect();
        if uncertain.is_empty() {
            return;
        }
        let (order, attempt) = *state.rng.pick(&uncertain);
        let bought = state.oracle.bought.iter().find(|(of, ..)| *of == order).map(|(.., id)| id.clone());
        let how = match (state.rng.below(3), bought) {
            (0, _) => How::Refund,
            (1, _) | (_, None) => How::NotPlaced,
            (_, Some(id)) => How::Placed(id),
        };
        match &how {
            How::Refund => state.oracle.may_be_refunded(order),
            How::NotPlaced => state.oracle.may_be_sent_again(order),
            How::Placed(id) => state.oracle.is_named(order, id),
        }
        drop(state);
        self.world.note(format_args!("the operator settles order {order}: {how:?}"));
        let request = Request::Resolve { order: order.get(), attempt, how };
        self.others.push(self.tasks.spawn(async move { drop(app.carry_out(request).await) }));
    }

    /// An attempt's lease is over by the store's clock, and another instance takes its sender for lost.
    pub(super) async fn somebody_gives_up(&mut self) {
        let open: Vec<OrderId> = self.world.state().oracle.being_sent();
        if open.is_empty() {
            return;
        }
        let order = *self.world.state().rng.pick(&open);
        self.world.jump(i64::try_from(LEASE.as_millis()).unwrap());
        self.world.note(format_args!("*** the sender of order {order} is given up"));
        let stored = self.inner.order(order).await.unwrap().unwrap();
        self.world.state().oracle.given_up(order);
        let app = self.app();
        self.others.push(self.tasks.spawn(async move { drop(app.decide(stored, Event::SenderLost).await) }));
    }
}
