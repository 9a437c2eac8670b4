//! The ledger's database. One method is one transaction: what it says it did is durable when it returns, and
//! of what failed nothing is there.
//!
//! The rest of the program knows this trait only; which engine is behind it is decided where the parts are
//! put together.

#[cfg(test)]
pub(crate) mod conformance;
mod forms;
pub mod postgres;
pub mod records;
pub mod sqlite;
mod standing;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::catalogue::{Identity, Loss};
use crate::domain::ids::{
    AttemptNumber, ClientId, OrderId, OrderToken, ProviderId, RefillId, ServiceId, UpstreamOrderId, UpstreamServiceId,
};
use crate::domain::money::Money;
use crate::domain::order::{Order, Step};
use crate::domain::refill::{NewRefill, Refill, RefillStep};
use crate::domain::search::Neighbours;
use crate::domain::time::Timestamp;
use records::{
    AccessList, Account, AlertRecord, Applied, Attendance, CatalogueMark, ClientChange, Earlier, Freeze, KeyRecord,
    LedgerRecord, LostAttempt, Moved, Movement, NewCatalogue, NewClient, NewKey, OpenedRefill, OrderFilter, OrderStory,
    Pauses, Placed, Placement, PollClaim, ProviderRecord, RefillApplied, ReportFilter, ReportRow, RequestKey, Search,
    StoredCatalogue, StoredRequest, VerifyReport,
};

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no store yet.
    #[error("there is no store at {0}: start `tollgate serve` once, it makes one")]
    Missing(String),
    /// Another gateway holds it.
    #[error("the store {0} is in use by another gateway: stop that one first")]
    InUse(String),
    /// Its schema is not the one this program writes.
    #[error("the store {path} has schema {found}, this program needs {wanted}: {advice}")]
    WrongVersion {
        /// The store.
        path: String,
        /// What it has.
        found: i64,
        /// What we need.
        wanted: i64,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing by that name.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// A client, a key, an order.
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// That name is taken.
    #[error("there is already a {what} {name:?}")]
    Exists {
        /// A client.
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// More work than the store can take; nothing was written.
    #[error("the store has too much to do just now; nothing was written, try again")]
    Overloaded,
    /// It can't write: a full disk, a read-only file. Nothing was written.
    #[error(
        "the store cannot write ({0}); nothing was written: make room, or mend the disk or the way to the database"
    )]
    CannotWrite(String),
    /// The connection was lost while a commit may have been under way: what was to be written may be there.
    #[error("the connection to the store was lost, what was being written may be there: {0}")]
    InDoubt(String),
    /// It can't be reached or read; nothing was to be written.
    #[error("the store failed: it can't be read: {0}")]
    CannotRead(String),
    /// Anything else that the engine said.
    #[error("the store failed: {0}")]
    Engine(String),
    /// What is stored can't be read back: a bug or a damaged file.
    #[error("the store holds what cannot be: {0}: run `tollgate verify`")]
    Corrupt(String),
}

/// How long a client waits for a store that others may keep busy or that is far away, beside what its order may wait for
/// an upstream. What has not been begun by then is not begun.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Shorthand for the answers of a store.
pub type StoreResult<T> = Result<T, StoreError>;

/// See the module's words. Times are given by the caller.
#[async_trait]
pub trait Store: Send + Sync {
    /// A random word that the store was born with: the prefix of what a shared cache holds of it.
    fn id(&self) -> &str;

    // === Gateways on one store ===

    /// Whether several gateways may serve it at once.
    fn is_shared(&self) -> bool;

    /// Says that this gateway is there, by a configuration of that digest, leaves a word for the others (what it means is
    /// between them), and tells who else is, their words, and what has changed.
    /// To be said every half second: a place that is not kept for two seconds is over, and what its gateway had claimed
    /// of queued orders is due at once.
    async fn attend(&self, serving: &str, word: i64) -> StoreResult<Attendance>;

    /// Gives this gateway's place up, with what it had claimed.
    async fn leave(&self) -> StoreResult<()>;

    /// Lets nobody believe any more what a shared cache holds; gives the epoch that begins.
    async fn raise_cache_epoch(&self) -> StoreResult<i64>;

    /// Has every gateway read its configuration again; gives the number of this change.
    async fn raise_configuration(&self) -> StoreResult<i64>;

    /// Whether work of this name is this gateway's for so long: nobody else's turn lasts, or it was this one's already.
    /// The turn of a gateway that is gone is over.
    async fn take_turn(&self, name: &str, lasts: Duration) -> StoreResult<bool>;

    // === Orders ===

    /// Charges a client and stores its order, queued, all or nothing: the balance plus credit covers the charge
    /// and the daily limit holds at that moment, or nothing is written.
    async fn place(&self, placement: Placement) -> StoreResult<Placed>;

