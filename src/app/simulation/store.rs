//! The store of a simulation: the real one in memory, where each call may be put off, fail, or lose its answer; and after
//! each write of an order the oracle looks at it.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use super::mutations::{Mutation, mutated};
use super::world::World;
use crate::app::App;
use crate::domain::catalogue::{Identity, Loss};
use crate::domain::client::EntryKind;
use crate::domain::ids::{
    AttemptNumber, ClientId, OrderId, OrderToken, ProviderId, RefillId, Route, ServiceId, UpstreamOrderId,
    UpstreamServiceId,
};
use crate::domain::money::Money;
use crate::domain::order::{AttemptChange, Order, Step};
use crate::domain::refill::{NewRefill, Refill, RefillStep};
use crate::domain::search::Neighbours;
use crate::domain::service_type::ServiceType;
use crate::domain::time::Timestamp;
use crate::store::records::{
    AccessList, Account, AlertRecord, Applied, Attendance, ClientChange, Earlier, Freeze, KeyRecord, LedgerRecord,
    LostAttempt, Moved, Movement, NewCatalogue, NewClient, NewKey, OpenedRefill, OrderFilter, OrderStory, Pauses,
    Placed, Placement, PollClaim, ProviderRecord, RefillApplied, ReportFilter, ReportRow, RequestKey, Search,
    StoredCatalogue, StoredRequest, VerifyReport,
};
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError, StoreResult};

pub(super) struct WatchedStore {
    pub(super) inner: Arc<SqliteStore>,
    pub(super) world: Arc<World>,
    /// The gateway that runs on it, whose newest catalogue is what an order is held against.
    pub(super) app: std::sync::Mutex<Weak<App>>,
}

/// What goes wrong with a write.
#[derive(Clone, Copy)]
enum Trouble {
    /// Nothing is written.
    Refused,
    /// It is written, and says that it is not.
    AnswerLost,
}

