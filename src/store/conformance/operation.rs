//! What the operator holds back, and what the gateway serves.

use std::collections::BTreeSet;

use super::{AnyStore, NOW, after, client, forwarded, order, reported, step};
use crate::domain::ids::ProviderId;
use crate::domain::order::Event;
use crate::store::records::{Pauses, PollClaim};

pub(crate) async fn pauses_are_kept_apart(store: &AnyStore) {
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    assert_eq!(store.pauses().await.unwrap(), Pauses::default());
    store.set_paused(Some(&alpha), true, NOW).await.unwrap();
    store.set_paused(Some(&alpha), true, after(1)).await.unwrap();
    let both = store.set_paused(None, true, after(2)).await.unwrap();
    assert_eq!(both, Pauses { everywhere: true, providers: BTreeSet::from([alpha.clone()]) });
    assert!(both.hold(&alpha) && both.hold(&beta));
    let one = store.set_paused(None, false, after(3)).await.unwrap();
    assert!(one.hold(&alpha) && !one.hold(&beta));
    assert_eq!(store.pauses().await.unwrap(), one);
    store.set_paused(Some(&beta), false, after(4)).await.unwrap();
    assert_eq!(store.set_paused(Some(&alpha), false, after(5)).await.unwrap(), Pauses::default());
}

pub(crate) async fn the_last_served_is_kept(store: &AnyStore) {
    assert_eq!(store.running().await.unwrap(), None);
    for document in ["{\"a\":1}", "{}"] {
        store.put_running(document.into()).await.unwrap();
        assert_eq!(store.running().await.unwrap().as_deref(), Some(document));
    }
}

pub(crate) async fn queued_orders_are_hastened(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let held = order(store, ann, "1").await;
    let held = step(store, &held, Event::NoRoute { may_pass: true, reason: "paused".into() }, after(20)).await;
    assert!(store.claim_queued(after(20), after(30), 10).await.unwrap().is_empty());
    store.hasten_queued(after(20)).await.unwrap();
    let due = store.claim_queued(after(20), after(30), 10).await.unwrap();
    assert_eq!(due.iter().map(|order| (order.id, order.version)).collect::<Vec<_>>(), [(held.id, held.version)]);
}

pub(crate) async fn closed_orders_of_one_provider_are_no_longer_watched(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let open = forwarded(store, ann, "alpha", "1").await;
    for (provider, id) in [("alpha", "2"), ("beta", "3")] {
        let order = forwarded(store, ann, provider, id).await;
        step(store, &order, reported("Completed", Some(0)), NOW).await;
    }
    store.stop_watching(&alpha).await.unwrap();
    let far = after(20 * 86_400);
    let due: Vec<_> = store
        .claim_polls(&alpha, PollClaim { now: far, until: far, limit: 10, along_before: NOW })
        .await
        .unwrap()
        .iter()
        .map(|order| order.id)
        .collect();
    assert_eq!(due, [open.id], "what has not ended is followed");
    assert!(store.has_due_polls(&beta, far).await.unwrap());
}