    /// What this client's request stands for already, where [`Store::place`] would say so; writes nothing.
    async fn earlier_request(&self, client: ClientId, request: RequestKey) -> StoreResult<Option<Earlier>>;

    /// Writes a step: the order, its attempt, its history, and the refund's ledger entry. Only on the version
    /// that it was made from.
    async fn apply(&self, step: Step) -> StoreResult<Applied>;

    /// The same for many at once. A stale one, or one whose ID is taken, keeps none of the others back; where one
    /// fails, none is written.
    async fn apply_all(&self, steps: Vec<Step>) -> StoreResult<Vec<Applied>>;

    /// Queued orders that are due, oldest first, put off until `until` so that nobody else takes them. Not those of the
    /// services that are left to other gateways.
    async fn claim_queued(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
        left: &[ServiceId],
    ) -> StoreResult<Vec<Order>>;

    /// Whether a provider has at least so many placed or watched orders whose poll is due.
    async fn has_due_polls(&self, provider: &ProviderId, now: Timestamp, count: usize) -> StoreResult<bool>;

    /// Placed and watched orders of a provider whose poll is due, oldest due first, put off and marked as polled.
    /// Where some are due, but fewer than the limit, others that may go along follow them, soonest due first.
    async fn claim_polls(&self, provider: &ProviderId, claim: PollClaim) -> StoreResult<Vec<Order>>;

