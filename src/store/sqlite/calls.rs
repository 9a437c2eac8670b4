//! The store's methods, each handed to the writer or to a reader.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    SqliteStore, access, catalogues, claiming, claims, clients, doubts, movements, operation, order_reads, orders,
    refills, report, requests, searches, verify,
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
    AccessList, Account, AlertRecord, Applied, Attendance, ClientChange, Earlier, Freeze, KeyRecord, LedgerRecord,
    LostAttempt, Moved, Movement, NewCatalogue, NewClient, NewKey, OpenedRefill, OrderFilter, OrderStory, Pauses,
    Placed, Placement, PollClaim, ProviderRecord, RefillApplied, ReportFilter, ReportRow, RequestKey, Search,
    StoredCatalogue, StoredRequest, VerifyReport,
};
use crate::store::{Store, StoreResult};

#[async_trait]
impl Store for SqliteStore {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn attend(&self, _serving: &str, _word: i64) -> StoreResult<Attendance> {
        Ok(Attendance::alone())
    }

    async fn leave(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn raise_cache_epoch(&self) -> StoreResult<i64> {
        Ok(0)
    }

    async fn raise_configuration(&self) -> StoreResult<i64> {
        Ok(0)
    }

    async fn take_turn(&self, _name: &str, _lasts: Duration) -> StoreResult<bool> {
        Ok(true)
    }

    async fn place(&self, placement: Placement) -> StoreResult<Placed> {
        self.write(move |conn| orders::place(conn, placement)).await
    }

    async fn earlier_request(&self, client: ClientId, request: RequestKey) -> StoreResult<Option<Earlier>> {
        self.read(move |conn| orders::find_request(conn, client, &request)).await
    }

    async fn apply(&self, step: Step) -> StoreResult<Applied> {
        self.write(move |conn| orders::apply(conn, &step)).await
    }

    async fn apply_all(&self, steps: Vec<Step>) -> StoreResult<Vec<Applied>> {
        self.write(move |conn| steps.iter().map(|step| orders::apply(conn, step)).collect()).await
    }

    async fn claim_queued(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
        left: &[ServiceId],
    ) -> StoreResult<Vec<Order>> {
        claiming::queued(self, now, until, limit, left).await
    }

    async fn has_due_polls(&self, provider: &ProviderId, now: Timestamp, count: usize) -> StoreResult<bool> {
        let provider = provider.clone();
        self.read(move |conn| Ok(claims::due_polls(conn, &provider, now, count)?.len() >= count)).await
    }

    async fn claim_polls(&self, provider: &ProviderId, claim: PollClaim) -> StoreResult<Vec<Order>> {
        claiming::polls(self, provider, claim).await
    }

    async fn hasten_polls(&self, orders: &[OrderId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()> {
        claiming::hasten_polls(self, orders, polled_before, now).await
    }

    async fn hasten_queued(&self, now: Timestamp) -> StoreResult<()> {
        self.write(move |conn| claims::hasten_queued(conn, now)).await
    }

    async fn lost_senders(&self, now: Timestamp) -> StoreResult<Vec<Order>> {
        self.read(move |conn| claims::lost_senders(conn, now)).await
    }

    async fn recover(&self, now: Timestamp) -> StoreResult<Vec<Order>> {
        self.write(move |conn| claims::recover(conn, now)).await
    }

    async fn order(&self, id: OrderId) -> StoreResult<Option<Order>> {
        self.read(move |conn| order_reads::order(conn, id)).await
    }

    async fn order_by_token(&self, token: OrderToken) -> StoreResult<Option<Order>> {
        self.read(move |conn| order_reads::by_token(conn, token)).await
    }

    async fn orders_of(&self, client: ClientId, ids: &[OrderId]) -> StoreResult<Vec<Order>> {
        let ids = ids.to_vec();
        self.read(move |conn| order_reads::of_client(conn, client, &ids)).await
    }

    async fn list_orders(&self, filter: OrderFilter) -> StoreResult<Vec<(String, Order)>> {
        self.read(move |conn| order_reads::list(conn, filter)).await
    }

    async fn order_story(&self, id: OrderId) -> StoreResult<Option<OrderStory>> {
        self.read(move |conn| order_reads::story(conn, id)).await
    }

    async fn count_orders(&self) -> StoreResult<Vec<(&'static str, Option<ProviderId>, u64)>> {
        self.read(order_reads::count).await
    }

    async fn alerts(&self, limit: usize) -> StoreResult<Vec<AlertRecord>> {
        self.read(move |conn| order_reads::alerts(conn, limit)).await
    }

    async fn report(&self, filter: ReportFilter) -> StoreResult<Vec<ReportRow>> {
        self.read(move |conn| report::report(conn, filter)).await
    }

    async fn claim_cancels(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
        left: &[ProviderId],
    ) -> StoreResult<Vec<Order>> {
        claiming::cancels(self, now, until, limit, left).await
    }

    /// There is no other gateway.
    async fn give_back_cancel(&self, _: &Order) -> StoreResult<()> {
        Ok(())
    }

    async fn put_off_cancel(
        &self,
        order: OrderId,
        now: Timestamp,
        first: Duration,
        longest: Duration,
    ) -> StoreResult<u32> {
        self.write(move |conn| claims::put_off_cancel(conn, order, now, first, longest)).await
    }

    async fn due_searches(
        &self,
        provider: &ProviderId,
        now: Timestamp,
        tries: u32,
        limit: usize,
    ) -> StoreResult<Vec<LostAttempt>> {
        let provider = provider.clone();
        self.read(move |conn| searches::due(conn, &provider, now, tries, limit)).await
    }

    async fn attempts_in_doubt(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<Vec<LostAttempt>> {
        let provider = provider.clone();
        self.read(move |conn| searches::in_doubt(conn, &provider, since)).await
    }

    async fn neighbours(
        &self,
        provider: &ProviderId,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> StoreResult<Neighbours> {
        let provider = provider.clone();
        self.read(move |conn| searches::neighbours(conn, &provider, started_at, ended_at)).await
    }

    async fn held_upstream_orders(
        &self,
        provider: &ProviderId,
        ids: Vec<UpstreamOrderId>,
    ) -> StoreResult<Vec<UpstreamOrderId>> {
        let provider = provider.clone();
        self.read(move |conn| searches::held(conn, &provider, &ids)).await
    }

    async fn put_search(&self, order: OrderId, attempt: AttemptNumber, search: Search) -> StoreResult<()> {
        self.write(move |conn| searches::put(conn, order, attempt, &search)).await
    }

    async fn search_calls(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<u64> {
        let provider = provider.clone();
        self.read(move |conn| searches::calls(conn, &provider, since)).await
    }

    async fn open_refill(&self, refill: NewRefill, now: Timestamp) -> StoreResult<OpenedRefill> {
        self.write(move |conn| refills::open(conn, refill, now)).await
    }

    async fn apply_refills(&self, steps: Vec<RefillStep>) -> StoreResult<Vec<RefillApplied>> {
        self.write(move |conn| steps.iter().map(|step| refills::apply(conn, step)).collect()).await
    }

    async fn refill(&self, id: RefillId) -> StoreResult<Option<Refill>> {
        self.read(move |conn| refills::refill(conn, id)).await
    }

    async fn refills_of(&self, client: ClientId, ids: &[RefillId]) -> StoreResult<Vec<Refill>> {
        let ids = ids.to_vec();
        self.read(move |conn| refills::of_client(conn, client, &ids)).await
    }

    async fn sending_refills(&self) -> StoreResult<Vec<Refill>> {
        self.read(refills::sending).await
    }

    async fn has_due_refills(&self, provider: &ProviderId, now: Timestamp) -> StoreResult<bool> {
        let provider = provider.clone();
        self.read(move |conn| Ok(!refills::due(conn, &provider, now, 1)?.is_empty())).await
    }

    async fn claim_refills(
        &self,
        provider: &ProviderId,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<Refill>> {
        claiming::refills(self, provider, now, until, limit).await
    }

    async fn hasten_refills(&self, ids: &[RefillId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()> {
        let ids = ids.to_vec();
        self.write(move |conn| refills::hasten(conn, &ids, polled_before, now)).await
    }

    async fn create_client(&self, client: NewClient, now: Timestamp) -> StoreResult<Account> {
        let name = client.terms.name.clone();
        self.write(move |conn| clients::create(conn, client, now)).await?;
        self.account(&name).await
    }

    async fn change_client(&self, name: &str, change: ClientChange) -> StoreResult<Account> {
        let client = name.to_owned();
        self.write(move |conn| clients::change(conn, &client, change)).await?;
        // The sums of an account may take a while: read by a reader, so that no order waits for them.
        self.account(name).await
    }

    async fn account(&self, name: &str) -> StoreResult<Account> {
        let name = name.to_owned();
        self.read(move |conn| clients::account(conn, &name)).await
    }

    async fn accounts(&self) -> StoreResult<Vec<Account>> {
        self.read(clients::accounts).await
    }

    async fn balance(&self, client: ClientId) -> StoreResult<Money> {
        self.read(move |conn| clients::balance(conn, client)).await
    }

    async fn move_money(&self, name: &str, movement: Movement, now: Timestamp) -> StoreResult<Moved> {
        let name = name.to_owned();
        self.write(move |conn| movements::move_money(conn, &name, movement, now)).await
    }

    async fn ledger(&self, name: &str, limit: usize) -> StoreResult<Vec<LedgerRecord>> {
        let name = name.to_owned();
        self.read(move |conn| movements::ledger(conn, &name, limit)).await
    }

    async fn add_key(&self, name: &str, key: NewKey, now: Timestamp) -> StoreResult<KeyRecord> {
        let name = name.to_owned();
        self.write(move |conn| access::add_key(conn, &name, key, now)).await
    }

    async fn revoke_key(&self, name: &str, key: i64) -> StoreResult<()> {
        let name = name.to_owned();
        self.write(move |conn| access::revoke_key(conn, &name, key)).await
    }

    async fn access_version(&self) -> StoreResult<i64> {
        self.read(access::version).await
    }

    async fn access_list(&self) -> StoreResult<AccessList> {
        self.read(access::list).await
    }

    async fn put_catalogue(&self, provider: &ProviderId, catalogue: NewCatalogue, now: Timestamp) -> StoreResult<bool> {
        let provider = provider.clone();
        self.write(move |conn| catalogues::put(conn, &provider, &catalogue, now)).await
    }

    async fn forget_provider(&self, provider: &ProviderId, now: Timestamp) -> StoreResult<()> {
        let provider = provider.clone();
        self.write(move |conn| catalogues::forget(conn, &provider, now)).await
    }

    async fn known_services(&self, provider: &ProviderId) -> StoreResult<Vec<(UpstreamServiceId, Identity)>> {
        let provider = provider.clone();
        self.read(move |conn| doubts::known(conn, &provider)).await
    }

    async fn confirm_services(&self, provider: &ProviderId, ids: Vec<UpstreamServiceId>) -> StoreResult<()> {
        let provider = provider.clone();
        self.write(move |conn| doubts::confirm(conn, &provider, &ids)).await
    }

    async fn put_loss(&self, provider: &ProviderId, service: &UpstreamServiceId, loss: Loss) -> StoreResult<()> {
        let (provider, service) = (provider.clone(), service.clone());
        self.write(move |conn| doubts::put_loss(conn, &provider, &service, &loss)).await
    }

    async fn put_freeze(&self, freeze: Freeze) -> StoreResult<()> {
        self.write(move |conn| doubts::put_freeze(conn, &freeze)).await
    }

    async fn remove_freeze(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<()> {
        let provider = provider.clone();
        self.write(move |conn| doubts::remove_freeze(conn, &provider, since)).await
    }

    async fn freezes(&self) -> StoreResult<Vec<Freeze>> {
        self.read(doubts::freezes).await
    }

    async fn catalogues(&self) -> StoreResult<Vec<StoredCatalogue>> {
        self.read(catalogues::all).await
    }

    async fn put_provider(&self, provider: ProviderRecord) -> StoreResult<()> {
        self.write(move |conn| catalogues::put_provider(conn, &provider)).await
    }

    async fn providers(&self) -> StoreResult<Vec<ProviderRecord>> {
        self.read(catalogues::providers).await
    }

    async fn set_paused(&self, provider: Option<&ProviderId>, paused: bool, now: Timestamp) -> StoreResult<Pauses> {
        let provider = provider.cloned();
        self.write(move |conn| operation::set_paused(conn, provider.as_ref(), paused, now)).await
    }

    async fn pauses(&self) -> StoreResult<Pauses> {
        self.read(operation::pauses).await
    }

    async fn timeline(&self) -> StoreResult<i64> {
        self.read(operation::timeline).await
    }

    async fn shift_deadlines(&self, by: i64, now: Timestamp, timeline: i64) -> StoreResult<bool> {
        self.write(move |conn| operation::shift_deadlines(conn, by, now, timeline)).await
    }

    async fn put_running(&self, document: String) -> StoreResult<()> {
        self.write(move |conn| operation::put_running(conn, &document)).await
    }

    async fn running(&self) -> StoreResult<Option<String>> {
        self.read(operation::running).await
    }

    async fn post_request(&self, body: String, now: Timestamp) -> StoreResult<i64> {
        self.write(move |conn| requests::post(conn, &body, now)).await
    }

    async fn claim_requests(&self) -> StoreResult<Vec<StoredRequest>> {
        self.read(requests::open).await
    }

    async fn answer_request(&self, number: i64, answer: String, now: Timestamp) -> StoreResult<()> {
        self.write(move |conn| requests::answer(conn, number, &answer, now)).await
    }

    async fn take_answer(&self, number: i64) -> StoreResult<Option<String>> {
        if !self.read(move |conn| requests::is_answered(conn, number)).await? {
            return Ok(None);
        }
        self.write(move |conn| requests::take_answer(conn, number)).await
    }

    async fn prune(&self, before: Timestamp) -> StoreResult<()> {
        self.write(move |conn| requests::prune(conn, before)).await
    }

    async fn verify(&self) -> StoreResult<VerifyReport> {
        self.read(verify::verify).await
    }
}
