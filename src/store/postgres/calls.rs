//! The store's methods, each on a connection of the pool.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::transactions::{reading, writing};
use super::{
    PostgresStore, access, catalogues, claims, clients, doubts, movements, operation, order_reads, orders, refills,
    report, requests, searches, turns, verify,
};
use crate::domain::catalogue::{Identity, Loss};
use crate::domain::ids::{
    AttemptNumber, ClientId, OrderId, OrderToken, ProviderId, RefillId, ServiceId, UpstreamOrderId, UpstreamServiceId,
};
use crate::domain::money::Money;
use crate::domain::order::{Order, Step};
use crate::domain::refill::{NewRefill, Refill, RefillStep};
use crate::domain::search::Neighbours;
use crate::domain::time::Timestamp;
use crate::store::records::{
    AccessList, Account, AlertRecord, Applied, Attendance, CatalogueMark, ClientChange, Earlier, Freeze, KeyRecord,
    LedgerRecord, LostAttempt, Moved, Movement, NewCatalogue, NewClient, NewKey, OpenedRefill, OrderFilter, OrderStory,
    Pauses, Placed, Placement, PollClaim, ProviderRecord, RefillApplied, ReportFilter, ReportRow, RequestKey, Search,
    StoredCatalogue, StoredRequest, VerifyReport,
};
use crate::store::{Store, StoreResult};

#[async_trait]
impl Store for PostgresStore {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn attend(&self, serving: &str, word: i64) -> StoreResult<Attendance> {
        match &self.membership {
            Some(membership) => membership.attend(serving, word).await,
            None => Ok(Attendance::alone()),
        }
    }

    async fn leave(&self) -> StoreResult<()> {
        match &self.membership {
            Some(membership) => membership.leave().await,
            None => Ok(()),
        }
    }

    async fn raise_cache_epoch(&self) -> StoreResult<i64> {
        let raised = async { turns::raise_epoch(&super::session(&self.news).await?).await };
        let raised = raised.await;
        self.heard(&raised, raised.is_ok());
        raised
    }

    async fn raise_configuration(&self) -> StoreResult<i64> {
        writing!(self, |db| turns::raise_configuration(&db))
    }

    async fn take_turn(&self, name: &str, lasts: Duration) -> StoreResult<bool> {
        writing!(self, |db| turns::take(&db, self.gateway(), name, lasts))
    }

    async fn place(&self, placement: Placement) -> StoreResult<Placed> {
        self.place_soon(placement).await
    }

    async fn earlier_request(&self, client: ClientId, request: RequestKey) -> StoreResult<Option<Earlier>> {
        reading!(self.reader(), |db| orders::find_request(&db, client, &request))
    }

    async fn apply(&self, step: Step) -> StoreResult<Applied> {
        self.write_step(step).await
    }

    async fn apply_all(&self, steps: Vec<Step>) -> StoreResult<Vec<Applied>> {
        self.write_steps(&steps).await
    }

    async fn claim_queued(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
        left: &[ServiceId],
    ) -> StoreResult<Vec<Order>> {
        writing!(self, |db| claims::claim_queued(&db, self.gateway(), now, until, limit, left))
    }

    async fn has_due_polls(&self, provider: &ProviderId, now: Timestamp, count: usize) -> StoreResult<bool> {
        reading!(self.reader(), |db| claims::has_due_polls(&db, provider, now, count))
    }

    async fn claim_polls(&self, provider: &ProviderId, claim: PollClaim) -> StoreResult<Vec<Order>> {
        writing!(self, |db| claims::claim_polls(&db, provider, &claim))
    }

