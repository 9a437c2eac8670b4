//! Finding what is due.

use std::collections::HashSet;

use tokio::task::JoinSet;

use super::*;
use crate::domain::ids::{OrderId, ServiceId};
use crate::domain::order::State;
use crate::store::records::PollClaim;

/// A claim of what is due `now`, in seconds, and of nothing else.
fn due(now: u64, until: u64, limit: usize) -> PollClaim {
    PollClaim { now: after(now), until: after(until), limit, along_before: Timestamp::from_millis(0) }
}

fn ids(orders: &[Order]) -> Vec<OrderId> {
    orders.iter().map(|order| order.id).collect()
}

pub(crate) async fn a_queued_order_is_claimed_once(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let mut all = HashSet::new();
    for _ in 0..40 {
        all.insert(order(store, ann, "1").await.id);
    }
    // Until then they are their senders'.
    assert!(store.claim_queued(after(9), after(60), 100, &[]).await.unwrap().is_empty());
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(store);
        tasks.spawn(async move { store.claim_queued(after(10), after(60), 7, &[]).await.unwrap() });
    }
    let mut claimed = Vec::new();
    while let Some(orders) = tasks.join_next().await {
        claimed.extend(ids(&orders.unwrap()));
    }
    while let Some(more) =
        Some(store.claim_queued(after(10), after(60), 7, &[]).await.unwrap()).filter(|more| !more.is_empty())
    {
        assert!(more.iter().all(|order| order.due_at == Some(after(60)) && order.version == 1));
        claimed.extend(ids(&more));
    }
    assert_eq!(claimed.len(), all.len());
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), all);
    assert_eq!(store.claim_queued(after(60), after(90), 100, &[]).await.unwrap().len(), 40);
}

pub(crate) async fn what_is_left_to_others_is_not_claimed(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let queued = order(store, ann, "1").await;
    let (service, other) = (queued.service, ServiceId::new(77).unwrap());
    let claim = async |left: &[ServiceId]| ids(&store.claim_queued(after(10), after(60), 9, left).await.unwrap());
    assert_eq!(claim(&[other, service]).await, []);
    assert_eq!(claim(&[other]).await, [queued.id]);
    let placed = forwarded(store, ann, "alpha", "1").await;
    step(store, &placed, Event::CancelRequested, NOW).await;
    let (alpha, beta) = (ProviderId::new("alpha"), ProviderId::new("beta"));
    let claim = async |left: &[ProviderId]| ids(&store.claim_cancels(after(60), after(70), 9, left).await.unwrap());
    assert_eq!(claim(&[beta.clone(), alpha]).await, []);
    assert_eq!(claim(&[beta]).await, [placed.id]);
}

pub(crate) async fn the_oldest_are_claimed_first(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let (old, young) = (order(store, ann, "1").await, order(store, ann, "1").await);
    let held = step(store, &old, Event::NoRoute { may_pass: true, reason: "paused".into() }, after(20)).await;
    assert!(held.due_at > young.due_at);
    assert_eq!(ids(&store.claim_queued(after(30), after(60), 1, &[]).await.unwrap()), [old.id]);
    assert_eq!(ids(&store.claim_queued(after(30), after(60), 9, &[]).await.unwrap()), [young.id]);
}

pub(crate) async fn polls_are_claimed_by_provider(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let one = forwarded(store, ann, "alpha", "1").await;
    let two = forwarded(store, ann, "alpha", "2").await;
    let other = forwarded(store, ann, "beta", "3").await;
    // Being sent or uncertain: nobody could ask for it.
    let sending = order(store, ann, "1").await;
    step(store, &sending, sent("alpha"), NOW).await;
    let one = step(store, &one, reported("In progress", None), after(30)).await;
    let watched = step(store, &other, reported("Completed", None), after(30)).await;
    assert!(watched.due_at > one.due_at && one.due_at > two.due_at);

    let alpha = ProviderId::new("alpha");
    assert!(store.claim_polls(&alpha, due(59, 999, 9)).await.unwrap().is_empty());
    assert!(!store.has_due_polls(&alpha, after(59), 1).await.unwrap());
    assert!(store.has_due_polls(&alpha, after(100), 2).await.unwrap());
    assert!(!store.has_due_polls(&alpha, after(100), 3).await.unwrap());
    let first = store.claim_polls(&alpha, due(100, 999, 1)).await.unwrap();
    assert_eq!(ids(&first), [two.id]);
    let mut taken = Order { due_at: Some(after(999)), ..two };
    taken.progress.polled_at = Some(after(100));
    assert_eq!(first[0], taken, "asked for now, whatever comes of it");
    store.hasten_polls(&[taken.id], after(100), after(101)).await.unwrap();
    assert_eq!(ids(&store.claim_polls(&alpha, due(101, 999, 9)).await.unwrap()), [one.id]);
    let late = store.claim_polls(&ProviderId::new("beta"), due(9999, 19_999, 9)).await.unwrap();
    assert_eq!(ids(&late), [watched.id]);
}

