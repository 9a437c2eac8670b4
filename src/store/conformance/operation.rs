//! What the operator holds back, and what the gateway serves.

use std::collections::BTreeSet;

use super::{AnyStore, NOW, after, client, forwarded, new_order, order, placed, reported, step, with_request};
use crate::domain::ids::ProviderId;
use crate::domain::order::Event;
use crate::domain::order::State;
use crate::domain::time::Timestamp;
use crate::store::records::{Applied, Pauses, PollClaim, RequestKey};

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
    assert!(store.claim_queued(after(20), after(30), 10, &[]).await.unwrap().is_empty());
    store.hasten_queued(after(20)).await.unwrap();
    let due = store.claim_queued(after(20), after(30), 10, &[]).await.unwrap();
    assert_eq!(due.iter().map(|order| (order.id, order.version)).collect::<Vec<_>>(), [(held.id, held.version)]);
}

pub(crate) async fn deadlines_are_shifted(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let alpha = ProviderId::new("alpha");
    let queued = placed(store, with_request(new_order(ann, "1"), "r", 1, NOW)).await;
    let open = forwarded(store, ann, "alpha", "1").await;
    let ended = forwarded(store, ann, "alpha", "2").await;
    let ended = step(store, &ended, reported("Completed", Some(0)), NOW).await;
    let forgotten = forwarded(store, ann, "beta", "3").await;
    let forgotten = step(store, &forgotten, reported("Completed", Some(0)), NOW).await;
    store.forget_provider(&ProviderId::new("beta"), NOW).await.unwrap();

    let at = |at: Timestamp, by: i64| Timestamp::from_millis(at.millis() + by);
    for by in [86_400_000, -2 * 86_400_000] {
        let before = store.order(queued.id).await.unwrap().unwrap();
        let poll = store.order(open.id).await.unwrap().unwrap().due_at.unwrap();
        let timeline = store.timeline().await.unwrap();
        assert!(store.shift_deadlines(by, NOW, timeline).await.unwrap());
        // Its answer may have been lost.
        assert!(!store.shift_deadlines(by, NOW, timeline).await.unwrap(), "on a timeline that is over");
        let now = store.order(queued.id).await.unwrap().unwrap();
        assert_eq!((now.created_at, now.version), (before.created_at, before.version + 1), "a fact, and a new version");
        assert_eq!((now.queued_at, now.due_at), (at(before.queued_at, by), before.due_at.map(|due| at(due, by))));
        assert!(!store.has_due_polls(&alpha, at(poll, by - 1), 1).await.unwrap());
        assert!(store.has_due_polls(&alpha, at(poll, by), 1).await.unwrap());
    }
    let by = -86_400_000;
    let now = store.order(ended.id).await.unwrap().unwrap();
    assert_eq!((closed_at(&now.state), now.due_at), (Some(at(NOW, by)), ended.due_at.map(|due| at(due, by))));
    let now = store.order(forgotten.id).await.unwrap().unwrap();
    assert_eq!((now.state, now.due_at), (forgotten.state, None), "nobody looks at it any more");
    let stale = queued.step(Event::CancelRequested, NOW).unwrap();
    assert_eq!(store.apply(stale).await.unwrap(), Applied::Stale, "a step by the old times");
    let request = |since: Timestamp| RequestKey { id: "r".into(), fingerprint: [1; 32], since };
    assert!(store.earlier_request(ann, request(at(NOW, by))).await.unwrap().is_some());
    assert!(store.earlier_request(ann, request(at(NOW, by + 1))).await.unwrap().is_none(), "it is as old as it was");
}

pub(crate) async fn closed_orders_of_one_provider_are_no_longer_watched(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let open = forwarded(store, ann, "alpha", "1").await;
    for (provider, id) in [("alpha", "2"), ("beta", "3")] {
        let order = forwarded(store, ann, provider, id).await;
        step(store, &order, reported("Completed", Some(0)), NOW).await;
    }
    store.forget_provider(&alpha, NOW).await.unwrap();
    let far = after(20 * 86_400);
    let due: Vec<_> = store
        .claim_polls(&alpha, PollClaim { now: far, until: far, limit: 10, along_before: NOW })
        .await
        .unwrap()
        .iter()
        .map(|order| order.id)
        .collect();
    assert_eq!(due, [open.id], "what has not ended is followed");
    assert!(store.has_due_polls(&beta, far, 1).await.unwrap());
}

fn closed_at(state: &State) -> Option<Timestamp> {
    match state {
        State::Closed { at, .. } => Some(*at),
        _ => None,
    }
}
