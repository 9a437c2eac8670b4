//! What is claimed is looked for by a reader, so that nobody stands in the writer's queue for nothing; the writer takes what
//! of it is still to be had.

use rusqlite::Connection;

use super::{SqliteStore, claims, refills};
use crate::domain::ids::{OrderId, ProviderId, ServiceId};
use crate::domain::order::Order;
use crate::domain::refill::Refill;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;
use crate::store::records::PollClaim;

async fn take<I, T, F, G>(store: &SqliteStore, look: F, take: G) -> StoreResult<T>
where
    F: FnOnce(&Connection) -> StoreResult<Vec<I>> + Send + 'static,
    G: FnOnce(&Connection, &[I]) -> StoreResult<T> + Send + 'static,
    I: Send + 'static,
    T: Default + Send + 'static,
{
    let found = store.read(look).await?;
    if found.is_empty() {
        return Ok(T::default());
    }
    store.write(move |conn| take(conn, &found)).await
}

/// See [`crate::store::Store::claim_queued`].
pub(super) async fn queued(
    store: &SqliteStore,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
    left: &[ServiceId],
) -> StoreResult<Vec<Order>> {
    let left = left.to_vec();
    let due = move |conn: &Connection| claims::due_queued(conn, now, limit, &left);
    take(store, due, move |conn, ids| claims::take_queued(conn, ids, now, until)).await
}

/// See [`crate::store::Store::claim_polls`].
pub(super) async fn polls(store: &SqliteStore, provider: &ProviderId, claim: PollClaim) -> StoreResult<Vec<Order>> {
    let provider = provider.clone();
    let due = move |conn: &Connection| claims::polls(conn, &provider, &claim);
    take(store, due, move |conn, ids| claims::take_polls(conn, ids, &claim)).await
}

/// See [`crate::store::Store::hasten_polls`].
pub(super) async fn hasten_polls(
    store: &SqliteStore,
    orders: &[OrderId],
    polled_before: Timestamp,
    now: Timestamp,
) -> StoreResult<()> {
    let orders = orders.to_vec();
    let slow = move |conn: &Connection| claims::can_be_hastened(conn, &orders, polled_before, now);
    take(store, slow, move |conn, ids| claims::hasten(conn, ids, polled_before, now)).await
}

/// See [`crate::store::Store::claim_cancels`].
pub(super) async fn cancels(
    store: &SqliteStore,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
    left: &[ProviderId],
) -> StoreResult<Vec<Order>> {
    let left = left.to_vec();
    let due = move |conn: &Connection| claims::due_cancels(conn, now, limit, &left);
    take(store, due, move |conn, ids| claims::take_cancels(conn, ids, now, until)).await
}

/// See [`crate::store::Store::claim_refills`].
pub(super) async fn refills(
    store: &SqliteStore,
    provider: &ProviderId,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> StoreResult<Vec<Refill>> {
    let provider = provider.clone();
    let due = move |conn: &Connection| refills::due(conn, &provider, now, limit);
    take(store, due, move |conn, ids| refills::take(conn, ids, now, until)).await
}