    /// Makes the polls of these orders due, where they are placed and were last polled before `polled_before` (or
    /// never): as of the time when their news became that old, `now` at the latest, so that they come before those
    /// polled at the same time that nobody asks for.
    async fn hasten_polls(&self, orders: &[OrderId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()>;

    /// Makes every queued order due at `now`, whatever it was put off for.
    async fn hasten_queued(&self, now: Timestamp) -> StoreResult<()>;

    /// After a start: gives the orders that an earlier run was sending, and makes every queued order due at `now`. Where
    /// several gateways may be at work, only what no other can be sending any more. Where one gateway alone writes the
    /// store, and the clock shows less than when it last took an order, moves the deadlines back by that first: the clock
    /// was put back while no gateway ran.
    async fn recover(&self, now: Timestamp) -> StoreResult<Vec<Order>>;

    /// Orders that are being sent though the time for that was over at `now`: `due_at`, or else an hour.
    async fn lost_senders(&self, now: Timestamp) -> StoreResult<Vec<Order>>;

    /// One order.
    async fn order(&self, id: OrderId) -> StoreResult<Option<Order>>;

    /// The order with this token: settles whether a commit with a lost answer took place. One that is not there does
    /// not come any more, however late its commit arrives.
    async fn order_by_token(&self, token: OrderToken) -> StoreResult<Option<Order>>;

    /// Those of `ids` that are this client's, in any order.
    async fn orders_of(&self, client: ClientId, ids: &[OrderId]) -> StoreResult<Vec<Order>>;

    /// Orders for the operator, newest first, each with its client's name.
    async fn list_orders(&self, filter: OrderFilter) -> StoreResult<Vec<(String, Order)>>;

    /// One order's whole history.
    async fn order_story(&self, id: OrderId) -> StoreResult<Option<OrderStory>>;

    /// How many orders are in each state but closed, by provider where they have one.
    async fn count_orders(&self) -> StoreResult<Vec<(&'static str, Option<ProviderId>, u64)>>;

    /// The newest lines of orders' histories that somebody had to look at, so many, newest first.
    async fn alerts(&self, limit: usize) -> StoreResult<Vec<AlertRecord>>;

    /// Sums over orders, by group, in the groups' order.
    async fn report(&self, filter: ReportFilter) -> StoreResult<Vec<ReportRow>>;

    /// Placed orders whose client wants them canceled and whose upstream has not taken that yet, oldest first: those that
    /// none has in hand and that are not put off, put off until `until`. Not those at the providers that are left to other
    /// gateways.
    async fn claim_cancels(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
        left: &[ProviderId],
    ) -> StoreResult<Vec<Order>>;

    /// Lets other gateways tell the upstream at once of the wish that was written with this version of the order, where
    /// nobody has claimed it since.
    async fn give_back_cancel(&self, order: &Order) -> StoreResult<()>;

    /// An upstream gave no answer to an order's cancel: puts that off by `first`, by twice that the next time, and so on,
    /// by `longest` at most. Gives how often that was so since the client's wish; 0 where the wish is settled.
    async fn put_off_cancel(
        &self,
        order: OrderId,
        now: Timestamp,
        first: Duration,
        longest: Duration,
    ) -> StoreResult<u32>;

    // === Searches for what was lost ===

    /// Uncertain orders of a provider whose search is due and was tried fewer than `tries` times, by their last
    /// attempts: so many, those that never were first. Not those of before the store was restored: what was placed in
    /// the time that is gone is not known. Not those that a duplicate link made uncertain: which attempt was placed is
    /// not known. No drip-feeds: their runs look like orders.
    async fn due_searches(
        &self,
        provider: &ProviderId,
        now: Timestamp,
        tries: u32,
        limit: usize,
    ) -> StoreResult<Vec<LostAttempt>>;

    /// Every attempt at a provider that is under way, or that ended at or after `since` and may have left an order
    /// there whose ID is not known to this day: one that was lost, or that a duplicate link came after. And drip-feeds
    /// that ran then, by their last attempts, each ended when its order was.
    async fn attempts_in_doubt(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<Vec<LostAttempt>>;

    /// Orders of a provider that have IDs: the nearest that were answered up to `started_at`, and the nearest that
    /// were sent from `ended_at` on. None from before the store was restored or the provider moved.
    async fn neighbours(
        &self,
        provider: &ProviderId,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> StoreResult<Neighbours>;

    /// Those of `ids` that an order of ours holds at this provider, or that a late answer named.
    async fn held_upstream_orders(
        &self,
        provider: &ProviderId,
        ids: Vec<UpstreamOrderId>,
    ) -> StoreResult<Vec<UpstreamOrderId>>;

    /// Keeps how far a search has got.
    async fn put_search(&self, order: OrderId, attempt: AttemptNumber, search: Search) -> StoreResult<()>;

    /// How many calls were made for the searches at a provider that last made one at or after `since`.
    async fn search_calls(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<u64>;

    // === Refills ===

    /// Stores a refill that is about to be sent, unless one of that order is open.
    async fn open_refill(&self, refill: NewRefill, now: Timestamp) -> StoreResult<OpenedRefill>;

    /// Writes steps, each by itself and only on the version that it was made from.
    async fn apply_refills(&self, steps: Vec<RefillStep>) -> StoreResult<Vec<RefillApplied>>;

    /// One refill.
    async fn refill(&self, id: RefillId) -> StoreResult<Option<Refill>>;

    /// Those of `ids` that are this client's, in any order.
    async fn refills_of(&self, client: ClientId, ids: &[RefillId]) -> StoreResult<Vec<Refill>>;

    /// Those that are being sent; after a start, those that an earlier run was sending.
    async fn sending_refills(&self) -> StoreResult<Vec<Refill>>;

    /// Whether a provider has a refill whose poll is due.
    async fn has_due_refills(&self, provider: &ProviderId, now: Timestamp) -> StoreResult<bool>;

    /// Refills of a provider whose poll is due, oldest due first, put off until `until` and marked as polled `now`.
    async fn claim_refills(
        &self,
        provider: &ProviderId,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> StoreResult<Vec<Refill>>;

    /// Makes the polls of these refills due at `now`, where they are followed and were last polled (or else asked
    /// for) before `polled_before`.
    async fn hasten_refills(&self, ids: &[RefillId], polled_before: Timestamp, now: Timestamp) -> StoreResult<()>;

    // === Clients ===

    /// Makes a client with its first key and, where given, a first deposit.
    async fn create_client(&self, client: NewClient, now: Timestamp) -> StoreResult<Account>;

    /// Changes a client's terms.
    async fn change_client(&self, name: &str, change: ClientChange) -> StoreResult<Account>;

    /// A client with its balance.
    async fn account(&self, name: &str) -> StoreResult<Account>;

    /// All clients, by name.
    async fn accounts(&self) -> StoreResult<Vec<Account>>;

    /// The balance of a client.
    async fn balance(&self, client: ClientId) -> StoreResult<Money>;

    /// Deposits, withdraws or corrects. A reference that was used before changes nothing.
    async fn move_money(&self, name: &str, movement: Movement, now: Timestamp) -> StoreResult<Moved>;

    /// A client's ledger, oldest first; the last `limit` entries.
    async fn ledger(&self, name: &str, limit: usize) -> StoreResult<Vec<LedgerRecord>>;

    /// Adds a key to a client.
    async fn add_key(&self, name: &str, key: NewKey, now: Timestamp) -> StoreResult<KeyRecord>;

    /// Takes a key of a client away.
    async fn revoke_key(&self, name: &str, key: i64) -> StoreResult<()>;

    /// Counts changes to clients and keys, so that who holds an [`AccessList`] knows when it is old.
    async fn access_version(&self) -> StoreResult<i64>;

    /// Every key with whom it lets in.
    async fn access_list(&self) -> StoreResult<AccessList>;

    // === Catalogues and providers ===

    /// Takes the place of the provider's stored catalogue; false where that was fetched later, or the provider moved since,
    /// both up to `now`: nothing is written then. What is from after `now` is from before the clock was put back.
    async fn put_catalogue(&self, provider: &ProviderId, catalogue: NewCatalogue, now: Timestamp) -> StoreResult<bool>;

    /// Forgets all that a provider's panel said: its catalogue, its doubts, what its IDs stood for, its freeze. What
    /// was sent there up to `now` is neither searched for nor a neighbour of what is; its closed orders are watched no
    /// longer and can't be refilled, and its open refills end as `Error`: their IDs are another panel's now.
    async fn forget_provider(&self, provider: &ProviderId, now: Timestamp) -> StoreResult<()>;

    /// What each ID of a provider was last believed to stand for, listed at present or not.
    async fn known_services(&self, provider: &ProviderId) -> StoreResult<Vec<(UpstreamServiceId, Identity)>>;

    /// Takes these services for what the stored catalogue says they are, and forgets losses by them.
    async fn confirm_services(&self, provider: &ProviderId, ids: Vec<UpstreamServiceId>) -> StoreResult<()>;

    /// Remembers that an order by this service cost more than it may; the first such order stays.
    async fn put_loss(&self, provider: &ProviderId, service: &UpstreamServiceId, loss: Loss) -> StoreResult<()>;

    /// Remembers that a provider is frozen, or that it was, unless something newer is remembered.
    async fn put_freeze(&self, freeze: Freeze) -> StoreResult<()>;

    /// Forgets what is remembered of a provider, where it is from `since` or older.
    async fn remove_freeze(&self, provider: &ProviderId, since: Timestamp) -> StoreResult<()>;

    /// Every freeze that is remembered, also where it was lifted.
    async fn freezes(&self) -> StoreResult<Vec<Freeze>>;

    /// Every stored catalogue, with its doubts.
    async fn catalogues(&self) -> StoreResult<Vec<StoredCatalogue>>;

    /// Which lists are stored; nothing where no other gateway can change them.
    async fn catalogue_marks(&self) -> StoreResult<Vec<CatalogueMark>> {
        Ok(Vec::new())
    }

    /// One provider's stored catalogue.
    async fn catalogue(&self, provider: &ProviderId) -> StoreResult<Option<StoredCatalogue>> {
        Ok(self.catalogues().await?.into_iter().find(|catalogue| catalogue.provider == *provider))
    }

    /// What the gateway knows of a provider, for the command line to show.
    async fn put_provider(&self, provider: ProviderRecord) -> StoreResult<()>;

    /// Every provider's record.
    async fn providers(&self) -> StoreResult<Vec<ProviderRecord>>;

    // === Operation ===

    /// Lets no order leave, for one provider or at all, or lets them leave again; gives what is paused then. The
    /// two kinds do not touch each other.
    async fn set_paused(&self, provider: Option<&ProviderId>, paused: bool, now: Timestamp) -> StoreResult<Pauses>;

    /// Where no order leaves.
    async fn pauses(&self) -> StoreResult<Pauses>;

    /// Keeps what the gateway serves (JSON) in the place of what it served before.
    async fn put_running(&self, document: String) -> StoreResult<()>;

    /// What the gateway serves, or the last one served; `None` where none has served this store yet.
    async fn running(&self) -> StoreResult<Option<String>>;

    /// How often deadlines were moved: which timeline they are on.
    async fn timeline(&self) -> StoreResult<i64>;

    /// Moves every deadline that is kept as a time of the day by so many milliseconds, all or none: polls, claims,
    /// leases, holds, waits, and what is remembered for a time. What happened keeps the time at which it did: where the
    /// clock was put back to `now`, nothing from before it shows again what it showed is searched for, nor a neighbour.
    /// Only on the timeline that was read before, which is over then; false where it was over already, and nothing is
    /// moved. So whoever does not know whether a move was written may ask for it again.
    async fn shift_deadlines(&self, by: i64, now: Timestamp, timeline: i64) -> StoreResult<bool>;

    // === Requests from the command line to a running gateway ===

    /// Leaves a request (JSON) for the gateway; gives its number.
    async fn post_request(&self, body: String, now: Timestamp) -> StoreResult<i64>;

    /// Requests that nobody has answered and no other gateway that is there carries out, oldest first.
    async fn claim_requests(&self) -> StoreResult<Vec<StoredRequest>>;

    /// Answers one (JSON).
    async fn answer_request(&self, number: i64, answer: String, now: Timestamp) -> StoreResult<()>;

    /// The answer to one, once it is there; taking it removes both.
    async fn take_answer(&self, number: i64) -> StoreResult<Option<String>>;

    /// Forgets clients' requests, and the command line's with their answers, from before `before`.
    async fn prune(&self, before: Timestamp) -> StoreResult<()>;

    // === Proof ===

    /// Recomputes every balance and invariant that the store can show.
    async fn verify(&self) -> StoreResult<VerifyReport>;
}
