//! `status`: from the cache, else from the store, never from an upstream.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::App;
use super::auth::Caller;
use super::error::ApiError;
use super::id_list::{plain_ids, split_ids};
use crate::cache::{Cached, Sight};
use crate::domain::ids::{ClientId, OrderId};
use crate::domain::time::Timestamp;

impl App {
    pub(super) async fn status(&self, caller: &Caller, order: &str) -> Result<Bytes, ApiError> {
        let id: OrderId = order.parse().map_err(|_| ApiError::OrderUnknown)?;
        let mut found = self.statuses(caller, &[id]).await?;
        let cached = found.pop().flatten().ok_or(ApiError::OrderUnknown)?;
        Ok(Bytes::copy_from_slice(&cached.body))
    }

    /// One object with every ID that was asked for, under the string it was asked by.
    pub(super) async fn multi_status(&self, caller: &Caller, orders: &str) -> Result<Bytes, ApiError> {
        if let Some((asked, ids)) = plain_ids(orders)
            && let Some(body) = self.at_hand(caller, &asked, &ids)
        {
            return Ok(body);
        }
        let asked = split_ids(orders)?;
        let ids: Vec<Option<OrderId>> = asked.iter().map(|text| text.parse().ok()).collect();
        let known: Vec<OrderId> = ids.iter().copied().flatten().collect();
        let mut found = self.statuses(caller, &known).await?.into_iter();
        let mut body = begin_object(asked.len());
        for (text, id) in asked.iter().zip(ids) {
            let cached = id.and_then(|_| found.next().flatten());
            write_view(&mut body, text, cached.as_ref().map_or(UNKNOWN, |cached| &cached.body));
        }
        body.push(b'}');
        Ok(body.into())
    }

    /// The same for numbers, each once, where all of them are in this process's memory and this client's, as they nearly
    /// always are: written from there, with no copies in between.
    fn at_hand(&self, caller: &Caller, asked: &[&str], ids: &[OrderId]) -> Option<Bytes> {
        let old = self.old_before();
        let mut body = begin_object(asked.len());
        let mut stale = Vec::new();
        let mut rest = asked.iter().zip(ids);
        let all = self.cache.show_at_hand(caller.client.id, ids, |cached| {
            let Some((text, id)) = rest.next() else { return };
            write_view(&mut body, text, &cached.body);
            stale.extend(cached.polled_at.filter(|at| *at <= old).map(|_| *id));
        });
        if !all {
            return None;
        }
        self.asked.mark(stale.into_iter());
        body.push(b'}');
        Some(body.into())
    }

    /// The statuses of these orders, in their order; nothing for those that are not this client's.
    async fn statuses(&self, caller: &Caller, ids: &[OrderId]) -> Result<Vec<Option<Cached>>, ApiError> {
        let client = caller.client.id;
        if self.cache.is_shared() && !self.may_call() {
            // The store does not answer, and may not for long: who knows all of it without need not wait.
            if let Some(found) = self.last_known(client, ids).await {
                return Ok(found);
            }
        }
        let sight = self.cache.sight();
        let mut found = self.cache.get_many(client, ids).await;
        let absent = |(id, entry): (&OrderId, &Option<Cached>)| entry.is_none().then_some(*id);
        let missing: Vec<OrderId> = ids.iter().zip(&found).filter_map(absent).collect();
        if !missing.is_empty() {
            let read = match self.store.orders_of(client, &missing).await {
                Ok(read) => read,
                Err(error) => return self.last_known(client, ids).await.ok_or(error.into()),
            };
            let read: HashMap<OrderId, Cached> = read.iter().map(|order| (order.id, self.cached(order))).collect();
            for (id, entry) in ids.iter().zip(&mut found) {
                *entry = entry.take().or_else(|| read.get(id).cloned());
            }
            self.keep(sight, read.into_iter().collect()).await;
        }
        self.note_interest(ids, &found);
        Ok(found)
    }

    /// Without the store: where all of them are held, as far as that is known to be present.
    async fn last_known(&self, client: ClientId, ids: &[OrderId]) -> Option<Vec<Option<Cached>>> {
        let found = self.cache.last_known(client, ids).await;
        found.iter().all(Option::is_some).then_some(found)
    }

    async fn keep(&self, sight: Sight, read: Vec<(OrderId, Cached)>) {
        if self.cache.is_shared() {
            // Nobody waits for Redis twice.
            let cache = Arc::clone(&self.cache);
            drop(self.tasks.spawn(async move { cache.put(sight, read).await }));
        } else {
            self.cache.put(sight, read).await;
        }
    }

    /// What is asked for and old is polled soon; nobody waits for it here.
    fn note_interest(&self, ids: &[OrderId], found: &[Option<Cached>]) {
        let old = self.old_before();
        let is_old = |entry: &Option<Cached>| entry.as_ref()?.polled_at.filter(|at| *at <= old);
        self.asked.mark(ids.iter().zip(found).filter(|(_, entry)| is_old(entry).is_some()).map(|(id, _)| *id));
    }

    /// News of this time and before is old.
    fn old_before(&self) -> Timestamp {
        self.clock.now().minus(self.snapshot.load().terms.status_ttl)
    }
}

/// What is said of an order that is another client's or does not exist: [`ApiError::OrderUnknown`].
const UNKNOWN: &[u8] = br#"{"error":"Incorrect order ID"}"#;

fn begin_object(orders: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(orders.saturating_mul(128).saturating_add(2));
    body.push(b'{');
    body
}

fn write_view(body: &mut Vec<u8>, text: &str, view: &[u8]) {
    if body.len() > 1 {
        body.push(b',');
    }
    write_key(body, text);
    body.push(b':');
    body.extend_from_slice(view);
}

fn write_key(body: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        body.push(b'"');
        body.extend_from_slice(text.as_bytes());
        body.push(b'"');
    } else {
        body.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_told_in_the_words_for_one() {
        assert_eq!(serde_json::from_slice::<Value>(UNKNOWN).unwrap(), ApiError::OrderUnknown.to_json());
    }
}
