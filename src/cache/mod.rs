//! Rendered statuses.
use crate::domain::ids::{ClientId, OrderId};
use crate::domain::time::Timestamp;
use bytes::Bytes;
#[derive(Debug, Clone)]
pub struct Cached {
    pub owner: ClientId,
    pub body: Bytes,
    pub version: u64,
    pub polled_at: Option<Timestamp>,
}
#[derive(Debug, Clone)]
pub enum Cache {
    None,
}
impl Cache {
    pub async fn get_many(&self, _owner: ClientId, ids: &[OrderId]) -> Vec<Option<Cached>> {
        ids.iter().map(|_| None).collect()
    }
    pub async fn put(&self, _entries: Vec<(OrderId, Cached)>) {}
}