pub(crate) async fn what_is_not_fresh_goes_along_with_what_is_due(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let alpha = ProviderId::new("alpha");
    let mut orders = Vec::new();
    for (id, polled_at) in [("1", 10), ("2", 80), ("3", 40), ("4", 90), ("5", 50)] {
        let order = forwarded(store, ann, "alpha", id).await;
        orders.push(step(store, &order, reported("In progress", None), after(polled_at)).await);
    }
    let closed = forwarded(store, ann, "alpha", "6").await;
    step(store, &closed, reported("Completed", None), after(5)).await;
    let elsewhere = forwarded(store, ann, "beta", "1").await;
    step(store, &elsewhere, reported("In progress", None), after(5)).await;
    let claim = |limit| PollClaim { along_before: after(60), ..due(75, 999, limit) };
    let idle = PollClaim { along_before: after(60), ..due(65, 999, 9) };
    assert!(store.claim_polls(&alpha, idle).await.unwrap().is_empty(), "nothing is due, so nothing goes along");
    let taken = store.claim_polls(&alpha, claim(2)).await.unwrap();
    assert_eq!(ids(&taken), [orders[0].id, orders[2].id], "the one that is due, and the next one while there is room");
    assert_eq!(taken[1].progress.polled_at, Some(after(75)));
    store.hasten_polls(&[orders[4].id], after(60), after(75)).await.unwrap();
    assert_eq!(ids(&store.claim_polls(&alpha, claim(9)).await.unwrap()), [orders[4].id], "the others are fresh");
}

pub(crate) async fn a_claim_does_not_spoil_a_step(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let order = order(store, ann, "1").await;
    let start = order.step(sent("alpha"), after(11)).unwrap();
    assert_eq!(store.claim_queued(after(10), after(60), 9, &[]).await.unwrap().len(), 1);
    assert_eq!(store.apply(start).await.unwrap(), Applied::Done);
    assert!(store.claim_queued(after(999), after(1000), 9, &[]).await.unwrap().is_empty());
}

pub(crate) async fn polls_are_hastened_unless_they_were_fresh(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let never = forwarded(store, ann, "alpha", "1").await;
    let stale = forwarded(store, ann, "alpha", "2").await;
    let stale = step(store, &stale, reported("In progress", None), after(5)).await;
    let fresh = forwarded(store, ann, "alpha", "3").await;
    let fresh = step(store, &fresh, reported("In progress", None), after(20)).await;
    let closed = forwarded(store, ann, "alpha", "4").await;
    let closed = step(store, &closed, reported("Completed", None), after(5)).await;
    let untouched = forwarded(store, ann, "alpha", "5").await;
    let asked = [never.id, stale.id, fresh.id, closed.id];
    store.hasten_polls(&asked, after(20), after(40)).await.unwrap();
    let due = async |order: &Order| store.order(order.id).await.unwrap().unwrap();
    assert_eq!(due(&never).await, Order { due_at: Some(after(20)), ..never.clone() });
    assert_eq!(due(&stale).await.due_at, Some(after(25)), "since its news became old");
    for order in [fresh, closed, untouched] {
        assert_eq!(due(&order).await, order);
    }
    // Never put off.
    store.hasten_polls(&asked, after(20), after(50)).await.unwrap();
    assert_eq!(due(&never).await.due_at, Some(after(20)));
}

pub(crate) async fn a_restart_finds_what_was_left(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let queued = order(store, ann, "1").await;
    let sending = order(store, ann, "1").await;
    let sending = step(store, &sending, sent("alpha"), NOW).await;
    forwarded(store, ann, "alpha", "1").await;
    assert!(queued.due_at > Some(after(1)));
    let left = store.recover(after(1)).await.unwrap();
    if store.is_shared() {
        assert_eq!(left, [], "another gateway may be sending it");
        assert!(
            store.claim_queued(after(1), after(60), 9, &[]).await.unwrap().is_empty(),
            "another may have it in hand"
        );
        assert_eq!(store.recover(after(3600)).await.unwrap(), std::slice::from_ref(&sending));
    } else {
        assert_eq!(left, std::slice::from_ref(&sending));
        assert_eq!(ids(&store.claim_queued(after(1), after(60), 9, &[]).await.unwrap()), [queued.id]);
    }
    assert_eq!(store.lost_senders(after(3599)).await.unwrap(), []);
    assert_eq!(store.lost_senders(after(3600)).await.unwrap(), std::slice::from_ref(&sending));
    let lost = step(store, &sending, Event::SenderLost, after(1)).await;
    assert!(matches!(lost.state, State::Uncertain { .. }));
    assert!(store.recover(after(9999)).await.unwrap().is_empty());
}

pub(crate) async fn a_sender_is_lost_when_its_time_is_over(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let order = order(store, ann, "1").await;
    let mut start = order.step(sent("alpha"), NOW).unwrap();
    start.order.due_at = Some(after(40));
    assert_eq!(store.apply(start.clone()).await.unwrap(), Applied::Done);
    assert_eq!(store.lost_senders(after(39)).await.unwrap(), []);
    assert_eq!(store.lost_senders(after(40)).await.unwrap(), [start.order]);
}