impl WatchedStore {
    /// Others may go first.
    async fn turn(&self) {
        if self.world.turns.running().is_some() && self.world.state().rng.chance(40) {
            tokio::task::yield_now().await;
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        self.world.turns.running()?;
        let mut state = self.world.state();
        let faults = state.weather.store_faults;
        if state.rng.below(1000) >= faults {
            return None;
        }
        Some(if state.rng.chance(50) { Trouble::Refused } else { Trouble::AnswerLost })
    }

    async fn read<T>(&self, name: &str, reading: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        self.turn().await;
        if self.trouble().is_some() {
            self.world.note(format_args!("the store fails to read: {name}"));
            return Err(StoreError::Engine("disk I/O error".into()));
        }
        reading.await
    }

    async fn write<T>(&self, name: &str, writing: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        self.turn().await;
        let trouble = self.trouble();
        if let Some(Trouble::Refused) = trouble {
            self.world.note(format_args!("the store refuses to write: {name}"));
            return Err(StoreError::CannotWrite("disk full".into()));
        }
        let written = writing.await;
        self.turn().await;
        if let (Some(Trouble::AnswerLost), Ok(_)) = (trouble, &written) {
            self.world.note(format_args!("the store writes, and its answer is lost: {name}"));
            return Err(StoreError::InDoubt("the commit's answer was lost".into()));
        }
        written
    }

    // === Orders ===

    async fn do_place(&self, mut placement: Placement) -> StoreResult<Placed> {
        if self.world.is_mutated(Mutation::RequestIdIgnored) {
            placement.request = None;
        }
        let unwritten = placement.clone();
        if self.world.is_mutated(Mutation::AnswerBeforeDurable) && self.world.state().rng.chance(20) {
            let id = OrderId::new(1_000_000).unwrap();
            return Ok(Placed::New(Box::new(unwritten.order.into_order(id, unwritten.now, unwritten.claimed_until))));
        }
        let placed = self.inner.place(placement).await?;
        if let Placed::New(order) = &placed {
            self.world
                .note(format_args!("order {} of client {}: placed, charged {}", order.id, order.client, order.charge));
            if self.world.is_mutated(Mutation::ChargeNotDeducted) {
                self.correct(order.client, order.charge).await;
            }
            let task = self.world.turns.running();
            let stored = self.inner.order(order.id).await?;
            {
                let mut state = self.world.state();
                let stored = stored.ok_or_else(|| "an order is not stored".to_owned());
                let lawful = stored.and_then(|order| state.oracle.placed(&order));
                state.check(lawful);
                state.placed_by.extend(task.map(|task| (task, order.id)));
            }
            self.watch_balance(order.client).await;
        }
        Ok(placed)
    }

    async fn do_apply(&self, step: Step) -> StoreResult<Applied> {
        let id = step.order.id;
        let Some(before) = self.inner.order(id).await? else { return self.inner.apply(step).await };
        let mutation = self.world.state().mutation;
        let Some(mut step) = mutated(mutation, &before, step, self.world.now()) else { return Ok(Applied::Done) };
        let mut applied = self.inner.apply(step.clone()).await?;
        if applied == Applied::Stale && self.world.is_mutated(Mutation::IgnoreVersion) {
            step.order.version = before.version + 1;
            step.order.refunded = before.refunded;
            step.refund = None;
            applied = self.inner.apply(step.clone()).await?;
        }
        if let (Applied::IdTaken(_), true) = (&applied, self.world.is_mutated(Mutation::BindTwice)) {
            self.bind_twice(&step);
            applied = Applied::Done;
        }
        if applied == Applied::Done {
            self.look_at(id, &before).await?;
            if let (Some(refund), true) = (step.refund, self.world.is_mutated(Mutation::RefundTwice)) {
                self.correct(before.client, refund).await;
            }
            let turned = step.notes.iter().any(|note| note.text.contains("noted, not shown"));
            if turned && before.refunded.is_positive() && self.world.is_mutated(Mutation::TakeRefundBack) {
                self.correct(before.client, before.refunded.negated()).await;
            }
            self.watch_balance(before.client).await;
        }
        Ok(applied)
    }

    async fn do_apply_all(&self, steps: Vec<Step>) -> StoreResult<Vec<Applied>> {
        let mut applied = Vec::new();
        for step in steps {
            applied.push(self.do_apply(step).await?);
        }
        Ok(applied)
    }

    /// What the store has of an order after a write.
    async fn look_at(&self, id: OrderId, before: &Order) -> StoreResult<()> {
        let Some(order) = self.inner.order(id).await? else { return Ok(()) };
        if order.state != before.state || order.refunded != before.refunded || order.cancel != before.cancel {
            self.world.note(format_args!(
                "order {id} v{}: {:?} -> {:?}, {}, refunded {}, cancel {}",
                order.version,
                before.state,
                order.state,
                order.status,
                order.refunded,
                order.cancel.as_str()
            ));
        }
        let task = self.world.turns.running();
        let mut state = self.world.state();
        let lawful = state.oracle.changed(&order);
        state.check(lawful);
        state.oracle.begin(task, &order);
        Ok(())
    }

    async fn watch_balance(&self, client: ClientId) {
        let balance = self.inner.balance(client).await.unwrap().units();
        let mut state = self.world.state();
        let wanted = state.oracle.balance(client);
        if balance != wanted {
            state.fail(format!("client {client} has {balance} on its account, and should have {wanted}"));
        }
    }

    /// Held against the catalogue and the configuration of this moment, with arithmetic of our own.
    fn may_be_forwarded(&self, order: &Order, route: &Route) -> Result<(), String> {
        let Some(app) = self.app.lock().unwrap().upgrade() else { return Ok(()) };
        let snapshot = app.snapshot.load_full();
        let (id, provider) = (order.id, &route.provider);
        if !self.world.state().taking.contains(provider) {
            return Err(format!("order {id} goes to {provider}, which takes no orders"));
        }
        let list =
            snapshot.lists.get(provider).ok_or_else(|| format!("order {id} goes to {provider} without a list"))?;
        let listed = list.services.iter().find(|listed| listed.id == route.service);
        let listed = listed.ok_or_else(|| format!("order {id} goes to {route}, which is not listed"))?;
        if (listed.type_text == "Package") != (order.kind == ServiceType::Package) {
            return Err(format!("order {id} goes to {route}, which is another service by now"));
        }
        if app.pauses.load().hold(provider) {
            return Err(format!("order {id} goes to {provider} during a pause"));
        }
        let setup = snapshot.terms.provider(provider).ok_or("no such provider")?;
        let units = if order.kind == ServiceType::Package { 1000 } else { order.params.units };
        // cost * 1.05 <= charge, over 1000 units
        let cost = listed.rate * setup.exchange_rate * rust_decimal::Decimal::from(units * 105);
        let charge = order.charge.to_decimal() * rust_decimal::Decimal::from(100_000);
        if cost > charge {
            return Err(format!("order {id} is forwarded to {route} for {} below the minimum margin", order.charge));
        }
        Ok(())
    }

    // === Mutations ===

    async fn correct(&self, client: ClientId, amount: Money) {
        let name = self.inner.accounts().await.unwrap().into_iter().find(|account| account.client.id == client);
        let movement = Movement { kind: EntryKind::Correction, amount, reference: None, note: None };
        self.inner.move_money(&name.unwrap().client.name, movement, self.world.now()).await.unwrap();
    }

    fn bind_twice(&self, step: &Step) {
        let binding = step.order.binding().unwrap();
        self.inner.tamper(&format!(
            "DROP INDEX IF EXISTS orders_by_upstream; UPDATE orders SET state = 'placed', version = {}, \
             provider = '{}', upstream_service = '{}', upstream_order = '{}', due_at = 0 WHERE id = {}",
            step.order.version, binding.route.provider, binding.route.service, binding.id, step.order.id
        ));
    }
}

macro_rules! watched {
    (plain { $($kind:ident $name:ident($($given:ident: $type:ty),*) -> $out:ty;)* } special { $($special:tt)* }) => {
        #[async_trait]
        impl Store for WatchedStore {
            fn id(&self) -> &str {
                self.inner.id()
            }

            $(async fn $name(&self, $($given: $type),*) -> StoreResult<$out> {
                self.$kind(stringify!($name), self.inner.$name($($given),*)).await
            })*

            $($special)*
        }
    };
}

watched! {
    plain {
        read earlier_request(client: ClientId, request: RequestKey) -> Option<Earlier>;
        read has_due_polls(provider: &ProviderId, now: Timestamp, count: usize) -> bool;
        write hasten_polls(orders: &[OrderId], polled_before: Timestamp, now: Timestamp) -> ();
        write hasten_queued(now: Timestamp) -> ();
        write recover(now: Timestamp) -> Vec<Order>;
        read lost_senders(now: Timestamp) -> Vec<Order>;
        read order(id: OrderId) -> Option<Order>;
        read list_orders(filter: OrderFilter) -> Vec<(String, Order)>;
        read order_story(id: OrderId) -> Option<OrderStory>;
        read count_orders() -> Vec<(&'static str, Option<ProviderId>, u64)>;
        read alerts(limit: usize) -> Vec<AlertRecord>;
        read report(filter: ReportFilter) -> Vec<ReportRow>;
        write claim_cancels(now: Timestamp, until: Timestamp, limit: usize, left: &[ProviderId]) -> Vec<Order>;
        write give_back_cancel(order: &Order) -> ();
        write put_off_cancel(order: OrderId, now: Timestamp, first: Duration, longest: Duration) -> u32;
        write open_refill(refill: NewRefill, now: Timestamp) -> OpenedRefill;
        write apply_refills(steps: Vec<RefillStep>) -> Vec<RefillApplied>;
        read refill(id: RefillId) -> Option<Refill>;
        read refills_of(client: ClientId, ids: &[RefillId]) -> Vec<Refill>;
        read sending_refills() -> Vec<Refill>;
        read has_due_refills(provider: &ProviderId, now: Timestamp) -> bool;
        write claim_refills(provider: &ProviderId, now: Timestamp, until: Timestamp, limit: usize) -> Vec<Refill>;
        write hasten_refills(ids: &[RefillId], polled_before: Timestamp, now: Timestamp) -> ();
        write create_client(client: NewClient, now: Timestamp) -> Account;
        write change_client(name: &str, change: ClientChange) -> Account;
        read account(name: &str) -> Account;
        read accounts() -> Vec<Account>;
        read balance(client: ClientId) -> Money;
        write move_money(name: &str, movement: Movement, now: Timestamp) -> Moved;
        read ledger(name: &str, limit: usize) -> Vec<LedgerRecord>;
        write add_key(name: &str, key: NewKey, now: Timestamp) -> KeyRecord;
        write revoke_key(name: &str, key: i64) -> ();
        read access_version() -> i64;
        read access_list() -> AccessList;
        write put_catalogue(provider: &ProviderId, catalogue: NewCatalogue, now: Timestamp) -> bool;
        write forget_provider(provider: &ProviderId, now: Timestamp) -> ();
        read known_services(provider: &ProviderId) -> Vec<(UpstreamServiceId, Identity)>;
        write confirm_services(provider: &ProviderId, ids: Vec<UpstreamServiceId>) -> ();
        write put_loss(provider: &ProviderId, service: &UpstreamServiceId, loss: Loss) -> ();
        write put_freeze(freeze: Freeze) -> ();
        write remove_freeze(provider: &ProviderId, since: Timestamp) -> ();
        read freezes() -> Vec<Freeze>;
        read catalogues() -> Vec<StoredCatalogue>;
        write put_provider(provider: ProviderRecord) -> ();
        read providers() -> Vec<ProviderRecord>;
        write set_paused(provider: Option<&ProviderId>, paused: bool, now: Timestamp) -> Pauses;
        read pauses() -> Pauses;
        write put_running(document: String) -> ();
        read running() -> Option<String>;
        write post_request(body: String, now: Timestamp) -> i64;
        read claim_requests() -> Vec<StoredRequest>;
        write answer_request(number: i64, answer: String, now: Timestamp) -> ();
        write take_answer(number: i64) -> Option<String>;
        write prune(before: Timestamp) -> ();
        read due_searches(provider: &ProviderId, now: Timestamp, tries: u32, limit: usize) -> Vec<LostAttempt>;
        read attempts_in_doubt(provider: &ProviderId, since: Timestamp) -> Vec<LostAttempt>;
        read neighbours(provider: &ProviderId, started_at: Timestamp, ended_at: Timestamp) -> Neighbours;
        read held_upstream_orders(provider: &ProviderId, ids: Vec<UpstreamOrderId>) -> Vec<UpstreamOrderId>;
        write put_search(order: OrderId, attempt: AttemptNumber, search: Search) -> ();
        read search_calls(provider: &ProviderId, since: Timestamp) -> u64;
        read timeline() -> i64;
        write shift_deadlines(by: i64, now: Timestamp, timeline: i64) -> bool;
        read verify() -> VerifyReport;
    }
    special {
        fn is_shared(&self) -> bool {
            self.inner.is_shared()
        }

        async fn attend(&self, serving: &str, word: i64) -> StoreResult<Attendance> {
            self.inner.attend(serving, word).await
        }

        async fn leave(&self) -> StoreResult<()> {
            self.inner.leave().await
        }

        async fn raise_cache_epoch(&self) -> StoreResult<i64> {
            self.inner.raise_cache_epoch().await
        }

        async fn raise_configuration(&self) -> StoreResult<i64> {
            self.inner.raise_configuration().await
        }

        async fn take_turn(&self, name: &str, lasts: Duration) -> StoreResult<bool> {
            self.inner.take_turn(name, lasts).await
        }

        async fn place(&self, placement: Placement) -> StoreResult<Placed> {
            self.write("place", self.do_place(placement)).await
        }

        async fn apply(&self, step: Step) -> StoreResult<Applied> {
            // At the moment of the decision, before anybody else goes on.
            if let Some(AttemptChange::Started { route, .. }) = &step.attempt {
                let lawful = self.may_be_forwarded(&step.order, route);
                self.world.state().check(lawful);
            }
            self.write("apply", self.do_apply(step)).await
        }

        async fn apply_all(&self, steps: Vec<Step>) -> StoreResult<Vec<Applied>> {
            self.write("apply_all", self.do_apply_all(steps)).await
        }

        async fn claim_queued(
            &self,
            now: Timestamp,
            until: Timestamp,
            limit: usize,
            left: &[ServiceId],
        ) -> StoreResult<Vec<Order>> {
            if self.world.is_mutated(Mutation::ForgetQueued) {
                return Ok(Vec::new());
            }
            self.write("claim_queued", self.inner.claim_queued(now, until, limit, left)).await
        }

        async fn claim_polls(&self, provider: &ProviderId, claim: PollClaim) -> StoreResult<Vec<Order>> {
            if self.world.is_mutated(Mutation::ForgetPlaced) {
                return Ok(Vec::new());
            }
            self.write("claim_polls", self.inner.claim_polls(provider, claim)).await
        }

        async fn orders_of(&self, client: ClientId, ids: &[OrderId]) -> StoreResult<Vec<Order>> {
            if self.world.is_mutated(Mutation::ShowOthersOrders) {
                let mut orders = Vec::new();
                for id in ids {
                    orders.extend(self.inner.order(*id).await?);
                }
                return Ok(orders);
            }
            self.read("orders_of", self.inner.orders_of(client, ids)).await
        }

        async fn order_by_token(&self, token: OrderToken) -> StoreResult<Option<Order>> {
            if self.world.is_mutated(Mutation::LostCommitIsForgotten) {
                return Ok(None);
            }
            self.read("order_by_token", self.inner.order_by_token(token)).await
        }
    }
}