    async fn hasten_polls(&self, orders: &[OrderId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()> {
        if !reading!(self.reader(), |db| claims::can_be_hastened(&db, orders, polled_before, now))? {
            return Ok(());
        }
        writing!(self, |db| claims::hasten(&db, orders, polled_before, now))
    }

    async fn hasten_queued(&self, now: Timestamp) -> StoreResult<()> {
        writing!(self, |db| claims::hasten_queued(&db, now))
    }

    async fn recover(&self, now: Timestamp) -> StoreResult<Vec<Order>> {
        reading!(self.reader(), |db| claims::lost_senders(&db, now))
    }

    async fn lost_senders(&self, now: Timestamp) -> StoreResult<Vec<Order>> {
        reading!(self.reader(), |db| claims::lost_senders(&db, now))
    }

    async fn order(&self, id: OrderId) -> StoreResult<Option<Order>> {
        reading!(self.reader(), |db| order_reads::order(&db, id))
    }

    async fn order_by_token(&self, token: OrderToken) -> StoreResult<Option<Order>> {
        self.settle_token(token).await
    }

    async fn orders_of(&self, client: ClientId, ids: &[OrderId]) -> StoreResult<Vec<Order>> {
        reading!(self.reader(), |db| order_reads::of_client(&db, client, ids))
    }

    async fn list_orders(&self, filter: OrderFilter) -> StoreResult<Vec<(String, Order)>> {
        reading!(self.snapshot(), |db| order_reads::list(&db, filter))
    }

    async fn order_story(&self, id: OrderId) -> StoreResult<Option<OrderStory>> {
        reading!(self.snapshot(), |db| order_reads::story(&db, id))
    }

    async fn count_orders(&self) -> StoreResult<Vec<(&'static str, Option<ProviderId>, u64)>> {
        reading!(self.reader(), |db| order_reads::count(&db))
    }

    async fn alerts(&self, limit: usize) -> StoreResult<Vec<AlertRecord>> {
        reading!(self.reader(), |db| order_reads::alerts(&db, limit))
    }

    async fn report(&self, filter: ReportFilter) -> StoreResult<Vec<ReportRow>> {
        reading!(self.snapshot(), |db| report::report(&db, filter))
    }

    async fn claim_cancels(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
        left: &[ProviderId],
    ) -> StoreResult<Vec<Order>> {
        writing!(self, |db| claims::claim_cancels(&db, now, until, limit, left))
    }

    async fn give_back_cancel(&self, order: &Order) -> StoreResult<()> {
        writing!(self, |db| orders::give_back_cancel(&db, order))
    }

    async fn put_off_cancel(
        &self,
        order: OrderId,
        now: Timestamp,
        first: Duration,
        longest: Duration,
    ) -> StoreResult<u32> {
        writing!(self, |db| claims::put_off_cancel(&db, order, now, first, longest))
    }

    async fn due_searches(
        &self,
        provider: &ProviderId,
        now: Timestamp,
        tries: u32,
        limit: usize,
    ) -> StoreResult<Vec<LostAttempt>> {
        reading!(self.snapshot(), |db| searches::due(&db, provider, now, tries, limit))
    }

    async fn attempts_in_doubt(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<Vec<LostAttempt>> {
        reading!(self.snapshot(), |db| searches::in_doubt(&db, provider, since))
    }

    async fn neighbours(
        &self,
        provider: &ProviderId,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> StoreResult<Neighbours> {
        reading!(self.snapshot(), |db| searches::neighbours(&db, provider, started_at, ended_at))
    }

    async fn held_upstream_orders(
        &self,
        provider: &ProviderId,
        ids: Vec<UpstreamOrderId>,
    ) -> StoreResult<Vec<UpstreamOrderId>> {
        reading!(self.reader(), |db| searches::held(&db, provider, &ids))
    }

    async fn put_search(&self, order: OrderId, attempt: AttemptNumber, search: Search) -> StoreResult<()> {
        writing!(self, |db| searches::put(&db, order, attempt, &search))
    }

    async fn search_calls(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<u64> {
        reading!(self.reader(), |db| searches::calls(&db, provider, since))
    }

    async fn open_refill(&self, refill: NewRefill, now: Timestamp) -> StoreResult<OpenedRefill> {
        let made = Mutex::default();
        let opened = writing!(self, |db| refills::open(&db, &refill, now, &made));
        self.settle_refill(opened, made).await
    }

    async fn apply_refills(&self, steps: Vec<RefillStep>) -> StoreResult<Vec<RefillApplied>> {
        writing!(self, |db| refills::apply_all(&db, &steps))
    }

    async fn refill(&self, id: RefillId) -> StoreResult<Option<Refill>> {
        reading!(self.reader(), |db| refills::refill(&db, id))
    }

    async fn refills_of(&self, client: ClientId, ids: &[RefillId]) -> StoreResult<Vec<Refill>> {
        reading!(self.reader(), |db| refills::of_client(&db, client, ids))
    }

    async fn sending_refills(&self) -> StoreResult<Vec<Refill>> {
        reading!(self.reader(), |db| refills::sending(&db))
    }

    async fn has_due_refills(&self, provider: &ProviderId, now: Timestamp) -> StoreResult<bool> {
        reading!(self.reader(), |db| refills::has_due(&db, provider, now))
    }

    async fn claim_refills(
        &self,
        provider: &ProviderId,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<Refill>> {
        writing!(self, |db| refills::claim(&db, provider, now, until, limit))
    }

    async fn hasten_refills(&self, ids: &[RefillId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()> {
        writing!(self, |db| refills::hasten(&db, ids, polled_before, now))
    }

    async fn create_client(&self, client: NewClient, now: Timestamp) -> StoreResult<Account> {
        let name = client.terms.name.clone();
        writing!(self, |db| clients::create(&db, &client, now))?;
        self.account(&name).await
    }

    async fn change_client(&self, name: &str, change: ClientChange) -> StoreResult<Account> {
        writing!(self, |db| clients::change(&db, name, &change))?;
        // The sums of an account may take a while: read by a reader, so that no order waits for them.
        self.account(name).await
    }

    async fn account(&self, name: &str) -> StoreResult<Account> {
        reading!(self.snapshot(), |db| clients::account(&db, name))
    }

    async fn accounts(&self) -> StoreResult<Vec<Account>> {
        reading!(self.snapshot(), |db| clients::accounts(&db))
    }

    async fn balance(&self, client: ClientId) -> StoreResult<Money> {
        reading!(self.reader(), |db| clients::balance(&db, client))
    }

    async fn move_money(&self, name: &str, movement: Movement, now: Timestamp) -> StoreResult<Moved> {
        writing!(self, |db| movements::move_money(&db, name, &movement, now))
    }

    async fn ledger(&self, name: &str, limit: usize) -> StoreResult<Vec<LedgerRecord>> {
        reading!(self.snapshot(), |db| movements::ledger(&db, name, limit))
    }

    async fn add_key(&self, name: &str, key: NewKey, now: Timestamp) -> StoreResult<KeyRecord> {
        writing!(self, |db| access::add_key(&db, name, &key, now))
    }

    async fn revoke_key(&self, name: &str, key: i64) -> StoreResult<()> {
        writing!(self, |db| access::revoke_key(&db, name, key))
    }

    async fn access_version(&self) -> StoreResult<i64> {
        reading!(self.follower(), |db| access::version(&db))
    }

    async fn access_list(&self) -> StoreResult<AccessList> {
        reading!(self.follower_snapshot(), |db| access::list(&db))
    }

    async fn put_catalogue(&self, provider: &ProviderId, catalogue: NewCatalogue, now: Timestamp) -> StoreResult<bool> {
        writing!(self, |db| catalogues::put(&db, provider, &catalogue, now))
    }

    async fn forget_provider(&self, provider: &ProviderId, now: Timestamp) -> StoreResult<()> {
        writing!(self, |db| catalogues::forget(&db, provider, now))
    }

    async fn known_services(&self, provider: &ProviderId) -> StoreResult<Vec<(UpstreamServiceId, Identity)>> {
        reading!(self.reader(), |db| doubts::known(&db, provider))
    }

    async fn confirm_services(&self, provider: &ProviderId, ids: Vec<UpstreamServiceId>) -> StoreResult<()> {
        writing!(self, |db| doubts::confirm(&db, provider, &ids))
    }

    async fn put_loss(&self, provider: &ProviderId, service: &UpstreamServiceId, loss: Loss) -> StoreResult<()> {
        writing!(self, |db| doubts::put_loss(&db, provider, service, &loss))
    }

    async fn put_freeze(&self, freeze: Freeze) -> StoreResult<()> {
        writing!(self, |db| doubts::put_freeze(&db, &freeze))
    }

    async fn remove_freeze(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<()> {
        writing!(self, |db| doubts::remove_freeze(&db, provider, since))
    }

    async fn freezes(&self) -> StoreResult<Vec<Freeze>> {
        reading!(self.follower(), |db| doubts::freezes(&db))
    }

    async fn catalogues(&self) -> StoreResult<Vec<StoredCatalogue>> {
        reading!(self.snapshot(), |db| catalogues::all(&db))
    }

    async fn catalogue_marks(&self) -> StoreResult<Vec<CatalogueMark>> {
        reading!(self.follower(), |db| turns::marks(&db))
    }

    async fn catalogue(&self, provider: &ProviderId) -> StoreResult<Option<StoredCatalogue>> {
        reading!(self.snapshot(), |db| catalogues::one(&db, provider))
    }

    async fn put_provider(&self, provider: ProviderRecord) -> StoreResult<()> {
        writing!(self, |db| catalogues::put_provider(&db, self.gateway(), &provider))
    }

    async fn providers(&self) -> StoreResult<Vec<ProviderRecord>> {
        reading!(self.reader(), |db| catalogues::providers(&db))
    }

    async fn set_paused(&self, provider: Option<&ProviderId>, paused: bool, now: Timestamp) -> StoreResult<Pauses> {
        writing!(self, |db| operation::set_paused(&db, provider, paused, now))
    }

    async fn pauses(&self) -> StoreResult<Pauses> {
        reading!(self.follower(), |db| operation::pauses(&db))
    }

    async fn timeline(&self) -> StoreResult<i64> {
        reading!(self.reader(), |db| operation::timeline(&db))
    }

    async fn shift_deadlines(&self, by: i64, now: Timestamp, timeline: i64) -> StoreResult<bool> {
        writing!(self, |db| operation::shift_deadlines(&db, by, now, timeline))
    }

    async fn put_running(&self, document: String) -> StoreResult<()> {
        writing!(self, |db| operation::put_running(&db, &document))
    }

    async fn running(&self) -> StoreResult<Option<String>> {
        reading!(self.reader(), |db| operation::running(&db))
    }

    async fn post_request(&self, body: String, now: Timestamp) -> StoreResult<i64> {
        writing!(self, |db| requests::post(&db, &body, now))
    }

    async fn claim_requests(&self) -> StoreResult<Vec<StoredRequest>> {
        if !reading!(self.reader(), |db| requests::are_open(&db))? {
            return Ok(Vec::new());
        }
        writing!(self, |db| requests::claim(&db, self.gateway()))
    }

    async fn answer_request(&self, number: i64, answer: String, now: Timestamp) -> StoreResult<()> {
        writing!(self, |db| requests::answer(&db, number, &answer, now))
    }

    async fn take_answer(&self, number: i64) -> StoreResult<Option<String>> {
        writing!(self, |db| requests::take_answer(&db, number))
    }

    async fn prune(&self, before: Timestamp) -> StoreResult<()> {
        while writing!(self, |db| requests::prune(&db, before))? {}
        Ok(())
    }

    async fn verify(&self) -> StoreResult<VerifyReport> {
        reading!(self.snapshot(), |db| verify::verify(&db))
    }
}
