//! The engine's own promises, and the conformance suite on a real server.

pub(crate) mod cluster;

use std::sync::Arc;

use super::*;
use crate::domain::money::Money;
use crate::store::Store;
use crate::store::conformance::{AnyStore, NOW, client, conformance, new_order, order, placement};
use crate::store::records::Placed;
use cluster::Cluster;

const GATEWAY: OpenMode = OpenMode::Gateway { first_order_id: 1 };

async fn open() -> (AnyStore, ()) {
    let url = Cluster::shared().new_database().await;
    (Arc::new(PostgresStore::open(&url.into(), GATEWAY).await.unwrap()), ())
}

conformance!(open);

#[tokio::test]
async fn a_second_gateway_is_refused_and_a_tool_is_not() {
    let url = SecretString::from(Cluster::shared().new_database().await);
    assert!(matches!(PostgresStore::open(&url, OpenMode::Tool).await, Err(StoreError::Missing(_))));
    assert!(!PostgresStore::gateway_running(&url).await.unwrap());
    let first = PostgresStore::open(&url, GATEWAY).await.unwrap();
    assert!(PostgresStore::gateway_running(&url).await.unwrap());
    match PostgresStore::open(&url, GATEWAY).await.err() {
        Some(StoreError::InUse(name)) => assert!(!name.contains("not-shown"), "{name}"),
        other => panic!("{other:?}"),
    }
    let tool = PostgresStore::open(&url, OpenMode::Tool).await.unwrap();
    assert_eq!(tool.id(), first.id());
    drop(first);
    let again = PostgresStore::open(&url, GATEWAY).await.unwrap();
    assert_eq!(tool.id(), again.id());
}
