//! Looking orders up.

use super::*;
use crate::domain::ids::OrderId;
use crate::store::records::OrderFilter;

pub(crate) async fn orders_are_found_by_id_token_client_and_holder(store: &AnyStore) {
    let ann = client(store, "ann", "10").await.client.id;
    let ben = client(store, "ben", "10").await.client.id;
    let placed = forwarded(store, ann, "alpha", "x1").await;
    let other = order(store, ben, "1").await;
    let unknown = OrderId::new(999).unwrap();

    assert_eq!(store.order(unknown).await.unwrap(), None);
    assert_eq!(store.order_by_token(placed.token).await.unwrap(), Some(placed.clone()));
    assert_eq!(store.order_by_token(OrderToken([9; 16])).await.unwrap(), None);
    let asked = [other.id, unknown, placed.id];
    assert_eq!(store.orders_of(ann, &asked).await.unwrap(), std::slice::from_ref(&placed));
    assert_eq!(store.orders_of(ben, &asked).await.unwrap(), [other]);
    assert_eq!(store.orders_of(ann, &[]).await.unwrap(), []);
}

pub(crate) async fn the_operator_filters_orders(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let ben = client(store, "ben", "100").await.client.id;
    let a = order(store, ann, "1").await;
    let b = forwarded(store, ann, "alpha", "1").await;
    let c = forwarded(store, ben, "beta", "2").await;
    let c = step(store, &c, reported("Completed", None), NOW).await;
    let mut special = new_order(ben, "1");
    special.service = service(42);
    special.params.link = "https://x.test/special'%_".into();
    let d = placed(store, Placement { now: after(100), ..placement(special) }).await;

    let all = OrderFilter { limit: 100, ..OrderFilter::default() };
    let list = async |filter| {
        let found = store.list_orders(filter).await.unwrap();
        found.into_iter().map(|(name, order)| format!("{name} {}", order.id)).collect::<Vec<_>>()
    };
    let named =
        |names: &[(&str, &Order)]| names.iter().map(|(name, order)| format!("{name} {}", order.id)).collect::<Vec<_>>();
    assert_eq!(list(all.clone()).await, named(&[("ben", &d), ("ben", &c), ("ann", &b), ("ann", &a)]));
    assert_eq!(list(OrderFilter { limit: 1, ..all.clone() }).await, named(&[("ben", &d)]));
    let state = |word: &str| OrderFilter { state: Some(word.into()), ..all.clone() };
    assert_eq!(list(state("queued")).await, named(&[("ben", &d), ("ann", &a)]));
    assert_eq!(list(state("closed")).await, named(&[("ben", &c)]));
    assert_eq!(list(state("sending")).await, named(&[]));
    let of = |name: &str| OrderFilter { client: Some(name.into()), ..all.clone() };
    assert_eq!(list(of("ann")).await, named(&[("ann", &b), ("ann", &a)]));
    assert_eq!(list(of("nobody")).await, named(&[]));
    let at = OrderFilter { provider: Some(ProviderId::new("beta")), ..all.clone() };
    assert_eq!(list(at).await, named(&[("ben", &c)]));
    assert_eq!(list(OrderFilter { service: Some(service(42)), ..all.clone() }).await, named(&[("ben", &d)]));
    assert_eq!(list(OrderFilter { link: Some("al'%_".into()), ..all.clone() }).await, named(&[("ben", &d)]));
    assert_eq!(list(OrderFilter { from: Some(after(100)), ..all.clone() }).await, named(&[("ben", &d)]));
    let early = OrderFilter { to: Some(after(100)), client: Some("ben".into()), ..all.clone() };
    assert_eq!(list(early).await, named(&[("ben", &c)]));
    assert_eq!(store.list_orders(of("ben")).await.unwrap()[1].1, c);
}

pub(crate) async fn a_story_tells_everything(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    let order = order(store, ann, "1.20").await;
    let order = step(store, &order, sent("alpha"), after(1)).await;
    let order = step(store, &order, answer(1, Outcome::NotSent("refused".into())), after(2)).await;
    let order = step(store, &order, sent("beta"), after(3)).await;
    let order = step(store, &order, answer(2, Outcome::Ambiguous("timeout".into())), after(4)).await;

    let story = store.order_story(order.id).await.unwrap().unwrap();
    assert_eq!((story.client.as_str(), &story.order), ("ann", &order));
    let attempts: Vec<_> = story
        .attempts
        .iter()
        .map(|a| (a.number, a.route.clone(), a.started_at, a.finished_at, a.outcome.as_deref(), a.detail.as_deref()))
        .collect();
    assert_eq!(
        attempts,
        [
            (1, route("alpha"), after(1), Some(after(2)), Some("not_sent"), Some("refused")),
            (2, route("beta"), after(3), Some(after(4)), Some("ambiguous"), Some("timeout")),
        ]
    );
    let times: Vec<_> = story.history.iter().map(|line| (line.at, line.alert)).collect();
    assert_eq!(times, [(NOW, false), (after(2), false), (after(4), true)]);
    assert!(story.history[0].text.contains("1.2"), "{:?}", story.history[0]);
    assert_eq!(story.ledger.len(), 1);
    assert_eq!(story.ledger[0].order, Some(order.id));
    assert!(store.order_story(OrderId::new(999).unwrap()).await.unwrap().is_none());
}

pub(crate) async fn orders_are_counted(store: &AnyStore) {
    let ann = client(store, "ann", "100").await.client.id;
    order(store, ann, "1").await;
    let canceled = order(store, ann, "1").await;
    step(store, &canceled, Event::CancelRequested, NOW).await;
    forwarded(store, ann, "alpha", "1").await;
    forwarded(store, ann, "alpha", "2").await;
    let sending = order(store, ann, "1").await;
    step(store, &sending, sent("beta"), NOW).await;
    let mut counts = store.count_orders().await.unwrap();
    counts.sort();
    let provider = |name: &str| Some(ProviderId::new(name));
    assert_eq!(counts, [("placed", provider("alpha"), 2), ("queued", None, 1), ("sending", provider("beta"), 1)]);
}
