//! `status`: from the cache, else from the store, never from an upstream.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::App;
use super::auth::Caller;
use super::error::{ApiError, MAX_IDS};
use crate::cache::Cached;
use crate::domain::ids::OrderId;

/// The IDs of a comma-separated list as they were written, each once, blanks around them trimmed.
///
/// # Errors
/// [`ApiError::TooManyIds`] over [`MAX_IDS`] of them.
pub(super) fn split_ids(list: &str) -> Result<Vec<&str>, ApiError> {
    let mut ids: Vec<&str> = Vec::new();
    for id in list.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
        if ids.len() > MAX_IDS {
            return Err(ApiError::TooManyIds);
        }
    }
    Ok(ids)
}

/// An ID in a list of answers: a number where it was written as one, else the text.
pub(super) fn as_asked(id: &str) -> Value {
    let number = id.bytes().all(|b| b.is_ascii_digit()).then(|| id.parse::<u64>().ok()).flatten();
    number.map_or_else(|| Value::from(id), Value::from)
}

impl App {
    pub(super) async fn status(&self, caller: &Caller, order: &str) -> Result<Bytes, ApiError> {
        let id: OrderId = order.parse().map_err(|_| ApiError::OrderUnknown)?;
        let found = self.statuses(caller, &[id]).await?;
        found.into_values().next().ok_or(ApiError::OrderUnknown)
    }

    /// One object with every ID that was asked for, under the string it was asked by.
    pub(super) async fn multi_status(&self, caller: &Caller, orders: &str) -> Result<Bytes, ApiError> {
        let asked = split_ids(orders)?;
        let ids: Vec<OrderId> = asked.iter().filter_map(|text| text.parse().ok()).collect();
        let found = self.statuses(caller, &ids).await?;
        let mut body = Vec::with_capacity(asked.len().saturating_mul(128).saturating_add(2));
        body.push(b'{');
        for (index, text) in asked.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(Value::from(*text).to_string().as_bytes());
            body.push(b':');
            match text.parse().ok().and_then(|id: OrderId| found.get(&id)) {
                Some(view) => body.extend_from_slice(view),
                None => body.extend_from_slice(br#"{"error":"Incorrect order ID"}"#),
            }
        }
        body.push(b'}');
        Ok(body.into())
    }

    /// The rendered statuses of those orders that are this client's.
    async fn statuses(&self, caller: &Caller, ids: &[OrderId]) -> Result<HashMap<OrderId, Bytes>, ApiError> {
        let client = caller.client.id;
        let mut found = HashMap::with_capacity(ids.len());
        let mut missing = Vec::new();
        for (id, cached) in ids.iter().zip(self.cache.get_many(client, ids).await) {
            match cached {
                Some(cached) => {
                    self.note_interest(*id, &cached);
                    found.insert(*id, cached.body);
                }
                None => missing.push(*id),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let read = self.store.orders_of(client, &missing).await?;
        let rendered: Vec<(OrderId, Cached)> = read.iter().map(|order| (order.id, self.cached(order))).collect();
        for (id, cached) in &rendered {
            self.note_interest(*id, cached);
            found.insert(*id, cached.body.clone());
        }
        if self.cache.is_shared() {
            // Nobody waits for Redis twice.
            let cache = Arc::clone(&self.cache);
            drop(self.tasks.spawn(async move { cache.put(rendered).await }));
        } else {
            self.cache.put(rendered).await;
        }
        Ok(found)
    }

    /// What is asked for and old is polled soon; nobody waits for it here.
    fn note_interest(&self, id: OrderId, cached: &Cached) {
        let ttl = self.snapshot.load().terms.status_ttl;
        if cached.polled_at.is_some_and(|polled_at| self.clock.now().since(polled_at) >= ttl) {
            self.asked.mark(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_was_asked() {
        for (text, wanted) in
            [("7", "7"), ("99999999999", "99999999999"), ("x1", "\"x1\""), ("-1", "\"-1\""), ("+1", "\"+1\"")]
        {
            assert_eq!(as_asked(text).to_string(), wanted);
        }
    }

    #[test]
    fn ids_are_split_trimmed_and_limited() {
        assert_eq!(split_ids(" 1, 2 ,,x,2").unwrap(), ["1", "2", "x"]);
        let list = |count: usize| (1..=count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(split_ids(&list(100)).unwrap().len(), 100);
        assert_eq!(split_ids(&list(101)), Err(ApiError::TooManyIds));
    }
}
